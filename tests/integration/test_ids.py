#!/usr/bin/python3
"""What a resend may look like: new chunk ids around the same event ids (as @fluent-org/logger does it), and structured chunk
ids of a producer. Each event counts once, across kill -9 and restarts; a structured id with another payload is refused."""
import json
import os
import random
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, environment, patience, seed, tidemark

SEED = seed()


class Ids(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.random = random.Random(SEED)
        self.serial = 0

    def deliver(self, entries, chunk=None, source=None):
        self.serial += 1
        chunk = chunk or "ids-%08d" % self.serial
        sender.deliver(self.daemon.forward, sender.forward("mod.ids", entries, chunk), chunk, source)

    def total(self, module):
        return self.daemon.module(module)["total_requests"]

    @staticmethod
    def event(module, event_id, duration_ms=5):
        record = {"module_id": module, "event": "response", "success": True, "duration_ms": duration_ms}
        return dict(record, event_id=event_id) if event_id else record

    def test_events_resent_under_new_chunk_ids_count_once(self):
        now = time.time()
        events = [(now, self.event("shop" if i % 2 else "cart", "e-%d" % (i // 2), 1 + i)) for i in range(400)]
        sent = 0
        for turn in range(12):
            batch = self.random.sample(events, 150) if turn < 10 else events
            sent += len(batch)
            self.deliver(batch, source="127.0.0.%d" % (1 + turn % 3))  # wherever the resend comes from
            if turn % 3 == 2:
                self.daemon.restart("kill" if turn % 2 else "stop")
        self.assertEqual((self.total("shop"), self.total("cart")), (200, 200))
        self.assertAlmostEqual(self.daemon.module("cart")["average_response_time_ms"], sum(range(1, 401, 2)) / 200)
        books = self.daemon.assert_books(self)
        self.assertEqual((books["received"], books["stored"], books["duplicate"]), (sent, 400, sent - 400))
        self.assertEqual((books["chunks"]["committed"], books["chunks"]["duplicate"]), (12, 0))

    def test_an_id_is_taken_by_what_is_stored_and_by_nothing_else(self):
        now = time.time()
        self.deliver([(now, dict(self.event("pay", "bad"), status="no number")),   # rejected: takes no id
                      (now - 400 * 3600, self.event("pay", "late")),               # late: takes no id
                      (now, self.event("pay", "twice")), (now, self.event("pay", "twice")),
                      (now, self.event("pay", None)), (now, self.event("pay", None))])
        self.assertEqual(self.total("pay"), 3)
        self.deliver([(now, self.event("pay", "bad")), (now, self.event("pay", "late")), (now, self.event("pay", "twice")),
                      (now, self.event("bank", "twice"))])  # an id is one of its module
        self.assertEqual((self.total("pay"), self.total("bank")), (5, 1))
        books = self.daemon.assert_books(self)
        self.assertEqual([books[name] for name in ("stored", "late", "duplicate", "rejected")], [6, 1, 2, 1])
        self.assertIn("tidemark_dedup_event_ids 4\n", self.daemon.rest.get("/api/v3/metrics/prometheus").text())

    def test_a_structured_id_is_judged_by_its_producer(self):
        now = time.time()
        producer = "00112233445566778899aabbccddeeff"
        events = [(now, self.event("wire", None))] * 3

        def chunk(seq, epoch=0):
            return "v1:%s:%d:%d" % (producer, epoch, seq)

        for seq in (0, 1, 2):
            self.deliver(events, chunk(seq))
        for how in ("stop", "kill"):
            self.daemon.restart(how)
            for seq in (1, 0, 2):
                self.deliver(events, chunk(seq), source="127.0.0.9")  # a producer may move
        self.assertEqual(self.total("wire"), 9)
        self.deliver(events[:1], chunk(1))  # another payload: acked, and refused
        books = self.daemon.assert_books(self)
        self.assertEqual((books["received"], books["stored"], books["duplicate"]), (27, 9, 18))
        self.assertEqual(books["chunks"]["rejected_by_reason"]["id_reuse"], 1)
        self.assertEqual((books["chunks"]["committed"], books["chunks"]["duplicate"]), (3, 6))
        shown = self.daemon.rest.json("/api/v3/ingest/rejected")["rejected"][0]
        self.assertEqual(shown["reason"], "id_reuse")
        self.assertIn(chunk(1), shown["excerpt"])
        self.deliver(events, chunk(0, epoch=1))  # a higher epoch is another input
        self.assertEqual(self.total("wire"), 12)
        self.deliver(events, chunk(3, epoch=0))  # a lower one is the past
        self.assertEqual(self.total("wire"), 12)
        self.deliver(events, "v1:%s:0:07" % producer)  # malformed: an ordinary id
        self.assertEqual(self.total("wire"), 15)
        self.daemon.restart("kill")
        self.assertEqual(self.daemon.assert_books(self)["chunks"]["rejected_by_reason"]["id_reuse"], 1)

    def tool_send(self, lines, *more):
        done = subprocess.run([tidemark(), "send", "--forward", "%s:%d" % self.daemon.forward, "--producer", "nightly",
                               "--chunk-events", "100"] + list(more), input=lines, capture_output=True, text=True,
                              timeout=patience(60), env=environment({"NO_COLOR": "1"}))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_rerun_of_send_with_a_producer_counts_once(self):
        def lines(count, duration_ms):
            return "".join(json.dumps({"module_id": "nightly", "event": "response", "success": True,
                                       "duration_ms": duration_ms}) + "\n" for _ in range(count))

        for how in ("stop", "kill", "stop"):
            self.tool_send(lines(1000, 3))
            self.assertEqual(self.total("nightly"), 1000)
            self.daemon.restart(how)
        self.tool_send(lines(1000, 4))  # other lines under the same ids
        books = self.daemon.assert_books(self)
        self.assertEqual(books["chunks"]["rejected_by_reason"]["id_reuse"], 10)
        self.assertEqual(self.total("nightly"), 1000)
        self.tool_send(lines(1000, 4), "--epoch", "1")
        self.assertEqual(self.total("nightly"), 2000)
        self.assertIn("tidemark_dedup_producers 1\n", self.daemon.rest.get("/api/v3/metrics/prometheus").text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
