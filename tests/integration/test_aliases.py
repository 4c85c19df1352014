#!/usr/bin/python3
"""Records as other producers write them, over the socket, and what the answers then say: one operation of 250 ms each."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Case
from daemon import patience, wait_for

# producer, the record with NAME for the module, and what /metrics/module then has beside one operation of 250 ms
OPERATIONS = [
    ("ours", {"module_id": "NAME", "event": "response", "success": False, "duration_ms": 250, "error": "boom",
              "correlation_id": "c-1"}, {"failed_requests": 1, "last_error": "boom", "slowest": "c-1"}),
    ("ecs-flat", {"service.name": "NAME", "event.outcome": "failure", "event.duration": 250000000, "trace.id": "c-1",
                  "error.message": "boom", "log.level": "error", "host.name": "h-1", "http.response.status_code": 500},
     {"failed_requests": 1, "last_error": "boom", "slowest": "c-1"}),
    ("ecs-nested", {"service": {"name": "NAME"}, "event": {"outcome": "success", "duration": 250000000, "kind": "event"},
                    "trace": {"id": "c-1"}, "log": {"level": "info"}, "host": {"name": "h-1"},
                    "http": {"request": {"method": "GET"}, "response": {"status_code": 200}}},
     {"failed_requests": 0, "slowest": "c-1"}),
    ("otel", {"service.name": "NAME", "http.server.request.duration": 0.25, "http.response.status_code": 503,
              "trace_id": "c-1", "severity_number": 17, "severity_text": "ERROR", "error.type": "503"},
     {"failed_requests": 1, "last_error": "503", "slowest": "c-1"}),
    ("otel-nested", {"service": {"name": "NAME", "instance": {"id": "i-1"}}, "http": {"server": {"request": {"duration": 0.25}}},
                     "process": {"memory": {"usage": 4096}, "cpu": {"utilization": 0.5}, "thread": {"count": 9}},
                     "db": {"client": {"connection": {"count": 3}}}},
     {"failed_requests": 0, "memory_usage_bytes": 4096, "cpu_usage_percent": 50, "goroutines": 9, "database_connections": 3}),
    ("pino-http", {"level": 50, "time": 1700000000000, "pid": 1, "hostname": "h-1", "module": "NAME",
                   "req": {"id": "c-1", "method": "GET"}, "res": {"statusCode": 500}, "responseTime": 250,
                   "err": {"type": "Error", "message": "boom"}, "msg": "request errored"},
     {"failed_requests": 1, "last_error": "boom", "slowest": "c-1"}),
    ("docker", {"container_id": "c0ffee", "container_name": "/NAME", "source": "stdout", "log": "GET / 200 0.25",
                "duration_ms": "250", "status": "200"}, {"failed_requests": 0}),
    ("plain", {"module": "NAME", "type": "request", "duration_us": 250000, "statusCode": 404, "request_id": "c-1",
               "threads": 4}, {"failed_requests": 0, "slowest": "c-1", "goroutines": 4}),
    ("nanoseconds", {"module": "NAME", "event_type": "response", "duration_ns": "250000000"}, {"failed_requests": 0}),
]


def said(value, key):
    return value[key] if isinstance(value, dict) else value


class Aliases(Case):
    def check(self, module, wanted):
        metrics = self.daemon.module(module)
        self.assertEqual((metrics["total_requests"], metrics["latency_samples"]), (1, 1), module)
        self.assertAlmostEqual(metrics["average_response_time_ms"], 250, 3, module)
        for key, value in wanted.items():
            found = metrics[key]
            if key == "last_error":
                found = said(found, "message")
            elif key == "slowest":
                found = said(found, "correlation_id")
            self.assertEqual(found, value, "%s of %s" % (key, module))

    def test_each_producer_is_understood(self):
        before = self.daemon.ledger()
        for producer, record, wanted in OPERATIONS:
            module = "alias." + producer
            text = json.dumps(record).replace("NAME", module)
            with self.subTest(producer=producer):
                self.send([json.loads(text)])
                self.check(module, wanted)
        after = self.daemon.assert_books(self)
        self.assertEqual(after["stored"] - before["stored"], len(OPERATIONS))
        self.assertEqual(after["rejected"], before["rejected"])

    def test_and_as_json(self):
        for producer, record, wanted in OPERATIONS:
            module = "json." + producer
            text = json.dumps(["t", int(time.time()), record]).replace("NAME", module)
            with self.subTest(producer=producer), sender.Connection(self.daemon.forward) as peer:
                peer.send(text.encode())
                wait_for(lambda: self.rest.get("/api/v3/metrics/module", module_id=module).status == 200, patience(5), module)
                self.check(module, wanted)

    def test_events_of_other_kinds(self):
        now = time.time()
        self.send([{"module": "kinds", "event_type": "exception", "exception.message": "broken"},
                   {"module": "kinds", "err": {"message": "again"}},
                   {"module": "kinds", "type": "shutdown-notice", "duration_ms": 5},
                   (now - 1, {"module": "kinds", "event.name": "heartbeat", "health": "critical"}),
                   {"module": "well", "event": "health", "status_text": "healthy"},
                   {"module": "well", "duration": 17, "latency": "3"}])
        metrics = self.daemon.module("kinds")
        self.assertEqual((metrics["errors"], metrics["total_requests"], metrics["status"]), (2, 1, "critical"))
        metrics = self.daemon.module("well")
        self.assertEqual((metrics["latency_samples"], metrics["status"]), (0, "healthy"))
        text = self.rest.get("/api/v3/metrics/prometheus").text()
        self.assertIn("tidemark_ambiguous_durations_total 1\n", text)
        self.assertIn("tidemark_unknown_event_types_total 1\n", text)

    def test_the_time_of_a_bare_map_has_other_names(self):
        now = time.time() - 3600
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        with sender.Connection(self.daemon.forward) as peer:
            for key, value in (("@timestamp", stamp), ("time", int(now * 1000)), ("time", stamp), ("timestamp", stamp)):
                peer.send(sender.pack({"module": "bare", "duration_ms": 1, key: value}))
        wait_for(lambda: self.rest.get("/api/v3/metrics/module", module_id="bare").status == 200
                 and self.daemon.module("bare")["total_requests"] == 4, patience(5), "four bare events")
        self.assertEqual(self.daemon.module("bare")["window_requests"], 0, "an hour ago")

    def test_bad_values_are_rejected_under_our_name(self):
        before = self.daemon.ledger()["rejected_by_reason"]
        self.send([{"service.name": 7}, {"duration_us": "soon"}, {"event": {"outcome": "maybe"}},
                   {"http": {"status_code": "4x4"}}, {"event": {}}])
        after = self.daemon.assert_books(self)["rejected_by_reason"]
        for reason in ("bad_module_id", "bad_duration", "bad_success", "bad_status", "bad_event"):
            self.assertEqual(after.get(reason, 0) - before.get(reason, 0), 1, reason)


if __name__ == "__main__":
    unittest.main(verbosity=2)
