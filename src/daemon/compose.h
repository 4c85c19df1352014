/* The running daemon: every room, started in order. */
#ifndef TIDEMARK_DAEMON_COMPOSE_H
#define TIDEMARK_DAEMON_COMPOSE_H

#include "options.h"
#include "tidemark/err.h"

struct tide_ingest;
struct tide_commit;
struct tide_store;
struct tide_tls;
struct tide_query;
struct tide_api;

struct tide_rooms {
    struct tide_store *store;
    struct tide_commit *commit;
    struct tide_tls *tls; /* NULL: both ports speak plain */
    struct tide_ingest *ingest;
    struct tide_query *query;
    struct tide_api *api;
    struct tide_sample_rules sample; /* what ingest's shards read */
};

/* Starts what config describes; *rooms is zeroed. After a failure tide_rooms_stop stops whatever
 * had started. */
enum tide_rc tide_rooms_start(const struct tide_config *config, struct tide_rooms *rooms,
                              struct tide_err *err);

/* Stops reading, commits and acks what was read, closes. Half-started is fine. */
void tide_rooms_stop(struct tide_rooms *rooms);

/* Applies what can change while running (see `reload` in the option table). Files of keys and
 * certificates come first: when one is bad nothing changes. */
enum tide_rc tide_rooms_reload(struct tide_rooms *rooms, const struct tide_config *config,
                               struct tide_err *err);

#endif
