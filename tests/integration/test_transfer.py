#!/usr/bin/python3
"""Export and import, on the real binaries: everything a store keeps comes out as text and makes the same store again, in both
forms, beside a daemon and without; a second import adds nothing; what was killed is run again; what is no export is
refused with its line."""
import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, environment, patience, sanitized_once, seed, tidemark, wait_for

SEED = seed()
KEPT_FOR_EVER = {"retention.raw_s": 0, "retention.five_min_s": 0, "retention.hour_s": 0, "retention.day_s": 0}


def tool(*words, strace=(), **keywords):
    env = environment({"ASAN_OPTIONS": "detect_leaks=0"} if strace else None)
    return subprocess.run([*strace, tidemark(), *words], capture_output=True, text=True, env=env, timeout=patience(120),
                          **keywords)


def rows(path):
    """The rows of an export that tell of history, as a set of texts; what differs by nature is left out: the store, which
    operation was the slowest, and whether an interval is open or was corrected."""
    kept = set()
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if row["kind"] in ("record", "lifetime") and row.get("module"):
                row.pop("slowest", None)
                row.pop("flags", None)
                kept.add(json.dumps(row, sort_keys=True))
    return kept


class Transfer(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-test-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.random = random.Random(SEED)

    def path(self, name):
        return os.path.join(self.home, name)

    def expect(self, code, said, *words, **keywords):
        done = tool(*words, **keywords)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(said, done.stdout + done.stderr)
        return done

    def export(self, store, name, *words):
        path = self.path(name)
        done = tool("export", store, "--output", path, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def same(self, got, expected, what=None):
        """Sets of rows are equal; some that are not are told."""
        if got != expected:
            self.fail("%s: %d rows too many, such as %s; %d missing, such as %s"
                      % (what, len(got - expected), sorted(got - expected)[:2], len(expected - got),
                         sorted(expected - got)[:2]))

    def sound(self, store):
        done = tool("verify", store)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def entries(self, now):
        """Events of all kinds, over some hours."""
        any_of, entries = self.random, []
        for i in range(3000):
            record = {"module_id": any_of.choice(["shop", "a, \"quoted\" one", "Zähler", "m%d" % (i % 7)]),
                      "event": any_of.choice(["response", "response", "request", "error", "performance", "start", "stop",
                                              "health", "metric", "config", "debug"])}
            if any_of.random() < 0.7:
                record.update(duration_ms=round(any_of.lognormvariate(3, 2), 3), success=any_of.random() < 0.9,
                              correlation_id="c-%d" % i)
            if any_of.random() < 0.3:
                record.update(memory_bytes=any_of.randrange(1 << 40), cpu_percent=any_of.random() * 100,
                              instance_id="i%d" % any_of.randrange(4), goroutines=i, db_connections=0)
            if record["event"] == "error":
                record["error"] = "bad \"thing\", line\n%d" % i
            if record["event"] == "health":
                record["healthy"] = any_of.random() < 0.5
            if record["event"] == "metric":
                record.update(name="depth, %d" % (i % 3), value=any_of.uniform(-1e12, 1e12))
            if i % 50 == 0:
                record["sample_rate"] = 0.1
            entries.append((now - any_of.randrange(6 * 3600), record))
        return entries

    def full_daemon(self):
        daemon = Daemon(dict(KEPT_FOR_EVER, **{"aggregation.interval_s": 10, "aggregation.grace_s": 0}))
        self.addCleanup(daemon.close)
        entries = self.entries(time.time())
        for i in range(0, len(entries), 500):
            chunk = "transfer-%06d" % i
            sender.deliver(daemon.forward, sender.forward("mod", entries[i:i + 500], chunk), chunk)
        return daemon

    def answers(self, daemon, end):
        found = {}
        for module in [None] + [row["module_id"] for row in daemon.rest.json("/api/v3/metrics/modules")["modules"]]:
            for step in ("10s", "5m", "1h"):
                points = daemon.history(module, **{"from": end - 8 * 3600, "to": end, "step": step, "quantiles": "0.5,0.999"})
                for point in points:
                    point.pop("complete", None)
                    point.pop("corrected", None)
                found[module, step] = points
            if module:
                one = daemon.module(module)
                found[module] = {name: one[name] for name in ("total_requests", "failed_requests", "errors", "restarts",
                                                              "first_seen", "last_updated", "last_error")}
        return found

    def test_what_is_exported_beside_a_daemon_makes_the_same_store_again_in_both_forms(self):
        daemon = self.full_daemon()
        end = int(time.time()) // 3600 * 3600 + 7200
        before = self.answers(daemon, end)
        first = self.export(daemon.data_dir, "first")
        table = self.export(daemon.data_dir, "table", "--format", "csv")
        self.assertGreater(len(rows(first)), 500)
        for name, source in (("one", first), ("two", table)):
            store = self.path(name)
            told = json.loads(self.expect(0, "", "import", source, "--data-dir", store, "--json").stdout)
            self.assertEqual((told["present"], told["differ"]), (0, 0))
            self.sound(store)
            self.same(rows(self.export(store, name + ".again")), rows(first), name)
            size = os.path.getsize(os.path.join(store, "tidemark.mdb"))
            with open(source) as file:  # from standard input, too
                again = json.loads(self.expect(0, "", "import", "--data-dir", store, "--json", stdin=file).stdout)
            self.assertEqual((again["added"], again["present"], again["lifetimes_added"]), (0, told["added"], 0))
            self.assertEqual(os.path.getsize(os.path.join(store, "tidemark.mdb")), size)
            other = Daemon(daemon.settings, start=False)
            self.addCleanup(other.close)
            other.data_dir = store
            other.start()
            self.assertEqual(self.answers(other, end), before)
            other.stop()

    def test_history_that_only_coarser_tiers_keep_and_what_is_kept_no_more(self):
        store = self.path("store")
        done = tool("bench", "storage", "--store", store, "--modules", "1", "--days", "5", "--keep", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        short = {"retention.raw_s": 2 * 86400, "retention.five_min_s": 3 * 86400, "retention.hour_s": 9 * 86400}
        daemon = Daemon(short, start=False)
        self.addCleanup(daemon.close)
        daemon.data_dir = store
        daemon.start()

        def intervals():
            path = self.export(store, "look")
            with open(path) as file:
                count = sum('"tier":"raw"' in line for line in file)
            os.unlink(path)
            return count

        wait_for(lambda: intervals() < 2.5 * 2880, patience(120), lambda: "old intervals to go: %d" % intervals())
        daemon.stop()
        first = self.export(store, "first")
        kept = [json.loads(row) for row in rows(first)]
        tiers = {row["tier"] for row in kept if row["kind"] == "record"}
        self.assertGreaterEqual(tiers, {"raw", "5m", "1h"})
        lives = [row for row in kept if row["kind"] == "lifetime"]
        copy = self.path("copy")
        self.expect(0, "", "import", first, "--data-dir", copy)
        self.sound(copy)
        # coarse records stand as one interval of their own in the copy
        own = {(row["module"], row["start"]): row for row in kept if row["kind"] == "record"}
        for row in map(json.loads, rows(self.export(copy, "second"))):
            if row["kind"] == "lifetime":
                self.assertIn(row, lives)
            else:
                then = dict(own.pop((row["module"], row["start"])), tier=row["tier"])
                self.assertEqual(row, then)
        self.assertFalse(own)
        self.assertIn('"added":0,', self.expect(0, "", "import", first, "--data-dir", copy, "--json").stdout)
        totals = {}
        for directory in (store, copy):
            daemon.data_dir, daemon.settings = directory, dict(KEPT_FOR_EVER)
            daemon.start()
            names = [row["module_id"] for row in daemon.rest.json("/api/v3/metrics/modules")["modules"]]
            totals[directory] = {name: daemon.module(name)["total_requests"] for name in names}
            daemon.stop()
        self.assertEqual(totals[store], totals[copy])

    def test_modules_and_ranges_can_be_chosen_and_a_late_import_lands_in_folded_hours(self):
        daemon = self.full_daemon()
        daemon.stop()
        now = time.time()
        whole = rows(self.export(daemon.data_dir, "whole"))
        some = rows(self.export(daemon.data_dir, "some", "--module", "m*"))
        self.same(some, {row for row in whole if json.loads(row)["module"].startswith("m")})
        middle = int(now - 3 * 3600) // 10 * 10
        old, new = (self.export(daemon.data_dir, name, *words) for name, words in
                    (("old", ("--to", str(middle))), ("new", ("--from", str(middle)))))
        records = {row for row in whole if json.loads(row)["kind"] == "record"}
        self.same(rows(old) | rows(new), records)
        self.assertFalse(rows(old) & rows(new))
        store = self.path("store")
        for part in (new, old, new):  # the older half comes late, for hours that are folded by then
            self.expect(0, "", "import", part, "--data-dir", store)
            self.sound(store)
        again = {row for row in rows(self.export(store, "again")) if json.loads(row)["kind"] == "record"}
        self.same(again, records)
        # a record that differs is told, and left out
        with open(new) as file, open(self.path("changed"), "w") as changed:
            changed.write(re.sub(r'"requests":(\d+)', lambda match: '"requests":%d' % (int(match[1]) + 1), file.read()))
        self.expect(1, "differ from what the store has", "import", self.path("changed"), "--data-dir", store)
        self.same({row for row in rows(self.export(store, "third")) if json.loads(row)["kind"] == "record"}, records)

    def test_an_import_that_is_killed_is_run_again(self):
        daemon = self.full_daemon()
        daemon.stop()
        source = self.export(daemon.data_dir, "source")
        expected = rows(source)
        try:
            subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest("strace is not here: %s" % error)
        trace = ["strace", "-f", "-qq", "-o", self.path("trace"), "-e", "trace=pwrite64,writev,fdatasync"]
        self.expect(0, "", "import", source, "--data-dir", self.path("whole"), strace=trace)
        calls, seen = [], {}
        with open(self.path("trace")) as file:
            for name in re.findall(r"^[0-9]+ +([a-z0-9_]+)\(", file.read(), re.MULTILINE):
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, seen[name]))
        kills = 50 if os.environ.get("TIDE_LONG") else 3 if sanitized_once() else 8
        killed = 0
        for call, number in self.random.sample(calls, min(kills, len(calls))):
            store = self.path("killed")
            inject = ["strace", "-f", "-qq", "-o", self.path("trace"), "-e", "trace=" + call,
                      "-e", "inject=%s:signal=KILL:when=%d" % (call, number)]
            killed += tool("import", source, "--data-dir", store, strace=inject).returncode != 0
            self.expect(0, "", "import", source, "--data-dir", store)
            self.sound(store)
            self.same(rows(self.export(store, "again")), expected, "killed before %s %d" % (call, number))
            os.unlink(self.path("again"))
            shutil.rmtree(store)
        self.assertGreater(killed, kills // 3)  # not all: slices are of time, so runs differ by some calls

    def test_what_is_no_export_is_refused_with_its_line(self):
        about = {"format": "tidemark export", "version": 1, "interval_s": 10, "instance_seed": "0" * 15 + "1"}
        first = json.dumps({"kind": "store", "about": about}) + "\n"
        record = {"kind": "record", "module": "m", "tier": "raw", "start": "2026-01-01T00:00:00Z", "events": {"response": 1},
                  "first_us": 1767225600000000, "last_us": 1767225600000000, "requests": 1, "sum_us": 5, "min_us": 5,
                  "max_us": 5, "histogram": [[75, 1]]}
        end = json.dumps({"kind": "end", "about": {"records": 1}}) + "\n"
        store = self.path("store")

        def refuse(said, text):
            with open(self.path("in"), "w") as file:
                file.write(text)
            done = self.expect(1, said, "import", self.path("in"), "--data-dir", store)
            self.assertNotIn("added", done.stdout)

        refuse("it is empty", "")
        refuse("neither JSON nor the heads", "requests,fail\n")
        refuse("it is empty", "requests,failed\n")
        refuse("neither JSON nor the heads", "hello\n")
        refuse(":1: column", "{oops\n")
        refuse("tells nothing of a store", json.dumps(record) + "\n")
        refuse("version 2 of this form", json.dumps({"kind": "store", "about": dict(about, version=2)}) + "\n")
        refuse("not the first line", json.dumps({"kind": "store", "about": dict(about, interval_s=7)}) + "\n")
        refuse("cut short", first + json.dumps(record) + "\n")
        refuse("lines are missing", first + end)
        for said, change in (("tier", {"tier": "2m"}), ("start", {"start": "2026-01-01T00:00:01Z"}), ("start", {"start": "x"}),
                             ("module", {"module": "a\nb"}), ("module", {"module": ""}), ("module", {"module": "x" * 129}),
                             ("events", {"events": {}}), ("events", {"events": {"respond": 1}}), ("failed", {"failed": 2}),
                             ("first_us", {"first_us": 1767225611000000}), ("last_us", {"last_us": 1}),
                             ("requests", {"requests": -1}), ("requests", {"requests": 1.5}), ("max_us", {"max_us": 4}),
                             ("histogram", {"histogram": [[1281, 1]]}), ("histogram", {"histogram": [[75, 2]]}),
                             ("histogram", {"histogram": [[75, 0]]}), ("histogram", {"histogram": 5}),
                             ("instances", {"instances": [{"id": "12"}]}),
                             ("instances", {"instances": [{"id": "0" * 16, "cpu_percent": [1, 1, 1, 1, 1]}]}),
                             ("slowest", {"slowest": {"us": 6, "id": "a"}}),
                             ("custom", {"custom": [["n", 1, 1767225600000000, 1, 3, 2, "4"]]}),
                             ("kind", {"kind": "rec"})):
            refuse(":2: ", first + json.dumps(dict(record, **change)) + "\n" + end)
            refuse(said, first + json.dumps(dict(record, **change)) + "\n" + end)
        with open(self.path("good"), "w") as file:
            file.write(first + json.dumps(dict(record, module="fresh")) + "\n" + end)
        self.expect(0, "1 records added", "import", self.path("good"), "--data-dir", store)
        self.sound(store)
        with open(self.path("in"), "w") as file:
            file.write(first.replace('"interval_s": 10', '"interval_s": 30') + end)
        self.expect(78, "aggregation.interval_s 10", "import", self.path("in"), "--data-dir", store)
        with open(os.path.join(store, "lock"), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.expect(69, "stop the daemon first", "import", self.path("good"), "--data-dir", store)
        self.expect(74, "No such file", "import", self.path("nothing"), "--data-dir", store)
        self.expect(1, "holds no store", "export", self.home)
        self.expect(1, "name the store's directory", "export", "--format", "csv")
        self.expect(2, "not both", "export", store, "--data-dir", store)
        self.expect(2, "expected a time", "export", store, "--from", "yesterday")
        self.expect(74, "is there already", "export", store, "--output", self.path("good"))
        self.expect(74, "No such file", "export", store, "--output", self.path("no/where"))
        with open("/dev/full", "w") as full:
            done = subprocess.run([tidemark(), "export", store], stdout=full, stderr=subprocess.PIPE, text=True,
                                  env=environment(), timeout=patience(60))
        self.assertEqual(done.returncode, 74)
        self.assertIn("No space left on device", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
