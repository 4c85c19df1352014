#!/usr/bin/python3
"""Sends events with Debian's python3-fluent-logger, as an application would: send.py HOST PORT MODULE COUNT [precise]
[tolerant]: go on when an event could not be sent (the library keeps it, and tries again with the next one)."""
import sys

from fluent import sender

host, port, module, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
precise = "precise" in sys.argv[5:]

logger = sender.FluentSender("mod", host=host, port=port, nanosecond_precision=precise)
for i in range(count):
    record = {"module_id": module, "event": "request", "success": i % 10 != 0, "duration_ms": 1 + i % 100,
              "correlation_id": "py-%d" % i}
    if not logger.emit(module, record) and "tolerant" not in sys.argv[5:]:
        sys.exit("emit %d: %s" % (i, logger.last_error))
logger.close()
print("sent %d" % count)
