/* load - seeded events from many connections at once, as fast as a window of unacked chunks allows.
 *
 * Each connection is a thread with two chunks that it built beforehand; before a chunk goes out it
 * gets its own id and, when the second has changed, new times, so the sender costs little beside
 * the server it measures. Every ack is checked against the id it must carry, in order.
 */
#ifndef TIDEMARK_TOOLS_LOAD_H
#define TIDEMARK_TOOLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "credentials.h"
#include "tidemark/err.h"

#define TIDE_LOAD_CONNECTIONS_MAX 256

struct tide_load_cfg {
    const char *address;                        /* the Forward port */
    const struct tide_credentials *credentials; /* NULL: nothing is shown */
    uint32_t connections;
    uint64_t chunks; /* in all, shared out evenly */
    uint32_t per_chunk;
    uint32_t window;
    uint32_t modules;
    uint64_t seed;
    uint64_t rate;      /* events a second over all connections; 0: as fast as acks come */
    size_t write_bytes; /* with a rate: of one write */
    bool lean;          /* three fields an event instead of nine */
    int timeout_ms;     /* to connect, and for the next ack */
    /* Called once all are connected and built, right before the first byte, and once after the last
     * ack. */
    void (*begin)(void *context);
    void (*end)(void *context);
    void (*watch)(void *context,
                  uint64_t acked_chunks); /* now and then; may be NULL, like the others */
    void *context;
};

struct tide_load_result {
    uint64_t chunks, events, operations; /* acked; operations: what counts as a request */
    uint64_t bytes;
    double seconds;
    uint64_t sender_cpu_ns;
    uint32_t *latency_us; /* of each acked chunk from its last write on, sorted; freed by
                             tide_load_result_fini */
};

enum tide_rc tide_load_run(const struct tide_load_cfg *cfg, struct tide_load_result *ret,
                           struct tide_err *err);
void tide_load_result_fini(struct tide_load_result *result);

/* The value at or below which a share q of the sorted latencies lie; 0 without any. */
uint32_t tide_load_latency_us(const struct tide_load_result *result, double q);

#endif
