#!/usr/bin/python3
"""Status, score and reasons: the arithmetic of health on known inputs, and the fleet and the lists that follow from it."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from case import Case


class Health(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        now = time.time()
        cls.send(cls.operations("fine", 40, 1))  # 0.025: half the warning level, no penalty
        cls.send(cls.operations("bad", 20, 2))  # 0.10 = critical
        cls.send(cls.operations("warn", 20, 1))  # 0.05 = warning
        cls.send(cls.operations("early", 25, 1))  # 0.04: (0.04 - 0.025) / 0.025 / 2 = 0.3 of 50
        cls.send(cls.operations("between", 40, 3))  # 0.075: halfway, 0.75 of 50
        cls.send(cls.operations("slow", 20, 0, 3000.0))  # 0.5 + 0.5 * 1000 / 3000 of 30
        cls.send(cls.operations("hot", 20, 0, cpu_percent=95))
        cls.send(cls.operations("many", 20, 0, goroutines=1500))  # 0.75 of 10
        cls.send(cls.operations("worst", 20, 20, 9000.0, cpu_percent=100, goroutines=5000))
        cls.send(cls.operations("few", 2, 1))
        cls.send(cls.operations("grown", 6, 0) + [(now - 400, one) for one in cls.operations("grown", 6, 6)])
        cls.send(cls.operations("sick", 20) + [{"module_id": "sick", "event": "health", "healthy": False}])
        cls.send(cls.operations("well", 20) + [(now - 1, {"module_id": "well", "event": "health", "healthy": False}),
                                               (now, {"module_id": "well", "event": "health", "healthy": True})])
        cls.send([(now - 1, one) for one in cls.operations("gone", 20)] + [(now, {"module_id": "gone", "event": "stop"})])

    def verdict(self, name, status, score, *signals):
        metrics = self.daemon.module(name)
        self.assertEqual(metrics["status"], status, name)
        self.assertAlmostEqual(metrics["health_score"], score, delta=0.01, msg=name)
        self.assertEqual(sorted(reason["signal"] for reason in metrics["reasons"]), sorted(signals), name)
        for reason in metrics["reasons"]:
            self.assertEqual(set(reason), {"signal", "value", "warning", "critical", "penalty"})
            self.assertGreater(reason["penalty"], 0)
        self.assertAlmostEqual(100 - sum(reason["penalty"] for reason in metrics["reasons"]), metrics["health_score"],
                               delta=0.01)
        return {reason["signal"]: reason for reason in metrics["reasons"]}

    def test_error_rate_over_its_whole_line(self):
        self.verdict("fine", "healthy", 100)
        self.verdict("early", "healthy", 85, "error_rate")
        self.verdict("warn", "degraded", 75, "error_rate")
        self.verdict("between", "degraded", 62.5, "error_rate")
        reason = self.verdict("bad", "critical", 50, "error_rate")["error_rate"]
        self.assertEqual((reason["value"], reason["warning"], reason["critical"], reason["penalty"]), (0.1, 0.05, 0.10, 50))

    def test_the_other_signals(self):
        reason = self.verdict("slow", "degraded", 80, "p95_response_time_ms")["p95_response_time_ms"]
        self.assertEqual((reason["warning"], reason["critical"]), (2000, 5000))
        self.assertAlmostEqual(reason["value"], 3000, delta=0.001)
        self.verdict("hot", "critical", 90, "cpu_percent")
        self.verdict("many", "degraded", 92.5, "goroutines")
        self.verdict("worst", "critical", 0, "error_rate", "p95_response_time_ms", "cpu_percent", "goroutines")

    def test_the_modules_own_word(self):
        reason = self.verdict("sick", "critical", 40, "self_reported")["self_reported"]
        self.assertEqual((reason["penalty"], reason["value"]), (60, None))
        self.verdict("well", "healthy", 100)

    def test_a_stop_as_the_last_word_is_no_data(self):
        metrics = self.daemon.module("gone")
        self.assertEqual((metrics["status"], metrics["health_score"], metrics["reasons"]), ("no_data", None, []))
        self.assertEqual(metrics["total_requests"], 20)

    def test_few_requests_widen_the_window(self):
        self.assertEqual(self.daemon.module("fine")["judged_window_s"], 300)
        self.verdict("few", "critical", 50, "error_rate")
        self.assertEqual(self.daemon.module("few")["judged_window_s"], 3600)
        grown = self.daemon.module("grown")
        self.assertEqual(grown["judged_window_s"], 600)
        self.assertEqual((grown["status"], grown["error_rate"]), ("critical", 0))

    def test_the_fleet(self):
        names = {"fine": 40, "early": 25, "warn": 20, "between": 40, "bad": 20, "slow": 20, "hot": 20, "many": 20,
                 "worst": 20, "few": 2, "grown": 6, "sick": 20, "well": 20}
        scores = {name: self.daemon.module(name)["health_score"] for name in names}
        summary = self.rest.json("/api/v3/metrics/summary")["metrics"]
        self.assertEqual(summary["total_modules"], len(names) + 1)
        self.assertEqual(summary["no_data_modules"], 1)
        self.assertEqual(summary["critical_modules"], 6)  # bad hot worst few grown sick
        self.assertEqual(summary["degraded_modules"], 4)  # warn between slow many
        self.assertEqual(summary["healthy_modules"], 3)  # fine early well
        self.assertEqual(summary["overall_health"], "critical")
        weights = sum(names.values())
        self.assertAlmostEqual(summary["health_score"], sum(scores[n] * w for n, w in names.items()) / weights, delta=0.01)
        health = self.rest.json("/api/v3/metrics/health")["health"]
        self.assertEqual({row["module_id"]: row["status"] for row in health["modules"]},
                         dict({name: "critical" for name in ("bad", "hot", "worst", "few", "grown", "sick")},
                              **{name: "degraded" for name in ("warn", "between", "slow", "many")}))
        for row in health["modules"]:
            self.assertEqual(set(row), {"module_id", "status", "health_score", "reasons"})
        self.assertEqual((health["critical_modules"], health["degraded_modules"]), (6, 4))

    def test_the_list_of_modules(self):
        def names(**params):
            answer = self.rest.json("/api/v3/metrics/modules", **params)
            return [row["module_id"] for row in answer["modules"]], answer

        everything, answer = names()
        self.assertEqual(everything, sorted(everything))
        self.assertEqual((answer["count"], answer["next_cursor"]), (14, None))
        critical, answer = names(status="critical")
        self.assertEqual(critical, ["bad", "few", "grown", "hot", "sick", "worst"])
        self.assertEqual(answer["count"], 6)
        self.assertEqual(names(prefix="f")[0], ["few", "fine"])
        self.assertEqual(names(sort="requests", limit=2)[0], ["between", "fine"])  # 40 each, then by name
        self.assertEqual(names(sort="p95", limit=2)[0], ["worst", "slow"])
        self.assertEqual(names(sort="trouble")[0][0], "worst")
        paged, cursor = [], None
        for _ in range(20):
            page, answer = names(limit=4, **({"cursor": cursor} if cursor else {}))
            self.assertEqual(answer["count"], 14)
            paged += page
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        self.assertEqual(paged, everything)

    def test_performance_names_the_slowest(self):
        slowest = self.rest.json("/api/v3/metrics/performance")["performance"]["slowest_modules"]
        self.assertEqual([row["module_id"] for row in slowest[:2]], ["worst", "slow"])


class Thresholds(Case):
    settings = {"health.default.error_rate.warning": 0.2, "health.default.error_rate.critical": 0.4,
                "health.default.p95.warning": 50, "health.default.p95.critical": 200}

    def test_thresholds_come_from_the_configuration(self):
        self.send(self.operations("a", 20, 4, 10.0))
        self.send(self.operations("b", 20, 0, 100.0))
        a, b = self.daemon.module("a"), self.daemon.module("b")
        self.assertEqual((a["status"], a["health_score"]), ("degraded", 75))
        self.assertEqual((a["reasons"][0]["warning"], a["reasons"][0]["critical"]), (0.2, 0.4))
        self.assertEqual(b["status"], "degraded")
        self.assertAlmostEqual(b["health_score"], 100 - 30 * (0.5 + 0.5 * 50 / 150), delta=0.01)


if __name__ == "__main__":
    unittest.main(verbosity=2)
