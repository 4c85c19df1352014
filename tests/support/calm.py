"""A well-behaved sender beside the others: what it notices of them is how long its acks take."""
import threading
import time

import sender


class Calm(threading.Thread):
    """Sends one event after the other, each acked before the next, until it is left. Enter it, do harm, leave it; then
    `count` acks have come, the slowest after `worst_s`."""

    def __init__(self, address, source=None, pause_s=0.002):
        super().__init__(daemon=True)
        self.address, self.source, self.pause_s = address, source, pause_s
        self.count, self.worst_s, self.total_s, self.failure = 0, 0.0, 0.0, None
        self.done = threading.Event()

    def run(self):
        try:
            with sender.Connection(self.address, self.source, timeout_s=60) as peer:
                while not self.done.is_set():
                    chunk = "calm-%x-%08d" % (id(self), self.count)
                    data = sender.message("mod.calm", time.time(), {"event": "response", "duration_ms": 1}, chunk)
                    start = time.monotonic()
                    peer.send(data)
                    if peer.read_ack() != chunk:
                        raise AssertionError("not the ack of " + chunk)
                    took = time.monotonic() - start
                    self.worst_s = max(self.worst_s, took)
                    self.total_s += took
                    self.count += 1
                    self.done.wait(self.pause_s)
        except Exception as failure:  # told where the others are
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *ignored):
        self.done.set()
        self.join()
        if self.failure:
            raise AssertionError("the calm sender was disturbed: %r" % self.failure)
