#!/usr/bin/python3
"""Ten thousand requests that the OpenAPI file suggests and chance spoils: wrong and absent parameters, odd escapes, broken
heads, noise, cut in any place. The daemon does not die, never answers 500, and says what is wrong as problem+json that the
file promises. TIDE_FUZZ sets the number of requests."""
import json
import os
import random
import selectors
import socket
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import openapi
from case import Case
from daemon import patience, seed
from rest import Answer

SEED = seed()
REQUESTS = int(os.environ.get("TIDE_FUZZ") or 10000)
BATCH = 50  # connections at a time
METHODS = ["GET"] * 12 + ["HEAD"] * 3 + ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "BREW", "PRI"]
ODD = ["", "%00", "a%00b", "%", "%2", "%zz", "%ff", "%c3%28", "%ed%a0%80", "+", "%20", "-1", "0", "1e3", "0x10", "NaN", "inf",
       "99999999999999999999", "-99999999999999999999", "18446744073709551616", "2147483648", "null", "true", "[]", "{}", "'", "%22",
       "<script>", "../../etc/passwd", "%0d%0aX:%20y", "%0a", "%7f", "\xc3\xbc", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
       "2026-02-30T00:00:00Z", "-0s", "0s", "1s", "36500d", "36501d", "9223372036854775807d", "0.5,0.5", "1,", ",", "0", "1.0000001",
       "A" * 127, "A" * 128, "A" * 129, "A" * 1024, "A" * 1025, "A" * 7000, "aA" * 20, "bWFkZQ", "*", "a&b", "a=b", "a;b", "#"]
HEADERS = ["Accept: text/csv", "Accept: */*;q=0.1, text/csv;q=0.5", "Accept: ;;;,,,q=", "Accept: application/openmetrics-text",
           "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0, *", "Accept-Encoding: identity;q=0", "If-None-Match: *",
           "If-None-Match: W/\"x\", \"", "Connection: close", "Connection: keep-alive, upgrade", "Upgrade: h2c", "Expect: 100-continue",
           "Expect: y", "Content-Length: 0", "Content-Length: 5", "Content-Length: -5", "Content-Length: 99999999", "Transfer-Encoding: chunked",
           "Transfer-Encoding: gzip, chunked", "Authorization: Bearer x", "Origin: null", "Host: y", "X:", "X : y", " X: y", "X: \x01",
           "X: " + "y" * 3000, "X: " + "y" * 17000, "Range: bytes=0-1", "Cookie: " + "a=b; " * 100]


class Grammar:
    """Requests made of what the file says there is."""

    def __init__(self, rng):
        self.rng = rng
        self.spec = openapi.spec()
        self.paths = self.spec.paths()
        self.names = sorted({one["name"] for path in self.paths for one in self.spec.parameters(path)})
        self.cursors = []

    def value(self, parameter):
        schema, chance = parameter["schema"], self.rng.random()
        if parameter["name"] == "cursor" and self.cursors and chance < 0.6:
            return self.spoil(self.rng.choice(self.cursors)) if chance < 0.3 else self.rng.choice(self.cursors)
        if chance < 0.35 and "example" in parameter:
            return urllib.parse.quote(str(parameter["example"]))
        if chance < 0.55 and "enum" in schema:
            return self.rng.choice(schema["enum"])
        if chance < 0.65 and schema.get("type") == "integer":
            return str(self.rng.choice([schema["minimum"], schema["maximum"]]) + self.rng.randint(-1, 1))
        if chance < 0.75 and "example" in parameter:
            return self.spoil(urllib.parse.quote(str(parameter["example"])))
        return self.rng.choice(ODD)

    def spoil(self, text):
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randint(0, len(text))
            text = text[:at] + self.rng.choice(["", "%", "0", "z", "-", ".", ",", "%00", "A", "9" * 20]) + text[at + self.rng.randint(0, 2):]
        return text

    def target(self):
        rng = self.rng
        path = rng.choice(self.paths)
        pieces = []
        for parameter in self.spec.parameters(path):
            if parameter.get("required") and rng.random() < 0.9 or rng.random() < 0.3:
                pieces.append(parameter["name"] + "=" + self.value(parameter))
        if rng.random() < 0.1:
            pieces.append(rng.choice(self.names + ["nonsense", "%00", "a" * 300]) + rng.choice(["=", "", "=="]) + rng.choice(ODD))
        if rng.random() < 0.05 and pieces:
            pieces.append(pieces[0])
        rng.shuffle(pieces)
        if rng.random() < 0.08:
            path = rng.choice([self.spoil(path), path + "/", "//" + path, path + "/..", path.upper(), "http://x" + path, "*", ""])
        return path + (rng.choice(["?", "?", "?", "?&", "??"]) + "&".join(pieces) if pieces or rng.random() < 0.1 else "")

    def request(self):
        """Bytes, and (method, path) when they are one whole, well-formed request."""
        rng = self.rng
        method, target = rng.choice(METHODS), self.target()
        headers = [rng.choice(HEADERS) for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 5]))]
        data = "%s %s HTTP/1.%d\r\n%s\r\n" % (method, target, rng.choice([1] * 9 + [0]),
                                              "".join(line + "\r\n" for line in ["Host: x"] * (rng.random() < 0.97) + headers))
        data = bytearray(data.encode("latin-1") + b"hello" * ("Content-Length: 5" in headers))
        if rng.random() < 0.2:
            for _ in range(rng.randint(1, 8)):  # bytes change, go, come, come twice
                at = rng.randrange(len(data))
                kind = rng.random()
                if kind < 0.4:
                    data[at] = rng.choice([rng.randrange(256), 0, 10, 13, 32, 58, data[at] ^ 0x20])
                elif kind < 0.6:
                    del data[at:at + rng.randint(1, 20)]
                elif kind < 0.8:
                    data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 10)))
                else:
                    data[at:at] = data[at:at + rng.randint(1, 200)]
                if not data:
                    break
            return bytes(data), None
        if rng.random() < 0.02:
            return bytes(rng.randrange(256) for _ in range(rng.randint(1, 2000))), None
        return bytes(data), (method, target)


def answers_of(data, method):
    """What a peer sent, as answers; the rest that is none must be empty."""
    answers = []
    while data:
        if data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data = data[25:]
            continue
        head, mark, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        assert mark and lines[0].startswith(("HTTP/1.1 ", "HTTP/1.0 ")), "this is no answer: %r" % data[:200]
        status = int(lines[0].split()[1])
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        length = next((int(value) for name, value in headers if name == "Content-Length"), 0)
        if method == "HEAD" or status in (204, 304):
            length = 0
        assert len(rest) >= length, "an answer is cut: %r" % data[:200]
        answers.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return answers


class Fuzz(Case):
    settings = {"log.requests": "false", "http.request_timeout_s": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.send([one for i in range(30) for one in cls.operations("checkout" if i == 0 else "m-%02d" % i, 5, i % 3)])
        cls.grammar = Grammar(random.Random(SEED))
        for params in ({"sort": "trouble", "limit": 10}, {"limit": 3}):
            cls.grammar.cursors.append(cls.rest.json("/api/v3/metrics/modules", **params)["next_cursor"])

    def batch(self, requests):
        """Sends each on a connection of its own, in pieces, then half-closes; returns what came back."""
        rng, came = self.grammar.rng, [b""] * len(requests)
        with selectors.DefaultSelector() as watch:
            for n, data in enumerate(requests):
                peer = socket.create_connection((self.rest.host, self.rest.port), timeout=patience(20))
                try:
                    cut = rng.randrange(len(data) + 1) if data and rng.random() < 0.2 else len(data)
                    peer.sendall(data[:cut])
                    peer.sendall(data[cut:])
                    peer.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # refused half-way
                peer.setblocking(False)
                watch.register(peer, selectors.EVENT_READ, n)
            end = time.monotonic() + patience(20)
            while watch.get_map():
                ready = watch.select(end - time.monotonic())
                self.assertTrue(ready, "no answer and no end")
                for key, _ in ready:
                    try:
                        piece = key.fileobj.recv(1 << 18)
                    except BlockingIOError:
                        continue
                    except ConnectionResetError:
                        piece = b""
                    came[key.data] += piece
                    if not piece:
                        watch.unregister(key.fileobj)
                        key.fileobj.close()
        return came

    def judge(self, data, whole, came):
        """Every answer but the last may be to bytes that were meant otherwise: only of whole requests do we know more."""
        method = whole[0] if whole else ("HEAD" if data.lstrip(b"\r\n").startswith(b"HEAD ") else "GET")
        if not whole and b"HEAD " in data:
            return {}  # which of the answers are without a body cannot be told from outside
        counts = {}
        for answer in answers_of(came, method):
            counts[answer.status] = counts.get(answer.status, 0) + 1
            self.assertNotEqual(answer.status, 500, came[:300])
            self.assertIsNotNone(answer.header("Date"))
            if answer.status >= 400 and method != "HEAD" and not answer.body.startswith(b"{\"endpoint\""):
                self.assertEqual(answer.header("Content-Type"), "application/problem+json")
                problem = json.loads(answer.body)
                self.assertEqual(problem["status"], answer.status)
                self.assertTrue(problem["detail"])
            if whole:
                path = openapi.path_of(whole[1])
                if path.startswith("http://x"):
                    path = path[len("http://x"):] or "/"
                openapi.spec().check(method, path, answer)
        if whole:
            self.assertTrue(counts, "a whole request without an answer")
        return counts

    def test_no_request_breaks_it_and_every_error_is_a_problem(self):
        began, total = time.monotonic(), {}
        for first in range(0, REQUESTS, BATCH):
            made = [self.grammar.request() for _ in range(min(BATCH, REQUESTS - first))]
            for (data, whole), came in zip(made, self.batch([data for data, _ in made])):
                try:
                    for status, count in self.judge(data, whole, came).items():
                        total[status] = total.get(status, 0) + count
                except Exception as error:
                    raise AssertionError("%r\nwas answered %r" % (data[:2000], came[:2000])) from error
        print("%d requests in %.1f s: %s" % (REQUESTS, time.monotonic() - began, dict(sorted(total.items()))), flush=True)
        for status in (200, 400, 404, 405, 411, 413, 417, 431):
            self.assertGreater(total.get(status, 0), 0, status)
        self.assertTrue(self.daemon.alive())
        self.assertEqual(self.rest.get("/api/v3/health/live").status, 200)
        self.daemon.assert_clean()


if __name__ == "__main__":
    unittest.main(verbosity=2)
