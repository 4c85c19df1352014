"""What the tests of the REST answers share: one daemon per class, events that are committed when send() returns."""
import datetime
import time
import unittest

import sender
from daemon import Daemon


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Served(unittest.TestCase):
    """One daemon per class, which must end well when asked to. A class that needs more says so in setUpClass, after
    super()'s, and leaves what is to be tidied with addClassCleanup."""
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(cls.settings)
        cls.addClassCleanup(cls.daemon.close)
        cls.rest = cls.daemon.rest

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()


class Case(Served):
    """send() returns once the events are committed."""
    serial = 0

    @classmethod
    def send(cls, records, at_s=None):
        """records: dicts, or (unix_s, dict) pairs."""
        Case.serial += 1
        chunk = "rest-%08d" % Case.serial
        now = time.time()
        entries = [one if isinstance(one, tuple) else (at_s or now, one) for one in records]
        sender.deliver(cls.daemon.forward, sender.forward("mod.rest", entries, chunk), chunk)

    @staticmethod
    def operations(module, count, failed=0, duration_ms=100.0, **more):
        return [dict({"module_id": module, "event": "response", "success": i >= failed, "duration_ms": duration_ms},
                     **more) for i in range(count)]
