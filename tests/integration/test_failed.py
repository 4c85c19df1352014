#!/usr/bin/python3
"""A disk that refuses to sync, made by strace under the running daemon: in doubt first, then failed. Chunks that wait
go back to their senders unacked, reads go on, /health/ready says so with 503 and the log says so once. When the disk
syncs again, what is sent again counts once, without a restart."""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, patience, skip_file, start_process, wait_for

SENDERS = 4


class Refusal:
    """Every sync of the process fails with EIO while this lasts."""

    def __init__(self, pid):
        read, write = os.pipe()
        self.strace = start_process(["strace", "-f", "-o", "/dev/stdout", "-p", str(pid), "-e", "trace=fdatasync",
                                     "-e", "inject=fdatasync:error=EIO"],
                                    stdout=subprocess.DEVNULL, stderr=write)
        os.close(write)
        with os.fdopen(read, "rb", buffering=0) as said:
            self.attached = b"attached" in said.readline()
        if not self.attached:
            self.end()

    def end(self):
        """Lets go of the process, which runs on."""
        if self.strace.poll() is None:
            self.strace.send_signal(signal.SIGINT)
        self.strace.wait()


class Failed(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon({"storage.retry_s": 1})
        self.addCleanup(self.daemon.close)

    def chunk(self, number):
        identity = "failed-disk-%08d" % number
        entries = [(0, {"module_id": "m%d" % number, "event": "response", "duration_ms": i + 1}) for i in range(50)]
        return sender.forward("mod", entries, identity), identity

    def ready(self):
        return self.daemon.rest.get("/api/v3/health/ready")

    def metric(self, name):
        text = self.daemon.rest.get("/api/v3/metrics/prometheus").text()
        return int(re.search("^%s ([0-9]+)$" % re.escape(name), text, re.MULTILINE).group(1))

    def is_in(self, state):
        return self.metric('tidemark_store_state{state="%s"}' % state) == 1

    def refuse(self):
        refusal = Refusal(self.daemon.pid)
        if not refusal.attached:
            skip_file("strace may not trace here")
        self.addCleanup(refusal.end)
        return refusal

    def test_a_disk_that_refuses_for_long_gives_chunks_back_and_counts_them_once_later(self):
        sender.deliver(self.daemon.forward, *self.chunk(0))
        before = self.daemon.ledger()
        refusal = self.refuse()
        with sender.Connection(self.daemon.forward, timeout_s=patience(30)) as waiting:
            waiting.send(self.chunk(1)[0])
            wait_for(lambda: self.ready().status == 503, patience(20), "ready to say 503")
            with self.assertRaises(OSError, msg="closed, and not acked"):
                waiting.read_ack()
        wait_for(lambda: self.is_in("failed"), patience(20), "the state to be failed")
        store = self.ready().json()["checks"]["store"]
        self.assertEqual(store["status"], "failing")
        self.assertIn("input/output error", store["detail"])
        self.assertEqual(self.daemon.rest.get("/api/v3/health/live").status, 200)
        self.assertEqual(self.daemon.ledger()["stored"], before["stored"], "nothing of it is visible")
        self.assertEqual(self.daemon.module("m0")["total_requests"], 50, "reads go on")

        senders = [sender.StubbornSender(lambda: self.daemon.forward, give_up_s=patience(60)) for _ in range(SENDERS)]
        insisting = [threading.Thread(target=senders[i].deliver, args=self.chunk(1 + i), daemon=True)
                     for i in range(SENDERS)]
        for thread in insisting:
            thread.start()
        self.assertFalse(self.is_in("ok"))
        refusal.end()
        for thread, one in zip(insisting, senders):
            thread.join(patience(30))
            self.assertFalse(thread.is_alive(), "acked once the disk syncs again")
            one.close()
        wait_for(lambda: self.ready().status == 200, patience(10), "ready again")
        after = self.daemon.ledger()
        self.assertEqual(after["stored"], before["stored"] + 50 * SENDERS)
        self.assertGreaterEqual(self.metric("tidemark_events_dropped_total"), 50)
        for line in ("store is in_doubt", "store is failed", "store is ok again, was failed"):
            self.assertEqual(self.daemon.log().count(line), 1, line + ": said once")
        self.daemon.restart("kill")
        self.assertEqual(self.daemon.ledger()["stored"], after["stored"])


if __name__ == "__main__":
    if not shutil.which("strace"):
        skip_file("strace is not installed")
    unittest.main(verbosity=2)
