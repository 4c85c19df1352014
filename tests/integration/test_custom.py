#!/usr/bin/python3
"""Custom metrics on the real binary: over the window, across restarts of both kinds, after the interval is finished, by
a late correction, over more names than a record keeps, and bad ones."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import moment
from daemon import Daemon, patience, wait_for


class Custom(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon({"aggregation.interval_s": 1, "aggregation.grace_s": 0})
        self.addCleanup(self.daemon.close)
        self.serial = 0

    def send(self, *events, module="shop"):
        """events: (unix_s, name, value) or (unix_s, name, value, more)."""
        self.serial += 1
        chunk = "custom-%08d" % self.serial
        entries = [(at_s, dict({"module_id": module, "event": "metric", "name": name, "value": value}, **dict(*more)))
                   for at_s, name, value, *more in events]
        sender.deliver(self.daemon.forward, sender.forward("mod.custom", entries, chunk), chunk)

    def custom(self, module="shop", **params):
        return self.daemon.module(module, **params)["custom"]

    def finished(self, at_s):
        """Waits until the interval of at_s is finished."""
        start = int(at_s)
        wait_for(lambda: any(int(moment(point["interval_start"])) == start and point["complete"]
                             for point in self.daemon.history("shop", **{"from": str(start), "to": str(start + 1)})),
                 patience(10), "the interval to be finished")

    def test_figures_survive_the_seal_restarts_and_take_late_events(self):
        began = time.time()
        self.send((began, "queue_depth", 4), (began + 0.001, "queue_depth", -1.5), (began, "orders", "12.345678"))
        want = {"orders": {"count": 1, "sum": 12.345678, "min": 12.345678, "max": 12.345678, "last": 12.345678},
                "queue_depth": {"count": 2, "sum": 2.5, "min": -1.5, "max": 4, "last": -1.5}}
        self.assertEqual(self.custom(), want)
        self.daemon.restart("kill")  # out of the journal
        self.assertEqual(self.custom(), want)
        self.finished(began)  # out of the row
        self.assertEqual(self.custom(), want)
        self.send((began - 30, "queue_depth", 100), (began + 0.0005, "orders", 0.000001), (began, "late", 7))
        want = {"late": {"count": 1, "sum": 7, "min": 7, "max": 7, "last": 7},
                "orders": {"count": 2, "sum": 12.345679, "min": 0.000001, "max": 12.345678, "last": 0.000001},
                "queue_depth": {"count": 3, "sum": 102.5, "min": -1.5, "max": 100, "last": -1.5}}
        self.assertEqual(self.custom(), want)
        for how in ("stop", "kill"):
            self.daemon.restart(how)
            self.assertEqual(self.custom(), want)
        self.daemon.assert_books(self)
        self.daemon.stop()

    def test_they_cover_the_window_only(self):
        now = time.time()
        self.send((now - 120, "depth", 50), (now, "depth", 2))
        self.assertEqual(self.custom()["depth"]["count"], 2)
        self.assertEqual(self.custom(window="60s"), {"depth": {"count": 1, "sum": 2, "min": 2, "max": 2, "last": 2}})
        self.send((now - 120, "depth", 50), module="other")
        self.assertEqual(self.custom("other", window="60s"), {})
        self.daemon.stop()

    def test_a_sampled_one_counts_for_all(self):
        now = time.time()
        self.send((now, "depth", 2.5, {"sample_rate": 0.1}), (now, "depth", 1))
        self.assertEqual(self.custom(), {"depth": {"count": 11, "sum": 26, "min": 1, "max": 2.5, "last": 2.5}})
        self.daemon.stop()

    def test_sixty_four_names_and_the_rest(self):
        now = time.time()
        names = ["n%03d" % i for i in range(200)]
        for start in (100, 0):
            self.send(*((now, name, 1) for name in reversed(names[start:start + 100])))
        custom = self.custom()
        self.assertEqual(sorted(custom), ["__overflow__"] + names[:64])
        self.assertEqual(custom["__overflow__"]["count"], 136)
        self.daemon.restart("kill")
        self.assertEqual(self.custom(), custom)
        self.daemon.stop()

    def test_bad_ones_are_left_out_and_their_events_kept(self):
        now = time.time()
        before = self.daemon.ledger()
        self.send((now, "", 1), (now, "x" * 129, 1), (now, "a\tb", 1), (now, "n", 9e12), (now, "n", "many"), (now, 5, 5),
                  (now, "n", float("nan")), (now, None, 5), (now, "n", None), (now, "größe \"1\"", -8999999999999))
        after = self.daemon.assert_books(self)
        self.assertEqual((after["stored"] - before["stored"], after["rejected"]), (10, before["rejected"]))
        self.assertEqual(self.custom(), {"größe \"1\"": {"count": 1, "sum": -8999999999999, "min": -8999999999999,
                                                         "max": -8999999999999, "last": -8999999999999}})
        self.daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
