#!/usr/bin/python3
"""Sends events with Debian's python3-fluent-logger, as an application would: send.py HOST PORT MODULE COUNT [precise]."""
import sys

from fluent import sender

host, port, module, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
precise = "precise" in sys.argv[5:]

logger = sender.FluentSender("mod", host=host, port=port, nanosecond_precision=precise)
for i in range(count):
    record = {"module_id": module, "event": "request", "success": i % 10 != 0, "duration_ms": 1 + i % 100,
              "correlation_id": "py-%d" % i}
    if not logger.emit(module, record):
        sys.exit("emit %d: %s" % (i, logger.last_error))
logger.close()
print("sent %d" % count)
