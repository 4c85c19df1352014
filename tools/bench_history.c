/* A store as somebody has it after months, made through the same doors as every event, an hour at a
 * time: how big it is, how long it takes to start, how long to answer. It ends a day or two ago, so
 * that a daemon that goes on with it finds most of it younger than its keep times.
 */
#include "bench_storage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tidemark/clock.h"
#include "tidemark/tier.h"

#define DAY_S          86400
#define HOUR_INTERVALS (3600 / TIDE_BENCH_INTERVAL_S)
#define TIMES          50

/* Makes the directory, or takes an empty one. */
static enum tide_rc dir_take(const char *dir, struct tide_err *err)
{
    struct dirent *entry;
    bool used = false;
    DIR *list;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        tide_err_set(err, "make directory %s: %s", dir, strerror(errno));
        return TIDE_IO;
    }
    if (!(list = opendir(dir))) {
        tide_err_set(err, "open directory %s: %s", dir, strerror(errno));
        return TIDE_IO;
    }
    while (!used && (entry = readdir(list)))
        used = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    if (used) {
        tide_err_set(err, "%s is not empty: name a new directory, or remove what is in it", dir);
        return TIDE_USAGE;
    }
    return TIDE_OK;
}

static bool take(void *to, uint32_t module, int64_t start_s, const struct tide_record *record,
                 unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    *(uint64_t *)to += record->tally.requests + record->hist.len;
    return true;
}

/* Who is asked for a span: some modules one by one, all in one sweep, or the fleet. */
enum whom { SOME, EVERY, FLEET };

static void read_span(struct tide_bench *bench, struct tide_sim *sim, uint32_t modules,
                      enum whom whom, struct tide_span span, const char *name, const char *text)
{
    uint32_t times = whom == SOME && modules < TIMES ? modules : TIMES;
    struct tide_figure found = {.unit = TIDE_UNIT_MS};
    struct tide_laps laps;
    uint64_t sum = 0;

    tide_laps_init(&laps);
    for (uint32_t i = 0; i < times && tide_sim_going(sim); i++) {
        struct tide_snapshot *snapshot;
        uint32_t module = whom == FLEET ? TIDE_FLEET : 1 + i * modules / times;

        tide_laps_begin(&laps);
        sim->rc = tide_snapshot_open(sim->store, &snapshot, &sim->err);
        if (sim->rc == TIDE_OK) {
            sim->rc = whom == EVERY ? tide_snapshot_sweep_range(snapshot, &span, NULL, take, &sum)
                                    : tide_snapshot_range(snapshot, module, &span, take, &sum);
            tide_snapshot_close(snapshot);
        }
        tide_laps_end(&laps);
    }
    if (sim->rc == TIDE_OK) {
        snprintf(found.name, sizeof found.name, "%s", name);
        snprintf(found.text, sizeof found.text, "%s", text);
        found.value = tide_laps_ms(&laps, TIDE_LAP_WALL, .5);
        tide_figures_add(&bench->figures, &found, "p99 %.2f ms; CPU p50 %.2f ms; of %u",
                         tide_laps_ms(&laps, TIDE_LAP_WALL, .99),
                         tide_laps_ms(&laps, TIDE_LAP_CPU, .5), times);
    }
    tide_laps_fini(&laps);
}

static void report(struct tide_bench *bench, struct tide_sim *sim, uint64_t records, double seconds)
{
    struct tide_figure size = {.name = "store_bytes", .text = "size", .unit = TIDE_UNIT_BYTES},
                       made = {.name = "making", .text = "time to make it", .unit = TIDE_UNIT_MS},
                       each = {.name = "store_bytes_per_record",
                               .text = "file bytes a record, everything in it",
                               .unit = TIDE_UNIT_BYTES_EACH};
    struct tide_store_table table[TIDE_STORE_TABLES];
    struct tide_store_stats stats;
    size_t count = 0;

    if (sim->rc == TIDE_OK)
        sim->rc = tide_store_tables(sim->store, table, &count, &sim->err);
    if (sim->rc != TIDE_OK)
        return;
    tide_store_stats(sim->store, &stats);
    size.value = (double)stats.file_bytes;
    tide_figures_add(&bench->figures, &size, "%.0f MiB of it free pages",
                     (double)stats.free_pages * 4096 / 0x1p20);
    each.value = (double)stats.file_bytes / (double)records;
    tide_figures_add(&bench->figures, &each, "%" PRIu64 " records of modules", records);
    for (size_t i = 0; i < count; i++) {
        struct tide_figure part = {.unit = TIDE_UNIT_BYTES, .value = (double)table[i].bytes};

        snprintf(part.name, sizeof part.name, "table_%.15s", table[i].name);
        snprintf(part.text, sizeof part.text, "  table %.15s", table[i].name);
        if (table[i].values)
            tide_figures_add(&bench->figures, &part, "%" PRIu64 " values", table[i].values);
    }
    made.value = seconds * 1e3;
    tide_figures_add(&bench->figures, &made, "%.2f M events a second",
                     (double)sim->books.events / seconds / 1e6);
}

/* The newest part of the history, in records of one tier. */
static struct tide_span newest(int64_t end_s, int64_t seconds, enum tide_tier tier)
{
    return (struct tide_span){.from_s = end_s - seconds, .to_s = end_s, .coarsest = tier};
}

static void ask(struct tide_bench *bench, struct tide_sim *sim, uint32_t modules, int64_t end_s,
                int64_t all_s)
{
    struct tide_figure start = {.name = "store_start", .text = "start", .unit = TIDE_UNIT_MS};
    int64_t us;

    tide_sim_reopen(sim, &us);
    if (sim->rc != TIDE_OK)
        return;
    start.value = (double)us / 1e3;
    tide_figures_add(&bench->figures, &start, "pages in memory");
    read_span(bench, sim, modules, SOME, newest(end_s, DAY_S, TIDE_TIER_RAW), "store_day",
              "last 24 h of one module, intervals, p50");
    read_span(bench, sim, modules, SOME, newest(end_s, all_s, TIDE_TIER_1H), "store_hours",
              "all time of one module, hours, p50");
    read_span(bench, sim, modules, SOME, newest(end_s, all_s - TIDE_BENCH_INTERVAL_S, TIDE_TIER_1D),
              "store_aggregate", "all time but an interval of one module, p50");
    read_span(bench, sim, modules, FLEET,
              newest(end_s, all_s - TIDE_BENCH_INTERVAL_S, TIDE_TIER_1D), "store_aggregate_fleet",
              "  the same, of the fleet, p50");
    read_span(bench, sim, modules, EVERY, newest(end_s, 3600, TIDE_TIER_1H), "store_hour",
              "last hour of every module, p50");
}

enum tide_rc tide_bench_history(struct tide_bench *bench, const char *dir, uint32_t modules,
                                uint32_t days, bool keep)
{
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_TWELVE,
                                 .seed = bench->seed,
                                 .modules = modules,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = 30};
    int64_t all_s = (int64_t)days * DAY_S;
    int64_t end_s = tide_floor_s(tide_clock_wall_us() / 1000000 - DAY_S, DAY_S);
    struct tide_bench_history history = {.from_s = end_s - all_s,
                                         .intervals = days * 24 * HOUR_INTERVALS,
                                         .every = 1,
                                         .batch = HOUR_INTERVALS};
    uint64_t records = (uint64_t)modules * history.intervals;
    int64_t begin_us = tide_clock_mono_us();
    struct tide_synth *synth;
    struct tide_sim_cfg store;
    struct tide_sim sim;
    enum tide_rc rc;

    if ((rc = dir_take(dir, &bench->err)) != TIDE_OK)
        return rc;
    if ((rc = tide_scratch_room(dir, records * 150, &bench->err)) != TIDE_OK) {
        rmdir(dir);
        return rc;
    }
    tide_bench_store(bench, "", true, &store);
    snprintf(store.store.dir, sizeof store.store.dir, "%s", dir);
    synth = tide_synth_new(&cfg);
    tide_sim_open(&sim, &store, (end_s - all_s) * 1000000);
    tide_bench_fill(bench, &sim, synth, modules, &history);
    tide_bench_settle(&sim);
    tide_synth_free(synth);
    report(bench, &sim, records, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    ask(bench, &sim, modules, end_s, all_s);
    tide_sim_audit(&sim);
    bench->err = sim.err;
    rc = sim.rc;
    tide_sim_close(&sim);
    if (!keep)
        tide_scratch_remove(dir);
    return rc;
}
