#!/usr/bin/python3
"""JSON requests on the Forward port: every mode, acks as JSON, any segmentation, mixed with msgpack; the same books."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Case
from daemon import patience, wait_for


class Peer(sender.Connection):
    """A connection that reads JSON acks, one after the other, with nothing between them."""
    text = ""

    def ask(self, *requests):
        self.send("".join(json.dumps(request) for request in requests).encode())

    def read_json(self):
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self.text)
                self.text = self.text[end:]
                return value
            except ValueError:
                piece = self.socket.recv(65536)
                if not piece:
                    raise ConnectionError("closed before the ack")
                self.text += piece.decode()


class JsonRequests(Case):
    def test_every_mode_is_taken_and_acked_as_json(self):
        now = int(time.time())
        event = {"module_id": "modes", "event": "response", "duration_ms": 12.5}
        with Peer(self.daemon.forward) as peer:
            peer.ask(["t", now, event, {"chunk": "json-message-1"}])
            self.assertEqual(peer.read_json(), {"ack": "json-message-1"})
            peer.ask(["t", [[now, event], [now + 0.25, event], [0, event], [None, event]], {"chunk": "json-forward-1"}])
            self.assertEqual(peer.read_json(), {"ack": "json-forward-1"})
            peer.ask(dict(event, timestamp=now), ["t", now, event], ["t", now, event, None], ["t", now, event, {}],
                     ["t", now, event, {"chunk": None}], ["t", [[now, event]]])
            peer.ask(["t", now, event, {"chunk": "json \"quoted\\ \u20ac\n"}])
            self.assertEqual(peer.read_json(), {"ack": "json \"quoted\\ \u20ac\n"}, "the only ack after six without")
        wait_for(lambda: self.daemon.module("modes")["total_requests"] == 12, patience(5), "twelve operations")
        self.assertEqual(self.daemon.module("modes")["average_response_time_ms"], 12.5)
        self.daemon.assert_books(self)

    def test_a_resend_counts_once(self):
        request = ["t", int(time.time()), {"module_id": "again", "event": "response"}, {"chunk": "json-resend-1"}]
        for _ in range(3):
            with Peer(self.daemon.forward) as peer:
                peer.ask(request)
                self.assertEqual(peer.read_json(), {"ack": "json-resend-1"})
        self.assertEqual(self.daemon.module("again")["total_requests"], 1)
        self.assertGreaterEqual(self.daemon.assert_books(self)["chunks"]["duplicate"], 2)

    def test_json_and_msgpack_share_a_connection(self):
        now = int(time.time())
        event = {"module_id": "mixed", "event": "response"}
        with Peer(self.daemon.forward) as peer:
            for i in range(20):
                peer.send(sender.message("t", now, event, "mixed-msgpack-%02d" % i))
                self.assertEqual(peer.read_ack(), "mixed-msgpack-%02d" % i)
                peer.ask(["t", now, event, {"chunk": "mixed-json-%02d" % i}])
                self.assertEqual(peer.read_json(), {"ack": "mixed-json-%02d" % i})
                peer.send(b"\r\n" if i % 2 else b"\xc0")
        self.assertEqual(self.daemon.module("mixed")["total_requests"], 40)

    def test_lines_byte_by_byte_and_pipelined(self):
        now = int(time.time())
        event = {"module_id": "cut", "event": "response", "path": "a[b]{c}\"d\\", "deep": {"x": [[], {}, [None]]}}
        chunks = ["json-cut-%04d" % i for i in range(30)]
        stream = "\n".join(json.dumps(["t", now, event, {"chunk": chunk}], indent=i % 3 or None)
                           for i, chunk in enumerate(chunks)).encode() + b"\n"
        with Peer(self.daemon.forward) as peer:
            for at in range(0, 600):
                peer.send(stream[at:at + 1])
            peer.send(stream[600:])
            self.assertEqual([peer.read_json()["ack"] for _ in chunks], chunks)
        self.assertEqual(self.daemon.module("cut")["total_requests"], len(chunks))

    def test_a_large_text_is_taken(self):
        now = int(time.time())
        entries = [[now, {"module_id": "large", "event": "response", "note": "x" * 300}] for _ in range(20000)]
        with Peer(self.daemon.forward, timeout_s=patience(30)) as peer:
            peer.ask(["t", entries, {"chunk": "json-large-1"}])
            self.assertEqual(peer.read_json(), {"ack": "json-large-1"})
        self.assertEqual(self.daemon.module("large")["total_requests"], len(entries))

    def test_bad_entries_are_counted_and_the_chunk_is_acked(self):
        now = int(time.time())
        good = {"module_id": "json.bad", "event": "response"}
        before = self.daemon.ledger()
        with Peer(self.daemon.forward) as peer:
            peer.ask(["json.tag", [[now, good], [now, dict(good, duration_ms=-1)], [now, 7], 7, ["soon", good], [now, good]],
                      {"chunk": "json-entries-1"}])
            self.assertEqual(peer.read_json(), {"ack": "json-entries-1"})
        after = self.daemon.assert_books(self)
        self.assertEqual(after["stored"] - before["stored"], 2)
        for reason in ("bad_duration", "not_a_map", "not_an_entry", "bad_time"):
            self.assertEqual(after["rejected_by_reason"].get(reason, 0) - before["rejected_by_reason"].get(reason, 0), 1, reason)
        mine = [item for item in self.rest.json("/api/v3/ingest/rejected")["rejected"] if item["tag"] == "json.tag"]
        self.assertEqual(len(mine), 4)
        self.assertTrue(any("json.bad" in item["excerpt"] for item in mine), mine)

    def test_broken_json_closes_only_its_own_connection(self):
        now = int(time.time())
        event = {"module_id": "sound", "event": "response"}
        with Peer(self.daemon.forward) as other:
            for i, text in enumerate((b"[1,]", b"[]", b"[\"tag\"]", b"[\"tag\", 1]", b"{\"a\":tru}", b"[\"a\tb\"]", b"[}",
                                      b"[" * 33, b"{\"a\":" * 33)):
                with Peer(self.daemon.forward) as peer:
                    peer.ask(["t", now, event, {"chunk": "json-sound-%02d" % i}])
                    self.assertEqual(peer.read_json(), {"ack": "json-sound-%02d" % i}, "what came before it is acked")
                    peer.send(text)
                    self.assertTrue(peer.closed_by_peer(patience(5)), text)
                other.ask(["t", now, event, {"chunk": "json-other-%02d" % i}])
                self.assertEqual(other.read_json(), {"ack": "json-other-%02d" % i})
        self.assertEqual(self.daemon.module("sound")["total_requests"], 18)

    def test_an_endless_text_is_closed_at_the_limit(self):
        with Peer(self.daemon.forward) as peer:
            try:
                for _ in range(20):
                    peer.send(b"[\"" + b"x" * (1 << 20) if _ == 0 else b"x" * (1 << 20))
            except OSError:
                pass
            self.assertTrue(peer.closed_by_peer(patience(10)))
        self.assertIn("max_frame_bytes", self.daemon.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
