/* The life of a store, step by step, out of a seed: commits, late events, resends, seals,
 * checkpoints, cuts of the journal, expiry, whatever runs in the background, restarts; hours of it,
 * by a clock that the steps turn. And what the store must answer after each step, as one number: it
 * is the same whatever the background work has done so far, and in every store that lived the same
 * steps, so a store that was broken off anywhere is judged by comparing numbers.
 *
 * A life is lived once beside the model of fixture.h that keeps every event (life_learn); from then
 * on the numbers stand for the model.
 */
#ifndef FAULT_TEST_LIFE_H
#define FAULT_TEST_LIFE_H

#include "fixture.h"

#define LIFE_CHUNKS 512
#define LIFE_STEPS  1024

/* A chunk is sent again while its identity is surely known. */
#define LIFE_RESEND_S 2000
#define LIFE_WINDOW_S 6000

enum life_what { LIFE_COMMIT, LIFE_RESEND, LIFE_SEAL, LIFE_UPKEEP, LIFE_REOPEN, LIFE_ADVANCE };

struct life_step {
    enum life_what what;
    uint64_t first; /* chunk */
    unsigned count;
    int64_t s; /* to advance */
};

/* After so many steps. */
struct life_known {
    uint64_t answer;
    uint64_t commit_seq; /* at least */
    int64_t sealed_upto_s;
    int64_t now_us;
};

struct life {
    uint64_t seed;
    unsigned steps;
    uint64_t chunks;
    struct life_step step[LIFE_STEPS];
    int64_t arrival_us[LIFE_CHUNKS];
    struct life_known known[LIFE_STEPS + 1];
};

static inline void life_add(struct life *life, struct life_step step)
{
    assert_true(life->steps < LIFE_STEPS);
    life->step[life->steps++] = step;
}

/* As the committer does it: time passes, what is due is sealed, now and then there is upkeep. */
static inline void life_pass(struct life *life, int64_t *now_us, int64_t s)
{
    *now_us += s * 1000000;
    life_add(life, (struct life_step){.what = LIFE_ADVANCE, .s = s});
    life_add(life, (struct life_step){.what = LIFE_SEAL});
    if (s > 60 || tide_any_between(&life->seed, 0, 5) == 0)
        life_add(life, (struct life_step){.what = LIFE_UPKEEP});
}

static inline void life_make(struct life *life, uint64_t seed, unsigned rounds)
{
    int64_t now_us = T0_US;

    memset(life, 0, sizeof(*life));
    life->seed = seed;
    for (unsigned round = 0; round < rounds; round++) {
        int64_t what = tide_any_between(&life->seed, 0, 19);

        if (what < 11) {
            unsigned count = (unsigned)tide_any_between(&life->seed, 1, 3);

            assert_true(life->chunks + count <= LIFE_CHUNKS);
            for (unsigned i = 0; i < count; i++)
                life->arrival_us[life->chunks + i] = now_us;
            life_add(life, (struct life_step){
                               .what = LIFE_COMMIT, .first = life->chunks, .count = count});
            life->chunks += count;
        } else if (what < 13 && life->chunks) {
            uint64_t n = (uint64_t)tide_any_between(&life->seed, 0, (int64_t)life->chunks - 1);

            if (now_us - life->arrival_us[n] <= LIFE_RESEND_S * INT64_C(1000000))
                life_add(life, (struct life_step){.what = LIFE_RESEND, .first = n, .count = 1});
        } else if (what < 18) {
            life_pass(life, &now_us, tide_any_between(&life->seed, 1, 15));
        } else if (what < 19) {
            life_pass(life, &now_us, tide_any_between(&life->seed, 61, 4000));
        } else {
            life_add(life, (struct life_step){.what = LIFE_REOPEN});
        }
    }
}

/* A directory for it; the store is not opened. */
static inline void life_prepare(struct world *world)
{
    world_prepare(world);
    world->cfg.dedup_window_s = LIFE_WINDOW_S;
    world->cfg.lateness_s = 40000;
    world->rules.lateness_s = 40000;
    world->oldest_s = 8000;
    world->lasting = true;
}

static inline enum tide_rc life_upkeep(struct world *world, struct tide_err *err)
{
    enum tide_rc rc;

    do
        rc = tide_store_upkeep(world->store, world->now_us, err);
    while (rc == TIDE_AGAIN);
    return rc;
}

/* Takes one step of a living store (world->store may be NULL for one that is to open it). The model
 * in world follows. */
static inline enum tide_rc life_take(struct world *world, const struct life *life, unsigned i,
                                     struct tide_err *err)
{
    const struct life_step *step = &life->step[i];

    switch (step->what) {
    case LIFE_COMMIT:
    case LIFE_RESEND:
        return world_commit(world, step->first, step->count, life->arrival_us[step->first], err);
    case LIFE_SEAL:
        return tide_store_seal(world->store, world->now_us, err);
    case LIFE_UPKEEP:
        return life_upkeep(world, err);
    case LIFE_REOPEN:
        world_close(world);
        return world_try_open(world, err);
    case LIFE_ADVANCE:
        advance(world, step->s);
        return TIDE_OK;
    }
    return TIDE_OK;
}

/* ---- the number ---- */

struct answer {
    uint64_t number;
    int64_t sum; /* of requests over the walk */
};

static inline void answer_add(struct answer *answer, const void *data, size_t len)
{
    answer->number = tide_hash64(answer->number, data, len);
}

static inline void answer_number(struct answer *answer, uint64_t number)
{
    answer_add(answer, &number, sizeof(number));
}

/* All of a record that lasts, in an order that does not depend on the store: ids of instances are
 * keyed by it, and the slowest operation need not outlive its row. */
static inline void answer_record(struct answer *answer, const struct tide_record *record)
{
    uint64_t instances = 0;

    answer_add(answer, &record->tally, offsetof(struct tide_tally, healthy));
    answer_number(answer, record->tally.healthy);
    for (unsigned i = 0; i < record->hist.len; i++)
        if (record->hist.count[i]) {
            answer_number(answer, record->hist.first + i);
            answer_number(answer, record->hist.count[i]);
        }
    for (unsigned i = 0; i < record->instances; i++)
        instances += tide_hash64(1, record->instance[i].gauge, sizeof(record->instance[i].gauge));
    answer_number(answer, instances);
    for (unsigned i = 0; i < record->customs.count; i++) {
        const struct tide_custom *custom = &record->customs.item[i];

        answer_add(answer, custom->name, custom->len);
        answer_add(answer, &custom->sum, sizeof(custom->sum));
        answer_number(answer, custom->count);
        answer_number(answer, (uint64_t)custom->min);
        answer_number(answer, (uint64_t)custom->max);
        answer_number(answer, (uint64_t)custom->last);
        answer_number(answer, (uint64_t)custom->time_us);
    }
}

static inline bool answer_interval(void *arg, uint32_t module, int64_t start_s,
                                   const struct tide_record *record, unsigned flags)
{
    (void)module;
    (void)flags;
    answer_number(arg, (uint64_t)start_s);
    answer_record(arg, record);
    return true;
}

static inline bool answer_merged(void *arg, uint32_t module, int64_t start_s,
                                 const struct tide_record *record, unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    tide_record_merge(arg, record);
    return true;
}

/* The intervals of a module or the fleet one by one, and what a range makes of them that may take
 * the records of coarser tiers: merged, that is the same whatever is folded. */
static inline enum tide_rc answer_history(struct tide_snapshot *snapshot, uint32_t module,
                                          struct answer *answer)
{
    enum tide_rc rc = tide_snapshot_walk(snapshot, module, 0, FOREVER_S, answer_interval, answer);

    for (enum tide_tier tier = TIDE_TIER_RAW; tier < TIDE_TIER_COUNT && !rc; tier++) {
        struct tide_span span = {.to_s = tide_floor_s(FOREVER_S, 86400), .coarsest = tier};
        struct tide_record merged;

        tide_record_init(&merged);
        rc = tide_snapshot_range(snapshot, module, &span, answer_merged, &merged);
        answer_record(answer, &merged);
        tide_record_fini(&merged);
    }
    return rc;
}

/* Everything a snapshot says. TIDE_OK or the failure of a walk. */
static inline enum tide_rc answer_snapshot(struct tide_snapshot *snapshot, uint64_t *ret)
{
    struct answer answer = {0};
    enum tide_rc rc;

    answer_add(&answer, &tide_snapshot_info(snapshot)->ledger, sizeof(struct tide_ledger));
    for (unsigned m = 0; m < MODULES; m++) {
        struct tide_text name = tide_any_name(m);
        struct tide_module module;

        if (tide_snapshot_find(snapshot, name.start, name.len, &module))
            continue;
        answer_number(&answer, m);
        answer_record(&answer, module.total);
        answer_add(&answer, module.last_error, strlen(module.last_error));
        answer_number(&answer, (uint64_t)module.last_error_us);
        if ((rc = answer_history(snapshot, module.id, &answer)))
            return rc;
    }
    answer_record(&answer, tide_snapshot_fleet_total(snapshot));
    rc = answer_history(snapshot, TIDE_FLEET, &answer);
    *ret = answer.number;
    return rc;
}

/* What the open store knows now; commit_seq and sealed_upto as they are. */
static inline enum tide_rc life_look(const struct world *world, struct life_known *ret,
                                     struct tide_err *err)
{
    struct tide_snapshot *snapshot;
    enum tide_rc rc = tide_snapshot_open(world->store, &snapshot, err);

    if (rc)
        return rc;
    if (!tide_ledger_balanced(&tide_snapshot_info(snapshot)->ledger)) {
        tide_err_set(err, "the books do not balance");
        rc = TIDE_DAMAGED;
    } else {
        rc = answer_snapshot(snapshot, &ret->answer);
    }
    ret->commit_seq = tide_snapshot_info(snapshot)->commit_seq;
    ret->sealed_upto_s = tide_snapshot_info(snapshot)->sealed_upto_s;
    ret->now_us = world->now_us;
    tide_snapshot_close(snapshot);
    return rc;
}

/* The store is as after `step` steps, or, `or_next`, as after one more: *ret_steps says which. What
 * may only grow is not below *floor, which follows. */
static inline bool life_agrees(const struct world *world, const struct life *life, unsigned step,
                               bool or_next, struct life_known *floor, unsigned *ret_steps,
                               struct tide_err *err)
{
    const struct life_known *known = &life->known[step];
    struct life_known now;

    if (life_look(world, &now, err))
        return false;
    if (now.commit_seq < floor->commit_seq || now.sealed_upto_s < floor->sealed_upto_s) {
        tide_err_set(err, "commit_seq %llu and sealed_upto %lld, were %llu and %lld",
                     (unsigned long long)now.commit_seq, (long long)now.sealed_upto_s,
                     (unsigned long long)floor->commit_seq, (long long)floor->sealed_upto_s);
        return false;
    }
    *floor = now;
    *ret_steps = step;
    if (now.answer == known->answer)
        return true;
    *ret_steps = step + 1;
    if (or_next && step < life->steps && now.answer == known[1].answer)
        return true;
    tide_err_set(err, "the store says neither what it must after step %u nor after the next", step);
    return false;
}

/* Lives it once beside the model and notes what the store must say after each step. The store stays
 * open. `each`: called after each step, with the number of steps taken; may be NULL. */
static inline void life_learn(struct world *world, struct life *life, void (*each)(unsigned steps))
{
    struct tide_err err = {""};

    world_open(world);
    if (life_look(world, &life->known[0], &err))
        fail_msg("look: %s", err.text);
    if (each)
        each(0);
    for (unsigned i = 0; i < life->steps; i++) {
        uint64_t stored = world->books.stored;

        if (life_take(world, life, i, &err))
            fail_msg("step %u: %s", i, err.text);
        if (life->step[i].what == LIFE_RESEND)
            assert_int_equal(world->books.stored, stored);
        if (life_look(world, &life->known[i + 1], &err))
            fail_msg("look: %s", err.text);
        if (each)
            each(i + 1);
        if (i % 16 == 0)
            compare_now(world);
    }
    compare_now(world);
}

#endif
