#!/usr/bin/python3
"""Exactly once, across kill -9: four senders that want acks and resend the same bytes until they get them, while the
daemon is killed at random moments, also in the middle of its start. Intervals are one second long with no grace, so that
commits, seals, corrections and replays meet in all combinations.

While it runs, every answer lies between what had been acked before the question and what had been sent when it came,
and no counter goes back. At the end every total equals what was acked, exactly. TIDE_ROUNDS sets the number of kills.
"""
import collections
import os
import random
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, patience, sanitized_once, seed

SEED = seed()
ROUNDS = int(os.environ.get("TIDE_ROUNDS") or (30 if sanitized_once() else 100))
SENDERS = 4
MODULES = ["alpha", "beta", "gamma", "delta"]
WIDE = 250
LATENESS_S = 3600


class Tally:
    """What the daemon must know of one module."""

    def __init__(self):
        self.requests = self.failed = self.errors = self.sum_us = 0
        self.min_us = None
        self.max_us = None

    def add(self, other):
        self.requests += other.requests
        self.failed += other.failed
        self.errors += other.errors
        self.sum_us += other.sum_us
        for name, pick in (("min_us", min), ("max_us", max)):
            values = [v for v in (getattr(self, name), getattr(other, name)) if v is not None]
            setattr(self, name, pick(values) if values else None)

    def operation(self, duration_us, ok):
        one = Tally()
        one.requests, one.failed, one.sum_us = 1, 0 if ok else 1, duration_us
        one.min_us = one.max_us = duration_us
        self.add(one)


class Books:
    """Totals over chunks."""

    def __init__(self):
        self.modules = collections.defaultdict(Tally)
        self.stored = self.late = self.skewed = self.chunks = 0

    def add(self, other):
        for name, tally in other.modules.items():
            self.modules[name].add(tally)
        self.stored += other.stored
        self.late += other.late
        self.skewed += other.skewed
        self.chunks += other.chunks


class Load:
    """Four senders and what they have sent and been acked so far."""

    def __init__(self, address):
        self.lock = threading.Lock()
        self.sent = Books()
        self.acked = Books()
        self.stopping = threading.Event()
        self.failures = []
        self.resends = 0
        self.address = address
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        stubborn = sender.StubbornSender(self.address, "127.0.0.%d" % (10 + number), give_up_s=patience(60))
        try:
            rng = random.Random(SEED * 1000 + number)
            serial = 0
            while not self.stopping.is_set():
                serial += 1
                data, chunk, books = self.any_chunk(rng, number, serial)
                with self.lock:
                    self.sent.add(books)
                stubborn.deliver(data, chunk)
                with self.lock:
                    self.acked.add(books)
        except BaseException as error:  # told by the main thread
            self.failures.append(error)
        finally:
            stubborn.close()
            with self.lock:
                self.resends += stubborn.resends

    @staticmethod
    def any_chunk(rng, number, serial):
        now = time.time()
        books = Books()
        books.chunks = 1
        chunk = "kill9-%08x-%d-%08d" % (SEED, number, serial)
        entries = []
        wide = rng.random() < 0.1  # many modules: the journal fills, so that checkpoints and cuts are killed, too
        for _ in range(400 if wide else 1 if rng.random() < 0.2 else rng.randint(2, 40)):
            module = "own-%d" % number if rng.random() < 0.2 else rng.choice(MODULES)
            if wide:
                module = "wide-%03d" % rng.randrange(WIDE)
            at = now
            age = rng.random()
            late = skewed = False
            if age < 0.03:
                at = now - rng.uniform(2, 60)  # finished long ago: a correction
            elif age < 0.04:
                at = now - LATENESS_S * 2
                late = True
            elif age < 0.05:
                at = now + 7200
                skewed = True
            record = {"module_id": module}
            effect = Tally()
            if rng.random() < 0.05:
                record.update(event="error", error="broken %d" % serial)
                effect.errors = 1
            else:
                duration_ms = rng.randint(1, 5000)
                ok = rng.random() < 0.9
                record.update(event="response", duration_ms=duration_ms, success=ok,
                              correlation_id="%s-%d" % (chunk, len(entries)))
                effect.operation(duration_ms * 1000, ok)
            if rng.random() < 0.2:
                record.update(memory_bytes=rng.randint(1, 1 << 30), instance_id="i%d" % rng.randint(0, 3))
            entries.append((at, record))
            if late:
                books.late += 1
            else:
                books.stored += 1
                books.skewed += skewed
                books.modules[module].add(effect)
        if len(entries) == 1:
            data = sender.message("kill9", entries[0][0], entries[0][1], chunk)
        elif rng.random() < 0.5:
            data = sender.forward("kill9", entries, chunk, {"size": len(entries)})
        else:
            data = sender.packed("kill9", b"".join(sender.entry(*one) for one in entries), chunk)
        return data, chunk, books

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(patience(90))
            assert not thread.is_alive(), "a sender hangs"
        if self.failures:
            raise self.failures[0]


class Kill9(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon({"aggregation.interval_s": 1, "aggregation.grace_s": 0,
                              "aggregation.lateness_s": LATENESS_S, "aggregation.future_s": 60})
        self.addCleanup(self.daemon.close)
        self.where = self.daemon.forward
        self.seen = {}

    def never_back(self, name, value):
        self.assertGreaterEqual(value, self.seen.get(name, 0), "%s went back" % name)
        self.seen[name] = value

    def poll(self, load, rng):
        """One question; its answer is bounded by what was acked before and sent after."""
        module = rng.choice(MODULES)
        with load.lock:
            floor = load.acked.modules[module].requests, load.acked.stored + load.acked.late
        answer = self.daemon.rest.get("/api/v3/metrics/module", module_id=module)
        if answer.status == 404:
            requests = failed = 0
        else:
            self.assertEqual(answer.status, 200, answer.body)
            metrics = answer.json()["metrics"]
            requests, failed = metrics["total_requests"], metrics["failed_requests"]
        books = self.daemon.assert_books(self)
        with load.lock:
            ceiling = load.sent.modules[module].requests, load.sent.stored + load.sent.late
        self.assertGreaterEqual(requests, floor[0], "%s: less than was acked" % module)
        self.assertLessEqual(requests, ceiling[0], "%s: more than was sent" % module)
        counted = books["stored"] + books["late"]
        self.assertGreaterEqual(counted, floor[1], "the ledger has less than was acked")
        self.assertLessEqual(counted, ceiling[1], "the ledger has more than was sent")
        self.never_back(module + " requests", requests)
        self.never_back(module + " failed", failed)
        for part in ("received", "stored", "late", "duplicate"):
            self.never_back("ledger " + part, books[part])
        self.never_back("chunks", books["chunks"]["committed"])
        self.never_back("duplicate chunks", books["chunks"]["duplicate"])

    def assert_totals(self, acked):
        books = self.daemon.assert_books(self)
        self.assertEqual(books["stored"], acked.stored)
        self.assertEqual(books["late"], acked.late)
        self.assertEqual(books["skewed"], acked.skewed)
        self.assertEqual(books["rejected"], 0)
        self.assertEqual(books["sampled"], 0)
        self.assertEqual(books["chunks"]["committed"], acked.chunks)
        since = {"from": str(int(self.started) - 120), "to": str(int(time.time()) + 2)}
        fleet = Tally()
        text = self.daemon.rest.get("/api/v3/metrics/prometheus").text()
        sums = {module: float(value) for module, value in
                re.findall(r'^tidemark_request_duration_seconds_sum{module="([^"]+)"} (\S+)$', text, re.M)}
        for name, want in acked.modules.items():
            fleet.add(want)
            metrics = self.daemon.module(name)
            self.assertEqual(metrics["total_requests"], want.requests, name)
            self.assertEqual(metrics["failed_requests"], want.failed, name)
            self.assertEqual(metrics["successful_requests"], want.requests - want.failed, name)
            self.assertEqual(metrics["errors"], want.errors, name)
            window = self.daemon.module(name, window="2h")
            self.assertEqual(window["window_requests"], want.requests, name)
            self.assertEqual(window["latency_samples"], want.requests, name)
            self.assertEqual(round(sums[name] * 1e6), want.sum_us, name)
            self.assertAlmostEqual(window["average_response_time_ms"], want.sum_us / 1000 / want.requests, delta=0.000501,
                                   msg=name)
            self.assertEqual(window["min_response_time_ms"] * 1000, want.min_us, name)
            self.assertEqual(window["max_response_time_ms"] * 1000, want.max_us, name)
            self.assert_points(self.daemon.history(name, **since), want, name)
        points = self.daemon.history(**since)
        self.assert_points(points, fleet, "the fleet")
        self.assertEqual(self.daemon.rest.json("/api/v3/metrics/summary")["metrics"]["total_requests"],
                         fleet.requests)
        return points

    def assert_points(self, points, want, name):
        starts = [point["interval_start"] for point in points]
        self.assertEqual(starts, sorted(set(starts)), "%s: points out of order or twice" % name)
        self.assertEqual(sum(point["requests"] for point in points), want.requests, name)
        self.assertEqual(sum(point["failed"] for point in points), want.failed, name)
        self.assertEqual(sum(point["errors"] for point in points), want.errors, name)
        total_ms = sum(point["average_response_time_ms"] * point["requests"] for point in points if point["requests"])
        # each point's mean is rounded to a microsecond
        self.assertAlmostEqual(total_ms, want.sum_us / 1000, delta=0.000501 * want.requests, msg=name)

    def test_every_total_equals_what_was_acked_after_any_number_of_kills(self):
        rng = random.Random(SEED)
        self.started = time.time()
        load = Load(lambda: self.where)
        try:
            for _ in range(ROUNDS):
                end = time.monotonic() + rng.choice((rng.uniform(0, 0.05), rng.uniform(0, 0.5), rng.uniform(0.3, 1.2)))
                while time.monotonic() < end:
                    self.poll(load, rng)
                    time.sleep(min(0.03, max(0, end - time.monotonic())))
                self.where = None
                self.daemon.kill()
                while rng.random() < 0.2:  # killed again while it starts
                    self.daemon.spawn()
                    time.sleep(rng.uniform(0, 0.03))
                    self.daemon.kill()
                self.daemon.start()
                self.where = self.daemon.forward
                self.poll(load, rng)
                if load.failures:
                    break
        except BaseException:
            load.stopping.set()  # its threads are left to themselves: there may be no server any more
            raise
        load.stop()
        with load.lock:
            acked = load.acked
            self.assertEqual(acked.chunks, load.sent.chunks, "every sender ends with its last chunk acked")
        print("%d kills, %d starts, %d chunks, %d events stored, %d late, %d resends"
              % (ROUNDS, self.daemon.starts, acked.chunks, acked.stored, acked.late, load.resends), flush=True)
        self.assert_totals(acked)
        self.daemon.restart("kill")
        self.assert_totals(acked)
        self.daemon.restart("stop")
        points = self.assert_totals(acked)
        if acked.chunks > 1000:
            self.assertTrue(any(point["corrected"] for point in points), "no event came after its interval")
        self.daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
