#!/usr/bin/python3
"""What a bad client can do to the REST port, and what it cannot: each bound at its edge and one past it, requests that
never end, too many connections, tokens, origins, TLS."""
import contextlib
import gzip
import hashlib
import http.client
import os
import signal
import socket
import ssl
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from case import Case
from daemon import Daemon, StartError, patience, sanitized_once, wait_for
from rest import Rest
from scratch import Scratch

LIVE = "/api/v3/health/live"
HEAD_MAX, LINES_MAX, TARGET_MAX, BODY_MAX = 16384, 100, 8192, 65536


def request(target=LIVE, headers="", method="GET", body=b""):
    return ("%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (method, target, headers)).encode() + body


def metric(rest, name, headers=None):
    """Asked compressed: a scrape of many modules is a large answer itself, and here large answers are what is tested."""
    answer = rest.get("/api/v3/metrics/prometheus", headers=dict({"Accept-Encoding": "gzip"}, **(headers or {})))
    assert answer.status == 200, answer.body
    for line in gzip.decompress(answer.body).decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError("no metric " + name)


def read_answer(peer, method="GET"):
    """One answer of a socket and no byte more: (status, headers, body), or None when the connection ended before it."""
    head = b""
    try:
        while not head.endswith(b"\r\n\r\n"):
            piece = peer.recv(1)
            if not piece:
                return None
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:-2])}
        status = int(lines[0].split()[1])
        length = 0 if method == "HEAD" or status in (204, 304) else int(headers["content-length"])
        body = b""
        while len(body) < length:
            piece = peer.recv(length - len(body))
            if not piece:
                return None
            body += piece
    except ConnectionError:
        return None
    return status, headers, body


class Bounds(Case):
    def dial(self):
        return socket.create_connection((self.rest.host, self.rest.port), timeout=patience(20))

    def ask_raw(self, data, method="GET"):
        """The answer and whether the connection was closed after it."""
        with self.dial() as peer:
            peer.sendall(data)
            answer = read_answer(peer, method)
            self.assertIsNotNone(answer, data[:80])
            peer.settimeout(0.3 if answer[1].get("connection") != "close" else patience(20))
            try:
                closed = peer.recv(1) == b""
            except socket.timeout:
                closed = False
            except ConnectionResetError:
                closed = True
            return answer, closed

    def refused(self, data, status):
        before = metric(self.rest, "tidemark_http_requests_refused_total")
        (got, headers, body), closed = self.ask_raw(data)
        self.assertEqual(got, status, body)
        self.assertTrue(closed)
        self.assertEqual(headers["content-type"], "application/problem+json")
        self.assertEqual(headers["connection"], "close")
        self.assertIn(b'"status":%d' % status, body)
        self.assertEqual(metric(self.rest, "tidemark_http_requests_refused_total"), before + 1)

    def accepted(self, data, status=200):
        (got, _, body), closed = self.ask_raw(data)
        self.assertEqual(got, status, body)
        self.assertFalse(closed)

    def test_a_head_at_its_bound_is_read_and_one_byte_more_is_431(self):
        frame = len(request(headers="X: \r\n"))
        self.accepted(request(headers="X: %s\r\n" % ("x" * (HEAD_MAX - frame))))
        self.refused(request(headers="X: %s\r\n" % ("x" * (HEAD_MAX - frame + 1))), 431)
        self.refused(request(headers="X: %s\r\n" % ("x" * (1 << 20))), 431)

    def test_header_lines_at_their_bound_are_read_and_one_more_is_431(self):
        self.accepted(request(headers="A: b\r\n" * (LINES_MAX - 1)))
        self.refused(request(headers="A: b\r\n" * LINES_MAX), 431)

    def test_a_target_at_its_bound_is_read_and_one_byte_more_is_414(self):
        self.accepted(request("/" + "a" * (TARGET_MAX - 1)), 404)
        self.refused(request("/" + "a" * TARGET_MAX), 414)
        self.refused(request("/" + "a" * (1 << 20)), 414)

    def test_a_body_at_its_bound_is_read_and_one_byte_more_is_413(self):
        self.accepted(request(headers="Content-Length: %d\r\n" % BODY_MAX, method="POST", body=b"b" * BODY_MAX), 405)
        self.refused(request(headers="Content-Length: %d\r\n" % (BODY_MAX + 1), method="POST", body=b"b" * 100000), 413)

    def test_what_smuggles_is_refused(self):
        for headers, status in (("Content-Length: 0\r\nContent-Length: 0\r\n", 400),
                                ("Content-Length: 0\r\nContent-Length: 5\r\n", 400),
                                ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
                                ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
                                ("Transfer-Encoding: xchunked\r\n", 400), ("Transfer-Encoding: chunked\r\n", 411),
                                ("Host: y\r\n", 400), ("A : b\r\n", 400), (" A: b\r\n", 400), ("Expect: x\r\n", 417)):
            with self.subTest(headers=headers):
                self.refused(request(headers=headers) + b"0\r\n\r\n", status)
        self.refused(b"GET / HTTP/1.1\r\n\r\n", 400)
        (status, headers, _), closed = self.ask_raw(request(headers="Host: y\r\n", method="HEAD"), "HEAD")
        self.assertEqual((status, closed), (400, True))  # the next bytes are the end, no body
        self.refused(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505)
        self.refused(b"GET / HTTP/1.1\nHost: x\n\n", 400)
        self.refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400)

    def test_a_refusal_ends_in_order_though_more_was_sent(self):
        # closing a socket with unread input resets the connection, and some systems then drop the answer
        with self.dial() as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 200000)
            self.assertEqual(read_answer(peer)[0], 400)
            time.sleep(0.1)  # a reset would be here by now
            peer.sendall(b"x" * 10000)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.recv(1), b"")

    def test_bodies_are_skipped_and_the_next_request_is_found(self):
        with self.dial() as peer:
            body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
            first = request("/nope", "Content-Length: %d\r\n" % len(body), "POST", body)
            for cut in range(1, len(first), 7):  # however it is cut
                peer.sendall(first[:cut])
                time.sleep(0.001)
                peer.sendall(first[cut:] + request())
                self.assertEqual(read_answer(peer)[0], 404)
                self.assertEqual(read_answer(peer)[0], 200)

    def test_empty_lines_before_a_request_are_skipped(self):
        with self.dial() as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in (b"\r", b"\n\r", b"\n", request(), b"\r\n\r\n" + request()[:1], request()[1:]):
                peer.sendall(part)
                time.sleep(0.01)
            self.assertEqual([read_answer(peer)[0], read_answer(peer)[0]], [200, 200])

    def test_who_asks_before_he_sends_a_body_is_told_to_go_on(self):
        with self.dial() as peer:
            peer.sendall(request(headers="Content-Length: 3\r\nExpect: 100-continue\r\n", method="PUT"))
            self.assertEqual(peer.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.sendall(b"abc")
            self.assertEqual(read_answer(peer)[0], 405)

    def test_head_has_the_headers_of_get(self):
        self.send(self.operations("shop", 3))
        for target in (LIVE, "/nope", "/api/v3/metrics/module", "/api/v3/metrics/modules",
                       "/api/v3/metrics/history?from=0&to=3000&step=1h"):
            got = []
            with self.dial() as peer:
                for method in ("GET", "HEAD", "GET"):
                    peer.sendall(request(target, method=method))
                    got.append(read_answer(peer, method))
            for status, headers, body in got:
                headers.pop("date")
                self.assertEqual(status, got[0][0])
                # rates and duration_ms move, and with them their digits
                self.assertLess(abs(int(headers.pop("content-length")) - len(got[0][2])), 50)
                self.assertEqual(headers, {k: v for k, v in got[0][1].items()})
            self.assertEqual(got[1][2], b"")

    def test_connections_close_as_asked_and_stay_otherwise(self):
        for data, stays in ((request(), True), (request("/nope"), True), (request(method="BREW"), True),
                            (request(headers="Connection: close\r\n"), False), (b"GET /livez HTTP/1.0\r\n\r\n", False),
                            (b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True)):
            with self.subTest(data=data):
                answer, closed = self.ask_raw(data)
                self.assertEqual(closed, not stays)
                self.assertEqual(answer[1].get("connection") == "close", not stays)

    def test_half_a_connection_is_enough_for_an_answer(self):
        with self.dial() as peer:
            peer.sendall(request() * 40)
            peer.shutdown(socket.SHUT_WR)
            for _ in range(40):
                self.assertEqual(read_answer(peer)[0], 200)
            self.assertEqual(peer.recv(1), b"")

    def test_parameters_that_are_odd_are_named(self):
        for target in ("/api/v3/metrics/module?module_id=%00", "/api/v3/metrics/module?module_id=a%00b",
                       "/api/v3/metrics/module?module_id=%zz", "/api/v3/metrics/module?module_id=%ff",
                       "/api/v3/metrics/module?module_id=" + "a" * 129,
                       "/api/v3/metrics/module?module_id=" + "a" * 5000,
                       "/api/v3/metrics/module?module_id=a&module_id=b", "/api/v3/metrics/module?module_id=%0a",
                       "/api/v3/metrics/modules?module_id=x"):
            with self.subTest(target=target):
                (status, headers, body), _ = self.ask_raw(request(target, "Connection: close\r\n"))
                self.assertEqual((status, headers["content-type"]), (400, "application/problem+json"), body)
                self.assertIn(b"module_id", body)
        (status, _, _), _ = self.ask_raw(request("/api/v3/metrics/module?module_id=" + "a" * 128))
        self.assertEqual(status, 404)

    def test_an_answer_that_nobody_reads_is_not_held_in_memory_twice(self):
        # A peer that asks and never reads has one answer waiting for it, however much it asks.
        self.send([one for i in range(300) for one in self.operations("module-with-a-long-name-%03d" % i, 1)])
        before = self.daemon.resident_kib()
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                peer = stack.enter_context(self.dial())
                peer.settimeout(0.1)
                try:
                    while True:
                        peer.sendall(request("/api/v3/metrics/modules") * 100)
                except socket.timeout:
                    pass
            self.assertEqual(self.rest.get(LIVE).status, 200)
            if not sanitized_once():
                self.assertLess(self.daemon.resident_kib() - before, 20 * 1024)


class Slow(unittest.TestCase):
    TIMEOUT_S = 2

    def test_a_hundred_slow_clients_keep_nobody_from_his_answer(self):
        with Daemon({"http.request_timeout_s": self.TIMEOUT_S, "log.requests": "false"}) as daemon:
            parts = (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n",
                     b"G", b"")
            began = time.monotonic()
            peers = []
            for i in range(100):
                peer = socket.create_connection((daemon.rest.host, daemon.rest.port))
                peer.sendall(parts[i % 4])
                peer.setblocking(False)
                peers.append((peer, parts[i % 4]))
            said = {peer: b"" for peer, _ in peers}
            worst = 0
            while said and time.monotonic() - began < patience(30):
                for peer, part in peers:
                    if peer not in said:
                        continue
                    try:
                        if part:
                            peer.send(b"a")  # a byte now and then: never idle, never done
                    except OSError:
                        pass
                    try:
                        piece = peer.recv(4096)
                    except BlockingIOError:
                        continue
                    except ConnectionResetError:
                        piece = b""
                    said[peer] += piece
                    if not piece:
                        whole = said.pop(peer)
                        self.assertGreater(time.monotonic() - began, self.TIMEOUT_S - 0.5)
                        if part and whole:
                            self.assertTrue(whole.startswith(b"HTTP/1.1 408 "), whole[:60])
                asked = time.monotonic()
                self.assertEqual(daemon.rest.get(LIVE).status, 200)
                worst = max(worst, time.monotonic() - asked)
                time.sleep(0.05)
            self.assertEqual(len(said), 0, "slow clients are still connected")
            print("100 slow clients gone after %.1f s, worst answer to a good one %.0f ms"
                  % (time.monotonic() - began, worst * 1000), flush=True)
            self.assertLess(worst, patience(1))
            self.assertGreaterEqual(metric(daemon.rest, "tidemark_http_timeouts_total"), 100)
            for peer, _ in peers:
                peer.close()
            daemon.stop()

    def test_a_request_that_is_slow_but_in_time_is_answered(self):
        with Daemon({"http.request_timeout_s": 20}) as daemon:
            with socket.create_connection((daemon.rest.host, daemon.rest.port)) as peer:
                for byte in request():
                    peer.sendall(bytes([byte]))
                self.assertEqual(read_answer(peer)[0], 200)
            daemon.stop()


class Unread(Case):
    settings = {"http.max_waiting_bytes": 1 << 20, "log.requests": "false"}

    def test_answers_that_nobody_takes_are_bounded_over_all(self):
        self.send([one for i in range(500) for one in self.operations("module-with-a-long-name-%03d" % i, 1)])
        with contextlib.ExitStack() as stack:
            for _ in range(16):  # each keeps one answer of 90 KB waiting
                peer = stack.enter_context(socket.socket())
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.settimeout(0.1)
                peer.connect((self.rest.host, self.rest.port))
                try:
                    while True:
                        peer.sendall(request("/api/v3/metrics/modules") * 100)
                except OSError:
                    pass
            self.assertEqual(self.rest.get("/api/v3/metrics/modules").status, 200)
            waiting = metric(self.rest, "tidemark_http_waiting_bytes")
            self.assertGreater(waiting, 1 << 19)
            self.assertLessEqual(waiting, 1 << 20)
            self.assertGreater(metric(self.rest, "tidemark_http_answers_dropped_total"), 5)
        wait_for(lambda: metric(self.rest, "tidemark_http_waiting_bytes") == 0, patience(10), "none waiting")

    def test_who_has_said_all_he_wants_gets_large_answers_too(self):
        with contextlib.closing(socket.socket()) as peer:  # an answer is on its way when his end is seen
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(patience(20))
            peer.connect((self.rest.host, self.rest.port))
            peer.sendall(request("/api/v3/metrics/prometheus") * 10)
            peer.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            for _ in range(10):
                answer = read_answer(peer)
                self.assertIsNotNone(answer)
                self.assertEqual(answer[0], 200)
            self.assertEqual(peer.recv(1), b"")


class Crowded(unittest.TestCase):
    def crowd(self, settings, count, name):
        """count connections are served, one more is turned away; when one has left another is served."""
        with Daemon(settings) as daemon, contextlib.ExitStack() as stack:
            address = (daemon.rest.host, daemon.rest.port)
            peers = [stack.enter_context(socket.create_connection(address)) for _ in range(count)]
            for peer in peers:
                peer.sendall(request())
                self.assertEqual(read_answer(peer)[0], 200)
            with socket.create_connection(address) as late:
                status, headers, body = read_answer(late)
                self.assertEqual((status, headers["content-type"], headers["retry-after"]),
                                 (503, "application/problem+json", "1"))
                self.assertIn(b"too_many_connections", body)
                self.assertEqual(late.recv(1), b"")
            peers[0].sendall(request())  # who was there is not disturbed
            self.assertEqual(read_answer(peers[0])[0], 200)
            peers.pop().close()

            def served():
                with socket.create_connection(address) as peer:
                    peer.sendall(request())
                    answer = read_answer(peer)
                    return answer and answer[0] == 200
            wait_for(served, patience(10), "a free place")
            peers.pop().close()
            wait_for(lambda: daemon.rest.get(LIVE).status == 200, patience(10), "a free place")
            self.assertGreaterEqual(metric(daemon.rest, name), 1)
            daemon.stop()

    def test_connections_are_capped(self):
        self.crowd({"http.max_connections": 8, "http.threads": 2}, 8, "tidemark_http_connections_turned_away_total")

    def test_connections_of_one_address_are_capped(self):
        self.crowd({"http.max_connections_per_address": 8, "http.threads": 2}, 8,
                   "tidemark_http_connections_turned_away_address_total")


def hashed(token):
    return hashlib.sha256(token.encode()).hexdigest()


class Guarded(unittest.TestCase):
    def setUp(self):
        self.files = Scratch()
        self.addCleanup(self.files.close)
        self.file = os.path.join(self.files.path, "tokens")

    def write(self, *lines):
        self.files.write("tokens", ("\n".join(lines) + "\n").encode())

    def test_tokens_open_what_their_scope_says(self):
        self.write("read %s grafana" % hashed("r"), "admin %s ops" % hashed("a"))
        with Daemon({"auth.http_tokens_file": self.file}) as daemon:
            rest = daemon.rest
            summary, rejected = "/api/v3/metrics/summary", "/api/v3/ingest/rejected"
            for token, path, status, challenge in (
                    (None, LIVE, 200, None), (None, "/readyz", 200, None), (None, summary, 401, ""),
                    (None, "/nope", 401, ""), ("x", summary, 401, "invalid_token"), ("r", summary, 200, None),
                    ("r", "/nope", 404, None), ("r", rejected, 403, "insufficient_scope"), ("a", rejected, 200, None),
                    ("a", summary, 200, None), ("x", LIVE, 200, None)):
                with self.subTest(token=token, path=path):
                    answer = rest.get(path, headers={"Authorization": "Bearer " + token} if token else None)
                    self.assertEqual(answer.status, status, answer.body)
                    said = answer.header("WWW-Authenticate")
                    self.assertEqual(said is None, challenge is None)
                    if challenge is not None:
                        self.assertTrue(said.startswith("Bearer realm="), said)
                        self.assertIn(challenge, said)
                        self.assertEqual(answer.json()["status"], status)
            # SIGHUP: other tokens; a bad file changes nothing
            self.write("read %s" % hashed("new"))
            os.kill(daemon.pid, signal.SIGHUP)
            wait_for(lambda: rest.get(summary, headers={"Authorization": "Bearer new"}).status == 200, patience(10),
                     "the new token")
            self.assertEqual(rest.get(summary, headers={"Authorization": "Bearer r"}).status, 401)
            self.write("read nothing")
            os.kill(daemon.pid, signal.SIGHUP)
            wait_for(lambda: "reload changed nothing" in daemon.log() and "tokens:1: expected" in daemon.log(),
                     patience(10), "a complaint")
            self.assertEqual(rest.get(summary, headers={"Authorization": "Bearer new"}).status, 200)
            self.assertNotIn("Bearer", daemon.log())
            daemon.stop()

    def test_with_tokens_the_port_may_be_reached_from_elsewhere(self):
        self.write("read " + hashed("r"))
        try:
            with Daemon({"auth.http_tokens_file": self.file}, args=["--http", "0.0.0.0:0"]) as daemon:
                self.assertEqual(Rest("127.0.0.1", daemon.rest.port).get("/api/v3/metrics/summary").status, 401)
                daemon.stop()
        except StartError as error:
            self.fail(error)
        with self.assertRaises(StartError) as refused:
            Daemon(args=["--http", "0.0.0.0:0"])
        self.assertEqual(refused.exception.status, 78)

    def test_other_origins_are_let_in_only_by_name(self):
        with Daemon() as daemon:
            answer = daemon.rest.get(LIVE, headers={"Origin": "https://a.example"})
            self.assertIsNone(answer.header("Access-Control-Allow-Origin"))
            self.assertEqual(daemon.rest.ask("OPTIONS", LIVE, {"Origin": "https://a.example",
                                                               "Access-Control-Request-Method": "GET"}).status, 405)
            daemon.stop()
        self.write("read " + hashed("r"))
        with Daemon({"http.cors_origins": "https://a.example http://b.example:8080",
                     "auth.http_tokens_file": self.file}) as daemon:
            for origin, let_in in (("https://a.example", True), ("http://b.example:8080", True), ("https://a.exampl", False),
                                   ("http://a.example", False), ("null", False), ("https://a.example.evil", False)):
                with self.subTest(origin=origin):
                    answer = daemon.rest.get(LIVE, headers={"Origin": origin})
                    self.assertEqual(answer.status, 200)
                    self.assertEqual(answer.header("Access-Control-Allow-Origin"), origin if let_in else None)
                    self.assertIn("Origin", answer.header("Vary"))
                    asked = daemon.rest.ask("OPTIONS", "/api/v3/metrics/summary",
                                            {"Origin": origin, "Access-Control-Request-Method": "GET",
                                             "Access-Control-Request-Headers": "authorization"})
                    self.assertEqual(asked.status, 204 if let_in else 401)
                    if let_in:
                        self.assertIn("Authorization", asked.header("Access-Control-Allow-Headers"))
            daemon.stop()
        with Daemon({"http.cors_origins": "*"}) as daemon:
            self.assertEqual(daemon.rest.get(LIVE, headers={"Origin": "https://x"}).header("Access-Control-Allow-Origin"), "*")
            daemon.stop()
        for bad in ("a.example", "https://a.example/", "https://a.example  https://b", "* https://a"):
            with self.assertRaises(StartError) as refused:
                Daemon({"http.cors_origins": bad})
            self.assertEqual(refused.exception.status, 78)
            self.assertIn("http.cors_origins", refused.exception.log)


class Encrypted(unittest.TestCase):
    def setUp(self):
        self.files = Scratch()
        self.addCleanup(self.files.close)

    def test_https_is_spoken_with_a_certificate_that_can_be_renewed(self):
        cert, key = self.files.certificate("server")
        context = ssl.create_default_context(cafile=cert)
        with Daemon({"tls.cert_file": cert, "tls.key_file": key, "http.request_timeout_s": 3}) as daemon:
            address = (daemon.rest.host, daemon.rest.port)

            def open_https(trusting):
                return http.client.HTTPSConnection(*address, timeout=patience(20), context=trusting)

            kept = open_https(context)
            for path, status in ((LIVE, 200), ("/nope", 404), ("/api/v3/metrics/prometheus", 200), (LIVE, 200)):
                kept.request("GET", path)
                response = kept.getresponse()
                self.assertEqual(response.status, status)
                response.read()

            def renewed():
                fresh = open_https(ssl.create_default_context(cafile=cert))
                try:
                    fresh.request("GET", LIVE)
                    return fresh.getresponse().status == 200
                except ssl.SSLCertVerificationError:
                    return False
                finally:
                    fresh.close()
            self.files.certificate("server")  # the same names, another pair
            os.kill(daemon.pid, signal.SIGHUP)
            wait_for(renewed, patience(10), "the new certificate")
            kept.request("GET", LIVE)  # who was there stays
            self.assertEqual(kept.getresponse().status, 200)
            kept.close()
            os.truncate(cert, 0)
            os.kill(daemon.pid, signal.SIGHUP)
            wait_for(lambda: "reload changed nothing" in daemon.log(), patience(10), "a complaint")

            # over TLS, too: refusals arrive, a handshake that never ends is ended, noise is counted
            loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            loose.check_hostname = False
            loose.verify_mode = ssl.CERT_NONE
            with loose.wrap_socket(socket.create_connection(address)) as peer:
                peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
                self.assertEqual(read_answer(peer)[0], 400)
            with socket.create_connection(address) as plain:
                plain.settimeout(patience(20))
                plain.sendall(request())
                with contextlib.suppress(ConnectionResetError):
                    while plain.recv(1000):
                        pass
            with socket.create_connection(address) as silent:
                silent.settimeout(patience(20))
                silent.sendall(b"\x16\x03\x01\x02\x00")
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(silent.recv(1), b"")
            with loose.wrap_socket(socket.create_connection(address)) as peer:
                peer.sendall(request("/api/v3/metrics/prometheus", "Connection: close\r\n"))
                text = read_answer(peer)[2].decode()
            self.assertRegex(text, r"(?m)^tidemark_http_handshakes_failed_total [1-9]")
            daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
