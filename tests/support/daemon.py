"""The real tidemarkd, in a fresh directory, on ports of the kernel's choice.

A Daemon owns one data directory under a temporary folder and, most of the time, one process on it. It can be stopped
politely (exit 0 is asserted), killed, and started again on the same directory. Whatever a test does, no process is left
behind: close() ends it, and should the test itself be killed, the kernel ends it (PR_SET_PDEATHSIG; so start daemons
from the main thread, the one whose death counts).
"""
import ctypes
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from rest import Rest

SKIPPED = 77
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer")


def source_dir():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("TIDE_SOURCE") or os.path.dirname(os.path.dirname(here))


def program(variable, name):
    """The path of one of our two programs: from the environment (ctest sets it), else from a build folder."""
    path = os.environ.get(variable)
    if path:
        return path
    build = os.environ.get("TIDE_BUILD") or os.path.join(source_dir(), "build")
    return os.path.join(build, name)


def tidemarkd():
    return program("TIDEMARKD", "tidemarkd")


def tidemark():
    return program("TIDEMARK", "tidemark")


def sanitized():
    """True when the daemon is built with a sanitizer: memory figures mean nothing then and time is longer."""
    if os.environ.get("TIDE_SANITIZED"):
        return True
    linked = subprocess.run(["ldd", tidemarkd()], capture_output=True, text=True).stdout
    if any(name in linked for name in ("libasan", "libtsan", "libubsan")):
        return True
    with open(tidemarkd(), "rb") as binary:  # a statically linked runtime (clang's default) leaves its name
        whole = binary.read()
    return b"__asan_init" in whole or b"__tsan_init" in whole


def patience(seconds):
    """A deadline: longer where the build is slow by nature. Only a hang ever meets it."""
    return seconds * (5 if sanitized_once() else 1)


_sanitized = None


def sanitized_once():
    global _sanitized
    if _sanitized is None:
        _sanitized = sanitized()
    return _sanitized


def seed():
    """The seed of this run: TIDE_SEED replays a run, else any; it is printed either way."""
    given = os.environ.get("TIDE_SEED")
    value = int(given) if given else random.SystemRandom().randrange(1 << 32)
    print("seed %d (TIDE_SEED=%d replays)" % (value, value), flush=True)
    return value


def skip_file(reason):
    """Ends the whole program as skipped, visibly."""
    print("SKIPPED: " + reason, flush=True)
    sys.stdout.flush()
    os._exit(SKIPPED)


def wait_for(condition, deadline_s, what):
    """Polls until condition() is true (and returns its value); fails after deadline_s with what was waited for."""
    end = time.monotonic() + deadline_s
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            shown = what() if callable(what) else what
            raise AssertionError("waited %.1f s in vain for %s" % (deadline_s, shown))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start_process(command, **keywords):
    """A child that cannot outlive the test."""
    keywords.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command, preexec_fn=_die_with_parent, **keywords)


def environment(more=None):
    """What a program under test inherits: nothing of ours but what the test says."""
    chosen = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
    chosen.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    if sanitized_once():  # ThreadSanitizer's own maps leave no room for the 1 TiB of the default
        chosen["TIDEMARK_STORAGE_MAP_BYTES"] = str(16 << 30)
    chosen.update(more or {})
    return chosen


class StartError(AssertionError):
    """The daemon ended before it was ready. exit: its status; log: what it said."""

    def __init__(self, status, log):
        super().__init__("tidemarkd ended with %s before it was ready:\n%s" % (status, log[-3000:]))
        self.status = status
        self.log = log


class Daemon:
    def __init__(self, settings=None, args=(), env=None, start=True):
        self.home = tempfile.mkdtemp(prefix="tidemark-test-")
        self.data_dir = os.path.join(self.home, "data")
        self.log_path = os.path.join(self.home, "stderr.log")
        self.settings = dict(settings or {})
        self.args = list(args)
        self.env = dict(env or {})
        self.process = None
        self.forward = None
        self.rest = None
        self.starts = 0
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("--- the end of tidemarkd's log ---\n" + self.log()[-4000:], file=sys.stderr)
        self.close()

    def command(self):
        command = [tidemarkd(), "--data-dir", self.data_dir, "--forward", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        for key, value in self.settings.items():
            command += ["--set", "%s=%s" % (key, value)]
        return command + self.args

    def start(self):
        self.spawn()
        self._wait_ready(time.monotonic() + patience(20))
        return self

    def spawn(self):
        """Starts the process and does not wait for it to be ready."""
        assert self.process is None, "already running"
        with open(self.log_path, "ab") as log:
            self.process = start_process(self.command(), stdout=subprocess.PIPE, stderr=log, env=environment(self.env))
        self.starts += 1

    def _wait_ready(self, end):
        said = b""
        while said.count(b"\n") < 2:
            left = end - time.monotonic()
            readable = select.select([self.process.stdout], [], [], max(left, 0))[0]
            if not readable:
                raise AssertionError("tidemarkd was not ready in time; it said %r\n%s" % (said, self.log()[-3000:]))
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                status = self.process.wait()
                self.process.stdout.close()
                self.process = None
                raise StartError(status, self.log())
            said += piece
        lines = said.decode().splitlines()
        addresses = {}
        for line in lines:
            noun, _, address = line.partition(" listening on ")
            host, _, port = address.rpartition(":")
            addresses[noun] = (host.strip("[]"), int(port))
        assert set(addresses) == {"forward", "http"}, "unexpected lines on stdout: %r" % lines
        self.forward = addresses["forward"]
        self.rest = Rest(*addresses["http"], secure=bool(self.settings.get("tls.cert_file")))

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            with open(self.log_path, "r", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, deadline_s=5.0):
        """SIGTERM; the contract wants exit 0 within five seconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(patience(deadline_s))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("tidemarkd did not end within %.0f s of SIGTERM\n%s"
                                 % (patience(deadline_s), self.log()[-3000:]))
        self._gone()
        self.assert_clean()
        assert status == 0, "tidemarkd ended with %d after SIGTERM\n%s" % (status, self.log()[-3000:])

    def kill(self):
        """kill -9 and reap."""
        self.process.kill()
        self.process.wait()
        self._gone()

    def restart(self, how="stop"):
        if how == "stop":
            self.stop()
        else:
            self.kill()
        return self.start()

    def _gone(self):
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def assert_clean(self):
        """No sanitizer said anything."""
        log = self.log()
        for mark in SANITIZER_MARKS:
            assert mark not in log, log[max(0, log.index(mark) - 200):][:6000]

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._gone()
        shutil.rmtree(self.home, ignore_errors=True)

    def resident_kib(self):
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise AssertionError("no VmRSS")

    # -- what most tests ask --

    def ledger(self):
        return self.rest.json("/api/v3/ingest/ledger")["ledger"]

    def module(self, name, **params):
        return self.rest.json("/api/v3/metrics/module", module_id=name, **params)["metrics"]

    def history(self, name=None, **params):
        """All points of the range, oldest first, over all pages."""
        if name is not None:
            params["module_id"] = name
        params.setdefault("limit", 100000)
        points = []
        cursor = None
        while True:
            if cursor:
                params["cursor"] = cursor
            answer = self.rest.json("/api/v3/metrics/history", **params)
            points = answer["history"] + points
            cursor = answer["next_cursor"]
            if not cursor:
                return points

    def assert_books(self, test, ledger=None):
        """received = stored + late + duplicate + sampled + rejected."""
        books = ledger or self.ledger()
        parts = sum(books[name] for name in ("stored", "late", "duplicate", "sampled", "rejected"))
        test.assertEqual(books["received"], parts, "the books do not balance: %r" % books)
        test.assertEqual(books["rejected"], sum(books["rejected_by_reason"].values()), repr(books))
        test.assertEqual(books["chunks"]["rejected"], sum(books["chunks"]["rejected_by_reason"].values()),
                         repr(books))
        return books
