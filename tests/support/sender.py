"""A Forward sender of our own: the bytes of every mode, the acks read back, and a sender that does not give up.

Nothing here is shared with the product: the bytes come from Debian's python3-msgpack, so a mistake of our decoder cannot
hide behind the same mistake in an encoder.
"""
import hashlib
import socket
import ssl
import struct
import time

import msgpack


def event_time(unix_s):
    """EventTime: ext type 0, seconds and nanoseconds, big endian."""
    if isinstance(unix_s, int):
        return msgpack.ExtType(0, struct.pack(">II", unix_s, 0))
    seconds = int(unix_s)
    return msgpack.ExtType(0, struct.pack(">II", seconds, min(999999999, int((unix_s - seconds) * 1e9))))


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def entry(unix_s, record):
    return pack([event_time(unix_s), record])


def options(chunk, more=None):
    option = {} if chunk is None else {"chunk": chunk}
    option.update(more or {})
    return option


def message(tag, unix_s, record, chunk=None, more=None):
    option = options(chunk, more)
    return pack([tag, event_time(unix_s), record] + ([option] if option else []))


def forward(tag, entries, chunk=None, more=None):
    """entries: (unix_s, record) pairs."""
    option = options(chunk, more)
    body = [[event_time(unix_s), record] for unix_s, record in entries]
    return pack([tag, body] + ([option] if option else []))


def packed(tag, payload, chunk=None, more=None, as_str=False):
    """payload: the bytes of entries, one after another (see entry())."""
    option = options(chunk, more)
    header = b"\x93" if option else b"\x92"
    if as_str:
        body = b"\xdb" + struct.pack(">I", len(payload)) + payload
    else:
        body = pack(payload)
    return header + pack(tag) + body + (pack(option) if option else b"")


def ack_bytes(chunk):
    return pack({"ack": chunk})


def client_tls(trusted, certificate=None):
    """Believes servers with one of the trusted certificates, whatever their name; shows its own, a (file, key) pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trusted)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class Connection:
    """One connection to the Forward port."""

    def __init__(self, address, source=None, timeout_s=30.0, tls=None):
        """address: host and port, or the path of a Unix socket; tls: an ssl.SSLContext."""
        local = isinstance(address, str)
        self.socket = socket.socket(socket.AF_UNIX if local else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        if not local:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.socket.bind((source, 0))
        try:
            self.socket.connect(address)
            if tls:
                self.socket = tls.wrap_socket(self.socket)
        except BaseException:
            self.socket.close()
            raise
        self.unpacker = msgpack.Unpacker(raw=False)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_ack(self):
        """The next ack's chunk id; ConnectionError when the server closed."""
        while True:
            for answer in self.unpacker:
                return answer["ack"]
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("closed before the ack")
            self.unpacker.feed(piece)

    def read_value(self):
        """The next value of any kind, strings as bytes."""
        unpacker = msgpack.Unpacker(raw=True)
        while True:
            for value in unpacker:
                return value
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("closed before the answer")
            unpacker.feed(piece)

    def greet(self, key, **who):
        """HELO, PING, PONG; the PONG."""
        self.send(ping(self.read_value(), key, **who))
        return self.read_value()

    def read_exactly(self, size):
        received = b""
        while len(received) < size:
            piece = self.socket.recv(size - len(received))
            if not piece:
                break
            received += piece
        return received

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read_to_end(self):
        received = b""
        while True:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return received
            if not piece:
                return received
            received += piece

    def closed_by_peer(self, deadline_s):
        """True when the server ends the connection within the deadline; what it sent before is dropped."""
        end = time.monotonic() + deadline_s
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65536):
                    return True
            except socket.timeout:
                return False
            except ConnectionError:
                return True

    def close(self):
        self.socket.close()


def deliver(address, data, chunk, source=None):
    """Sends one request and waits for its ack."""
    with Connection(address, source) as peer:
        peer.send(data)
        answer = peer.read_ack()
        if answer != chunk:
            raise AssertionError("ack of %r instead of %r" % (answer, chunk))


def digest(*parts):
    """Lower-case hexadecimal SHA-512 over the parts in order."""
    return hashlib.sha512(b"".join(parts)).hexdigest()


def ping(helo, key, hostname=b"test.client", salt=b"\xff0123456789abcde", user=b"", password=b""):
    """The PING that answers a HELO, as ["HELO", {...}] with raw bytes."""
    nonce, auth = helo[1][b"nonce"], helo[1][b"auth"]
    return b"\x96" + pack("PING") + b"".join(raw_str(value) for value in (
        hostname, salt, digest(salt, hostname, nonce, key).encode(), user,
        digest(auth, user, password).encode() if auth else b""))


def raw_str(value):
    """A str of any bytes, text or not."""
    return b"\xda" + struct.pack(">H", len(value)) + value


class StubbornSender:
    """Sends requests one at a time and resends the same bytes, on a new connection, until the ack has come.

    address: a function that returns where the server is now, or None while there is none.
    """

    def __init__(self, address, source=None, give_up_s=60.0, timeout_s=30.0, tls=None, key=None):
        self.address = address
        self.source = source
        self.tls = tls
        self.key = key  # to be shown first
        self.timeout_s = timeout_s  # for one ack
        self.give_up_s = give_up_s
        self.peer = None
        self.resends = 0

    def deliver(self, data, chunk):
        end = time.monotonic() + self.give_up_s
        first = True
        while True:
            if not first:
                self.resends += 1
            try:
                if self.peer is None:
                    address = self.address()
                    if address is None:
                        raise ConnectionError("no server now")
                    self.peer = Connection(address, self.source, self.timeout_s, self.tls)
                    if self.key and not self.peer.greet(self.key)[1]:
                        raise AssertionError("the key was refused")
                self.peer.send(data)
                first = False
                answer = self.peer.read_ack()
                if answer != chunk:
                    raise AssertionError("ack of %r instead of %r" % (answer, chunk))
                return
            except OSError:
                self.close()
                if time.monotonic() > end:
                    raise AssertionError("chunk %r was not acked in %.0f s" % (chunk, self.give_up_s))
                time.sleep(0.01)

    def close(self):
        if self.peer is not None:
            self.peer.close()
            self.peer = None


NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP = 4, 20, 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
ESTABLISHED, CLOSE_WAIT, LISTEN = 1, 8, 10
SOCKET_ID_SIZE = 48


def unread_bytes(address):
    """How many received bytes the server has not read yet, over all its connections: the way to know that a piece has
    reached the program before the next piece is sent. -1: a connection waits for accept. The kernel is asked through
    sock_diag; /proc/net/tcp says the same, but slowly once thousands of old connections linger in it."""
    states = 1 << ESTABLISHED | 1 << CLOSE_WAIT | 1 << LISTEN
    any_peer = struct.pack(">HH", address[1], 0) + bytes(32) + struct.pack("=III", 0, 0xffffffff, 0xffffffff)
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, states) + any_peer
    ours, total = socket.inet_aton(address[0]), 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0) + body)
        while True:
            data, at = kernel.recv(1 << 17), 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == NLMSG_DONE:
                    return total
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", data, at + 16)[0], "sock_diag")
                at += 16
                state, host = data[at + 1], data[at + 8:at + 12]
                queue, = struct.unpack_from("=I", data, at + 4 + SOCKET_ID_SIZE + 4)
                at += (size + 3 & ~3) - 16
                if host != ours:
                    continue  # one of our clients, with the same port at another loopback address
                if state == LISTEN and queue:
                    return -1
                if state != LISTEN:
                    total += queue
