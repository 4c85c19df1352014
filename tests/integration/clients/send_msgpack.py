#!/usr/bin/python3
"""The client of the README: Debian's python3-msgpack and a socket. send_msgpack.py HOST PORT MODULE COUNT MODE
MODE: bare (one map an event, no ack), forward or packed (chunks of 100 events, each acked before the next)."""
import socket
import sys
import time

import msgpack

host, port, module, count, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
peer = socket.create_connection((host, port))
answers = msgpack.Unpacker()


def event(i):
    return {"module_id": module, "event": "request", "success": i % 10 != 0, "duration_ms": 1 + i % 100}


def ack():
    while True:
        for answer in answers:
            return answer["ack"]
        answers.feed(peer.recv(4096) or sys.exit("the server closed before its ack"))


if mode == "bare":
    for i in range(count):
        peer.sendall(msgpack.packb(event(i)))
else:
    for first in range(0, count, 100):
        entries = [[int(time.time()), event(i)] for i in range(first, min(first + 100, count))]
        body = entries if mode == "forward" else b"".join(map(msgpack.packb, entries))
        chunk = "%s-%s-%08d" % (module, mode, first)
        peer.sendall(msgpack.packb(["mod." + module, body, {"chunk": chunk}]))
        if ack() != chunk:
            sys.exit("wrong ack")
peer.close()
print("sent %d" % count)
