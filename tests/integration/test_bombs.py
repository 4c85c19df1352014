#!/usr/bin/python3
"""Small inputs that ask for much: the daemon's peak memory stays within what its settings allow, the connection is closed
or the chunk acked, both are counted, and a sender beside them gets its acks all the time."""
import os
import struct
import sys
import time
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from calm import Calm
from daemon import Daemon, patience, sanitized_once, wait_for

MIB = 1 << 20
# What a busy daemon takes beside: its buffers, a commit, the store's pages.
SLACK_KIB = 24 * 1024


def zipped(piece, count):
    """gzip of `count` times the piece, without ever holding it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = piece * (MIB // len(piece))
    whole, rest = divmod(count * len(piece), len(block))
    out = [packer.compress(block) for _ in range(whole)]
    return b"".join(out) + packer.compress(block[:rest]) + packer.flush()


class Bombs(unittest.TestCase):
    def serve(self, settings=None):
        self.daemon = Daemon(dict({"ingest.threads": 1}, **(settings or {})))
        self.addCleanup(self.end)

    def end(self):
        try:
            if self.daemon.alive():
                self.daemon.stop()
        finally:
            self.daemon.close()

    def counter(self, name):
        text = self.daemon.rest.get("/api/v3/metrics/prometheus").body.decode()
        for line in text.splitlines():
            if line.startswith("tidemark_" + name + " "):
                return int(float(line.split()[1]))
        raise AssertionError("no counter " + name)

    def status_kib(self, what):
        with open("/proc/%d/status" % self.daemon.pid) as status:
            for line in status:
                if line.startswith(what + ":"):
                    return int(line.split()[1])
        raise AssertionError("no " + what)

    def during(self, what, harm, allowed_kib, acks=3):
        """Does harm beside a calm sender. The peak is that of this moment on, not of the daemon's whole life."""
        sender.deliver(self.daemon.forward, sender.message("m", time.time(), {}, "warmed-up-%s" % what), "warmed-up-%s" % what)
        with open("/proc/%d/clear_refs" % self.daemon.pid, "w") as clear:
            clear.write("5")
        before = self.status_kib("VmRSS")
        with Calm(self.daemon.forward, "127.0.0.9") as calm:
            wait_for(lambda: calm.count > 0 or calm.failure, patience(20), "the calm sender's first ack")
            first = calm.count
            harm()
            wait_for(lambda: calm.count >= first + acks or calm.failure, patience(20), "the calm sender's acks to go on")
        grown = self.status_kib("VmHWM") - before
        print("%s: peak %.1f MiB more than before (allowed %.0f), %d acks beside, the slowest after %.3f s, mean %.4f s"
              % (what, grown / 1024, allowed_kib / 1024, calm.count, calm.worst_s, calm.total_s / calm.count), flush=True)
        if not sanitized_once():
            self.assertLess(grown, allowed_kib, what)
        self.assertLess(calm.worst_s, patience(10), what)
        self.assertTrue(self.daemon.alive(), self.daemon.log()[-3000:])
        self.daemon.assert_books(self)

    def all_closed(self, pieces):
        peers = [sender.Connection(self.daemon.forward, timeout_s=patience(20)) for _ in pieces]
        try:
            for peer, data in zip(peers, pieces):
                try:
                    peer.send(data)
                except OSError:
                    pass  # closed while it was still sending
            for peer, data in zip(peers, pieces):
                self.assertTrue(peer.closed_by_peer(patience(20)), "not closed: %s" % data[:20].hex())
        finally:
            for peer in peers:
                peer.close()

    def test_headers_that_declare_four_thousand_million_elements(self):
        self.serve()
        heads = [bytes.fromhex(head) for head in (
            "ddffffffff", "dfffffffff", "92a161ddffffffff", "92a161dfffffffff", "92a161dbffffffff", "92a161c6ffffffff",
            "93a1610000ddffffffff", "93a16100dfffffffff")]
        self.during("4 G elements", lambda: self.all_closed(heads * 40), SLACK_KIB)
        # "[t, time, record" is over with an option declared behind it; all others close at their header
        self.assertEqual(self.counter("connections_closed_too_large_total")
                         + self.counter("connections_closed_malformed_total"), len(heads) * 40)

    def test_nesting(self):
        self.serve()
        deep = [b"\x91" * 600, b"\x81\xa1a" * 600, b"\x92\xa1a" + b"\x91" * 100000, b"\x91" * MIB]
        self.during("nesting", lambda: self.all_closed(deep * 20), SLACK_KIB)
        self.assertEqual(self.counter("connections_closed_malformed_total"), len(deep) * 20)

    def test_nesting_inside_a_payload_is_one_truncated_entry(self):
        self.serve()
        good = sender.entry(time.time(), {"module_id": "m"})

        def harm():
            for number in range(20):
                chunk = "deep-payload-%04d" % number
                sender.deliver(self.daemon.forward, sender.packed("t", good + b"\x92\x00\x81\xa1a" + b"\x91" * MIB, chunk), chunk)

        self.during("nesting in a payload", harm, SLACK_KIB)
        self.assertEqual(self.daemon.ledger()["rejected_by_reason"]["truncated"], 20)

    def refused(self, what, payload, allowed_kib, count=2):
        """The same payload from `count` connections at once: each chunk acked, and counted as too_large."""
        before = self.daemon.ledger()

        def harm():
            peers = [sender.Connection(self.daemon.forward, timeout_s=patience(60)) for _ in range(count)]
            try:
                for number, peer in enumerate(peers):
                    peer.send(sender.packed("t", payload, "bomb-%s-%04d" % (what, number), {"compressed": "gzip"}))
                for number, peer in enumerate(peers):
                    self.assertEqual(peer.read_ack(), "bomb-%s-%04d" % (what, number))
            finally:
                for peer in peers:
                    peer.close()

        self.during("%d x %s in %d KiB" % (count, what, len(payload) >> 10), harm, allowed_kib)
        after = self.daemon.ledger()
        self.assertEqual(after["chunks"]["rejected_by_reason"]["too_large"]
                         - before["chunks"]["rejected_by_reason"].get("too_large", 0), count)
        shown = self.daemon.rest.json("/api/v3/ingest/rejected")["rejected"]
        self.assertTrue(any(item["reason"] == "too_large" and item["tag"] == "t" for item in shown))

    def test_four_hundred_megabytes_in_less_than_half_a_one(self):
        bomb = zipped(b"\0", 400 * 1000 * 1000)
        self.assertLess(len(bomb), 500 * 1000)
        self.serve()
        self.refused("400 MB", bomb, 64 * 1024 + SLACK_KIB)

    def test_the_bound_on_what_is_unpacked_is_the_configured_one(self):
        self.serve({"ingest.max_unpacked_bytes": MIB})
        self.refused("400 MB", zipped(b"\0", 400 * 1000 * 1000), 1024 + SLACK_KIB)
        self.daemon.stop()
        self.daemon.close()
        self.serve({"ingest.max_unpacked_ratio": 10})  # 10 times 0.4 MB
        self.refused("400 MB", zipped(b"\0", 400 * 1000 * 1000), 4 * 1024 + SLACK_KIB)

    def test_twenty_million_events_in_sixty_kilobytes(self):
        bomb = zipped(b"\x92\0\x80", 20 * 1000 * 1000)  # three bytes each, and 32 in memory
        self.serve({"ingest.max_unpacked_ratio": 0})
        self.refused("20 M events", bomb, (64 + 2 * 64) * 1024 + SLACK_KIB)
        self.assertEqual(self.daemon.module("calm")["total_requests"], self.daemon.ledger()["stored"] - 1)

    def test_entries_at_the_bound_and_one_past_it(self):
        self.serve({"ingest.max_entries": 1000})
        for count in (1000, 1001):
            chunk = "entries-%04d" % count
            sender.deliver(self.daemon.forward, sender.packed("m.bound", b"\x92\0\x80" * count, chunk), chunk)
        books = self.daemon.assert_books(self)
        self.assertEqual((books["stored"], books["chunks"]["rejected_by_reason"]["too_large"]), (1000, 1))

    def test_endless_values(self):
        # as many as may be open, each the beginning of a str that is nearly as long as a request may be
        self.serve({"ingest.max_input_bytes": 48 * MIB})
        peers = [sender.Connection(self.daemon.forward) for _ in range(300)]
        piece = b"x" * 65536

        def harm():
            for peer in peers:
                peer.send(b"\x92\xa1t\xdb" + struct.pack(">I", 15 << 20))
                peer.socket.setblocking(False)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                moved = False
                for peer in peers:
                    try:
                        moved |= peer.socket.send(piece) > 0
                    except BlockingIOError:
                        pass  # it is not read any more
                    except OSError:
                        pass  # it was closed to make way
                if not moved:
                    time.sleep(0.01)

        try:
            self.during("300 endless values", harm, 48 * 1024 + SLACK_KIB)
            self.assertGreater(self.counter("input_waits_total"), 0)
        finally:
            for peer in peers:
                peer.close()
        wait_for(lambda: self.counter("input_bytes") == 0, patience(10), "the memory to be given back")
        large = sender.packed("m", sender.entry(time.time(), {"event": "debug", "message": "x" * 1000}) * 10000, "large-after-all")
        sender.deliver(self.daemon.forward, large, "large-after-all")

    def test_many_small_beginnings(self):
        # each too small to be asked whether there is memory
        self.serve({"ingest.max_input_bytes": 32 * MIB})
        peers = [sender.Connection(self.daemon.forward) for _ in range(2000)]

        def harm():
            for peer in peers:
                try:
                    peer.send(b"\x92\xa1t\xdb" + struct.pack(">I", 200000) + b"x" * 40000)
                except OSError:
                    pass  # closed to make way
            wait_for(lambda: self.counter("connections_closed_memory_total") > 0, patience(20), "the oldest to make way")

        try:
            self.during("2000 small beginnings", harm, 32 * 1024 + SLACK_KIB)
        finally:
            for peer in peers:
                peer.close()

    def test_more_modules_than_allowed_are_one(self):
        self.serve({"aggregation.max_modules": 1000})
        for count in (1000, 1001):
            chunk = "modules-%04d" % count
            data = b"".join(sender.entry(time.time(), {"module_id": "m%04d" % i, "event": "response", "duration_ms": 1})
                            for i in range(count))
            sender.deliver(self.daemon.forward, sender.packed("t", data, chunk), chunk)
            found = self.daemon.rest.json("/api/v3/metrics/modules", limit=1)["count"]
            self.assertEqual(found, count)  # the last of 1001 is __overflow__
        self.assertEqual(self.daemon.module("__overflow__")["total_requests"], 1)

        def harm():  # names that nobody will ever see
            for first in range(0, 200000, 20000):
                data = b"".join(sender.entry(time.time(), {"module_id": "flood-%d" % i, "duration_ms": 1})
                                for i in range(first, first + 20000))
                chunk = "flood-%06d" % first
                sender.deliver(self.daemon.forward, sender.packed("t", data, chunk), chunk)

        self.during("200 000 names", harm, 16 * 1024 + SLACK_KIB)
        self.assertEqual(self.daemon.rest.json("/api/v3/metrics/modules", limit=1)["count"], 1001)
        # all but those of the first thousand, and the one that warmed up, which is no operation
        self.assertEqual(self.daemon.module("__overflow__")["total_requests"], self.daemon.ledger()["stored"] - 2000 - 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
