// Sends events with npm's @fluent-org/logger: node send_org.js HOST PORT MODULE COUNT MODE ack|noack
'use strict';
const { FluentClient } = require('@fluent-org/logger');

const [host, port, module_id, count, eventMode, ack] = process.argv.slice(2);
const total = Number(count);
const options = { eventMode, socket: { host, port: Number(port), timeout: 30000 } };
if (ack === 'ack') {
  options.ack = { ackTimeout: 30000 };
}
const client = new FluentClient('mod', options);
const pending = [];
for (let i = 0; i < total; i++) {
  pending.push(client.emit(module_id, {
    module_id, event: 'request', success: i % 10 !== 0, duration_ms: 1 + i % 100, correlation_id: 'org-' + i,
  }));
}
Promise.all(pending)
  .then(() => client.shutdown())
  .then(() => { console.log('sent ' + total); process.exit(0); })
  .catch((error) => { console.error(error); process.exit(1); });
