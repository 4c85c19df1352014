#!/usr/bin/python3
"""sampling.modules on the real binary: the share, the weights, the books, a resend, and strict errors."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, StartError

EVENTS = 20000


class Sampling(unittest.TestCase):
    def test_a_share_is_kept_and_the_books_say_so(self):
        daemon = Daemon({"sampling.modules": '{"busy.one": 1, "busy*": 0.1}'})
        self.addCleanup(daemon.close)
        now = time.time()
        for module in ("busy.one", "busy.two", "calm"):
            chunk = "sampling-" + module
            entries = [(now, {"module_id": module, "event": "response", "duration_ms": 10, "success": True})] * EVENTS
            data = sender.forward("mod.x", entries, chunk)
            before = daemon.ledger()
            sender.deliver(daemon.forward, data, chunk)
            after = daemon.assert_books(self)
            stored, sampled = (after[key] - before[key] for key in ("stored", "sampled"))
            self.assertEqual(stored + sampled, EVENTS)
            if module == "busy.two":
                self.assertAlmostEqual(stored, 0.1 * EVENTS, delta=0.02 * EVENTS)
                self.assertEqual(daemon.module(module)["total_requests"], 10 * stored)
            else:
                self.assertEqual(sampled, 0)
                self.assertEqual(daemon.module(module)["total_requests"], EVENTS)
            sender.deliver(daemon.forward, data, chunk)  # a duplicate as a whole
            again = daemon.assert_books(self)
            self.assertEqual((again["stored"], again["sampled"]), (after["stored"], after["sampled"]))
            self.assertEqual(again["duplicate"] - after["duplicate"], EVENTS)
        books = daemon.ledger()
        daemon.restart("kill")
        self.assertEqual(daemon.ledger()["sampled"], books["sampled"])
        daemon.stop()

    def test_a_share_of_nothing_is_refused(self):
        for share in ("0", "2", '"much"'):
            daemon = Daemon({"sampling.modules": '{"a": %s}' % share}, start=False)
            self.addCleanup(daemon.close)
            with self.assertRaises(StartError) as caught:
                daemon.start()
            self.assertEqual(caught.exception.status, 78)
            self.assertIn("sampling.modules.a: expected a share", caught.exception.log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
