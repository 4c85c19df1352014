/* What a connection has to go through before its first request: TLS, then the shared key. A
 * connection that has nothing to show has no greeting, and one that is through has none any more.
 */
#ifndef TIDEMARK_INGEST_GREET_H
#define TIDEMARK_INGEST_GREET_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/wire.h"
#include "access.h"

#define TIDE_PENALTY_TICKS 20 /* 1 s between a wrong key and the answer that says so */

struct tide_conn;

enum tide_greet_stage { TIDE_GREET_TLS, TIDE_GREET_PING };

struct tide_greeting {
    struct tide_access *access;
    enum tide_greet_stage stage;
    bool sniffed; /* its first byte is one of TLS */
    uint8_t nonce[TIDE_NONCE_SIZE], auth[TIDE_NONCE_SIZE];
};

/* A greeting for a new connection; it takes *access. False: out of memory, *access is still yours.
 */
bool tide_greet_new(struct tide_conn *conn, struct tide_access **access);

/* The shard has it: says HELO, or waits for TLS. Sets doomed when memory is out. */
void tide_greet_begin(struct tide_conn *conn);

/* The socket is ready while TLS is being spoken for: goes on. */
void tide_greet_step(struct tide_conn *conn);

/* TLS has to come first; what is received is not the peer's words yet. */
bool tide_greet_secret(const struct tide_conn *conn);

/* The first value of a peer that was greeted. */
void tide_greet_ping(struct tide_conn *conn, const uint8_t *frame, size_t len);

/* What it sent is no value, or too long for a PING. */
void tide_greet_refuse_noise(struct tide_conn *conn);

/* It took too long. */
void tide_greet_refuse_late(struct tide_conn *conn);

/* The penalty is over: says why, and closes. May free conn. */
void tide_greet_farewell(struct tide_conn *conn);

void tide_greet_release(struct tide_conn *conn);

#endif
