#!/usr/bin/python3
"""The exposition as Prometheus' own programs see it: promtool finds nothing to say, and a real Prometheus scrapes it and
answers with our figures. Debian's package prometheus has both."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Served
from daemon import Daemon, patience, skip_file, start_process, wait_for

PATH = "/api/v3/metrics/prometheus"
ODD_NAMES = ['with space', 'quo"te', 'back\\slash', 'slash/dot.dash-', '{brace="x"}', 'naïve-模块', '\\n', 'tail\\']


class Prometheus(Served):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.names = ["plain"] + ODD_NAMES
        entries = []
        now = time.time()
        for number, name in enumerate(cls.names):
            for i in range(10 * (number + 1)):
                entries.append((now, {"module_id": name, "event": "response", "success": i % 10 != 0,
                                      "duration_ms": 100, "memory_bytes": 1 << 20, "cpu_percent": 50,
                                      "goroutines": 7, "db_connections": 3}))
        entries.append((now, {"module_id": "plain", "event": "error", "error": "boom"}))
        entries.append((now, {"module_id": "", "event": "response"}))  # rejected: bad_module_id
        cls.operations = sum(10 * (n + 1) for n in range(len(cls.names)))
        sender.deliver(cls.daemon.forward, sender.forward("t", entries, "prometheus-0001"), "prometheus-0001")

    def check_with_promtool(self, text):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_promtool_has_nothing_to_say(self):
        answer = self.daemon.rest.get(PATH)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        self.check_with_promtool(answer.body)

    def test_promtool_has_nothing_to_say_of_an_empty_store(self):
        with Daemon() as empty:
            self.check_with_promtool(empty.rest.get(PATH).body)
            empty.stop()

    def test_the_names_of_the_contract_are_there(self):
        text = self.daemon.rest.get(PATH).text()
        families = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
        for name in ("requests_total errors_total request_duration_seconds memory_bytes cpu_usage_ratio goroutines "
                     "db_connections in_flight_requests module_health_score_ratio module_status modules "
                     "health_score_ratio ingest_events_total ingest_rejected_total ingest_chunks_total commits_total "
                     "commit_duration_seconds store_bytes store_state reader_age_seconds http_requests_total "
                     "http_request_duration_seconds build_info").split():
            self.assertIn("tidemark_" + name, families)

    def test_open_metrics_when_asked_for(self):
        answer = self.daemon.rest.get(PATH, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        self.assertTrue(answer.header("Content-Type").startswith("application/openmetrics-text; version=1.0.0"),
                        answer.header("Content-Type"))
        self.assertTrue(answer.body.endswith(b"# EOF\n"), answer.body[-100:])

    def test_a_real_prometheus_scrapes_it_and_agrees(self):
        home = tempfile.mkdtemp(prefix="tidemark-prometheus-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with open(os.path.join(home, "prometheus.yml"), "w") as config:
            config.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                         "scrape_configs:\n"
                         "  - job_name: tidemark\n"
                         "    metrics_path: %s\n"
                         "    static_configs: [{targets: ['127.0.0.1:%d']}]\n" % (PATH, self.daemon.rest.port))
        log = open(os.path.join(home, "log"), "wb")
        self.addCleanup(log.close)
        process = start_process(["prometheus", "--config.file=" + os.path.join(home, "prometheus.yml"),
                                 "--storage.tsdb.path=" + os.path.join(home, "data"),
                                 "--web.listen-address=127.0.0.1:%d" % port], stdout=log, stderr=log)

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)

        def ask(expression):
            url = "http://127.0.0.1:%d/api/v1/query?%s" % (port, urllib.parse.urlencode({"query": expression}))
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    return json.load(response)["data"]["result"]
            except OSError:
                return []

        def value(expression):
            result = ask(expression)
            return float(result[0]["value"][1]) if result else None

        def scrape_error():
            url = "http://127.0.0.1:%d/api/v1/targets" % port
            with urllib.request.urlopen(url, timeout=5) as response:
                return [target["lastError"] for target in json.load(response)["data"]["activeTargets"]]

        try:
            wait_for(lambda: value('up{job="tidemark"}') == 1, patience(60), "a scrape that works")
        except AssertionError as error:
            raise AssertionError("%s; Prometheus says: %s" % (error, scrape_error()))
        wait_for(lambda: value("sum(tidemark_requests_total)") == self.operations, patience(20),
                 lambda: "sum of requests_total = %d, Prometheus has %s"
                 % (self.operations, value("sum(tidemark_requests_total)")))
        by_module = {row["metric"]["module"]: float(row["value"][1])
                     for row in ask("sum by (module) (tidemark_requests_total)")}
        self.assertEqual(by_module, {name: 10.0 * (n + 1) for n, name in enumerate(self.names)})
        counts = {row["metric"]["module"]: float(row["value"][1])
                  for row in ask("tidemark_request_duration_seconds_count")}
        self.assertEqual(counts, by_module)
        self.assertAlmostEqual(value('tidemark_request_duration_seconds_sum{module="plain"}'), 1.0, places=9)
        # le is cumulative: all samples of 0.1 s lie under the bound next above it, none under the one next below.
        self.assertAlmostEqual(value('histogram_quantile(0.5, tidemark_request_duration_seconds_bucket{module="plain"})'),
                               0.1, delta=0.08)
        self.assertEqual(value('tidemark_errors_total{module="plain"}'), 1)
        self.assertEqual(value('tidemark_memory_bytes{module="plain"}'), 1 << 20)
        self.assertEqual(value('tidemark_cpu_usage_ratio{module="plain"}'), 0.5)
        self.assertEqual(value('tidemark_goroutines{module="plain"}'), 7)
        self.assertEqual(value('tidemark_db_connections{module="plain"}'), 3)
        self.assertEqual(value('tidemark_ingest_events_total{result="stored"}'), self.operations + 1)
        self.assertEqual(value('tidemark_ingest_events_total{result="rejected"}'), 1)
        self.assertEqual(value('tidemark_ingest_rejected_total{reason="bad_module_id"}'), 1)
        self.assertEqual(value('tidemark_ingest_chunks_total{result="committed"}'), 1)
        self.assertEqual(value("sum(tidemark_modules)"), len(self.names))
        self.assertEqual(value("count(tidemark_build_info)"), 1)


if __name__ == "__main__":
    for needed in ("promtool", "prometheus"):
        if not shutil.which(needed):
            skip_file(needed + " is not installed (Debian package prometheus)")
    unittest.main(verbosity=2)
