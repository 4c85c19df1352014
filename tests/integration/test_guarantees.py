#!/usr/bin/python3
"""The table of README's "Guarantees": a test per row, named there. Between each client and the daemon sits a proxy that
delays, cuts into pieces, cuts off (in the data, or between the data and its ack), loses acks, and says everything once more.

Where Fluentd and Fluent Bit cannot be had, the bytes of real ones are sent as they send them: again and again, unchanged,
until the ack comes."""
import os
import random
import re
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Served
from clients import CLIENTS, PYTHON, go_client, node_modules, skip_without
from daemon import Daemon, environment, patience, seed, source_dir, start_process, tidemark, wait_for
from proxy import KINDS, Faults, Proxy, seeded, whole_values
from scratch import Scratch

GOLDEN = os.path.join(source_dir(), "tests", "golden", "wire")
FAULTY = 60 if os.environ.get("TIDE_LONG") else 12  # connections of a proxy that go wrong before it behaves
SEED = seed()


def captured(name, old, number):
    """A recorded chunk under an id of its own: as long as the recorded one, in its place."""
    with open(os.path.join(GOLDEN, name + ".c2s.bin"), "rb") as file:
        data = file.read()
    assert data.count(old) == 1
    chunk = b"%022d" % number + old[22:]
    return data.replace(old, chunk), chunk.decode()


class Guarantees(Served):
    settings = {"aggregation.lateness_s": 2147483647}  # the recorded events are old
    serial = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.files = Scratch("tidemark-guarantees-")
        cls.addClassCleanup(cls.files.close)

    def setUp(self):
        type(self).serial += 1
        self.before = self.daemon.ledger()

    def gained(self, ledger=None):
        """What the books gained since the test began; they balance."""
        after = ledger or self.daemon.assert_books(self)
        return {name: after[name] - self.before[name]
                for name in ("received", "stored", "late", "duplicate", "sampled", "rejected")}

    def proxy(self, size, number=0, plan=None, faulty=FAULTY, **more):
        names = ("replay", "kinds", "split_acks")
        faults = {name: more.pop(name) for name in names if name in more}
        plan = plan or seeded(SEED + 1000 * self.serial + number, size, faulty, **faults)
        return Proxy(self.daemon.forward, plan, patience_s=patience(60), **more)

    def stubborn(self, requests, proxy, timeout_s=0.2, **more):
        """Delivers (bytes, chunk id) pairs one after another, each as often as it takes."""
        stubborn = sender.StubbornSender(lambda: proxy.address, give_up_s=patience(60), timeout_s=timeout_s, **more)
        try:
            for data, chunk in requests:
                stubborn.deliver(data, chunk)
        finally:
            stubborn.close()

    def at_once(self, jobs):
        """Runs functions at the same time; the first that failed is told."""
        failed = []

        def run(job):
            try:
                job()
            except BaseException as error:  # noqa: for the main thread to tell
                failed.append(error)

        threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def counted_once(self, streams, events, **more):
        """Streams of (bytes, id) pairs, each through a proxy of its own; all events are counted once, some came twice."""
        proxies = [self.proxy(3 * max(len(data) for data, _ in stream), number, **more)
                   for number, stream in enumerate(streams)]
        try:
            self.at_once([lambda stream=stream, proxy=proxy: self.stubborn(stream, proxy)
                          for stream, proxy in zip(streams, proxies)])
        finally:
            for proxy in proxies:
                proxy.close()
        gained = self.gained()
        self.assertEqual(gained["stored"], events, gained)
        self.assertEqual(gained["rejected"] + gained["late"], 0, gained)
        struck = {kind: sum(proxy.happened.get(kind, 0) for proxy in proxies) for kind in KINDS + ("replay",)}
        print("%s: %r, %d duplicates" % (self._testMethodName, struck, gained["duplicate"]), flush=True)
        self.assertTrue(all(struck.values()) and gained["duplicate"], struck)

    def program(self, command, env=None, status=0):
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience(60), env=environment(env),
                              cwd=self.files.path)
        self.assertEqual(done.returncode, status, "%s\n%s%s" % (command, done.stdout, done.stderr))
        return done

    # -- a test per row --

    def test_fluentd_chunks_are_counted_once(self):
        names = (("fluentd-restart-before", b"Zg8n66rMd3c+MxFhLf6I2Q==\n"),
                 ("fluentd-gzip-3-members", b"Zg8oiTBFQRofEnYywgb1/w==\n"))
        self.counted_once([[captured(name, old, number) for number in range(60)] for name, old in names], 2 * 60 * 3)

    def test_fluent_bit_chunks_are_counted_once(self):
        names = (("fluentbit-gzip-ack", b"wIOniV7OeVD7dCdiMfdveg=="), ("fluentbit-message-mode", b"4525dgFkfPhvnqZfmsIuSQ=="))
        self.counted_once([[captured(name, old, number) for number in range(60)] for name, old in names], 2 * 60)

    def test_a_client_that_resends_until_it_is_acked_is_counted_once(self):
        def stream(number):
            rng = random.Random("%d/%d" % (SEED, number))
            for k in range(60):
                chunk = "own-chunk-%d-%d" % (number, k)
                entries = [(time.time(), {"module_id": "own-%d" % number, "event": "response", "duration_ms": 1})
                           for _ in range(rng.choice((1, 10, 100)))]
                yield len(entries), (rng.choice((sender.forward, self.packed))("mod.own", entries, chunk), chunk)

        streams = [list(stream(number)) for number in range(3)]
        self.counted_once([[request for _, request in one] for one in streams],
                          sum(size for one in streams for size, _ in one))
        for number, one in enumerate(streams):
            self.assertEqual(self.daemon.module("own-%d" % number)["total_requests"], sum(size for size, _ in one))

    @staticmethod
    def packed(tag, entries, chunk):
        return sender.packed(tag, b"".join(sender.entry(*one) for one in entries), chunk)

    def test_structured_ids_are_counted_once_from_any_address(self):
        def stream(number):
            for k in range(60):
                chunk = "v1:%032x:3:%d" % (0xfeed0000 + number, k)
                yield sender.message("mod.any", time.time(), {"event": "response", "duration_ms": 1, "n": k}, chunk), chunk

        # every connection, and so every resend, comes from somewhere else
        self.counted_once([list(stream(number)) for number in range(2)], 120,
                          source=lambda number: "127.0.%d.%d" % (1 + number // 200, 2 + number % 200))
        chunk = "v1:%032x:3:59" % 0xfeed0000
        sender.deliver(self.daemon.forward, sender.message("mod.any", time.time(), {"event": "debug"}, chunk), chunk)
        self.assertEqual(self.gained()["stored"], 120, "another payload under a used id")
        self.assertEqual(self.daemon.ledger()["chunks"]["rejected_by_reason"]["id_reuse"], 1)

    def send(self, proxy, module, *more, timeout="200ms", chunk=50):
        """tidemark send of 3 000 events through the proxy; the process."""
        feed = start_process([tidemark(), "send", "--forward", "127.0.0.1:%d" % proxy.address[1], "--chunk-events",
                              str(chunk), "--timeout", timeout, "--retry", "1000"] + list(more), stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.files.path, env=environment())
        line = '{"module_id": "%s", "event": "response", "duration_ms": 2}\n' % module
        threading.Thread(target=pour, args=(feed, line * 3000), daemon=True).start()
        return feed

    def finished(self, feed):
        with feed:
            try:
                self.assertEqual(feed.wait(patience(60)), 0, feed.stderr.read().decode())
            finally:
                feed.kill()

    def test_tidemark_send_is_counted_once_over_reruns_too(self):
        with self.proxy(100000) as proxy:
            self.finished(self.send(proxy, "sent"))
        self.assertEqual(self.daemon.module("sent")["total_requests"], 3000)
        for kill in (True, True, False, False):
            with self.proxy(30000, faulty=4) as proxy:
                feed = self.send(proxy, "sent-by-name", "--producer", "nightly", "--window", "2")
                if kill:
                    wait_for(lambda: len(proxy.passed) > 1 or feed.poll() is not None, patience(30), "a lost connection")
                    feed.kill()
                    with feed:
                        feed.wait()
                else:
                    self.finished(feed)
        self.assertEqual(self.daemon.module("sent-by-name")["total_requests"], 3000)
        self.assertEqual(self.gained()["stored"], 6000)

    def test_who_has_shown_the_key_is_counted_once_from_any_address(self):
        cert, key = self.files.certificate("server")
        settings = {"auth.shared_key_file": self.files.write("key", b"s3cr3t\n"), "tls.cert_file": cert, "tls.key_file": key}
        with Daemon(settings) as daemon:
            def plan(number):  # of bytes that nobody else can read: every other one is cut within the handshakes
                rng = random.Random("%d/%d" % (SEED, number))
                if number >= 10:
                    return Faults()
                if number % 2:
                    return Faults(cut_at=rng.randrange(100, 2000), piece=rng.choice((0, 1, 100)))
                return Faults(cut_before_answer=rng.randrange(5000, 20000), reset=rng.random() < 0.5)

            def proxy(salt):
                return Proxy(daemon.forward, plan, opaque=True, source=lambda number: "127.0.%d.%d" % (salt, 2 + number))

            with proxy(1) as first:
                self.finished(self.send(first, "keyed", "--shared-key-file", "key", "--ca-file", cert, "--window", "2",
                                        timeout="5s", chunk=10))
            requests = [(sender.forward("mod.keyed", [(time.time(), {"module_id": "keyed", "event": "response", "n": k})] * 10,
                                        chunk), chunk) for k in range(200) for chunk in ["plain-id-%d" % k]]
            with proxy(2) as second:
                self.stubborn(requests, second, 5.0, tls=sender.client_tls(cert), key=b"s3cr3t")
            for one in (first, second):
                self.assertEqual(one.happened, {"cut": 5, "cut before ack": 5})
            books = daemon.assert_books(self)
            self.assertEqual((books["received"] - books["duplicate"], books["stored"]), (5000, 5000))
            self.assertGreater(books["duplicate"], 0)
            daemon.stop()

    def test_golang_client_with_acks_is_counted_once(self):
        program, reason = go_client()
        skip_without(self, program, reason)
        # It waits for an ack for ever: a lost one has to come with the end of the connection.
        with self.proxy(1500, kinds=KINDS[:2], faulty=2 * FAULTY) as proxy:
            self.program([program, proxy.address[0], str(proxy.address[1]), "golang", "200", "ack", "5"])
        self.assertEqual(self.daemon.module("golang")["total_requests"], 200)
        gained = self.gained()
        self.assertEqual(gained["stored"], 200)
        self.assertGreater(gained["duplicate"], 0)

    def node(self, proxy, library, prefix, count, *more):
        """Numbers of the events that were acked, and what else the client had to say."""
        modules, reason = node_modules()
        skip_without(self, modules, reason)
        said = self.program(["node", os.path.join(CLIENTS, "send_faulty.js"), library, proxy.address[0], str(proxy.address[1]),
                             prefix, str(count)] + list(more), {"NODE_PATH": modules}).stdout.splitlines()
        return {int(line.split()[1]) for line in said if line.startswith("acked ")}, said

    def times(self, prefix, count):
        """How often each event was counted."""
        rows = self.daemon.rest.json("/api/v3/metrics/modules", prefix=prefix + "-", limit=1000)["modules"]
        found = {row["module_id"]: row["total_requests"] for row in rows}
        return [found.get("%s-%d" % (prefix, i), 0) for i in range(count)]

    def test_npm_fluent_logger_is_counted_once_and_may_lose(self):
        def plan(number):
            # Once an ack is lost and its connection is not, it takes every later ack for the wrong one: that comes last.
            return (Faults(cut_before_ack=3), Faults(cut_at=700, reset=True), Faults(replay=True, piece=1, cut_before_ack=4),
                    Faults(swallow=(12,), delay_s=0.002), Faults())[min(number, 4)]

        with self.proxy(0, plan=plan) as proxy:
            acked, said = self.node(proxy, "fluent-logger", "npm-fl", 40)
        times = self.times("npm-fl", 40)
        print("npm fluent-logger: %d acked, %d counted, %d lost; %r" % (
            len(acked), sum(times), times.count(0), proxy.happened), flush=True)
        self.assertLessEqual(max(times), 1, "counted twice: %r" % said)
        self.assertEqual([i for i in acked if times[i] != 1], [], "acked and not counted")
        self.assertGreater(len(acked), 2)
        self.assertGreater(proxy.happened.get("cut before ack", 0), 0)

    def test_npm_fluent_org_logger_is_counted_once_with_event_ids_else_at_least_once(self):
        for prefix, words in (("npm-fo-ids", ["ids"]), ("npm-fo", [])):
            with self.proxy(4000, faulty=8, replay=False) as proxy:
                acked, _ = self.node(proxy, "@fluent-org/logger", prefix, 100, *words)
            times = self.times(prefix, 100)
            print("npm @fluent-org/logger %r: %d counted; %r" % (words, sum(times), proxy.happened), flush=True)
            self.assertEqual(len(acked), 100)
            self.assertGreater(sum(proxy.happened.values()), 0)
            self.assertGreaterEqual(min(times), 1)
            if words:
                self.assertEqual(max(times), 1)

    def test_without_acks_counts_whatever_arrives_as_often_as_it_arrives(self):
        def plan(number):
            return (Faults(cut_at=5000, reset=True), Faults(piece=7, replay=True, cut_at=9001), Faults(delay_s=0.002, replay=True),
                    Faults())[min(number, 3)]

        with self.proxy(0, plan=plan) as proxy:
            self.program([PYTHON, os.path.join(CLIENTS, "send.py"), proxy.address[0], str(proxy.address[1]), "py-faulty", "400",
                          "tolerant"])
            for _ in range(3):
                with sender.Connection(proxy.address) as peer:
                    for i in range(50):
                        peer.send(sender.pack({"module_id": "py-faulty", "event": "response", "duration_ms": i}))
                    peer.finish_sending()
                    peer.read_to_end()
        arrived = sum(len(whole_values(data)) for data in proxy.passed)
        print("without acks: 550 sent, %d arrived; %r" % (arrived, proxy.happened), flush=True)
        self.assertNotEqual(arrived, 550)
        start = time.monotonic()
        wait_for(lambda: self.daemon.ledger()["received"] - self.before["received"] >= arrived, patience(10), "all to be counted")
        self.assertLess(time.monotonic() - start, patience(2), "what has arrived is on disk within a second")
        self.assertEqual(self.gained()["stored"], arrived)
        self.assertEqual(self.daemon.module("py-faulty")["total_requests"], arrived)

    # -- and the table itself --

    def test_every_row_of_the_table_names_its_test(self):
        with open(os.path.join(source_dir(), "README.md")) as file:
            section = file.read().split("\n## Guarantees\n")[1].split("\n## ")[0]
        rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("|")][2:]
        named = set()
        for row in rows:
            names = re.findall(r"`(\w+)`", row[2])
            self.assertTrue(names, "a row without a test: %s" % row[0])
            named.update(names)
        ours = {name[len("test_"):] for name in dir(self) if name.startswith("test_")} - {self._testMethodName[len("test_"):]}
        self.assertEqual(named, ours)


def pour(feed, text):
    try:
        feed.stdin.write(text.encode())
        feed.stdin.close()
    except (BrokenPipeError, ValueError):
        pass  # it was killed


if __name__ == "__main__":
    unittest.main(verbosity=2)
