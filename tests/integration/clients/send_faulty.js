// Sends events with one of npm's loggers over a network that fails: node send_faulty.js LIBRARY HOST PORT PREFIX COUNT [ids]
// Event i is of module PREFIX-i. Prints a line per outcome, "acked i" or "failed i", and "done" at the end; with `ids` each
// event has an event_id. What the library itself cannot stand is told as "crashed" and ends the program.
'use strict';
const [library, host, port, prefix, count, ids] = process.argv.slice(2);
const total = Number(count);
const say = (line) => require('fs').writeSync(1, line + '\n');
const record = (i) => Object.assign({ module_id: prefix + '-' + i, event: 'response', duration_ms: 1 },
  ids ? { event_id: prefix + '-event-' + i } : {});
const done = () => { say('done'); process.exit(0); };
process.on('uncaughtException', (error) => { say('crashed ' + error.message); process.exit(0); });

if (library === 'fluent-logger') {
  const quiet = { info() {}, error() {} };
  const sender = require('fluent-logger').createFluentSender('mod', {
    host, port: Number(port), requireAckResponse: true, ackResponseTimeout: 250, reconnectInterval: 20, internalLogger: quiet,
  });
  const heard = new Set();
  let last = Date.now();
  for (let i = 0; i < total; i++) {
    sender.emit('x', record(i), (error) => { // may come twice: an error, then a late ack
      say((error ? 'failed ' : 'acked ') + i);
      heard.add(i);
      last = Date.now();
    });
  }
  setInterval(() => {
    if (heard.size === total || Date.now() - last > 3000) { // what it has lost it never tells of
      done();
    }
  }, 20);
} else {
  const { FluentClient } = require('@fluent-org/logger');
  const client = new FluentClient('mod', {
    eventMode: 'PackedForward', socket: { host, port: Number(port), reconnect: { backoff: 1, delay: 20 } },
    ack: { ackTimeout: 250 }, eventRetry: { attempts: 1000, backoff: 1, delay: 20 },
  });
  const pending = [];
  let i = 0;
  const timer = setInterval(() => { // several chunks, not one
    for (let k = 0; k < 5 && i < total; k++, i++) {
      const number = i;
      pending.push(client.emit('x', record(number)).then(() => say('acked ' + number)));
    }
    if (i === total) {
      clearInterval(timer);
      Promise.all(pending).then(() => client.shutdown()).then(done);
    }
  }, 5);
}
