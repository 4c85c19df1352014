/* A server's certificate and key: loaded together, replaced together. Both ports take their
 * sessions from one of these, so that a renewed certificate reaches them at the same moment.
 *
 * Thread safe: a session made while a reload happens has the old pair or the new one, never a mix;
 * connections that are open keep what they began with.
 */
#ifndef TIDEMARK_TLS_H
#define TIDEMARK_TLS_H

#include "tidemark/err.h"

struct ssl_st;     /* OpenSSL's SSL */
struct ssl_ctx_st; /* and its SSL_CTX */
struct tide_tls;

/* Reads a PEM certificate chain (the server's own first) and its PEM key, which must have no
 * passphrase.
 *
 * Returns  TIDE_OK      tide_tls_close frees *ret
 *          TIDE_CONFIG  a file cannot be read, is not what it should be, or the two do not belong
 *                       together; err names the file and the reason
 *          TIDE_NO_MEMORY
 */
enum tide_rc tide_tls_open(const char *cert_file, const char *key_file, struct tide_tls **ret,
                           struct tide_err *err);
void tide_tls_close(struct tide_tls *tls); /* NULL is fine; sessions may outlive it */

/* Reads the same two files again. After a failure the old pair is still in use. */
enum tide_rc tide_tls_reload(struct tide_tls *tls, struct tide_err *err);

/* The server's side of one new connection, in its accepting state, for the caller to free
 * (SSL_free, or a bufferevent that owns it). NULL: out of memory. */
struct ssl_st *tide_tls_session(struct tide_tls *tls);

/* The client's side: what sessions are made from that believe only a server with a certificate of
 * the authorities in ca_file (NULL: those the system trusts), and show cert_file when they are
 * asked for one (NULL: none). Failures as in tide_tls_open; the caller frees *ret (SSL_CTX_free).
 * Which name the certificate must have is for each session to say. */
enum tide_rc tide_tls_client(const char *ca_file, const char *cert_file, const char *key_file,
                             struct ssl_ctx_st **ret, struct tide_err *err);

#endif
