/* replay - what is rebuilt in memory at start: modules and their totals, the set of committed
 * chunks, and the open intervals out of the journal. Everything the journal says of an interval
 * that is sealed since is on disk as a row (or a correction) and is skipped, but for the totals,
 * which may be older than the seal. A single commit whose parcels are gone is taken from the disk
 * in the same way.
 */
#include "inside.h"

#include <stdio.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "key.h"

void damaged(const char *table, const MDB_val *key)
{
    static struct tide_log_gate gate;
    const uint8_t *bytes = key->mv_data;
    char hex[2 * KEY_MAX + 1] = "";

    for (size_t i = 0; i < key->mv_size && i < KEY_MAX; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    tide_count(TIDE_COUNT_DAMAGED_VALUES, 1);
    tide_log_gated(&gate, TIDE_ERROR, "storage", "damaged value in table %s, key %s: skipped",
                   table, hex);
}

static enum tide_rc failed(int code, const char *what, struct tide_err *err)
{
    tide_err_set(err, "read %s: %s", what, mdb_strerror(code));
    return tide_rc_from_lmdb(code);
}

/* Calls take for every whole value of a table, parts joined; damaged ones are counted and skipped.
 */
typedef enum tide_rc each_fn(struct tide_store *store, const MDB_val *key, const struct blob *blob,
                             uint32_t parts, void *arg, struct tide_err *err);

/* Of the tables that are read at start. */
static size_t key_size(enum table table)
{
    return table == TABLE_MODULE ? KEY_MODULE_SIZE : KEY_JOURNAL_SIZE;
}

static enum tide_rc each(struct tide_store *store, MDB_txn *txn, enum table table, const char *name,
                         size_t digits, each_fn *take, void *arg, struct tide_err *err)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    enum tide_rc rc = TIDE_OK;
    int code = mdb_cursor_open(txn, store->dbi[table], &cursor);

    if (code)
        return failed(code, name, err);
    code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!code && !rc) {
        uint8_t first[KEY_MAX];
        MDB_val at = {key.mv_size, first};
        bool part = false;

        if (key.mv_size != key_size(table)) {
            damaged(name, &key);
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
            continue;
        }
        memcpy(first, key.mv_data, key.mv_size);
        for (size_t i = 0; i < digits; i++)
            part = part || first[at.mv_size - 1 - i];
        if (!part) { /* a part without its beginning belongs to a value that was damaged */
            uint32_t parts = 1;

            rc = parts_read(cursor, &key, &value, digits, &store->blob);
            if (rc == TIDE_OK) {
                const uint8_t *last = (const uint8_t *)key.mv_data + key.mv_size - digits;

                parts += digits == 1 ? last[0] : tide_get_be16(last);
                rc = take(store, &at, &store->blob, parts, arg, err);
            }
            if (rc == TIDE_DAMAGED) {
                damaged(name, &at);
                rc = TIDE_OK;
            }
        }
        if (!rc)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (!rc && code && code != MDB_NOTFOUND)
        rc = failed(code, name, err);
    return rc;
}

/* ---- modules ---- */

/* The name behind a damaged value is lost; its id, and with it its history, is not. */
static void name_lost_modules(struct tide_store *store, uint32_t upto)
{
    while (modules_count(store->modules) < upto) {
        char name[32];
        int len = snprintf(name, sizeof(name), "__damaged_%u__", modules_count(store->modules) + 1);

        modules_add(store->modules, name, (size_t)len);
    }
}

static enum tide_rc take_module(struct tide_store *store, const MDB_val *key,
                                const struct blob *blob, uint32_t parts, void *arg,
                                struct tide_err *err)
{
    uint32_t id = tide_get_be32(key->mv_data);
    struct totals_read totals;
    struct head_node *node, *fleet;

    (void)parts;
    (void)arg;
    if (!totals_decode(blob, &totals, &store->scratch))
        return TIDE_DAMAGED;
    if (id <= modules_count(store->modules) ||
        modules_find(store->modules, totals.name, totals.name_len)) {
        tide_err_set(err, "module table: id %u (%.*s) is there twice; restore a backup", id,
                     (int)totals.name_len, totals.name);
        return TIDE_IO;
    }
    name_lost_modules(store, id - 1);
    modules_add(store->modules, totals.name, totals.name_len);
    node = head_touch_total(store->head, id);
    tide_record_merge(&node->record, &store->scratch);
    if (totals.error_len)
        head_node_error(node, totals.error_us, totals.error, totals.error_len);
    fleet = head_touch_total(store->head, TIDE_FLEET);
    tide_record_merge(&fleet->record, &store->scratch);
    node->checkpoint_seq = totals.seq;
    node->checkpoint_s = totals.upto_s;
    return TIDE_OK;
}

/* The greatest id that has a value, sound or not; 0 without any. */
static enum tide_rc last_module(struct tide_store *store, MDB_txn *txn, uint32_t *ret_id)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    MDB_stat stat;
    int code;

    *ret_id = 0;
    if (!(code = mdb_stat(txn, store->dbi[TABLE_MODULE], &stat)) &&
        !(code = mdb_cursor_open(txn, store->dbi[TABLE_MODULE], &cursor)) &&
        !(code = mdb_cursor_get(cursor, &key, &value, MDB_LAST)) && key.mv_size == KEY_MODULE_SIZE)
        *ret_id = tide_get_be32(key.mv_data);
    if (cursor)
        mdb_cursor_close(cursor);
    if (code && code != MDB_NOTFOUND)
        return tide_rc_from_lmdb(code);
    if (*ret_id > stat.ms_entries)
        *ret_id = (uint32_t)stat.ms_entries; /* ids are dense: a larger one is itself the damage */
    return TIDE_OK;
}

enum tide_rc replay_modules(struct tide_store *store, MDB_txn *txn, struct tide_err *err)
{
    enum tide_rc rc = each(store, txn, TABLE_MODULE, "module", 1, take_module, NULL, err);
    uint32_t last;

    if (rc)
        return rc;
    if ((rc = last_module(store, txn, &last))) {
        tide_err_set(err, "read module: %s", tide_rc_text(rc));
        return rc;
    }
    name_lost_modules(store, last);
    head_draft(store->head)->modules = modules_count(store->modules);
    return TIDE_OK;
}

/* ---- what was committed before ---- */

/* arg: the set they belong to. */
static enum tide_rc take_identities(struct tide_store *store, const MDB_val *key,
                                    const struct blob *blob, uint32_t parts, void *arg,
                                    struct tide_err *err)
{
    uint64_t time_us;

    (void)store;
    (void)key;
    (void)parts;
    (void)err;
    if (blob->len < 8 || (blob->len - 8) % 16 != 0)
        return TIDE_DAMAGED;
    time_us = tide_get_be64(blob->start);
    for (size_t at = 8; at < blob->len; at += 16) {
        struct tide_hash128 id = {.high = tide_get_be64(blob->start + at),
                                  .low = tide_get_be64(blob->start + at + 8)};

        identity_add(arg, id, (uint32_t)(time_us / 1000000));
    }
    return TIDE_OK;
}

static enum tide_rc take_producers(struct tide_store *store, const MDB_val *key,
                                   const struct blob *blob, uint32_t parts, void *arg,
                                   struct tide_err *err)
{
    uint64_t time_us;

    (void)key;
    (void)parts;
    (void)arg;
    (void)err;
    if (blob->len < 8 || (blob->len - 8) % JOURNAL_PRODUCER_SIZE != 0)
        return TIDE_DAMAGED;
    time_us = tide_get_be64(blob->start);
    for (size_t at = 8; at < blob->len; at += JOURNAL_PRODUCER_SIZE) {
        struct producer_chunk chunk = journal_decode_producer(blob->start + at);

        producers_load(store->producers, &chunk, (uint32_t)(time_us / 1000000));
        store->producer_chunks++;
    }
    return TIDE_OK;
}

enum tide_rc replay_known(struct tide_store *store, MDB_txn *txn, int64_t now_us,
                          struct tide_err *err)
{
    int64_t window_s = now_us / 1000000 - store->cfg.dedup_window_s;
    uint32_t before_s = window_s < 0 ? 0 : (uint32_t)window_s;
    enum tide_rc rc;

    if ((rc = each(store, txn, TABLE_IDENTITY, "identity", 2, take_identities, store->identities,
                   err)) ||
        (rc = each(store, txn, TABLE_EVENT_ID, "event_id", 2, take_identities, store->event_ids,
                   err)) ||
        (rc = each(store, txn, TABLE_PRODUCER, "producer", 2, take_producers, NULL, err)))
        return rc;
    identity_expire(store->identities, before_s);
    identity_expire(store->event_ids, before_s);
    producers_expire(store->producers, before_s);
    store_show_known(store);
    return TIDE_OK;
}

/* ---- journal ---- */

struct replay {
    struct tide_store *store;
    int64_t newest_start_s;
    bool foreign; /* a delta of a module that is not in the table */
};

static void take_delta(void *arg, uint64_t seq, const struct journal_delta *delta)
{
    struct replay *replay = arg;
    struct tide_store *store = replay->store;
    static _Thread_local struct hist_run run[TIDE_HIST_BUCKETS];
    struct row_view view;

    if (delta->module > modules_count(store->modules)) {
        replay->foreign = true;
        return;
    }
    if (delta->start_s > replay->newest_start_s)
        replay->newest_start_s = delta->start_s;
    if (delta->start_s < store->state.sealed_upto_s) {
        const struct head_node *total = head_touch_total(store->head, delta->module);

        if (seq <= total->checkpoint_seq && delta->start_s < total->checkpoint_s)
            return; /* its row is on disk and its total, too */
    }
    view = row_view_of(delta->record, run);
    head_take_delta(store, delta->module, delta->start_s, &view, delta->error, delta->error_len,
                    delta->error_us);
}

static enum tide_rc take_journal(struct tide_store *store, const MDB_val *key,
                                 const struct blob *blob, uint32_t parts, void *arg,
                                 struct tide_err *err)
{
    struct replay replay = {.store = store, .newest_start_s = INT64_MIN};
    uint64_t seq = tide_get_be64(key->mv_data);
    bool sound = journal_decode(seq, blob->start, blob->len, &store->scratch, take_delta, &replay);

    (void)arg;
    (void)err;
    marks_push(&store->marks, (struct journal_mark){seq, replay.newest_start_s, parts});
    return sound && !replay.foreign ? TIDE_OK : TIDE_DAMAGED;
}

enum tide_rc replay_journal(struct tide_store *store, MDB_txn *txn, struct tide_err *err)
{
    return each(store, txn, TABLE_JOURNAL, "journal", 2, take_journal, NULL, err);
}

/* ---- one commit ---- */

/* Reads one value. TIDE_NOT_FOUND: it is not there, or damaged, which was counted then. */
static enum tide_rc read_one(struct tide_store *store, MDB_txn *txn, enum table table,
                             const uint8_t *bytes, size_t digits, struct blob *into,
                             uint32_t *ret_parts)
{
    MDB_val key = {key_size(table), (void *)bytes}, at = key, value;
    MDB_cursor *cursor;
    enum tide_rc rc = tide_rc_from_lmdb(mdb_cursor_open(txn, store->dbi[table], &cursor));

    if (rc)
        return rc;
    rc = tide_rc_from_lmdb(mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY));
    if (!rc && !(rc = parts_read(cursor, &key, &value, digits, into))) {
        const uint8_t *last = (const uint8_t *)key.mv_data + key.mv_size - digits;

        *ret_parts = 1 + (digits == 1 ? last[0] : tide_get_be16(last));
    }
    mdb_cursor_close(cursor);
    if (rc != TIDE_DAMAGED)
        return rc;
    damaged(schema_table_name(table), &at);
    return TIDE_NOT_FOUND;
}

/* Modules that the table in memory has not got yet. Ids are dense, also where a name is lost. */
static enum tide_rc replay_new_modules(struct tide_store *store, MDB_txn *txn, struct tide_err *err)
{
    uint32_t last;
    enum tide_rc rc = last_module(store, txn, &last);

    while (!rc && modules_count(store->modules) < last) {
        uint32_t id = modules_count(store->modules) + 1, parts;
        uint8_t bytes[KEY_MODULE_SIZE];
        MDB_val key = {sizeof(bytes), bytes};

        key_module(bytes, id);
        rc = read_one(store, txn, TABLE_MODULE, bytes, 1, &store->blob, &parts);
        if (!rc)
            rc = take_module(store, &key, &store->blob, parts, NULL, err);
        if (rc == TIDE_DAMAGED)
            damaged("module", &key);
        if (rc == TIDE_DAMAGED || rc == TIDE_NOT_FOUND)
            rc = TIDE_OK; /* damaged: its name is lost */
        if (!rc)
            name_lost_modules(store, id);
    }
    return rc;
}

/* What a commit wrote besides new modules: a value in each of these. */
struct committed {
    enum table table;
    each_fn *take;
    void *arg;
    struct blob blob;
    uint32_t parts; /* 0: there is none */
};

static enum tide_rc read_committed(struct tide_store *store, MDB_txn *txn, const uint8_t *key,
                                   struct committed *value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum tide_rc rc =
            read_one(store, txn, value[i].table, key, 2, &value[i].blob, &value[i].parts);

        if (rc && rc != TIDE_NOT_FOUND)
            return rc;
    }
    return TIDE_OK;
}

/* Everything is read before anything is taken: what fails in between can be tried again. */
enum tide_rc replay_commit(struct tide_store *store, struct tide_err *err)
{
    struct committed value[] = {{.table = TABLE_IDENTITY, .take = take_identities},
                                {.table = TABLE_EVENT_ID, .take = take_identities},
                                {.table = TABLE_PRODUCER, .take = take_producers},
                                {.table = TABLE_JOURNAL, .take = take_journal}};
    const size_t count = sizeof(value) / sizeof(value[0]);
    uint8_t bytes[KEY_JOURNAL_SIZE];
    MDB_val key = {sizeof(bytes), bytes};
    struct head_generation *draft;
    MDB_txn *txn;
    enum tide_rc rc = tide_rc_from_lmdb(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));

    value[0].arg = store->identities;
    value[1].arg = store->event_ids;
    key_journal(bytes, store->state.commit_seq, 0);
    head_begin(store->head);
    draft = head_draft(store->head);
    if (!rc) {
        if (!(rc = read_committed(store, txn, bytes, value, count)))
            rc = replay_new_modules(store, txn, err);
        mdb_txn_abort(txn);
    }
    if (rc) {
        tide_err_set(err, "read the last commit again: %s", tide_rc_text(rc));
    } else {
        draft->commit_seq = store->state.commit_seq;
        draft->ledger = store->state.ledger;
        draft->modules = modules_count(store->modules);
        for (size_t i = 0; i < count; i++)
            if (value[i].parts && value[i].take(store, &key, &value[i].blob, value[i].parts,
                                                value[i].arg, err) == TIDE_DAMAGED)
                damaged(schema_table_name(value[i].table), &key);
        if (identity_count(store->event_ids) > store->cfg.dedup_max_event_ids)
            store->expiring = true;
        store_show_known(store);
    }
    head_publish(store->head);
    for (size_t i = 0; i < count; i++)
        blob_fini(&value[i].blob);
    return rc;
}
