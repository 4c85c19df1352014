// Sends events with npm's @fluent-org/logger: node send_org.js HOST PORT MODULE COUNT MODE ack|noack
// CLIENT_OPTIONS: JSON with more of the library's options; "ca" is the file of a certificate to trust, "path" that of a socket.
'use strict';
const { FluentClient } = require('@fluent-org/logger');

const [host, port, module_id, count, eventMode, ack] = process.argv.slice(2);
const total = Number(count);
const { ca, path, ...more } = JSON.parse(process.env.CLIENT_OPTIONS || '{}');
const socket = path ? { path, timeout: 30000 } : { host, port: Number(port), timeout: 30000 };
if (ca) {
  socket.tls = { ca: require('fs').readFileSync(ca) };
}
const options = { eventMode, socket, ...more };
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
