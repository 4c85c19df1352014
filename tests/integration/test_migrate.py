#!/usr/bin/python3
"""A store of schema 1, made by the program of that day, is migrated and answers as it did; killed at any write of the
migration the source is unharmed and the rerun finishes with the same result; and what cannot be migrated is refused with
a sentence that says what to do.

The number of kills is 50, a few under sanitizers; with TIDE_LONG=1 every write of the migration."""
import fcntl
import hashlib
import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, StartError, environment, patience, sanitized_once, seed, source_dir, tidemark

SEED = seed()
LONG = bool(os.environ.get("TIDE_LONG"))
GOLDEN = os.path.join(source_dir(), "tests", "golden", "store")
CALLS = "pwrite64,pwritev,writev,write,fdatasync,fsync,rename,renameat2,mkdir,openat"
KEPT_FOR_EVER = {"aggregation.interval_s": 10, "aggregation.lateness_s": 2**31, "dedup.window_s": 2**31,
                 "retention.raw_s": 0, "retention.five_min_s": 0, "retention.hour_s": 0, "retention.day_s": 0}


def golden(name):
    with open(os.path.join(GOLDEN, name), "rb") as file:
        return lzma.decompress(file.read())


def tool(*words, strace=(), env=None):
    return subprocess.run([*strace, tidemark(), *words], capture_output=True, text=True, env=environment(env),
                          timeout=patience(120))


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def with_number(store, number):
    """The bytes of a store whose schema says something else, with a right checksum."""
    found = [match.start() for match in re.finditer(b"identity\x00\x00\x00\x01", store)]
    assert found
    changed = bytearray(store)
    for at in found:
        changed[at + 8:at + 12] = number.to_bytes(4, "big")
        changed[at + 48:at + 52] = crc32c(bytes(changed[at:at + 48])).to_bytes(4, "big")
    return bytes(changed)


class Migrate(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-test-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.old = golden("v1.mdb.xz")

    def path(self, name):
        return os.path.join(self.home, name)

    def store(self, name, content=None):
        path = self.path(name)
        os.mkdir(path, 0o700)
        with open(os.path.join(path, "tidemark.mdb"), "wb") as file:
            file.write(content or self.old)
        return path

    @staticmethod
    def read(*parts):
        with open(os.path.join(*parts), "rb") as file:
            return file.read()

    def expect(self, code, said, *words):
        done = tool(*words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(said, done.stdout + done.stderr)
        return done

    def verify(self, path):
        report = json.loads(tool("verify", path, "--json").stdout)
        self.assertTrue(report["sound"], report)
        return report

    def content(self, path):
        """One number for all that is in a store."""
        copy = path + ".copy"
        done = tool("backup", copy, "--data-dir", path, "--rate-mib", "0", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        shutil.rmtree(copy)
        return json.loads(done.stdout)["sha256"]

    # -- what it is for --

    def answers_as_before(self, daemon, expected):
        for module, steps in expected["history"].items():
            for step, points in steps.items():
                got = daemon.history(module or None, **{"from": expected["from"], "to": expected["to"], "step": step})
                self.assertEqual(len(got), len(points), "%s %s" % (module, step))
                for now, then in zip(got, points):
                    for field, value in then.items():
                        if field != "complete":  # what was open is finished by now
                            self.assertEqual(now[field], value, "%s %s %s: %s" % (module, step, then["interval_start"], field))
        for module, then in expected["modules"].items():
            now = daemon.module(module)
            for field in ("total_requests", "successful_requests", "failed_requests", "errors", "restarts", "first_seen",
                          "last_updated", "last_error"):
                self.assertEqual(now[field], then[field], "%s: %s" % (module, field))

    def test_a_store_of_schema_1_answers_every_question_as_it_did(self):
        expected = json.loads(golden("v1.json.xz"))
        daemon = Daemon(KEPT_FOR_EVER, start=False)
        self.addCleanup(daemon.close)
        os.mkdir(daemon.data_dir, 0o700)
        with open(os.path.join(daemon.data_dir, "tidemark.mdb"), "wb") as file:
            file.write(self.old)
        with self.assertRaises(StartError) as refused:
            daemon.start()
        self.assertEqual(refused.exception.status, 1)
        self.assertIn("has schema 1, of an older tidemark; 'tidemark migrate'", refused.exception.log)
        done = tool("migrate", "--data-dir", daemon.data_dir, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["migrated"], told["from"], told["to"]), (True, 1, 2))
        self.assertGreater(told["changed"], 30)
        daemon.start()
        self.answers_as_before(daemon, expected)
        books = daemon.assert_books(self)
        for name in ("received", "stored", "late", "duplicate", "sampled", "rejected"):
            self.assertEqual(books[name], expected["ledger"][name], name)
        for chunk, data in expected["chunks"]:  # what was acked then is known now
            sender.deliver(daemon.forward, bytes.fromhex(data), chunk)
        after = daemon.assert_books(self)
        self.assertEqual(after["stored"], books["stored"])
        self.assertGreater(after["duplicate"], books["duplicate"])
        daemon.settings["storage.fold_after_s"] = 0
        daemon.restart()
        self.answers_as_before(daemon, expected)
        daemon.stop()
        self.verify(daemon.data_dir)

    def test_a_daemon_that_is_told_to_migrates_at_its_start(self):
        daemon = Daemon(dict(KEPT_FOR_EVER, **{"storage.migrate": "true"}), start=False)
        self.addCleanup(daemon.close)
        daemon.start()  # nothing there: nothing to migrate
        daemon.stop()
        shutil.rmtree(daemon.data_dir)
        os.mkdir(daemon.data_dir, 0o700)
        with open(os.path.join(daemon.data_dir, "tidemark.mdb"), "wb") as file:
            file.write(self.old)
        daemon.start()
        self.assertEqual(daemon.module("checkout")["total_requests"], 270)
        self.assertIn("went from schema 1 to 2", daemon.log())
        self.assertEqual(self.read(daemon.data_dir + ".schema-1", "tidemark.mdb"), self.old)
        daemon.restart()

    # -- what can be asked before --

    def test_status_and_dry_run_change_nothing(self):
        path = self.store("s")
        told = json.loads(self.expect(1, "", "migrate", "--status", "--json", "--data-dir", path).stdout)
        self.assertEqual((told["schema"], told["program_schema"], told["under_way"]), (1, 2, False))
        self.assertEqual([step["to"] for step in told["steps"]], [2])
        self.expect(1, "to schema 2: ", "migrate", "--status", "--data-dir", path)
        self.expect(0, "44 values would change", "migrate", "--dry-run", "--data-dir", path)
        self.assertEqual(os.listdir(path), ["tidemark.mdb"])
        self.assertEqual(self.read(path, "tidemark.mdb"), self.old)
        self.assertEqual(os.listdir(self.home), ["s"])
        self.expect(0, "", "migrate", "--data-dir", path)
        self.expect(0, "nothing to do", "migrate", "--data-dir", path)
        self.expect(0, "nothing to do", "migrate", "--status", "--data-dir", path)
        self.expect(0, "nothing to do", "migrate", "--dry-run", "--data-dir", path)

    def test_what_cannot_be_migrated_is_refused_with_what_to_do(self):
        self.expect(2, "not both", "migrate", "--status", "--dry-run")
        self.expect(2, "one word too many", "migrate", "now")
        self.expect(1, "name the store's directory with --data-dir", "migrate")
        self.expect(1, "holds no store", "migrate", "--data-dir", self.home)
        newer = self.store("newer", with_number(self.old, 3))
        for words in (["migrate"], ["migrate", "--dry-run"]):
            self.expect(1, "schema 3, of a newer tidemark; this one knows 2 and older", *words, "--data-dir", newer)
        self.expect(1, "newer tidemark", "migrate", "--status", "--data-dir", newer)
        self.expect(1, "schema 3, made by a newer tidemark", "verify", newer)
        self.assertEqual(os.listdir(newer), ["tidemark.mdb"])
        path = self.store("held")
        with open(os.path.join(path, "lock"), "w") as lock:
            lock.write("process 4711\n")
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.expect(69, "stop the daemon first: " + path + " is in use by process 4711", "migrate", "--data-dir", path)
        os.mkdir(path + ".schema-1")
        self.expect(1, "is no copy of this store", "migrate", "--data-dir", path)
        self.expect(0, "", "migrate", "--data-dir", path, "--backup", self.path("elsewhere"))
        self.assertEqual(self.read(self.path("elsewhere"), "tidemark.mdb"), self.old)
        self.expect(1, "is itself a data directory", "restore", self.path("elsewhere"), "--data-dir", self.path("r"))

    def test_a_damaged_store_is_left_as_it_is(self):
        at = self.old.index(b"card declined 5")
        broken = bytearray(self.old)
        broken[at] ^= 1
        path = self.store("broken", bytes(broken))
        done = self.expect(1, "its checksum is wrong", "migrate", "--data-dir", path)
        self.assertIn("is damaged", done.stderr)
        self.assertEqual(self.read(path, "tidemark.mdb"), bytes(broken))
        self.assertFalse(os.path.exists(path + ".schema-1") or os.path.exists(path + ".schema-1.partial"))

    def test_on_a_full_and_on_a_read_only_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest("no tmpfs can be mounted here: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        path = self.store("disk/s")
        self.expect(74, "does not fit beside the store", "migrate", "--dry-run", "--data-dir", path)
        self.expect(74, "No space left on device", "migrate", "--data-dir", path)
        self.assertEqual(os.listdir(disk), ["s"])
        self.assertEqual(self.read(path, "tidemark.mdb"), self.old)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        self.expect(74, "Read-only file system", "migrate", "--data-dir", path, "--backup", self.path("b"))
        self.expect(1, "to do", "migrate", "--status", "--data-dir", path)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        # room for the copy elsewhere; the store itself cannot grow by much
        self.expect(0, "", "migrate", "--data-dir", path, "--backup", self.path("b"))
        self.verify(path)

    # -- killed --

    def killed_at(self, path, call, number):
        """Runs a migration that dies before its n-th call of a kind."""
        strace = ["strace", "-f", "-qq", "-o", self.path("trace"), "-e", "trace=" + call,
                  "-e", "inject=%s:signal=KILL:when=%d" % (call, number)]
        done = tool("migrate", "--data-dir", path, "--slice", "1", strace=strace, env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assertNotEqual(done.returncode, 0, "not killed: %s %d" % (call, number))

    def test_killed_at_any_write_the_source_is_unharmed_and_the_rerun_finishes(self):
        try:
            subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest("strace is not here: %s" % error)
        whole = self.store("whole")
        strace = ["strace", "-f", "-qq", "-o", self.path("trace"), "-e", "trace=" + CALLS]
        done = tool("migrate", "--data-dir", whole, "--slice", "1", strace=strace, env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assertEqual(done.returncode, 0, done.stderr)
        calls, seen = [], {}
        with open(self.path("trace")) as trace:
            for name in re.findall(r"^[0-9]+ +([a-z0-9_]+)\(", trace.read(), re.MULTILINE):
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, seen[name]))
        self.verify(whole)
        expected = self.content(whole)
        first = hashlib.sha256(self.old).digest()
        kills = len(calls) if LONG else min(len(calls), 10 if sanitized_once() else 50)
        under_way = 0
        for call in random.Random(SEED).sample(calls, kills):
            number = "%s %d" % call
            path = self.store("k%s-%d" % call)
            self.killed_at(path, *call)
            now = hashlib.sha256(self.read(path, "tidemark.mdb")).digest()
            backup = path + ".schema-1"
            if now != first:  # no change before the copy is whole
                self.assertEqual(hashlib.sha256(self.read(backup, "tidemark.mdb")).digest(), first, number)
            state = json.loads(tool("migrate", "--status", "--json", "--data-dir", path).stdout)
            if state["under_way"]:
                under_way += 1
                self.expect(1, "begun and is not finished", "verify", path)
            done = tool("migrate", "--data-dir", path)
            self.assertEqual(done.returncode, 0, "killed before %s: %s" % (number, done.stderr))
            self.assertEqual(hashlib.sha256(self.read(backup, "tidemark.mdb")).digest(), first, number)
            self.assertFalse(os.path.exists(backup + ".partial"), number)
            self.verify(path)
            self.assertEqual(self.content(path), expected, "killed before %s" % number)
            shutil.rmtree(path)
            shutil.rmtree(backup)
        print("%d kills at %d calls, %d of them in a migration under way" % (kills, len(calls), under_way), flush=True)
        self.assertGreater(under_way, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
