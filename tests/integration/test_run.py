#!/usr/bin/python3
"""tools/run and tools/test as a person meets them: a typo is told at once, and Ctrl-C ends everything that was started."""
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
from daemon import patience, source_dir

RUN = os.path.join(source_dir(), "tools", "run")
TEST = os.path.join(source_dir(), "tools", "test")
BUILT = os.path.realpath(os.environ.get("TIDE_BUILD", "")) == os.path.realpath(os.path.join(source_dir(), "build", "release"))


def said(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=patience(30), stdin=subprocess.DEVNULL)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)

    def read_until(self, pattern, seconds):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError("no %r in:\n%s" % (pattern, self.text))
        return re.search(pattern, self.text)

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
        except OSError:  # the other side is gone
            return False
        return True

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
            self.read(0.05)
        raise AssertionError("still running after %d s:\n%s" % (seconds, self.text))

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def holder_of(folder):
    """The daemons that serve this folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"tidemarkd") and folder.encode() in words:
            found.append(int(pid))
    return found


class Run(unittest.TestCase):
    def test_a_typo_is_told_before_anything_else_happens(self):
        for program, word in ((RUN, "--dmeo"), (RUN, "demo"), (TEST, "--covrage"), (RUN, "--http")):
            done = said([program, word])
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(word, done.stderr)
            self.assertIn("--help", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help_says_what_there_is(self):
        for program, words in ((RUN, ("--demo", "--data-dir", "Debian packages", "./tidemark-data")), (TEST, ("--coverage", "--long"))):
            done = said([program, "--help"])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in words:
                self.assertIn(word, done.stdout)

    def on_terminal(self, *flags):
        if not BUILT:
            self.skipTest("not the release build of tools/test")
        folder = tempfile.mkdtemp(prefix="tidemark-run-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        terminal = Terminal([RUN, *flags, "--data-dir", folder, "--forward", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        self.addCleanup(terminal.close)
        return folder, terminal

    def test_ctrl_c_stops_the_daemon_in_order(self):
        folder, terminal = self.on_terminal()
        terminal.read_until(r"http listening on \S+", patience(120))
        self.assertEqual(len(holder_of(folder)), 1)
        os.write(terminal.fd, b"\x03")
        self.assertEqual(terminal.wait(patience(10)), 0, terminal.text)
        self.assertEqual(holder_of(folder), [])

    def test_ctrl_c_stops_the_demo_and_its_daemon(self):
        folder, terminal = self.on_terminal("--demo")
        terminal.read_until(r"/api/v3/metrics/summary", patience(120))
        terminal.read_until(r"checkout +\S*(healthy|degraded|critical)", patience(30))
        os.write(terminal.fd, b"\x03")
        self.assertEqual(terminal.wait(patience(15)), 0, terminal.text)
        self.assertEqual(holder_of(folder), [])

    def test_a_daemon_that_cannot_start_ends_the_demo_with_its_exit_code(self):
        folder, terminal = self.on_terminal("--demo", "--set", "aggregation.interval_s=7")
        self.assertEqual(terminal.wait(patience(120)), 78, terminal.text)
        self.assertIn("aggregation.interval_s", terminal.text)
        self.assertEqual(holder_of(folder), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
