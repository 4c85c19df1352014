/* forget - what was committed before leaves memory and disk when it is out of the dedup window or
 * over its count.
 *
 *   chunks, event ids   a ring in memory; on disk a value is of no use once its commit is older
 *                       than the oldest of the ring
 *   producers           a value may hold the newest chunk of a producer that is slow but not
 *                       silent: what is still held goes into a new value when the old one goes. So
 *                       the table stays near the size of what is held however long producers live
 *
 * Values are deleted from the front, a few pages a transaction, each of which moves commit_seq.
 */
#include "inside.h"

#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "key.h"

#define SLICE_DELETES 256   /* pages freed by one transaction */
#define SLACK_CHUNKS  65536 /* of producers on disk beyond twice what is held */

void store_show_known(struct tide_store *store)
{
    atomic_store(&store->identity_count, identity_count(store->identities));
    atomic_store(&store->event_id_count, identity_count(store->event_ids));
    atomic_store(&store->producer_count, producers_count(store->producers));
}

static enum tide_rc slice_end(struct tide_store *store, struct txn *txn, int code,
                              struct tide_err *err)
{
    struct store_state next = store->state;
    enum tide_rc rc;

    txn_check(txn, code);
    next.commit_seq++;
    schema_put_state(txn, &next);
    if ((rc = txn_end(txn, err)))
        return store_failed(store, rc);
    store->state = next;
    store_succeeded(store);
    return TIDE_OK;
}

/* ---- chunks and event ids ---- */

/* Deletes values from the front until one that tells of a commit at oldest_s or later (0: none is
 * left to tell of), or the slice is full. */
static int delete_ids(MDB_cursor *cursor, uint32_t oldest_s, unsigned *deletes)
{
    bool expired = true; /* parts at the front without their first: the last slice cut there */
    MDB_val key, value;
    int code = 0;

    while (*deletes < SLICE_DELETES && !(code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST))) {
        const uint8_t *bytes = value.mv_data, *end = bytes + value.mv_size;
        uint64_t whole;
        size_t len;

        /* a first part tells the time of its commit, its other parts follow it; a damaged one
         * tells nothing */
        if (!value_sound(&key, &value, &len))
            expired = true;
        else if (tide_get_be16((const uint8_t *)key.mv_data + 8) == 0)
            expired = !tide_get_varint(&bytes, end, &whole) || end - bytes < 8 || oldest_s == 0 ||
                      tide_get_be64(bytes) / 1000000 < oldest_s;
        if (!expired || (code = mdb_cursor_del(cursor, 0)))
            break;
        ++*deletes;
    }
    return code;
}

/* `left`: some that left memory may still be on disk. */
static enum tide_rc forget_ids(struct tide_store *store, enum table table, struct identity_set *set,
                               uint32_t before_s, bool *left, struct tide_err *err)
{
    struct txn txn;
    MDB_cursor *cursor;
    unsigned deletes = 0;
    enum tide_rc rc;
    int code = 0;

    if (identity_expire(set, before_s))
        *left = true;
    if (!*left)
        return TIDE_OK;
    txn_begin(&txn, store->env, store->dbi, true);
    if (!txn.rc && !(code = mdb_cursor_open(txn.mdb, store->dbi[table], &cursor))) {
        code = delete_ids(cursor, identity_oldest_s(set), &deletes);
        mdb_cursor_close(cursor);
    }
    if ((rc = slice_end(store, &txn, code, err)))
        return rc;
    if (deletes == SLICE_DELETES)
        return TIDE_AGAIN;
    *left = false;
    return TIDE_OK;
}

/* ---- producers ---- */

struct carried {
    struct producer_chunk *chunk;
    size_t count, capacity;
};

/* How many chunks the table may hold before it is worth copying what is held. */
static uint64_t worth_keeping(const struct tide_store *store)
{
    return 2 * producers_held(store->producers) + SLACK_CHUNKS;
}

static void carry(struct tide_store *store, struct carried *carried)
{
    const struct blob *blob = &store->blob;
    size_t chunks = blob->len < 8 ? 0 : (blob->len - 8) / JOURNAL_PRODUCER_SIZE;

    if (carried->count + chunks > carried->capacity) {
        carried->capacity = 2 * (carried->count + chunks);
        carried->chunk = realloc(carried->chunk, carried->capacity * sizeof(*carried->chunk));
        if (!carried->chunk)
            abort();
    }
    for (size_t i = 0; i < chunks; i++) {
        struct producer_chunk chunk =
            journal_decode_producer(blob->start + 8 + i * JOURNAL_PRODUCER_SIZE);

        if (producers_holds(store->producers, &chunk))
            carried->chunk[carried->count++] = chunk;
    }
}

/* Takes whole values off the front while they are older than before_s, or there are more chunks on
 * disk than is worth it; what is still held is carried. */
static int delete_producers(struct tide_store *store, MDB_cursor *cursor, uint32_t before_s,
                            struct carried *carried, uint64_t *chunks, unsigned *deletes)
{
    uint64_t worth = worth_keeping(store), gone = 0;
    MDB_val key, value;
    int code = 0;

    while (*deletes < SLICE_DELETES && !(code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST))) {
        uint64_t seq = tide_get_be64(key.mv_data);
        enum tide_rc rc = parts_read(cursor, &key, &value, 2, &store->blob);
        bool sound = rc == TIDE_OK && store->blob.len >= 8;
        size_t here = sound ? (store->blob.len - 8) / JOURNAL_PRODUCER_SIZE : 0;

        if (rc != TIDE_OK && rc != TIDE_DAMAGED)
            return MDB_CORRUPTED;
        if (sound && tide_get_be64(store->blob.start) / 1000000 >= before_s &&
            store->producer_chunks - gone <= worth)
            break;
        if (sound)
            carry(store, carried);
        gone += here > store->producer_chunks - gone ? store->producer_chunks - gone : here;
        while (!(code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)) &&
               tide_get_be64(key.mv_data) == seq && !(code = mdb_cursor_del(cursor, 0)))
            ++*deletes;
        if (code)
            break;
    }
    *chunks = gone;
    return code;
}

/* The first value is older than before_s, or damaged. */
static bool front_is_old(const struct tide_store *store, uint32_t before_s)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    bool old = false;

    if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn))
        return false;
    if (mdb_cursor_open(txn, store->dbi[TABLE_PRODUCER], &cursor) == 0) {
        if (mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == 0) {
            const uint8_t *bytes = value.mv_data, *end = bytes + value.mv_size;
            uint64_t whole;
            size_t len;

            old = !value_sound(&key, &value, &len) || !tide_get_varint(&bytes, end, &whole) ||
                  end - bytes < 8 || tide_get_be64(bytes) / 1000000 < before_s;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return old;
}

static enum tide_rc forget_producers(struct tide_store *store, uint32_t before_s, int64_t now_us,
                                     struct tide_err *err)
{
    struct carried carried = {0};
    struct txn txn;
    MDB_cursor *cursor;
    uint64_t gone = 0;
    unsigned deletes = 0;
    enum tide_rc rc;
    int code = 0;

    producers_expire(store->producers, before_s);
    if (store->producer_chunks <= worth_keeping(store) && !front_is_old(store, before_s))
        return TIDE_OK;
    txn_begin(&txn, store->env, store->dbi, true);
    if (!txn.rc && !(code = mdb_cursor_open(txn.mdb, store->dbi[TABLE_PRODUCER], &cursor))) {
        code = delete_producers(store, cursor, before_s, &carried, &gone, &deletes);
        mdb_cursor_close(cursor);
    }
    if (carried.count) {
        uint8_t key[KEY_JOURNAL_SIZE];

        journal_encode_producers(&store->blob, carried.chunk, carried.count, now_us);
        key_journal(key, store->state.commit_seq + 1, 0);
        txn_put_parts(&txn, TABLE_PRODUCER, key, sizeof(key), 2, store->blob.start, store->blob.len,
                      TIDE_VALUE_PAGE, MDB_APPEND);
    }
    free(carried.chunk);
    if ((rc = slice_end(store, &txn, code, err)))
        return rc;
    store->producer_chunks = store->producer_chunks - gone + carried.count;
    return deletes >= SLICE_DELETES ? TIDE_AGAIN : TIDE_OK;
}

/* ---- the three ---- */

enum tide_rc store_forget(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    int64_t window_s = now_us / 1000000 - store->cfg.dedup_window_s;
    uint32_t before_s = window_s < 0 ? 0 : (uint32_t)window_s;
    enum tide_rc rc;

    rc = forget_ids(store, TABLE_IDENTITY, store->identities, before_s, &store->identities_expired,
                    err);
    atomic_store(&store->identity_oldest_s, identity_oldest_s(store->identities));
    atomic_store(&store->identity_by_count, identity_bound_by_count(store->identities));
    if (!rc)
        rc = forget_ids(store, TABLE_EVENT_ID, store->event_ids, before_s,
                        &store->event_ids_expired, err);
    if (!rc)
        rc = forget_producers(store, before_s, now_us, err);
    store_show_known(store);
    return rc;
}
