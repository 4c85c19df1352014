#!/usr/bin/python3
"""A million samples of each of four shapes through the real port: p50, p95 and p99 within 1.1 % of the exact
nearest-rank values, from /module over a window and from /history; count, mean, minimum and maximum exact."""
import math
import os
import random
import re
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sender
from case import Served
from daemon import seed

SEED = seed()
SAMPLES = 1000000
CHUNK = 10000


def log_normal(rng):
    return rng.lognormvariate(math.log(20), 1.0)


def bimodal(rng):
    return abs(rng.gauss(5, 0.5)) if rng.random() < 0.7 else abs(rng.gauss(300, 20))


def microseconds(rng):
    return rng.lognormvariate(math.log(0.02), 0.5)


def constant(_):
    return 12.345


def rounded_us(value_ms):
    return math.floor(value_ms * 1000.0 + 0.5)


class Percentiles(Served):
    def send(self, module, values, at_s):
        # Every entry differs only in its duration: the bytes before it are made once.
        prefix = b"\x92" + sender.pack(sender.event_time(at_s)) + b"\x83" + sender.pack("module_id") + \
            sender.pack(module) + sender.pack("event") + sender.pack("response") + sender.pack("duration_ms") + b"\xcb"
        double = struct.Struct(">d").pack
        with sender.Connection(self.daemon.forward) as peer:
            for first in range(0, len(values), CHUNK):
                payload = b"".join([prefix + double(value) for value in values[first:first + CHUNK]])
                chunk = "percentiles-%s-%08d" % (module, first)
                peer.send(sender.packed("mod." + module, payload, chunk))
                self.assertEqual(peer.read_ack(), chunk)

    def lifetime_sum_s(self, module):
        """The exact sum of the durations: answers in JSON are rounded to microseconds, this is not."""
        text = self.daemon.rest.get("/api/v3/metrics/prometheus").text()
        return float(re.search(r'^tidemark_request_duration_seconds_sum{module="%s"} (\S+)$' % module, text, re.M).group(1))

    def check(self, shape):
        module = shape.__name__
        rng = random.Random(SEED)
        values = [shape(rng) for _ in range(SAMPLES)]
        at_s = int(time.time())  # one moment, so that one point of the history holds them all
        self.send(module, values, at_s)
        values.sort()
        exact = {name: values[max(1, math.ceil(q * SAMPLES)) - 1]
                 for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
        sum_us = sum(map(rounded_us, values))

        metrics = self.daemon.module(module, window="30m")
        self.assertEqual(metrics["total_requests"], SAMPLES)
        self.assertEqual(metrics["latency_samples"], SAMPLES)
        self.assertAlmostEqual(self.lifetime_sum_s(module), sum_us / 1e6, delta=sum_us * 1e-15)
        points = self.daemon.history(module, **{"from": str(at_s - 60)})
        self.assertEqual(len(points), 1)
        self.assertEqual(points[0]["requests"], SAMPLES)
        for answer in (metrics, points[0]):
            for name, want in exact.items():
                got = answer[name + "_response_time_ms"]
                print("%s %s: exact %.4f ms, ours %.4f ms (%+.3f %%)"
                      % (module, name, want, got, (got / want - 1) * 100), flush=True)
                self.assertLessEqual(abs(got - want), 0.011 * want + 0.0005, "%s %s" % (module, name))
            self.assertAlmostEqual(answer["average_response_time_ms"], sum_us / SAMPLES / 1000, delta=0.000501)
            self.assertAlmostEqual(answer["min_response_time_ms"], rounded_us(values[0]) / 1000, delta=1e-9)
            self.assertAlmostEqual(answer["max_response_time_ms"], rounded_us(values[-1]) / 1000, delta=1e-9)

    def test_a_million_samples_of_a_few_microseconds(self):
        self.check(microseconds)

    def test_a_million_log_normal_samples(self):
        self.check(log_normal)

    def test_a_million_bimodal_samples(self):
        self.check(bimodal)

    def test_a_million_constant_samples(self):
        self.check(constant)


if __name__ == "__main__":
    unittest.main(verbosity=2)
