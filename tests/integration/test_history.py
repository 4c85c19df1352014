#!/usr/bin/python3
"""Windows and history of the real binary: ranges, steps, pages, corrections, open and closed intervals."""
import csv
import datetime
import io
import json
import os
import sys
import time
import unittest

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from case import Case, moment
from daemon import patience, wait_for


class Windows(Case):
    settings = {"aggregation.interval_s": 5, "aggregation.window_s": 60}

    def test_window_covers_what_it_says(self):
        now = time.time()
        self.send(self.operations("w", 3, 1), now)
        self.send(self.operations("w", 5, 0), now - 40)
        self.send(self.operations("w", 7, 0), now - 200)
        metrics = self.daemon.module("w")
        self.assertEqual(metrics["total_requests"], 15)
        self.assertEqual(metrics["window_requests"], 8)
        self.assertEqual(metrics["latency_samples"], 8)
        self.assertAlmostEqual(metrics["error_rate"], 1 / 8)
        narrow = self.daemon.module("w", window="20s")
        self.assertEqual((narrow["total_requests"], narrow["window_requests"], narrow["failed_requests"]), (3, 3, 1))
        wide = self.daemon.module("w", window="10m")
        self.assertEqual((wide["total_requests"], wide["window_requests"]), (15, 15))
        self.assertAlmostEqual(wide["error_rate"], 1 / 15, places=6)
        fleet = self.rest.json("/api/v3/metrics/summary", window="20s")["metrics"]
        self.assertEqual(fleet["window_s"], 20)
        self.assertEqual(self.rest.json("/api/v3/metrics/summary")["metrics"]["window_s"], 60)

    def test_a_module_that_was_quiet_for_longer_has_no_data(self):
        self.send(self.operations("old", 20), time.time() - 2 * 3600)
        metrics = self.daemon.module("old")
        self.assertEqual((metrics["status"], metrics["health_score"], metrics["reasons"]), ("no_data", None, []))
        self.assertEqual((metrics["total_requests"], metrics["window_requests"]), (20, 0))
        self.assertIsNone(metrics["p95_response_time_ms"])


class History(Case):
    settings = {"aggregation.interval_s": 5, "aggregation.grace_s": 0}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = int(time.time()) // 300 * 300 - 1800  # the start of a five minute span, long finished
        cls.send([(cls.base + 5 * i + 1, one) for i in range(60) if i % 2 == 0
                  for one in cls.operations("h", i + 1, 1, 10.0 * (i + 1), memory_bytes=i + 1, cpu_percent=i + 1)])

    def ask(self, **params):
        params.setdefault("module_id", "h")
        return self.rest.json("/api/v3/metrics/history", **params)

    def test_every_format_says_the_same(self):
        params = {"module_id": "h", "from": str(self.base), "to": str(self.base + 300), "step": "5s", "quantiles": "0.9"}
        points = self.ask(**params)
        packed = self.rest.get("/api/v3/metrics/history", format="msgpack", **params)
        self.assertEqual((packed.status, packed.header("Content-Type")), (200, "application/msgpack"))
        self.assertTrue(packed.header("ETag").startswith("W/"))
        said = msgpack.unpackb(packed.body)
        self.assertEqual(said, {key: points[key] for key in said})
        self.assertEqual(len(said["history"]), 30)
        for accept in ("application/msgpack", "application/json;q=0.5, application/vnd.msgpack"):
            self.assertEqual(self.rest.get("/api/v3/metrics/history", headers={"Accept": accept}, **params).body, packed.body)
        columns = self.ask(format="columns", **params)["columns"]
        table = csv.DictReader(io.StringIO(self.rest.get("/api/v3/metrics/history", format="csv", **params).body.decode()))
        for i, row in enumerate(table):
            point = points["history"][i]
            self.assertEqual(list(row), list(point))
            for name, value in point.items():
                if name == "interval_start":
                    self.assertEqual((row[name], columns["t"][i]), (value, moment(value)))
                else:
                    self.assertEqual(columns[name][i], value)
                    self.assertEqual(row[name], "" if value is None else json.dumps(value))

    def test_percentiles_that_are_not_asked_for_change_nothing_else(self):
        params = {"from": str(self.base), "to": str(self.base + 300), "step": "30s"}
        whole = self.ask(**params)["history"]
        names = [name for name in whole[0] if not name.startswith("p")]
        self.assertEqual(self.ask(fields=",".join(names), **params)["history"],
                         [{name: point[name] for name in names} for point in whole])

    def test_points_of_the_interval_oldest_first_and_no_empty_ones(self):
        answer = self.ask(**{"from": str(self.base), "to": str(self.base + 300), "step": "5s"})
        self.assertEqual((answer["module_id"], answer["step_s"], answer["limit"]), ("h", 5, 100))
        self.assertEqual((moment(answer["from"]), moment(answer["to"])), (self.base, self.base + 300))
        self.assertEqual([moment(point["interval_start"]) for point in answer["history"]],
                         [self.base + 5 * i for i in range(0, 60, 2)])
        for i, point in zip(range(0, 60, 2), answer["history"]):
            self.assertEqual((point["requests"], point["failed"], point["successful"]), (i + 1, 1, i))
            self.assertAlmostEqual(point["average_response_time_ms"], 10.0 * (i + 1))
            self.assertAlmostEqual(point["p95_response_time_ms"], 10.0 * (i + 1), delta=0.00051)
            self.assertEqual((point["memory_usage_bytes"], point["cpu_usage_percent"]), (i + 1, i + 1))
            self.assertAlmostEqual(point["throughput_rps"], (i + 1) / 5)
            self.assertTrue(point["complete"])

    def test_steps_merge_the_intervals(self):
        total = sum(i + 1 for i in range(0, 60, 2))
        answer = self.ask(**{"from": str(self.base), "to": str(self.base + 300), "step": "5m"})
        self.assertEqual(len(answer["history"]), 1)
        point = answer["history"][0]
        self.assertEqual((point["requests"], point["failed"]), (total, 30))
        self.assertEqual((point["min_response_time_ms"], point["max_response_time_ms"]), (10, 590))
        self.assertAlmostEqual(point["average_response_time_ms"],
                               sum(10.0 * (i + 1) ** 2 for i in range(0, 60, 2)) / total, places=6)
        self.assertEqual((point["memory_usage_bytes"], point["memory_usage_bytes_max"], point["cpu_usage_percent_max"]),
                         (59, 59, 59))
        values = sorted(10.0 * (i + 1) for i in range(0, 60, 2) for _ in range(i + 1))
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            exact = values[-(-int(q * 100) * total // 100) - 1]
            self.assertAlmostEqual(point[name + "_response_time_ms"], exact, delta=0.011 * exact + 0.0005, msg=name)
        tens = self.ask(**{"from": str(self.base), "to": str(self.base + 300), "step": "10s"})["history"]
        self.assertEqual([point["requests"] for point in tens], [i + 1 for i in range(0, 60, 2)])
        self.assertEqual(sum(point["requests"] for point in
                             self.ask(**{"from": str(self.base), "to": str(self.base + 300), "step": "15s"})["history"]), total)

    def test_the_range_is_rounded_out_to_steps_and_echoed(self):
        answer = self.ask(**{"from": str(self.base + 7), "to": str(self.base + 23), "step": "10s"})
        self.assertEqual((moment(answer["from"]), moment(answer["to"])), (self.base, self.base + 30))
        self.assertEqual([moment(point["interval_start"]) for point in answer["history"]],
                         [self.base, self.base + 10, self.base + 20])
        text = datetime.datetime.fromtimestamp(self.base, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertEqual(moment(self.ask(**{"from": text, "step": "5s"})["from"]), self.base)

    def test_the_limit_gives_the_newest_and_the_cursor_leads_to_older_ones(self):
        params = {"from": str(self.base), "to": str(self.base + 300), "step": "5s", "limit": 7}
        pages, cursor = [], None
        for _ in range(10):
            answer = self.ask(**dict(params, **({"cursor": cursor} if cursor else {})))
            self.assertLessEqual(len(answer["history"]), 7)
            pages.append([moment(point["interval_start"]) for point in answer["history"]])
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        self.assertEqual(pages[0], [self.base + 5 * i for i in range(46, 60, 2)])
        self.assertEqual(sorted(sum(pages, [])), [self.base + 5 * i for i in range(0, 60, 2)])
        self.assertEqual(sum(reversed(pages), []), [self.base + 5 * i for i in range(0, 60, 2)])

    def test_without_a_step_the_finest_that_fits_the_limit(self):
        answer = self.ask(**{"from": str(self.base), "to": str(self.base + 300), "limit": 1000})
        self.assertEqual((answer["step_s"], answer["tier"]), (5, "raw"))
        answer = self.ask(**{"from": "-1h", "limit": 100})
        self.assertEqual(answer["step_s"], 300)
        self.assertEqual(sum(point["requests"] for point in answer["history"]), sum(i + 1 for i in range(0, 60, 2)))

    def test_the_default_range_is_the_last_hour(self):
        answer = self.ask()
        self.assertAlmostEqual(moment(answer["to"]) - moment(answer["from"]), 3600, delta=answer["step_s"])
        self.assertLess(abs(moment(answer["to"]) - time.time()), answer["step_s"] + 5)

    def test_the_fleet_has_no_name_and_is_the_sum(self):
        answer = self.rest.json("/api/v3/metrics/history", **{"from": str(self.base), "to": str(self.base + 300), "step": "5m"})
        self.assertEqual(answer["module_id"], "")
        self.assertEqual(answer["history"][0]["requests"], sum(i + 1 for i in range(0, 60, 2)))

    def test_a_correction_is_merged_and_said(self):
        at_s = self.base - 600
        self.send(self.operations("fix", 4, 0, 10.0), at_s + 1)
        before = self.daemon.history("fix", **{"from": str(at_s), "step": "5s"})
        self.send(self.operations("fix", 2, 1, 30.0), at_s + 2)
        after = self.daemon.history("fix", **{"from": str(at_s), "step": "5s"})
        self.assertEqual((len(before), len(after)), (1, 1))
        self.assertEqual((after[0]["requests"], after[0]["failed"], after[0]["max_response_time_ms"]), (6, 1, 30))
        self.assertTrue(after[0]["corrected"])
        self.assertTrue(after[0]["complete"])

    def test_the_open_interval_is_there_and_not_complete(self):
        wait_for(lambda: time.time() % 5 < 2.5, 5, "a fresh interval")
        now = time.time()
        self.send(self.operations("open", 3), now)
        points = self.daemon.history("open", step="5s")
        self.assertEqual(len(points), 1)
        self.assertEqual((moment(points[0]["interval_start"]), points[0]["requests"], points[0]["complete"]),
                         (now // 5 * 5, 3, False))
        wait_for(lambda: self.daemon.history("open", step="5s")[0]["complete"], patience(10), "the interval to be finished")

    def test_closed_ranges_may_be_kept_and_checked(self):
        answer = self.rest.get("/api/v3/metrics/history", module_id="h", step="5s",
                               **{"from": str(self.base), "to": str(self.base + 300)})
        self.assertTrue(answer.header("ETag").startswith('W/"'), answer.header("ETag"))
        self.assertEqual(answer.header("Cache-Control"), "private, no-cache")
        recent = self.rest.get("/api/v3/metrics/history", module_id="h", step="5s")
        self.assertIsNone(recent.header("ETag"))
        self.assertEqual(recent.header("Cache-Control"), "no-cache, no-store, must-revalidate")


if __name__ == "__main__":
    unittest.main(verbosity=2)
