/* A store in a directory of its own beside a model that keeps every event. Chunk n is the same
 * chunk whenever it is made: its events, its arrival and its identity follow from n, so a test can
 * send it again, and a process that knows only which chunks were committed can say what the store
 * must hold.
 */
#ifndef STORAGE_TEST_FIXTURE_H
#define STORAGE_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "dir.h"
#include "inside.h"
#include "pack.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tidemark/tier.h"

#define INTERVAL_S  10
#define T0_S        INT64_C(1700000000)
#define T0_US       (T0_S * 1000000)
#define MODULES     6
#define FOREVER_S   (INT64_MAX / 1000000)
#define PARCELS_MAX 16

struct kept {
    unsigned module;
    int64_t time_us;
    struct tide_event ev;
};

struct world {
    char dir[200];
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_fold_rules rules;
    int64_t now_us;
    int64_t late_s;   /* one event in ten is up to this old; 0: up to two minutes */
    int64_t oldest_s; /* age of the oldest events that come */
    bool lasting;     /* compare only what outlives a row: not the slowest operation */
    struct kept *kept;
    size_t events, capacity;
    struct tide_ledger books;
};

/* ---- life ---- */

static inline enum tide_rc world_try_open(struct world *world, struct tide_err *err)
{
    enum tide_rc rc;

    tide_clock_fake(world->now_us);
    if ((rc = tide_store_open(&world->cfg, &world->store, err))) {
        world->store = NULL;
        return rc;
    }
    world->rules.instance_seed = tide_store_instance_seed(world->store);
    world->rules.identity_seed = tide_store_identity_seed(world->store);
    return TIDE_OK;
}

static inline void world_open(struct world *world)
{
    struct tide_err err = {""};

    if (world_try_open(world, &err))
        fail_msg("open: %s", err.text);
}

static inline void world_close(struct world *world)
{
    tide_store_close(world->store);
    world->store = NULL;
}

static inline void world_reopen(struct world *world)
{
    world_close(world);
    world_open(world);
}

/* A directory and a model; the store is not opened. */
static inline void world_prepare(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->now_us = T0_US;
    world->oldest_s = 120;
    tide_test_dir(world->dir, sizeof(world->dir));
    tide_store_cfg_default(&world->cfg);
    snprintf(world->cfg.dir, sizeof(world->cfg.dir), "%s/store", world->dir);
    world->cfg.map_bytes = UINT64_C(1) << 32;
    world->cfg.ballast_bytes = 0;
    world->cfg.interval_s = INTERVAL_S;
    world->cfg.grace_s = 2;
    world->cfg.lateness_s = 4000;
    world->rules = (struct tide_fold_rules){
        .interval_s = INTERVAL_S, .lateness_s = world->cfg.lateness_s, .future_s = 60};
}

static inline void world_begin(struct world *world)
{
    world_prepare(world);
    world_open(world);
}

static inline void world_end(struct world *world)
{
    world_close(world);
    tide_test_dir_remove(world->dir);
    free(world->kept);
    tide_clock_fake(0);
}

/* ---- chunks ---- */

static inline struct tide_hash128 chunk_identity(uint64_t n)
{
    return (struct tide_hash128){n * UINT64_C(0x9e3779b97f4a7c15), n};
}

/* Fills parcel with chunk n, and adds its events to the model when told so. */
static inline void chunk_fill(struct world *world, struct tide_parcel *parcel, uint64_t n,
                              int64_t arrival_us, bool keep)
{
    uint64_t seed = n * 1000003 + 17;
    int events = (int)tide_any_between(&seed, 1, 15);

    for (int i = 0; i < events; i++) {
        struct tide_event ev = tide_any_event(&seed);
        unsigned module = (unsigned)tide_any_between(&seed, 0, MODULES - 1);
        int64_t age_s = tide_any_between(&seed, 0, 6) ? tide_any_between(&seed, 0, 15)
                                                      : tide_any_between(&seed, 0, world->oldest_s);

        if (world->late_s && tide_any_between(&seed, 0, 9) == 0)
            age_s = tide_any_between(&seed, 0, world->late_s);
        ev.time_us = arrival_us - age_s * 1000000 - tide_any_between(&seed, 0, 3);
        ev.module = tide_any_name(module);
        tide_parcel_fold(parcel, &world->rules, &ev, arrival_us);
        if (!keep)
            continue;
        if (world->events == world->capacity) {
            world->capacity = world->capacity ? 2 * world->capacity : 256;
            world->kept = realloc(world->kept, world->capacity * sizeof(*world->kept));
            assert_non_null(world->kept);
        }
        world->kept[world->events++] = (struct kept){module, ev.time_us, ev};
    }
    parcel->has_identity = true;
    parcel->identity = chunk_identity(n);
    parcel->chunk_len = 3;
}

/* What the model says once chunk n is committed (or once more, as a duplicate). */
static inline void model_add(struct world *world, uint64_t n, int64_t arrival_us, bool duplicate)
{
    struct tide_parcel parcel;

    tide_parcel_init(&parcel, NULL);
    chunk_fill(world, &parcel, n, arrival_us, !duplicate);
    if (duplicate) {
        world->books.received += parcel.books.received;
        world->books.duplicate += parcel.books.received;
        world->books.chunks_duplicate++;
    } else {
        tide_ledger_add(&world->books, &parcel.books);
        world->books.chunks_committed++;
    }
    tide_parcel_fini(&parcel);
}

/* Commits chunks [first, first + count) as one group, that arrived at arrival_us; the model follows
 * what became of them. Checks that a failure sets no fate. */
static inline enum tide_rc world_commit(struct world *world, uint64_t first, size_t count,
                                        int64_t arrival_us, struct tide_err *err)
{
    static struct tide_parcel parcel[PARCELS_MAX];
    struct tide_parcel *waiting[PARCELS_MAX];
    size_t taken = 0;
    enum tide_rc rc;

    assert_true(count <= PARCELS_MAX);
    for (size_t i = 0; i < count; i++) {
        waiting[i] = &parcel[i];
        tide_parcel_init(&parcel[i], NULL);
        chunk_fill(world, &parcel[i], first + i, arrival_us, false);
    }
    rc = tide_store_commit(world->store, waiting, count, world->now_us, &taken, err);
    assert_true(rc || taken == count);
    for (size_t i = 0; i < count; i++) {
        enum tide_fate fate = parcel[i].fate;

        tide_parcel_fini(&parcel[i]);
        if (rc)
            assert_int_equal(fate, TIDE_FATE_OPEN);
        else
            model_add(world, first + i, arrival_us, fate == TIDE_FATE_DUPLICATE);
    }
    return rc;
}

static inline void must_commit(struct world *world, uint64_t first, size_t count)
{
    struct tide_err err = {""};

    if (world_commit(world, first, count, world->now_us, &err))
        fail_msg("commit: %s", err.text);
}

static inline void must_seal(struct world *world)
{
    struct tide_err err = {""};

    if (tide_store_seal(world->store, world->now_us, &err))
        fail_msg("seal: %s", err.text);
}

/* All the upkeep there is to do now. */
static inline void must_upkeep(struct world *world)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    do
        rc = tide_store_upkeep(world->store, world->now_us, &err);
    while (rc == TIDE_AGAIN);
    if (rc)
        fail_msg("upkeep: %s", err.text);
}

static inline void advance(struct world *world, int64_t s)
{
    world->now_us += s * 1000000;
    tide_clock_fake(world->now_us);
}

/* ---- the model's answers ---- */

static inline int64_t start_of(int64_t time_us)
{
    return tide_floor_s(time_us / 1000000, INTERVAL_S);
}

static inline uint64_t instance_of(const struct world *world, const struct tide_event *ev)
{
    return ev->instance.len
               ? tide_hash64(world->rules.instance_seed, ev->instance.start, ev->instance.len)
               : 0;
}

/* Folds the events of one module and interval; start_s < 0: of all time, without what totals do
 * not keep. */
static inline void model_fold(const struct world *world, unsigned module, int64_t start_s,
                              struct tide_record *into)
{
    tide_record_reset(into);
    for (size_t i = 0; i < world->events; i++) {
        const struct kept *kept = &world->kept[i];

        if (kept->module == module && (start_s < 0 || start_of(kept->time_us) == start_s))
            tide_record_fold(into, &kept->ev, kept->time_us, instance_of(world, &kept->ev));
    }
    if (start_s < 0) {
        into->instances = 0;
        into->slowest.us = 0;
        into->slowest.len = 0;
        into->customs.count = 0;
    }
}

/* The newest interval of a module (or of all, MODULES) below before_s; -1: none. */
static inline int64_t model_interval_below(const struct world *world, unsigned module,
                                           int64_t before_s)
{
    int64_t best_s = -1;

    for (size_t i = 0; i < world->events; i++) {
        int64_t start_s = start_of(world->kept[i].time_us);

        if ((module == MODULES || world->kept[i].module == module) && start_s < before_s &&
            start_s > best_s)
            best_s = start_s;
    }
    return best_s;
}

static inline struct tide_text model_last_error(const struct world *world, unsigned module)
{
    struct tide_text text = {NULL, 0};
    int64_t time_us = 0;

    for (size_t i = 0; i < world->events; i++) {
        const struct kept *kept = &world->kept[i];
        const struct tide_text *error = &kept->ev.error;

        if (kept->module != module || error->len == 0 || kept->time_us < time_us)
            continue;
        if (kept->time_us == time_us &&
            !tide_slowest_beats(0, error->start, error->len, 0, text.start, text.len))
            continue;
        text = *error;
        time_us = kept->time_us;
    }
    return text;
}

/* ---- comparing ---- */

struct comparison {
    const struct world *world;
    unsigned module; /* MODULES: the fleet */
    int64_t before_s;
    struct tide_record expected, part, seen;
};

static inline bool compare_interval(void *arg, uint32_t id, int64_t start_s,
                                    const struct tide_record *record, unsigned flags)
{
    struct comparison *comparison = arg;
    unsigned module = comparison->module;
    struct tide_record *expected = &comparison->expected;

    (void)id;
    (void)flags;
    assert_int_equal(start_s,
                     model_interval_below(comparison->world, module, comparison->before_s));
    comparison->before_s = start_s;
    if (module < MODULES) {
        model_fold(comparison->world, module, start_s, expected);
    } else {
        tide_record_reset(expected);
        for (unsigned m = 0; m < MODULES; m++) {
            model_fold(comparison->world, m, start_s, &comparison->part);
            tide_record_gather(expected, &comparison->part);
        }
    }
    if (comparison->world->lasting) {
        tide_record_copy(&comparison->seen, record);
        comparison->seen.slowest.us = expected->slowest.us = 0;
        comparison->seen.slowest.len = expected->slowest.len = 0;
        record = &comparison->seen;
    }
    if (!tide_record_equal(record, expected))
        fail_msg("module %u, interval %lld: %llu requests instead of %llu, or another figure",
                 module, (long long)start_s, (unsigned long long)record->tally.requests,
                 (unsigned long long)expected->tally.requests);
    return true;
}

static inline void compare_module(struct comparison *comparison, struct tide_snapshot *snapshot)
{
    const struct world *world = comparison->world;
    struct tide_text name = tide_any_name(comparison->module), error;
    struct tide_module found;

    model_fold(world, comparison->module, -1, &comparison->expected);
    if (tide_record_empty(&comparison->expected)) {
        assert_int_equal(tide_snapshot_find(snapshot, name.start, name.len, &found),
                         TIDE_NOT_FOUND);
        return;
    }
    assert_int_equal(tide_snapshot_find(snapshot, name.start, name.len, &found), TIDE_OK);
    assert_true(tide_record_equal(found.total, &comparison->expected));
    error = model_last_error(world, comparison->module);
    assert_int_equal(strlen(found.last_error), error.len);
    if (error.len)
        assert_memory_equal(found.last_error, error.start, error.len);
    comparison->before_s = INT64_MAX;
    assert_int_equal(
        tide_snapshot_walk(snapshot, found.id, 0, FOREVER_S, compare_interval, comparison),
        TIDE_OK);
    assert_int_equal(model_interval_below(world, comparison->module, comparison->before_s), -1);
}

/* Everything the snapshot says is what the model says. */
static inline void compare(const struct world *world, struct tide_snapshot *snapshot)
{
    struct comparison comparison = {.world = world};
    const struct tide_snapshot_info *info = tide_snapshot_info(snapshot);

    tide_record_init(&comparison.expected);
    tide_record_init(&comparison.part);
    tide_record_init(&comparison.seen);
    assert_true(tide_ledger_balanced(&info->ledger));
    assert_memory_equal(&info->ledger, &world->books, sizeof(world->books));
    for (comparison.module = 0; comparison.module < MODULES; comparison.module++)
        compare_module(&comparison, snapshot);
    comparison.before_s = INT64_MAX;
    assert_int_equal(
        tide_snapshot_walk(snapshot, TIDE_FLEET, 0, FOREVER_S, compare_interval, &comparison),
        TIDE_OK);
    assert_int_equal(model_interval_below(world, MODULES, comparison.before_s), -1);
    tide_record_reset(&comparison.expected);
    for (unsigned module = 0; module < MODULES; module++) {
        model_fold(world, module, -1, &comparison.part);
        tide_record_gather(&comparison.expected, &comparison.part);
    }
    assert_true(tide_record_equal(tide_snapshot_fleet_total(snapshot), &comparison.expected));
    tide_record_fini(&comparison.expected);
    tide_record_fini(&comparison.part);
    tide_record_fini(&comparison.seen);
}

static inline struct tide_snapshot *must_look(const struct world *world)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};

    if (tide_snapshot_open(world->store, &snapshot, &err))
        fail_msg("snapshot: %s", err.text);
    return snapshot;
}

static inline void compare_now(const struct world *world)
{
    struct tide_snapshot *snapshot = must_look(world);

    compare(world, snapshot);
    tide_snapshot_close(snapshot);
}

/* ---- single events, for tests that say what they send ---- */

static inline struct tide_event response_at(const char *module, int64_t time_us)
{
    return (struct tide_event){.kind = TIDE_EVENT_RESPONSE,
                               .weight = 1,
                               .success = true,
                               .has_duration = true,
                               .duration_us = 1000,
                               .time_us = time_us,
                               .module = {module, (uint32_t)strlen(module)}};
}

static inline enum tide_rc try_parcel(struct world *world, struct tide_parcel *parcel,
                                      struct tide_err *err)
{
    size_t taken;

    return tide_store_commit(world->store, &parcel, 1, world->now_us, &taken, err);
}

static inline void must_commit_parcel(struct world *world, struct tide_parcel *parcel)
{
    struct tide_err err = {""};

    if (try_parcel(world, parcel, &err))
        fail_msg("commit: %s", err.text);
}

/* One response of a module, in a chunk without identity. */
static inline void must_commit_one(struct world *world, const char *module, int64_t time_us)
{
    struct tide_parcel parcel;
    struct tide_event ev = response_at(module, time_us);

    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &world->rules, &ev, world->now_us);
    must_commit_parcel(world, &parcel);
    tide_parcel_fini(&parcel);
}

static inline bool sum_requests(void *arg, uint32_t module, int64_t start_s,
                                const struct tide_record *record, unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    *(uint64_t *)arg += record->tally.requests;
    return true;
}

/* The requests of a module over all its intervals; id TIDE_FLEET: of the fleet. */
static inline uint64_t walked_requests(struct tide_snapshot *snapshot, uint32_t id)
{
    uint64_t sum = 0;

    assert_int_equal(tide_snapshot_walk(snapshot, id, 0, FOREVER_S, sum_requests, &sum), TIDE_OK);
    return sum;
}

static inline uint32_t id_of(const struct tide_snapshot *snapshot, const char *module)
{
    struct tide_module found;

    assert_int_equal(tide_snapshot_find(snapshot, module, strlen(module), &found), TIDE_OK);
    return found.id;
}

/* How many values a table of the open store has. */
static inline size_t table_entries(const struct world *world, enum table table)
{
    MDB_txn *txn;
    MDB_stat stat;

    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, world->store->dbi[table], &stat), 0);
    mdb_txn_abort(txn);
    return stat.ms_entries;
}

#endif
