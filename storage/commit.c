/* commit - the one transaction that matters.
 *
 * Its order is the whole promise. Known chunks are dropped; identities, journal, corrections, new
 * modules, books and commit_seq go down in one synced transaction; only after it the head is merged
 * and published, and only after that the parcels' fates are set, which is the permission to ack. So
 * nothing visible can be taken back, and nothing acked can be lost.
 *
 * When it fails, everything taken for it is given back and the same parcels come again. Should it
 * turn out then that it had happened after all (see store_recover), the same group is built once
 * more and only the writing is left out.
 */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>

#include "key.h"
#include "tidemark/reject.h"

static uint32_t put_stream(struct txn *txn, enum table table, uint64_t seq, const struct blob *blob)
{
    uint8_t key[KEY_JOURNAL_SIZE];

    key_journal(key, seq, 0);
    txn_put_parts(txn, table, key, sizeof(key), 2, blob->start, blob->len, TIDE_VALUE_PAGE,
                  MDB_APPEND);
    return (uint32_t)key[8] << 8 | key[9];
}

static void put_corrections(struct txn *txn, struct blob *blob, const struct group *group,
                            uint64_t seq)
{
    for (uint32_t i = 0; i < group->deltas; i++) {
        const struct group_delta *delta = &group->delta[i];
        struct row_view view = group_view(group, delta);
        uint8_t key[KEY_CORRECTION_SIZE];

        if (!delta->late)
            continue;
        blob->len = 0;
        row_encode_view(blob, &view, delta->start_s * 1000000);
        key_correction(key, delta->start_s, delta->module, seq);
        txn_put_parts(txn, TABLE_CORRECTION, key, sizeof(key), 1, blob->start, blob->len,
                      TIDE_VALUE_LEAF, 0);
    }
}

/* How many values the group's journal entry takes. */
static uint32_t journal_parts(const struct group *group)
{
    return group->deltas ? parts_of(group->journal.len, TIDE_VALUE_PAGE) : 0;
}

/* Writes the group; *ret_parts: how many values its journal entry takes. */
static enum tide_rc write_group(struct tide_store *store, const struct group *group,
                                const struct store_state *state, int64_t now_us,
                                uint32_t *ret_parts, struct tide_err *err)
{
    const struct producer_chunk *chunk;
    size_t chunks = producers_taken(store->producers, &chunk);
    struct txn txn;

    if (quota_is_short(store, QUOTA_INGEST)) {
        tide_err_set(err, "storage.max_bytes is reached");
        return TIDE_DISK_FULL;
    }
    txn_begin(&txn, store->env, store->dbi, true);
    for (uint32_t id = group->modules_before + 1; id <= modules_count(store->modules); id++)
        totals_put(&txn, &store->blob, modules_name(store->modules, id), id, NULL, 0, 0);
    if (group->identities) {
        journal_encode_identities(&store->blob, store->identities, group->identities, now_us);
        put_stream(&txn, TABLE_IDENTITY, state->commit_seq, &store->blob);
    }
    if (group->event_ids) {
        journal_encode_identities(&store->blob, store->event_ids, group->event_ids, now_us);
        put_stream(&txn, TABLE_EVENT_ID, state->commit_seq, &store->blob);
    }
    if (chunks) {
        journal_encode_producers(&store->blob, chunk, chunks, now_us);
        put_stream(&txn, TABLE_PRODUCER, state->commit_seq, &store->blob);
    }
    if (group->deltas) {
        *ret_parts = put_stream(&txn, TABLE_JOURNAL, state->commit_seq, &group->journal) + 1;
        put_corrections(&txn, &store->blob, group, state->commit_seq);
    }
    schema_put_state(&txn, state);
    return txn_end(&txn, err);
}

/* What is ahead of a delta that is merged now: the parts of the third one after it, and so on. */
#define CALL_STRIDE 6

static void call_up_after(const struct tide_store *store, const struct group *group, uint32_t at)
{
    static const enum head_call calls[] = {HEAD_CALL_PARTS, HEAD_CALL_NODE, HEAD_CALL_PLACE};

    for (uint32_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        uint32_t next = at + (i + 1) * CALL_STRIDE;

        if (next < group->deltas)
            head_call_up(store, calls[i], group->delta[next].module, group->delta[next].start_s,
                         group->run + group->delta[next].run_at, group->delta[next].runs);
    }
    if (at + CALL_STRIDE < group->deltas)
        __builtin_prefetch(group->delta[at + CALL_STRIDE].slowest);
}

static void merge_into_head(struct tide_store *store, const struct group *group,
                            const struct store_state *state)
{
    struct head_generation *draft;

    head_begin(store->head);
    draft = head_draft(store->head);
    draft->commit_seq = state->commit_seq;
    draft->ledger = state->ledger;
    draft->modules = modules_count(store->modules);
    for (uint32_t i = 0; i < group->deltas; i++) {
        const struct group_delta *delta = &group->delta[i];
        struct row_view view = group_view(group, delta);

        call_up_after(store, group, i);
        head_take_delta(store, delta->module, delta->start_s, &view, delta->error, delta->error_len,
                        delta->error_us);
        if (delta->memo && delta->slowest_len)
            tide_memo_tell(delta->memo, delta->start_s, delta->slowest_us);
    }
    head_publish(store->head);
}

/* After a failed attempt: did it happen? Then the group must be the same one again. */
static enum tide_rc settle(struct tide_store *store, size_t *count, int64_t *now_us,
                           bool *ret_happened, struct tide_err *err)
{
    enum tide_rc rc = store_recover(store, err);

    *ret_happened = false;
    if (rc)
        return rc;
    if (store->attempt.count && store->state.commit_seq == store->attempt.seq) {
        assert(*count >= store->attempt.count);
        *ret_happened = true;
        *count = store->attempt.count;
        *now_us = store->attempt.now_us;
    }
    store->attempt.count = 0;
    return TIDE_OK;
}

/* The group is on disk: what it added to the known chunks and event ids stays. */
static void remember(struct tide_store *store)
{
    const struct producer_chunk *chunk;

    store->producer_chunks += producers_taken(store->producers, &chunk);
    producers_keep(store->producers);
    if (identity_count(store->event_ids) > store->cfg.dedup_max_event_ids)
        store->expiring = true; /* many may come within a minute: the next upkeep sees to it */
    store_show_known(store);
}

/* Where the refusal of a chunk is seen: its peer only gets an ack. */
static void note_refused(const struct tide_parcel *parcel)
{
    tide_reject_note(tide_chunk_reason_name(TIDE_CHUNK_ID_REUSE), "", NULL, 0, parcel->chunk,
                     parcel->chunk_len);
}

enum tide_rc tide_store_commit(struct tide_store *store, struct tide_parcel *const *parcel,
                               size_t count, int64_t now_us, size_t *ret_taken,
                               struct tide_err *err)
{
    struct group *group = &store->group;
    struct group_known known = {store->identities, store->event_ids, store->producers};
    struct store_state state;
    struct group_rules rules;
    uint32_t parts = 0;
    bool happened;
    enum tide_rc rc;

    if ((rc = settle(store, &count, &now_us, &happened, err)))
        return store_failed(store, rc);
    if (count > store->fate_capacity) {
        store->fate = realloc(store->fate, count * sizeof(*store->fate));
        if (!store->fate)
            abort();
        store->fate_capacity = count;
    }
    state = store->state;
    rules = (struct group_rules){.now_us = now_us,
                                 .sealed_upto_s = state.sealed_upto_s,
                                 .interval_s = store->cfg.interval_s,
                                 .lateness_s = store->cfg.lateness_s,
                                 .max_modules = store->cfg.max_modules};
    count = group_build(group, parcel, count, store->fate, &rules, store->modules, &known);
    if (happened) {
        parts = journal_parts(group);
    } else {
        state.commit_seq++;
        tide_ledger_add(&state.ledger, &group->books);
        assert(tide_ledger_balanced(&state.ledger));
        if ((rc = write_group(store, group, &state, now_us, &parts, err))) {
            group_undo(group, store->modules, &known);
            store->attempt.count = count;
            store->attempt.now_us = now_us;
            store->attempt.seq = state.commit_seq;
            return store_failed(store, rc);
        }
    }
    store->state = state;
    store_succeeded(store);
    if (parts)
        marks_push(&store->marks,
                   (struct journal_mark){state.commit_seq, group->newest_start_s, parts});
    merge_into_head(store, group, &state);
    remember(store);
    for (size_t i = 0; i < count; i++) {
        parcel[i]->fate = store->fate[i];
        if (parcel[i]->fate == TIDE_FATE_REFUSED)
            note_refused(parcel[i]);
    }
    *ret_taken = count;
    return TIDE_OK;
}
