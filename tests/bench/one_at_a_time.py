#!/usr/bin/python3
"""Clients that wait for each ack, on the same daemon in the same minute: `tidemark bench ingest --one-at-a-time` and npm's
fluent-logger. Prints each one's rate, the mean commit meanwhile, and what share of 1 / commit the rate is. To be run by hand:

    TIDE_BUILD=build/release tests/bench/one_at_a_time.py [EVENTS]"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import CLIENTS, node_modules
from daemon import Daemon, environment, tidemark


def commits(daemon):
    """Number of group commits so far, and the seconds they took."""
    text = daemon.rest.get("/api/v3/metrics/prometheus").text()
    return [float(re.search(r"^tidemark_commit_duration_seconds_%s (\S+)$" % part, text, re.M).group(1))
            for part in ("count", "sum")]


def show(name, rate, commit_s):
    print("%-20s %5.0f events/s, a commit takes %.2f ms: %.2f of 1 / commit" % (name, rate, commit_s * 1e3, rate * commit_s))


def main():
    count = sys.argv[1] if len(sys.argv) > 1 else "2000"
    with Daemon() as daemon:
        host, port = daemon.forward
        ours = json.loads(subprocess.run(
            [tidemark(), "bench", "ingest", "--one-at-a-time", "--events", count, "--json", "--forward", "%s:%d" % daemon.forward,
             "--url", daemon.rest.url, "--pid", str(daemon.pid)], check=True, capture_output=True, text=True,
            env=environment()).stdout)
        show("bench ingest", ours["events_per_second"], ours["mean_commit_ms"] / 1e3)
        modules, reason = node_modules()
        if modules is None:
            print("npm fluent-logger: not run: " + reason)
        else:
            before = commits(daemon)
            said = subprocess.run(["node", os.path.join(CLIENTS, "send.js"), host, str(port), "npm", count, "Message", "ack"],
                                  check=True, capture_output=True, text=True, timeout=600,
                                  env=environment({"NODE_PATH": modules})).stdout
            after = commits(daemon)
            show("npm fluent-logger", int(count) / (int(re.search(r"in (\d+) ms", said).group(1)) / 1e3),
                 (after[1] - before[1]) / (after[0] - before[0]))
        daemon.stop()


if __name__ == "__main__":
    main()
