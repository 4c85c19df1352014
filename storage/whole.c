/* whole - all that is kept, each stretch of a module's time once; see transfer.h.
 *
 * Which tier still has what is read from the keys of the chunks: retention takes whole periods from
 * the front of a tier, and of some modules earlier than of others, so the hour of a module's oldest
 * record in a tier is where that tier begins to have all of it. What is older is given by the next
 * coarser one. What is not folded yet is there as intervals.
 */
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "must.h"
#include "snapshot.h"
#include "tidemark/transfer.h"

#define HOUR_S 3600
#define DAY_S  86400

struct giving {
    struct tide_snapshot *snapshot;
    const struct tide_whole *whole;
    int64_t *begin[TIDE_TIER_COUNT]; /* by module: where a tier begins to have all of it */
    uint32_t modules;
    enum tide_tier tier; /* being given */
    bool stopped;
};

/* ---- where the tiers begin ---- */

/* The hour, or day, of every module's oldest record in a tier, or INT64_MAX. */
static void find_oldest(struct giving *giving, enum tide_tier tier)
{
    struct tide_snapshot *snapshot = giving->snapshot;
    const struct fold_state *fold = &snapshot->reader->fold;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int code =
        mdb_cursor_open(snapshot->reader->txn, snapshot->store->dbi[TIER_TABLE(tier)], &cursor);

    if (!code)
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!code) {
        if (key.mv_size == KEY_CHUNK_SIZE) {
            uint32_t module = key_row_module(key.mv_data);
            int64_t first_s =
                tide_floor_s(key_chunk_first_s(key.mv_data), tier == TIDE_TIER_1D ? DAY_S : HOUR_S);

            if (first_s < fold->evicted_upto_s[tier]) /* is being deleted, and not served */
                first_s = fold->evicted_upto_s[tier];
            if (module <= giving->modules && first_s < giving->begin[tier][module])
                giving->begin[tier][module] = first_s;
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    snapshot_note(snapshot, code);
    if (cursor)
        mdb_cursor_close(cursor);
}

/* Where a tier ends to be the finest that has all of a module. */
static int64_t limit_s(const struct giving *giving, enum tide_tier tier, uint32_t module,
                       int64_t end_s)
{
    if (tier == TIDE_TIER_RAW)
        return end_s;
    return tide_floor_s(giving->begin[tier - 1][module], tier == TIDE_TIER_1D ? DAY_S : HOUR_S);
}

/* Whether a module has anything that only a coarser tier still has. */
static bool has_lost(const struct giving *giving, uint32_t module)
{
    for (int tier = 1; tier < TIDE_TIER_COUNT; tier++)
        if (giving->begin[tier][module] < limit_s(giving, (enum tide_tier)tier, module, 0))
            return true;
    return false;
}

/* What came late for a time before all that the module has is given as intervals, too. */
static void extend_to_corrections(struct giving *giving)
{
    struct tide_snapshot *snapshot = giving->snapshot;
    MDB_cursor *cursor = snapshot->reader->correction;
    MDB_val key, value;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);

    while (!code) {
        uint32_t module = key.mv_size == KEY_CORRECTION_SIZE ? key_row_module(key.mv_data) : 0;
        int64_t hour_s = module ? tide_floor_s(key_start_s(key.mv_data), HOUR_S) : 0;

        if (module && module <= giving->modules && hour_s < giving->begin[TIDE_TIER_RAW][module] &&
            !has_lost(giving, module))
            giving->begin[TIDE_TIER_RAW][module] = hour_s; /* the first one is the oldest */
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    snapshot_note(snapshot, code);
}

static void find_begins(struct giving *giving)
{
    int64_t hours_upto_s = giving->snapshot->reach.hours_upto_s;

    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++) {
        giving->begin[tier] = must(malloc((giving->modules + 1) * sizeof(int64_t)));
        for (uint32_t id = 0; id <= giving->modules; id++)
            giving->begin[tier][id] = tier == TIDE_TIER_RAW ? hours_upto_s : INT64_MAX;
        find_oldest(giving, (enum tide_tier)tier);
    }
    for (int tier = 1; tier < TIDE_TIER_COUNT; tier++)
        for (uint32_t id = 0; id <= giving->modules; id++) {
            int64_t limit = limit_s(giving, (enum tide_tier)tier, id, 0);

            if (giving->begin[tier][id] > limit)
                giving->begin[tier][id] = limit;
        }
    extend_to_corrections(giving);
}

/* ---- giving ---- */

static bool is_wanted(const struct giving *giving, uint32_t module)
{
    return !giving->whole->want || giving->whole->want(giving->whole->arg, module);
}

/* Whether this tier is the finest that has all of the module from begin_s on, somewhere before
 * that of the finer one. */
static bool want(void *arg, uint32_t module, int64_t start_s)
{
    const struct giving *giving = arg;

    (void)start_s;
    if (!is_wanted(giving, module))
        return false;
    return giving->tier == TIDE_TIER_RAW ||
           giving->begin[giving->tier][module] < limit_s(giving, giving->tier, module, 0);
}

static bool take(void *arg, uint32_t module, int64_t start_s, const struct tide_record *record,
                 unsigned flags)
{
    struct giving *giving = arg;
    const struct tide_whole *whole = giving->whole;

    if (start_s < giving->begin[giving->tier][module] || start_s < whole->from_s ||
        start_s >= whole->to_s || start_s >= limit_s(giving, giving->tier, module, INT64_MAX))
        return true;
    giving->stopped = !whole->take(whole->arg, module, giving->tier, start_s, record, flags);
    return !giving->stopped;
}

/* The bounds of what a tier gives, over all modules; false: nothing. */
static bool bounds(const struct giving *giving, int64_t end_s, int64_t *ret_from_s,
                   int64_t *ret_to_s)
{
    const struct tide_whole *whole = giving->whole;
    enum tide_tier tier = giving->tier;

    *ret_from_s = INT64_MAX;
    *ret_to_s = 0;
    for (uint32_t id = 0; id <= giving->modules; id++) {
        int64_t from_s = giving->begin[tier][id], to_s = limit_s(giving, tier, id, end_s);

        if (from_s >= to_s || (tier == TIDE_TIER_RAW && id == TIDE_FLEET))
            continue;
        *ret_from_s = from_s < *ret_from_s ? from_s : *ret_from_s;
        *ret_to_s = to_s > *ret_to_s ? to_s : *ret_to_s;
    }
    if (*ret_from_s < whole->from_s)
        *ret_from_s = whole->from_s;
    if (*ret_to_s > whole->to_s)
        *ret_to_s = whole->to_s;
    return *ret_from_s < *ret_to_s;
}

/* Skips time in which there is no row, and nothing else could be. */
static int64_t first_row_s(struct tide_snapshot *snapshot)
{
    const struct head_generation *head = snapshot->head;
    int64_t first_s = head->layers ? head->layer[0]->start_s : INT64_MAX;
    MDB_val key, value;
    int code = mdb_cursor_get(snapshot->reader->row, &key, &value, MDB_FIRST);

    snapshot_note(snapshot, code);
    if (!code && key.mv_size == KEY_ROW_SIZE && key_start_s(key.mv_data) < first_s)
        first_s = key_start_s(key.mv_data);
    return first_s;
}

static enum tide_rc give_tier(struct giving *giving, int64_t end_s)
{
    struct tide_snapshot *snapshot = giving->snapshot;
    const struct tide_whole *whole = giving->whole;
    int64_t step_s = giving->tier == TIDE_TIER_RAW ? HOUR_S : DAY_S, from_s, to_s, first_s;
    enum tide_rc rc = TIDE_OK;

    if (!bounds(giving, end_s, &from_s, &to_s))
        return TIDE_OK;
    if (giving->tier == TIDE_TIER_RAW && from_s == snapshot->reach.hours_upto_s &&
        (first_s = first_row_s(snapshot)) > from_s)
        from_s = first_s == INT64_MAX ? to_s : first_s;
    for (int64_t at_s = tide_floor_s(from_s, step_s); at_s < to_s && !rc; at_s += step_s) {
        struct tide_span span = {.from_s = at_s, .to_s = at_s + step_s, .coarsest = giving->tier};
        double share = (double)(at_s - from_s) / (double)(to_s - from_s);

        if (whole->go_on && !whole->go_on(whole->arg, share > 0 ? share : 0))
            return TIDE_STOPPED;
        if (giving->tier != TIDE_TIER_RAW && want(giving, TIDE_FLEET, at_s))
            rc = tide_snapshot_range(snapshot, TIDE_FLEET, &span, take, giving);
        if (!rc && !giving->stopped)
            rc = tide_snapshot_sweep_range(snapshot, &span, want, take, giving);
        if (!rc && giving->stopped)
            rc = TIDE_STOPPED;
    }
    return rc;
}

/* The end of the newest interval there is. */
static int64_t end_of(const struct tide_snapshot *snapshot)
{
    const struct head_generation *head = snapshot->head;
    int64_t end_s = head->sealed_upto_s;

    if (head->layers)
        end_s = head->layer[head->layers - 1]->start_s + snapshot->info.interval_s;
    return end_s;
}

enum tide_rc tide_snapshot_whole(struct tide_snapshot *snapshot, const struct tide_whole *whole,
                                 struct tide_err *err)
{
    struct giving giving = {
        .snapshot = snapshot, .whole = whole, .modules = snapshot->info.modules};
    enum tide_rc rc;

    find_begins(&giving);
    rc = snapshot->rc;
    for (int tier = TIDE_TIER_1D; tier >= TIDE_TIER_RAW && !rc; tier--) {
        giving.tier = (enum tide_tier)tier;
        rc = give_tier(&giving, end_of(snapshot));
    }
    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        free(giving.begin[tier]);
    if (rc)
        tide_err_set(err, "%s", rc == TIDE_STOPPED ? "stopped" : tide_rc_text(rc));
    return rc;
}
