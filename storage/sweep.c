/* sweep - all modules over a span. See range.c for how the span is cut into stretches and pieces.
 *
 * Rows and corrections lie in time order, so unfolded history is read as it lies: interval by
 * interval, all modules of one side by side. Chunks lie by period and within one by module, so
 * folded history goes by stretches of a period. What came late for a stretch is listed first, by
 * module, since each module's must be merged while its chunks are at hand.
 */
#include <stdlib.h>

#include "key.h"
#include "snapshot.h"

/* Something came late for an interval of a module. */
struct late {
    uint32_t module;
    int64_t start_s;
};

struct sweep {
    struct tide_snapshot *snapshot;
    struct tide_span span;
    tide_want_fn *want;
    tide_walk_fn *take;
    void *arg;
    int64_t at_s; /* as in a walk */
    bool ended;
    enum tide_tier ideal; /* the tier whose retention counts */
    struct late *late;    /* of a stretch, by module, then newest first */
    size_t lates, late_capacity;
    int64_t *late_start; /* of one module */
    size_t late_start_capacity;
};

static bool goes_on(const struct sweep *sweep)
{
    return !sweep->ended && !sweep->snapshot->rc;
}

static void renew_when_spent(struct sweep *sweep)
{
    if (goes_on(sweep) && snapshot_spent(sweep->snapshot))
        snapshot_renew(sweep->snapshot);
}

/* A module that is newer than the snapshot may be in the transaction, and a key may be damaged. */
static bool is_known(const struct sweep *sweep, uint32_t module)
{
    return module <= sweep->snapshot->info.modules;
}

static bool wanted(const struct sweep *sweep, uint32_t module, int64_t start_s)
{
    return !sweep->want || sweep->want(sweep->arg, module, start_s);
}

/* ---- open intervals and rows ---- */

static void sweep_layer(struct sweep *sweep, const struct head_layer *layer)
{
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (uint32_t i = p == 0; i < HEAD_PAGE_NODES && !sweep->ended; i++) {
            const struct head_node *node = layer->page[p]->node[i];
            uint32_t module = p * HEAD_PAGE_NODES + i;

            if (node && is_known(sweep, module) && wanted(sweep, module, layer->start_s))
                sweep->ended =
                    !sweep->take(sweep->arg, module, layer->start_s, &node->record, TIDE_PART_OPEN);
        }
    }
}

/* All modules of one interval that is not folded, ascending. */
static void sweep_interval(struct sweep *sweep, int64_t start_s, bool corrected)
{
    struct tide_snapshot *snapshot = sweep->snapshot;
    struct reader *reader = snapshot->reader;
    uint32_t row = stored_module(snapshot, reader->row, start_s, 1);
    uint32_t correction =
        corrected ? stored_module(snapshot, reader->correction, start_s, 1) : UINT32_MAX;

    while (goes_on(sweep) && (row != UINT32_MAX || correction != UINT32_MAX)) {
        uint32_t module = row < correction ? row : correction;
        bool asked = is_known(sweep, module) &&
                     tide_snapshot_kept_from(snapshot, module, sweep->ideal) <= start_s &&
                     wanted(sweep, module, start_s);
        unsigned flags = 0;

        snapshot->records++;
        tide_record_reset(&reader->record);
        if (row == module) {
            if (asked)
                row_read_here(snapshot, &reader->record);
            row = row_next(snapshot, start_s);
        }
        if (correction == module) {
            if (asked && late_merge(snapshot, start_s, module, TIDE_TIER_RAW, &reader->record))
                flags |= TIDE_PART_CORRECTED;
            correction = stored_module(snapshot, reader->correction, start_s, module + 1);
        }
        if (asked && !snapshot->rc && !tide_record_empty(&reader->record))
            sweep->ended = !sweep->take(sweep->arg, module, start_s, &reader->record, flags);
    }
}

/* Down to from_s, or until the transaction is spent. */
static void sweep_rows(struct sweep *sweep, int64_t from_s)
{
    struct tide_snapshot *snapshot = sweep->snapshot;
    int64_t late_s = stored_below(snapshot, snapshot->reader->correction, sweep->at_s);

    while (goes_on(sweep) && sweep->at_s > from_s && !snapshot_spent(snapshot)) {
        int64_t row_s = stored_below(snapshot, snapshot->reader->row, sweep->at_s);
        int64_t start_s = row_s > late_s ? row_s : late_s;

        if (start_s < from_s) { /* NOWHERE, too */
            sweep->at_s = from_s;
            break;
        }
        sweep_interval(sweep, start_s, start_s == late_s);
        sweep->at_s = start_s;
        if (start_s == late_s)
            late_s = stored_below(snapshot, snapshot->reader->correction, start_s);
    }
}

/* ---- chunks ---- */

static void *grown(void *memory, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity)
        return memory;
    *capacity = wanted < 64 ? 64 : 2 * wanted;
    memory = realloc(memory, *capacity * size);
    if (!memory)
        abort();
    return memory;
}

static int by_module_newest_first(const void *a, const void *b)
{
    const struct late *x = a, *y = b;

    if (x->module != y->module)
        return x->module < y->module ? -1 : 1;
    return x->start_s == y->start_s ? 0 : x->start_s > y->start_s ? -1 : 1;
}

/* Lists what came late for [from_s, to_s), by the keys alone. */
static void list_late(struct sweep *sweep, int64_t from_s, int64_t to_s)
{
    struct tide_snapshot *snapshot = sweep->snapshot;
    uint8_t bytes[KEY_CORRECTION_SIZE];
    MDB_val key = {sizeof(bytes), bytes}, value;
    int code;

    sweep->lates = 0;
    key_correction(bytes, from_s, 1, 0);
    code = mdb_cursor_get(snapshot->reader->correction, &key, &value, MDB_SET_RANGE);
    while (!code && key.mv_size == KEY_CORRECTION_SIZE && key_start_s(key.mv_data) < to_s) {
        struct late late = {key_row_module(key.mv_data), key_start_s(key.mv_data)};

        if (sweep->lates == 0 || sweep->late[sweep->lates - 1].module != late.module ||
            sweep->late[sweep->lates - 1].start_s != late.start_s) {
            sweep->late =
                grown(sweep->late, &sweep->late_capacity, sweep->lates + 1, sizeof(*sweep->late));
            sweep->late[sweep->lates++] = late;
        }
        code = mdb_cursor_get(snapshot->reader->correction, &key, &value, MDB_NEXT);
    }
    snapshot_note(snapshot, code);
    if (sweep->lates)
        qsort(sweep->late, sweep->lates, sizeof(*sweep->late), by_module_newest_first);
}

/* The first in the list of a module at or above this one. */
static size_t find_late(const struct sweep *sweep, uint32_t module)
{
    size_t low = 0, high = sweep->lates;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (sweep->late[middle].module < module)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Walks one module over [from_s, to_s), all of one period, within one transaction. */
static void sweep_module(struct sweep *sweep, enum tide_tier tier, uint32_t module, int64_t from_s,
                         int64_t to_s)
{
    struct walk walk = {.snapshot = sweep->snapshot,
                        .module = module,
                        .no_hist = sweep->span.no_hist,
                        .take = sweep->take,
                        .arg = sweep->arg,
                        .at_s = to_s};
    size_t i = find_late(sweep, module), count = 0;

    if (!is_known(sweep, module))
        return;
    from_s = kept_start_s(sweep->snapshot, module, sweep->ideal, from_s);
    if (from_s >= to_s || !wanted(sweep, module, from_s))
        return;
    for (; i < sweep->lates && sweep->late[i].module == module; i++) {
        sweep->late_start = grown(sweep->late_start, &sweep->late_start_capacity, count + 1,
                                  sizeof(*sweep->late_start));
        sweep->late_start[count++] = sweep->late[i].start_s;
    }
    walk.late = sweep->late_start;
    walk.lates = count;
    walk.listed = true;
    walk.late_s = count ? walk.late[0] : NOWHERE;
    walk_chunks(&walk, tier, from_s);
    sweep->ended = walk.ended;
}

/* All modules over one period of [from_s, to_s). */
static void sweep_period(struct sweep *sweep, enum tide_tier tier, int64_t period_s, int64_t from_s,
                         int64_t to_s)
{
    struct tide_snapshot *snapshot = sweep->snapshot;
    struct tier_cursor *cursor = &snapshot->reader->tier[tier];
    uint32_t module = 0;

    list_late(sweep, from_s, to_s);
    while (goes_on(sweep)) {
        uint32_t next = tier_module_from(cursor, period_s, module + 1);
        size_t late = find_late(sweep, module + 1);

        snapshot_note(snapshot, cursor->lmdb);
        if (late < sweep->lates && sweep->late[late].module < next)
            next = sweep->late[late].module;
        if (next == UINT32_MAX || snapshot->rc)
            break;
        module = next;
        snapshot->records++;
        sweep_module(sweep, tier, module, from_s, to_s);
        if (goes_on(sweep) && snapshot_spent(snapshot)) {
            snapshot_renew(snapshot);
            if (!snapshot->rc)
                list_late(sweep, from_s, to_s);
        }
    }
}

static void sweep_chunks(struct sweep *sweep, enum tide_tier tier, int64_t from_s)
{
    struct tide_snapshot *snapshot = sweep->snapshot;
    struct tier_cursor *cursor = &snapshot->reader->tier[tier];
    int64_t period_width_s = tier_period_s(tier, snapshot->info.interval_s);

    while (goes_on(sweep) && sweep->at_s > from_s) {
        /* The newest period that has anything below at_s. */
        int64_t chunk_s = tier_period_below(cursor, sweep->at_s);
        int64_t late_s = stored_below(snapshot, snapshot->reader->correction, sweep->at_s);
        int64_t period_s = late_s < from_s ? NOWHERE : tide_floor_s(late_s, period_width_s);
        int64_t low_s;

        snapshot_note(snapshot, cursor->lmdb);
        if (chunk_s > period_s)
            period_s = chunk_s;
        if (snapshot->rc || period_s == NOWHERE || period_s + period_width_s <= from_s)
            break;
        low_s = period_s > from_s ? period_s : from_s;
        if (period_s + period_width_s < sweep->at_s)
            sweep->at_s = period_s + period_width_s;
        sweep_period(sweep, tier, period_s, low_s, sweep->at_s);
        sweep->at_s = low_s;
    }
    sweep->at_s = from_s;
}

/* ---- the sweep ---- */

static void sweep_open(struct sweep *sweep)
{
    const struct head_generation *head = sweep->snapshot->head;

    for (uint32_t i = head->layers; i-- > 0 && !sweep->ended;) {
        const struct head_layer *layer = head->layer[i];

        if (layer->start_s >= sweep->span.from_s && layer->start_s < sweep->span.to_s)
            sweep_layer(sweep, layer);
    }
}

enum tide_rc tide_snapshot_sweep_range(struct tide_snapshot *snapshot, const struct tide_span *span,
                                       tide_want_fn *want, tide_walk_fn *take, void *arg)
{
    struct sweep sweep = {
        .snapshot = snapshot, .span = *span, .want = want, .take = take, .arg = arg};
    struct plan_reach all = {snapshot->info.interval_s, INT64_MAX, INT64_MAX};
    int64_t at_s, sealed_s = snapshot->head->sealed_upto_s;

    if (snapshot->broken)
        return snapshot->broken;
    snapshot->rc = TIDE_OK;
    if (!span_fix(snapshot, &sweep.span))
        return TIDE_OK;
    sweep_open(&sweep);
    for (at_s = sweep.span.to_s; at_s > sweep.span.from_s && goes_on(&sweep);) {
        struct plan_piece ideal = plan_newest(&all, sweep.span.from_s, at_s, sweep.span.coarsest);

        sweep.ideal = ideal.tier;
        sweep.at_s = at_s < sealed_s ? at_s : sealed_s;
        while (goes_on(&sweep) && sweep.at_s > ideal.from_s) {
            struct plan_piece piece;

            renew_when_spent(&sweep);
            if (snapshot->rc)
                break;
            piece = plan_newest(&snapshot->reach, ideal.from_s, sweep.at_s, ideal.tier);
            if (piece.rows)
                sweep_rows(&sweep, piece.from_s);
            else
                sweep_chunks(&sweep, piece.tier, piece.from_s);
        }
        at_s = ideal.from_s;
    }
    free(sweep.late);
    free(sweep.late_start);
    return snapshot->rc;
}

enum tide_rc tide_snapshot_sweep(struct tide_snapshot *snapshot, int64_t from_s, int64_t to_s,
                                 tide_want_fn *want, tide_walk_fn *take, void *arg)
{
    struct tide_span span = {.from_s = from_s, .to_s = to_s, .coarsest = TIDE_TIER_RAW};

    if (to_s < SPAN_MAX_S)
        span.to_s = tide_ceil_s(to_s, snapshot->info.interval_s);
    return tide_snapshot_sweep_range(snapshot, &span, want, take, arg);
}
