/* fold_hour - a whole hour of rows becomes records of the tiers raw, 5m and 1h.
 *
 * Rows lie by interval, chunks by module: a cursor for each interval of the hour goes through the
 * modules, and they go side by side.
 */
#include "fold_step.h"

#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "must.h"
#include "slices.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"

#define PART_ROWS       180 /* rows of one module taken at once, or those of five minutes */
#define PART_ROWS_LARGE 20
#define ROW_LARGE       300 /* bytes */

/* ---- the rows of an hour ---- */

static void lane_look(struct lane *lane, struct txn *txn, int code, const MDB_val *key)
{
    lane->module = UINT32_MAX;
    if (txn_check(txn, code) && code == 0 && key->mv_size == KEY_ROW_SIZE &&
        key_start_s(key->mv_data) == lane->start_s)
        lane->module = key_row_module(key->mv_data);
}

/* One lane for every interval of the hour, each at its first module from `next` on. */
static void lanes_open(struct tide_store *store, struct txn *txn)
{
    struct fold *fold = store->folding;
    uint32_t interval_s = store->identity.interval_s;
    size_t wanted = HOUR_S / interval_s;

    if (fold->lanes < wanted) {
        fold->lane = must(realloc(fold->lane, wanted * sizeof(*fold->lane)));
        fold->lanes = wanted;
    }
    for (size_t i = 0; i < wanted; i++) {
        struct lane *lane = &fold->lane[i];
        uint8_t bytes[KEY_ROW_SIZE];
        MDB_val key = {sizeof(bytes), bytes}, value;

        *lane =
            (struct lane){.start_s = fold->from_s + (int64_t)i * interval_s, .module = UINT32_MAX};
        if (!txn_check(txn,
                       txn->rc ? 0 : mdb_cursor_open(txn->mdb, txn->dbi[TABLE_ROW], &lane->cursor)))
            continue;
        key_row(bytes, lane->start_s, fold->next);
        lane_look(lane, txn, mdb_cursor_get(lane->cursor, &key, &value, MDB_SET_RANGE), &key);
    }
}

static void lanes_close(struct tide_store *store)
{
    struct fold *fold = store->folding;

    for (size_t i = 0; i < HOUR_S / store->identity.interval_s; i++)
        if (fold->lane[i].cursor)
            mdb_cursor_close(fold->lane[i].cursor);
}

/* Reads the row that the lane stands on and moves it to the next module. A damaged row is lost, and
 * counted. */
static bool lane_take(struct fold *fold, struct lane *lane, struct txn *txn,
                      struct tide_record *into)
{
    uint8_t first[KEY_ROW_SIZE];
    MDB_val key, value, at = {sizeof(first), first};
    const uint8_t *from;
    enum tide_rc rc;
    bool taken;

    if (!txn_check(txn, mdb_cursor_get(lane->cursor, &key, &value, MDB_GET_CURRENT)))
        return false;
    memcpy(first, key.mv_data, sizeof(first));
    rc = parts_read(lane->cursor, &key, &value, 1, &fold->blob);
    from = fold->blob.start;
    taken =
        rc == TIDE_OK && row_decode(&from, from + fold->blob.len, into, lane->start_s * 1000000);
    if (rc != TIDE_OK && rc != TIDE_DAMAGED) {
        txn->rc = rc;
        return false;
    }
    if (!taken)
        damaged("row", &at);
    do
        lane_look(lane, txn, mdb_cursor_get(lane->cursor, &key, &value, MDB_NEXT), &key);
    while (lane->module == tide_get_be32(first + 8)); /* parts that a damaged one left behind */
    return taken && !tide_record_empty(into);
}

static uint32_t lowest(const struct fold *fold, size_t lanes)
{
    uint32_t module = UINT32_MAX;

    for (size_t i = 0; i < lanes; i++)
        if (fold->lane[i].module < module)
            module = fold->lane[i].module;
    return module;
}

/* Lanes whose rows of this module were taken by an earlier slice go on to the next one. */
static void leave(struct fold *fold, struct txn *txn, size_t lanes, uint32_t module)
{
    for (size_t i = 0; i < lanes; i++) {
        struct lane *lane = &fold->lane[i];
        MDB_val key, value;

        while (lane->module == module)
            lane_look(lane, txn, mdb_cursor_get(lane->cursor, &key, &value, MDB_NEXT), &key);
    }
}

/* ---- a module's hour, in parts ---- */

/* Merges runs of the `count` entries into records of a coarser tier, which take the places after
 * them. */
static size_t coarsen(struct fold *fold, size_t count, int64_t width_s)
{
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t start_s = tide_floor_s(fold->entry[i].start_s, width_s);
        size_t to = count + made;

        if (made == 0 || fold->entry[to - 1].start_s != start_s) {
            tide_record_reset(&fold->record[to]);
            fold->entry[to] = (struct chunk_entry){start_s, 0, &fold->record[to]};
            made++;
            to++;
        }
        tide_record_merge(&fold->record[to - 1], &fold->record[i]);
    }
    return made;
}

/* How much of a module's hour is folded at once: PART_ROWS intervals at most, fewer of large ones,
 * as the fleet has them; whole records of 5m. */
static int64_t part_width_s(uint32_t interval_s, bool large)
{
    int64_t width_s = HOUR_S, rows = large ? PART_ROWS_LARGE : PART_ROWS;

    while (width_s / interval_s > rows && width_s > 300)
        width_s = width_s == HOUR_S ? 1800 : width_s == 1800 ? 600 : 300;
    return width_s;
}

/* Whether the first row of the module's hour is large. */
static bool is_large(const struct fold *fold, struct txn *txn, size_t lanes)
{
    for (size_t i = 0; i < lanes; i++) {
        MDB_val key, value = {0};

        if (fold->lane[i].module != fold->next)
            continue;
        txn_check(txn, mdb_cursor_get(fold->lane[i].cursor, &key, &value, MDB_GET_CURRENT));
        return value.mv_size > ROW_LARGE;
    }
    return false;
}

/* The next part of the hour of fold->next. */
static void fold_part(struct tide_store *store, struct txn *txn)
{
    struct fold *fold = store->folding;
    uint32_t interval_s = store->identity.interval_s, module = fold->next;
    size_t from = (size_t)(fold->part_s / interval_s), lanes, rows = 0, fives;
    int64_t width_s;

    if (fold->part_s == 0) {
        tide_record_reset(&fold->merged);
        fold->width_s = part_width_s(interval_s, is_large(fold, txn, HOUR_S / interval_s));
    }
    width_s = fold->width_s;
    lanes = (size_t)(width_s / interval_s);
    fold_make_room(fold, lanes + (size_t)width_s / 300);
    for (size_t i = from; i < from + lanes; i++) {
        struct lane *lane = &fold->lane[i];

        if (lane->module == module && lane_take(fold, lane, txn, &fold->record[rows])) {
            fold->entry[rows] = (struct chunk_entry){lane->start_s, 0, &fold->record[rows]};
            rows++;
        }
    }
    fives = coarsen(fold, rows, 300);
    for (size_t i = rows; i < rows + fives; i++)
        tide_record_merge(&fold->merged, &fold->record[i]);
    if (rows) {
        int64_t from_s = fold->from_s + fold->part_s;

        tier_append(&fold->writer, txn, interval_s, TIDE_TIER_RAW, module, from_s, fold->entry,
                    rows);
        tier_append(&fold->writer, txn, interval_s, TIDE_TIER_5M, module, from_s,
                    fold->entry + rows, fives);
    }
    fold->part_s += width_s;
    if (fold->part_s < HOUR_S)
        return;
    if (!tide_record_empty(&fold->merged)) {
        struct chunk_entry hour = {fold->from_s, 0, &fold->merged};

        tier_append(&fold->writer, txn, interval_s, TIDE_TIER_1H, module, fold->from_s, &hour, 1);
    }
    leave(fold, txn, HOUR_S / interval_s, module);
    fold->part_s = 0;
    fold->next = module + 1;
}

enum tide_rc fold_hour(struct tide_store *store, struct tide_err *err)
{
    struct fold *fold = store->folding;
    size_t lanes = HOUR_S / store->identity.interval_s;
    int64_t begin_us = tide_clock_mono_us();
    struct fold_state next = store->fold;
    struct slices slices;
    unsigned done = 0;
    bool last;
    enum tide_rc rc;

    slices_begin(&slices, store, UINT32_MAX);
    next.folding_upto_s = fold->from_s + HOUR_S;
    next.refold_seq = fold->refold_seq;
    lanes_open(store, &slices.txn);
    while (!slices.txn.rc && (fold->part_s || lowest(fold, lanes) != UINT32_MAX) &&
           fold_goes_on(store, done, begin_us)) {
        if (fold->part_s == 0)
            fold->next = lowest(fold, lanes);
        fold_part(store, &slices.txn);
        done++;
    }
    last = fold->part_s == 0 && lowest(fold, lanes) == UINT32_MAX;
    lanes_close(store);
    if (last)
        next.hours_upto_s = fold->from_s + HOUR_S;
    if ((rc = fold_finish(store, &slices, &next, err)))
        return rc;
    if (last) {
        fold->step = STEP_NONE;
        fold->rows_wasted = true;
        tide_count(TIDE_COUNT_FOLDED_HOURS, 1);
    }
    return TIDE_AGAIN;
}
