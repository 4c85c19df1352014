/* Starts and stops the room: one listening socket, `threads` shards. Stopping is in two halves: all
 * shards are told, then all are awaited, so they drain side by side.
 */
#include "tidemark/ingest.h"

#include <stdlib.h>
#include "listener.h"
#include "shard.h"

#define TIDE_THREADS_MAX 64

struct tide_ingest {
    struct tide_ingest_cfg cfg; /* own copy: the shards read it while they run */
    struct tide_listener *listener;
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

static enum tide_rc start(struct tide_ingest *ingest, struct tide_commit *commit,
                          struct tide_err *err)
{
    const struct tide_ingest_cfg *cfg = &ingest->cfg;
    enum tide_rc rc;

    rc = tide_listener_open(cfg->address, &ingest->listener, err);
    while (!rc && ingest->opened < cfg->threads) {
        unsigned index = ingest->opened++;

        rc = tide_shard_open(&ingest->shard[index], index, cfg, commit, err);
    }
    if (rc)
        return rc;
    ingest->shard[0].listener = ingest->listener;
    rc = tide_listener_start(ingest->listener, ingest->shard[0].base, ingest->shard, cfg->threads,
                             err);
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

void tide_ingest_stop(struct tide_ingest *ingest, int drain_ms)
{
    if (!ingest)
        return;
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_stop(&ingest->shard[i], drain_ms);
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_join(&ingest->shard[i]);
    tide_listener_close(ingest->listener); /* before the loop it is watched by */
    for (unsigned i = 0; i < ingest->opened; i++)
        tide_shard_close(&ingest->shard[i]);
    free(ingest->shard);
    free(ingest);
}
