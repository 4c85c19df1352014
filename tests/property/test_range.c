/* Ranges over folded history against a naive model that keeps every event: whatever has been
 * folded, refolded, deleted or not even begun, every record of every step, of every module and the
 * fleet, is what folding its events gives, and so are its percentiles and its maximum. The
 * background work is cut off at random moments; days of events pass, many of them late.
 *
 * Invariants I6 and I14 of storage/FORMAT.md.
 */
#include "tidemark/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"
#include "tidemark/log.h"
#include "tidemark/tier.h"
#include "any.h"
#include "dir.h"
#include "pack.h"

#define MODULES    5
#define FLEET      MODULES /* as a number of the model */
#define EVENTS_MAX 20000
#define LATENESS_S (3 * 86400)
#define T0_S       INT64_C(1700000000)

/* ---- the model ---- */

struct kept {
    unsigned module;
    int64_t time_us, start_s;
    bool late; /* its interval was finished when it came */
    struct tide_event ev;
};

struct world {
    uint64_t seed;
    char dir[200];
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_fold_rules rules;
    int64_t now_us, sealed_upto_s;
    struct kept *kept;
    size_t events;
};

/* One module's interval, of the first `events` events; ascending by start, then module. */
struct cell {
    int64_t start_s;
    unsigned module;
    bool late;
    struct tide_record record;
};

struct model {
    struct cell *cell;
    size_t cells;
};

static int by_cell(const void *a, const void *b)
{
    const struct kept *x = *(const struct kept *const *)a, *y = *(const struct kept *const *)b;

    if (x->start_s != y->start_s)
        return x->start_s < y->start_s ? -1 : 1;
    return x->module < y->module ? -1 : x->module > y->module;
}

static uint64_t instance_of(const struct world *world, const struct tide_event *ev)
{
    return ev->instance.len
               ? tide_hash64(world->rules.instance_seed, ev->instance.start, ev->instance.len)
               : 0;
}

static void model_build(struct model *model, const struct world *world, size_t events)
{
    const struct kept **order = malloc((events + 1) * sizeof(struct kept *));

    assert_non_null(order);
    model->cells = 0;
    model->cell = malloc((events + 1) * sizeof(*model->cell));
    assert_non_null(model->cell);
    for (size_t i = 0; i < events; i++)
        order[i] = &world->kept[i];
    qsort(order, events, sizeof(struct kept *), by_cell);
    for (size_t i = 0; i < events; i++) {
        const struct kept *kept = order[i];
        struct cell *cell = model->cells ? &model->cell[model->cells - 1] : NULL;

        if (!cell || cell->start_s != kept->start_s || cell->module != kept->module) {
            cell = &model->cell[model->cells++];
            *cell = (struct cell){.start_s = kept->start_s, .module = kept->module};
            tide_record_init(&cell->record);
        }
        tide_record_fold(&cell->record, &kept->ev, kept->time_us, instance_of(world, &kept->ev));
        cell->late |= kept->late;
    }
    free(order);
}

static void model_free(struct model *model)
{
    for (size_t i = 0; i < model->cells; i++)
        tide_record_fini(&model->cell[i].record);
    free(model->cell);
}

/* Merges a module's intervals of [from_s, to_s), the fleet's each gathered first. Returns whether
 * one of them was corrected. */
static bool model_merge(const struct model *model, unsigned module, int64_t from_s, int64_t to_s,
                        struct tide_record *into)
{
    struct tide_record fleet;
    bool late = false;

    tide_record_init(&fleet);
    tide_record_reset(into);
    for (size_t i = 0; i < model->cells;) {
        const struct cell *cell = &model->cell[i];
        int64_t start_s = cell->start_s;

        if (start_s < from_s || start_s >= to_s || (module != FLEET && cell->module != module)) {
            i++;
        } else if (module != FLEET) {
            tide_record_merge(into, &cell->record);
            late |= cell->late;
            i++;
        } else {
            tide_record_reset(&fleet);
            for (; i < model->cells && model->cell[i].start_s == start_s; i++) {
                tide_record_gather(&fleet, &model->cell[i].record);
                late |= model->cell[i].late;
            }
            tide_record_merge(into, &fleet);
        }
    }
    tide_record_fini(&fleet);
    return late;
}

/* ---- writing ---- */

static void open_store(struct world *world)
{
    struct tide_err err = {""};

    tide_clock_fake(world->now_us);
    if (tide_store_open(&world->cfg, &world->store, &err))
        fail_msg("open: %s", err.text);
    world->rules =
        (struct tide_fold_rules){.interval_s = world->cfg.interval_s,
                                 .lateness_s = LATENESS_S,
                                 .future_s = 60,
                                 .instance_seed = tide_store_instance_seed(world->store)};
}

/* How old an event is when it comes: mostly a little, sometimes by days. */
static int64_t any_age_s(struct world *world)
{
    switch (tide_any_between(&world->seed, 0, 9)) {
    case 0:
        return tide_any_between(&world->seed, 0, LATENESS_S - 10);
    case 1:
        return tide_any_between(&world->seed, 0, 4 * 3600);
    default:
        return tide_any_between(&world->seed, 0, 300);
    }
}

static void commit_some(struct world *world)
{
    struct tide_parcel parcel, *waiting = &parcel;
    struct tide_err err = {""};
    int events = (int)tide_any_between(&world->seed, 1, 25);
    size_t taken;

    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < events; i++) {
        struct kept *kept = &world->kept[world->events++];

        assert_true(world->events <= EVENTS_MAX);
        kept->ev = tide_any_event(&world->seed);
        kept->module = (unsigned)tide_any_between(&world->seed, 0, MODULES - 1);
        kept->ev.module = tide_any_name(kept->module);
        kept->time_us = kept->ev.time_us = world->now_us - any_age_s(world) * 1000000 -
                                           tide_any_between(&world->seed, 0, 2) * 250000;
        kept->start_s = tide_floor_s(kept->time_us / 1000000, world->cfg.interval_s);
        kept->late = kept->start_s < world->sealed_upto_s;
        tide_parcel_fold(&parcel, &world->rules, &kept->ev, world->now_us);
    }
    if (tide_store_commit(world->store, &waiting, 1, world->now_us, &taken, &err))
        fail_msg("commit: %s", err.text);
    tide_parcel_fini(&parcel);
}

static void advance_and_seal(struct world *world)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};
    int64_t most_s = tide_any_between(&world->seed, 0, 9) == 0 ? 30000 : 1500;

    world->now_us += tide_any_between(&world->seed, 0, most_s) * 1000000;
    tide_clock_fake(world->now_us);
    if (tide_store_seal(world->store, world->now_us, &err))
        fail_msg("seal: %s", err.text);
    assert_int_equal(tide_snapshot_open(world->store, &snapshot, &err), TIDE_OK);
    world->sealed_upto_s = tide_snapshot_info(snapshot)->sealed_upto_s;
    tide_snapshot_close(snapshot);
}

/* Some slices of the background work, seldom all. */
static void work_some(struct world *world)
{
    int64_t most = tide_any_between(&world->seed, 0, 3) == 0 ? 2000 : 15;
    int64_t slices = tide_any_between(&world->seed, 0, most);
    struct tide_err err = {""};
    enum tide_rc rc = TIDE_AGAIN;

    while (slices-- > 0 && rc == TIDE_AGAIN)
        rc = tide_store_upkeep(world->store, world->now_us, &err);
    if (rc != TIDE_OK && rc != TIDE_AGAIN)
        fail_msg("upkeep: %s", err.text);
}

/* ---- reading ---- */

/* The records of a range, merged by step. */
struct steps {
    const struct tide_span *span;
    int64_t step_s;
    int64_t last_s; /* start of the newest record given */
    struct tide_record *record;
    bool *corrected;
    size_t count;
};

static void steps_init(struct steps *steps, const struct tide_span *span, int64_t step_s)
{
    *steps = (struct steps){.span = span, .step_s = step_s, .last_s = INT64_MAX};
    steps->count = (size_t)((span->to_s - span->from_s + step_s - 1) / step_s);
    steps->record = malloc(steps->count * sizeof(*steps->record));
    steps->corrected = calloc(steps->count, sizeof(*steps->corrected));
    assert_true(steps->record && steps->corrected);
    for (size_t i = 0; i < steps->count; i++)
        tide_record_init(&steps->record[i]);
}

static void steps_fini(struct steps *steps)
{
    for (size_t i = 0; i < steps->count; i++)
        tide_record_fini(&steps->record[i]);
    free(steps->record);
    free(steps->corrected);
}

static bool take_step(void *arg, uint32_t id, int64_t start_s, const struct tide_record *record,
                      unsigned flags)
{
    struct steps *steps = arg;
    size_t at = (size_t)((start_s - steps->span->from_s) / steps->step_s);

    (void)id;
    assert_in_range(start_s, steps->span->from_s, steps->span->to_s - 1);
    assert_true(start_s < steps->last_s);
    assert_false(tide_record_empty(record));
    steps->last_s = start_s;
    tide_record_merge(&steps->record[at], record);
    steps->corrected[at] |= (flags & TIDE_PART_CORRECTED) != 0;
    return true;
}

static bool same_quantiles(const struct tide_record *a, const struct tide_record *b)
{
    static const double q[] = {0.5, 0.95, 0.99, 0.999, 1};

    for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
        double x = tide_record_quantile_us(a, q[i]), y = tide_record_quantile_us(b, q[i]);

        if (memcmp(&x, &y, sizeof(x)) != 0 && !(isnan(x) && isnan(y)))
            return false;
    }
    return true;
}

/* Which operation was the slowest is not known of folded history. */
static void forget_slowest(struct tide_record *record)
{
    record->slowest.us = 0;
    record->slowest.len = 0;
}

static uint32_t id_of(struct tide_snapshot *snapshot, unsigned module)
{
    struct tide_text name = tide_any_name(module);
    struct tide_module found;

    if (module == FLEET)
        return TIDE_FLEET;
    if (tide_snapshot_find(snapshot, name.start, name.len, &found))
        return UINT32_MAX;
    return found.id;
}

static void compare_range(const struct model *model, struct tide_snapshot *snapshot,
                          unsigned module, const struct tide_span *span, int64_t step_s)
{
    uint32_t id = id_of(snapshot, module);
    struct tide_record expected;
    struct steps steps;

    if (id == UINT32_MAX)
        return;
    tide_record_init(&expected);
    steps_init(&steps, span, step_s);
    assert_int_equal(tide_snapshot_range(snapshot, id, span, take_step, &steps), TIDE_OK);
    for (size_t i = 0; i < steps.count; i++) {
        int64_t from_s = span->from_s + (int64_t)i * step_s, to_s = from_s + step_s;
        bool corrected =
            model_merge(model, module, from_s, to_s < span->to_s ? to_s : span->to_s, &expected);
        struct tide_record *record = &steps.record[i];

        forget_slowest(record);
        forget_slowest(&expected);
        if (span->no_hist) {
            tide_hist_reset(&record->hist);
            tide_hist_reset(&expected.hist);
        }
        if (!tide_record_equal(record, &expected) || !same_quantiles(record, &expected) ||
            steps.corrected[i] != corrected)
            fail_msg("module %u, [%lld, +%lld), coarsest %s: %llu requests instead of %llu, "
                     "corrected %d instead of %d, or another figure",
                     module, (long long)from_s, (long long)step_s,
                     tide_tier_info[span->coarsest].name,
                     (unsigned long long)record->tally.requests,
                     (unsigned long long)expected.tally.requests, steps.corrected[i], corrected);
    }
    steps_fini(&steps);
    tide_record_fini(&expected);
}

/* Points of one of the tiers' widths, or a multiple of it, over some of the time there is. */
static void compare_points(struct world *world, const struct model *model,
                           struct tide_snapshot *snapshot, unsigned module)
{
    enum tide_tier tier = (enum tide_tier)tide_any_between(&world->seed, 0, TIDE_TIER_1D);
    int64_t width_s = tier == TIDE_TIER_RAW ? world->cfg.interval_s : tide_tier_info[tier].width_s;
    int64_t step_s = width_s * tide_any_between(&world->seed, 1, 3);
    int64_t now_s = world->now_us / 1000000, ago_s = tide_any_between(&world->seed, 0, LATENESS_S),
            most = tier == TIDE_TIER_RAW ? 400 : 80;
    struct tide_span span = {.coarsest = tier};

    span.from_s = tide_floor_s(now_s - ago_s, step_s);
    span.to_s = span.from_s + step_s * tide_any_between(&world->seed, 1, most);
    compare_range(model, snapshot, module, &span, step_s);
}

/* Everything in a stretch with ragged edges as one record. */
static void compare_aggregate(struct world *world, const struct model *model,
                              struct tide_snapshot *snapshot, unsigned module)
{
    int64_t now_s = world->now_us / 1000000, interval_s = world->cfg.interval_s;
    struct tide_span span = {.coarsest =
                                 (enum tide_tier)tide_any_between(&world->seed, 0, TIDE_TIER_1D),
                             .no_hist = tide_any_between(&world->seed, 0, 3) == 0};

    span.merged = !span.no_hist && tide_any_between(&world->seed, 0, 1);
    span.from_s = tide_floor_s(now_s - tide_any_between(&world->seed, 0, 5 * 86400), interval_s);
    span.to_s =
        span.from_s + interval_s * tide_any_between(&world->seed, 1, 6 * 86400 / interval_s);
    compare_range(model, snapshot, module, &span, span.to_s - span.from_s);
}

struct swept {
    const struct tide_span *span;
    struct tide_record record[MODULES + 1]; /* by id - 1 */
    bool corrected[MODULES + 1];
    int64_t last_s[MODULES + 1];
    uint32_t unwanted;
};

static bool sweep_want(void *arg, uint32_t id, int64_t start_s)
{
    struct swept *swept = arg;

    (void)start_s;
    return id != swept->unwanted;
}

static bool sweep_take(void *arg, uint32_t id, int64_t start_s, const struct tide_record *record,
                       unsigned flags)
{
    struct swept *swept = arg;

    assert_in_range(id, 1, MODULES);
    assert_true(id != swept->unwanted);
    assert_in_range(start_s, swept->span->from_s, swept->span->to_s - 1);
    assert_true(start_s < swept->last_s[id]); /* each module newest first */
    swept->last_s[id] = start_s;
    tide_record_merge(&swept->record[id], record);
    swept->corrected[id] |= (flags & TIDE_PART_CORRECTED) != 0;
    return true;
}

static void compare_sweep(struct world *world, const struct model *model,
                          struct tide_snapshot *snapshot)
{
    int64_t now_s = world->now_us / 1000000, interval_s = world->cfg.interval_s;
    struct tide_span span = {.coarsest =
                                 (enum tide_tier)tide_any_between(&world->seed, 0, TIDE_TIER_1D)};
    struct swept swept = {.span = &span,
                          .unwanted = (uint32_t)tide_any_between(&world->seed, 1, 2 * MODULES)};
    struct tide_record expected;

    tide_record_init(&expected);
    for (int i = 0; i <= MODULES; i++) {
        tide_record_init(&swept.record[i]);
        swept.last_s[i] = INT64_MAX;
    }
    span.from_s = tide_floor_s(now_s - tide_any_between(&world->seed, 0, 5 * 86400), interval_s);
    span.to_s =
        span.from_s + interval_s * tide_any_between(&world->seed, 1, 6 * 86400 / interval_s);
    assert_int_equal(tide_snapshot_sweep_range(snapshot, &span, sweep_want, sweep_take, &swept),
                     TIDE_OK);
    for (unsigned module = 0; module < MODULES; module++) {
        uint32_t id = id_of(snapshot, module);
        bool corrected;

        if (id == UINT32_MAX || id == swept.unwanted)
            continue;
        corrected = model_merge(model, module, span.from_s, span.to_s, &expected);
        forget_slowest(&swept.record[id]);
        forget_slowest(&expected);
        if (!tide_record_equal(&swept.record[id], &expected) || swept.corrected[id] != corrected)
            fail_msg("sweep of module %u over [%lld, %lld), coarsest %s differs", module,
                     (long long)span.from_s, (long long)span.to_s,
                     tide_tier_info[span.coarsest].name);
    }
    for (int i = 0; i <= MODULES; i++)
        tide_record_fini(&swept.record[i]);
    tide_record_fini(&expected);
}

static void compare(struct world *world, struct tide_snapshot *snapshot, size_t events)
{
    struct model model;

    model_build(&model, world, events);
    for (unsigned module = 0; module <= FLEET; module++) {
        compare_points(world, &model, snapshot, module);
        compare_aggregate(world, &model, snapshot, module);
    }
    compare_sweep(world, &model, snapshot);
    model_free(&model);
}

static void compare_now(struct world *world)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};

    assert_int_equal(tide_snapshot_open(world->store, &snapshot, &err), TIDE_OK);
    compare(world, snapshot, world->events);
    tide_snapshot_close(snapshot);
}

/* ---- the runs ---- */

static uint64_t runs(uint64_t few)
{
    return getenv("TIDE_LONG") ? 30 * few : few;
}

static void begin(struct world *world, uint64_t seed)
{
    static const uint32_t interval_s[] = {10, 30, 60, 300};

    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->now_us = T0_S * 1000000;
    world->kept = malloc(EVENTS_MAX * sizeof(*world->kept));
    assert_non_null(world->kept);
    tide_test_dir(world->dir, sizeof(world->dir));
    tide_store_cfg_default(&world->cfg);
    snprintf(world->cfg.dir, sizeof(world->cfg.dir), "%s/store", world->dir);
    world->cfg.map_bytes = UINT64_C(1) << 32;
    world->cfg.interval_s = interval_s[tide_any_between(&world->seed, 0, 3)];
    world->cfg.grace_s = 5;
    world->cfg.lateness_s = LATENESS_S;
    world->cfg.fold_after_s = tide_any_between(&world->seed, 0, 2) * 3600;
    open_store(world);
}

static void end(struct world *world)
{
    tide_store_close(world->store);
    tide_test_dir_remove(world->dir);
    free(world->kept);
}

static void step(struct world *world)
{
    int64_t what = tide_any_between(&world->seed, 0, 19);

    if (what < 9) {
        commit_some(world);
    } else if (what < 14) {
        advance_and_seal(world);
    } else if (what < 19) {
        work_some(world);
    } else {
        tide_store_close(world->store);
        open_store(world);
    }
}

static void no_answer_depends_on_what_is_folded(void **state)
{
    static struct world world;

    for (uint64_t run = 0; run < runs(6); run++) {
        begin(&world, *(uint64_t *)*state + run);
        for (int i = 0; i < 400; i++) {
            step(&world);
            if (i % 12 == 0)
                compare_now(&world);
        }
        end(&world);
    }
}

static void a_snapshot_is_as_of_its_commit_whatever_is_folded_after_it(void **state)
{
    static struct world world;

    for (uint64_t run = 0; run < runs(3); run++) {
        begin(&world, *(uint64_t *)*state + 1000 + run);
        for (int turn = 0; turn < 12; turn++) {
            struct tide_snapshot *snapshot;
            struct tide_err err = {""};
            int64_t opened_us, now_us;
            size_t events;

            for (int i = 0; i < 25; i++)
                step(&world);
            events = world.events;
            opened_us = world.now_us;
            assert_int_equal(tide_snapshot_open(world.store, &snapshot, &err), TIDE_OK);
            for (int i = 0; i < 5; i++) {
                commit_some(&world);
                advance_and_seal(&world);
                work_some(&world);
            }
            now_us = world.now_us;
            world.now_us = opened_us; /* its transaction is not old, so it keeps it */
            tide_clock_fake(world.now_us);
            compare(&world, snapshot, events);
            tide_snapshot_close(snapshot);
            world.now_us = now_us;
            tide_clock_fake(world.now_us);
        }
        end(&world);
    }
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(no_answer_depends_on_what_is_folded, &seed),
        cmocka_unit_test_prestate(a_snapshot_is_as_of_its_commit_whatever_is_folded_after_it,
                                  &seed),
    };

    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
