/* tiers - see the header. A chunk is written whole: whoever changes one decodes its records, takes
 * its value off the table, and puts the records back as one chunk or two. What it becomes depends
 * on the records and where the chunk began alone, so doing it again after a crash gives the same
 * bytes.
 */
#include "tiers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "must.h"
#include "tidemark/counter.h"

#define PERIOD_RECORDS 96 /* a busy module fills about a page with so many */

/* A chunk is at most one page with its length and CRC; one this full is not opened to add more. */
#define CHUNK_MAX  (CHUNK_PAYLOAD_MAX - 2)
#define CHUNK_FULL 3900
/* A value that would waste much of a page of its own is cut to lie in leaves. */
#define PAGE_MIN 3500

static const char *const table_name[TIDE_TIER_COUNT] = {"chunk_raw", "chunk_5m", "chunk_1h",
                                                        "chunk_1d"};

int64_t tier_width_s(enum tide_tier tier, uint32_t interval_s)
{
    return tier == TIDE_TIER_RAW ? interval_s : tide_tier_info[tier].width_s;
}

int64_t tier_period_s(enum tide_tier tier, uint32_t interval_s)
{
    int64_t unit_s = tier == TIDE_TIER_1D ? 86400 : 3600;

    return tide_ceil_s(tier_width_s(tier, interval_s) * PERIOD_RECORDS, unit_s);
}

int64_t tier_upto_s(const struct fold_state *fold, enum tide_tier tier)
{
    return tier == TIDE_TIER_1D ? fold->days_upto_s : fold->hours_upto_s;
}

/* ---- reading ---- */

enum tide_rc tier_cursor_open(struct tier_cursor *cursor, MDB_txn *txn, const MDB_dbi *dbi,
                              enum tide_tier tier, uint32_t interval_s)
{
    *cursor =
        (struct tier_cursor){.tier = tier, .width_s = (uint32_t)tier_width_s(tier, interval_s)};
    return tide_rc_from_lmdb(mdb_cursor_open(txn, dbi[TIER_TABLE(tier)], &cursor->mdb));
}

void tier_cursor_close(struct tier_cursor *cursor)
{
    if (cursor->mdb)
        mdb_cursor_close(cursor->mdb);
    blob_fini(&cursor->blob);
    *cursor = (struct tier_cursor){0};
}

/* A failure other than "not there" is kept. */
static bool found(struct tier_cursor *cursor, int code)
{
    if (code && code != MDB_NOTFOUND)
        cursor->lmdb = code;
    return code == 0;
}

/* Reads the chunk whose first part the cursor stands on. */
static void load(struct tier_cursor *cursor, MDB_val *key, MDB_val *value)
{
    uint8_t first[KEY_CHUNK_SIZE] = {0};
    bool whole = key->mv_size == sizeof(first); /* LMDB's nodes have no checksum */
    MDB_val at = {sizeof(first), first};
    int64_t period_s;
    enum tide_rc rc;

    memcpy(first, key->mv_data, key->mv_size < sizeof(first) ? key->mv_size : sizeof(first));
    period_s = key_start_s(first);
    cursor->first_s = key_chunk_first_s(first);
    rc = parts_read(cursor->mdb, key, value, 1, &cursor->blob);
    cursor->sound = rc == TIDE_OK && whole &&
                    chunk_open(cursor->blob.start, cursor->blob.len, &cursor->view) &&
                    cursor->view.width_s == cursor->width_s &&
                    cursor->view.first_s == cursor->first_s && cursor->first_s >= period_s;
    if (rc != TIDE_OK && rc != TIDE_DAMAGED)
        cursor->lmdb = EIO;
    else if (!cursor->sound)
        damaged(table_name[cursor->tier], &at);
}

/* Moves to the last key below the bound, wherever that is. */
static bool seek_below(struct tier_cursor *cursor, uint8_t *bound, size_t len, MDB_val *key,
                       MDB_val *value)
{
    int code;

    *key = (MDB_val){len, bound};
    code = mdb_cursor_get(cursor->mdb, key, value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        code = mdb_cursor_get(cursor->mdb, key, value, MDB_LAST);
    else if (!code)
        code = mdb_cursor_get(cursor->mdb, key, value, MDB_PREV);
    return found(cursor, code);
}

bool tier_newest(struct tier_cursor *cursor, int64_t period_s, uint32_t module, int64_t before_s)
{
    uint8_t bound[KEY_CHUNK_SIZE];
    MDB_val key, value;

    cursor->sound = false;
    if (before_s <= period_s)
        return false;
    key_chunk(bound, period_s, module,
              before_s - period_s > UINT32_MAX ? period_s + UINT32_MAX : before_s);
    if (!seek_below(cursor, bound, sizeof(bound), &key, &value) || key.mv_size != KEY_CHUNK_SIZE ||
        memcmp(key.mv_data, bound, 12) != 0)
        return false;
    memcpy(bound, key.mv_data, sizeof(bound));
    if (bound[KEY_CHUNK_SIZE - 1] != 0) { /* the last of several parts */
        bound[KEY_CHUNK_SIZE - 1] = 0;
        key = (MDB_val){sizeof(bound), bound};
        if (!found(cursor, mdb_cursor_get(cursor->mdb, &key, &value, MDB_SET_RANGE)) ||
            key.mv_size != KEY_CHUNK_SIZE || memcmp(key.mv_data, bound, 12) != 0)
            return false;
    }
    load(cursor, &key, &value);
    return true;
}

bool tier_older(struct tier_cursor *cursor, uint32_t module)
{
    int64_t width_s = cursor->width_s;

    return tier_newest(
        cursor, tide_floor_s(cursor->first_s, tier_period_s(cursor->tier, (uint32_t)width_s)),
        module, cursor->first_s);
}

void tier_damaged(const struct tier_cursor *cursor, uint32_t module)
{
    uint8_t bytes[KEY_CHUNK_SIZE];
    MDB_val key = {sizeof(bytes), bytes};

    key_chunk(bytes, tide_floor_s(cursor->first_s, tier_period_s(cursor->tier, cursor->width_s)),
              module, cursor->first_s);
    damaged(table_name[cursor->tier], &key);
}

int64_t tier_period_below(struct tier_cursor *cursor, int64_t before_s)
{
    uint8_t bound[8];
    MDB_val key, value;

    if (before_s <= 0)
        return INT64_MIN;
    tide_put_be64(bound, (uint64_t)before_s);
    if (!seek_below(cursor, bound, sizeof(bound), &key, &value) || key.mv_size < sizeof(bound))
        return INT64_MIN;
    return key_start_s(key.mv_data);
}

uint32_t tier_module_from(struct tier_cursor *cursor, int64_t period_s, uint32_t module)
{
    uint8_t bound[KEY_CHUNK_SIZE];
    MDB_val key = {12, bound}, value;

    key_chunk(bound, period_s, module, period_s);
    if (!found(cursor, mdb_cursor_get(cursor->mdb, &key, &value, MDB_SET_RANGE)) ||
        key.mv_size < 12 || key_start_s(key.mv_data) != period_s)
        return UINT32_MAX;
    return key_row_module(key.mv_data);
}

/* ---- writing ---- */

void tier_writer_init(struct tier_writer *writer)
{
    *writer = (struct tier_writer){0};
    chunk_reader_init(&writer->reader);
}

void tier_writer_fini(struct tier_writer *writer)
{
    for (size_t i = 0; i < writer->pooled; i++) {
        tide_record_fini(writer->pool[i]);
        free(writer->pool[i]);
    }
    free(writer->pool);
    free(writer->entry);
    chunk_reader_fini(&writer->reader);
    blob_fini(&writer->blob);
    *writer = (struct tier_writer){0};
}

static struct chunk_entry *insert(struct tier_writer *writer, size_t at)
{
    if (writer->entries == writer->capacity) {
        writer->capacity = writer->capacity ? writer->capacity * 2 : 256;
        writer->entry = must(realloc(writer->entry, writer->capacity * sizeof(*writer->entry)));
    }
    memmove(writer->entry + at + 1, writer->entry + at,
            (writer->entries - at) * sizeof(*writer->entry));
    writer->entries++;
    return &writer->entry[at];
}

/* An empty record that lives until the writer's next task. */
static struct tide_record *record_new(struct tier_writer *writer, size_t *used)
{
    if (*used == writer->pooled) {
        size_t grown = writer->pooled ? writer->pooled * 2 : 256;

        writer->pool = must(realloc(writer->pool, grown * sizeof(struct tide_record *)));
        while (writer->pooled < grown) {
            struct tide_record *record = must(malloc(sizeof(*record)));

            tide_record_init(record);
            writer->pool[writer->pooled++] = record;
        }
    }
    tide_record_reset(writer->pool[*used]);
    return writer->pool[(*used)++];
}

/* One task: the transaction, and the cursor it works with. */
struct task {
    struct tier_writer *writer;
    struct txn *txn;
    struct tier_cursor cursor;
    int64_t period_s;
    uint32_t module;
    size_t records; /* of the pool, in use */
};

static bool begin(struct task *task, struct tier_writer *writer, struct txn *txn,
                  uint32_t interval_s, enum tide_tier tier, uint32_t module, int64_t start_s)
{
    *task = (struct task){.writer = writer, .txn = txn, .module = module};
    writer->entries = 0;
    task->period_s = tide_floor_s(start_s, tier_period_s(tier, interval_s));
    if (txn->rc)
        return false;
    txn->rc = tier_cursor_open(&task->cursor, txn->mdb, txn->dbi, tier, interval_s);
    return txn->rc == TIDE_OK;
}

static bool stumbled(struct task *task)
{
    if (task->cursor.lmdb && !task->txn->rc) {
        task->txn->lmdb = task->cursor.lmdb;
        task->txn->rc = tide_rc_from_lmdb(task->cursor.lmdb);
    }
    return task->txn->rc != TIDE_OK;
}

/* Takes the records of the chunk that the cursor stands on, those before before_s, in front of the
 * others. A damaged chunk has none: it was counted, and what replaces it is sound. */
static void take_records(struct task *task, int64_t before_s)
{
    struct tier_writer *writer = task->writer;
    size_t at = 0;

    if (!task->cursor.sound)
        return;
    if (!chunk_read_fields(&writer->reader, &task->cursor.view) ||
        !chunk_read_hists(&writer->reader)) {
        tier_damaged(&task->cursor, task->module);
        return;
    }
    for (uint32_t i = 0; i < task->cursor.view.count; i++) {
        const struct chunk_row *row = &writer->reader.row[i];
        struct tide_record *record;

        if (row->start_s >= before_s)
            break;
        record = record_new(writer, &task->records);
        chunk_record(&writer->reader, i, record);
        *insert(writer, at++) = (struct chunk_entry){row->start_s, row->revision, record};
    }
}

/* Deletes all parts of the chunk that the cursor stood on last. */
static void drop(struct task *task)
{
    uint8_t bytes[KEY_CHUNK_SIZE];
    int code;

    key_chunk(bytes, task->period_s, task->module, task->cursor.first_s);
    for (;;) {
        MDB_val key = {sizeof(bytes), bytes}, value;

        code = mdb_cursor_get(task->cursor.mdb, &key, &value, MDB_SET_RANGE);
        if (code || key.mv_size != KEY_CHUNK_SIZE ||
            memcmp(key.mv_data, bytes, KEY_CHUNK_SIZE - 1) != 0)
            break;
        if ((code = mdb_cursor_del(task->cursor.mdb, 0)))
            break;
    }
    found(&task->cursor, code);
}

/* Behind the last chunk of the table MDB_APPEND fills pages to the brim. Without it LMDB moves the
 * last value of a full page to the new one, and two values of half a page each leave it half empty.
 */
static unsigned append_flag(struct task *task, const uint8_t key[KEY_CHUNK_SIZE])
{
    MDB_val last, value;
    int code = mdb_cursor_get(task->cursor.mdb, &last, &value, MDB_LAST);

    if (!found(&task->cursor, code))
        return MDB_APPEND;
    return last.mv_size == KEY_CHUNK_SIZE && memcmp(last.mv_data, key, KEY_CHUNK_SIZE) < 0
               ? MDB_APPEND
               : 0;
}

/* Writes the entries as chunks. */
static void put(struct task *task)
{
    struct tier_writer *writer = task->writer;
    size_t done = 0;

    while (done < writer->entries && !stumbled(task)) {
        uint8_t key[KEY_CHUNK_SIZE];
        size_t took = chunk_encode(&writer->blob, writer->entry + done, writer->entries - done,
                                   task->cursor.width_s, CHUNK_MAX);

        assert(took > 0);
        key_chunk(key, task->period_s, task->module, writer->entry[done].start_s);
        txn_put_parts(task->txn, TIER_TABLE(task->cursor.tier), key, sizeof(key), 1,
                      writer->blob.start, writer->blob.len,
                      writer->blob.len >= PAGE_MIN ? TIDE_VALUE_PAGE : TIDE_VALUE_LEAF,
                      append_flag(task, key));
        done += took;
    }
}

static void end(struct task *task)
{
    stumbled(task);
    tier_cursor_close(&task->cursor);
}

void tier_append(struct tier_writer *writer, struct txn *txn, uint32_t interval_s,
                 enum tide_tier tier, uint32_t module, int64_t from_s,
                 const struct chunk_entry *entry, size_t count)
{
    struct task task;
    bool more;

    if (!begin(&task, writer, txn, interval_s, tier, module, from_s))
        return;
    more = tier_newest(&task.cursor, task.period_s, module, INT64_MAX);
    while (more && task.cursor.first_s >= from_s && !stumbled(&task)) {
        drop(&task); /* an unfinished fold left it */
        more = tier_older(&task.cursor, module);
    }
    if (more && !stumbled(&task) &&
        (!task.cursor.sound || task.cursor.view.last_s >= from_s ||
         (count && task.cursor.blob.len < CHUNK_FULL))) {
        take_records(&task, from_s);
        drop(&task);
    }
    for (size_t i = 0; i < count; i++) {
        assert(entry[i].start_s >= from_s && (i == 0 || entry[i].start_s > entry[i - 1].start_s) &&
               tide_floor_s(entry[i].start_s, tier_period_s(tier, interval_s)) == task.period_s);
        *insert(writer, writer->entries) = entry[i];
    }
    put(&task);
    end(&task);
}

static void apply_one(struct task *task, size_t at, const struct tier_edit *edit)
{
    struct tide_record *into = (struct tide_record *)task->writer->entry[at].record;

    if (!edit->after) {
        tide_record_merge(into, edit->merge);
        return;
    }
    tide_tally_merge(&into->tally, &edit->merge->tally);
    tide_hist_merge(&into->hist, &edit->merge->hist);
    tide_record_remerge_gauges(into, edit->before, edit->after);
}

void tier_apply(struct tier_writer *writer, struct txn *txn, uint32_t interval_s,
                enum tide_tier tier, uint32_t module, const struct tier_edit *edit, size_t count)
{
    struct task task;
    size_t at = 0;
    bool more;

    assert(count > 0);
    if (!begin(&task, writer, txn, interval_s, tier, module, edit[0].start_s))
        return;
    /* From the chunk that the newest edit falls into down to that of the oldest. */
    more = tier_newest(&task.cursor, task.period_s, module, edit[count - 1].start_s + 1);
    while (more && !stumbled(&task)) {
        bool last = task.cursor.first_s <= edit[0].start_s;

        take_records(&task, INT64_MAX);
        drop(&task);
        more = !last && tier_older(&task.cursor, module);
    }
    for (size_t i = 0; i < count && !stumbled(&task); i++) {
        assert(i == 0 || edit[i].start_s >= edit[i - 1].start_s);
        while (at < writer->entries && writer->entry[at].start_s < edit[i].start_s)
            at++;
        if (at == writer->entries || writer->entry[at].start_s != edit[i].start_s)
            *insert(writer, at) =
                (struct chunk_entry){edit[i].start_s, 0, record_new(writer, &task.records)};
        writer->entry[at].revision += edit[i].corrections;
        apply_one(&task, at, &edit[i]);
    }
    put(&task);
    end(&task);
}
