/* import - records into a store, see transfer.h.
 *
 * A record takes the way of a delta: into the journal, and as a correction where its interval was
 * sealed before; then into the open intervals and totals in memory. So everything that follows
 * (seal, fold, refold of what was folded long ago, the fleet's gauges) is that of late events. What
 * makes a second import harmless is not a memory of the first, but that the store is asked whether
 * it has the record already.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "must.h"
#include "slices.h"
#include "tidemark/clock.h"
#include "tidemark/transfer.h"
#include "tiers.h"

/* ---- what is there ---- */

static bool add_up(void *arg, uint32_t module, int64_t start_s, const struct tide_record *record,
                   unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    tide_record_merge(arg, record);
    return true;
}

/* Folded history does not know which operation was the slowest. */
static bool same(struct tide_record *held, const struct tide_record *record)
{
    held->slowest = record->slowest;
    return tide_record_equal(held, record);
}

/* Which of the records are new: index[0, *ret_new). */
static enum tide_rc sort_out(struct tide_store *store, const struct tide_import *item, size_t count,
                             uint32_t *index, size_t *ret_new, struct tide_imported *sums,
                             struct tide_err *err)
{
    uint32_t interval_s = store->identity.interval_s;
    struct tide_snapshot *snapshot;
    struct tide_record held;
    enum tide_rc rc = tide_snapshot_open(store, &snapshot, err);

    if (rc)
        return rc;
    tide_record_init(&held);
    *ret_new = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        struct tide_span span = {.from_s = item[i].start_s,
                                 .to_s = item[i].start_s + tier_width_s(item[i].tier, interval_s),
                                 .coarsest = item[i].tier};
        uint32_t module = modules_find(store->modules, item[i].module, item[i].module_len);

        tide_record_reset(&held);
        if (module)
            rc = tide_snapshot_range(snapshot, module, &span, add_up, &held);
        if (rc)
            tide_err_set(err, "read what is there: %s", tide_rc_text(rc));
        else if (tide_record_empty(&held))
            index[(*ret_new)++] = (uint32_t)i;
        else if (same(&held, item[i].record))
            sums->present++;
        else
            sums->differ++;
    }
    tide_record_fini(&held);
    tide_snapshot_close(snapshot);
    return rc;
}

/* ---- the transaction ---- */

static uint32_t module_of(struct tide_store *store, const char *name, uint32_t len)
{
    uint32_t id = modules_find(store->modules, name, len);

    return id ? id : modules_add(store->modules, name, len);
}

static void encode_journal(struct tide_store *store, const struct tide_import *item,
                           const uint32_t *index, const uint32_t *module, size_t count)
{
    struct blob *blob = &store->blob;

    blob->len = 0;
    blob_reserve(blob, TIDE_VARINT_MAX);
    blob->len = (size_t)(tide_put_varint(blob->start, count) - blob->start);
    for (size_t i = 0; i < count; i++) {
        const struct tide_import *one = &item[index[i]];
        uint8_t *to;

        blob_reserve(blob, 3 * TIDE_VARINT_MAX);
        to = tide_put_varint(blob->start + blob->len, module[i]);
        to = tide_put_varint(to, (uint64_t)one->start_s);
        to = tide_put_varint(to, 0); /* no error's text */
        blob->len = (size_t)(to - blob->start);
        row_encode(blob, one->record, one->start_s * 1000000);
    }
}

static void put_names(struct tide_store *store, struct txn *txn, uint32_t before)
{
    for (uint32_t id = before + 1; id <= modules_count(store->modules); id++)
        totals_put(txn, &store->blob, modules_name(store->modules, id), id, NULL, 0, 0);
}

static enum tide_rc write_items(struct tide_store *store, const struct tide_import *item,
                                const uint32_t *index, const uint32_t *module, size_t count,
                                uint32_t before, struct store_state *next, uint32_t *ret_parts,
                                struct tide_err *err)
{
    uint8_t key[KEY_CORRECTION_SIZE];
    struct txn txn;

    txn_begin(&txn, store->env, store->dbi, true);
    put_names(store, &txn, before);
    encode_journal(store, item, index, module, count);
    *ret_parts = parts_of(store->blob.len, TIDE_VALUE_PAGE);
    key_journal(key, next->commit_seq, 0);
    txn_put_parts(&txn, TABLE_JOURNAL, key, KEY_JOURNAL_SIZE, 2, store->blob.start, store->blob.len,
                  TIDE_VALUE_PAGE, MDB_APPEND);
    for (size_t i = 0; i < count; i++) {
        const struct tide_import *one = &item[index[i]];

        if (one->start_s >= next->sealed_upto_s)
            continue;
        store->blob.len = 0;
        row_encode(&store->blob, one->record, one->start_s * 1000000);
        key_correction(key, one->start_s, module[i], next->commit_seq);
        txn_put_parts(&txn, TABLE_CORRECTION, key, sizeof(key), 1, store->blob.start,
                      store->blob.len, TIDE_VALUE_LEAF, 0);
    }
    schema_put_state(&txn, next);
    return txn_end(&txn, err);
}

static void take_into_head(struct tide_store *store, const struct tide_import *item,
                           const uint32_t *index, const uint32_t *module, size_t count)
{
    static _Thread_local struct hist_run run[TIDE_HIST_BUCKETS];
    struct head_generation *draft;

    head_begin(store->head);
    draft = head_draft(store->head);
    draft->commit_seq = store->state.commit_seq;
    draft->modules = modules_count(store->modules);
    for (size_t i = 0; i < count; i++) {
        const struct tide_record *record = item[index[i]].record;
        struct row_view view = {.tally = &record->tally,
                                .run = run,
                                .instance = record->instance,
                                .instances = record->instances,
                                .custom = record->customs.item,
                                .customs = record->customs.count,
                                .slowest_us = record->slowest.us,
                                .slowest = record->slowest.id,
                                .slowest_len = record->slowest.len};

        for (unsigned b = 0; b < record->hist.len; b++)
            if (record->hist.count[b])
                run[view.runs++] = (struct hist_run){record->hist.first + b, record->hist.count[b]};
        head_take_delta(store, module[i], item[index[i]].start_s, &view, NULL, 0, 0);
    }
    head_publish(store->head);
}

static enum tide_rc must_have_room(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc = may_write(store, err);

    if (rc || !quota_is_short(store, QUOTA_INGEST))
        return rc;
    tide_err_set(err, "storage.max_bytes is reached");
    return TIDE_DISK_FULL;
}

enum tide_rc tide_store_import(struct tide_store *store, const struct tide_import *item,
                               size_t count, struct tide_imported *ret, struct tide_err *err)
{
    uint32_t index[TIDE_IMPORT_MAX], module[TIDE_IMPORT_MAX];
    uint32_t before = modules_count(store->modules), parts = 0;
    struct tide_imported sums = *ret;
    struct store_state next;
    int64_t newest_s = INT64_MIN;
    size_t fresh = 0;
    enum tide_rc rc;

    assert(count <= TIDE_IMPORT_MAX);
    if ((rc = must_have_room(store, err)) ||
        (rc = sort_out(store, item, count, index, &fresh, &sums, err)))
        return rc;
    for (size_t i = 0; i < fresh; i++) {
        const struct tide_import *one = &item[index[i]];

        module[i] = module_of(store, one->module, one->module_len);
        newest_s = one->start_s > newest_s ? one->start_s : newest_s;
    }
    if (fresh) {
        next = store->state;
        next.commit_seq++;
        if ((rc = write_items(store, item, index, module, fresh, before, &next, &parts, err))) {
            modules_truncate(store->modules, before);
            return store_failed(store, rc);
        }
        store->state = next;
        store_succeeded(store);
        marks_push(&store->marks, (struct journal_mark){next.commit_seq, newest_s, parts});
        take_into_head(store, item, index, module, fresh);
    }
    sums.added += fresh;
    *ret = sums;
    return TIDE_OK;
}

/* ---- lives ---- */

/* Merges what is new of it into the head's draft; false: nothing is. */
static bool take_life(struct tide_store *store, const struct tide_import_life *life,
                      const struct tide_module *known)
{
    const struct tide_tally *total = &known->total->tally;
    bool older = life->before && life->before->tally.first_us < total->first_us,
         newer = life->last_error &&
                 (life->last_error_us > known->last_error_us ||
                  (life->last_error_us == known->last_error_us && known->last_error[0] == '\0'));
    struct head_node *node, *fleet;

    if (!older && !newer)
        return false;
    node = head_touch_total(store->head, known->id);
    fleet = head_touch_total(store->head, TIDE_FLEET);
    node->dirty = true;
    if (older) {
        tide_tally_merge(&node->record.tally, &life->before->tally);
        tide_hist_merge(&node->record.hist, &life->before->hist);
        tide_tally_merge(&fleet->record.tally, &life->before->tally);
        tide_hist_merge(&fleet->record.hist, &life->before->hist);
    }
    if (newer)
        head_node_error(node, life->last_error_us, life->last_error, life->last_error_len);
    return true;
}

static enum tide_rc write_names(struct tide_store *store, const struct tide_import_life *life,
                                size_t count, struct tide_err *err)
{
    uint32_t before = modules_count(store->modules);
    struct store_state next = store->state;
    struct txn txn;
    enum tide_rc rc;

    for (size_t i = 0; i < count; i++)
        module_of(store, life[i].module, life[i].module_len);
    if (modules_count(store->modules) == before)
        return TIDE_OK;
    next.commit_seq++;
    txn_begin(&txn, store->env, store->dbi, true);
    put_names(store, &txn, before);
    schema_put_state(&txn, &next);
    if ((rc = txn_end(&txn, err))) {
        modules_truncate(store->modules, before);
        return store_failed(store, rc);
    }
    store->state = next;
    store_succeeded(store);
    head_begin(store->head);
    head_draft(store->head)->commit_seq = next.commit_seq;
    head_draft(store->head)->modules = modules_count(store->modules);
    head_publish(store->head);
    return TIDE_OK;
}

enum tide_rc tide_store_import_lives(struct tide_store *store, const struct tide_import_life *life,
                                     size_t count, int64_t now_us, struct tide_imported *ret,
                                     struct tide_err *err)
{
    struct tide_snapshot *snapshot;
    uint64_t added = 0;
    enum tide_rc rc;

    if ((rc = must_have_room(store, err)) || (rc = write_names(store, life, count, err)) ||
        (rc = tide_snapshot_open(store, &snapshot, err)))
        return rc;
    head_begin(store->head);
    for (size_t i = 0; i < count; i++) {
        struct tide_module known;

        tide_snapshot_find(snapshot, life[i].module, life[i].module_len, &known);
        added += take_life(store, &life[i], &known);
    }
    head_publish(store->head);
    tide_snapshot_close(snapshot);
    /* The totals on disk are what makes it last; the journal does not know of it. */
    if (added && (rc = seal_checkpoint(store, now_us, err)))
        return rc;
    ret->added += added;
    ret->present += count - added;
    return TIDE_OK;
}
