#!/usr/bin/python3
"""Many at once: a thousand that send beside a thousand that trickle or say nothing, and ten thousand that just lie there.
Each sender gets its share and its acks in time, and memory stays within its bound."""
import os
import resource
import selectors
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from daemon import Daemon, patience, sanitized, skip_file, wait_for

SENDERS, SLOW, SILENT = 1000, 500, 500
SECONDS = 4.0
IDLE = 10000
IDLE_KIB = 200 * 1024
SPARE_FILES = 200
CROWD_KIB = 128 * 1024  # ingest.max_input_bytes, as it is unless set


def raise_the_limit_of_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the daemon
    return hard


def dial(address, source):
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    peer.bind((source, 0))
    peer.connect(address)
    peer.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


class Sender:
    """One chunk of ten events after the other, each acked before the next."""

    def __init__(self, number, address):
        self.number, self.count, self.slowest_s, self.total_s = number, 0, 0.0, 0.0
        self.socket = dial(address, "127.0.1.%d" % (1 + number % 4))
        self.rest = b"".join(sender.entry(time.time(), {"module_id": "m%02d" % (number % 20), "event": "response",
                                                        "duration_ms": 1}) for _ in range(10))
        self.heard = b""

    def begin(self):
        chunk = "crowd-%04d-%06d" % (self.number, self.count)
        self.wanted = sender.ack_bytes(chunk)
        self.began_s = time.monotonic()
        data = sender.packed("mod.crowd", self.rest, chunk)
        assert self.socket.send(data) == len(data)

    def hear(self):
        """True when the ack is whole."""
        piece = self.socket.recv(4096)
        assert piece, "a sender was closed"
        self.heard += piece
        assert self.wanted.startswith(self.heard), "not the ack that was waited for: %r" % self.heard
        if self.heard != self.wanted:
            return False
        took_s = time.monotonic() - self.began_s
        self.slowest_s = max(self.slowest_s, took_s)
        self.total_s += took_s
        self.count += 1
        self.heard = b""
        return True


class Crowd(unittest.TestCase):
    def status_kib(self, daemon, what):
        with open("/proc/%d/status" % daemon.pid) as status:
            for line in status:
                if line.startswith(what + ":"):
                    return int(line.split()[1])
        raise AssertionError("no " + what)

    def crowd(self, senders, slow, seconds):
        """The senders work for so long, the slow ones send a byte of a large request each about once a second."""
        ready = selectors.EpollSelector()
        for one in senders:
            ready.register(one.socket, selectors.EVENT_READ, one)
            one.begin()
        start, trickled, open_acks = time.monotonic(), 0, len(senders)
        while open_acks:
            going_on = time.monotonic() - start < seconds
            self.assertLess(time.monotonic() - start, seconds + patience(30), "%d acks did not come" % open_acks)
            for key, _ in ready.select(1):
                if key.data.hear():
                    if going_on:
                        key.data.begin()
                    else:
                        open_acks -= 1
            while slow and trickled < (time.monotonic() - start) * len(slow):
                slow[trickled % len(slow)].send(b"x")
                trickled += 1
        ready.close()
        return time.monotonic() - start

    def test_a_thousand_send_while_a_thousand_trickle_or_are_silent(self):
        with Daemon() as daemon:
            slow = [dial(daemon.forward, "127.0.1.5") for _ in range(SLOW)]
            silent = [dial(daemon.forward, "127.0.1.6") for _ in range(SILENT)]
            for number, peer in enumerate(slow):  # of many sizes, some of which have to ask for memory
                peer.send(b"\x92\xa1t\xdb" + struct.pack(">I", (number % 15 + 1) << 20) + b"x" * 1000)
            senders = [Sender(number, daemon.forward) for number in range(SENDERS)]
            took_s = self.crowd(senders, slow, SECONDS)
            counts = [one.count for one in senders]
            mean, mean_s = sum(counts) / SENDERS, sum(one.total_s for one in senders) / sum(counts)
            slowest_s, peak_kib = max(one.slowest_s for one in senders), self.status_kib(daemon, "VmHWM")
            print("%d senders beside %d slow and %d silent ones: %d chunks in %.1f s; of each %d to %d, mean %.1f; acks after "
                  "%.3f s on average, %.3f at the most; peak memory %.1f MiB"
                  % (SENDERS, SLOW, SILENT, sum(counts), took_s, min(counts), max(counts), mean, mean_s, slowest_s, peak_kib / 1024),
                  flush=True)
            self.assertGreater(min(counts), mean / 2, "a sender was starved")
            self.assertLess(slowest_s, 10 * mean_s + 0.5, "a sender waited long for an ack")
            self.assertLess(peak_kib, CROWD_KIB + 48 * 1024)
            self.assertEqual(daemon.assert_books(self)["stored"], 10 * sum(counts))
            for peer in silent[::50]:  # whoever was silent is welcome when it speaks
                chunk = "silent-%05d" % peer.fileno()
                peer.setblocking(True)
                peer.settimeout(patience(10))
                peer.send(sender.message("m", time.time(), {"module_id": "m"}, chunk))
                self.assertEqual(peer.recv(100), sender.ack_bytes(chunk))
            for peer in slow + silent + [one.socket for one in senders]:
                peer.close()
            daemon.stop()

    def test_ten_thousand_lie_idle_in_little_memory(self):
        with Daemon() as daemon:
            before = daemon.resident_kib()
            peers = []
            for number in range(IDLE):
                peer = dial(daemon.forward, "127.0.2.%d" % (1 + number % 4))
                if number % 2:  # half of them have sent something, and some more has begun
                    peer.send(sender.message("m", time.time(), {"module_id": "m"}, "idle-%06d" % number) + b"\xc0")
                peers.append(peer)
            wait_for(lambda: daemon.ledger()["stored"] == IDLE // 2, patience(30), "what they sent to be stored")
            for number, peer in enumerate(peers):
                if number % 2:
                    peer.setblocking(True)
                    peer.settimeout(patience(10))
                    self.assertEqual(peer.recv(100), sender.ack_bytes("idle-%06d" % number))
            text = daemon.rest.get("/api/v3/metrics/prometheus").text()
            self.assertIn("tidemark_connections_open %d\n" % IDLE, text)
            peak_kib = self.status_kib(daemon, "VmHWM")
            print("%d idle connections: %.1f MiB resident, %.1f before them, peak %.1f (bound %.0f)"
                  % (IDLE, daemon.resident_kib() / 1024, before / 1024, peak_kib / 1024, IDLE_KIB / 1024), flush=True)
            self.assertLess(peak_kib, IDLE_KIB)
            with sender.Connection(daemon.forward) as peer:
                peer.send(sender.message("m", time.time(), {"module_id": "m"}, "beside-them-all"))
                self.assertEqual(peer.read_ack(), "beside-them-all")
            for peer in peers:
                peer.close()
            daemon.stop()


if __name__ == "__main__":
    if sanitized():
        skip_file("a sanitizer build's memory and speed say nothing about ours")
    files = raise_the_limit_of_files()
    if files < SENDERS + SLOW + SILENT + SPARE_FILES:
        skip_file("%d connections need as many open files; ulimit -n allows %d" % (SENDERS + SLOW + SILENT, files))
    if files < IDLE + SPARE_FILES:
        print("only %d idle connections instead of %d: ulimit -n allows %d" % (files - SPARE_FILES, IDLE, files), flush=True)
        IDLE = (files - SPARE_FILES) // 8 * 8
    unittest.main(verbosity=2)
