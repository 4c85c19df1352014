/* Sends chunks over the Forward protocol and keeps each until it is acked.
 *
 * At most `window` chunks are on their way. A chunk's bytes are built once and kept: when the
 * connection is lost, or no ack comes in time, the sender connects again and sends exactly the same
 * bytes under the same id, so the daemon counts them once. It has no thread: the owner calls
 * tide_sender_step, which waits for the socket (and, if asked, for another descriptor) and does
 * what has become possible.
 */
#ifndef TIDEMARK_TOOLS_SENDER_H
#define TIDEMARK_TOOLS_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "credentials.h"
#include "tidemark/err.h"

#define TIDE_CHUNK_TEXT_SIZE 80
#define TIDE_WINDOW_MAX      1024
#define TIDE_RETRY_FOR_EVER  UINT32_MAX

struct tide_sender_cfg {
    const char *address;                        /* "127.0.0.1:24224" */
    const struct tide_credentials *credentials; /* NULL: nothing is shown */
    uint32_t window;                            /* 1..TIDE_WINDOW_MAX */
    uint32_t
        retries; /* connections tried in a row without an ack between them; TIDE_RETRY_FOR_EVER */
    int timeout_ms; /* to connect, and to wait for the next ack */
    bool quiet;     /* say nothing about lost connections */
};

struct tide_sender_counts {
    uint64_t chunks, entries; /* taken by put */
    uint64_t acked_chunks, acked_entries;
    uint64_t resent; /* chunks sent again */
    uint64_t lost;   /* connections lost or not made */
    uint64_t bytes;  /* written to sockets */
};

struct tide_sender;

/* Connects. TIDE_UNAVAILABLE when nobody is there: the first connection is not tried again.
 * TIDE_REFUSED when they do not let us in. */
enum tide_rc tide_sender_open(const struct tide_sender_cfg *cfg, struct tide_sender **ret,
                              struct tide_err *err);
void tide_sender_close(struct tide_sender *sender); /* NULL is fine; forgets what was not acked */

bool tide_sender_room(const struct tide_sender *sender);        /* put may be called */
uint32_t tide_sender_waiting(const struct tide_sender *sender); /* chunks not acked */
bool tide_sender_connected(const struct tide_sender *sender);
const struct tide_sender_counts *tide_sender_counts(const struct tide_sender *sender);

/* Takes a copy of one whole request. There must be room. */
void tide_sender_put(struct tide_sender *sender, const void *frame, size_t len,
                     const char *chunk_id, uint32_t entries);

/* Connects, writes, reads acks: whatever is possible; waits at most wait_ms (-1: as long as needed)
 * for something to become possible, or for other_fd (-1: none) to be readable. Returns  TIDE_OK
 * something happened or the time is over; *ret_other (may be NULL) says if other_fd is ready
 *          TIDE_UNAVAILABLE  too many connections lost in a row, or the peer answers something that
 *                            is no ack
 *          TIDE_REFUSED      they do not let us in any more
 *          TIDE_STOPPED      a signal asked to stop
 */
enum tide_rc tide_sender_step(struct tide_sender *sender, int other_fd, int wait_ms,
                              bool *ret_other, struct tide_err *err);

/* Steps until fewer than `most` chunks are unacked. */
enum tide_rc tide_sender_drain(struct tide_sender *sender, uint32_t most, struct tide_err *err);

/* "v1:<32 hex>:<epoch>:<seq>" */
void tide_chunk_text(char text[TIDE_CHUNK_TEXT_SIZE], const char producer[33], uint64_t epoch,
                     uint64_t seq);

/* 32 random lower-case hex digits. */
void tide_producer_random(char producer[33]);

/* A producer as people name it: 32 hex digits are taken as they are, any other text is hashed
 * to 32. */
void tide_producer_from(const char *name, char producer[33]);

#endif
