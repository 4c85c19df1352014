/* stored - single values of finished history: rows, and what came late.
 *
 * A late event's delta stays in a table of its own until it is worked into the chunks, so whoever
 * reads a record merges what the table still has for the intervals it covers. For a module that is
 * a merge, on every tier. The fleet holds gathered gauges, in which a late one takes the place of
 * another instead of joining it; they follow the change of the module's record, and a coarser
 * record of the fleet follows the change of its finest one (gauge.h).
 */
#include "snapshot.h"

#include <string.h>

#include "tidemark/bytes.h"
#include "key.h"

int64_t stored_below(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t before_s)
{
    uint8_t bound[8];
    MDB_val key = {sizeof(bound), bound}, value;
    int code;

    if (before_s <= 0)
        return NOWHERE;
    tide_put_be64(bound, (uint64_t)before_s);
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    else if (!code)
        code = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
    snapshot_note(snapshot, code);
    if (code)
        return NOWHERE;
    if (key.mv_size < 8) {
        damaged(cursor == snapshot->reader->row ? "row" : "correction", &key);
        return NOWHERE;
    }
    return key_start_s(key.mv_data);
}

/* Reads the value that the cursor stands on into `into`; false: damaged, counted. */
static bool read_value(struct tide_snapshot *snapshot, MDB_cursor *cursor, MDB_val *key,
                       MDB_val *value, struct tide_record *into)
{
    struct blob *blob = &snapshot->reader->blob;
    uint8_t first[KEY_MAX];
    MDB_val at = {key->mv_size, first};
    const uint8_t *from;
    enum tide_rc rc;

    if (key->mv_size !=
        (cursor == snapshot->reader->row ? (size_t)KEY_ROW_SIZE : (size_t)KEY_CORRECTION_SIZE)) {
        damaged(cursor == snapshot->reader->row ? "row" : "correction", key);
        tide_record_reset(into);
        return false;
    }
    memcpy(first, key->mv_data, key->mv_size);
    rc = parts_read(cursor, key, value, 1, blob);
    from = blob->start;
    if (rc == TIDE_OK && row_decode(&from, from + blob->len, into, key_start_s(first) * 1000000))
        return true;
    if (rc == TIDE_OK || rc == TIDE_DAMAGED)
        damaged(cursor == snapshot->reader->row ? "row" : "correction", &at);
    else if (!snapshot->rc)
        snapshot->rc = rc;
    tide_record_reset(into);
    return false;
}

/* The module the cursor stands on within an interval, UINT32_MAX past its end. */
static uint32_t module_at(int code, const MDB_val *key, int64_t start_s)
{
    if (code || key->mv_size < 12 || key_start_s(key->mv_data) != start_s)
        return UINT32_MAX;
    return key_row_module(key->mv_data);
}

uint32_t stored_module(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t start_s,
                       uint32_t module)
{
    uint8_t bytes[KEY_ROW_SIZE];
    MDB_val key = {12, bytes}, value;
    int code;

    key_row(bytes, start_s, module);
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    snapshot_note(snapshot, code);
    return module_at(code, &key, start_s);
}

/* ---- rows ---- */

bool row_read(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
              struct tide_record *into)
{
    uint8_t bytes[KEY_ROW_SIZE];
    MDB_val key = {sizeof(bytes), bytes}, value;
    int code;

    key_row(bytes, start_s, module);
    code = mdb_cursor_get(snapshot->reader->row, &key, &value, MDB_SET_KEY);
    snapshot_note(snapshot, code);
    if (code)
        return false;
    read_value(snapshot, snapshot->reader->row, &key, &value, into);
    return true;
}

void row_read_here(struct tide_snapshot *snapshot, struct tide_record *into)
{
    MDB_cursor *cursor = snapshot->reader->row;
    MDB_val key, value;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_GET_CURRENT);

    snapshot_note(snapshot, code);
    if (!code)
        read_value(snapshot, cursor, &key, &value, into);
}

uint32_t row_next(struct tide_snapshot *snapshot, int64_t start_s)
{
    MDB_val key, value;
    int code;

    do
        code = mdb_cursor_get(snapshot->reader->row, &key, &value, MDB_NEXT);
    while (!code && key.mv_size == KEY_ROW_SIZE &&
           ((const uint8_t *)key.mv_data)[KEY_ROW_SIZE - 1] != 0);
    snapshot_note(snapshot, code);
    return module_at(code, &key, start_s);
}

/* ---- what came late ---- */

/* Merges every correction of (interval, module). The cursor stands on the first of them, or
 * anywhere when there is none. True: something was merged. */
static bool merge_all(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                      struct tide_record *into)
{
    struct reader *reader = snapshot->reader;
    uint8_t bytes[KEY_CORRECTION_SIZE];
    MDB_val key = {sizeof(bytes), bytes}, value;
    bool merged = false;
    int code;

    key_correction(bytes, start_s, module, 0);
    code = mdb_cursor_get(reader->correction, &key, &value, MDB_SET_RANGE);
    while (!code && key.mv_size == KEY_CORRECTION_SIZE && key_start_s(key.mv_data) == start_s &&
           key_row_module(key.mv_data) == module) {
        const uint8_t *at = key.mv_data;

        if (at[KEY_CORRECTION_SIZE - 1] == 0 &&
            key_correction_seq(at) <= snapshot->head->commit_seq &&
            read_value(snapshot, reader->correction, &key, &value, &reader->part)) {
            tide_record_merge(into, &reader->part);
            merged = true;
        }
        code = mdb_cursor_get(reader->correction, &key, &value, MDB_NEXT);
    }
    snapshot_note(snapshot, code);
    return merged;
}

static void add_instances(struct tide_record *into, const struct tide_instance *instance,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tide_record_merge_instance(into, &instance[i]);
}

/* The row of the chunk that covers start_s; NULL: there is none. */
static const struct chunk_row *find_in_chunk(struct tide_snapshot *snapshot, int64_t start_s,
                                             uint32_t module)
{
    struct reader *reader = snapshot->reader;
    struct chunk_reader *chunk = &reader->side_chunk;
    int64_t period_s =
        tide_floor_s(start_s, tier_period_s(TIDE_TIER_RAW, snapshot->reach.interval_s));
    uint32_t low = 0, high;
    bool there = tier_newest(&reader->side, period_s, module, start_s + 1);

    snapshot_note(snapshot, reader->side.lmdb);
    if (!there || !reader->side.sound)
        return NULL;
    if (!chunk_read_fields(chunk, &reader->side.view)) {
        tier_damaged(&reader->side, module);
        return NULL;
    }
    high = chunk->view.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (chunk->row[middle].start_s < start_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low < chunk->view.count && chunk->row[low].start_s == start_s ? &chunk->row[low] : NULL;
}

/* The gauges of one raw record as it is stored, without what came late; none when it is expired. */
static void read_gauges(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                        struct tide_record *into)
{
    struct reader *reader = snapshot->reader;

    tide_record_reset(into);
    if (tide_snapshot_kept_from(snapshot, TIDE_FLEET, TIDE_TIER_RAW) > start_s ||
        (module != TIDE_FLEET &&
         tide_snapshot_kept_from(snapshot, module, TIDE_TIER_RAW) > start_s))
        return;
    if (start_s >= snapshot->reach.hours_upto_s) {
        if (row_read(snapshot, start_s, module, &reader->part))
            add_instances(into, reader->part.instance, reader->part.instances);
    } else {
        const struct chunk_row *row = find_in_chunk(snapshot, start_s, module);

        if (row)
            add_instances(into, row->record.instance, row->record.instances);
    }
}

/* The fleet: every module's, and the gauges by what they were and are. */
static bool merge_fleet(struct tide_snapshot *snapshot, int64_t start_s, enum tide_tier tier,
                        struct tide_record *into)
{
    struct reader *reader = snapshot->reader;
    struct tide_record *sum = &reader->late.sum, *after = into;
    bool merged = false, gauges = false;
    uint32_t module = stored_module(snapshot, reader->correction, start_s, 1);

    for (; module != UINT32_MAX && !snapshot->rc;
         module = stored_module(snapshot, reader->correction, start_s, module + 1)) {
        tide_record_reset(sum);
        if (!merge_all(snapshot, start_s, module, sum))
            continue;
        merged = true;
        tide_tally_merge(&into->tally, &sum->tally);
        tide_hist_merge(&into->hist, &sum->hist);
        tide_record_merge_slowest(into, sum->slowest.us, sum->slowest.id, sum->slowest.len);
        if (sum->instances == 0)
            continue;
        if (!gauges && tier != TIDE_TIER_RAW) {
            after = &reader->late.after;
            read_gauges(snapshot, start_s, TIDE_FLEET, &reader->late.before);
            tide_record_reset(after);
            add_instances(after, reader->late.before.instance, reader->late.before.instances);
        }
        gauges = true;
        read_gauges(snapshot, start_s, module, &reader->late.own_before);
        tide_record_reset(&reader->late.own_after);
        add_instances(&reader->late.own_after, reader->late.own_before.instance,
                      reader->late.own_before.instances);
        add_instances(&reader->late.own_after, sum->instance, sum->instances);
        tide_record_regather_gauges(after, &reader->late.own_before, &reader->late.own_after);
    }
    if (gauges && tier != TIDE_TIER_RAW)
        tide_record_remerge_gauges(into, &reader->late.before, after);
    return merged;
}

bool late_merge(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                enum tide_tier tier, struct tide_record *into)
{
    bool merged = module == TIDE_FLEET ? merge_fleet(snapshot, start_s, tier, into)
                                       : merge_all(snapshot, start_s, module, into);

    if (start_s < snapshot->reach.hours_upto_s) { /* where it is dropped at the fold */
        into->slowest.us = 0;
        into->slowest.len = 0;
    }
    return merged;
}
