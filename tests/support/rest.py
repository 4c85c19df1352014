"""A small HTTP client for the REST port: whole answers with status, headers and body, each held against the OpenAPI file,
and raw requests for the cases that a polite client library would not send."""
import gzip
import http.client
import json
import socket
import ssl
import urllib.parse

import openapi


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (name, value), as sent
        self.body = body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def plain(self):
        """The body, unpacked."""
        return gzip.decompress(self.body) if self.header("Content-Encoding") == "gzip" else self.body

    def text(self):
        return self.body.decode("utf-8")


def query(path, params):
    if not params:
        return path
    return path + "?" + urllib.parse.urlencode({k: v for k, v in params.items()})


class Rest:
    def __init__(self, host, port, timeout_s=30.0, secure=False):
        """secure: HTTPS; whose certificate it is is for the tests of TLS to judge."""
        self.host = host
        self.port = port
        self.timeout_s = timeout_s
        self.secure = secure

    @property
    def url(self):
        return "http%s://%s:%d" % ("s" if self.secure else "", self.host, self.port)

    def connect(self):
        if self.secure:
            return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout_s,
                                               context=ssl._create_unverified_context())
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)

    def ask(self, method, path, headers=None, connection=None, **params):
        """One request; the connection, if given, is kept."""
        own = connection or self.connect()
        try:
            own.request(method, query(path, params), headers=headers or {})
            response = own.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        finally:
            if connection is None:
                own.close()
        openapi.spec().check(method, openapi.path_of(path), answer)
        return answer

    def get(self, path, headers=None, connection=None, **params):
        return self.ask("GET", path, headers, connection, **params)

    def json(self, path, **params):
        """The body of a GET that must succeed."""
        answer = self.get(path, **params)
        if answer.status != 200:
            raise AssertionError("GET %s: %d %s" % (query(path, params), answer.status, answer.body[:500]))
        return answer.json()

    def raw(self, request, timeout_s=5.0):
        """Sends bytes as they are and returns all that comes until the server closes or is silent."""
        with socket.create_connection((self.host, self.port), timeout=timeout_s) as peer:
            peer.sendall(request)
            received = b""
            while True:
                try:
                    piece = peer.recv(65536)
                except (socket.timeout, ConnectionResetError):
                    return received
                if not piece:
                    return received
                received += piece
