/* fold_day - the hours of a whole day, out of tier 1h, become one record of tier 1d. */
#include "fold_step.h"

#include "slices.h"
#include "tidemark/clock.h"

/* Merges what the hours of the day hold of a module, which is corrected if one of them is; false:
 * nothing. */
static bool merge_day(struct fold *fold, struct tier_cursor *cursor, int64_t period_s,
                      uint32_t module, uint32_t *ret_revision)
{
    struct chunk_reader *reader = &fold->writer.reader;
    int64_t end_s = fold->from_s + DAY_S;
    bool more = tier_newest(cursor, period_s, module, end_s);

    *ret_revision = 0;
    fold_make_room(fold, 1);
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

enum tide_rc fold_day(struct tide_store *store, struct tide_err *err)
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
    while (!slices.txn.rc && fold_goes_on(store, done, begin_us)) {
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
