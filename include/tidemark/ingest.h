/* ingest's door: the Forward port. Shards (threads with an event loop) own their connections and a
 * pool of parcels; an empty pool stops reading, so memory is bounded by the pool and not by the
 * senders.
 */
#ifndef TIDEMARK_INGEST_H
#define TIDEMARK_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/commit.h"
#include "tidemark/err.h"
#include "tidemark/parcel.h"

struct tide_tls;

/* What says who may send; names of files, "" = none. */
struct tide_access_cfg {
    char shared_key_file[1024]; /* the key of the handshake: its first line */
    char users_file[1024];      /* name:password lines; only with a key */
    char client_ca_file[1024];  /* PEM: clients must show a certificate of these; only with tls */
    struct tide_tls *tls;       /* lent as long as ingest runs; NULL: plain */
};

struct tide_ingest_cfg {
    char address[256];  /* "127.0.0.1:24224", "[::1]:0"; port 0: the kernel picks */
    unsigned threads;   /* shards, 1..64 */
    unsigned parcels;   /* per shard */
    uint32_t max_names; /* module names a shard tells apart; 0: 100 000 */
    size_t max_frame_bytes;
    size_t max_unpacked_bytes;
    uint32_t max_unpacked_ratio; /* 0: no bound, as for the next */
    uint64_t max_entries;        /* of one request */
    uint32_t max_depth;          /* of containers in one another; 0: TIDE_FRAME_DEPTH_MAX */
    size_t max_input_bytes;      /* of all unfinished requests; 0: 128 MiB */
    struct tide_fold_rules rules;
    uint64_t identity_seed;

    char unix_socket[108]; /* a path to listen on as well; "": none */
    bool udp_heartbeat;    /* answer heartbeat datagrams on the port of `address` */
    struct tide_access_cfg access;
    uint32_t max_connections, max_connections_per_address; /* 0: no bound */
    uint32_t handshake_timeout_s; /* for TLS and the shared key; 0: none, as for the next two */
    uint32_t idle_timeout_s;      /* without a byte between two requests */
    uint32_t stall_timeout_s;     /* without a byte within one */
    size_t max_unread_ack_bytes;  /* of one connection; 0: 256 KiB */
};

#define TIDE_INGEST_PARCELS 1024 /* default pool of one shard */

struct tide_ingest;

enum tide_rc tide_ingest_start(const struct tide_ingest_cfg *cfg, struct tide_commit *commit,
                               struct tide_ingest **ret, struct tide_err *err);

/* "127.0.0.1:24224" as bound. */
const char *tide_ingest_address(const struct tide_ingest *ingest);

/* Reads and checks the files without keeping anything. TIDE_CONFIG says which key, file and why. */
enum tide_rc tide_ingest_check_access(const struct tide_access_cfg *cfg, struct tide_err *err);

/* From now on new connections are judged by these files, read anew; those that are in stay. After
 * an error nothing has changed. */
enum tide_rc tide_ingest_reload_access(struct tide_ingest *ingest,
                                       const struct tide_access_cfg *cfg, struct tide_err *err);

/* Stops accepting and reading, posts what is decoded, waits (at most drain_ms) until every parcel
 * came home, writes its ack, closes the connections, ends the threads. Commit must still be
 * running. NULL is fine. */
void tide_ingest_stop(struct tide_ingest *ingest, int drain_ms);

#endif
