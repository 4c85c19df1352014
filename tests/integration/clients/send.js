// Sends events with npm's fluent-logger, as an application would: node send.js HOST PORT MODULE COUNT MODE ack|noack
// CLIENT_OPTIONS: JSON with more of the library's options; "ca" is the file of a certificate to trust.
'use strict';
const logger = require('fluent-logger');

const [host, port, module_id, count, eventMode, ack] = process.argv.slice(2);
const total = Number(count);
const { ca, ...more } = JSON.parse(process.env.CLIENT_OPTIONS || '{}');
if (ca) {
  Object.assign(more, { tls: true, tlsOptions: { ca: require('fs').readFileSync(ca) } });
}
const sender = logger.createFluentSender('mod', {
  host, port: Number(port), timeout: 30, eventMode, requireAckResponse: ack === 'ack', ackResponseTimeout: 30000, ...more,
});
const begun = Date.now();
let called = 0;
sender.on('error', (error) => { console.error(error); process.exit(1); });
for (let i = 0; i < total; i++) {
  const record = {
    module_id, event: 'request', success: i % 10 !== 0, duration_ms: 1 + i % 100, correlation_id: 'js-' + i,
  };
  sender.emit(module_id, record, (error) => {
    if (error) {
      console.error(error);
      process.exit(1);
    }
    if (++called === total) {
      sender.end(null, null, () => { console.log('sent ' + total + ' in ' + (Date.now() - begun) + ' ms'); });
    }
  });
}
