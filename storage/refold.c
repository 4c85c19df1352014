/* refold - corrections of folded intervals, applied to the chunks they belong to.
 *
 * A slice takes corrections of one hour and of a few modules. It merges them into the modules'
 * records of every tier that is complete there, follows them in the fleet's, and deletes them, all
 * in one transaction: a reader finds an event either in a correction or in the chunks.
 *
 * A module's coarser records just merge. So does the fleet, but for its gauges, which are sums over
 * modules: there a module's record as it was and as it is now tell how the fleet's interval
 * changes, and that interval before and after how the fleet's coarser records do.
 */
#include "fold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "slices.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tiers.h"
#include "must.h"

#define SLICE_CORRECTIONS 512
#define SLICE_MODULES     12
#define SLICE_KEYS        16384 /* looked at */
#define HOUR_S            3600
#define DAY_S             86400

struct correction {
    uint8_t key[KEY_CORRECTION_SIZE];
    uint32_t module;
    int64_t start_s;
    struct tide_record record;
};

/* The fleet in one interval. */
struct fleet_of {
    int64_t start_s;
    uint32_t corrections;
    struct tide_record sum;           /* of the corrections: tally and histogram */
    struct tide_record before, after; /* as stored, and with them */
};

struct work {
    struct tide_store *store;
    struct tier_writer *writer;
    struct txn *txn;
    int64_t now_us;
    uint64_t upto_seq;             /* later ones are left for another time */
    struct correction *correction; /* [count], ascending by module, start, arrival */
    size_t count;
    struct fleet_of *fleet; /* [fleets], ascending by start */
    size_t fleets;
    struct tier_edit *edit; /* [count] */
    struct tier_cursor raw;
    uint32_t raw_module; /* whose chunk `raw` stands on and the writer's reader holds */
    bool raw_read;
    struct tide_record before, after;
    struct blob blob;
};

/* ---- collecting ---- */

/* Whether the slice may take this module, which it does once one of its corrections was taken. */
static bool may_take(uint32_t modules[SLICE_MODULES], unsigned *count, uint32_t module)
{
    for (unsigned i = 0; i < *count; i++)
        if (modules[i] == module)
            return true;
    if (*count == SLICE_MODULES)
        return false;
    modules[(*count)++] = module;
    return true;
}

/* Takes the correction that the cursor stands on. A damaged one is counted and will be deleted. */
static void take(struct work *work, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
    struct correction *taken = &work->correction[work->count];
    MDB_val at = {sizeof(taken->key), taken->key};
    const uint8_t *from;
    enum tide_rc rc;

    memcpy(taken->key, key->mv_data, sizeof(taken->key));
    taken->module = key_row_module(taken->key);
    taken->start_s = key_start_s(taken->key);
    tide_record_init(&taken->record);
    work->count++;
    rc = parts_read(cursor, key, value, 1, &work->blob);
    from = work->blob.start;
    if (rc == TIDE_OK &&
        row_decode(&from, from + work->blob.len, &taken->record, taken->start_s * 1000000))
        return;
    if (rc != TIDE_OK && rc != TIDE_DAMAGED && !work->txn->rc)
        work->txn->rc = rc;
    damaged("correction", &at);
    tide_record_reset(&taken->record);
}

static int by_module(const void *a, const void *b)
{
    const struct correction *x = a, *y = b;

    if (x->module != y->module)
        return x->module < y->module ? -1 : 1;
    return memcmp(x->key, y->key, sizeof(x->key)); /* start, then seq */
}

static void collect(struct work *work)
{
    int64_t upto_s = work->store->fold.hours_upto_s, end_s = 0;
    uint32_t modules[SLICE_MODULES];
    unsigned taken = 0, looked = 0;
    MDB_val key, value;
    MDB_cursor *cursor;
    int code;

    if (work->txn->rc ||
        !txn_check(work->txn,
                   mdb_cursor_open(work->txn->mdb, work->txn->dbi[TABLE_CORRECTION], &cursor)))
        return;
    code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!code && work->count < SLICE_CORRECTIONS && looked++ < SLICE_KEYS && !work->txn->rc) {
        int64_t start_s = key.mv_size == KEY_CORRECTION_SIZE ? key_start_s(key.mv_data) : INT64_MAX;

        if (work->count == 0 && start_s < upto_s)
            end_s = tide_floor_s(start_s, HOUR_S) + HOUR_S;
        if (start_s >= end_s)
            break;
        if (((const uint8_t *)key.mv_data)[KEY_CORRECTION_SIZE - 1] == 0 &&
            key_correction_seq(key.mv_data) <= work->upto_seq &&
            may_take(modules, &taken, key_row_module(key.mv_data)))
            take(work, cursor, &key, &value);
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    txn_check(work->txn, code);
    mdb_cursor_close(cursor);
    qsort(work->correction, work->count, sizeof(*work->correction), by_module);
}

/* ---- the raw records they belong to ---- */

/* Reads the stored record of an interval; empty when there is none. Cheap for intervals of one
 * chunk one after the other. */
static void read_raw(struct work *work, uint32_t module, int64_t start_s, struct tide_record *into)
{
    int64_t period_s =
        tide_floor_s(start_s, tier_period_s(TIDE_TIER_RAW, work->store->identity.interval_s));
    const struct chunk_reader *reader = &work->writer->reader;

    tide_record_reset(into);
    if (!work->raw_read || work->raw_module != module || start_s < work->raw.view.first_s ||
        start_s > work->raw.view.last_s) {
        work->raw_module = module;
        work->raw_read = tier_newest(&work->raw, period_s, module, start_s + 1) &&
                         work->raw.sound &&
                         chunk_read_fields(&work->writer->reader, &work->raw.view) &&
                         chunk_read_hists(&work->writer->reader);
        txn_check(work->txn, work->raw.lmdb);
    }
    if (!work->raw_read)
        return;
    for (uint32_t i = 0; i < work->raw.view.count; i++)
        if (reader->row[i].start_s == start_s)
            chunk_record(reader, i, into);
}

static bool is_kept(const struct work *work, uint32_t module, enum tide_tier tier, int64_t start_s)
{
    return start_s >= keep_from_s(work->store, &work->store->fold, module, tier, work->now_us);
}

/* The fleet's interval, made and read the first time. */
static struct fleet_of *fleet_of(struct work *work, int64_t start_s)
{
    struct fleet_of *fleet;
    size_t at = 0;

    while (at < work->fleets && work->fleet[at].start_s < start_s)
        at++;
    fleet = &work->fleet[at];
    if (at < work->fleets && fleet->start_s == start_s)
        return fleet;
    memmove(fleet + 1, fleet, (work->fleets - at) * sizeof(*fleet));
    work->fleets++;
    fleet->start_s = start_s;
    fleet->corrections = 0;
    tide_record_init(&fleet->sum);
    tide_record_init(&fleet->before);
    tide_record_init(&fleet->after);
    return fleet;
}

/* What the corrections of one module do to the fleet, interval by interval. */
static void follow_in_fleet(struct work *work, const struct correction *first, size_t count)
{
    uint32_t module = first->module;

    for (size_t i = 0; i < count;) {
        int64_t start_s = first[i].start_s;
        struct fleet_of *fleet = fleet_of(work, start_s);

        tide_record_reset(&work->before);
        if (is_kept(work, TIDE_FLEET, TIDE_TIER_RAW, start_s) &&
            is_kept(work, module, TIDE_TIER_RAW, start_s))
            read_raw(work, module, start_s, &work->before);
        tide_record_copy(&work->after, &work->before);
        for (; i < count && first[i].start_s == start_s; i++) {
            fleet->corrections++;
            tide_record_merge(&work->after, &first[i].record);
            tide_tally_merge(&fleet->sum.tally, &first[i].record.tally);
            tide_hist_merge(&fleet->sum.hist, &first[i].record.hist);
        }
        tide_record_regather_gauges(&fleet->after, &work->before, &work->after);
    }
}

/* The fleet's stored intervals, before any module's change; `after` begins as a copy of them. */
static void read_fleet(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        fleet_of(work, work->correction[i].start_s);
    for (size_t i = 0; i < work->fleets; i++) {
        struct fleet_of *fleet = &work->fleet[i];

        if (is_kept(work, TIDE_FLEET, TIDE_TIER_RAW, fleet->start_s))
            read_raw(work, TIDE_FLEET, fleet->start_s, &fleet->before);
        tide_record_copy(&fleet->after, &fleet->before);
    }
}

/* ---- writing ---- */

static void apply(struct work *work, uint32_t module, size_t count)
{
    const struct fold_state *fold = &work->store->fold;
    uint32_t interval_s = work->store->identity.interval_s;

    for (int t = 0; t < TIDE_TIER_COUNT; t++) {
        enum tide_tier tier = (enum tide_tier)t;
        int64_t width_s = tier_width_s(tier, interval_s);
        size_t first = 0;

        for (size_t i = 0; i < count; i++) /* finer tiers only made them smaller */
            work->edit[i].start_s = tide_floor_s(work->edit[i].start_s, width_s);
        while (first < count && !is_kept(work, module, tier, work->edit[first].start_s))
            first++;
        if (first < count && work->edit[count - 1].start_s + width_s <= tier_upto_s(fold, tier))
            tier_apply(work->writer, work->txn, interval_s, tier, module, work->edit + first,
                       count - first);
    }
}

static void apply_module(struct work *work, const struct correction *first, size_t count)
{
    size_t edits = 0;

    for (size_t i = 0; i < count; i++)
        if (!tide_record_empty(&first[i].record))
            work->edit[edits++] = (struct tier_edit){
                .start_s = first[i].start_s, .corrections = 1, .merge = &first[i].record};
    if (edits)
        apply(work, first->module, edits);
}

static void apply_fleet(struct work *work)
{
    size_t edits = 0;

    for (size_t i = 0; i < work->fleets; i++)
        if (!tide_record_empty(&work->fleet[i].sum))
            work->edit[edits++] = (struct tier_edit){.start_s = work->fleet[i].start_s,
                                                     .corrections = work->fleet[i].corrections,
                                                     .merge = &work->fleet[i].sum,
                                                     .before = &work->fleet[i].before,
                                                     .after = &work->fleet[i].after};
    if (edits)
        apply(work, TIDE_FLEET, edits);
}

/* All parts of all taken corrections. False: one that was met on the way through the table is not
 * found by its key, so the table's order is damaged and nothing may count as applied. */
static bool delete_corrections(struct work *work)
{
    MDB_cursor *cursor;
    bool whole = true;
    int code = 0;

    if (work->txn->rc ||
        !txn_check(work->txn,
                   mdb_cursor_open(work->txn->mdb, work->txn->dbi[TABLE_CORRECTION], &cursor)))
        return true;
    for (size_t i = 0; i < work->count && !code; i++) {
        uint8_t *bytes = work->correction[i].key;
        unsigned parts = 0;

        for (;;) {
            MDB_val key = {KEY_CORRECTION_SIZE, bytes}, value;

            code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
            if (code || key.mv_size != KEY_CORRECTION_SIZE ||
                memcmp(key.mv_data, bytes, KEY_CORRECTION_SIZE - 1) != 0)
                break;
            if ((code = mdb_cursor_del(cursor, 0)))
                break;
            parts++;
        }
        if (code == MDB_NOTFOUND)
            code = 0;
        whole = whole && parts;
    }
    txn_check(work->txn, code);
    mdb_cursor_close(cursor);
    return whole;
}

static void each_module(struct work *work,
                        void (*what)(struct work *, const struct correction *, size_t))
{
    for (size_t i = 0; i < work->count && !work->txn->rc;) {
        size_t end = i + 1;

        while (end < work->count && work->correction[end].module == work->correction[i].module)
            end++;
        what(work, &work->correction[i], end - i);
        i = end;
    }
}

static void work_fini(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        tide_record_fini(&work->correction[i].record);
    for (size_t i = 0; i < work->fleets; i++) {
        tide_record_fini(&work->fleet[i].sum);
        tide_record_fini(&work->fleet[i].before);
        tide_record_fini(&work->fleet[i].after);
    }
    free(work->correction);
    free(work->fleet);
    free(work->edit);
    tide_record_fini(&work->before);
    tide_record_fini(&work->after);
    blob_fini(&work->blob);
}

enum tide_rc store_refold(struct tide_store *store, struct tier_writer *writer,
                          const struct fold_state *next, uint64_t upto_seq, int64_t now_us,
                          struct tide_err *err)
{
    struct slices slices;
    struct work work = {.store = store,
                        .writer = writer,
                        .txn = &slices.txn,
                        .now_us = now_us,
                        .upto_seq = upto_seq};
    enum tide_rc rc;

    slices_begin(&slices, store, UINT32_MAX);
    tide_record_init(&work.before);
    tide_record_init(&work.after);
    work.correction = must(malloc(SLICE_CORRECTIONS * sizeof(*work.correction)));
    work.edit = must(malloc(SLICE_CORRECTIONS * sizeof(*work.edit)));
    work.fleet = must(malloc(SLICE_CORRECTIONS * sizeof(*work.fleet)));
    collect(&work);
    if (work.count == 0 && !slices.txn.rc) { /* all are later, or a key of none leads the table */
        txn_abort(&slices.txn);
        work_fini(&work);
        return TIDE_OK;
    }
    if (!slices.txn.rc)
        slices.txn.rc = tier_cursor_open(&work.raw, slices.txn.mdb, slices.txn.dbi, TIDE_TIER_RAW,
                                         store->identity.interval_s);
    if (!slices.txn.rc) {
        read_fleet(&work);
        each_module(&work, follow_in_fleet);
    }
    tier_cursor_close(&work.raw);
    each_module(&work, apply_module);
    if (!slices.txn.rc)
        apply_fleet(&work);
    if (!delete_corrections(&work) && !slices.txn.rc) {
        tide_log(TIDE_ERROR, "storage",
                 "the table of corrections is out of order: late events stay there and are merged "
                 "by readers; run tidemark verify");
        store->refold_off = true;
        txn_abort(&slices.txn);
        work_fini(&work);
        return TIDE_OK;
    }
    rc = fold_finish(store, &slices, next, err);
    if (rc == TIDE_OK) {
        tide_count(TIDE_COUNT_REFOLDED, work.count);
        rc = TIDE_AGAIN;
    }
    work_fini(&work);
    return rc;
}
