#!/usr/bin/python3
"""bench storage: a small set, its books, its promises about directories, and a store that a daemon can go on with."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemon import Daemon, environment, patience, start_process, tidemark, wait_for

FIGURES = {"written_per_put": 4, "written_per_put_alone": None, "seal_worst": None, "seal_worst_cpu": None,
           "upkeep_worst": 10, "upkeep_worst_cpu": 10, "busy": 40, "busy_to_reference": None, "quiet_to_reference": None,
           "busy_full": None, "quiet": 25, "quiet_full": None, "silent": None, "very_busy": None, "very_busy_full": None,
           "coarse": 34.8, "day_of_one_module": 1.5, "commit_p50": 1, "fdatasync_p50": None, "year_aggregate": 1,
           "any_aggregate": None, "year_aggregate_fleet": None,
           "retention_worst": 10, "retention_worst_cpu": 10, "start": 2000}


class BenchStorage(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-bench-test-")

    def tearDown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def bench(self, *words, status=0):
        done = subprocess.run([tidemark(), "bench", "storage", *words], capture_output=True, text=True, cwd=self.home,
                              timeout=patience(300), env=environment({"NO_COLOR": "1"}))
        self.assertEqual(done.returncode, status, "%s\n%s%s" % (words, done.stdout, done.stderr))
        return done

    def test_small_set_has_every_figure_and_its_books_agree(self):
        done = self.bench("--modules", "2", "--hours", "2", "--json")
        print(done.stdout, flush=True)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["books"], "ok, everything was read back")
        self.assertEqual(answer["seed"], 1)
        figures = {figure["name"]: figure for figure in answer["figures"]}
        self.assertEqual({name: figure["target"] for name, figure in figures.items()}, FIGURES)
        for name in ("written_per_put", "commit_p50", "fdatasync_p50", "day_of_one_module", "start"):
            self.assertGreater(figures[name]["value"], 0, name)
        for figure in figures.values():
            self.assertEqual(figure["met"] is None, figure["value"] is None or figure["target"] is None, figure)
        self.assertGreater(figures["written_per_put_alone"]["value"], figures["written_per_put"]["value"])
        self.assertEqual(os.listdir(self.home), [], "its stores are removed")

    def test_a_seed_makes_the_same_sizes_again(self):
        words = ("--only", "sizes", "--modules", "2", "--hours", "1", "--json")
        sizes = []
        for seed in ("1", "1", "2"):
            answer = json.loads(self.bench(*words, "--seed", seed).stdout)
            # full records have instances, whose ids every store chooses anew
            sizes.append([(figure["name"], figure["value"], figure["note"]) for figure in answer["figures"]
                          if figure["unit"] == "bytes_per_record" and not figure["name"].endswith("_full")])
        self.assertEqual(sizes[0], sizes[1])
        self.assertNotEqual(sizes[0], sizes[2])

    def test_text_says_which_set_and_that_the_books_agree(self):
        text = self.bench("--only", "commit", "--seed", "9").stdout
        self.assertRegex(text, r"^50 modules x 24 h of intervals of 30 s, seed 9, ")
        self.assertIn("<= 1.00 ms", text)
        self.assertTrue(text.endswith("books: ok, everything was read back\n"), text)

    def test_a_store_is_made_measured_and_removed(self):
        store = os.path.join(self.home, "store")
        answer = json.loads(self.bench("--store", store, "--modules", "3", "--days", "1", "--json").stdout)
        figures = {figure["name"]: figure["value"] for figure in answer["figures"]}
        for name in ("store_bytes", "store_bytes_per_record", "making", "store_start", "store_day", "store_hours", "store_aggregate",
                     "store_aggregate_fleet", "store_hour"):
            self.assertGreater(figures[name], 0, name)
        self.assertFalse(os.path.exists(store))

    def test_a_kept_store_is_one_that_a_daemon_goes_on_with(self):
        with Daemon() as daemon:
            daemon.stop()
            shutil.rmtree(daemon.data_dir)
            self.bench("--store", daemon.data_dir, "--modules", "2", "--days", "1", "--keep")
            daemon.start()
            metrics = daemon.rest.json("/api/v3/metrics/summary")["metrics"]
            self.assertEqual(metrics["total_modules"], 2)
            history = daemon.rest.json("/api/v3/metrics/history?from=-4d&aggregate=true")["history"]
            self.assertEqual([point["requests"] for point in history], [metrics["total_requests"]])
            books = daemon.assert_books(self)
            self.assertGreater(books["stored"], 100000)
            daemon.stop()

    def test_words_that_do_not_go_together_are_refused(self):
        for words in (("--days", "2"), ("--keep",), ("--store", "x", "--hours", "2"), ("--store", "x", "--only", "life"),
                      ("--only", "nothing"), ("--modules", "0")):
            done = self.bench(*words, status=2)
            self.assertIn("--", done.stderr)
        self.assertEqual(os.listdir(self.home), [])

    def test_directories_that_will_not_do_are_refused_with_what_to_do(self):
        used = os.path.join(self.home, "used")
        os.mkdir(used)
        with open(os.path.join(used, "precious"), "w"):
            pass
        self.assertIn("not empty", self.bench("--store", used, status=2).stderr)
        self.assertEqual(os.listdir(used), ["precious"])
        nowhere = os.path.join(self.home, "no", "where")
        self.assertIn(nowhere, self.bench("--store", nowhere, status=74).stderr)
        self.assertIn(nowhere, self.bench("--dir", nowhere, status=74).stderr)
        big = os.path.join(self.home, "big")
        self.assertIn("choose another", self.bench("--store", big, "--modules", "5000", "--days", "3660", status=74).stderr)
        self.assertFalse(os.path.exists(big), "what was made for nothing is removed")

    def test_an_interrupt_leaves_nothing_behind(self):
        store = os.path.join(self.home, "store")
        for words in (["--modules", "500", "--hours", "100"], ["--store", store, "--modules", "500"]):
            bench = start_process([tidemark(), "bench", "storage"] + words, cwd=self.home, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
            try:
                wait_for(lambda: os.listdir(self.home), patience(20), "a directory of its own")
                bench.send_signal(signal.SIGINT)
                _, said = bench.communicate(timeout=patience(60))
            finally:
                bench.kill()
                bench.wait()
            self.assertEqual(bench.returncode, 1, said)
            self.assertIn("interrupted", said)
            self.assertEqual(os.listdir(self.home), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
