/* Self-signed certificates for the tests of TLS, made on the spot. */
#ifndef TIDE_TEST_CERT_H
#define TIDE_TEST_CERT_H

/* Writes a P-256 key and a certificate for `name` (common name; also for 127.0.0.1) that holds for
 * a day. passphrase: of the key, NULL for none. */
void cert_write(const char *cert_file, const char *key_file, const char *name,
                const char *passphrase);

#endif
