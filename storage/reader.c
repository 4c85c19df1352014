/* reader - see the header. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot.h"
#include "tidemark/clock.h"

static void reader_free(struct reader *reader)
{
    if (reader->row)
        mdb_cursor_close(reader->row);
    if (reader->correction)
        mdb_cursor_close(reader->correction);
    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        tier_cursor_close(&reader->tier[tier]);
    tier_cursor_close(&reader->side);
    if (reader->txn)
        mdb_txn_abort(reader->txn);
    chunk_reader_fini(&reader->chunk);
    chunk_reader_fini(&reader->side_chunk);
    blob_fini(&reader->blob);
    tide_record_fini(&reader->record);
    tide_record_fini(&reader->part);
    tide_record_fini(&reader->fleet);
    tide_record_fini(&reader->late.sum);
    tide_record_fini(&reader->late.before);
    tide_record_fini(&reader->late.after);
    tide_record_fini(&reader->late.own_before);
    tide_record_fini(&reader->late.own_after);
    free(reader);
}

struct reader *reader_take(struct tide_store *store)
{
    struct reader *reader;

    pthread_mutex_lock(&store->readers_lock);
    reader = store->reader_idle;
    if (reader) {
        store->reader_idle = reader->next;
        store->readers_idle--;
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (reader)
        return reader;
    reader = calloc(1, sizeof(*reader));
    if (!reader)
        abort();
    chunk_reader_init(&reader->chunk);
    chunk_reader_init(&reader->side_chunk);
    tide_record_init(&reader->record);
    tide_record_init(&reader->part);
    tide_record_init(&reader->fleet);
    tide_record_init(&reader->late.sum);
    tide_record_init(&reader->late.before);
    tide_record_init(&reader->late.after);
    tide_record_init(&reader->late.own_before);
    tide_record_init(&reader->late.own_after);
    return reader;
}

void reader_put(struct tide_store *store, struct reader *reader, bool sound)
{
    if (!reader)
        return;
    if (sound) {
        reader_end(reader);
        pthread_mutex_lock(&store->readers_lock);
        if (store->readers_idle < READERS_IDLE) {
            reader->next = store->reader_idle;
            store->reader_idle = reader;
            store->readers_idle++;
            reader = NULL;
        }
        pthread_mutex_unlock(&store->readers_lock);
    }
    if (reader)
        reader_free(reader);
}

void readers_drop(struct tide_store *store)
{
    while (store->reader_idle) {
        struct reader *reader = store->reader_idle;

        store->reader_idle = reader->next;
        store->readers_idle--;
        reader_free(reader);
    }
}

/* ---- the transaction ---- */

static enum tide_rc first_begin(struct reader *reader, struct tide_store *store)
{
    uint32_t interval_s = store->identity.interval_s;
    enum tide_rc rc;
    int code = 0;

    if (store->viewed && !store->view)
        return TIDE_UNAVAILABLE; /* its one moment is given away */
    if (store->viewed)
        reader->txn = store->view;
    else
        code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reader->txn);
    store->view = NULL;
    if (!code)
        code = mdb_cursor_open(reader->txn, store->dbi[TABLE_ROW], &reader->row);
    if (!code)
        code = mdb_cursor_open(reader->txn, store->dbi[TABLE_CORRECTION], &reader->correction);
    rc = tide_rc_from_lmdb(code);
    for (int tier = 0; tier < TIDE_TIER_COUNT && !rc; tier++)
        rc = tier_cursor_open(&reader->tier[tier], reader->txn, store->dbi, (enum tide_tier)tier,
                              interval_s);
    if (!rc)
        rc = tier_cursor_open(&reader->side, reader->txn, store->dbi, TIDE_TIER_RAW, interval_s);
    return rc;
}

static enum tide_rc begin_again(struct reader *reader)
{
    int code = mdb_txn_renew(reader->txn);

    if (!code)
        code = mdb_cursor_renew(reader->txn, reader->row);
    if (!code)
        code = mdb_cursor_renew(reader->txn, reader->correction);
    for (int tier = 0; tier < TIDE_TIER_COUNT && !code; tier++)
        code = mdb_cursor_renew(reader->txn, reader->tier[tier].mdb);
    if (!code)
        code = mdb_cursor_renew(reader->txn, reader->side.mdb);
    return tide_rc_from_lmdb(code);
}

enum tide_rc reader_begin(struct reader *reader, struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc = reader->txn ? begin_again(reader) : first_begin(reader, store);

    if (rc) {
        tide_err_set(err, "begin reading: %s",
                     rc == TIDE_UNAVAILABLE ? "too many readers" : tide_rc_text(rc));
        return rc;
    }
    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        reader->tier[tier].lmdb = 0;
    reader->side.lmdb = 0;
    rc = schema_get_fold(reader->txn, store->dbi[TABLE_META], &reader->fold);
    if (rc)
        tide_err_set(err, "how far the store is folded cannot be read");
    return rc;
}

void reader_end(struct reader *reader)
{
    mdb_txn_reset(reader->txn);
}

/* ---- figures ---- */

/* Free pages: the free list's values begin with their number of pages. */
uint64_t free_pages(struct tide_store *store)
{
    uint64_t pages = 0;
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_txn *txn;

    if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn))
        return 0;
    if (mdb_cursor_open(txn, 0, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            size_t count;

            memcpy(&count, value.mv_data, sizeof(count));
            pages += count;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return pages;
}

void reader_stats(struct tide_store *store, struct tide_store_stats *ret)
{
    ret->free_pages = free_pages(store);
    ret->readers = store->readers;
    if (store->reader_first)
        ret->oldest_reader_us = tide_clock_mono_us() - snapshot_begun_us(store->reader_first);
}
