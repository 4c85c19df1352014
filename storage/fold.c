/* fold - what is due, and when. See the header.
 *
 * Two kinds of steps, each over a whole stretch of time, module by module in slices (fold_step.h):
 *
 *   hour   rows -> records of tier raw -> merged to 5m -> merged to 1h     raises hours_upto
 *   day    records of tier 1h -> merged to 1d                              raises days_upto
 *
 * The fleet is module 0 and goes like the others. Rows of finished hours are then waste, and are
 * deleted from the front.
 *
 * Rows only: corrections stay where they are until refold.c applies them, before the next hour,
 * each with its effect on all tiers in one transaction. Where a chunk is cut depends on what was
 * applied before an hour was appended to it. So the first transaction for an hour, whichever it is,
 * writes down which hour that is and up to which commit corrections go before it; what comes later
 * waits for the next hour, and a restart anywhere changes no byte.
 */
#include "fold_step.h"

#include <stdlib.h>

#include "key.h"
#include "must.h"
#include "slices.h"
#include "tidemark/clock.h"

#define SLICE_US      1500 /* a slice ends with the first module after this ... */
#define SLICE_MODULES 64   /* ... or with so many */

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

bool fold_goes_on(const struct tide_store *store, unsigned done, int64_t begin_us)
{
    if (store->fold_slice)
        return done < store->fold_slice;
    return done == 0 || (done < SLICE_MODULES && tide_clock_mono_us() - begin_us < SLICE_US);
}

void fold_make_room(struct fold *fold, size_t count)
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

static void begin(struct fold *fold, enum step step, int64_t from_s, uint64_t refold_seq)
{
    fold->step = step;
    fold->refold_seq = refold_seq;
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
 * many. TIDE_AGAIN: some of those up to upto_seq were applied, and `next` was written. */
static enum tide_rc refold(struct tide_store *store, const struct fold_state *next,
                           uint64_t upto_seq, int64_t now_us, struct tide_err *err)
{
    bool due;
    enum tide_rc rc = lags(store, TABLE_CORRECTION, &due, err);

    if (rc || !due || store->refold_off)
        return rc;
    return store_refold(store, &store->folding->writer, next, upto_seq, now_us, err);
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
    begin(store->folding, STEP_DAY, day_s, 0);
    return TIDE_AGAIN;
}

/* The hour that `next` names: its corrections first, then its rows. */
static enum tide_rc do_hour(struct tide_store *store, const struct fold_state *next, int64_t now_us,
                            struct tide_err *err)
{
    enum tide_rc rc = refold(store, next, next->refold_seq, now_us, err);

    if (rc)
        return rc;
    begin(store->folding, STEP_HOUR, next->folding_upto_s - HOUR_S, next->refold_seq);
    return TIDE_AGAIN;
}

static enum tide_rc choose_hour(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    struct fold_state next = store->fold;
    int64_t row_s, hour_s;
    enum tide_rc rc;

    if ((rc = first_start(store, TABLE_ROW, store->fold.hours_upto_s, &row_s, err)))
        return rc;
    if (row_s == INT64_MAX)
        return TIDE_OK;
    hour_s = tide_floor_s(row_s, HOUR_S);
    if (hour_s + HOUR_S > foldable_upto_s(store, now_us))
        return TIDE_OK;
    next.folding_upto_s = hour_s + HOUR_S;
    next.refold_seq = store->state.commit_seq;
    return do_hour(store, &next, now_us, err);
}

/* One chore, or the choice of the next step: what was begun before a restart goes first, as if
 * there had been none. TIDE_OK: there is nothing to do. */
static enum tide_rc choose(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    struct fold *fold = store->folding;
    bool many;
    enum tide_rc rc;

    if (fold->rows_wasted) {
        if ((rc = lags(store, TABLE_ROW, &fold->rows_wasted, err)))
            return rc;
        if (fold->rows_wasted)
            return fold_rows(store, err);
    }
    if ((rc = choose_day(store, err)))
        return rc;
    if (store->fold.folding_upto_s > store->fold.hours_upto_s)
        return do_hour(store, &store->fold, now_us, err);
    if ((rc = many_corrections(store, &many, err)) ||
        (many && (rc = refold(store, &store->fold, UINT64_MAX, now_us, err))))
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
