/* Questions over a year. The first and the last day have every interval, the days between them four
 * each, busy ones: the coarser tiers look the same as if they had all, and the edges of a range,
 * the only place where finer ones are read, are real.
 */
#include "bench_storage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "rng.h"

#define DAY_S         86400
#define DAY_INTERVALS (DAY_S / TIDE_BENCH_INTERVAL_S)
#define DAYS          365
#define MODULES       2
#define EVENTS        300
#define ASKS          400
#define CHECKS        8 /* of them are compared with what their intervals say */

static void year_fill(struct tide_bench *bench, struct tide_sim *sim, struct tide_synth *synth,
                      uint32_t modules)
{
    struct tide_bench_history first = {.from_s = TIDE_BENCH_START_S,
                                       .intervals = DAY_INTERVALS,
                                       .every = 1,
                                       .batch = DAY_INTERVALS / 24},
                              middle = {.from_s = TIDE_BENCH_START_S + DAY_S,
                                        .intervals = (DAYS - 2) * DAY_INTERVALS,
                                        .every = DAY_INTERVALS / 4,
                                        .batch = DAY_INTERVALS},
                              last = first;

    last.from_s = TIDE_BENCH_START_S + (DAYS - 1) * INT64_C(86400);
    tide_bench_fill(bench, sim, synth, modules, &first);
    tide_bench_fill(bench, sim, synth, modules, &middle);
    tide_bench_fill(bench, sim, synth, modules, &last);
}

static bool merge(void *to, uint32_t module, int64_t start_s, const struct tide_record *record,
                  unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    tide_record_merge(to, record);
    return true;
}

/* All records of the span as one; `into` is initialised. */
static void ask(struct tide_sim *sim, uint32_t module, const struct tide_span *span,
                struct tide_record *into)
{
    struct tide_snapshot *snapshot;

    tide_record_reset(into);
    sim->rc = tide_snapshot_open(sim->store, &snapshot, &sim->err);
    if (sim->rc != TIDE_OK)
        return;
    sim->rc = tide_snapshot_range(snapshot, module, span, merge, into);
    tide_snapshot_close(snapshot);
}

/* A range that begins and ends anywhere in the year, or in its first and its last day. */
static struct tide_span any_span(struct tide_rng *rng, bool whole)
{
    uint32_t reach = (whole ? 1 : DAYS) * DAY_INTERVALS;
    int64_t a = tide_rng_below(rng, reach), b = tide_rng_below(rng, reach) + 1;

    if (whole)
        b += (int64_t)(DAYS - 1) * DAY_INTERVALS;
    return (struct tide_span){.from_s =
                                  TIDE_BENCH_START_S + (a < b ? a : b) * TIDE_BENCH_INTERVAL_S,
                              .to_s = TIDE_BENCH_START_S + (a < b ? b : a) * TIDE_BENCH_INTERVAL_S,
                              .coarsest = TIDE_TIER_1D,
                              .merged = true};
}

/* The same from the intervals themselves. */
static void check(struct tide_sim *sim, uint32_t module, struct tide_span span,
                  const struct tide_record *got, struct tide_record *expected)
{
    span.coarsest = TIDE_TIER_RAW;
    span.merged = false;
    ask(sim, module, &span, expected);
    if (sim->rc == TIDE_OK && (got->tally.requests != expected->tally.requests ||
                               got->tally.sum_us != expected->tally.sum_us ||
                               got->tally.max_us != expected->tally.max_us ||
                               !tide_hist_equal(&got->hist, &expected->hist))) {
        sim->rc = TIDE_DAMAGED;
        tide_err_set(&sim->err,
                     "an aggregate of module %" PRIu32 " from %" PRId64 " to %" PRId64
                     " is not that of its intervals: %" PRIu64 " requests instead of %" PRIu64,
                     module, span.from_s, span.to_s, got->tally.requests, expected->tally.requests);
    }
}

static void ask_all(struct tide_bench *bench, struct tide_sim *sim, uint32_t modules, bool fleet,
                    bool whole, const struct tide_figure *figure)
{
    struct tide_rng rng = {bench->seed};
    struct tide_record got, expected;
    struct tide_figure found = *figure;
    struct tide_laps laps;

    tide_laps_init(&laps);
    tide_record_init(&got);
    tide_record_init(&expected);
    for (uint32_t i = 0; i < ASKS && tide_sim_going(sim); i++) {
        uint32_t module = fleet ? TIDE_FLEET : 1 + i % modules;
        struct tide_span span = any_span(&rng, whole);

        tide_laps_begin(&laps);
        ask(sim, module, &span, &got);
        tide_laps_end(&laps);
        if (i < CHECKS && sim->rc == TIDE_OK)
            check(sim, module, span, &got, &expected);
    }
    tide_record_fini(&got);
    tide_record_fini(&expected);
    if (sim->rc == TIDE_OK) {
        found.unit = TIDE_UNIT_MS;
        found.value = tide_laps_ms(&laps, TIDE_LAP_WALL, .5);
        tide_figures_add(
            &bench->figures, &found, "p99 %.2f ms; CPU p50 %.2f ms; of %d, all with histogram",
            tide_laps_ms(&laps, TIDE_LAP_WALL, .99), tide_laps_ms(&laps, TIDE_LAP_CPU, .5), ASKS);
    }
    tide_laps_fini(&laps);
}

enum tide_rc tide_bench_year(struct tide_bench *bench)
{
    uint32_t modules = bench->modules < MODULES ? bench->modules : MODULES;
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_TWELVE,
                                 .seed = bench->seed,
                                 .modules = modules,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = EVENTS};
    struct tide_figure year = {.name = "year_aggregate",
                               .text = "one aggregate over a year, edges anywhere, p50",
                               .target = 1},
                       any = {.name = "any_aggregate", .text = "  over any part of it, p50"},
                       fleet = {.name = "year_aggregate_fleet",
                                .text = "  over a year, of the fleet, p50"};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_sim_cfg store;
    struct tide_sim sim;
    int64_t us;

    tide_bench_store(bench, "year", true, &store);
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    year_fill(bench, &sim, synth, modules);
    tide_bench_settle(&sim);
    tide_synth_free(synth);
    tide_sim_reopen(&sim, &us);
    ask_all(bench, &sim, modules, false, true, &year);
    ask_all(bench, &sim, modules, false, false, &any);
    ask_all(bench, &sim, modules, true, true, &fleet);
    return tide_bench_close(bench, &sim);
}
