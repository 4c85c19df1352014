/* ingest's door: the Forward port. Shards (threads with an event loop) own their connections and a
 * pool of parcels; an empty pool stops reading, so memory is bounded by the pool and not by the
 * senders.
 */
#ifndef TIDEMARK_INGEST_H
#define TIDEMARK_INGEST_H

#include <stdint.h>
#include "tidemark/commit.h"
#include "tidemark/err.h"
#include "tidemark/parcel.h"

struct tide_ingest_cfg {
    char address[256];  /* "127.0.0.1:24224", "[::1]:0"; port 0: the kernel picks */
    unsigned threads;   /* shards, 1..64 */
    unsigned parcels;   /* per shard */
    uint32_t max_names; /* module names a shard tells apart; 0: 100 000 */
    size_t max_frame_bytes;
    size_t max_unpacked_bytes;
    struct tide_fold_rules rules;
    uint64_t identity_seed;
};

#define TIDE_INGEST_PARCELS 1024 /* default pool of one shard */

struct tide_ingest;

enum tide_rc tide_ingest_start(const struct tide_ingest_cfg *cfg, struct tide_commit *commit,
                               struct tide_ingest **ret, struct tide_err *err);

/* "127.0.0.1:24224" as bound. */
const char *tide_ingest_address(const struct tide_ingest *ingest);

/* Stops accepting and reading, posts what is decoded, waits (at most drain_ms) until every parcel
 * came home, writes its ack, closes the connections, ends the threads. Commit must still be
 * running. NULL is fine. */
void tide_ingest_stop(struct tide_ingest *ingest, int drain_ms);

#endif
