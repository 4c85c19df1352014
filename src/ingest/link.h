/* The bytes of a connection, as the peer meant them: the socket's own, or what TLS makes of them.
 */
#ifndef TIDEMARK_INGEST_LINK_H
#define TIDEMARK_INGEST_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "tidemark/ingest.h"

struct tide_access;
struct tide_conn;

/* The authorities whose certificates clients must show, into access. TIDE_CONFIG says why not. */
enum tide_rc tide_link_read_ca(const char *file, struct tide_access *access, struct tide_err *err);
void tide_link_free_ca(struct tide_access *access);

/* conn speaks TLS from here on. False: out of memory. */
bool tide_link_start_tls(struct tide_conn *conn, const struct tide_access *access);

/* One step of the TLS handshake. TIDE_OK: it is done; TIDE_AGAIN: *ret_write says whether to wait
 * until the peer takes bytes, or sends some; else it failed, and err says why. */
enum tide_rc tide_link_shake_hands(struct tide_conn *conn, bool *ret_write, struct tide_err *err);

/* As recv and send: -1 with errno, EAGAIN included. */
ssize_t tide_link_receive(struct tide_conn *conn, uint8_t *into, size_t room);
ssize_t tide_link_send(struct tide_conn *conn, const uint8_t *data, size_t len);

/* Something is to be received that the socket does not tell of. */
bool tide_link_pending(const struct tide_conn *conn);

/* Says the end of what we send, as well as can be without waiting. */
void tide_link_finish(struct tide_conn *conn);

void tide_link_release(struct tide_conn *conn);

#endif
