"""A TCP proxy that goes wrong in the ways networks do, between a client and the daemon.

What happens to a connection is a Faults: told beforehand, from the connection's number, so that a seed repeats it. The
client's bytes are passed on late, in pieces, or only up to some byte; the daemon's answers are looked at value by value, so
that a certain ack can be lost, with its connection or without it. A connection is a thread; all of them end within the
proxy's patience, and close() waits for them.

The proxy keeps what it passed on to the daemon: a test may send it again, or count what has arrived.
"""
import random
import select
import socket
import struct
import threading
import time

import msgpack

CONNECTIONS_MAX = 5000  # of one proxy; more means that a client is going in circles


class Faults:
    """What is done to one connection. Numbers of acks count from 1."""

    def __init__(self, delay_s=0.0, piece=0, cut_at=None, cut_before_ack=None, cut_before_answer=None, swallow=(),
                 reset=False, replay=False, split_acks=False):
        self.delay_s = delay_s  # before each piece, either way
        self.piece = piece  # pass the client's bytes in pieces of so many
        self.cut_at = cut_at  # cut both sides behind this many bytes of the client's
        self.cut_before_ack = cut_before_ack  # cut when this ack has come: it is on disk, and the client will not know
        self.cut_before_answer = cut_before_answer  # the same where acks cannot be seen: the next answer behind so many bytes
        self.swallow = frozenset(swallow)  # acks that are not passed on while the connection lives
        self.reset = reset  # cut with a reset instead of an end
        self.replay = replay  # afterwards, say to the daemon once more all that the client said
        self.split_acks = split_acks  # pass the daemon's answers byte by byte

    def __repr__(self):
        return "Faults(%s)" % ", ".join("%s=%r" % item for item in sorted(vars(self).items()) if item[1])


def random_faults(rng, size, kind, replay=True, split_acks=True):
    """One of `kind` with any mixture around it, but never so slow that a client's patience ends before its bytes are through:
    some would go on for ever. size: bytes that a client may say on one connection, to cut anywhere in them."""
    faults = Faults(cut_at=rng.randrange(4 * size, 8 * size))  # no connection lasts
    pace = rng.choice(("late", "pieces", "straight"))
    if pace == "late":
        faults.delay_s = rng.choice((0.0005, 0.002, 0.01))
    elif pace == "pieces":
        faults.piece = rng.choice((1, 2, 7, 100))
    if kind == "cut":
        faults.cut_at = rng.randrange(size)
    elif kind == "cut before ack":
        faults.cut_before_ack = rng.randrange(1, 4)
    elif kind == "swallowed ack":
        faults.swallow = frozenset((rng.randrange(1, 4),))
    faults.reset = rng.random() < 0.5
    faults.replay = replay and rng.random() < 0.4
    faults.split_acks = split_acks and rng.random() < 0.3
    return faults


KINDS = ("cut before ack", "cut", "swallowed ack")


def seeded(seed, size, faulty, kinds=KINDS, **more):
    """A plan: the first `faulty` connections go wrong, each kind in its turn; the ones after them are clean."""
    def plan(number):
        if number >= faulty:
            return Faults()
        return random_faults(random.Random("%d/%d" % (seed, number)), size, kinds[number % len(kinds)], **more)
    return plan


class Cut(Exception):
    """The plan says that this connection ends here."""


class Answers:
    """The daemon's side of a connection, as whole values."""

    def __init__(self):
        self.unpacker = msgpack.Unpacker(raw=True)
        self.bytes = b""
        self.taken = 0

    def feed(self, data):
        """(raw bytes, is it an ack) of each whole value that has come."""
        self.bytes += data
        self.unpacker.feed(data)
        for value in self.unpacker:
            end = self.unpacker.tell()
            raw = self.bytes[:end - self.taken]
            self.bytes = self.bytes[end - self.taken:]
            self.taken = end
            yield raw, isinstance(value, dict) and b"ack" in value


class Proxy:
    """plan: number of a connection, from 0 -> its Faults. source: number -> the address the daemon sees; one for all if
    left out. opaque: the answers are not msgpack (TLS), so no faults that look at acks."""

    def __init__(self, server, plan, source=lambda number: "127.0.0.1", opaque=False, patience_s=60.0):
        self.server = server
        self.plan = plan
        self.source = source
        self.opaque = opaque
        self.patience_s = patience_s
        self.lock = threading.Lock()
        self.number = 0
        self.passed = []  # per connection that is over: what the daemon was given
        self.replayed = 0
        self.happened = {}  # kind of fault -> times it really struck
        self.trouble = []
        self.threads = []
        self.stopping = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.listener.getsockname()
        self.acceptor = threading.Thread(target=self._accept)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        """Ends every connection; raises what went wrong inside."""
        self.stopping = True
        try:
            socket.create_connection(self.address, timeout=5).close()  # wakes the acceptor
        except OSError:
            pass
        self.acceptor.join()
        self.listener.close()
        for thread in self.threads:
            thread.join()
        if self.trouble:
            raise AssertionError("in the proxy: %s" % self.trouble[0])

    def count(self, kind):
        with self.lock:
            self.happened[kind] = self.happened.get(kind, 0) + 1

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.stopping:
                client.close()
                return
            if self.number >= CONNECTIONS_MAX:
                self.trouble.append("more than %d connections" % CONNECTIONS_MAX)
                client.close()
                continue
            thread = threading.Thread(target=self._connection, args=(client, self.number))
            self.number += 1
            self.threads.append(thread)
            thread.start()

    def _dial(self, number):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.settimeout(self.patience_s)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.bind((self.source(number), 0))
        server.connect(self.server)
        return server

    def _connection(self, client, number):
        faults = self.plan(number)
        said = bytearray()
        server = None
        try:
            client.settimeout(self.patience_s)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = self._dial(number)
            self._pump(client, server, faults, said)
        except Cut:
            if faults.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # one side went away: so does the other
        except BaseException as error:  # noqa: told by close()
            self.trouble.append(repr(error))
        finally:
            client.close()
            if server:
                server.close()
        with self.lock:
            self.passed.append(bytes(said))
        if faults.replay and said:
            self._replay(number, bytes(said))

    def _pump(self, client, server, faults, said):
        answers, acks, end = Answers(), 0, time.monotonic() + self.patience_s
        while not self.stopping:
            if time.monotonic() > end:
                raise AssertionError("a connection went on for more than %.0f s" % self.patience_s)
            readable = select.select([client, server], [], [], 0.05)[0]
            if client in readable:
                data = client.recv(65536)
                if not data:
                    server.shutdown(socket.SHUT_WR)
                    self._rest(client, server)
                    return
                self._up(server, faults, said, data)
            if server in readable:
                data = server.recv(65536)
                if not data:
                    return
                if self.opaque:
                    if faults.cut_before_answer is not None and len(said) >= faults.cut_before_answer:
                        self.count("cut before ack")
                        raise Cut()
                    self._down(client, faults, data)
                    continue
                for raw, is_ack in answers.feed(data):
                    acks += is_ack
                    if is_ack and acks == faults.cut_before_ack:
                        self.count("cut before ack")
                        raise Cut()
                    if is_ack and acks in faults.swallow:
                        self.count("swallowed ack")
                        continue
                    self._down(client, faults, raw)

    def _up(self, server, faults, said, data):
        """Towards the daemon."""
        left = None if faults.cut_at is None else faults.cut_at - len(said)
        cut = left is not None and len(data) > left
        if cut:
            data = data[:left]
        step = faults.piece or len(data) or 1
        for at in range(0, len(data), step):
            if faults.delay_s:
                time.sleep(faults.delay_s)
            server.sendall(data[at:at + step])
        said += data
        if cut:
            self.count("cut")
            raise Cut()

    @staticmethod
    def _down(client, faults, data):
        """Towards the client."""
        if faults.delay_s:
            time.sleep(faults.delay_s)
        for at in range(0, len(data), 1 if faults.split_acks else len(data)):
            client.sendall(data[at:at + (1 if faults.split_acks else len(data))])

    def _rest(self, client, server):
        """The client has said all: what the daemon still answers is passed on as far as it is wanted."""
        while True:
            data = server.recv(65536)
            if not data:
                return
            client.sendall(data)

    def _replay(self, number, data):
        """The same bytes on a connection of their own, until the daemon ends it."""
        try:
            with self._dial(number) as server:
                server.sendall(data)
                server.shutdown(socket.SHUT_WR)
                while server.recv(65536):
                    pass
        except OSError:
            pass  # a broken end of what was cut may cost the connection
        with self.lock:
            self.passed.append(data)
            self.replayed += 1
        self.count("replay")


def whole_values(data):
    """The whole msgpack values at the front of data."""
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=1 << 30)
    unpacker.feed(data)
    return list(unpacker)
