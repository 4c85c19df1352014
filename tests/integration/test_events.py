#!/usr/bin/python3
"""How events count: kinds, outcomes, gauges, times, odd shapes, acks and chunk ids, as the answers of the real binary
show it."""
import os
import sys
import datetime
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Case, moment
from daemon import patience, wait_for


class Events(Case):
    settings = {"aggregation.interval_s": 5, "aggregation.lateness_s": 3600, "aggregation.future_s": 60}

    def test_in_flight_is_plain_requests_without_responses(self):
        self.send([{"module_id": "fly", "event": "request"}] * 5 + self.operations("fly", 2))
        metrics = self.daemon.module("fly")
        self.assertEqual((metrics["in_flight"], metrics["total_requests"]), (3, 2))
        self.send(self.operations("fly", 9))
        self.assertEqual(self.daemon.module("fly")["in_flight"], 0)

    def test_a_request_with_a_duration_or_an_outcome_is_an_operation(self):
        self.send([{"module_id": "ops", "event": "request", "duration_ms": 1},
                   {"module_id": "ops", "event": "request", "success": False},
                   {"module_id": "ops", "event": "request", "status": 503},
                   {"module_id": "ops", "event": "request"},
                   {"module_id": "ops", "event": "response"}])
        metrics = self.daemon.module("ops")
        self.assertEqual((metrics["total_requests"], metrics["failed_requests"], metrics["latency_samples"]), (4, 2, 1))

    def test_an_error_raises_errors_and_not_the_failed_requests(self):
        self.send([{"module_id": "err", "event": "error", "error": "first"},
                   {"module_id": "err", "event": "response", "error": "second", "duration_ms": 3},
                   {"module_id": "err", "event": "response", "error": ""},
                   {"module_id": "err", "event": "response", "error": None}])
        metrics = self.daemon.module("err")
        self.assertEqual((metrics["errors"], metrics["total_requests"], metrics["failed_requests"]), (2, 3, 1))

    def test_the_last_error_is_kept(self):
        now = time.time()
        self.send([(now - 2, {"module_id": "last", "event": "error", "error": "older"}),
                   (now - 1, {"module_id": "last", "event": "error", "error": "newer " + "x" * 400}),
                   (now - 3, {"module_id": "last", "event": "error", "error": "oldest"})])
        said = self.daemon.module("last")["last_error"]
        text = said["message"] if isinstance(said, dict) else said
        self.assertTrue(text.startswith("newer xxx"), said)
        self.assertLessEqual(len(text.encode()), 256)

    def test_the_default_event_kind(self):
        self.send([{"module_id": "kind", "duration_ms": 4}, {"module_id": "kind", "success": True},
                   {"module_id": "kind", "error": "e"}, {"module_id": "kind", "x": 1},
                   {"module_id": "kind", "event": "waltz", "duration_ms": 9}])
        metrics = self.daemon.module("kind")
        self.assertEqual((metrics["total_requests"], metrics["errors"]), (2, 1))

    def test_every_kind_is_taken(self):
        kinds = "start stop health request response error performance config metric debug".split()
        before = self.daemon.ledger()
        self.send([{"module_id": "kinds", "event": kind} for kind in kinds])
        after = self.daemon.assert_books(self)
        self.assertEqual(after["stored"] - before["stored"], len(kinds))
        self.assertEqual(after["rejected"], before["rejected"])

    def test_restarts_are_counted(self):
        self.send([{"module_id": "boot", "event": "start"}])
        first = self.daemon.module("boot")["restarts"]
        now = time.time()
        self.send([(now + 0.1, {"module_id": "boot", "event": "start"}), (now + 0.2, {"module_id": "boot", "event": "start"})])
        self.assertEqual(self.daemon.module("boot")["restarts"], first + 2)

    def test_gauges_of_instances_are_gathered(self):
        now = time.time()
        base = {"module_id": "gauge", "event": "performance"}
        self.send([(now - 1, dict(base, instance_id="a", memory_bytes=100, cpu_percent=10, goroutines=5, db_connections=1)),
                   (now - 1, dict(base, instance_id="b", memory_bytes=200, cpu_percent=30, goroutines=6, db_connections=2))])
        metrics = self.daemon.module("gauge")
        self.assertEqual((metrics["memory_usage_bytes"], metrics["goroutines"], metrics["database_connections"]), (300, 11, 3))
        self.assertAlmostEqual(metrics["cpu_usage_percent"], 20)
        self.send([(now, dict(base, instance_id="a", memory_bytes=50))])  # the newest value of a, that of b stays
        self.assertEqual(self.daemon.module("gauge")["memory_usage_bytes"], 250)
        self.send([(now - 2, dict(base, instance_id="a", memory_bytes=7000))])  # older: no longer the last
        self.assertEqual(self.daemon.module("gauge")["memory_usage_bytes"], 250)
        self.assertEqual(self.daemon.module("gauge")["total_requests"], 0)

    def test_numbers_may_arrive_as_strings(self):
        self.send([{"module_id": "text", "event": "response", "duration_ms": "12.5", "status": "503",
                    "memory_bytes": "1024"}])
        metrics = self.daemon.module("text")
        self.assertEqual((metrics["average_response_time_ms"], metrics["failed_requests"], metrics["memory_usage_bytes"]),
                         (12.5, 1, 1024))

    def test_the_module_comes_from_the_tag_when_the_record_has_none(self):
        sender.deliver(self.daemon.forward, sender.message("app.web.checkout", time.time(), {"duration_ms": 1}, "from-tag-01"),
                       "from-tag-01")
        self.assertEqual(self.daemon.module("checkout")["total_requests"], 1)

    def test_late_early_and_timeless_events(self):
        now = time.time()
        books = self.daemon.ledger()
        self.send([(now - 7200, {"module_id": "time", "event": "response"})])  # older than lateness_s
        after = self.daemon.assert_books(self)
        self.assertEqual((after["late"] - books["late"], after["stored"] - books["stored"]), (1, 0))
        self.send([(now - 1800, {"module_id": "time", "event": "response"})])  # late, in its own interval
        points = self.daemon.history("time")
        self.assertEqual(len(points), 1)
        self.assertEqual(moment(points[0]["interval_start"]), (now - 1800) // 5 * 5)
        self.assertEqual(self.daemon.module("time")["window_requests"], 0)
        self.send([(now + 3000, {"module_id": "time", "event": "response"})])  # too far ahead: now, and counted
        self.assertEqual(self.daemon.ledger()["skewed"] - books["skewed"], 1)
        self.assertEqual(self.daemon.module("time")["window_requests"], 1)
        self.send([(now + 30, {"module_id": "time", "event": "response"})])  # a little ahead: believed
        self.assertEqual(self.daemon.ledger()["skewed"] - books["skewed"], 1)
        # time 0 and nil: arrival
        data = b"".join((sender.pack(["t", 0, {"module_id": "time", "event": "response"}]),
                         sender.pack(["t", None, {"module_id": "time", "event": "response"}]),
                         sender.pack({"module_id": "time", "event": "response"}),
                         sender.pack({"module_id": "time", "event": "response", "timestamp": now * 1000}),
                         sender.pack({"module_id": "time", "event": "response", "timestamp": int(now)}),
                         sender.pack({"module_id": "time", "event": "response", "timestamp":
                                      datetime.datetime.fromtimestamp(now, datetime.timezone.utc).isoformat()})))
        with sender.Connection(self.daemon.forward) as peer:
            peer.send(data)
            wait_for(lambda: self.daemon.ledger()["received"] - books["received"] == 10, patience(5), "six more events")
        self.daemon.assert_books(self)
        self.assertEqual(self.daemon.ledger()["stored"] - books["stored"], 9)
        self.assertEqual(self.daemon.module("time", window="20s")["window_requests"], 8)

    def test_an_event_without_a_chunk_is_committed_within_a_second(self):
        with sender.Connection(self.daemon.forward) as peer:
            began = time.monotonic()
            peer.send(sender.message("mod.prompt", time.time(), {"event": "response"}))
            wait_for(lambda: self.rest.get("/api/v3/metrics/module", module_id="prompt").status == 200, patience(5),
                     "an event in no chunk")
            self.assertLess(time.monotonic() - began, patience(1.0))

    def test_odd_shapes_that_clients_really_send(self):
        now = time.time()
        record = {"module_id": "odd", "event": "response"}
        books = self.daemon.ledger()
        requests = [sender.pack(["t", sender.event_time(now), record]),
                    sender.pack(["t", sender.event_time(now), record, {}]),
                    sender.pack(["t", sender.event_time(now), record, None]),
                    sender.pack(["t", sender.event_time(now), record, {"chunk": None}]),
                    sender.pack(["t", now, record]),
                    sender.pack(["t", [[sender.event_time(now), record]]]),
                    sender.pack(["t", [[[sender.event_time(now), {}], record]]]),
                    sender.pack(["t", [[int(now), record]], None]),
                    sender.pack(["t", [[int(now), record]], {}, "extra"]),
                    sender.pack([b"t", sender.entry(now, record)]),
                    sender.packed("t", sender.entry(now, record), None, {"compressed": "text", "size": 99}),
                    sender.packed("t", sender.entry(now, record), None, None, as_str=True),
                    sender.pack(["t", [], {}]), sender.pack(["t", b"", {}]), b"\xc0"]
        with sender.Connection(self.daemon.forward) as peer:
            peer.send(b"".join(requests))
            peer.send(sender.message("t", now, record, "odd-end-00000001"))
            self.assertEqual(peer.read_ack(), "odd-end-00000001", "the only ack, after all of them")
        wait_for(lambda: self.daemon.ledger()["stored"] - books["stored"] == 13, patience(5),
                 lambda: "13 stored, not %d" % (self.daemon.ledger()["stored"] - books["stored"]))
        self.assertEqual(self.daemon.assert_books(self)["rejected"], books["rejected"])

    def test_acks_come_in_the_order_of_the_chunks(self):
        now = time.time()
        chunks = ["order-%08d" % i for i in range(500)]
        with sender.Connection(self.daemon.forward) as peer:
            peer.send(b"".join(sender.message("t", now, {"module_id": "order", "event": "response"}, chunk)
                               for chunk in chunks))
            self.assertEqual([peer.read_ack() for _ in chunks], chunks)
        self.assertEqual(self.daemon.module("order")["total_requests"], 500)

    def test_a_chunk_is_echoed_as_it_came(self):
        now = time.time()
        record = {"module_id": "echo", "event": "response"}
        for chunk in (b"binary\x00\xff chunk", 12345678901, "newline==\n", "", "x" * 600):
            with sender.Connection(self.daemon.forward) as peer:
                peer.send(sender.pack(["t", sender.event_time(now), record, {"chunk": chunk}]))
                wanted = sender.ack_bytes(chunk)
                self.assertEqual(peer.read_exactly(len(wanted)), wanted)

    def test_same_chunk_id_with_other_bytes_is_another_chunk(self):
        # Debian's Go client repeats its ids over processes: the payload tells them apart.
        for i in range(3):
            sender.deliver(self.daemon.forward, sender.message("t", time.time(), {"module_id": "reused", "duration_ms": i},
                                                               "reused-id-000001"), "reused-id-000001")
        self.assertEqual(self.daemon.module("reused")["total_requests"], 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
