/* A store in memory behind storage's door: the test decides what is in it, what is sealed and what
 * was corrected. A program that includes this defines every function of the door that query and api
 * call, so the real ones are not linked. One at a time: FAKE.
 */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tidemark/clock.h"
#include "tidemark/store.h"
#include "tidemark/tier.h"

#define FAKE_MODULES 600
#define FAKE_ROWS    20000

struct fake_row {
    uint32_t module;
    int64_t start_s;
    unsigned flags;
    struct tide_record record;
};

static struct {
    uint32_t interval_s;
    int64_t sealed_upto_s;
    uint32_t modules;
    char name[FAKE_MODULES][TIDE_MODULE_NAME_MAX + 1];
    struct tide_record total[FAKE_MODULES];
    char last_error[FAKE_MODULES][TIDE_ERROR_TEXT_MAX + 1];
    struct tide_record fleet;
    struct fake_row row[FAKE_ROWS];
    uint32_t rows;
    struct tide_ledger ledger;
    enum tide_store_state state;
    enum tide_rc open_rc; /* what opening a snapshot answers */
    int snapshots;        /* open */
    uint32_t decoded;     /* records handed out */
    bool unsorted;        /* rows were added since the last walk */
    int64_t kept_from_s[TIDE_TIER_COUNT];
    enum tide_tier coarsest; /* what the last range was asked for */
} FAKE;

struct tide_snapshot {
    struct tide_snapshot_info info;
};

static inline void fake_init(uint32_t interval_s)
{
    memset(&FAKE, 0, sizeof(FAKE));
    FAKE.interval_s = interval_s;
    FAKE.sealed_upto_s = INT64_MAX;
    tide_record_init(&FAKE.fleet);
}

static inline void fake_fini(void)
{
    assert_int_equal(FAKE.snapshots, 0);
    for (uint32_t i = 0; i < FAKE.modules; i++)
        tide_record_fini(&FAKE.total[i]);
    for (uint32_t i = 0; i < FAKE.rows; i++)
        tide_record_fini(&FAKE.row[i].record);
    tide_record_fini(&FAKE.fleet);
}

/* The id of a name, made when new. */
static inline uint32_t fake_module(const char *name)
{
    for (uint32_t i = 0; i < FAKE.modules; i++)
        if (strcmp(FAKE.name[i], name) == 0)
            return i + 1;
    assert_true(FAKE.modules < FAKE_MODULES);
    strcpy(FAKE.name[FAKE.modules], name);
    tide_record_init(&FAKE.total[FAKE.modules]);
    return ++FAKE.modules;
}

static inline struct fake_row *fake_row(uint32_t module, int64_t start_s)
{
    struct fake_row *row;

    for (uint32_t i = 0; i < FAKE.rows; i++)
        if (FAKE.row[i].module == module && FAKE.row[i].start_s == start_s)
            return &FAKE.row[i];
    assert_true(FAKE.rows < FAKE_ROWS);
    row = &FAKE.row[FAKE.rows++];
    FAKE.unsorted = true;
    row->module = module;
    row->start_s = start_s;
    tide_record_init(&row->record);
    return row;
}

/* Folds one event as the write side would. */
static inline void fake_event(const char *name, int64_t time_us, const struct tide_event *event)
{
    struct tide_event ev = *event;
    uint32_t module = fake_module(name);

    if (ev.weight == 0)
        ev.weight = 1;
    tide_record_fold(&fake_row(module, tide_floor_s(time_us / 1000000, FAKE.interval_s))->record,
                     &ev, time_us, 0);
    ev.gauges = 0; /* totals have none */
    tide_record_fold(&FAKE.total[module - 1], &ev, time_us, 0);
    tide_record_fold(&FAKE.fleet, &ev, time_us, 0);
}

/* count responses of one duration, the first `failed` of them failed. */
static inline void fake_responses(const char *name, int64_t time_us, unsigned count,
                                  unsigned failed, double duration_us)
{
    for (unsigned i = 0; i < count; i++) {
        struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                                .has_duration = duration_us >= 0,
                                .duration_us = duration_us,
                                .has_outcome = true,
                                .success = i >= failed};

        fake_event(name, time_us, &ev);
    }
}

static inline void fake_gauge(const char *name, int64_t time_us, enum tide_gauge gauge,
                              int64_t value)
{
    struct tide_event ev = {.kind = TIDE_EVENT_PERFORMANCE, .success = true};

    ev.gauges = (uint8_t)(1u << gauge);
    ev.gauge[gauge] = value;
    fake_event(name, time_us, &ev);
}

static inline void fake_kind(const char *name, int64_t time_us, enum tide_event_kind kind)
{
    struct tide_event ev = {.kind = (uint8_t)kind, .success = true};

    fake_event(name, time_us, &ev);
}

static int fake_newest_first(const void *a, const void *b)
{
    const struct fake_row *x = a, *y = b;

    if (x->start_s != y->start_s)
        return x->start_s > y->start_s ? -1 : 1;
    return x->module < y->module ? -1 : x->module > y->module;
}

/* Newest first, so that walks only read and may run side by side. */
static inline void fake_sort(void)
{
    if (!FAKE.unsorted)
        return;
    qsort(FAKE.row, FAKE.rows, sizeof(FAKE.row[0]), fake_newest_first);
    FAKE.unsorted = false;
}

/* ---- storage's door ---- */

enum tide_store_state tide_store_state(const struct tide_store *store)
{
    (void)store;
    return FAKE.state;
}

const char *tide_store_state_name(enum tide_store_state state)
{
    static const char *const name[] = {"ok", "full", "in_doubt", "failed"};

    return name[state];
}

void tide_store_stats(struct tide_store *store, struct tide_store_stats *ret)
{
    (void)store;
    *ret = (struct tide_store_stats){.file_bytes = 4096, .identity_bound = "window"};
}

enum tide_rc tide_snapshot_open(struct tide_store *store, struct tide_snapshot **ret,
                                struct tide_err *err)
{
    (void)store;
    if (FAKE.open_rc) {
        tide_err_set(err, "fake: refused");
        return FAKE.open_rc;
    }
    fake_sort();
    *ret = malloc(sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->info = (struct tide_snapshot_info){.sealed_upto_s = FAKE.sealed_upto_s,
                                               .interval_s = FAKE.interval_s,
                                               .modules = FAKE.modules,
                                               .ledger = FAKE.ledger};
    __atomic_fetch_add(&FAKE.snapshots, 1, __ATOMIC_RELAXED);
    return TIDE_OK;
}

void tide_snapshot_close(struct tide_snapshot *snapshot)
{
    if (snapshot)
        __atomic_fetch_sub(&FAKE.snapshots, 1, __ATOMIC_RELAXED);
    free(snapshot);
}

const struct tide_snapshot_info *tide_snapshot_info(const struct tide_snapshot *snapshot)
{
    return &snapshot->info;
}

void tide_snapshot_module(const struct tide_snapshot *snapshot, uint32_t id,
                          struct tide_module *ret)
{
    (void)snapshot;
    assert_true(id >= 1 && id <= FAKE.modules);
    *ret = (struct tide_module){.id = id,
                                .name = FAKE.name[id - 1],
                                .name_len = (uint32_t)strlen(FAKE.name[id - 1]),
                                .total = &FAKE.total[id - 1],
                                .last_error = FAKE.last_error[id - 1]};
}

enum tide_rc tide_snapshot_find(const struct tide_snapshot *snapshot, const char *name, size_t len,
                                struct tide_module *ret)
{
    for (uint32_t i = 0; i < FAKE.modules; i++)
        if (strlen(FAKE.name[i]) == len && memcmp(FAKE.name[i], name, len) == 0) {
            tide_snapshot_module(snapshot, i + 1, ret);
            return TIDE_OK;
        }
    return TIDE_NOT_FOUND;
}

const struct tide_record *tide_snapshot_fleet_total(const struct tide_snapshot *snapshot)
{
    (void)snapshot;
    return &FAKE.fleet;
}

int64_t tide_snapshot_kept_from(const struct tide_snapshot *snapshot, uint32_t module,
                                enum tide_tier tier)
{
    (void)snapshot;
    (void)module;
    return FAKE.kept_from_s[tier];
}

static unsigned fake_flags(const struct fake_row *row)
{
    return row->flags | (row->start_s >= FAKE.sealed_upto_s ? (unsigned)TIDE_PART_OPEN : 0);
}

/* Nothing is folded: every span is answered by intervals. */
enum tide_rc tide_snapshot_sweep_range(struct tide_snapshot *snapshot, const struct tide_span *span,
                                       tide_want_fn *want, tide_walk_fn *take, void *arg)
{
    (void)snapshot;
    for (uint32_t i = 0; i < FAKE.rows; i++) {
        struct fake_row *row = &FAKE.row[i];

        if (row->start_s < span->from_s || row->start_s >= span->to_s ||
            (want && !want(arg, row->module, row->start_s)))
            continue;
        __atomic_fetch_add(&FAKE.decoded, 1, __ATOMIC_RELAXED);
        if (!take(arg, row->module, row->start_s, &row->record, fake_flags(row)))
            break;
    }
    return TIDE_OK;
}

/* The fleet's intervals, gathered on the spot. */
static enum tide_rc fake_walk_fleet(int64_t from_s, int64_t to_s, tide_walk_fn *take, void *arg)
{
    bool more = true;

    for (uint32_t i = 0; i < FAKE.rows && more;) {
        int64_t start_s = FAKE.row[i].start_s;
        struct tide_record sum;
        unsigned flags = 0;

        tide_record_init(&sum);
        for (; i < FAKE.rows && FAKE.row[i].start_s == start_s; i++) {
            tide_record_gather(&sum, &FAKE.row[i].record);
            flags |= fake_flags(&FAKE.row[i]);
        }
        if (start_s >= from_s && start_s < to_s)
            more = take(arg, TIDE_FLEET, start_s, &sum, flags);
        tide_record_fini(&sum);
    }
    return TIDE_OK;
}

enum tide_rc tide_snapshot_range(struct tide_snapshot *snapshot, uint32_t module,
                                 const struct tide_span *span, tide_walk_fn *take, void *arg)
{
    (void)snapshot;
    __atomic_store_n(&FAKE.coarsest, span->coarsest, __ATOMIC_RELAXED);
    if (module == TIDE_FLEET)
        return fake_walk_fleet(span->from_s, span->to_s, take, arg);
    for (uint32_t i = 0; i < FAKE.rows; i++) {
        struct fake_row *row = &FAKE.row[i];

        if (row->module != module || row->start_s < span->from_s || row->start_s >= span->to_s)
            continue;
        __atomic_fetch_add(&FAKE.decoded, 1, __ATOMIC_RELAXED);
        if (!take(arg, module, row->start_s, &row->record, fake_flags(row)))
            break;
    }
    return TIDE_OK;
}

#endif
