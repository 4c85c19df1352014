/* Starts and stops the room: a listening socket, perhaps a Unix one and one for datagrams, and
 * `threads` shards. Stopping is in two halves: all
 * shards are told, then all are awaited, so they drain side by side.
 */
#include "tidemark/ingest.h"

#include <stdlib.h>
#include "tidemark/census.h"
#include "access.h"
#include "heartbeat.h"
#include "listener.h"
#include "shard.h"

#define TIDE_THREADS_MAX 64

struct tide_ingest {
    struct tide_ingest_cfg cfg; /* own copy: the shards read it while they run */
    struct tide_access_now access;
    struct tide_census *census;
    struct tide_listener *listener, *local;
    struct tide_heartbeat *heartbeat;
    struct tide_shard *shard; /* [cfg.threads] */
    unsigned opened;          /* shards that are to be closed */
};

static enum tide_rc check(const struct tide_ingest_cfg *cfg, struct tide_err *err)
{
    if (cfg->threads < 1 || cfg->threads > TIDE_THREADS_MAX) {
        tide_err_set(err, "%u threads: 1 to %d are possible", cfg->threads, TIDE_THREADS_MAX);
        return TIDE_CONFIG;
    }
    if (cfg->parcels < TIDE_PARCELS_MIN) {
        tide_err_set(err, "%u parcels: at least %d are needed", cfg->parcels, TIDE_PARCELS_MIN);
        return TIDE_CONFIG;
    }
    return TIDE_OK;
}

/* Everything that can be refused before a thread runs. */
static enum tide_rc open_doors(struct tide_ingest *ingest, struct tide_err *err)
{
    const struct tide_ingest_cfg *cfg = &ingest->cfg;
    enum tide_rc rc;

    if ((rc = tide_access_open(&cfg->access, &ingest->access.access, err)) ||
        (rc = tide_census_new(cfg->max_connections, cfg->max_connections_per_address,
                              &ingest->census)) ||
        (rc = tide_listener_open(cfg->address, &ingest->listener, err)))
        return rc;
    if (cfg->unix_socket[0])
        rc = tide_listener_open_unix(cfg->unix_socket, &ingest->local, err);
    if (!rc && cfg->udp_heartbeat)
        tide_heartbeat_open(tide_listener_address(ingest->listener), &ingest->heartbeat);
    return rc;
}

/* Shard 0 accepts. Who comes over the Unix socket was let in by the file's mode. */
static enum tide_rc start_doors(struct tide_ingest *ingest, struct tide_err *err)
{
    const struct tide_lobby lobby = {.census = ingest->census, .access = &ingest->access};
    const struct tide_lobby local = {.census = ingest->census};
    struct tide_shard *shard = ingest->shard;
    enum tide_rc rc;

    shard[0].listener[0] = ingest->listener;
    shard[0].listener[1] = ingest->local;
    shard[0].heartbeat = ingest->heartbeat;
    rc = tide_listener_start(ingest->listener, &lobby, shard[0].base, shard, ingest->cfg.threads,
                             err);
    if (!rc && ingest->local)
        rc = tide_listener_start(ingest->local, &local, shard[0].base, shard, ingest->cfg.threads,
                                 err);
    if (!rc && ingest->heartbeat)
        rc = tide_heartbeat_start(ingest->heartbeat, shard[0].base, err);
    return rc;
}

static enum tide_rc start(struct tide_ingest *ingest, struct tide_commit *commit,
                          struct tide_err *err)
{
    const struct tide_ingest_cfg *cfg = &ingest->cfg;
    enum tide_rc rc;

    rc = open_doors(ingest, err);
    while (!rc && ingest->opened < cfg->threads) {
        unsigned index = ingest->opened++;

        rc = tide_shard_open(&ingest->shard[index], index, cfg, commit, err);
    }
    if (rc)
        return rc;
    rc = start_doors(ingest, err);
    for (unsigned i = 0; !rc && i < cfg->threads; i++)
        rc = tide_shard_start(&ingest->shard[i], err);
    return rc;
}

enum tide_rc tide_ingest_start(const struct tide_ingest_cfg *cfg, struct tide_commit *commit,
                               struct tide_ingest **ret, struct tide_err *err)
{
    struct tide_ingest *ingest;
    enum tide_rc rc = check(cfg, err);

    if (rc)
        goto failed;
    ingest = calloc(1, sizeof(*ingest));
    if (ingest)
        ingest->shard = calloc(cfg->threads, sizeof(*ingest->shard));
    if (!ingest || !ingest->shard) {
        free(ingest);
        rc = TIDE_NO_MEMORY;
        goto failed;
    }
    ingest->cfg = *cfg;
    pthread_mutex_init(&ingest->access.lock, NULL);
    rc = start(ingest, commit, err);
    if (rc) {
        tide_ingest_stop(ingest, 0);
        goto failed;
    }
    *ret = ingest;
    return TIDE_OK;

failed:
    tide_err_wrap(err, "ingest");
    return rc;
}

const char *tide_ingest_address(const struct tide_ingest *ingest)
{
    return tide_listener_address(ingest->listener);
}

enum tide_rc tide_ingest_check_access(const struct tide_access_cfg *cfg, struct tide_err *err)
{
    struct tide_access *access;
    enum tide_rc rc = tide_access_open(cfg, &access, err);

    if (!rc) {
        tide_access_warn(cfg);
        tide_access_put(&access);
    }
    return rc;
}

enum tide_rc tide_ingest_reload_access(struct tide_ingest *ingest,
                                       const struct tide_access_cfg *cfg, struct tide_err *err)
{
    struct tide_access *access;
    enum tide_rc rc = tide_access_open(cfg, &access, err);

    if (!rc) {
        tide_access_warn(cfg);
        tide_access_replace(&ingest->access, access);
    }
    return rc;
}

void tide_ingest_stop(struct tide_ingest *ingest, int drain_ms)
{
    if (!ingest)
        return;
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_stop(&ingest->shard[i], drain_ms);
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_join(&ingest->shard[i]);
    tide_listener_close(ingest->listener); /* before the loop they are watched by */
    tide_listener_close(ingest->local);
    tide_heartbeat_close(ingest->heartbeat);
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_close(&ingest->shard[i]);
    tide_census_free(ingest->census);
    tide_access_put(&ingest->access.access);
    pthread_mutex_destroy(&ingest->access.lock);
    free(ingest->shard);
    free(ingest);
}
