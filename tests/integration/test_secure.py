#!/usr/bin/python3
"""Who may send: the shared key, users, TLS, a Unix socket, and how many may come. Refused peers are counted by reason,
hear why, and disturb no other; a reload lets nobody fall who is in."""
import os
import random
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, StartError, patience, seed, source_dir, tidemarkd, wait_for
from scratch import Scratch

GOLDEN = os.path.join(source_dir(), "tests", "golden", "wire")
KEY = b"s3cr3t"


def event(chunk=None):
    return sender.message("mod.secure", time.time(), {"event": "response", "duration_ms": 1}, chunk)


class Secure(unittest.TestCase):
    def setUp(self):
        self.scratch = Scratch()
        self.daemon = None

    def tearDown(self):
        try:
            if self.daemon and self.daemon.alive():
                self.daemon.stop()
        finally:
            if self.daemon:
                self.daemon.close()
            self.scratch.close()

    def serve(self, settings, **more):
        self.daemon = Daemon(dict({"aggregation.lateness_s": 2147483647}, **settings), **more)
        return self.daemon

    def connect(self, source=None, tls=None):
        return sender.Connection(self.daemon.forward, source, timeout_s=patience(30), tls=tls)

    def counter(self, name):
        text = self.daemon.rest.get("/api/v3/metrics/prometheus").body.decode()
        for line in text.splitlines():
            if line.startswith("tidemark_" + name + " "):
                return int(float(line.split()[1]))
        raise AssertionError("no counter " + name)

    def counted(self, name, value):
        wait_for(lambda: self.counter(name) == value, patience(10),
                 lambda: "%s to be %d, it is %d" % (name, value, self.counter(name)))

    def exchange(self, peer, chunk):
        peer.send(event(chunk))
        self.assertEqual(peer.read_ack(), chunk)

    def reload(self, word="configuration reloaded"):
        before = self.daemon.log().count(word)
        os.kill(self.daemon.pid, signal.SIGHUP)
        wait_for(lambda: self.daemon.log().count(word) > before, patience(10), word)

    # -- the shared key --

    def test_who_has_the_key_is_let_in_and_told_so_in_the_words_of_the_protocol(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY + b"\n")})
        with self.connect() as peer:
            helo = peer.read_value()
            self.assertEqual(helo[0], b"HELO")
            self.assertEqual((len(helo[1][b"nonce"]), helo[1][b"auth"], helo[1][b"keepalive"]), (16, b"", True))
            salt = bytes(range(240, 256))  # no text
            peer.send(sender.ping(helo, KEY, salt=salt))
            pong = peer.read_value()
            self.assertEqual(pong[:3], [b"PONG", True, b""])
            self.assertNotEqual(pong[3], b"test.client")
            self.assertEqual(pong[4].decode(), sender.digest(salt, pong[3], helo[1][b"nonce"], KEY))
            self.exchange(peer, "first-chunk")
            peer.send(b'["t", 0, {"module_id": "json"}, {"chunk": "json-chunk"}]')  # behind the handshake as anywhere
            self.assertEqual(peer.read_exactly(20), b'{"ack":"json-chunk"}')
        self.counted("handshakes_total", 1)
        self.daemon.assert_books(self)

    def test_a_client_of_our_own_name_meets_another_name(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY)})
        for name in (socket.gethostname().encode(), b"tidemark", b"tidemarkd"):
            with self.connect() as peer:
                pong = peer.greet(KEY, hostname=name)
                self.assertTrue(pong[1])
                self.assertNotEqual(pong[3], name)

    def test_nobody_is_greeted_without_a_key(self):
        self.serve({})
        with self.connect() as peer:
            self.exchange(peer, "plain-chunk")
            peer.finish_sending()
            self.assertEqual(peer.read_to_end(), b"")

    def test_a_client_that_waits_for_a_greeting_is_told_of(self):
        self.serve({"ingest.handshake_timeout_s": 1})
        with self.connect() as silent, self.connect() as talks:
            self.exchange(talks, "plain-chunk")
            port = ":%d " % silent.socket.getsockname()[1]
            wait_for(lambda: port + "has sent nothing for" in self.daemon.log(), patience(10), "a line")
            lines = self.daemon.log().count("has sent nothing for")
            self.exchange(silent, "late-chunk")  # it is none the worse for it
            self.assertEqual(lines, 1)

    def refused(self, reason, counter, **how):
        key = how.pop("key", KEY)
        start = time.monotonic()
        with self.connect() as peer, self.connect() as guest:
            self.assertTrue(guest.greet(KEY, user=b"alice", password=b"pw")[1])
            self.assertEqual(peer.greet(key, **how), [b"PONG", False, reason, b"", b""])
            self.assertGreater(time.monotonic() - start, 0.8, "the answer to a guess comes late")
            self.assertEqual(peer.read_to_end(), b"")
            self.exchange(guest, "guest-" + counter + str(start))
        self.assertEqual(self.counter(counter), 1)

    def test_wrong_key_user_and_password_are_refused_counted_and_delayed(self):
        users = b"# who\nalice:pw\r\n\nbob:p:w:2\n"
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY),
                    "auth.users_file": self.scratch.write("users", users)})
        with self.connect() as peer:
            self.assertTrue(peer.greet(KEY, user=b"bob", password=b"p:w:2")[1])
            self.exchange(peer, "bobs-chunk")
        self.refused(b"shared_key mismatch", "handshakes_refused_key_total", key=b"s3cr3T", user=b"alice", password=b"pw")
        self.refused(b"username/password mismatch", "handshakes_refused_user_total", user=b"alice", password=b"no")
        with self.connect() as peer:
            self.assertFalse(peer.greet(KEY, user=b"carol", password=b"")[1])
        with self.connect() as peer:
            self.assertFalse(peer.greet(KEY)[1])
        self.counted("handshakes_refused_user_total", 3)
        self.assertIn('user "carol"', self.daemon.log())

    def test_a_ping_is_good_for_one_connection_only(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY)})
        with self.connect() as peer:
            overheard = sender.ping(peer.read_value(), KEY)
            peer.send(overheard)
            self.assertTrue(peer.read_value()[1])
        with self.connect() as thief:
            thief.read_value()
            thief.send(overheard)
            self.assertFalse(thief.read_value()[1])
            self.assertEqual(thief.read_to_end(), b"")
        self.counted("handshakes_refused_key_total", 1)

    def test_nothing_is_taken_before_the_handshake(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY)})
        first = [event("sneaked-in"), b"\xc0", b"\x07", b"\x96" + b"\xa4PING" + b"\xc0" * 5, b"\xc1",
                 b"\xdb\x7f\xff\xff\xff", b"\x96\xa4PING\xdb\xff\xff\xff\xff", b"\x91" * 100,
                 b'{"module_id": "sneaked-in"}']
        for number, data in enumerate(first):
            with self.subTest(data=data[:20]), self.connect() as peer:
                peer.read_value()
                peer.send(data)
                self.assertEqual(peer.read_to_end(), b"")
        self.counted("handshakes_refused_malformed_total", len(first) - 4)
        self.counted("connections_closed_foreign_total", 4)
        self.assertEqual(self.daemon.ledger()["received"], 0)
        for size, good in ((4096, True), (4097, False)):
            with self.connect() as peer:
                helo = peer.read_value()
                salt = b"s" * (size - len(sender.ping(helo, KEY, salt=b"")))
                data = sender.ping(helo, KEY, salt=salt)
                self.assertEqual(len(data), size)
                peer.send(data)
                self.assertEqual(bool(peer.read_exactly(1)), good)
        self.assertIn("give the client the shared key", self.daemon.log())

    def test_who_does_not_answer_in_time_is_closed(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY), "ingest.handshake_timeout_s": 1})
        with self.connect() as silent, self.connect() as slow, self.connect() as guest:
            self.assertTrue(guest.greet(KEY)[1])
            slow.send(sender.ping(slow.read_value(), KEY)[:-1])
            silent.read_value()
            self.assertTrue(silent.closed_by_peer(patience(10)))
            self.assertTrue(slow.closed_by_peer(patience(10)))
            self.exchange(guest, "guest-chunk")
        self.counted("handshakes_refused_late_total", 2)

    def replay(self, name, **who):
        """The session of a real client, with our nonce: cut at every offset behind the PING's beginning."""
        with open(os.path.join(GOLDEN, name + ".c2s.bin"), "rb") as capture:
            data = capture.read()
        unpacker = sender.msgpack.Unpacker(raw=True)
        unpacker.feed(data)
        said = next(unpacker)
        rest = data[unpacker.tell():]
        requests = list(unpacker)
        options = [request[-1] for request in requests]
        answer = b"".join(sender.pack({"ack": option[b"chunk"].decode()}) for option in options)
        size = len(sender.ping([b"HELO", {b"nonce": b"", b"auth": b"x"}], KEY, said[1], said[2], said[4], b"pw")) + len(rest)
        cuts = list(range(1, size))
        for first in range(0, len(cuts), 100):
            peers = []
            for cut in cuts[first:first + 100]:
                peer = self.connect("127.1.%d.%d" % (cut // 200, 1 + cut % 200))
                whole = sender.ping(peer.read_value(), KEY, said[1], said[2], said[4], b"pw") + rest
                self.assertEqual(len(whole), size)
                peer.send(whole[:cut])
                peers.append((peer, whole[cut:]))
            wait_for(lambda: sender.unread_bytes(self.daemon.forward) == 0, patience(30), "all to be read")
            for peer, tail in peers:
                peer.send(tail)
            for peer, _ in peers:
                self.assertTrue(peer.read_exactly(1))
                pong_rest = peer.read_exactly(len(sender.pack("PONG")) + 2 + len(self.server) + (2 if len(self.server) > 31 else 1)
                                              + 130)
                self.assertEqual(pong_rest[5:6], b"\xc3")
                self.assertEqual(peer.read_exactly(len(answer)), answer)
                peer.close()
        return len(cuts), len(requests)

    def test_real_clients_sessions_cut_anywhere_count_once_by_name(self):
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY),
                    "auth.users_file": self.scratch.write("users", b"alice:pw\n")})
        with self.connect() as peer:
            self.server = peer.greet(KEY, user=b"alice", password=b"pw")[3]
        events = received = 0
        for name in ("fl-auth-user", "fluentbit-auth-user"):
            cuts, requests = self.replay(name)
            received += cuts * requests
            events += requests
        books = self.daemon.assert_books(self)
        # They came from many addresses, but all are the same host and user: the same chunks.
        self.assertEqual((books["received"], books["stored"], books["duplicate"]), (received, events, received - events))
        with self.connect() as peer:
            self.assertTrue(peer.greet(KEY, hostname=b"another.host", user=b"alice", password=b"pw")[1])
            with open(os.path.join(GOLDEN, "fluentbit-same-content-1.c2s.bin"), "rb") as capture:
                data = capture.read()
            peer.send(data)
            peer.read_ack()
        with self.connect() as peer:
            self.assertTrue(peer.greet(KEY, hostname=b"a.third.host", user=b"alice", password=b"pw")[1])
            peer.send(data)
            peer.read_ack()
        self.assertEqual(self.daemon.ledger()["stored"], events + 2)

    def test_a_new_key_is_for_new_connections_and_a_bad_one_changes_nothing(self):
        path = self.scratch.write("key", KEY)
        self.serve({"auth.shared_key_file": path})
        with self.connect() as old, self.connect() as greeted:
            self.assertTrue(old.greet(KEY)[1])
            helo = greeted.read_value()
            self.scratch.write("key", b"other")
            self.reload()
            self.exchange(old, "old-connection")
            greeted.send(sender.ping(helo, KEY))  # it was greeted under the old key
            self.assertTrue(greeted.read_value()[1])
        with self.connect() as peer:
            self.assertFalse(peer.greet(KEY)[1])
        self.scratch.write("key", b"")
        self.reload("reload changed nothing: auth.shared_key_file")
        with self.connect() as peer:
            self.assertTrue(peer.greet(b"other")[1])

    # -- other ways in --

    def test_udp_heartbeats_are_answered_and_nothing_else(self):
        self.serve({})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(patience(10))
            peer.connect(self.daemon.forward)  # hears that address only
            for data in (b"\x01", b"", b"\0\0", b"x" * 2000):
                peer.send(data)
            for _ in range(3):
                peer.send(b"\0")
                self.assertEqual(peer.recv(100), b"\0")
            self.counted("heartbeats_udp_total", 3)
            self.counted("stray_datagrams_total", 4)
            peer.setblocking(False)
            with self.assertRaises(BlockingIOError):
                peer.recv(100)

    def test_a_heartbeat_port_that_is_taken_is_told_and_can_be_switched_off(self):
        self.serve({"ingest.udp_heartbeat": "false"})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(self.daemon.forward)  # ours is free
            port = self.daemon.forward[1]
            self.daemon.stop()
            self.daemon.settings.pop("ingest.udp_heartbeat")
            self.daemon.args = ["--forward", "127.0.0.1:%d" % port]
            self.daemon.start()
            self.assertIn("no UDP heartbeats on 127.0.0.1:%d: Address already in use" % port, self.daemon.log())
            with self.connect() as peer:
                self.exchange(peer, "without-heartbeat")

    def test_a_unix_socket_takes_events_and_leaves_no_trace(self):
        path = os.path.join(self.scratch.path, "in.sock")
        self.serve({"ingest.unix_socket": path, "auth.shared_key_file": self.scratch.write("key", KEY)})
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
        with sender.Connection(path, timeout_s=patience(30)) as peer:
            self.exchange(peer, "over-unix")
        with sender.Connection(path, timeout_s=patience(30)) as peer:  # the same user is the same peer
            peer.send(event("over-unix"))
            self.assertEqual(peer.read_ack(), "over-unix")
        with self.connect() as peer:
            self.assertEqual(peer.read_value()[0], b"HELO")
        second = subprocess.run([tidemarkd(), "--data-dir", os.path.join(self.scratch.path, "second"), "--forward",
                                 "127.0.0.1:0", "--http", "127.0.0.1:0", "--set", "ingest.unix_socket=" + path],
                                capture_output=True, text=True, timeout=patience(30))
        self.assertEqual(second.returncode, 69)
        self.assertIn("another process listens there", second.stderr)
        self.daemon.restart("kill")  # leaves a stale socket
        with sender.Connection(path, timeout_s=patience(30)) as peer:
            self.exchange(peer, "after-the-crash")
        self.daemon.stop()
        self.assertFalse(os.path.exists(path))
        self.scratch.write("in.sock", b"precious")
        with self.assertRaises(StartError) as refused:
            self.daemon.start()
        self.assertEqual(refused.exception.status, 69)
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    # -- how many, and how long --

    def test_one_connection_more_than_allowed_is_refused_and_a_free_place_is_taken(self):
        self.serve({"ingest.max_connections": 5, "ingest.max_connections_per_address": 3})
        own = [self.connect("127.0.0.1") for _ in range(3)]
        for number, peer in enumerate(own):
            self.exchange(peer, "own-chunk-%d" % number)
        with self.connect("127.0.0.1") as peer:
            self.assertTrue(peer.closed_by_peer(patience(10)))
        self.counted("connections_refused_address_total", 1)
        other = [self.connect("127.0.0.2") for _ in range(2)]
        for number, peer in enumerate(other):
            self.exchange(peer, "other-chunk-%d" % number)
        with self.connect("127.0.0.3") as peer:
            self.assertTrue(peer.closed_by_peer(patience(10)))
        self.counted("connections_refused_total", 1)
        own.pop().close()
        self.counted("connections_open", 4)
        with self.connect("127.0.0.1") as peer:
            self.exchange(peer, "own-chunk-again")
        for peer in own + other:
            peer.close()
        self.assertIn("ingest.max_connections_per_address", self.daemon.log())

    def test_idle_and_stalled_connections_are_closed_after_their_time(self):
        self.serve({"ingest.idle_timeout_s": 2, "ingest.stall_timeout_s": 1})
        with self.connect() as idle, self.connect() as stalled, self.connect() as busy:
            start = time.monotonic()
            self.exchange(idle, "idle-chunk")
            stalled.send(event("stalled-chunk")[:-3])
            ended = {}
            while len(ended) < 2 and time.monotonic() - start < patience(20):
                self.exchange(busy, "busy-%f" % time.monotonic())
                for name, peer in (("idle", idle), ("stalled", stalled)):
                    if name not in ended and peer.closed_by_peer(0.05):
                        ended[name] = time.monotonic() - start
            self.assertEqual(set(ended), {"idle", "stalled"})
            self.assertGreater(ended["idle"], 1.9)
            self.assertGreater(ended["stalled"], 0.9)
        self.counted("connections_closed_idle_total", 1)
        self.counted("connections_closed_stalled_total", 1)

    # -- TLS --

    def test_tls_carries_the_handshake_and_large_chunks(self):
        cert, key = self.scratch.certificate("server")
        self.serve({"auth.shared_key_file": self.scratch.write("key", KEY), "tls.cert_file": cert, "tls.key_file": key})
        tls = sender.client_tls(cert)
        entries = [(time.time(), {"module_id": "m%d" % (i % 50), "event": "response", "duration_ms": 1, "message": "x" * 900})
                   for i in range(4000)]
        large = sender.forward("mod.large", entries, "large-chunk")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls.minimum_version = tls.maximum_version = version
            with self.connect(tls=tls) as peer:
                self.assertTrue(peer.greet(KEY)[1])
                for number in range(20):
                    self.exchange(peer, "chunk-%s-%d" % (version.name, number))
                peer.send(large)
                self.assertEqual(peer.read_ack(), "large-chunk")
        books = self.daemon.assert_books(self)
        self.assertEqual((books["stored"], books["duplicate"]), (4040, 4000))

    def test_unread_acks_wait_up_to_their_bound_and_come_whole_and_in_order(self):
        cert, key = self.scratch.certificate("server")
        for tls in (False, True):
            for bound in (16 << 20, 64 << 10):
                settings = {"ingest.max_unread_ack_bytes": bound}
                if tls:
                    settings.update({"tls.cert_file": cert, "tls.key_file": key})
                with self.subTest(tls=tls, bound=bound):
                    self.serve(settings)
                    self.unread_acks(sender.client_tls(cert) if tls else None, bound)
                    self.daemon.stop()
                    self.daemon.close()

    def unread_acks(self, tls, bound):
        # 12 MB of acks: more than the kernel takes for one connection, less than the larger bound
        chunks = ["%06d" % number + "c" * 3994 for number in range(3000)]
        with self.connect(tls=tls) as peer:
            for chunk in chunks:
                peer.send(event(chunk))
            wait_for(lambda: self.daemon.ledger()["chunks"]["committed"] == len(chunks), patience(60), "all to be committed")
            dropped = self.counter("acks_dropped_total")
            heard = [peer.read_ack() for _ in range(len(chunks) - dropped)]
            self.assertEqual(heard, chunks if dropped == 0 else [chunk for chunk in chunks if chunk in set(heard)])
            self.exchange(peer, "after-all")
        self.assertEqual(dropped == 0, bound > 1 << 20)
        self.assertGreaterEqual(len(heard), min(len(chunks), bound // 4010))

    def test_tls_in_pieces_of_any_size_is_the_same_stream(self):
        cert, key = self.scratch.certificate("server")
        self.serve({"tls.cert_file": cert, "tls.key_file": key})
        rng = random.Random(seed())
        with self.connect(tls=sender.client_tls(cert)) as peer:
            chunks, stream = [], b""
            for number in range(300):
                chunks.append("chunk-%05d" % number)
                entries = [(time.time(), {"module_id": "m", "event": "debug", "message": "x" * rng.randrange(1000)})
                           for _ in range(rng.choice((1, 10, 200)))]
                stream += sender.forward("mod.pieces", entries, chunks[-1])
            while stream:
                size = rng.choice((1, 7, 1000, 16384, 16385, 70000, 300000))
                peer.send(stream[:size])  # each a record of its own, or several
                stream = stream[size:]
            for chunk in chunks:
                self.assertEqual(peer.read_ack(), chunk)
        self.daemon.assert_books(self)

    def test_what_one_record_holds_behind_a_large_request_is_not_forgotten(self):
        # The buffer of a large request ends a little behind it: the rest of the record stays inside the TLS library, and
        # the socket has nothing more to tell.
        cert, key = self.scratch.certificate("server")
        self.serve({"tls.cert_file": cert, "tls.key_file": key})
        large = sender.packed("mod.large", sender.entry(time.time(), {"event": "debug", "message": "x" * 300000}), "large")
        small = sender.forward("mod.small", [(time.time(), {"event": "debug", "message": "x" * 6000})], "small-chunk")
        with self.connect(tls=sender.client_tls(cert)) as peer:
            for piece in (large[:80000], large[80000:-5000]):
                peer.send(piece)
                wait_for(lambda: sender.unread_bytes(self.daemon.forward) == 0, patience(10), "the piece to be read")
            peer.send(large[-5000:] + small)
            self.assertEqual([peer.read_ack(), peer.read_ack()], ["large", "small-chunk"])

    def test_tls_below_1_2_and_clients_without_certificate_are_refused(self):
        cert, key = self.scratch.certificate("server")
        friend = self.scratch.certificate("friend")
        stranger = self.scratch.certificate("stranger")
        self.serve({"tls.cert_file": cert, "tls.key_file": key, "tls.client_ca_file": friend[0]})
        with self.connect(tls=sender.client_tls(cert, friend)) as peer:
            self.exchange(peer, "friends-chunk")
        for certificate in (None, stranger):
            with self.assertRaises((ssl.SSLError, OSError)):
                with self.connect(tls=sender.client_tls(cert, certificate)) as peer:
                    self.exchange(peer, "strangers-chunk")
        self.counted("handshakes_refused_tls_total", 2)
        host, port = self.daemon.forward
        old = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % (host, port), "-tls1_1", "-cipher",
                              "DEFAULT@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=patience(30))
        self.assertNotEqual(old.returncode, 0)
        self.counted("handshakes_refused_tls_total", 3)

    def test_the_wrong_language_on_either_port_is_named(self):
        cert, key = self.scratch.certificate("server")
        self.serve({"tls.cert_file": cert, "tls.key_file": key, "ingest.handshake_timeout_s": 1})
        for data in (event("plain"), b'{"module_id": "plain"}', b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n"):
            with self.connect() as peer:
                peer.send(data)
                self.assertTrue(peer.closed_by_peer(patience(10)))
        self.counted("connections_closed_foreign_total", 4)
        for word in ("plain Forward on the TLS port; switch TLS on in the client", "HTTP on the TLS port",
                     "something else than TLS"):
            self.assertIn(word, self.daemon.log())
        with self.connect() as silent, self.connect() as half:
            half.send(b"\x16\x03\x01\x02\x00\x01")
            self.assertTrue(silent.closed_by_peer(patience(10)))
            self.assertTrue(half.closed_by_peer(patience(10)))
        self.counted("handshakes_refused_late_total", 2)
        self.connect().close()  # a probe is nothing to tell of
        self.daemon.stop()
        for name in ("tls.cert_file", "tls.key_file"):
            self.daemon.settings.pop(name)
        self.daemon.start()
        with self.assertRaises((ssl.SSLError, OSError)):
            self.connect(tls=sender.client_tls(cert))
        wait_for(lambda: "TLS client on the plain Forward port" in self.daemon.log(), patience(10), "a line")

    def test_a_new_certificate_is_shown_to_new_connections_while_the_old_ones_go_on(self):
        cert, key = self.scratch.certificate("server")
        self.serve({"tls.cert_file": cert, "tls.key_file": key})
        trusted = sender.client_tls(cert)
        stop, sent, failed = threading.Event(), [0], []

        def traffic():
            try:
                with self.connect(tls=trusted) as peer:
                    while not stop.is_set():
                        self.exchange(peer, "traffic-%d" % sent[0])
                        sent[0] += 1
            except BaseException as error:  # noqa: what it was is for the main thread to tell
                failed.append(error)

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            wait_for(lambda: sent[0] > 10 or failed, patience(10), "traffic")
            self.scratch.certificate("server")
            self.reload()
            for _ in range(5):
                self.reload()
            with self.assertRaises(ssl.SSLError):
                self.connect(tls=trusted)
            with self.connect(tls=sender.client_tls(cert)) as peer:
                self.exchange(peer, "new-certificate")
            self.scratch.write("server.key", b"nonsense")
            self.reload("reload changed nothing: tls: key")
            before = sent[0]
            wait_for(lambda: sent[0] > before + 10 or failed, patience(10), "traffic after the reloads")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(failed, [])
        self.assertEqual(self.daemon.assert_books(self)["stored"], sent[0] + 1)

    # -- what cannot be --

    def test_a_bad_file_is_named_and_ends_with_78(self):
        cert, key = self.scratch.certificate("server")
        other = self.scratch.certificate("other")
        nonsense = self.scratch.write("nonsense", b"x\ny")
        empty = self.scratch.write("empty", b"")
        good = self.scratch.write("key", KEY)
        nobody = self.scratch.write("nobody", b"# none\n")
        twice = self.scratch.write("twice", b"a:1\nb:2\na:3\n")
        bare = self.scratch.write("bare", b"alice\n")
        cases = [
            ({"auth.shared_key_file": "/nonexistent"}, "auth.shared_key_file /nonexistent: No such file or directory"),
            ({"auth.shared_key_file": empty}, "expected one line of 1 to 1024 bytes"),
            ({"auth.shared_key_file": nonsense}, "expected one line of 1 to 1024 bytes"),
            ({"auth.users_file": good}, "expected auth.shared_key_file, too"),
            ({"auth.shared_key_file": good, "auth.users_file": nobody}, "at least one line name:password"),
            ({"auth.shared_key_file": good, "auth.users_file": twice}, "user a is there twice"),
            ({"auth.shared_key_file": good, "auth.users_file": bare}, bare + ":1: expected name:password"),
            ({"tls.cert_file": cert}, "only tls.cert_file is set"),
            ({"tls.key_file": key}, "only tls.key_file is set"),
            ({"tls.client_ca_file": cert}, "expected tls.cert_file and tls.key_file, too"),
            ({"tls.cert_file": nonsense, "tls.key_file": key}, "certificate " + nonsense),
            ({"tls.cert_file": "/nonexistent", "tls.key_file": key}, "No such file or directory"),
            ({"tls.cert_file": cert, "tls.key_file": nonsense}, "key " + nonsense),
            ({"tls.cert_file": cert, "tls.key_file": other[1]}, "key " + other[1]),
            ({"tls.cert_file": cert, "tls.key_file": key, "tls.client_ca_file": nonsense}, "tls.client_ca_file " + nonsense),
        ]
        for settings, words in cases:
            for check in ([], ["--check-config"]):
                with self.subTest(settings=settings, check=check):
                    command = [tidemarkd(), "--data-dir", os.path.join(self.scratch.path, "data"), "--forward",
                               "127.0.0.1:0", "--http", "127.0.0.1:0"] + check
                    for name, value in settings.items():
                        command += ["--set", "%s=%s" % (name, value)]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(30))
                    self.assertEqual(done.returncode, 78, done.stderr)
                    self.assertIn(words, done.stderr)
                    self.assertFalse(os.path.exists(os.path.join(self.scratch.path, "data")))

    def test_an_open_address_needs_a_key_or_certificates_of_clients(self):
        cert, key = self.scratch.certificate("server")
        shared = self.scratch.write("key", KEY)
        tls = {"tls.cert_file": cert, "tls.key_file": key}
        for settings, status in (({}, 78), (tls, 78), ({"auth.shared_key_file": shared}, 0),
                                 (dict(tls, **{"tls.client_ca_file": cert}), 0)):
            command = [tidemarkd(), "--check-config", "--forward", "0.0.0.0:0"]
            for name, value in settings.items():
                command += ["--set", "%s=%s" % (name, value)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience(30))
            self.assertEqual(done.returncode, status, done.stderr)
            http = subprocess.run(command + ["--http", "0.0.0.0:0"], capture_output=True, text=True,
                                  timeout=patience(30))
            self.assertEqual(http.returncode, 78, "REST asks nobody for a key")


if __name__ == "__main__":
    unittest.main(verbosity=2)
