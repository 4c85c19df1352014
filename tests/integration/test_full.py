#!/usr/bin/python3
"""A full disk, caused for real on a small tmpfs (root only): no ack, reads go on, /health/ready says so with 503, and
when there is space again the same bytes are acked and counted once, without a restart."""
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, patience, wait_for

SIZE_MIB = 24


class Full(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon({"aggregation.interval_s": 30}, start=False)
        self.addCleanup(self.daemon.close)
        self.disk = os.path.join(self.daemon.home, "disk")
        os.mkdir(self.disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % SIZE_MIB, "tmpfs", self.disk],
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest("no tmpfs can be mounted here: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        self.daemon.data_dir = os.path.join(self.disk, "data")
        self.daemon.start()

    def chunk(self, number, events):
        identity = "full-disk-%08d" % number
        entries = [(0, {"module_id": "m%05d" % (number * events + i), "event": "response", "duration_ms": i + 1})
                   for i in range(events)]
        return sender.forward("mod", entries, identity), identity

    def fill(self):
        """Leaves less than a page."""
        ballast = os.open(os.path.join(self.disk, "ballast"), os.O_WRONLY | os.O_CREAT)
        size = 65536
        while size:
            try:
                os.write(ballast, b"\0" * size)
            except OSError:
                size //= 16
        os.close(ballast)

    def test_a_full_disk_stops_acks_and_nothing_else(self):
        data, identity = self.chunk(0, 500)
        sender.deliver(self.daemon.forward, data, identity)
        before = self.daemon.ledger()
        self.fill()
        data, identity = self.chunk(1, 2000)
        acked = threading.Event()

        def insist():
            sender.deliver(self.daemon.forward, data, identity)
            acked.set()

        insisting = threading.Thread(target=insist, daemon=True)
        insisting.start()
        wait_for(lambda: self.daemon.rest.get("/api/v3/health/ready").status == 503, 20, "ready to say 503")
        self.assertFalse(acked.is_set(), "nothing is acked")
        ready = self.daemon.rest.get("/api/v3/health/ready").json()
        self.assertEqual(ready["checks"]["store"]["status"], "failing")
        self.assertEqual(self.daemon.rest.get("/api/v3/health/live").status, 200)
        self.assertEqual(self.daemon.ledger()["stored"], before["stored"], "nothing of it is visible")
        self.assertEqual(self.daemon.module("m00000")["total_requests"], 1, "reads go on")
        os.unlink(os.path.join(self.disk, "ballast"))
        self.assertTrue(acked.wait(patience(20)), "it is acked once there is space")
        wait_for(lambda: self.daemon.rest.get("/api/v3/health/ready").status == 200, 10, "ready again")
        after = self.daemon.ledger()
        self.assertEqual(after["stored"], before["stored"] + 2000)
        self.assertEqual(after["duplicate"], before["duplicate"], "the sender did not have to send it again")
        self.assertEqual(self.daemon.log().count("store is full"), 1, "said once")
        self.daemon.restart("kill")
        self.assertEqual(self.daemon.ledger()["stored"], after["stored"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
