/* scan - snapshots, and walking records through one.
 *
 * A snapshot pins a head generation first and begins its LMDB transaction after, so the transaction
 * is never older than the generation. What is newer in the transaction is told apart and left out:
 * rows of intervals that the generation still holds open, corrections whose seq is above its
 * commit_seq. So every event is seen exactly once.
 *
 * Rows lie in time order, all modules of an interval side by side. A walk of one module guesses the
 * row of the previous interval, which is there nearly always, and only when it is not asks for the
 * previous interval that has any rows.
 */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/clock.h"
#include "key.h"
#include "reader.h"

#define NOWHERE INT64_MIN

/* A total that had to be summed up for this snapshot. */
struct summed {
    struct summed *next;
    struct tide_record record;
    char error[TIDE_ERROR_TEXT_MAX + 1];
};

struct tide_snapshot {
    struct tide_store *store;
    const struct head_generation *generation;
    struct tide_snapshot_info info;
    MDB_txn *txn;
    MDB_cursor *row, *correction;
    int64_t opened_us; /* monotonic */
    struct tide_snapshot *before, *after;
    struct tide_record record, part, fleet;
    struct blob blob;
    struct summed *summed;
    struct summed *fleet_total;
    enum tide_rc rc; /* the first failure of a walk */
};

/* ---- open and close ---- */

static void enlist(struct tide_snapshot *snapshot)
{
    struct tide_store *store = snapshot->store;

    pthread_mutex_lock(&store->readers_lock);
    snapshot->before = store->reader_last;
    if (store->reader_last)
        store->reader_last->after = snapshot;
    else
        store->reader_first = snapshot;
    store->reader_last = snapshot;
    store->readers++;
    pthread_mutex_unlock(&store->readers_lock);
}

static void delist(struct tide_snapshot *snapshot)
{
    struct tide_store *store = snapshot->store;

    pthread_mutex_lock(&store->readers_lock);
    if (snapshot->before)
        snapshot->before->after = snapshot->after;
    else
        store->reader_first = snapshot->after;
    if (snapshot->after)
        snapshot->after->before = snapshot->before;
    else
        store->reader_last = snapshot->before;
    store->readers--;
    pthread_mutex_unlock(&store->readers_lock);
}

enum tide_rc tide_snapshot_open(struct tide_store *store, struct tide_snapshot **ret,
                                struct tide_err *err)
{
    struct tide_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int code;

    if (!snapshot) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    snapshot->store = store;
    snapshot->opened_us = tide_clock_mono_us();
    tide_record_init(&snapshot->record);
    tide_record_init(&snapshot->part);
    tide_record_init(&snapshot->fleet);
    snapshot->generation = head_pin(store->head);
    enlist(snapshot); /* from here on nobody reopens the environment */
    if (!store->env) {
        tide_err_set(err, "the store is being reopened after a commit in doubt");
        tide_snapshot_close(snapshot);
        return TIDE_UNAVAILABLE;
    }
    code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snapshot->txn);
    if (!code)
        code = mdb_cursor_open(snapshot->txn, store->dbi[TABLE_ROW], &snapshot->row);
    if (!code)
        code = mdb_cursor_open(snapshot->txn, store->dbi[TABLE_CORRECTION], &snapshot->correction);
    if (code) {
        tide_err_set(err, "begin reading: %s", mdb_strerror(code));
        tide_snapshot_close(snapshot);
        return code == MDB_READERS_FULL ? TIDE_UNAVAILABLE : tide_rc_from_lmdb(code);
    }
    snapshot->info =
        (struct tide_snapshot_info){.commit_seq = snapshot->generation->commit_seq,
                                    .sealed_upto_s = snapshot->generation->sealed_upto_s,
                                    .interval_s = store->identity.interval_s,
                                    .modules = snapshot->generation->modules,
                                    .ledger = snapshot->generation->ledger};
    *ret = snapshot;
    return TIDE_OK;
}

void tide_snapshot_close(struct tide_snapshot *snapshot)
{
    if (!snapshot)
        return;
    if (snapshot->row)
        mdb_cursor_close(snapshot->row);
    if (snapshot->correction)
        mdb_cursor_close(snapshot->correction);
    if (snapshot->txn)
        mdb_txn_abort(snapshot->txn);
    delist(snapshot);
    head_unpin(snapshot->store->head, snapshot->generation);
    while (snapshot->summed) {
        struct summed *summed = snapshot->summed;

        snapshot->summed = summed->next;
        tide_record_fini(&summed->record);
        free(summed);
    }
    tide_record_fini(&snapshot->record);
    tide_record_fini(&snapshot->part);
    tide_record_fini(&snapshot->fleet);
    blob_fini(&snapshot->blob);
    free(snapshot);
}

const struct tide_snapshot_info *tide_snapshot_info(const struct tide_snapshot *snapshot)
{
    return &snapshot->info;
}

/* ---- modules and totals ---- */

static bool is_open_anywhere(const struct head_generation *generation, uint32_t module)
{
    for (uint32_t i = 0; i < generation->layers; i++)
        if (head_peek(generation->layer[i], module))
            return true;
    return false;
}

static void add_node(struct summed *summed, const struct head_node *node, int64_t *error_us)
{
    if (!node)
        return;
    tide_tally_merge(&summed->record.tally, &node->record.tally);
    tide_hist_merge(&summed->record.hist, &node->record.hist);
    if (node->error && node->error->time_us >= *error_us) {
        *error_us = node->error->time_us;
        memcpy(summed->error, node->error->text, node->error->len);
        summed->error[node->error->len] = '\0';
    }
}

/* The total before sealed_upto plus the open intervals. */
static struct summed *sum_up(struct tide_snapshot *snapshot, uint32_t module, int64_t *ret_error_us)
{
    const struct head_generation *generation = snapshot->generation;
    struct summed *summed = calloc(1, sizeof(*summed));

    if (!summed)
        abort();
    tide_record_init(&summed->record);
    summed->next = snapshot->summed;
    snapshot->summed = summed;
    *ret_error_us = 0;
    add_node(summed, head_peek(generation->totals, module), ret_error_us);
    for (uint32_t i = 0; i < generation->layers; i++)
        add_node(summed, head_peek(generation->layer[i], module), ret_error_us);
    return summed;
}

void tide_snapshot_module(const struct tide_snapshot *snapshot, uint32_t id,
                          struct tide_module *ret)
{
    const struct module_name *name = modules_name(snapshot->store->modules, id);
    const struct head_node *total = head_peek(snapshot->generation->totals, id);

    assert(id >= 1 && id <= snapshot->info.modules);
    *ret =
        (struct tide_module){.id = id, .name = name->text, .name_len = name->len, .last_error = ""};
    if (total && !total->error && !is_open_anywhere(snapshot->generation, id)) {
        ret->total = &total->record; /* nothing to add: lend the pinned one */
    } else {
        struct summed *summed = sum_up((struct tide_snapshot *)snapshot, id, &ret->last_error_us);

        ret->total = &summed->record;
        ret->last_error = summed->error;
    }
}

enum tide_rc tide_snapshot_find(const struct tide_snapshot *snapshot, const char *name, size_t len,
                                struct tide_module *ret)
{
    uint32_t id = modules_find(snapshot->store->modules, name, len);

    if (id == 0 || id > snapshot->info.modules)
        return TIDE_NOT_FOUND;
    tide_snapshot_module(snapshot, id, ret);
    return TIDE_OK;
}

const struct tide_record *tide_snapshot_fleet_total(const struct tide_snapshot *snapshot)
{
    struct tide_snapshot *own = (struct tide_snapshot *)snapshot;
    int64_t error_us;

    if (!own->fleet_total)
        own->fleet_total = sum_up(own, TIDE_FLEET, &error_us);
    return &own->fleet_total->record;
}

/* ---- stored intervals ---- */

static void note(struct tide_snapshot *snapshot, int code)
{
    if (code && code != MDB_NOTFOUND && !snapshot->rc)
        snapshot->rc = tide_rc_from_lmdb(code);
}

/* The greatest interval start below before_s that has a key in the table, or NOWHERE. */
static int64_t start_below(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t before_s)
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
    note(snapshot, code);
    if (code)
        return NOWHERE;
    if (key.mv_size < 8) {
        damaged("row", &key);
        return NOWHERE;
    }
    return key_start_s(key.mv_data);
}

/* Reads the value that the cursor stands on into `into`; false: damaged, counted. */
static bool read_value(struct tide_snapshot *snapshot, MDB_cursor *cursor, MDB_val *key,
                       MDB_val *value, struct tide_record *into)
{
    uint8_t first[KEY_MAX];
    MDB_val at = {key->mv_size, first};
    const uint8_t *from;
    enum tide_rc rc;

    memcpy(first, key->mv_data, key->mv_size);
    rc = parts_read(cursor, key, value, 1, &snapshot->blob);
    from = snapshot->blob.start;
    if (rc == TIDE_OK &&
        row_decode(&from, from + snapshot->blob.len, into, key_start_s(first) * 1000000))
        return true;
    if (rc == TIDE_OK || rc == TIDE_DAMAGED)
        damaged(cursor == snapshot->row ? "row" : "correction", &at);
    else if (!snapshot->rc)
        snapshot->rc = rc;
    tide_record_reset(into);
    return false;
}

/* Reads one row; false: it is not there. A damaged one is there, and empty. */
static bool read_row(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                     struct tide_record *into)
{
    uint8_t bytes[KEY_ROW_SIZE];
    MDB_val key = {sizeof(bytes), bytes}, value;
    int code;

    key_row(bytes, start_s, module);
    code = mdb_cursor_get(snapshot->row, &key, &value, MDB_SET_KEY);
    note(snapshot, code);
    if (code)
        return false;
    read_value(snapshot, snapshot->row, &key, &value, into);
    return true;
}

/* Merges what came for (interval, module) after it was sealed. The cursor stands on its first
 * correction, or anywhere when there is none; afterwards on the first of the next module. True:
 * something was merged. */
static bool merge_corrections(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                              struct tide_record *into)
{
    uint8_t bytes[KEY_CORRECTION_SIZE];
    MDB_val key = {sizeof(bytes), bytes}, value;
    bool merged = false;
    int code;

    key_correction(bytes, start_s, module, 0);
    code = mdb_cursor_get(snapshot->correction, &key, &value, MDB_SET_RANGE);
    while (!code && key.mv_size == KEY_CORRECTION_SIZE && key_start_s(key.mv_data) == start_s &&
           key_row_module(key.mv_data) == module) {
        const uint8_t *at = key.mv_data;

        if (at[KEY_CORRECTION_SIZE - 1] == 0 &&
            key_correction_seq(at) <= snapshot->info.commit_seq &&
            read_value(snapshot, snapshot->correction, &key, &value, &snapshot->part)) {
            tide_record_merge(into, &snapshot->part);
            merged = true;
        }
        code = mdb_cursor_get(snapshot->correction, &key, &value, MDB_NEXT);
    }
    note(snapshot, code);
    return merged;
}

/* The module the cursor stands on within an interval, UINT32_MAX past its end. */
static uint32_t module_at(int code, const MDB_val *key, int64_t start_s)
{
    if (code || key->mv_size < 12 || key_start_s(key->mv_data) != start_s)
        return UINT32_MAX;
    return key_row_module(key->mv_data);
}

/* The first key of the first module at or above `module` in an interval. */
static uint32_t seek_module(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t start_s,
                            uint32_t module)
{
    uint8_t bytes[KEY_ROW_SIZE];
    MDB_val key = {12, bytes}, value;
    int code;

    key_row(bytes, start_s, module);
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    note(snapshot, code);
    return module_at(code, &key, start_s);
}

/* Moves the row cursor to the next module's first key. */
static uint32_t next_row(struct tide_snapshot *snapshot, int64_t start_s)
{
    MDB_val key, value;
    int code;

    do
        code = mdb_cursor_get(snapshot->row, &key, &value, MDB_NEXT);
    while (!code && key.mv_size == KEY_ROW_SIZE &&
           ((const uint8_t *)key.mv_data)[KEY_ROW_SIZE - 1] != 0);
    note(snapshot, code);
    return module_at(code, &key, start_s);
}

/* All modules of one sealed interval, ascending. */
static bool each_of_interval(struct tide_snapshot *snapshot, int64_t start_s, bool corrected,
                             tide_want_fn *want, tide_walk_fn *take, void *arg)
{
    uint32_t row = seek_module(snapshot, snapshot->row, start_s, 1);
    uint32_t correction =
        corrected ? seek_module(snapshot, snapshot->correction, start_s, 1) : UINT32_MAX;

    while (!snapshot->rc && (row != UINT32_MAX || correction != UINT32_MAX)) {
        uint32_t module = row < correction ? row : correction;
        bool wanted = !want || want(arg, module, start_s);
        unsigned flags = 0;

        tide_record_reset(&snapshot->record);
        if (row == module) {
            MDB_val key, value;

            if (wanted) {
                note(snapshot, mdb_cursor_get(snapshot->row, &key, &value, MDB_GET_CURRENT));
                if (!snapshot->rc)
                    read_value(snapshot, snapshot->row, &key, &value, &snapshot->record);
            }
            row = next_row(snapshot, start_s);
        }
        if (correction == module) {
            if (wanted && merge_corrections(snapshot, start_s, module, &snapshot->record))
                flags |= TIDE_PART_CORRECTED;
            correction = seek_module(snapshot, snapshot->correction, start_s, module + 1);
        }
        if (wanted && !tide_record_empty(&snapshot->record) &&
            !take(arg, module, start_s, &snapshot->record, flags))
            return false;
    }
    return true;
}

static bool gather_fleet(void *arg, uint32_t module, int64_t start_s,
                         const struct tide_record *record, unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    tide_record_gather(arg, record);
    return true;
}

/* The fleet of an interval that was corrected: gathered anew, since a gauge's correction replaces a
 * value and does not add to one. */
static const struct tide_record *corrected_fleet(struct tide_snapshot *snapshot, int64_t start_s)
{
    tide_record_reset(&snapshot->fleet);
    each_of_interval(snapshot, start_s, true, NULL, gather_fleet, &snapshot->fleet);
    return &snapshot->fleet;
}

/* ---- walks ---- */

enum tide_rc tide_snapshot_walk(struct tide_snapshot *snapshot, uint32_t module, int64_t from_s,
                                int64_t to_s, tide_walk_fn *take, void *arg)
{
    const struct head_generation *generation = snapshot->generation;
    int64_t at_s = to_s < generation->sealed_upto_s ? to_s : generation->sealed_upto_s, corrected_s;

    snapshot->rc = TIDE_OK;
    for (uint32_t i = generation->layers; i-- > 0;) {
        const struct head_layer *layer = generation->layer[i];
        const struct head_node *node = head_peek(layer, module);

        if (!node || layer->start_s < from_s || layer->start_s >= to_s)
            continue;
        if (module == TIDE_FLEET)
            head_fleet(layer, &snapshot->fleet);
        if (!take(arg, module, layer->start_s,
                  module == TIDE_FLEET ? &snapshot->fleet : &node->record, TIDE_PART_OPEN))
            return TIDE_OK;
    }
    corrected_s = start_below(snapshot, snapshot->correction, at_s);
    while (!snapshot->rc && at_s > from_s) {
        int64_t guess_s = at_s - snapshot->info.interval_s;
        const struct tide_record *record = &snapshot->record;
        unsigned flags = 0;

        if (guess_s >= from_s && read_row(snapshot, guess_s, module, &snapshot->record)) {
            at_s = guess_s;
        } else {
            int64_t row_s = start_below(snapshot, snapshot->row, at_s);

            at_s = row_s > corrected_s ? row_s : corrected_s;
            if (at_s < from_s) /* NOWHERE, too */
                break;
            if (at_s != row_s || !read_row(snapshot, at_s, module, &snapshot->record))
                tide_record_reset(&snapshot->record);
        }
        if (at_s == corrected_s) {
            if (module == TIDE_FLEET) {
                record = corrected_fleet(snapshot, at_s);
                flags |= TIDE_PART_CORRECTED;
            } else if (merge_corrections(snapshot, at_s, module, &snapshot->record)) {
                flags |= TIDE_PART_CORRECTED;
            }
        }
        if (!tide_record_empty(record) && !take(arg, module, at_s, record, flags))
            break;
        if (at_s == corrected_s)
            corrected_s = start_below(snapshot, snapshot->correction, at_s);
    }
    return snapshot->rc;
}

static bool sweep_layer(const struct head_layer *layer, tide_want_fn *want, tide_walk_fn *take,
                        void *arg)
{
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (uint32_t i = p == 0; i < HEAD_PAGE_NODES; i++) {
            const struct head_node *node = layer->page[p]->node[i];
            uint32_t module = p * HEAD_PAGE_NODES + i;

            if (node && (!want || want(arg, module, layer->start_s)) &&
                !take(arg, module, layer->start_s, &node->record, TIDE_PART_OPEN))
                return false;
        }
    }
    return true;
}

enum tide_rc tide_snapshot_sweep(struct tide_snapshot *snapshot, int64_t from_s, int64_t to_s,
                                 tide_want_fn *want, tide_walk_fn *take, void *arg)
{
    const struct head_generation *generation = snapshot->generation;
    int64_t at_s = to_s < generation->sealed_upto_s ? to_s : generation->sealed_upto_s;
    int64_t row_s, corrected_s;

    snapshot->rc = TIDE_OK;
    for (uint32_t i = generation->layers; i-- > 0;) {
        const struct head_layer *layer = generation->layer[i];

        if (layer->start_s >= from_s && layer->start_s < to_s &&
            !sweep_layer(layer, want, take, arg))
            return TIDE_OK;
    }
    row_s = start_below(snapshot, snapshot->row, at_s);
    corrected_s = start_below(snapshot, snapshot->correction, at_s);
    while (!snapshot->rc) {
        at_s = row_s > corrected_s ? row_s : corrected_s;
        if (at_s < from_s || at_s == NOWHERE ||
            !each_of_interval(snapshot, at_s, at_s == corrected_s, want, take, arg))
            break;
        if (at_s == corrected_s)
            corrected_s = start_below(snapshot, snapshot->correction, at_s);
        row_s = start_below(snapshot, snapshot->row, at_s);
    }
    return snapshot->rc;
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
        ret->oldest_reader_us = tide_clock_mono_us() - store->reader_first->opened_us;
}
