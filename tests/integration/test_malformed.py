#!/usr/bin/python3
"""One row for each way in which a request can be wrong: what its sender gets (an ack, silence, a closed connection), what
is kept of it and what is counted. After each row a good request on the same connection, when that is still there."""
import gzip
import os
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import msgpack
import sender
from case import Case
from daemon import patience, wait_for

NOW = int(time.time())
RECORD = {"module_id": "rows", "event": "response"}
GOOD = sender.entry(NOW, RECORD)
CLOSED, SILENT = "closed", "silent"


class Raw(bytes):
    """Bytes of msgpack that no packer would make."""


def pack(value):
    """As sender.pack, with Raw values as they are."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, list):
        return msgpack.Packer().pack_array_header(len(value)) + b"".join(pack(one) for one in value)
    if isinstance(value, dict):
        return msgpack.Packer().pack_map_header(len(value)) + b"".join(pack(key) + pack(one) for key, one in value.items())
    return sender.pack(value)


def message(stamp, record=None, tag="t", chunk="CHUNK"):
    return [tag, stamp, RECORD if record is None else record, {"chunk": chunk}]


def packed(payload, **more):
    return ["t", payload, dict({"chunk": "CHUNK"}, **more)]


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def zipped(data):
    return gzip.compress(data)


GZIP = {"compressed": "gzip"}
BAD_CRC = zipped(GOOD)[:-8] + b"\x00" * 4 + zipped(GOOD)[-4:]

# name, request (CHUNK: an id of the row's own), what the sender gets (True: the ack), entries stored,
# entries rejected by reason, chunks rejected by reason
ROWS = [
    ("nil", None, SILENT, 0, {}, {}),
    ("bare map", RECORD, SILENT, 1, {}, {}),
    ("[]", [], CLOSED, 0, {}, {}),
    ("[tag]", ["t"], CLOSED, 0, {}, {}),
    ("[tag, time]", ["t", NOW], CLOSED, 0, {}, {}),
    ("int at top level", 5, SILENT, 0, {}, {}),
    ("str at top level", "hello", SILENT, 0, {}, {}),
    ("tag bin", message(NOW, tag=b"t"), True, 1, {}, {}),
    ("tag nil, module in the record", message(NOW, tag=None), True, 1, {}, {}),
    ("tag nil, no module", message(NOW, {"event": "response"}, None), True, 0, {"no_module": 1}, {}),
    ("tag int, no module", message(NOW, {"event": "response"}, 7), True, 0, {"no_module": 1}, {}),
    ("tag of 257 bytes, no module", message(NOW, {}, "t" * 257), True, 0, {"no_module": 1}, {}),
    ("time float", message(NOW + 0.5), True, 1, {}, {}),
    ("time nil", message(None), True, 1, {}, {}),
    ("time 0", message(0), True, 1, {}, {}),
    ("time ext 1", message(Raw(b"\xd7\x01" + struct.pack(">II", NOW, 0))), True, 0, {"bad_time": 1}, {}),
    ("time ext 0 of 4 bytes", message(Raw(b"\xd6\x00" + struct.pack(">I", NOW))), True, 0, {"bad_time": 1}, {}),
    ("time msgpack timestamp", message(Raw(b"\xd6\xff" + struct.pack(">I", NOW))), True, 1, {}, {}),
    ("time u64 from 2^63", message(1 << 63), True, 0, {"bad_time": 1}, {}),
    ("time negative", message(-1), True, 0, {"bad_time": 1}, {}),
    ("time in milliseconds", message(NOW * 1000), True, 0, {"bad_time": 1}, {}),
    ("time of 10^9 nanoseconds", message(Raw(b"\xd7\x00" + struct.pack(">II", NOW, 10 ** 9))), True, 0, {"bad_time": 1}, {}),
    ("time str", message("now"), True, 0, {"not_an_entry": 3}, {}),
    ("Message with [time, {}]", message([NOW, {}]), True, 0, {"not_an_entry": 2}, {}),
    ("record nil", message(NOW, Raw(b"\xc0")), True, 0, {"not_a_map": 1}, {}),
    ("record list", message(NOW, [1]), True, 0, {"not_a_map": 1}, {}),
    ("option list", ["t", NOW, RECORD, ["chunk", "CHUNK"]], SILENT, 1, {}, {}),
    ("option str", ["t", NOW, RECORD, "CHUNK"], SILENT, 1, {}, {}),
    ("chunk nil", message(NOW, chunk=None), SILENT, 1, {}, {}),
    ("chunk list", message(NOW, chunk=["CHUNK"]), SILENT, 1, {}, {}),
    ("chunk bin", message(NOW, chunk=b"\x00\xff0123456789"), b"\x00\xff0123456789", 1, {}, {}),
    ("chunk int", message(NOW, chunk=1234567890123), 1234567890123, 1, {}, {}),
    ("chunk empty", message(NOW, chunk=""), "", 1, {}, {}),
    ("chunk of 600 bytes", message(NOW, chunk="x" * 600), "x" * 600, 1, {}, {}),
    ("chunk over 4096 bytes", message(NOW, chunk="x" * 4094), CLOSED, 0, {}, {}),
    ("entries []", ["t", [], {"chunk": "CHUNK"}], True, 0, {}, {}),
    ("entries str", packed(""), True, 0, {}, {}),
    ("entries bin", packed(b""), True, 0, {}, {}),
    ("bad entries among good ones", ["t", [[NOW, RECORD], 7, [NOW], [NOW, 7], [-1, RECORD], [NOW, RECORD]],
                                     {"chunk": "CHUNK"}], True, 2, {"not_an_entry": 2, "not_a_map": 1, "bad_time": 1}, {}),
    ("packed: last entry cut", packed(GOOD + GOOD[:-3]), True, 1, {"truncated": 1}, {}),
    ("packed: c1 inside", packed(GOOD + b"\xc1" + GOOD), True, 1, {"truncated": 1}, {}),
    ("packed: no array between", packed(GOOD + b"\x07\xa1x" + GOOD), True, 2, {"not_an_entry": 2}, {}),
    ("packed: a giant declared inside", packed(GOOD + b"\xdd\xff\xff\xff\xff"), True, 1, {"truncated": 1}, {}),
    ("packed: too deep inside", packed(GOOD + b"\x92\x01" + b"\x91" * 40 + b"\x01"), True, 1, {"truncated": 1}, {}),
    ("gzip", packed(zipped(GOOD + GOOD), **GZIP), True, 2, {}, {}),
    ("gzip of several members", packed(zipped(GOOD) + zipped(GOOD), **GZIP), True, 2, {}, {}),
    ("gzip as str", ["t", Raw(b"\xda" + struct.pack(">H", len(zipped(GOOD))) + zipped(GOOD)),
                     {"chunk": "CHUNK", "compressed": "gzip"}], True, 1, {}, {}),
    ("gzip not declared", packed(zipped(GOOD)), True, 1, {}, {}),
    ("gzip declared as text", packed(GOOD, compressed="text"), True, 1, {}, {}),
    ("gzip cut", packed(zipped(GOOD)[:-9], **GZIP), True, 0, {}, {"bad_gzip": 1}),
    ("gzip with a bad CRC", packed(BAD_CRC, **GZIP), True, 0, {}, {"bad_gzip": 1}),
    ("gzip that is none", packed(GOOD, **GZIP), True, 0, {}, {"bad_gzip": 1}),
    ("gzip and zeros behind it", packed(zipped(GOOD) + b"\x00" * 8, **GZIP), True, 0, {}, {"bad_gzip": 1}),
    ("compressed lz4", packed(GOOD, compressed="lz4"), True, 0, {}, {"unknown_compression": 1}),
    ("compressed zstd", packed(GOOD, compressed="zstd"), True, 0, {}, {"unknown_compression": 1}),
    ("bomb", packed(zipped(b"\x00" * (80 << 20)), **GZIP), True, 0, {}, {"too_large": 1}),
    ("signal 0: logs", packed(GOOD, fluent_signal=0), True, 1, {}, {}),
    ("signal 1: metrics", packed(b"\x81\xa4meta\x80", fluent_signal=1), True, 0, {}, {"unsupported_signal": 1}),
    ("signal 2: traces", packed(b"\x81\xa4meta\x80", fluent_signal=2), True, 0, {}, {"unsupported_signal": 1}),
    ("signal 1 in Forward", ["t", [[NOW, RECORD]], {"chunk": "CHUNK", "fluent_signal": 1}], True, 0, {},
     {"unsupported_signal": 1}),
    ("signal 1 in a Message", ["t", NOW, RECORD, {"chunk": "CHUNK", "fluent_signal": 1}], True, 0, {},
     {"unsupported_signal": 1}),
    ("signal 1 without a chunk", ["t", b"\x80", {"fluent_signal": 1}], SILENT, 0, {}, {"unsupported_signal": 1}),
    ("Fluent Bit's marks of groups", packed(b"".join(
        pack([[Raw(b"\xd7\x00" + struct.pack(">II", seconds, 0)), {}], {}]) for seconds in (0xffffffff, 0xfffffffe)) + GOOD),
     True, 1, {}, {}),
    ("c1 as a request", Raw(b"\xc1"), CLOSED, 0, {}, {}),
    ("str of 4 GiB", Raw(b"\x92\xa1t\xdb\xff\xff\xff\xff"), CLOSED, 0, {}, {}),
    ("bin of 4 GiB", Raw(b"\x92\xa1t\xc6\xff\xff\xff\xff"), CLOSED, 0, {}, {}),
    ("array of 4 G", Raw(b"\xdd\xff\xff\xff\xff"), CLOSED, 0, {}, {}),
    ("map of 4 G", Raw(b"\xdf\xff\xff\xff\xff"), CLOSED, 0, {}, {}),
    ("32 deep", ["t", NOW, dict(RECORD, deep=nested(30)), {"chunk": "CHUNK"}], True, 1, {}, {}),
    ("33 deep", ["t", NOW, dict(RECORD, deep=nested(31)), {"chunk": "CHUNK"}], CLOSED, 0, {}, {}),
    ("600 deep", Raw(b"\x91" * 600), CLOSED, 0, {}, {}),
]


def with_chunk(value, chunk):
    if isinstance(value, str) and value == "CHUNK":
        return chunk
    if isinstance(value, list):
        return [with_chunk(one, chunk) for one in value]
    if isinstance(value, dict):
        return {key: with_chunk(one, chunk) for key, one in value.items()}
    return value


def difference(after, before):
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count != before.get(reason, 0)}


class Malformed(Case):
    settings = {"aggregation.lateness_s": 2147483647}

    def exchange(self, number, name, request, wanted):
        own, marker = "malformed-%04d" % number, "after-malformed-%04d" % number
        with sender.Connection(self.daemon.forward, timeout_s=patience(10)) as peer:
            peer.send(sender.message("t", NOW, RECORD, "before" + marker))
            self.assertEqual(peer.read_ack(), "before" + marker)
            try:
                peer.send(pack(with_chunk(request, own)))
            except OSError:
                self.assertEqual(wanted, CLOSED, name)
            if wanted == CLOSED:
                self.assertTrue(peer.closed_by_peer(patience(5)), name + ": not closed")
                return 1
            if wanted != SILENT:
                answer = sender.ack_bytes(own if wanted is True else wanted)
                self.assertEqual(peer.read_exactly(len(answer)), answer, name + ": the ack")
            peer.send(sender.message("t", NOW, RECORD, marker))
            answer = sender.ack_bytes(marker)
            self.assertEqual(peer.read_exactly(len(answer)), answer, name + ": silence, and a good request on the same "
                             "connection")
            return 2

    @staticmethod
    def received(books):
        return books["received"] + books["chunks"]["rejected"]

    def test_every_row(self):
        for number, (name, request, wanted, stored, entries, chunks) in enumerate(ROWS):
            with self.subTest(row=name):
                before = self.daemon.ledger()
                good = self.exchange(number, name, request, wanted)
                if wanted == SILENT:  # what is in no chunk may be committed after the next chunk
                    wait_for(lambda: self.received(self.daemon.ledger()) - self.received(before)
                             == stored + good + sum(entries.values()) + sum(chunks.values()), patience(5), name)
                after = self.daemon.assert_books(self)
                self.assertEqual(after["stored"] - before["stored"], stored + good, "stored")
                self.assertEqual(difference(after["rejected_by_reason"], before["rejected_by_reason"]), entries)
                self.assertEqual(difference(after["chunks"]["rejected_by_reason"],
                                            before["chunks"]["rejected_by_reason"]), chunks)
                shown = self.rest.json("/api/v3/ingest/rejected")["rejected"][:sum(entries.values()) + sum(chunks.values())]
                self.assertEqual(sorted(item["reason"] for item in shown), sorted(
                    reason for reasons in (entries, chunks) for reason, count in reasons.items() for _ in range(count)))
                for item in shown:
                    self.assertTrue(item["peer"].startswith("127.0.0.1:"), item)
                    self.assertTrue(item["excerpt"], item)

    def test_a_chunk_that_was_refused_is_acked_again_and_counted_once(self):
        for chunk, data in (("refused-again-1", sender.packed("t", GOOD, "refused-again-1", {"compressed": "lz4"})),
                            ("refused-again-2", sender.packed("t", GOOD, "refused-again-2", {"fluent_signal": 2}))):
            before = self.daemon.ledger()["chunks"]
            for _ in range(3):
                sender.deliver(self.daemon.forward, data, chunk)
            after = self.daemon.ledger()["chunks"]
            self.assertEqual((after["rejected"] - before["rejected"], after["duplicate"] - before["duplicate"]), (1, 2))

    def test_a_chunk_id_below_eight_bytes_says_nothing(self):
        before = self.daemon.ledger()["stored"]
        for chunk in ("", "seven77", "eight888"):
            for _ in range(2):
                sender.deliver(self.daemon.forward, sender.message("t", NOW, RECORD, chunk), chunk)
        self.assertEqual(self.daemon.ledger()["stored"] - before, 2 + 2 + 1)

    def test_odd_tags_and_options_are_counted(self):
        text = self.rest.get("/api/v3/metrics/prometheus").text()
        count = {name: int(text.split("\n%s " % name)[1].split("\n")[0])
                 for name in ("tidemark_bad_options_total", "tidemark_bad_tags_total")}
        with sender.Connection(self.daemon.forward) as peer:
            for option in ([], "chunk", 5, {"chunk": ["odd"]}):
                peer.send(sender.pack(["t", NOW, RECORD, option]))
            for tag in (None, 7, ["t"]):
                peer.send(sender.pack([tag, NOW, RECORD]))
            peer.send(sender.message("t", NOW, RECORD, "odd-counted-1"))
            self.assertEqual(peer.read_ack(), "odd-counted-1")
        text = self.rest.get("/api/v3/metrics/prometheus").text()  # counted before the ack
        for name, more in (("tidemark_bad_options_total", 4), ("tidemark_bad_tags_total", 3)):
            self.assertIn("\n%s %d\n" % (name, count[name] + more), text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
