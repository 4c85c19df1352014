#!/usr/bin/python3
"""Clients that nobody here wrote, unmodified, each send 1 000 events: what /module, /history and /ledger then say agrees
with what was sent, to the event. The programs in clients/ use each library as its README does."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import CLIENTS, PYTHON, go_client, node_modules, skip_without
from daemon import Daemon, patience, wait_for
from scratch import Scratch

EVENTS = 1000


class Base(unittest.TestCase):
    @classmethod
    def settings(cls):
        return {}

    @classmethod
    def setUpClass(cls):
        cls.files = Scratch("tidemark-clients-")
        cls.scratch = cls.files.path
        cls.daemon = Daemon(dict({"aggregation.interval_s": 5}, **cls.settings()))
        cls.sent = 0
        cls.modules, cls.no_node = node_modules()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.close()
            cls.files.close()

    def run_client(self, command, env=None):
        environment = dict(os.environ)
        environment.update(env or {})
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience(90), env=environment,
                              cwd=self.scratch)
        self.assertEqual(done.returncode, 0, "%s\n%s%s" % (command, done.stdout, done.stderr))
        self.assertIn("sent %d" % EVENTS, done.stdout)

    def check(self, name, command, acked, env=None):
        """Runs a client for module `name` and compares every place that counts."""
        before = self.daemon.ledger()
        host, port = self.daemon.forward
        self.run_client([part.format(host=host, port=port, module=name, count=EVENTS) for part in command], env)
        type(self).sent += EVENTS
        if not acked:  # what is in no acked chunk is committed within a second of its arrival
            wait_for(lambda: self.daemon.ledger()["received"] >= before["received"] + EVENTS, patience(10),
                     "%d events of %s in the ledger" % (EVENTS, name))
        after = self.daemon.assert_books(self)
        for part, expected in (("received", EVENTS), ("stored", EVENTS), ("late", 0), ("duplicate", 0),
                               ("sampled", 0), ("rejected", 0), ("skewed", 0)):
            self.assertEqual(after[part] - before[part], expected, part)

        metrics = self.daemon.module(name)
        self.assertEqual(metrics["total_requests"], EVENTS)
        self.assertEqual(metrics["failed_requests"], EVENTS // 10)
        self.assertEqual(metrics["successful_requests"], EVENTS - EVENTS // 10)
        self.assertEqual(metrics["min_response_time_ms"], 1)
        self.assertEqual(metrics["max_response_time_ms"], 100)
        self.assertAlmostEqual(metrics["average_response_time_ms"], 50.5, places=9)
        self.assertEqual(metrics["latency_samples"], EVENTS)

        points = self.daemon.history(name, **{"from": "-10m"})
        self.assertEqual(sum(point["requests"] for point in points), EVENTS)
        self.assertEqual(sum(point["failed"] for point in points), EVENTS // 10)
        fleet = self.daemon.history(**{"from": "-10m"})
        self.assertEqual(sum(point["requests"] for point in fleet), self.sent)
        self.assertEqual(after["received"], self.sent)

    def check_node(self, script, prefix, modes, acks=("ack", "noack"), more=None):
        skip_without(self, self.modules, self.no_node)
        for mode in modes:
            for ack in acks:
                with self.subTest(mode=mode, ack=ack):
                    self.check("%s-%s-%s" % (prefix, mode, ack),
                               ["node", os.path.join(CLIENTS, script), "{host}", "{port}", "{module}", "{count}", mode,
                                ack], acked=ack == "ack",
                               env={"NODE_PATH": self.modules, "CLIENT_OPTIONS": json.dumps(more or {})})


class Clients(Base):
    def test_python3_fluent_logger_counts_to_the_event(self):
        script = os.path.join(CLIENTS, "send.py")
        self.check("py", [PYTHON, script, "{host}", "{port}", "{module}", "{count}"], acked=False)
        self.check("py-precise", [PYTHON, script, "{host}", "{port}", "{module}", "{count}", "precise"], acked=False)

    def test_python3_msgpack_counts_to_the_event(self):
        script = os.path.join(CLIENTS, "send_msgpack.py")
        for mode in ("bare", "forward", "packed"):
            with self.subTest(mode=mode):
                self.check("msgpack-" + mode, [PYTHON, script, "{host}", "{port}", "{module}", "{count}", mode],
                           acked=mode != "bare")

    def test_npm_fluent_logger_counts_to_the_event(self):
        self.check_node("send.js", "fl", ("Message", "PackedForward"))

    def test_npm_fluent_org_logger_counts_to_the_event(self):
        self.check_node("send_org.js", "fo", ("Message", "Forward", "PackedForward"))

    def test_go_fluent_logger_counts_to_the_event(self):
        binary, reason = go_client()
        skip_without(self, binary, reason)
        for ack in ("ack", "noack"):
            with self.subTest(ack=ack):
                self.check("go-" + ack, [binary, "{host}", "{port}", "{module}", "{count}", ack], acked=ack == "ack")
                self.check("go-json-" + ack, [binary, "{host}", "{port}", "{module}", "{count}", ack, "json"],
                           acked=ack == "ack")


class SecureClients(Base):
    """The same with a shared key, users and TLS, and over a Unix socket."""
    KNOWN = {"security": {"clientHostname": "node.client", "sharedKey": "s3cr3t", "username": "alice", "password": "pw"}}

    @classmethod
    def settings(cls):
        cls.cert, key = cls.files.certificate("server")
        cls.socket = os.path.join(cls.scratch, "in.sock")
        return {"auth.shared_key_file": cls.files.write("key", b"s3cr3t\n"),
                "auth.users_file": cls.files.write("users", b"alice:pw\n"),
                "tls.cert_file": cls.cert, "tls.key_file": key, "ingest.unix_socket": cls.socket}

    def test_npm_fluent_logger_counts_to_the_event_with_key_and_tls(self):
        self.check_node("send.js", "fl", ("Message", "PackedForward"), ("ack",), dict(self.KNOWN, ca=self.cert))

    def test_npm_fluent_org_logger_counts_to_the_event_with_key_and_tls(self):
        self.check_node("send_org.js", "fo", ("Message", "PackedForward"), ("ack",), dict(self.KNOWN, ca=self.cert))

    def test_clients_count_to_the_event_over_a_unix_socket(self):
        script = os.path.join(CLIENTS, "send.py")
        self.check("py-unix", [PYTHON, script, "unix://" + self.socket, "0", "{module}", "{count}"], acked=False)
        self.check_node("send.js", "fl-unix", ("Message",), ("ack",), {"path": self.socket})
        self.check_node("send_org.js", "fo-unix", ("PackedForward",), ("ack",), {"path": self.socket})

    def test_npm_clients_with_a_wrong_key_or_password_send_nothing(self):
        skip_without(self, self.modules, self.no_node)
        host, port = self.daemon.forward
        before = self.daemon.ledger()
        for part, value in (("sharedKey", "wrong"), ("password", "wrong"), ("username", "mallory")):
            security = dict(self.KNOWN["security"], **{part: value})
            with self.subTest(part=part):
                environment = dict(os.environ, NODE_PATH=self.modules,
                                   CLIENT_OPTIONS=json.dumps({"security": security, "ca": self.cert}))
                done = subprocess.run(["node", os.path.join(CLIENTS, "send.js"), host, str(port), "no", "1", "Message", "ack"],
                                      capture_output=True, text=True, timeout=patience(60), env=environment)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertIn("mismatch", done.stderr)
        self.assertEqual(self.daemon.ledger(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
