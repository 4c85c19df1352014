#!/usr/bin/python3
"""Hostile and broken bytes: ten thousand mutated captures, bombs, endless values. The daemon never dies, a bad
connection is closed and no other is disturbed, and what was rejected is counted by reason and shown. Under the sanitizer
build the same file proves that no byte out of bounds was read."""
import os
import random
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Served
from daemon import patience, sanitized_once, seed, source_dir, wait_for

SEED = seed()
MUTANTS = int(os.environ.get("TIDE_MUTANTS") or 10000)
PARALLEL = 100
GOLDEN = os.path.join(source_dir(), "tests", "golden", "wire")


def captures():
    found = []
    for name in sorted(os.listdir(GOLDEN)):
        if name.endswith(".c2s.bin"):
            with open(os.path.join(GOLDEN, name), "rb") as capture:
                found.append(capture.read())
    return found


def mutate(rng, streams):
    data = bytearray(rng.choice(streams))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) or 1)
        how = rng.randrange(8)
        if not data:
            data += b"\xc0"
        elif how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.choice((0x00, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc4, 0xc7, 0xca, 0xcb, 0xcf, 0xd3, 0xd7,
                                   0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff, rng.randrange(256)))
        elif how == 2:
            del data[at:]
        elif how == 3:
            del data[at:at + rng.randrange(1, 9)]
        elif how == 4:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif how == 5:
            end = min(len(data), at + rng.randrange(1, 64))
            data[at:at] = data[at:end] * rng.randrange(1, 4)
        elif how == 6:
            other = rng.choice(streams)
            data[at:] = other[rng.randrange(len(other)):]
        else:
            data[at:at + 4] = struct.pack(">I", rng.choice((0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x00ffffff)))
    return bytes(data)


class BadInput(Served):
    settings = {"aggregation.lateness_s": 2147483647}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.serial = 0

    def assert_alive(self, healthy=None):
        """It answers, on the HTTP port and (on a connection opened long before, if given) on the Forward port."""
        self.assertTrue(self.daemon.alive(), self.daemon.log()[-5000:])
        type(self).serial += 1
        chunk = "alive-%08d" % self.serial
        data = sender.message("mod.alive", time.time(), {"event": "response", "duration_ms": 1}, chunk)
        if healthy is None:
            sender.deliver(self.daemon.forward, data, chunk)
        else:
            healthy.send(data)
            self.assertEqual(healthy.read_ack(), chunk)
        self.assertEqual(self.daemon.rest.get("/api/v3/health/live").status, 200)

    def rejected(self):
        return self.daemon.ledger()["rejected_by_reason"]

    def wait_rejected(self, reason, at_least):
        wait_for(lambda: self.rejected().get(reason, 0) >= at_least, patience(5),
                 lambda: "%s >= %d in %r" % (reason, at_least, self.rejected()))

    def test_mutated_captures_close_only_their_own_connection(self):
        rng = random.Random(SEED)
        streams = captures()
        before = self.daemon.ledger()
        with sender.Connection(self.daemon.forward, "127.0.0.3") as healthy:
            for first in range(0, MUTANTS, PARALLEL):
                source = "127.2.%d.%d" % (1 + first // PARALLEL // 250, 1 + first // PARALLEL % 250)
                peers = []
                for _ in range(min(PARALLEL, MUTANTS - first)):
                    data = mutate(rng, streams)
                    peer = sender.Connection(self.daemon.forward, source, timeout_s=patience(20))
                    peers.append((peer, data))
                    try:
                        cut = rng.randrange(len(data) + 1)
                        peer.send(data[:cut])
                        peer.send(data[cut:])
                        peer.finish_sending()
                    except OSError:
                        pass  # it was closed already: that is its right
                self.assert_alive(healthy)
                for peer, data in peers:
                    try:
                        peer.read_to_end()
                    except TimeoutError:
                        self.fail("neither answered nor closed after the end of %s" % data.hex())
                    finally:
                        peer.close()
            self.assert_alive(healthy)
        books = self.daemon.assert_books(self)
        print("of %d mutants: %d entries received, %d stored, %d rejected %r, %d chunks, rejected %r"
              % (MUTANTS, books["received"] - before["received"], books["stored"] - before["stored"],
                 books["rejected"] - before["rejected"], books["rejected_by_reason"], books["chunks"]["committed"],
                 books["chunks"]["rejected_by_reason"]), flush=True)
        self.assertGreater(books["rejected"], before["rejected"])
        self.assertGreater(len([count for count in books["rejected_by_reason"].values() if count]), 3)

    def closes(self, data, what):
        with sender.Connection(self.daemon.forward) as peer:
            try:
                peer.send(data)
            except OSError:
                pass
            self.assertTrue(peer.closed_by_peer(patience(5)), what + ": not closed")
        self.assert_alive()

    def test_declared_sizes_are_not_believed(self):
        with sender.Connection(self.daemon.forward) as healthy:
            for head in ("ddffffffff", "dfffffffff", "93a1610000dd7fffffff", "92a161ddffffffff", "92a161dfffffffff",
                         "92a161dbffffffff", "92a161c6ffffffff", "dbffffffff", "92a161c9ffffffff00"):
                self.closes(bytes.fromhex(head), "a value that declares 4 G: " + head)
            self.assert_alive(healthy)

    def test_deep_nesting_is_refused(self):
        with sender.Connection(self.daemon.forward) as healthy:
            self.closes(b"\x91" * 600, "600 arrays in one another")
            self.closes(b"\x81\xa1a" * 600, "600 maps in one another")
            self.closes(b"\x92\xa1a" + b"\x91" * 100000, "100 000 arrays in one another")
            self.assert_alive(healthy)

    def test_what_is_no_forward_client_is_closed(self):
        for data, what in ((b"\x16\x03\x01\x02\x00\x01", "a TLS hello"), (b"GET / HTTP/1.1\r\n\r\n", "an HTTP request"),
                           (b"\xc1", "byte c1"), (b"\x90", "an empty array"), (b"\x91\xa1a", "a tag alone"),
                           (b"\x05", "an int first"), (b"\xa5hello", "a str first")):
            self.closes(data, what)

    def test_stray_values_are_ignored_and_sixteen_are_too_many(self):
        with sender.Connection(self.daemon.forward) as peer:
            peer.send(b"\xc0" * 100)  # heartbeats
            self.assert_alive(peer)
            peer.send(b"\x05\xa1x")
            self.assert_alive(peer)
            peer.send(b"\x05" * 40)
            self.assertTrue(peer.closed_by_peer(patience(5)))
        self.assert_alive()

    def test_an_endless_value_takes_bounded_memory(self):
        # str32 of just under the frame limit, begun by forty, finished by none: 600 MiB, were it believed
        record = {"module_id": "mod.large", "event": "response", "message": "x" * 1000}
        large = sender.packed("mod.large", sender.entry(time.time(), record) * 1000, "large-frame-0001")
        before = self.daemon.resident_kib()
        peers = [sender.Connection(self.daemon.forward, timeout_s=patience(30)) for _ in range(40)]
        try:
            with sender.Connection(self.daemon.forward) as healthy:
                for peer in peers:
                    peer.send(b"\x92\xa5mod.x\xdb" + struct.pack(">I", 15 << 20))
                for peer in peers:
                    peer.socket.setblocking(False)
                    left = 14 << 20
                    try:
                        while left > 0:
                            left -= peer.socket.send(b"x" * 65536)
                    except BlockingIOError:
                        pass  # it is not read any more: memory is spent
                    self.assert_alive(healthy)
                grown = self.daemon.resident_kib() - before
                print("forty unfinished frames of 15 MiB: %.1f MiB more resident" % (grown / 1024), flush=True)
                if not sanitized_once():
                    self.assertLess(grown, 160 * 1024)
                self.assert_alive(healthy)
        finally:
            for peer in peers:
                peer.close()
        sender.deliver(self.daemon.forward, large, "large-frame-0001")  # and their memory is free again
        self.assert_alive()

    def test_rejected_entries_are_counted_and_shown(self):
        now = time.time()
        ok = {"module_id": "m", "event": "response", "duration_ms": 5}
        cases = [
            ("bad_module_id", (now, dict(ok, module_id="bell\x07"))),
            ("bad_module_id", (now, dict(ok, module_id="x" * 129))),
            ("bad_module_id", (now, dict(ok, module_id=7))),
            ("bad_event", (now, dict(ok, event=7))),
            ("bad_duration", (now, dict(ok, duration_ms=-1))),
            ("bad_duration", (now, dict(ok, duration_ms=float("nan")))),
            ("bad_duration", (now, dict(ok, duration_ms=float("inf")))),
            ("bad_duration", (now, dict(ok, duration_ms="soon"))),
            ("bad_success", (now, dict(ok, success="perhaps"))),
            ("bad_status", (now, dict(ok, status=[]))),
            ("bad_sample_rate", (now, dict(ok, sample_rate=0))),
            ("bad_sample_rate", (now, dict(ok, sample_rate=1.5))),
        ]
        entries = [case[1] for case in cases]
        before = self.rejected()
        books = self.daemon.ledger()
        data = sender.forward("mod.reject", entries + [(now, ok)], "rejects-00000001")
        sender.deliver(self.daemon.forward, data, "rejects-00000001")  # content never blocks a producer: acked
        for reason in {case[0] for case in cases}:
            expected = sum(1 for case in cases if case[0] == reason)
            self.assertEqual(self.rejected().get(reason, 0) - before.get(reason, 0), expected, reason)
        after = self.daemon.assert_books(self)
        self.assertEqual(after["stored"] - books["stored"], 1, "the good entry among them is kept")
        self.assertEqual(after["rejected"] - books["rejected"], len(cases))

        answer = self.daemon.rest.json("/api/v3/ingest/rejected")
        listed = answer["rejected"]
        self.assertGreaterEqual(answer["count"], len(cases))
        mine = [item for item in listed if item["tag"] == "mod.reject"]
        self.assertEqual(sorted(item["reason"] for item in mine), sorted(case[0] for case in cases))
        for item in mine:
            self.assertEqual(set(item), {"timestamp", "reason", "peer", "tag", "excerpt"})
            self.assertTrue(item["peer"].startswith("127.0.0.1:"), item["peer"])
            self.assertTrue(item["excerpt"], item)
            self.assertNotIn("\x07", item["excerpt"])

    def raw_reject(self, reason, data, stored, count=1):
        """A request with a bad entry: acked, counted, and the good entries are kept."""
        before, books = self.rejected(), self.daemon.ledger()
        chunk = data[1]
        sender.deliver(self.daemon.forward, data[0], chunk)
        self.assertEqual(self.rejected().get(reason, 0) - before.get(reason, 0), count, reason)
        self.assertEqual(self.daemon.assert_books(self)["stored"] - books["stored"], stored, reason)

    def test_bad_entries_among_good_ones(self):
        good = sender.entry(time.time(), {"module_id": "m", "event": "response"})
        when = sender.pack(sender.event_time(time.time()))
        record = sender.pack({"module_id": "m", "event": "response"})

        def chunk(payload, name):
            name = "among-" + name + "-0001"
            return sender.packed("mod.m", payload, name), name

        self.raw_reject("truncated", chunk(good + good[:-5], "cut"), 1)
        self.raw_reject("not_an_entry", chunk(good + b"\x05" + good, "int"), 2)
        self.raw_reject("not_a_map", chunk(good + b"\x92" + when + b"\xc0" + good, "nil"), 2)
        self.raw_reject("not_a_map", chunk(b"\x92" + when + b"\x91\x01" + good, "list"), 1)
        self.raw_reject("bad_time", chunk(b"\x92\xd4\x01\x00" + record + good, "ext1"), 1)
        self.raw_reject("bad_time", chunk(b"\x92\xcf" + b"\xff" * 8 + record + good, "u64"), 1)
        self.raw_reject("bad_time", chunk(b"\x92\xff" + record + good, "negative"), 1)
        nameless = sender.message("", time.time(), {"event": "response"}, "among-nameless-01"), "among-nameless-01"
        self.raw_reject("no_module", nameless, 0)

    def test_unknown_compression_and_foreign_signals_are_acked_and_counted(self):
        payload = sender.entry(time.time(), {"module_id": "m", "event": "response"})
        for reason, option in (("unknown_compression", {"compressed": "lz4"}), ("unsupported_signal", {"fluent_signal": 1})):
            before = self.daemon.ledger()
            chunk = "refused-" + reason
            sender.deliver(self.daemon.forward, sender.packed("mod.m", payload, chunk, option), chunk)
            after = self.daemon.assert_books(self)
            self.assertEqual(after["chunks"]["rejected_by_reason"].get(reason, 0)
                             - before["chunks"]["rejected_by_reason"].get(reason, 0), 1, reason)
            self.assertEqual(after["received"], before["received"], reason)

    def test_a_client_that_never_reads_its_acks_harms_nobody(self):
        record = {"module_id": "deaf", "event": "response"}
        with sender.Connection(self.daemon.forward, timeout_s=patience(30)) as deaf:
            count = 20000  # 30 bytes of ack each: more than the socket buffers and the cap hold
            now = time.time()
            batch = []
            for i in range(count):
                batch.append(sender.message("mod.deaf", now, record, "deaf-%016d" % i))
                if len(batch) == 500:
                    deaf.send(b"".join(batch))
                    batch = []
            wait_for(lambda: self.daemon.rest.get("/api/v3/metrics/module", module_id="deaf").status == 200
                     and self.daemon.module("deaf")["total_requests"] == count, patience(60),
                     "all events of a client that reads no acks")
            self.assert_alive()


if __name__ == "__main__":
    unittest.main(verbosity=2)
