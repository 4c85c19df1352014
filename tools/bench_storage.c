/* Making stores for the parts, the sizes of records, and a day of one module read back.
 *
 * Sizes do not depend on how often a store was synced on its way, so these sets are sent an hour at
 * a time. What a record takes is what the tables of folded history take, inner pages and unfilled
 * ends of pages included, divided by the records of modules in them.
 */
#include "bench_storage.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tidemark.h"
#include "tidemark/tier.h"

void tide_bench_store(const struct tide_bench *bench, const char *name, bool batched,
                      struct tide_sim_cfg *ret)
{
    *ret = (struct tide_sim_cfg){.chunk_events = batched ? 20000 : 100,
                                 .group_events = batched ? 400000 : 6400};
    tide_store_cfg_default(&ret->store);
    ret->store.interval_s = TIDE_BENCH_INTERVAL_S;
    ret->store.grace_s = TIDE_BENCH_GRACE_S;
    ret->store.fold_after_s = 3600;
    memset(ret->store.retention.keep_s, 0, sizeof ret->store.retention.keep_s); /* for ever */
    snprintf(ret->store.dir, sizeof ret->store.dir, "%s/%s", bench->dir, name);
}

void tide_bench_fill(struct tide_bench *bench, struct tide_sim *sim, struct tide_synth *synth,
                     uint32_t modules, const struct tide_bench_history *history)
{
    for (uint32_t first = 0; first < history->intervals && tide_sim_going(sim);
         first += history->batch) {
        uint32_t end = first + history->batch;
        int64_t end_us;

        end = end < history->intervals ? end : history->intervals;
        end_us = (history->from_s + (int64_t)end * TIDE_BENCH_INTERVAL_S) * 1000000;
        tide_sim_advance(sim, end_us); /* events never come from the future */
        for (uint32_t i = first; i < end; i++) {
            if (i % history->every != 0)
                continue;
            for (uint32_t module = 0; module < modules; module++)
                tide_synth_log(synth, module, history->from_s + (int64_t)i * TIDE_BENCH_INTERVAL_S,
                               tide_sim_take, sim);
            bench->records += modules;
        }
        tide_sim_advance(sim, end_us + TIDE_BENCH_GRACE_S * 1000000);
        tide_progress_show(&bench->progress, bench->records,
                           bench->planned ? (double)bench->records / (double)bench->planned : -1);
    }
}

void tide_bench_settle(struct tide_sim *sim)
{
    int64_t end_s = tide_ceil_s(sim->now_us / 1000000, 86400);

    tide_sim_advance(sim, (end_s + sim->cfg.store.fold_after_s + 3600) * 1000000);
}

struct tide_store_table tide_bench_table(struct tide_sim *sim, const char *name)
{
    struct tide_store_table table[TIDE_STORE_TABLES], none = {.values = 0};
    size_t count = 0;

    if (sim->rc == TIDE_OK)
        sim->rc = tide_store_tables(sim->store, table, &count, &sim->err);
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i];
    return none;
}

enum tide_rc tide_bench_close(struct tide_bench *bench, struct tide_sim *sim)
{
    tide_sim_audit(sim);
    return tide_bench_drop(bench, sim);
}

enum tide_rc tide_bench_drop(struct tide_bench *bench, struct tide_sim *sim)
{
    enum tide_rc rc = sim->rc;

    bench->err = sim->err;
    tide_sim_close(sim);
    tide_scratch_remove(sim->cfg.store.dir);
    return rc;
}

struct set {
    const char *name, *text, *limit;
    enum tide_synth_shape shape;
    double events, target;
    uint32_t fewer;     /* modules and hours are divided by this: the busy ones */
    double best, floor; /* bytes of the reference encoder, 0: not measured */
};

/* `best` and `floor` are quoted: file bytes a record of an encoder without a service around it,
 * with Rice-coded histograms in chunks of a page and with an adaptive range coder, measured in
 * November 2026 on its own modules of the same kind (200 of them, a day of 30 s, medians of 30 and
 * of 3). */

static const struct set sets[] = {
    {"busy", "bytes a record, busy (median 30 events)", "37.5, floor 33", TIDE_SYNTH_TWELVE, 30, 40,
     1, 37.5, 33.1},
    {"busy_full", "  the same, full record", NULL, TIDE_SYNTH_FULL, 30, 0, 1, 0, 0},
    {"quiet", "bytes a record, quiet (median 3 events)", "24, floor 21", TIDE_SYNTH_TWELVE, 3, 25,
     1, 23.8, 21.0},
    {"quiet_full", "  the same, full record", NULL, TIDE_SYNTH_FULL, 3, 0, 1, 0, 0},
    {"silent", "bytes a record, nearly silent (median 1.5)", NULL, TIDE_SYNTH_TWELVE, 1.5, 0, 1, 0,
     0},
    {"very_busy", "bytes a record, very busy (median 1000)", NULL, TIDE_SYNTH_TWELVE, 1000, 0, 5, 0,
     0},
    {"very_busy_full", "  the same, full record", NULL, TIDE_SYNTH_FULL, 1000, 0, 5, 0, 0},
    {"coarse", "bytes a record, 20 coarse buckets", "34.8 of VictoriaMetrics", TIDE_SYNTH_COARSE, 0,
     34.8, 1, 0, 0},
};

/* ---- a day of one module ---- */

static bool take(void *to, uint32_t module, int64_t start_s, const struct tide_record *record,
                 unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    *(uint64_t *)to += record->tally.requests + record->hist.len;
    return true;
}

/* Every module once after a start, so that nothing of it was touched before. */
static void read_days(struct tide_bench *bench, struct tide_sim *sim, uint32_t modules)
{
    struct tide_figure figure = {.name = "day_of_one_module",
                                 .text = "24 h of one module, all fields, cold head, p50",
                                 .unit = TIDE_UNIT_MS,
                                 .target = 1.5,
                                 .limit = "about 1.2 ms"};
    int64_t from_s = TIDE_BENCH_START_S, to_s = from_s + 86400, open_us;
    struct tide_laps laps;
    uint64_t sum = 0;

    tide_laps_init(&laps);
    tide_sim_reopen(sim, &open_us);
    for (uint32_t id = 1; id <= modules && tide_sim_going(sim); id++) {
        struct tide_snapshot *snapshot;

        tide_laps_begin(&laps);
        sim->rc = tide_snapshot_open(sim->store, &snapshot, &sim->err);
        if (sim->rc == TIDE_OK) {
            sim->rc = tide_snapshot_walk(snapshot, id, from_s, to_s, take, &sum);
            tide_snapshot_close(snapshot);
        }
        tide_laps_end(&laps);
    }
    if (sim->rc == TIDE_OK) {
        figure.value = tide_laps_ms(&laps, TIDE_LAP_WALL, .5);
        tide_figures_add(&bench->figures, &figure, "p99 %.2f ms; CPU p50 %.2f ms; %u h are there",
                         tide_laps_ms(&laps, TIDE_LAP_WALL, .99),
                         tide_laps_ms(&laps, TIDE_LAP_CPU, .5),
                         bench->hours < 24 ? bench->hours : 24);
    }
    tide_laps_fini(&laps);
}

/* ---- sizes ---- */

/* All tables: what the file holds but for free pages. */
static uint64_t used_bytes(struct tide_sim *sim)
{
    struct tide_store_table table[TIDE_STORE_TABLES];
    uint64_t bytes = 0;
    size_t count = 0;

    if (sim->rc == TIDE_OK)
        sim->rc = tide_store_tables(sim->store, table, &count, &sim->err);
    for (size_t i = 0; i < count; i++)
        bytes += table[i].bytes;
    return bytes;
}

static void record_size(struct tide_bench *bench, struct tide_sim *sim, struct tide_figure *figure,
                        uint64_t records)
{
    struct tide_store_table raw = tide_bench_table(sim, "chunk_raw");

    if (sim->rc != TIDE_OK)
        return;
    figure->value =
        raw.values ? (double)(raw.bytes - raw.fleet_bytes) / (double)records : (double)NAN;
    tide_figures_add(&bench->figures, figure,
                     "%" PRIu64 " records of %.0f events; with fleet, tiers and all %.1f B",
                     records, (double)sim->books.weighed / (double)records,
                     (double)used_bytes(sim) / (double)records);
}

/* The size beside that of the reference encoder. */
static void ratio_to_best(struct tide_bench *bench, const struct set *set, double bytes)
{
    struct tide_figure figure = {.unit = TIDE_UNIT_TIMES, .value = bytes / set->best};

    snprintf(figure.name, sizeof figure.name, "%s_to_reference", set->name);
    snprintf(figure.text, sizeof figure.text, "  in bytes of the reference encoder (%.1f)",
             set->best);
    tide_figures_add(&bench->figures, &figure,
                     "quoted, on its own modules of this kind; %.2f x its floor of %.1f",
                     bytes / set->floor, set->floor);
}

static enum tide_rc size_of(struct tide_bench *bench, const struct set *set)
{
    struct tide_synth_cfg cfg = {.shape = set->shape,
                                 .seed = bench->seed,
                                 .modules = (bench->modules + set->fewer - 1) / set->fewer,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = set->events};
    struct tide_bench_history history = {.from_s = TIDE_BENCH_START_S,
                                         .intervals = (bench->hours + set->fewer - 1) / set->fewer *
                                                      (3600 / TIDE_BENCH_INTERVAL_S),
                                         .every = 1,
                                         .batch = 3600 / TIDE_BENCH_INTERVAL_S};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_figure figure = {
        .unit = TIDE_UNIT_BYTES_EACH, .target = set->target, .limit = set->limit};
    struct tide_sim_cfg store;
    struct tide_sim sim;

    snprintf(figure.name, sizeof figure.name, "%s", set->name);
    snprintf(figure.text, sizeof figure.text, "%s", set->text);
    tide_bench_store(bench, set->name, true, &store);
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    tide_bench_fill(bench, &sim, synth, cfg.modules, &history);
    tide_bench_settle(&sim);
    tide_synth_free(synth);
    record_size(bench, &sim, &figure, (uint64_t)cfg.modules * history.intervals);
    if (set->best > 0 && sim.rc == TIDE_OK)
        ratio_to_best(bench, set, figure.value);
    if (set == &sets[0])
        read_days(bench, &sim, cfg.modules);
    return tide_bench_close(bench, &sim);
}

enum tide_rc tide_bench_sizes(struct tide_bench *bench)
{
    enum tide_rc rc = TIDE_OK;

    for (size_t i = 0; i < sizeof sets / sizeof *sets && rc == TIDE_OK; i++)
        rc = size_of(bench, &sets[i]);
    return rc;
}
