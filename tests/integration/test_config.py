#!/usr/bin/python3
"""The configuration of the real daemon: strict, precise about what is wrong and where, and in the right order of
precedence; and its exit codes."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemon import Daemon, environment, patience, tidemarkd, wait_for


class Config(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-config-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def file(self, text, name="tidemark.json"):
        path = os.path.join(self.home, name)
        with open(path, "w") as out:
            out.write(text)
        return path

    def run_daemon(self, *args, **env):
        return subprocess.run([tidemarkd()] + list(args), capture_output=True, text=True, timeout=patience(20),
                              cwd=self.home, env=environment(env))

    def check(self, *args, **env):
        return self.run_daemon("--check-config", *args, **env)

    def ok(self, *args, **env):
        done = self.check(*args, **env)
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr)

    def refused(self, done, *words, status=78):
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("listening", done.stdout)
        for word in words:
            self.assertIn(word, done.stdout + done.stderr)

    def test_version_and_help(self):
        done = self.run_daemon("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")
        done = self.run_daemon("--help")
        self.assertEqual(done.returncode, 0)
        for flag in ("--config", "--data-dir", "--forward", "--http", "--set", "--check-config", "--version",
                     "aggregation.interval_s"):
            self.assertIn(flag, done.stdout)

    def test_wrong_words_are_usage_errors(self):
        self.refused(self.run_daemon("--frobnicate"), "--frobnicate", status=2)
        self.refused(self.run_daemon("--data-dir"), "--data-dir", status=2)
        self.refused(self.run_daemon("surprise"), "surprise", status=2)
        self.refused(self.run_daemon("--set", "nonsense"), "nonsense", status=2)

    def test_a_good_file_with_comments_is_ok(self):
        self.ok("--config", self.file("""// a comment
            {  # another
              "aggregation": { "interval_s": 10, "window_s": 120 },
              "health": { "default": { "error_rate": { "warning": 0.2, "critical": 0.5 } },
                          "modules": { "batch-*": { "p95": { "warning": 60000, "critical": 120000 } } } }
            }"""))
        self.ok()

    def test_check_config_leaves_nothing_behind(self):
        self.ok()
        self.assertEqual(os.listdir(self.home), [])

    def test_an_error_names_file_line_column_key_and_what_was_expected(self):
        cases = [
            ('{\n  "aggregation": {\n    "interval_s": "thirty"\n  }\n}', 3, "aggregation.interval_s"),
            ('{\n  "aggregation": {\n    "interval_s": 7\n  }\n}', 3, "aggregation.interval_s"),
            ('{\n  "aggregation": { "grace_s": 301 }\n}', 2, "aggregation.grace_s"),
            ('{\n  "aggregation": { "intervall_s": 30 }\n}', 2, "intervall_s"),
            ('{\n\n  "agregation": { }\n}', 3, "agregation"),
            ('{\n  "ingest": { "threads": 0 }\n}', 2, "ingest.threads"),
            ('{\n  "ingest": { "threads": 1.5 }\n}', 2, "ingest.threads"),
            ('{\n  "prometheus": { "enabled": 1 }\n}', 2, "prometheus.enabled"),
            ('{\n  "health": { "default": { "error_rate": { "warning": "high" } } }\n}', 2, "error_rate"),
        ]
        for text, line, key in cases:
            with self.subTest(text=text):
                path = self.file(text)
                done = self.check("--config", path)
                self.refused(done, path, key)
                place = re.search(re.escape(path) + r":(\d+):(\d+)", done.stdout + done.stderr)
                self.assertIsNotNone(place, done.stdout + done.stderr)
                self.assertEqual(int(place.group(1)), line, done.stdout + done.stderr)
                column = int(place.group(2))
                self.assertTrue(1 <= column <= len(text.splitlines()[line - 1]) + 1, done.stdout + done.stderr)
        self.assertRegex(self.check("--config", self.file(cases[0][0])).stderr
                         + self.check("--config", self.file(cases[0][0])).stdout, "expected")

    def test_broken_syntax_is_named_with_its_place(self):
        for text, line in (("{", 1), ('{\n "aggregation": {,}\n}', 2), ('{\n "aggregation": []\n}', 2), ("", 1), ("[]", 1),
                           ('{ "aggregation": { "interval_s": 30 } }\nmore', 2), ('{\n "aggregation": { "grace_s": 5,\n"grace_s": 5}}', 3)):
            with self.subTest(text=text):
                path = self.file(text)
                done = self.check("--config", path)
                self.refused(done, path)
                place = re.search(re.escape(path) + r":(\d+):(\d+)", done.stdout + done.stderr)
                self.assertIsNotNone(place, done.stdout + done.stderr)
                self.assertEqual(int(place.group(1)), line, done.stdout + done.stderr)

    def test_a_file_that_is_not_there(self):
        done = self.check("--config", os.path.join(self.home, "nowhere.json"))
        self.refused(done, "nowhere.json", "No such file")

    def test_set_and_environment_are_checked_too(self):
        self.refused(self.check("--set", "aggregation.interval_s=7"), "aggregation.interval_s")
        self.refused(self.check("--set", "aggregation.nothing=7"), "aggregation.nothing")
        self.refused(self.check(TIDEMARK_AGGREGATION_INTERVAL_S="7"), "7")
        self.refused(self.check(TIDEMARK_AGGREGATION_GRACE_S="soon"), "soon")

    def test_critical_must_lie_beyond_warning(self):
        self.refused(self.check("--set", "health.default.error_rate.warning=0.5", "--set",
                                "health.default.error_rate.critical=0.1"), "error_rate")
        self.refused(self.check("--set", "health.default.p95.warning=9000"), "p95")  # the default critical is 5000

    def test_a_tier_does_not_go_before_the_finer_one(self):
        self.refused(self.check("--set", "retention.raw_s=31536000"), "retention.five_min_s", "31536000")
        self.refused(self.check("--set", 'retention.modules={"a*": {"raw_s": 0}}'), "retention.modules.a*", "five_min_s")
        self.refused(self.check("--set", "storage.max_bytes=1000"), "storage.max_bytes", "67108864")
        done = self.check("--set", 'retention.modules={"a*": {"raw_s": 3600}}', TIDEMARK_STORAGE_MAX_BYTES="67108864")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "ok"), done.stderr)

    def interval(self, args=(), env=None):
        """The interval that a daemon started so really uses: the step of its history."""
        daemon = Daemon(args=args, env=env)
        try:
            answer = daemon.rest.json("/api/v3/metrics/history", limit=100000)
            daemon.stop()
            return answer["step_s"]
        finally:
            daemon.close()

    def test_precedence_set_environment_file_default(self):
        path = self.file('{"aggregation": {"interval_s": 20}}')
        config = ["--config", path]
        env = {"TIDEMARK_AGGREGATION_INTERVAL_S": "15"}
        self.assertEqual(self.interval(), 30)
        self.assertEqual(self.interval(config), 20)
        self.assertEqual(self.interval(config, env), 15)
        self.assertEqual(self.interval(config + ["--set", "aggregation.interval_s=10"], env), 10)

    def test_an_open_address_without_authentication_is_refused(self):
        for flag in ("--forward", "--http"):
            done = self.run_daemon("--data-dir", os.path.join(self.home, "d"), flag, "0.0.0.0:0")
            self.refused(done, "0.0.0.0")
            self.assertIn("security.allow_open", done.stdout + done.stderr)
        self.ok("--forward", "0.0.0.0:0", "--set", "security.allow_open=true")
        self.ok("--forward", "127.3.4.5:0", "--http", "[::1]:0")
        done = self.run_daemon("--data-dir", os.path.join(self.home, "d"), "--http", "127.0.0.1:notaport")
        self.assertIn(done.returncode, (2, 78), done.stderr)

    def test_a_port_that_is_taken_is_an_error_that_names_it(self):
        with Daemon() as first:
            taken = "127.0.0.1:%d" % first.forward[1]
            done = self.run_daemon("--data-dir", os.path.join(self.home, "d"), "--forward", taken, "--http", "127.0.0.1:0")
            self.assertIn(done.returncode, (1, 69, 74), done.stderr)
            self.assertIn(taken, done.stderr)
            first.stop()

    def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(self):
        path = os.path.join(self.file("not a directory", "plain"), "data")
        done = self.run_daemon("--data-dir", path, "--forward", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.assertIn(done.returncode, (1, 74), done.stderr)
        self.assertIn("plain", done.stderr)

    def test_sighup_with_a_bad_file_changes_nothing(self):
        path = self.file('{"health": {"default": {"error_rate": {"warning": 0.2, "critical": 0.5}}}}')
        with Daemon(args=["--config", path]) as daemon:
            self.file('{"health": {"default": {"error_rate": {"warning": "high"}}}}')
            said = len(daemon.log())
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "error_rate" in daemon.log()[said:], patience(5), "the log to name the bad key")
            self.assertTrue(daemon.alive())
            self.assertEqual(daemon.rest.get("/api/v3/health/live").status, 200)
            self.file('{"health": {"default": {"error_rate": {"warning": 0.3, "critical": 0.5}}}}')
            said = len(daemon.log())
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(daemon.log()) > said, patience(5), "a word about the reload")
            self.assertTrue(daemon.alive())
            daemon.stop()

    def test_prometheus_can_be_switched_off(self):
        with Daemon({"prometheus.enabled": "false"}) as daemon:
            self.assertEqual(daemon.rest.get("/api/v3/metrics/prometheus").status, 404)
            daemon.stop()

    def test_sigterm_and_sigint_end_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daemon() as daemon:
                began = time.monotonic()
                daemon.process.send_signal(number)
                self.assertEqual(daemon.process.wait(patience(5)), 0)
                self.assertLess(time.monotonic() - began, patience(5))


if __name__ == "__main__":
    unittest.main(verbosity=2)
