#!/usr/bin/python3
"""The daily companions: doctor, config, top, completion and man pages; and every command as somebody meets it who has read
nothing: wrong words, no store, no daemon."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, environment, patience, sanitized_once, tidemark, wait_for

NOBODY = "http://127.0.0.1:9"  # the port of discard: nobody answers


def tool(*words, env=None, **keywords):
    return subprocess.run([tidemark(), *words], capture_output=True, text=True, env=environment(env),
                          timeout=patience(60), stdin=subprocess.DEVNULL, **keywords)


def commands():
    return re.findall(r"^  (\w+(?: \w+)?)  +", tool("--help").stdout, re.MULTILINE)


class Companion(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="tidemark-test-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.home, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def findings(self, code, *words, env=None):
        done = tool("doctor", "--json", *words, env=env)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        told = json.loads(done.stdout)
        for one in told["findings"]:
            self.assertIn(one["level"], ("ok", "warn", "fail"))
            self.assertTrue(one["finding"])
            if one["level"] == "fail":
                self.assertTrue(one["advice"], one)
        return {one["check"]: one for one in told["findings"]}

    def filled_daemon(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        entries = [(time.time(), {"module_id": "m%02d" % (i % 30), "event": "response", "duration_ms": i, "success": True})
                   for i in range(300)]
        sender.deliver(daemon.forward, sender.forward("mod", entries, "companion-1"), "companion-1")
        return daemon

    # -- doctor --

    def test_doctor_finds_nothing_wrong_with_a_sound_daemon(self):
        daemon = self.filled_daemon()
        found = self.findings(0, "--data-dir", daemon.data_dir, "--url", daemon.rest.url)
        for check in ("config", "daemon", "store", "rights", "addresses", "readers"):
            self.assertEqual(found[check]["level"], "ok", found[check])
        self.assertIn("schema 2", found["store"]["finding"])
        text = tool("doctor", "--data-dir", daemon.data_dir, "--url", daemon.rest.url)
        self.assertEqual(text.returncode, 0)
        self.assertEqual(len(text.stdout.splitlines()), len(found) + 1, "a line each")

    def test_doctor_names_what_is_wrong_and_what_to_do(self):
        found = self.findings(0, "--data-dir", self.path("new/store"), "--url", NOBODY)
        self.assertEqual(found["daemon"]["level"], "warn")
        self.assertIn("start tidemarkd", found["daemon"]["finding"])
        self.assertIn("no store yet", found["store"]["finding"])
        bad = self.write("bad.json", '{"aggregation": {"interval_s": 7}}')
        found = self.findings(1, "--config", bad, "--data-dir", self.path("new"), "--url", NOBODY)
        self.assertIn("bad.json:1:32", found["config"]["finding"])
        file = self.write("file", "")
        found = self.findings(1, "--data-dir", file, "--url", NOBODY)
        self.assertEqual(found["rights"]["level"], "fail")
        os.mkdir(self.path("broken"))
        self.write("broken/tidemark.mdb", "x" * 100000)
        found = self.findings(1, "--data-dir", self.path("broken"), "--url", NOBODY)
        self.assertEqual(found["store"]["level"], "fail")
        found = self.findings(1, "--url", NOBODY, env={"TIDEMARK_STORAGE_MAP_BYTES": "nonsense"})
        self.assertIn("environment", found["config"]["finding"])
        if not sanitized_once():
            done = subprocess.run(["bash", "-c", "ulimit -v 4000000 -n 100; exec \"$0\" doctor --json --data-dir \"$1\" --url " + NOBODY,
                                   tidemark(), self.path("new")], capture_output=True, text=True, env=environment())
            self.assertEqual(done.returncode, 1, done.stderr)
            found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
            self.assertEqual((found["addresses"]["level"], found["files"]["level"]), ("fail", "warn"))

    # -- config --

    def test_config_says_what_is_in_effect_and_where_it_comes_from(self):
        file = self.write("c.json", """{
  "aggregation": {"interval_s": 10, "window_s": 120},   // here
  "retention": {"raw_s": 86400},
  "health": {"default": {"p95": {"warning": 500}}, "modules": {"batch-*": {"cpu": {"warning": 70, "critical": 80}}}}
}""")
        self.assertEqual(tool("config", "check", file).stdout, "ok\n")
        self.assertEqual(tool("config", "check").stdout, "ok\n")
        env = {"TIDEMARK_RETENTION_RAW_S": "172800", "TIDEMARK_PROMETHEUS_ENABLED": "false"}
        done = tool("config", "show", file, "--json", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        keys = {key["key"]: key for key in json.loads(done.stdout)}
        self.assertGreater(len(keys), 40)
        for name, value, origin in (("aggregation.interval_s", 10, file + ":2:33"), ("aggregation.window_s", 120, file + ":2:49"),
                                    ("retention.raw_s", 172800, "environment"), ("prometheus.enabled", False, "environment"),
                                    ("aggregation.grace_s", 5, "default"), ("auth.shared_key_file", None, "default"),
                                    ("log.level", "info", "default")):
            self.assertEqual((keys[name]["value"], keys[name]["origin"]), (value, origin), name)
        self.assertEqual(keys["health.default.p95.warning"]["value"], "500")
        self.assertEqual(keys["health.modules.batch-*.cpu.critical"]["value"], "80")
        text = tool("config", "show", file, "--origin", "--changed", env=env).stdout
        self.assertRegex(text, r"(?m)^retention\.raw_s +172800 +environment$")
        self.assertNotIn("aggregation.grace_s", text)
        self.assertRegex(tool("config", "show").stdout, r"(?m)^aggregation\.interval_s +30$")

    def test_config_names_the_mistake_and_its_place(self):
        bad = self.write("bad.json", '{"agregation": {}}')
        for words in (["config", "check", bad], ["config", "show", bad], ["config", "check", bad, "--json"]):
            done = tool(*words)
            self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
            self.assertIn("bad.json:1:2", done.stdout + done.stderr)
        done = tool("config", "check", self.path("none.json"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("none.json", done.stderr)
        done = tool("config", "check", "--daemon", self.path("none"))
        self.assertEqual(done.returncode, 69)
        self.assertIn("No such file", done.stderr)

    # -- top --

    def test_top_draws_live_obeys_keys_and_leaves_the_terminal_as_it_was(self):
        daemon = self.filled_daemon()
        once = tool("top", "--url", daemon.rest.url, "--sort", "name")
        self.assertEqual(once.returncode, 0, once.stderr)
        self.assertIn("m00", once.stdout)
        self.assertNotIn("\033", once.stdout)
        self.assertEqual(len(json.loads(tool("top", "--json", "--url", daemon.rest.url).stdout)["modules"]), 30)
        pid, terminal = pty.fork()
        if pid == 0:
            env = environment({"TERM": "xterm", "COLUMNS": "80", "LINES": "24"})
            os.execve(tidemark(), [tidemark(), "top", "--url", daemon.rest.url, "--interval", "200ms"], env)
        said = b""

        def read():
            nonlocal said
            while select.select([terminal], [], [], 0)[0]:
                try:
                    piece = os.read(terminal, 65536)
                except OSError:
                    return said
                if not piece:
                    return said
                said += piece
            return said

        try:
            wait_for(lambda: b"by trouble" in read() and b"m0" in said, patience(10), "a picture")
            begin, pictures = time.monotonic(), said.count(b"\033[H")
            wait_for(lambda: time.monotonic() - begin > 1.0 and read(), patience(5), "a second")
            took = time.monotonic() - begin
            self.assertLessEqual(said.count(b"\033[H") - pictures, took / 0.2 + 2, "no more pictures than asked for")
            self.assertEqual(said.count(b"\033[2J"), 0, "nothing is wiped")
            os.write(terminal, b"n")
            wait_for(lambda: b"by name" in read(), patience(10), "the other order")
            daemon.kill()
            wait_for(lambda: b"no daemon answers" in read(), patience(10), "the loss of the daemon")
            os.write(terminal, b"q")
            status = wait_for(lambda: read() and os.waitpid(pid, os.WNOHANG)[0] and [0], patience(10), "the end")
            pid = 0
            self.assertTrue(status)
            read()
            self.assertTrue(said.rstrip().endswith(b"\033[?25h\033[?1049l"), said[-60:])
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(terminal)
        lost = tool("top", "--url", NOBODY)
        self.assertEqual(lost.returncode, 69)

    # -- what is made of the table --

    def test_bash_completes_commands_options_and_words(self):
        script = self.write("c.bash", tool("completion", "bash").stdout)

        def complete(*words):
            listed = " ".join("'%s'" % word for word in words)
            text = 'source %s; COMP_WORDS=(tidemark %s); COMP_CWORD=%d; _tidemark; printf "%%s\\n" "${COMPREPLY[@]}"'
            done = subprocess.run(["bash", "-c", text % (script, listed, len(words))], capture_output=True, text=True)
            self.assertEqual(done.stderr, "")
            return done.stdout.split()

        known = commands()
        self.assertGreaterEqual(len(known), 20)
        first = complete("")
        for name in known:
            word, _, second = name.partition(" ")
            self.assertIn(word, first)
            self.assertEqual(first.count(word), 1)
            if second:
                self.assertIn(second, complete(word, ""))
            self.assertIn("--help", complete(*name.split(), "--"))
        self.assertEqual(complete("ba"), ["backup"])
        self.assertEqual(complete("export", "--format", ""), ["ndjson", "csv"])
        self.assertEqual(complete("config", "show", "--or"), ["--origin"])
        self.write("some.json", "")
        self.assertEqual(complete("config", "check", self.path("some")), [self.path("some.json")])
        for shell in ("zsh", "fish"):
            text = tool("completion", shell).stdout
            for name in known:
                self.assertIn(name.split()[-1], text)
            if shutil.which(shell):
                checked = subprocess.run([shell, "-n", self.write("c." + shell, text)], capture_output=True, text=True)
                self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertEqual(tool("completion").returncode, 2)
        self.assertEqual(tool("completion", "csh").returncode, 2)

    def test_every_command_has_a_man_page_that_roff_takes(self):
        pages = self.path("man")
        self.assertEqual(tool("man", "--output-dir", pages).returncode, 0)
        for name in commands():
            with open(os.path.join(pages, "tidemark-%s.1" % name.replace(" ", "-"))) as file:
                page = file.read()
            self.assertEqual(page, tool("man", *name.split()).stdout)
            for option in re.findall(r"^  --([\w-]+)", tool(*name.split(), "--help").stdout, re.MULTILINE):
                self.assertIn(option.replace("-", "\\-"), page)
            if shutil.which("man"):
                shown = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True,
                                       env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80"))
                self.assertEqual(shown.stderr, "", name)
                self.assertIn("SYNOPSIS", shown.stdout)
        self.assertEqual(tool("man", "nothing").returncode, 2)

    def test_every_command_refuses_words_it_does_not_know(self):
        for name in commands():
            words = name.split()
            done = tool(*words, "--no-such-option")
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("unknown option '--no-such-option'", done.stderr)
            done = tool(*words, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn("usage: tidemark " + name, done.stdout)
            done = tool(*words, *["word"] * 5)
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("one word too many", done.stderr)

    def test_no_store_and_no_daemon_are_sentences_that_say_what_to_do(self):
        for words in (["verify"], ["compact"], ["migrate"], ["backup", self.path("b")], ["export", "--format", "csv"]):
            done = tool(*words, cwd=self.home)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("name the store's directory with --data-dir", done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for name in ("status", "top", "modules", "history", "health"):
            done = tool(name, "--url", NOBODY)
            self.assertEqual(done.returncode, 69, name)
            self.assertIn("start tidemarkd, or name its address with --url", done.stderr)
        self.assertEqual(os.listdir(self.home), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
