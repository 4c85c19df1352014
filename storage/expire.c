/* expire - see the header. keep.c says what is past its time, and nobody is served that; here it is
 * deleted, once a minute and in slices.
 *
 *   front    periods in which nothing is kept any more, by whatever rule: cut from the front of the
 *            tier's table, where they lie together
 *   middle   chunks of modules that are kept shorter than others. A place for each rule and tier
 *            says how far that has come; it begins at the table's front when the store is opened.
 *            Nothing is written before it again: refold.c leaves out what is kept no longer
 *   early    over the quota: the oldest period of the finest tier that has one, of all modules.
 *            The transaction that begins to delete it writes down that it is given up
 *
 * Only what is finished goes: a coarser tier that is still to be made needs the finer one.
 */
#include "expire.h"

#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "quota.h"
#include "slices.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tiers.h"

#define ROUND_US   60000000
#define SLICE_US   3000 /* a slice ends after this, ... */
#define SLICE_KEYS 4096 /* ... or when it has looked at so many chunks, ... */
#define SLICE_BYTES                                                              \
    (200 * 4096) /* ... or freed so much: fewer than 256 pages with their tree's \
                  */
#define PAGE_BYTES 4096
#define LEAF_MAX   2010 /* larger values have a page of their own */

/* Of one rule in one tier: nothing of its modules is left before (period_s, module). */
struct place {
    int64_t period_s;
    uint32_t module;
};

struct expiry {
    bool under_way; /* a round */
    int64_t round_us;
    enum tide_tier tier; /* where it is: in this tier, ... */
    size_t step;         /* ... 0: at the front, r + 1: with rule r */
    size_t rules;        /* and the defaults */
    struct place *place; /* [TIDE_TIER_COUNT * rules] */
};

struct slice {
    struct slices slices;
    struct fold_state next;
    enum tide_tier tier;
    MDB_cursor *cursor; /* of its table */
    int64_t begin_us;
    unsigned keys;
    size_t bytes;
    uint64_t expired, evicted; /* chunks */
};

struct expiry *expiry_new(const struct tide_store *store)
{
    struct expiry *expiry = calloc(1, sizeof(*expiry));

    if (!expiry)
        abort();
    expiry->rules = store->cfg.retention.rules + 1;
    expiry->place = calloc(TIDE_TIER_COUNT * expiry->rules, sizeof(*expiry->place));
    if (!expiry->place)
        abort();
    return expiry;
}

void expiry_free(struct expiry *expiry)
{
    if (!expiry)
        return;
    free(expiry->place);
    free(expiry);
}

/* ---- a slice ---- */

static void slice_begin(struct slice *slice, struct tide_store *store)
{
    *slice = (struct slice){.next = store->fold, .begin_us = tide_clock_mono_us()};
    slices_begin(&slice->slices, store, UINT32_MAX);
}

static bool slice_is_spent(const struct slice *slice)
{
    return slice->keys >= SLICE_KEYS || slice->bytes >= SLICE_BYTES ||
           (slice->keys % 16 == 15 && tide_clock_mono_us() - slice->begin_us > SLICE_US);
}

/* False: nothing there, or a failure, which fails the transaction. */
static bool there(struct slice *slice, int code)
{
    txn_check(&slice->slices.txn, code);
    return code == 0;
}

static void look_at(struct slice *slice, enum tide_tier tier)
{
    struct txn *txn = &slice->slices.txn;

    if (slice->cursor && slice->tier == tier)
        return;
    if (slice->cursor)
        mdb_cursor_close(slice->cursor);
    slice->cursor = NULL;
    slice->tier = tier;
    if (!txn->rc &&
        !there(slice, mdb_cursor_open(txn->mdb, txn->dbi[TIER_TABLE(tier)], &slice->cursor)))
        slice->cursor = NULL;
}

/* The first chunk at or after (period, module); false: there is none. */
static bool find(struct slice *slice, int64_t period_s, uint32_t module, MDB_val *ret_key,
                 MDB_val *ret_value)
{
    uint8_t bytes[KEY_CHUNK_SIZE];

    if (!slice->cursor || slice->slices.txn.rc)
        return false;
    key_chunk(bytes, period_s, module, period_s);
    *ret_key = (MDB_val){sizeof(bytes), bytes};
    if (!there(slice, mdb_cursor_get(slice->cursor, ret_key, ret_value, MDB_SET_RANGE)))
        return false;
    slice->keys++;
    if (ret_key->mv_size == KEY_CHUNK_SIZE)
        return true;
    there(slice, MDB_CORRUPTED);
    return false;
}

/* The chunk that the cursor stands on. */
static void take_out(struct slice *slice, const MDB_val *key, const MDB_val *value)
{
    bool first_part = ((const uint8_t *)key->mv_data)[KEY_CHUNK_SIZE - 1] == 0;
    size_t bytes = value->mv_size > LEAF_MAX ? PAGE_BYTES : key->mv_size + value->mv_size + 10;
    bool early =
        key_start_s(key->mv_data) < slice->slices.store->fold.evicted_upto_s[slice->tier] ||
        key_start_s(key->mv_data) < slice->next.evicted_upto_s[slice->tier];

    if (!there(slice, mdb_cursor_del(slice->cursor, 0)))
        return;
    slice->bytes += bytes;
    if (first_part)
        *(early ? &slice->evicted : &slice->expired) += 1;
}

/* A slice failed: what it had deleted is there again. */
static void start_over(struct expiry *expiry)
{
    memset(expiry->place, 0, TIDE_TIER_COUNT * expiry->rules * sizeof(*expiry->place));
    expiry->tier = TIDE_TIER_RAW;
    expiry->step = 0;
}

/* Commits what was deleted, or nothing: to look for it in vain, or to fail at that, is no matter of
 * the store's condition. */
static enum tide_rc slice_end(struct slice *slice, struct tide_err *err)
{
    struct tide_store *store = slice->slices.store;
    struct txn *txn = &slice->slices.txn;
    enum tide_rc rc = txn->rc;

    if (slice->cursor)
        mdb_cursor_close(slice->cursor);
    if (slice->bytes == 0) {
        if (rc)
            tide_err_set(err, "look for what is past its time: %s", mdb_strerror(txn->lmdb));
        txn_abort(txn);
        return rc;
    }
    slice->next.seq = store->state.commit_seq + 1;
    schema_put_fold(txn, &slice->next);
    if ((rc = slices_end(&slice->slices, &store->state, err))) {
        start_over(store->expiry);
        return rc;
    }
    store->fold = slice->next;
    head_begin(store->head);
    head_draft(store->head)->commit_seq = store->state.commit_seq;
    head_publish(store->head);
    quota_freed(store, slice->bytes / PAGE_BYTES);
    tide_count(TIDE_COUNT_EXPIRED_CHUNKS, slice->expired);
    tide_count(TIDE_COUNT_EVICTED_CHUNKS, slice->evicted);
    return TIDE_OK;
}

/* ---- what goes ---- */

/* Whole periods before this are finished, and nothing will be made of them any more. */
static int64_t finished_s(const struct tide_store *store, enum tide_tier tier)
{
    int64_t upto_s =
        tier == TIDE_TIER_1H ? store->fold.days_upto_s : tier_upto_s(&store->fold, tier);

    return tide_floor_s(upto_s, tier_period_s(tier, store->identity.interval_s));
}

static int64_t rule_from_s(const struct tide_store *store, size_t rule, enum tide_tier tier,
                           int64_t now_us)
{
    int64_t from_s = keep_rule_from_s(store, &store->fold, rule, tier, now_us),
            finished = finished_s(store, tier);

    return from_s < finished ? from_s : finished;
}

/* What no rule keeps. */
static int64_t front_s(const struct tide_store *store, enum tide_tier tier, int64_t now_us)
{
    int64_t least_s = INT64_MAX;

    for (size_t r = 0; r <= store->cfg.retention.rules; r++) {
        int64_t from_s = rule_from_s(store, r, tier, now_us);

        if (from_s < least_s)
            least_s = from_s;
    }
    return least_s;
}

/* Both return true when they are done, not just spent. */

static bool delete_front(struct slice *slice, enum tide_tier tier, int64_t before_s)
{
    MDB_val key, value;

    look_at(slice, tier);
    while (!slice_is_spent(slice)) {
        if (!find(slice, 0, 0, &key, &value) || key_start_s(key.mv_data) >= before_s)
            return true;
        take_out(slice, &key, &value);
    }
    return false;
}

static bool delete_middle(struct slice *slice, struct place *place, enum tide_tier tier,
                          size_t rule, int64_t before_s)
{
    struct tide_store *store = slice->slices.store;
    MDB_val key, value;

    if (place->period_s > before_s)
        *place = (struct place){before_s, 0}; /* the clock went back */
    look_at(slice, tier);
    while (place->period_s < before_s) {
        uint32_t module;

        if (slice_is_spent(slice))
            return false;
        if (!find(slice, place->period_s, place->module, &key, &value) ||
            key_start_s(key.mv_data) >= before_s) {
            *place = (struct place){before_s, 0};
            break;
        }
        module = key_row_module(key.mv_data);
        *place = (struct place){key_start_s(key.mv_data), module};
        if (module <= modules_count(store->modules) && keep_rule(store, module) == rule)
            take_out(slice, &key, &value);
        else
            place->module++;
    }
    return true;
}

/* Goes on with the round; true: it is over. */
static bool go_on(struct slice *slice, int64_t now_us)
{
    struct tide_store *store = slice->slices.store;
    struct expiry *expiry = store->expiry;

    for (; expiry->tier < TIDE_TIER_COUNT; expiry->tier++, expiry->step = 0) {
        int64_t front = front_s(store, expiry->tier, now_us);

        for (; expiry->step <= expiry->rules; expiry->step++) {
            if (expiry->step == 0) {
                if (!delete_front(slice, expiry->tier, front))
                    return false;
            } else {
                size_t rule = expiry->step - 1;
                int64_t before_s = rule_from_s(store, rule, expiry->tier, now_us);

                if (before_s > front &&
                    !delete_middle(slice,
                                   &expiry->place[(size_t)expiry->tier * expiry->rules + rule],
                                   expiry->tier, rule, before_s))
                    return false;
            }
        }
    }
    return true;
}

/* Begins or goes on to delete the oldest period that can be given up; false: there is none. */
static bool give_up(struct slice *slice)
{
    struct tide_store *store = slice->slices.store;
    MDB_val key, value;

    for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++) {
        int64_t *evicted_s = &slice->next.evicted_upto_s[tier], end_s;

        look_at(slice, tier);
        if (!find(slice, 0, 0, &key, &value))
            continue;
        end_s = key_start_s(key.mv_data) + tier_period_s(tier, store->identity.interval_s);
        if (end_s > finished_s(store, tier))
            continue;
        if (end_s > *evicted_s)
            *evicted_s = end_s;
        delete_front(slice, tier, *evicted_s);
        return true;
    }
    return false;
}

static enum tide_rc evict(struct tide_store *store, bool *ret_gone, struct tide_err *err)
{
    struct slice slice;

    slice_begin(&slice, store);
    *ret_gone = give_up(&slice);
    if (!*ret_gone && !store->quota.bare && !slice.slices.txn.rc) {
        store->quota.bare = true;
        tide_log(TIDE_WARNING, "storage",
                 "nothing is left that could go to stay below storage.max_bytes");
    }
    return slice_end(&slice, err);
}

enum tide_rc store_expire(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    struct expiry *expiry = store->expiry;
    struct slice slice;
    bool over, gone;
    enum tide_rc rc;

    if (quota_is_pressed(store)) {
        if ((rc = evict(store, &gone, err)) || gone)
            return rc ? rc : TIDE_AGAIN;
    }
    if (!expiry->under_way) {
        if (now_us - expiry->round_us < ROUND_US && now_us >= expiry->round_us)
            return TIDE_OK;
        expiry->under_way = true;
        expiry->round_us = now_us;
        expiry->tier = TIDE_TIER_RAW;
        expiry->step = 0;
    }
    slice_begin(&slice, store);
    over = go_on(&slice, now_us);
    if ((rc = slice_end(&slice, err)))
        return rc;
    expiry->under_way = !over;
    return over ? TIDE_OK : TIDE_AGAIN;
}
