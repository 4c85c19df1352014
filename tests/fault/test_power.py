#!/usr/bin/python3
"""The power goes, for real as far as a file system can tell: the store lies on an ext4 of its own, on a loop device,
which is shut down without flushing its journal (EXT4_IOC_SHUTDOWN) while four senders insist on their acks. The daemon
is killed, the file system mounted again with what had reached the device, and the daemon started on it.

The load and the questions are those of integration.kill9: every answer lies between what had been acked and what had
been sent, and in the end every total equals what was acked. Needs root, loop devices and mkfs.ext4, else it is skipped.
TIDE_ROUNDS sets the number of cuts.
"""
import fcntl
import os
import random
import struct
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import test_kill9
from daemon import Daemon, skip_file, wait_for

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
DISK_MIB = 96
CUTS = int(os.environ.get("TIDE_ROUNDS") or (60 if os.environ.get("TIDE_LONG") else 8))


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


class PowerCut(test_kill9.Kill9):
    test_every_total_equals_what_was_acked_after_any_number_of_kills = None

    def setUp(self):
        self.daemon = Daemon({"aggregation.interval_s": 1, "aggregation.grace_s": 0,
                              "aggregation.lateness_s": test_kill9.LATENESS_S, "aggregation.future_s": 60}, start=False)
        self.addCleanup(self.daemon.close)
        self.image = os.path.join(self.daemon.home, "disk.ext4")
        self.disk = os.path.join(self.daemon.home, "disk")
        self.seen = {}
        os.mkdir(self.disk)
        with open(self.image, "wb") as image:
            image.truncate(DISK_MIB << 20)
        try:
            done = run("mkfs.ext4", "-q", "-F", self.image)
        except FileNotFoundError:
            self.skip("there is no mkfs.ext4")
        if done.returncode:
            self.skip("mkfs.ext4: " + done.stderr.strip())
        why = self.mount()
        if why:
            self.skip("no loop device can be mounted here: " + why)
        self.addCleanup(run, "umount", "-l", self.disk)
        self.daemon.data_dir = os.path.join(self.disk, "data")
        self.daemon.start()
        self.where = self.daemon.forward

    def skip(self, why):
        self.doCleanups()
        skip_file(why)

    def mount(self):
        done = run("mount", "-o", "loop", self.image, self.disk)
        return done.stderr.strip() or "mount failed" if done.returncode else None

    def shut_down(self):
        disk = os.open(self.disk, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(disk, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        except OSError as error:
            self.skip("EXT4_IOC_SHUTDOWN: %s" % error)
        finally:
            os.close(disk)

    def test_i1_i2_no_acked_event_is_lost_and_none_counted_twice_by_power_cuts(self):
        rng = random.Random(test_kill9.SEED)
        self.started = time.time()
        load = test_kill9.Load(lambda: self.where)
        try:
            for _ in range(CUTS):
                end = time.monotonic() + rng.choice((rng.uniform(0, 0.2), rng.uniform(0.3, 1.5)))
                while time.monotonic() < end:
                    self.poll(load, rng)
                    time.sleep(min(0.03, max(0, end - time.monotonic())))
                self.shut_down()
                time.sleep(rng.uniform(0, 0.1))  # it may notice, and must not ack
                self.where = None
                self.daemon.kill()
                wait_for(lambda: run("umount", self.disk).returncode == 0, 20, "umount")
                why = self.mount()
                self.assertIsNone(why)
                self.daemon.start()
                self.where = self.daemon.forward
                self.poll(load, rng)
                if load.failures:
                    break
        except BaseException:
            load.stopping.set()  # its threads are left to themselves: there may be no server any more
            raise
        load.stop()
        with load.lock:
            acked = load.acked
            self.assertEqual(acked.chunks, load.sent.chunks, "every sender ends with its last chunk acked")
        print("%d power cuts, %d chunks, %d events stored, %d late, %d resends"
              % (CUTS, acked.chunks, acked.stored, acked.late, load.resends), flush=True)
        self.assert_totals(acked)
        self.daemon.restart("kill")
        self.assert_totals(acked)
        self.daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
