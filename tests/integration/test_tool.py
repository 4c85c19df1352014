#!/usr/bin/python3
"""The tool beside the daemon: send (exactly once over reruns), demo, the tables and their --json, bench, exit codes."""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Served
from daemon import Daemon, environment, patience, start_process, tidemark, tidemarkd, wait_for
from scratch import Scratch


class Tool(Served):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.to = ["--forward", "%s:%d" % cls.daemon.forward]
        cls.url = ["--url", cls.daemon.rest.url]
        cls.home = tempfile.mkdtemp(prefix="tidemark-tool-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)

    def tool(self, *words, stdin="", status=0):
        done = subprocess.run([tidemark()] + list(words), input=stdin, capture_output=True, text=True, timeout=patience(60),
                              cwd=self.home, env=environment({"NO_COLOR": "1"}))
        self.assertEqual(done.returncode, status, "%s\n%s%s" % (words, done.stdout, done.stderr))
        return done

    @staticmethod
    def lines(module, count):
        return "".join(json.dumps({"module_id": module, "event": "response", "success": i % 10 != 0,
                                   "duration_ms": 1 + i % 100}) + "\n" for i in range(count))

    def test_send_counts_to_the_event(self):
        done = self.tool("send", *self.to, stdin=self.lines("sent", 1000))
        self.assertEqual(done.stdout, "", "data on stdout, talk on stderr")
        self.assertIn("1000 events", done.stderr)
        metrics = self.daemon.module("sent")
        self.assertEqual((metrics["total_requests"], metrics["failed_requests"]), (1000, 100))
        self.assertAlmostEqual(metrics["average_response_time_ms"], 50.5)
        # without --producer a second run is new events
        self.tool("send", *self.to, stdin=self.lines("sent", 1000))
        self.assertEqual(self.daemon.module("sent")["total_requests"], 2000)

    def test_send_with_a_producer_counts_once_over_reruns(self):
        for _ in range(3):
            self.tool("send", "--producer", "nightly-import", *self.to, stdin=self.lines("once", 1000))
            self.assertEqual(self.daemon.module("once")["total_requests"], 1000)
        books = self.daemon.assert_books(self)
        self.assertGreaterEqual(books["duplicate"], 2000)
        self.tool("send", "--producer", "nightly-import", "--epoch", "1", *self.to, stdin=self.lines("once", 1000))
        self.assertEqual(self.daemon.module("once")["total_requests"], 2000)

    def test_send_says_json_and_what_it_did(self):
        done = self.tool("send", "--json", *self.to, stdin=self.lines("counted", 50))
        answer = json.loads(done.stdout)
        self.assertEqual(answer["bad_records"], 0)
        self.assertIn(50, answer.values())

    def test_send_survives_a_restart_of_the_daemon(self):
        with Daemon() as daemon:
            port = daemon.forward[1]
            feed = subprocess.Popen([tidemark(), "send", "--forward", "127.0.0.1:%d" % port, "--chunk-events", "10"],
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                feed.stdin.write(self.lines("survivor", 500))
                feed.stdin.flush()
                wait_for(lambda: daemon.ledger()["stored"] >= 100, patience(10), "the first events")
                daemon.kill()
                daemon.args += ["--forward", "127.0.0.1:%d" % port]
                daemon.start()
                feed.stdin.write(self.lines("survivor", 500))
                feed.stdin.close()
                self.assertEqual(feed.wait(patience(30)), 0, feed.stderr.read())
            finally:
                feed.kill()
                feed.wait()
                feed.stderr.close()
            self.assertEqual(daemon.module("survivor")["total_requests"], 1000)
            daemon.stop()

    def test_send_refuses_what_is_no_record(self):
        done = self.tool("send", *self.to, stdin='{"module_id": "x"}\nnot json\n', status=1)
        self.assertRegex(done.stderr, r"\b2\b")  # the line
        done = self.tool("send", "--skip-bad", *self.to, stdin='{"module_id": "skip"}\nnot json\n{"module_id": "skip"}\n')
        self.assertEqual(self.daemon.ledger()["rejected"], 0)

    def test_exit_codes_without_a_daemon(self):
        for words in (["status"], ["modules"], ["history"], ["health"]):
            done = self.tool(*words, "--url", "http://127.0.0.1:1", status=69)
            self.assertIn("127.0.0.1:1", done.stderr)
            self.assertEqual(done.stdout, "")
        self.tool("frobnicate", status=2)
        self.tool("status", "--frobnicate", status=2)
        self.tool("--help")
        self.assertRegex(self.tool("--version").stdout, r"\d+\.\d+\.\d+")

    def test_bench_query_asks_a_store_of_its_own_and_checks_the_answers(self):
        done = json.loads(self.tool("bench", "query", "--times", "3", "--modules", "1", "--json").stdout)
        self.assertTrue(done["books"].startswith("ok"), done["books"])
        day = {question["name"]: question for question in done["questions"]}["day_json"]
        self.assertGreater(day["bytes"], 500000)
        self.assertGreater(day["server_cpu_ms"], 0)
        self.assertEqual(os.listdir(self.home), [], "its store is removed")
        self.assertIn("no module", self.tool("bench", "query", "--store", os.path.join(self.home, "new"), status=69).stderr)
        self.assertIn("--url", self.tool("bench", "query", "--url", "http://x", "--store", "y", status=2).stderr)

    def test_tables_and_json(self):
        self.tool("send", *self.to, stdin=self.lines("shown", 100))
        for words, text in ((["status"], "module"), (["modules"], "shown"), (["history"], ""), (["history", "shown"], "shown"),
                            (["health"], "shown")):
            with self.subTest(words=words):
                done = self.tool(*words, *self.url)
                self.assertIn(text, done.stdout)
                self.assertNotIn("\x1b", done.stdout, "colour without a terminal")
                answer = json.loads(self.tool(*words, "--json", *self.url).stdout)
                self.assertTrue(answer)
        rows = json.loads(self.tool("modules", "--json", *self.url).stdout)["modules"]
        self.assertEqual([row["total_requests"] for row in rows if row["module_id"] == "shown"], [100])
        csv = self.tool("history", "shown", "--csv", *self.url).stdout.splitlines()
        self.assertIn("interval_start", csv[0])
        column = csv[0].split(",").index("requests")
        self.assertEqual(sum(int(row.split(",")[column]) for row in csv[1:]), 100)
        done = self.tool("history", "nobody", *self.url, status=1)
        self.assertIn("Module not found", done.stderr)

    def test_demo_feeds_a_believable_fleet(self):
        with Daemon({"aggregation.interval_s": 5}) as daemon:
            feed = start_process([tidemark(), "demo", "--forward", "127.0.0.1:%d" % daemon.forward[1]],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                wait_for(lambda: daemon.rest.json("/api/v3/metrics/summary")["metrics"]["total_modules"] >= 10, patience(20),
                         "ten modules of the demo")
                wait_for(lambda: daemon.rest.json("/api/v3/metrics/summary")["metrics"]["total_requests"] >= 200, patience(20),
                         "200 requests of the demo")
                feed.send_signal(signal.SIGINT)
                self.assertEqual(feed.wait(patience(10)), 0, feed.stderr.read())
            finally:
                feed.kill()
                feed.wait()
                feed.stderr.close()
            self.assertEqual(daemon.assert_books(self)["rejected"], 0)
            metrics = daemon.rest.json("/api/v3/metrics/aggregated")["metrics"]
            self.assertGreater(metrics["latency_samples"], 0)
            self.assertIsNotNone(metrics["total_memory_usage_bytes"])
            daemon.stop()

    def test_bench_ingest_checks_the_books(self):
        help_text = self.tool("bench", "ingest", "--help").stdout
        self.assertIn("--events", help_text)
        with Daemon() as daemon:
            done = self.tool("bench", "ingest", "--events", "50000", "--json", "--forward", "%s:%d" % daemon.forward,
                             "--http", "%s:%d" % (daemon.rest.host, daemon.rest.port), "--pid", str(daemon.pid))
            print(json.dumps(json.loads(done.stdout)), flush=True)
            self.assertEqual(daemon.assert_books(self)["stored"], 50000)
            daemon.stop()
        done = self.tool("bench", "ingest", "--events", "50000", "--dir", self.home, "--daemon", tidemarkd())
        print(done.stdout, flush=True)
        self.assertEqual(os.listdir(self.home), [], "its own daemon's store is removed")

    def test_bench_ingest_paces_and_waits_for_each_ack(self):
        own = ["bench", "ingest", "--dir", self.home, "--daemon", tidemarkd()]
        done = json.loads(self.tool(*own, "--events", "20000", "--rate", "20000", "--rate-for", "1s", "--per-chunk", "100",
                                    "--json").stdout)
        paced = done["paced"]
        print(json.dumps(paced), flush=True)
        self.assertEqual((done["events"], paced["events"], paced["rate"], done["books"]), (20000, 20000, 20000, "ok"))
        self.assertLess(paced["events_per_second"], 25000)
        self.assertAlmostEqual(paced["server_cpu_of_burst"],
                               paced["server_cpu_ns_per_event"] / done["server_cpu_ns_per_event"], places=6)
        done = json.loads(self.tool(*own, "--one-at-a-time", "--events", "300", "--json").stdout)
        self.assertEqual((done["events"], done["commits"], done["books"]), (300, 300, "ok"))
        self.assertAlmostEqual(done["share_of_one_by_commit"], done["events_per_second"] * done["mean_commit_ms"] / 1e3,
                               places=6)
        self.assertLessEqual(done["share_of_one_by_commit"], 1)
        self.assertIn("of 1 / commit", self.tool(*own, "--one-at-a-time", "--events", "100").stdout)
        self.tool(*own, "--one-at-a-time", "--rate", "5", status=2)
        self.tool(*own, "--rate-for", "5s", status=2)


class Secured(Served):
    """The same commands where the daemon asks who they are."""
    KEY, PASSWORD = "s3cr3t", "p:w"

    @classmethod
    def setUpClass(cls):
        cls.files = Scratch("tidemark-secured-")
        cls.addClassCleanup(cls.files.close)
        cls.server, cls.friend = cls.files.certificate("server"), cls.files.certificate("friend")
        cls.settings = {"auth.shared_key_file": cls.files.write("key", b"s3cr3t\n"),
                        "auth.users_file": cls.files.write("users", b"alice:p:w\n"), "tls.cert_file": cls.server[0],
                        "tls.key_file": cls.server[1], "tls.client_ca_file": cls.friend[0]}
        super().setUpClass()
        cls.files.write("password", b"p:w\n")
        cls.files.write("wrong", b"s3cr3T\n")
        cls.to = ["--forward", "%s:%d" % cls.daemon.forward]
        cls.tls = ["--ca-file", cls.server[0], "--cert-file", cls.friend[0], "--key-file", cls.friend[1]]
        cls.known = ["--shared-key-file", "key", "--user", "alice", "--password-file", "password"] + cls.tls

    def tool(self, *words, status=0, env=None):
        done = subprocess.run([tidemark()] + list(words), input=Tool.lines("secured", 100), capture_output=True, text=True,
                              timeout=patience(60), cwd=self.files.path, env=environment(dict({"NO_COLOR": "1"}, **(env or {}))))
        self.assertEqual(done.returncode, status, "%s\n%s%s" % (words, done.stdout, done.stderr))
        for secret in (self.KEY, self.PASSWORD):
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def test_who_shows_key_user_and_certificate_is_let_in(self):
        before = self.daemon.ledger()["stored"]
        self.tool("send", *self.to, *self.known)
        self.tool("send", *self.to, "--user", "alice", *self.tls,
                  env={"TIDE_SHARED_KEY": self.KEY, "TIDE_PASSWORD": self.PASSWORD})
        self.tool("demo", *self.to, *self.known, "--url", self.daemon.rest.url, "--duration", "2s", "--json")
        done = json.loads(self.tool("bench", "ingest", *self.to, *self.known, "--url", self.daemon.rest.url, "--json",
                                    "--events", "20000").stdout)
        self.assertEqual(done["books"], "ok")
        self.assertGreater(self.daemon.assert_books(self)["stored"], before + 20200)

    def test_who_does_not_is_told_why_at_once_and_sends_nothing(self):
        before = self.daemon.ledger()["received"]
        key, user = ["--shared-key-file", "key"], ["--user", "alice", "--password-file", "password"]
        cases = [
            (["--shared-key-file", "wrong"] + user + self.tls, 1, "it refuses us: shared_key mismatch"),
            (key + ["--user", "alice", "--password-file", "wrong"] + self.tls, 1, "username/password mismatch"),
            (key + ["--user", "bob", "--password-file", "password"] + self.tls, 1, "username/password mismatch"),
            (key + self.tls, 1, "it asks for a user; name one with --user and --password-file"),
            (self.tls, 1, "asks for a shared key; name it with --shared-key-file"),
            (key + user + ["--ca-file", self.server[0]], 1, "certificate required"),
            (["--ca-file", self.server[0]], 1, "certificate required"),
            (key + user + ["--ca-file", self.friend[0]] + self.tls[2:], 1, "its certificate does not do: self-signed"),
            (key + user + ["--tls"], 1, "its certificate does not do"),
            (self.known + ["--server-name", "other"], 1, "its certificate does not do: hostname mismatch"),
            (key + ["--user", "alice"] + self.tls, 2, "expected his password, too"),
            (user + self.tls, 2, "users are asked for together with the shared key"),
            (["--cert-file", self.friend[0]], 2, "--cert-file and --key-file go together"),
            (["--shared-key-file", "nowhere"], 2, "--shared-key-file nowhere: No such file or directory"),
            (["--shared-key-file", self.server[0]], 2, "expected one line of 1 to 1024 bytes"),
            (["--ca-file", "key"], 2, "CA certificates key: "),
            (["--shared-key", "x"], 2, "unknown option '--shared-key'"),
        ]
        for words, status, said in cases:
            with self.subTest(words=words):
                self.assertIn(said, self.tool("send", *self.to, *words, "--timeout", "10s", status=status).stderr)
        for command in (["demo", "--url", self.daemon.rest.url, "--duration", "2s"],
                        ["bench", "ingest", "--url", self.daemon.rest.url, "--events", "1000"]):
            with self.subTest(command=command):
                self.assertIn("shared_key mismatch", self.tool(*command, *self.to, *cases[0][0], status=1).stderr)
                self.assertIn("asks for a shared key", self.tool(*command, *self.to, *self.tls, status=1).stderr)
        self.assertEqual(self.daemon.ledger()["received"], before)

    def test_a_key_where_none_is_asked_for_is_told_of(self):
        with Daemon() as daemon:
            to = ["--forward", "%s:%d" % daemon.forward]
            done = self.tool("send", *to, "--shared-key-file", "key", "--timeout", "1s", status=69)
            self.assertIn("does it ask for a shared key at all?", done.stderr)
            self.assertIn("does it speak TLS at all?", self.tool("send", *to, "--tls", "--timeout", "1s", status=69).stderr)
            daemon.stop()

    def test_a_server_that_does_not_know_the_key_gets_nothing(self):
        heard = []

        def impostor(listener):
            peer = listener.accept()[0]
            with peer:
                peer.sendall(sender.pack(["HELO", {"nonce": b"n" * 16, "auth": "", "keepalive": True}]))
                peer.recv(65536)
                peer.sendall(sender.pack(["PONG", True, "", "impostor", "0" * 128]))
                heard.append(peer.recv(65536))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=impostor, args=(listener,))
            thread.start()
            done = self.tool("send", "--forward", "127.0.0.1:%d" % listener.getsockname()[1], "--shared-key-file", "key",
                             status=1)
            thread.join()
        self.assertIn("does not have the shared key itself", done.stderr)
        self.assertEqual(heard, [b""])

    def test_a_secret_that_others_can_read_is_told_of(self):
        os.chmod(self.files.write("open", b"s3cr3t\n"), 0o644)
        done = self.tool("send", *self.to, "--shared-key-file", "open", "--user", "alice", "--password-file", "password",
                         *self.tls)
        self.assertIn("every user of this machine can get at open; chmod o= it", done.stderr)


class Asking(unittest.TestCase):
    """The commands that ask, where the REST port speaks TLS and wants a token."""
    TOKEN = "t0ken-of-the-reader"

    @classmethod
    def setUpClass(cls):
        cls.files = Scratch("tidemark-asking-")
        cls.addClassCleanup(cls.files.close)
        cls.server, cls.other = cls.files.certificate("server"), cls.files.certificate("other")
        tokens = cls.files.write("tokens", b"read %s reader\n" % hashlib.sha256(cls.TOKEN.encode()).hexdigest().encode())
        cls.daemon = Daemon({"tls.cert_file": cls.server[0], "tls.key_file": cls.server[1], "auth.http_tokens_file": tokens})
        cls.addClassCleanup(cls.daemon.close)
        cls.files.write("token", cls.TOKEN.encode() + b"\n")
        cls.files.write("wrong", b"another\n")
        cls.url = ["--url", cls.daemon.rest.url]
        cls.ca = ["--ca-file", cls.server[0]]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def tool(self, *words, stdin="", status=0, env=None):
        done = subprocess.run([tidemark()] + list(words), input=stdin, capture_output=True, text=True, timeout=patience(60),
                              cwd=self.files.path, env=environment(dict({"NO_COLOR": "1"}, **(env or {}))))
        self.assertEqual(done.returncode, status, "%s\n%s%s" % (words, done.stdout, done.stderr))
        self.assertNotIn(self.TOKEN, done.stdout + done.stderr)
        return done

    def test_a_token_and_an_authority_open_every_question(self):
        self.tool("send", "--forward", "%s:%d" % self.daemon.forward, *self.ca, stdin=Tool.lines("asked", 10))
        for command in (["status"], ["modules"], ["health"], ["modules", "--json"]):
            with self.subTest(command=command):
                self.assertIn("asked" if command[0] == "modules" else "1",
                              self.tool(*command, *self.url, *self.ca, "--token-file", "token").stdout)
                self.tool(*command, *self.url, *self.ca, env={"TIDE_TOKEN": self.TOKEN})

    def test_without_them_the_tool_says_what_is_missing(self):
        for more, status, words in (
                (self.ca, 1, "name a token with --token-file or $TIDE_TOKEN"),
                (self.ca + ["--token-file", "wrong"], 1, "name a token"),
                (self.ca + ["--token-file", "nowhere"], 2, "--token-file nowhere: "),
                (["--token-file", "token"], 1, "certificate does not do"),
                (["--ca-file", self.other[0], "--token-file", "token"], 1, "certificate does not do"),
                (self.ca + ["--server-name", "elsewhere", "--token-file", "token"], 1, "certificate does not do")):
            with self.subTest(more=more):
                self.assertIn(words, self.tool("modules", *self.url, *more, status=status).stderr)
        plain = self.daemon.rest.url.replace("https", "http")
        self.tool("modules", "--url", plain, "--token-file", "token", status=69)


if __name__ == "__main__":
    unittest.main(verbosity=2)
