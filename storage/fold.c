/* fold - see the header.
 *
 * Two kinds of steps, each over a whole stretch of time, module by module in slices:
 *
 *   hour   rows -> records of tier raw -> merged to 5m -> merged to 1h     raises hours_upto
 *   day    records of tier 1h -> merged to 1d                              raises days_upto
 *
 * The fleet is module 0 and goes like the others. How far a step is stands in memory only: its last
 * transaction makes it count, readers ignore what it wrote before that, and after a crash it begins
 * anew and replaces what it had written with the same bytes. Rows of finished hours are then waste,
 * and are deleted from the front.
 *
 * Rows only: corrections stay where they are until refold.c applies them, before the next hour,
 * each with its effect on all tiers in one transaction.
 */
#include "fold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "slices.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tiers.h"
#include "must.h"

#define SLICE_US        1500 /* a slice ends with the first module after this ... */
#define SLICE_MODULES   64   /* ... or with so many */
#define PART_ROWS       180  /* rows of one module taken at once, or those of five minutes */
#define PART_ROWS_LARGE 20
#define ROW_LARGE       300          /* bytes */
#define SLICE_ROWS      4096         /* rows deleted by one transaction, ... */
#define SLICE_BYTES     (160 * 4096) /* ... of so many bytes: fewer than 256 pages */
#define HOUR_S          3600
#define DAY_S           86400

enum step { STEP_NONE, STEP_HOUR, STEP_DAY };

struct fold {
    struct tier_writer writer;
    struct tide_record *record; /* of the module at hand: [records], all initialised */
    struct chunk_entry *entry;  /* [records] */
    size_t records;
    struct tide_record merged;
    struct blob blob;
    struct lane *lane; /* [lanes] */
    size_t lanes;

    enum step step;
    int64_t from_s;   /* of the step */
    uint32_t next;    /* its first module that is not done ... */
    int64_t part_s;   /* ... and of whose hour this much is; `merged` is the merge of that */
    int64_t width_s;  /* of its next part */
    bool rows_wasted; /* rows before hours_upto may be there */
};

/* One interval of an hour: a cursor that goes through its modules. */
struct lane {
    MDB_cursor *cursor;
    int64_t start_s;
    uint32_t module; /* it stands on; UINT32_MAX: past the last */
};

struct fold *fold_new(void)
{
    struct fold *fold = must(calloc(1, sizeof(*fold)));

    tier_writer_init(&fold->writer);
    tide_record_init(&fold->merged);
    fold->rows_wasted = true;
    return fold;
}

void fold_free(struct fold *fold)
{
    if (!fold)
        return;
    for (size_t i = 0; i < fold->records; i++)
        tide_record_fini(&fold->record[i]);
    free(fold->record);
    free(fold->entry);
    free(fold->lane);
    blob_fini(&fold->blob);
    tide_record_fini(&fold->merged);
    tier_writer_fini(&fold->writer);
    free(fold);
}

void fold_forget(struct fold *fold)
{
    fold->step = STEP_NONE;
}

/* Whether a slice that began at begin_us and did so many modules takes one more. */
static bool goes_on(const struct tide_store *store, unsigned done, int64_t begin_us)
{
    if (store->fold_slice)
        return done < store->fold_slice;
    return done == 0 || (done < SLICE_MODULES && tide_clock_mono_us() - begin_us < SLICE_US);
}

/* Room for `count` records of one module. */
static void make_room(struct fold *fold, size_t count)
{
    if (count <= fold->records)
        return;
    fold->record = must(realloc(fold->record, count * sizeof(*fold->record)));
    fold->entry = must(realloc(fold->entry, count * sizeof(*fold->entry)));
    while (fold->records < count)
        tide_record_init(&fold->record[fold->records++]);
}

enum tide_rc fold_finish(struct tide_store *store, struct slices *slices,
                         const struct fold_state *next, struct tide_err *err)
{
    struct fold_state fold = *next;
    enum tide_rc rc;

    fold.seq = store->state.commit_seq + 1;
    schema_put_fold(&slices->txn, &fold);
    if ((rc = slices_end(slices, &store->state, err))) {
        fold_forget(store->folding);
        return rc;
    }
    store->fold = fold;
    head_begin(store->head);
    head_draft(store->head)->commit_seq = store->state.commit_seq;
    head_publish(store->head);
    return TIDE_OK;
}

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

/* ---- an hour ---- */

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
    make_room(fold, lanes + (size_t)width_s / 300);
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

static enum tide_rc fold_hour(struct tide_store *store, struct tide_err *err)
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
    next.refolded_s = fold->from_s;
    lanes_open(store, &slices.txn);
    while (!slices.txn.rc && (fold->part_s || lowest(fold, lanes) != UINT32_MAX) &&
           goes_on(store, done, begin_us)) {
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

/* ---- a day ---- */

/* Merges what the hours of the day hold of a module, which is corrected if one of them is; false:
 * nothing. */
static bool merge_day(struct fold *fold, struct tier_cursor *cursor, int64_t period_s,
                      uint32_t module, uint32_t *ret_revision)
{
    struct chunk_reader *reader = &fold->writer.reader;
    int64_t end_s = fold->from_s + DAY_S;
    bool more = tier_newest(cursor, period_s, module, end_s);

    *ret_revision = 0;
    make_room(fold, 1);
    tide_record_reset(&fold->merged);
    for (; more && !cursor->lmdb; more = tier_older(cursor, module)) {
        if (cursor->sound && chunk_read_fields(reader, &cursor->view) && chunk_read_hists(reader)) {
            for (uint32_t i = 0; i < cursor->view.count; i++)
                if (reader->row[i].start_s >= fold->from_s && reader->row[i].start_s < end_s) {
                    chunk_record(reader, i, &fold->record[0]);
                    tide_record_merge(&fold->merged, &fold->record[0]);
                    if (reader->row[i].revision > *ret_revision)
                        *ret_revision = reader->row[i].revision;
                }
        }
        if (cursor->first_s <= fold->from_s)
            break;
    }
    return !tide_record_empty(&fold->merged);
}

static enum tide_rc fold_day(struct tide_store *store, struct tide_err *err)
{
    struct fold *fold = store->folding;
    uint32_t interval_s = store->identity.interval_s, module = UINT32_MAX;
    int64_t begin_us = tide_clock_mono_us(),
            period_s = tide_floor_s(fold->from_s, tier_period_s(TIDE_TIER_1H, interval_s));
    struct fold_state next = store->fold;
    struct tier_cursor cursor = {0};
    struct slices slices;
    unsigned done = 0;
    enum tide_rc rc;

    slices_begin(&slices, store, UINT32_MAX);
    if (!slices.txn.rc)
        slices.txn.rc =
            tier_cursor_open(&cursor, slices.txn.mdb, slices.txn.dbi, TIDE_TIER_1H, interval_s);
    while (!slices.txn.rc && goes_on(store, done, begin_us)) {
        struct chunk_entry day = {fold->from_s, 0, &fold->merged};

        module = tier_module_from(&cursor, period_s, fold->next);
        if (module == UINT32_MAX)
            break;
        if (merge_day(fold, &cursor, period_s, module, &day.revision))
            tier_append(&fold->writer, &slices.txn, interval_s, TIDE_TIER_1D, module, fold->from_s,
                        &day, 1);
        txn_check(&slices.txn, cursor.lmdb);
        fold->next = module + 1;
        done++;
    }
    txn_check(&slices.txn, cursor.lmdb);
    tier_cursor_close(&cursor);
    if (module == UINT32_MAX)
        next.days_upto_s = fold->from_s + DAY_S;
    if ((rc = fold_finish(store, &slices, &next, err)))
        return rc;
    if (module == UINT32_MAX)
        fold->step = STEP_NONE;
    return TIDE_AGAIN;
}

/* ---- rows of folded hours ---- */

static enum tide_rc delete_rows(struct tide_store *store, struct tide_err *err)
{
    struct slices slices;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    size_t bytes = 0;
    unsigned rows = 0;
    bool more = false;
    enum tide_rc rc;
    int code;

    slices_begin(&slices, store, UINT32_MAX);
    code = slices.txn.rc ? MDB_NOTFOUND
                         : mdb_cursor_open(slices.txn.mdb, slices.txn.dbi[TABLE_ROW], &cursor);
    while (!code) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (code || key.mv_size < 8 || key_start_s(key.mv_data) >= store->fold.hours_upto_s)
            break;
        if (rows == SLICE_ROWS || bytes > SLICE_BYTES) {
            more = true;
            break;
        }
        rows++;
        bytes += key.mv_size + value.mv_size + 10;
        code = mdb_cursor_del(cursor, 0);
    }
    txn_check(&slices.txn, code);
    if (cursor)
        mdb_cursor_close(cursor);
    if ((rc = slices_end(&slices, &store->state, err)))
        return rc;
    store->folding->rows_wasted = more;
    return TIDE_AGAIN;
}

/* ---- what is due ---- */

/* The first key's time in a table that is ordered by time, or INT64_MAX. */
static enum tide_rc first_start(struct tide_store *store, enum table table, int64_t from_s,
                                int64_t *ret_s, struct tide_err *err)
{
    uint8_t bound[8];
    MDB_val key = {sizeof(bound), bound}, value;
    MDB_cursor *cursor;
    struct txn txn;

    *ret_s = INT64_MAX;
    tide_put_be64(bound, (uint64_t)from_s);
    txn_begin(&txn, store->env, store->dbi, false);
    if (!txn.rc && txn_check(&txn, mdb_cursor_open(txn.mdb, txn.dbi[table], &cursor))) {
        int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);

        if (txn_check(&txn, code) && !code && key.mv_size >= 8)
            *ret_s = key_start_s(key.mv_data);
        mdb_cursor_close(cursor);
    }
    if (txn.rc)
        tide_err_set(err, "look for what to fold: %s", mdb_strerror(txn.lmdb));
    txn_abort(&txn);
    /* Reading that failed says nothing of the next commit, unless LMDB has given up. */
    return txn.rc == TIDE_IN_DOUBT ? store_failed(store, txn.rc) : txn.rc;
}

static void begin(struct fold *fold, enum step step, int64_t from_s)
{
    fold->step = step;
    fold->from_s = from_s;
    fold->next = 0;
    fold->part_s = 0;
}

/* Whole hours before this are old enough, and sealed: what comes for them is a correction. */
static int64_t foldable_upto_s(const struct tide_store *store, int64_t now_us)
{
    int64_t old_s = tide_floor_s(now_us / 1000000 - store->cfg.fold_after_s, HOUR_S);
    int64_t sealed_s = tide_floor_s(store->state.sealed_upto_s, HOUR_S);

    return old_s < sealed_s ? old_s : sealed_s;
}

/* Whether the table's oldest value belongs to a folded hour. */
static enum tide_rc lags(struct tide_store *store, enum table table, bool *ret,
                         struct tide_err *err)
{
    int64_t first_s;
    enum tide_rc rc = first_start(store, table, 0, &first_s, err);

    *ret = first_s < store->fold.hours_upto_s;
    return rc;
}

/* Corrections of folded hours wait for each other until the next hour is folded, or until there are
 * many. Both can be told from the file alone, so a restart in between changes no byte of a chunk.
 */
static enum tide_rc refold(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    bool due;
    enum tide_rc rc = lags(store, TABLE_CORRECTION, &due, err);

    if (rc || !due || store->refold_off)
        return rc;
    return store_refold(store, &store->folding->writer, now_us, err);
}

static enum tide_rc many_corrections(struct tide_store *store, bool *ret, struct tide_err *err)
{
    MDB_stat stat = {0};
    struct txn txn;

    txn_begin(&txn, store->env, store->dbi, false);
    if (!txn.rc)
        txn_check(&txn, mdb_stat(txn.mdb, txn.dbi[TABLE_CORRECTION], &stat));
    if (txn.rc)
        tide_err_set(err, "look for what to fold: %s", mdb_strerror(txn.lmdb));
    txn_abort(&txn);
    *ret = stat.ms_entries >= store->refold_at;
    return txn.rc == TIDE_IN_DOUBT ? store_failed(store, txn.rc) : txn.rc;
}

static enum tide_rc choose_day(struct tide_store *store, struct tide_err *err)
{
    int64_t upto_s = store->fold.days_upto_s, hour_s, day_s;
    enum tide_rc rc;

    if (store->fold.hours_upto_s < upto_s + DAY_S)
        return TIDE_OK;
    rc = first_start(store, TABLE_CHUNK_1H,
                     tide_floor_s(upto_s, tier_period_s(TIDE_TIER_1H, store->identity.interval_s)),
                     &hour_s, err);
    if (rc || hour_s == INT64_MAX)
        return rc;
    /* Of the period of the last day done only its start is known. */
    day_s = hour_s < upto_s ? upto_s : tide_floor_s(hour_s, DAY_S);
    if (day_s + DAY_S > store->fold.hours_upto_s)
        return TIDE_OK;
    begin(store->folding, STEP_DAY, day_s);
    return TIDE_AGAIN;
}

static enum tide_rc choose_hour(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    int64_t row_s, hour_s;
    enum tide_rc rc;

    if ((rc = first_start(store, TABLE_ROW, store->fold.hours_upto_s, &row_s, err)))
        return rc;
    if (row_s == INT64_MAX)
        return TIDE_OK;
    hour_s = tide_floor_s(row_s, HOUR_S);
    if (hour_s + HOUR_S > foldable_upto_s(store, now_us))
        return TIDE_OK;
    if (store->fold.refolded_s != hour_s && (rc = refold(store, now_us, err)))
        return rc;
    begin(store->folding, STEP_HOUR, hour_s);
    return TIDE_AGAIN;
}

/* One chore, or the choice of the next step. TIDE_OK: there is nothing to do. */
static enum tide_rc choose(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    struct fold *fold = store->folding;
    bool many;
    enum tide_rc rc;

    if (fold->rows_wasted) {
        if ((rc = lags(store, TABLE_ROW, &fold->rows_wasted, err)))
            return rc;
        if (fold->rows_wasted)
            return delete_rows(store, err);
    }
    if ((rc = many_corrections(store, &many, err)) || (many && (rc = refold(store, now_us, err))))
        return rc;
    if ((rc = choose_day(store, err)))
        return rc;
    return choose_hour(store, now_us, err);
}

enum tide_rc store_fold(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    struct fold *fold = store->folding;

    if (fold->step == STEP_NONE) {
        enum tide_rc rc = choose(store, now_us, err);

        if (fold->step == STEP_NONE)
            return rc;
    }
    return fold->step == STEP_HOUR ? fold_hour(store, err) : fold_day(store, err);
}
