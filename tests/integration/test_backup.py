#!/usr/bin/python3
"""Backup, restore, compact and verify, as their users meet them: beside a daemon under load, killed at any moment, on a
full or read-only disk, and with the wrong words.

TIDE_LONG=1: fifty kills inside each of the three instead of a few."""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, environment, patience, sanitized_once, seed, start_process, tidemark

SEED = seed()
LONG = bool(os.environ.get("TIDE_LONG"))
KILLS = 50 if LONG else 6
SENDERS = 4
MODULES = 300


def tool(*words, **keywords):
    return subprocess.run([tidemark(), *words], capture_output=True, text=True, env=environment(),
                          timeout=patience(120), **keywords)


def verify(directory):
    done = tool("verify", directory, "--json")
    return json.loads(done.stdout) if done.stdout else {"sound": False, "error": done.stderr, "exit": done.returncode}


def big_chunk(number, events, modules=MODULES, at_s=None):
    identity = "backup-%08x-%08d" % (SEED, number)
    entries = [(at_s or time.time(), {"module_id": "m%04d" % ((number * 7 + i) % modules), "event": "response",
                                      "duration_ms": 1 + (number * 31 + i * 17) % 3000, "instance_id": "i%d" % (i % 3),
                                      "memory_bytes": 1000000 + i, "correlation_id": "c-%d-%d" % (number, i)})
               for i in range(events)]
    return sender.forward("mod", entries, identity), identity


class Load:
    """Senders that count, per module, what they have sent and what was acked."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()
        self.sent, self.acked = {}, {}
        self.sent_events = self.acked_events = 0
        self.waits_s = []
        self.failures = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        try:
            with sender.Connection(self.address) as connection:
                serial = 0
                while not self.stopping.is_set():
                    serial += 1
                    data, identity = big_chunk(number * 1000000 + serial, 50)
                    names = ["m%04d" % (((number * 1000000 + serial) * 7 + i) % MODULES) for i in range(50)]
                    with self.lock:
                        self.count(self.sent, names)
                        self.sent_events += 50
                    begin = time.monotonic()
                    connection.send(data)
                    assert connection.read_ack() == identity
                    with self.lock:
                        self.waits_s.append(time.monotonic() - begin)
                        self.count(self.acked, names)
                        self.acked_events += 50
        except BaseException as error:  # told by the main thread
            self.failures.append(error)

    @staticmethod
    def count(into, names):
        for name in names:
            into[name] = into.get(name, 0) + 1

    def now(self, what):
        with self.lock:
            return dict(getattr(self, what)), getattr(self, what + "_events")

    def p99_ms(self, seconds):
        """Of the acks in the next so many seconds."""
        with self.lock:
            self.waits_s.clear()
        time.sleep(seconds)
        return self.p99_so_far_ms()

    def p99_so_far_ms(self):
        with self.lock:
            waits = sorted(self.waits_s)
            self.waits_s.clear()
        return waits[int(len(waits) * 0.99)] * 1000 if waits else float("nan")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(patience(30))
        if self.failures:
            raise self.failures[0]


class Case(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-test-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.home, name)

    def filled_daemon(self, chunks, settings=None):
        daemon = Daemon(dict({"aggregation.interval_s": 1, "aggregation.grace_s": 0}, **(settings or {})))
        self.addCleanup(daemon.close)
        with sender.Connection(daemon.forward) as connection:
            for number in range(chunks):
                data, identity = big_chunk(number, 1000, modules=4000, at_s=time.time() - random.Random(number).random() * 60)
                connection.send(data)
                self.assertEqual(connection.read_ack(), identity)
        return daemon


class Backup(Case):
    def test_i13_a_backup_under_full_ingest_holds_what_was_acked_and_nothing_that_was_not_sent(self):
        daemon = self.filled_daemon(20)
        before = daemon.ledger()["stored"]
        load = Load(daemon.forward)
        quiet_ms = load.p99_ms(2)
        acked, acked_events = load.now("acked")
        load.p99_so_far_ms()
        done = tool("backup", self.path("copy"), "--data-dir", daemon.data_dir, "--json")
        busy_ms = load.p99_so_far_ms()
        sent, sent_events = load.now("sent")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        beside = tool("verify", "--data-dir", daemon.data_dir)
        self.assertEqual(beside.returncode, 0, beside.stdout + beside.stderr)
        load.stop()
        print("backup of %.1f MiB in %.2f s: ack p99 %.1f ms, without %.1f ms"
              % (told["bytes"] / 2**20, told["seconds"], busy_ms, quiet_ms), flush=True)
        names = sorted(set(sent) | set(acked))
        full = {name: daemon.module(name)["total_requests"] for name in names}
        daemon.stop()

        done = tool("restore", self.path("copy"), "--data-dir", self.path("restored"))
        self.assertEqual(done.returncode, 0, done.stderr)
        report = verify(self.path("restored"))
        self.assertTrue(report["sound"] and report["whole"], report)
        self.assertEqual(report["ledger"]["stored"], told["stored"])
        daemon.data_dir = self.path("restored")
        daemon.start()
        books = daemon.assert_books(self)
        self.assertEqual(books["stored"], told["stored"], "the restored daemon has the manifest's books")
        self.assertGreaterEqual(books["stored"], before + acked_events)
        self.assertLessEqual(books["stored"], before + sent_events)
        for name in names:
            base = full[name] - load.acked.get(name, 0)
            total = daemon.module(name)["total_requests"] - base
            self.assertGreaterEqual(total, acked.get(name, 0), name + ": acked before the backup began")
            self.assertLessEqual(total, sent.get(name, 0), name + ": sent before it ended")
        daemon.stop()
        self.assertTrue(verify(self.path("restored"))["sound"])

    def test_what_is_sent_again_to_a_restored_store_counts_once(self):
        daemon = self.filled_daemon(3)
        data, identity = big_chunk(77, 100)
        sender.deliver(daemon.forward, data, identity)
        self.assertEqual(tool("backup", self.path("copy"), "--data-dir", daemon.data_dir).returncode, 0)
        stored = daemon.ledger()["stored"]
        daemon.stop()
        self.assertEqual(tool("restore", self.path("copy"), "--data-dir", self.path("restored")).returncode, 0)
        daemon.data_dir = self.path("restored")
        daemon.start()
        sender.deliver(daemon.forward, data, identity)
        books = daemon.assert_books(self)
        self.assertEqual((books["stored"], books["duplicate"]), (stored, 100))

    def test_a_flipped_bit_in_a_backup_is_named_and_not_restored(self):
        daemon = self.filled_daemon(3)
        self.assertEqual(tool("backup", self.path("copy"), "--data-dir", daemon.data_dir).returncode, 0)
        data = self.path("copy/tidemark.mdb")
        with open(data, "r+b") as file:
            file.seek(os.path.getsize(data) // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 4]))
        done = tool("restore", self.path("copy"), "--data-dir", self.path("restored"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse(os.path.exists(self.path("restored")))
        self.assertRegex(done.stderr, "damaged|checksum")


class Killed(Case):
    """kill -9 at random moments: the source is never harmed, no half result has a final name, the next run finishes."""

    def setUp(self):
        super().setUp()
        daemon = self.filled_daemon(25 if not sanitized_once() else 8)
        time.sleep(1.2)
        daemon.stop()
        self.source = daemon.data_dir
        self.digest = self.content(self.source)

    def content(self, directory):
        report = verify(directory)
        self.assertTrue(report.get("sound") and report.get("whole"), report)
        return report["tables"], report["ledger"]

    def kill_within(self, words, longest_s, rng):
        process = start_process([tidemark(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        time.sleep(rng.random() * longest_s)  # any moment of its life
        process.kill()
        process.communicate()
        return process.returncode

    def timed(self, *words):
        begin = time.monotonic()
        done = tool(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return time.monotonic() - begin

    def campaign(self, words, undo, check):
        rng = random.Random(SEED)
        longest_s = self.timed(*words)
        check(True)
        undo()
        killed = 0
        for _ in range(KILLS):
            killed += self.kill_within(words, longest_s * 1.05, rng) == -9
            self.assertEqual(self.content(self.source), self.digest, "the source is as it was")
            if check(False):
                undo()
        if not check(False):
            self.timed(*words)
        check(True)
        print("%s: %d of %d killed within %.2f s" % (words[0], killed, KILLS, longest_s), flush=True)

    def final(self, directory, must):
        """Whether the final name is there; if so, it is whole."""
        if not os.path.exists(directory):
            self.assertFalse(must, directory)
            return False
        self.assertEqual(self.content(directory), self.digest)
        return True

    def test_kill9_inside_backup(self):
        copy = self.path("copy")

        def check(must):
            there = self.final(copy, must)
            if there:
                with open(os.path.join(copy, "manifest.json")) as file:
                    self.assertEqual(json.load(file)["bytes"], os.path.getsize(os.path.join(copy, "tidemark.mdb")))
            return there

        self.campaign(["backup", copy, "--data-dir", self.source], lambda: shutil.rmtree(copy), check)
        self.assertEqual(sorted(os.listdir(self.home)), ["copy"], "nothing else is left")

    def test_kill9_inside_restore(self):
        copy, restored = self.path("copy"), self.path("restored")
        self.timed("backup", copy, "--data-dir", self.source)
        self.campaign(["restore", copy, "--data-dir", restored], lambda: shutil.rmtree(restored),
                      lambda must: self.final(restored, must))
        self.assertEqual(self.content(copy), self.digest)

    def test_kill9_inside_compact(self):
        self.campaign(["compact", "--data-dir", self.source], lambda: None, lambda must: self.final(self.source, must))
        self.timed("compact", "--data-dir", self.source)
        self.assertFalse(os.path.exists(os.path.join(self.source, "compact.partial")))

    def test_ctrl_c_leaves_nothing(self):
        process = start_process([tidemark(), "backup", self.path("copy"), "--data-dir", self.source, "--rate-mib", "1"],
                                stderr=subprocess.PIPE, text=True, env=environment())
        while not os.path.exists(self.path("copy.partial/tidemark.mdb")):
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(2)
        _, said = process.communicate(timeout=patience(20))
        self.assertEqual(process.returncode, 1)
        self.assertIn("stopped; nothing was left behind", said)
        self.assertEqual(os.listdir(self.home), [])

    def test_compact_makes_it_smaller_and_a_daemon_goes_on_with_it(self):
        before = os.path.getsize(os.path.join(self.source, "tidemark.mdb"))
        done = tool("compact", "--data-dir", self.source, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(told["before_bytes"], before)
        self.assertEqual(told["after_bytes"], os.path.getsize(os.path.join(self.source, "tidemark.mdb")))
        self.assertLess(told["after_bytes"], before)
        daemon = Daemon({"aggregation.interval_s": 1}, start=False)
        self.addCleanup(daemon.close)
        daemon.data_dir = self.source
        daemon.start()
        data, identity = big_chunk(99, 10)
        sender.deliver(daemon.forward, data, identity)
        daemon.assert_books(self)
        daemon.stop()
        self.assertTrue(verify(self.source)["sound"])


class FirstTime(Case):
    """Every command as a new user would try it: a sentence that says what to do, and the right exit code."""

    def expect(self, status, text, *words, **keywords):
        done = tool(*words, **keywords)
        self.assertEqual(done.returncode, status, "%s: %s" % (words, done.stderr))
        self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("tidemark: " + words[0]), done.stderr)

    def test_without_and_with_wrong_words(self):
        self.expect(2, "name the directory that it shall make", "backup")
        self.expect(2, "name the backup to restore", "restore")
        self.expect(2, "one word too many", "backup", "a", "b")
        self.expect(2, "one word too many", "compact", "a")
        self.expect(2, "did you mean '--data-dir'", "verify", "--datadir", "x")
        self.expect(2, "rate-mib", "backup", "a", "--rate-mib", "fast")
        self.expect(2, "not both", "verify", "a", "--data-dir", "b")
        for name in ("backup", "restore", "verify", "compact"):
            done = tool(name, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertIn("Exit:", done.stdout)

    def test_without_a_store(self):
        for words in (["verify"], ["backup", self.path("x")], ["compact"]):
            self.expect(1, "--data-dir", *words, cwd=self.home)
        self.expect(1, "No such file or directory", "restore", self.path("nothing"), cwd=self.home)
        os.mkdir(self.path("empty"))
        self.expect(1, "holds no store", "restore", self.path("empty"), cwd=self.home)
        self.expect(1, "holds no store", "verify", self.path("empty"))
        self.assertEqual(os.listdir(self.home), ["empty"])
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_beside_a_daemon(self):
        daemon = self.filled_daemon(1)
        self.assertEqual(tool("verify", "--data-dir", daemon.data_dir).returncode, 0)
        self.assertEqual(tool("backup", self.path("copy"), "--data-dir", daemon.data_dir).returncode, 0)
        self.expect(69, "process %d" % daemon.pid, "compact", "--data-dir", daemon.data_dir)
        self.expect(69, "process %d" % daemon.pid, "restore", self.path("copy"), "--data-dir", daemon.data_dir)
        self.expect(1, "is there already", "backup", self.path("copy"), "--data-dir", daemon.data_dir)
        self.expect(1, "never overwrites", "restore", self.path("copy"), "--data-dir", self.path("copy"))
        daemon.assert_books(self)
        with open(self.path("copy/manifest.json"), "w") as file:
            file.write("{")
        self.expect(1, "manifest.json:1", "restore", self.path("copy"), "--data-dir", self.path("r"))
        os.unlink(self.path("copy/manifest.json"))
        done = tool("restore", self.path("copy"), "--data-dir", self.path("r"))
        self.assertEqual(done.returncode, 0)
        self.assertIn("no manifest.json", done.stderr)

    def test_on_a_full_and_on_a_read_only_disk(self):
        daemon = self.filled_daemon(10)
        daemon.stop()
        disk = self.path("disk")
        os.mkdir(disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest("no tmpfs can be mounted here: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        with open(os.path.join(disk, "ballast"), "wb") as file:
            file.write(b"\0" * (2 << 20))
        self.expect(74, "No space left on device", "backup", os.path.join(disk, "copy"), "--data-dir", daemon.data_dir)
        self.assertEqual(os.listdir(disk), ["ballast"], "without a trace")
        self.assertEqual(tool("backup", self.path("copy"), "--data-dir", daemon.data_dir).returncode, 0)
        self.expect(74, "No space left on device", "restore", self.path("copy"), "--data-dir", os.path.join(disk, "r"))
        self.assertEqual(os.listdir(disk), ["ballast"], "without a trace")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        self.assertEqual(tool("restore", self.path("copy"), "--data-dir", os.path.join(disk, "r")).returncode, 0)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        self.expect(74, "Read-only file system", "backup", os.path.join(disk, "copy"), "--data-dir", daemon.data_dir)
        self.expect(74, "Read-only file system", "restore", self.path("copy"), "--data-dir", os.path.join(disk, "q"))
        self.expect(74, "Read-only file system", "compact", "--data-dir", os.path.join(disk, "r"))
        self.assertEqual(tool("verify", os.path.join(disk, "r")).returncode, 0, "reading takes no right to write")
        self.assertEqual(tool("backup", self.path("again"), "--data-dir", os.path.join(disk, "r")).returncode, 0)
        self.assertTrue(verify(daemon.data_dir)["sound"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
