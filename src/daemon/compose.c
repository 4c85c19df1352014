/* Composes the daemon: one struct of configuration per room, and the order in which they live.
 *
 * Started upwards, from the store to its readers; stopped so that data still flows out while
 * nothing flows in: the shards stop reading and get their last acks from a committer that still
 * runs, then the committer, then the readers, then the store. Nothing is computed here.
 */
#include "compose.h"

#include <stdlib.h>
#include <string.h>
#include "tidemark/api.h"
#include "tidemark/commit.h"
#include "tidemark/hash.h"
#include "tidemark/ingest.h"
#include "tidemark/log.h"
#include "tidemark/migrate.h"
#include "tidemark/query.h"
#include "tidemark/store.h"
#include "tidemark/tls.h"

#define DRAIN_MS 3000 /* of the 5 s in which a stop has to be over */
#define PARCELS_TO_GO                                                          \
    64 /* room in the committer's mailbox beyond all pools: wake-ups, stopping \
        */

static struct tide_store_cfg store_cfg(const struct tide_config *config)
{
    struct tide_store_cfg cfg;

    tide_store_cfg_default(&cfg);
    _Static_assert(sizeof(cfg.dir) >= sizeof(config->data_dir), "a checked name fits");
    strcpy(cfg.dir, config->data_dir);
    cfg.map_bytes = (uint64_t)config->map_bytes;
    cfg.interval_s = (uint32_t)config->interval_s;
    cfg.grace_s = (uint32_t)config->grace_s;
    cfg.lateness_s = config->lateness_s;
    cfg.fold_after_s = config->fold_after_s;
    cfg.max_bytes = (uint64_t)config->max_bytes;
    cfg.retry_s = (uint32_t)config->retry_s;
    cfg.retention = config->retention;
    cfg.max_modules = (uint32_t)config->max_modules;
    cfg.dedup_window_s = config->dedup_window_s;
    cfg.dedup_max_chunks = (uint64_t)config->dedup_max_chunks;
    cfg.dedup_max_event_ids = (uint64_t)config->dedup_max_event_ids;
    return cfg;
}

static struct tide_commit_cfg commit_cfg(const struct tide_config *config)
{
    return (struct tide_commit_cfg){
        .capacity = (uint32_t)config->ingest_threads * TIDE_INGEST_PARCELS + PARCELS_TO_GO,
        .gather_max_ms = (uint32_t)config->gather_max_ms,
    };
}

static struct tide_access_cfg access_cfg(const struct tide_config *config,
                                         const struct tide_rooms *rooms)
{
    struct tide_access_cfg cfg = config->access;

    cfg.tls = rooms->tls;
    return cfg;
}

static struct tide_ingest_cfg ingest_cfg(const struct tide_config *config,
                                         const struct tide_rooms *rooms)
{
    const struct tide_store *store = rooms->store;
    struct tide_ingest_cfg cfg = {
        .threads = (unsigned)config->ingest_threads,
        .parcels = TIDE_INGEST_PARCELS,
        .max_names = 2 * (uint32_t)config->max_modules + 1024, /* junk beside them */
        .max_frame_bytes = (size_t)config->max_frame_bytes,
        .max_unpacked_bytes = (size_t)config->max_unpacked_bytes,
        .max_unpacked_ratio = (uint32_t)config->max_unpacked_ratio,
        .max_entries = (uint64_t)config->max_entries,
        .max_depth = (uint32_t)config->max_depth,
        .max_input_bytes = (size_t)config->max_input_bytes,
        .rules =
            {
                .interval_s = (uint32_t)config->interval_s,
                .lateness_s = config->lateness_s,
                .future_s = config->future_s,
                .instance_seed = tide_store_instance_seed(store),
                .identity_seed = tide_store_identity_seed(store),
            },
        .identity_seed = tide_store_identity_seed(store),
        .udp_heartbeat = config->udp_heartbeat,
        .access = access_cfg(config, rooms),
        .max_connections = (uint32_t)config->max_connections,
        .max_connections_per_address = (uint32_t)config->max_connections_per_address,
        .handshake_timeout_s = (uint32_t)config->handshake_timeout_s,
        .idle_timeout_s = (uint32_t)config->idle_timeout_s,
        .stall_timeout_s = (uint32_t)config->stall_timeout_s,
        .max_unread_ack_bytes = (size_t)config->max_unread_ack_bytes,
    };

    _Static_assert(sizeof(cfg.address) >= sizeof(config->forward), "a checked address fits");
    strcpy(cfg.address, config->forward);
    _Static_assert(sizeof(cfg.unix_socket) >= sizeof(config->unix_socket), "a checked path fits");
    strcpy(cfg.unix_socket, config->unix_socket);
    return cfg;
}

static struct tide_query_cfg query_cfg(const struct tide_config *config)
{
    return (struct tide_query_cfg){
        .window_s = (uint32_t)config->window_s,
        .grace_s = (uint32_t)config->grace_s,
        .raw_s = config->raw_s,
        .health = config->health,
    };
}

static struct tide_api_cfg api_cfg(const struct tide_config *config, struct tide_tls *tls)
{
    struct tide_api_cfg cfg = {
        .threads = (unsigned)config->http_threads,
        .prometheus = config->prometheus,
        .log_requests = config->log_requests,
        .max_connections = (unsigned)config->http_max_connections,
        .max_connections_per_address = (unsigned)config->http_max_connections_per_address,
        .request_timeout_s = (unsigned)config->http_request_timeout_s,
        .max_waiting_bytes = (uint64_t)config->http_max_waiting_bytes,
        .tls = tls,
    };

    _Static_assert(sizeof(cfg.address) >= sizeof(config->http), "a checked address fits");
    strcpy(cfg.address, config->http);
    _Static_assert(sizeof(cfg.tokens_file) >= sizeof(config->http_tokens_file), "it fits");
    strcpy(cfg.tokens_file, config->http_tokens_file);
    _Static_assert(sizeof(cfg.cors_origins) >= sizeof(config->http_cors_origins), "it fits");
    strcpy(cfg.cors_origins, config->http_cors_origins);
    return cfg;
}

static void say_migrating(void *arg, uint32_t to, const char *what)
{
    (void)arg;
    if (to)
        tide_log(TIDE_INFO, "daemon", "migrating the store to schema %u: %s", to, what);
}

static void say_finding(void *arg, const struct tide_finding *finding)
{
    (void)arg;
    tide_log(TIDE_ERROR, "daemon", "table %s%s%s: %s", finding->table,
             finding->module[0] ? ", " : "", finding->module, finding->what);
}

static enum tide_rc migrate(const struct tide_config *config, struct tide_err *err)
{
    const struct tide_migrate_cfg cfg = {
        .dir = config->data_dir, .begun = say_migrating, .copy = {.found = say_finding}};
    struct tide_migrated done;
    enum tide_rc rc = tide_migrate(&cfg, &done, err);

    if (rc == TIDE_NOT_FOUND) /* it will be created */
        return TIDE_OK;
    if (rc == TIDE_OK && done.from != done.to)
        tide_log(TIDE_INFO, "daemon", "the store went from schema %u to %u%s%s", done.from, done.to,
                 done.backup[0] ? "; as it was it is in " : "", done.backup);
    return rc;
}

static enum tide_rc start_store(const struct tide_config *config, struct tide_rooms *rooms,
                                struct tide_err *err)
{
    struct tide_store_cfg cfg = store_cfg(config);
    enum tide_rc rc = config->migrate ? migrate(config, err) : TIDE_OK;

    return rc ? rc : tide_store_open(&cfg, &rooms->store, err);
}

static enum tide_rc start_commit(const struct tide_config *config, struct tide_rooms *rooms,
                                 struct tide_err *err)
{
    struct tide_commit_cfg cfg = commit_cfg(config);

    return tide_commit_start(&cfg, rooms->store, &rooms->commit, err);
}

static enum tide_rc start_tls(const struct tide_config *config, struct tide_rooms *rooms,
                              struct tide_err *err)
{
    if (!config->cert_file[0])
        return TIDE_OK;
    return tide_tls_open(config->cert_file, config->key_file, &rooms->tls, err);
}

static enum tide_rc start_ingest(const struct tide_config *config, struct tide_rooms *rooms,
                                 struct tide_err *err)
{
    struct tide_ingest_cfg cfg = ingest_cfg(config, rooms);
    size_t bytes = config->sample.rules * sizeof(*config->sample.rule);

    if (bytes) { /* the configuration may be reloaded while the shards read theirs */
        rooms->sample.rule = malloc(bytes);
        if (!rooms->sample.rule) {
            tide_err_set(err, "sampling.modules: out of memory");
            return TIDE_NO_MEMORY;
        }
        memcpy(rooms->sample.rule, config->sample.rule, bytes);
        rooms->sample.rules = config->sample.rules;
        cfg.rules.sample = &rooms->sample;
    }

    return tide_ingest_start(&cfg, rooms->commit, &rooms->ingest, err);
}

static enum tide_rc start_query(const struct tide_config *config, struct tide_rooms *rooms,
                                struct tide_err *err)
{
    struct tide_query_cfg cfg = query_cfg(config);

    return tide_query_open(&cfg, rooms->store, &rooms->query, err);
}

static enum tide_rc start_api(const struct tide_config *config, struct tide_rooms *rooms,
                              struct tide_err *err)
{
    struct tide_api_cfg cfg = api_cfg(config, rooms->tls);

    return tide_api_start(&cfg, rooms->query, &rooms->api, err);
}

enum tide_rc tide_rooms_start(const struct tide_config *config, struct tide_rooms *rooms,
                              struct tide_err *err)
{
    enum tide_rc rc;

    if ((rc = start_store(config, rooms, err)) || (rc = start_commit(config, rooms, err)) ||
        (rc = start_tls(config, rooms, err)) || (rc = start_ingest(config, rooms, err)) ||
        (rc = start_query(config, rooms, err)) || (rc = start_api(config, rooms, err)))
        return rc;
    return TIDE_OK;
}

void tide_rooms_stop(struct tide_rooms *rooms)
{
    tide_ingest_stop(rooms->ingest, DRAIN_MS);
    tide_commit_stop(rooms->commit);
    tide_api_stop(rooms->api);
    tide_query_close(rooms->query);
    tide_store_close(rooms->store);
    tide_tls_close(rooms->tls);
    free(rooms->sample.rule);
    memset(rooms, 0, sizeof(*rooms));
}

enum tide_rc tide_rooms_reload(struct tide_rooms *rooms, const struct tide_config *config,
                               struct tide_err *err)
{
    const struct tide_access_cfg access = access_cfg(config, rooms);
    enum tide_rc rc = tide_ingest_reload_access(rooms->ingest, &access, err);

    if (!rc && rooms->tls)
        rc = tide_tls_reload(rooms->tls, err);
    if (!rc)
        rc = tide_query_reload_health(rooms->query, &config->health, err);
    if (!rc)
        rc = tide_api_reload(rooms->api, err);
    if (!rc)
        tide_log_set_level((enum tide_level)config->log_level);
    return rc;
}
