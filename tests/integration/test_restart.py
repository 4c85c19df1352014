#!/usr/bin/python3
"""Restarts: in mid-interval and after it, politely and by kill -9: no gap, no reset, no double in /history and in the
counters. And the lock: one daemon per directory, one interval per store."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, StartError, patience, wait_for

INTERVAL_S = 5


def unix_s(rfc3339):
    import datetime
    return datetime.datetime.fromisoformat(rfc3339.replace("Z", "+00:00")).timestamp()


class Restart(unittest.TestCase):
    def daemon(self, **settings):
        chosen = {"aggregation.interval_s": INTERVAL_S, "aggregation.grace_s": 0}
        chosen.update({key.replace("__", "."): value for key, value in settings.items()})
        daemon = Daemon(chosen)
        self.addCleanup(daemon.close)
        self.serial = 0
        return daemon

    def send(self, daemon, count, at_s=None, module="shop", duration_ms=10):
        self.serial += 1
        chunk = "restart-%08d" % self.serial
        record = {"module_id": module, "event": "response", "duration_ms": duration_ms, "success": True}
        entries = [(at_s or time.time(), record)] * count
        sender.deliver(daemon.forward, sender.forward("mod." + module, entries, chunk), chunk)

    @staticmethod
    def fresh_interval(room_s):
        """Waits until there are at least room_s seconds left in the current interval; returns its start."""
        wait_for(lambda: INTERVAL_S - time.time() % INTERVAL_S >= room_s, INTERVAL_S + 1, "a fresh interval")
        return int(time.time()) // INTERVAL_S * INTERVAL_S

    def points(self, daemon, module="shop"):
        return {unix_s(point["interval_start"]): point for point in daemon.history(module, **{"from": "-5m"})}

    def in_mid_interval(self, how):
        daemon = self.daemon()
        start = self.fresh_interval(3.5)
        self.send(daemon, 30, start + 0.1)
        before = daemon.module("shop")
        history = self.points(daemon)
        daemon.restart(how)
        self.assertEqual(self.points(daemon), history, "the open interval is as it was")
        after = daemon.module("shop")
        for name in ("total_requests", "successful_requests", "failed_requests", "window_requests", "first_seen",
                     "last_updated", "p95_response_time_ms", "latency_samples"):
            self.assertEqual(after[name], before[name], name)
        self.send(daemon, 12, start + 0.2)
        points = self.points(daemon)
        self.assertEqual(set(points), {start}, "the same interval goes on")
        self.assertEqual(points[start]["requests"], 42)
        self.assertEqual(daemon.module("shop")["total_requests"], 42)
        self.assertEqual(daemon.ledger()["stored"], 42)
        # and it is sealed like any other: the point is complete, and says the same after one more restart
        wait_for(lambda: self.points(daemon)[start]["complete"], patience(INTERVAL_S + 5), "the interval to be finished")
        sealed = self.points(daemon)
        self.assertEqual(sealed[start]["requests"], 42)
        self.assertFalse(sealed[start]["corrected"])
        daemon.restart(how)
        self.assertEqual(self.points(daemon), sealed)
        self.assertEqual(daemon.module("shop")["total_requests"], 42)
        daemon.assert_books(self)
        daemon.stop()

    def test_polite_in_mid_interval_continues_it(self):
        self.in_mid_interval("stop")

    def test_kill_in_mid_interval_continues_it(self):
        self.in_mid_interval("kill")

    def later_than_the_end(self, how):
        daemon = self.daemon(aggregation__interval_s=1)
        now = int(time.time())
        self.send(daemon, 7, now + 0.01)
        if how == "stop":
            daemon.stop()
        else:
            daemon.kill()
        wait_for(lambda: time.time() > now + 2.5, 5, "the interval to pass while no daemon runs")
        daemon.start()
        wait_for(lambda: self.points(daemon)[now]["complete"], patience(5), "the interval to be finished")
        self.assertEqual(self.points(daemon)[now]["requests"], 7)
        self.assertEqual(len(self.points(daemon)), 1)
        # what comes for it now is a correction
        self.send(daemon, 2, now + 0.5)
        point = self.points(daemon)[now]
        self.assertEqual((point["requests"], point["corrected"], point["complete"]), (9, True, True))
        daemon.restart(how)
        self.assertEqual(self.points(daemon)[now], point)
        self.assertEqual(daemon.module("shop")["total_requests"], 9)
        daemon.stop()

    def test_a_restart_after_the_end_seals_the_interval(self):
        self.later_than_the_end("stop")

    def test_a_kill_and_a_start_after_the_end_seal_the_interval(self):
        self.later_than_the_end("kill")

    def test_ten_restarts_under_way_lose_and_double_nothing(self):
        daemon = self.daemon(aggregation__interval_s=1)
        began = int(time.time())
        for turn in range(10):
            self.send(daemon, 5, duration_ms=turn + 1)
            self.send(daemon, 1, time.time() - 30, duration_ms=1000)
            total = daemon.module("shop")["total_requests"]
            self.assertEqual(total, 6 * (turn + 1))
            daemon.restart("kill" if turn % 2 else "stop")
            self.assertEqual(daemon.module("shop")["total_requests"], total)
        points = daemon.history("shop", **{"from": str(began - 60)})
        self.assertEqual(sum(point["requests"] for point in points), 60)
        fleet = daemon.history(**{"from": str(began - 60)})
        self.assertEqual([point["requests"] for point in fleet], [point["requests"] for point in points])
        metrics = daemon.module("shop", window="10m")
        self.assertEqual(metrics["average_response_time_ms"], (5 * 55 + 10 * 1000) / 60)
        daemon.stop()

    def test_identities_outlive_restarts(self):
        daemon = self.daemon()
        data = sender.message("mod.shop", time.time(), {"event": "response"}, "identity-00000001")
        for turn in range(4):
            sender.deliver(daemon.forward, data, "identity-00000001")
            self.assertEqual(daemon.module("shop")["total_requests"], 1)
            self.assertEqual(daemon.ledger()["duplicate"], turn)
            daemon.restart("kill" if turn % 2 else "stop")
        daemon.stop()

    def test_a_second_daemon_on_the_directory_exits_69_and_names_the_first(self):
        daemon = self.daemon()
        second = Daemon(start=False)
        self.addCleanup(second.close)
        second.data_dir = daemon.data_dir
        with self.assertRaises(StartError) as caught:
            second.start()
        self.assertEqual(caught.exception.status, 69)
        self.assertIn(str(daemon.pid), caught.exception.log)
        self.send(daemon, 1)  # the first does not mind
        daemon.stop()

    def test_a_store_keeps_its_interval(self):
        daemon = self.daemon()
        self.send(daemon, 3)
        daemon.stop()
        daemon.settings["aggregation.interval_s"] = 10
        with self.assertRaises(StartError) as caught:
            daemon.start()
        self.assertIn(caught.exception.status, (1, 78))
        self.assertIn("interval", caught.exception.log)
        self.assertIn("10", caught.exception.log)
        daemon.settings["aggregation.interval_s"] = INTERVAL_S
        daemon.start()
        self.assertEqual(daemon.module("shop")["total_requests"], 3)
        daemon.stop()

    def test_the_directory_is_private(self):
        daemon = self.daemon()
        self.assertEqual(os.stat(daemon.data_dir).st_mode & 0o777, 0o700)
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
