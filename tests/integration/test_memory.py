#!/usr/bin/python3
"""Resident memory: at most 24 MiB idle, at most 300 MiB with ten thousand modules."""
import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, patience, sanitized, seed, skip_file, wait_for

IDLE_KIB = 24 * 1024
BUSY_KIB = 300 * 1024
MODULES = 10000
ROUNDS = 5


class Memory(unittest.TestCase):
    def settles_under(self, daemon, bound_kib, what):
        """After a second of quiet; freed memory may take a moment to go home."""
        quiet = time.monotonic() + 1.0
        wait_for(lambda: time.monotonic() > quiet and daemon.resident_kib() <= bound_kib, 10,
                 lambda: "%s: %.1f MiB <= %.0f MiB" % (what, daemon.resident_kib() / 1024, bound_kib / 1024))
        print("%s: %.1f MiB resident (bound %.0f)" % (what, daemon.resident_kib() / 1024, bound_kib / 1024), flush=True)

    def test_idle(self):
        with Daemon() as daemon:
            self.settles_under(daemon, IDLE_KIB, "idle")
            daemon.rest.json("/api/v3/metrics/summary")
            sender.deliver(daemon.forward, sender.message("mod.one", time.time(), {"duration_ms": 1}, "one-event"),
                           "one-event")
            self.settles_under(daemon, IDLE_KIB, "idle after one event")
            daemon.stop()

    def test_ten_thousand_modules(self):
        rng = random.Random(seed())
        with Daemon({"aggregation.interval_s": 5, "aggregation.grace_s": 0}) as daemon:
            with sender.Connection(daemon.forward) as peer:
                for turn in range(ROUNDS):
                    for first in range(0, MODULES, 1000):
                        entries = []
                        for i in range(first, first + 1000):
                            for instance in ("a", "b"):
                                entries.append((time.time(), {
                                    "module_id": "service-%05d" % i, "event": "response", "instance_id": instance,
                                    "success": rng.random() < 0.95, "duration_ms": rng.lognormvariate(3, 1),
                                    "memory_bytes": rng.randrange(1 << 32), "cpu_percent": rng.uniform(0, 100),
                                    "goroutines": rng.randrange(1000), "db_connections": rng.randrange(50),
                                    "correlation_id": "c-%d-%d" % (turn, i)}))
                        chunk = "memory-%d-%06d" % (turn, first)
                        peer.send(sender.packed("mod.fleet", b"".join(sender.entry(*one) for one in entries), chunk))
                        self.assertEqual(peer.read_ack(), chunk)
            self.assertEqual(daemon.rest.json("/api/v3/metrics/summary")["metrics"]["total_modules"], MODULES)
            self.assertEqual(daemon.rest.json("/api/v3/metrics/modules", limit=1)["count"], MODULES)
            self.assertEqual(daemon.ledger()["stored"], ROUNDS * MODULES * 2)
            # the answers that touch every module must not leave their memory behind
            daemon.rest.json("/api/v3/metrics/modules", limit=10000, sort="trouble")
            self.assertEqual(daemon.rest.get("/api/v3/metrics/prometheus").status, 200)
            self.settles_under(daemon, BUSY_KIB, "%d modules" % MODULES)
            wait_for(lambda: all(point["complete"] for point in daemon.history(step="5s")), patience(15),
                     "the intervals to be sealed")
            self.settles_under(daemon, BUSY_KIB, "%d modules, sealed" % MODULES)
            daemon.restart("kill")
            self.assertEqual(daemon.ledger()["stored"], ROUNDS * MODULES * 2)
            self.settles_under(daemon, BUSY_KIB, "%d modules, after a restart" % MODULES)
            daemon.stop()


if __name__ == "__main__":
    if sanitized():
        skip_file("a sanitizer build's memory says nothing about ours")
    unittest.main(verbosity=2)
