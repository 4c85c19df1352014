/* How fast one group gets to the disk, beside how fast anything does; and how fast a store with
 * many modules is there again.
 */
#include "bench_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GROUPS         600
#define GROUP_MODULES  200
#define SYNCS          300
#define SYNC_BYTES     4096
#define MANY_TIMES     200 /* as many modules as a data set has: 10 000 */
#define MANY_INTERVALS (3600 / TIDE_BENCH_INTERVAL_S)
#define STARTS         3

/* ---- the disk ---- */

/* Overwrites pages of a file one after the other, each followed by fdatasync. */
static enum tide_rc sync_pages(struct tide_bench *bench, struct tide_laps *laps)
{
    char path[TIDE_SCRATCH_PATH], page[SYNC_BYTES];
    enum tide_rc rc = TIDE_OK;
    int fd;

    memset(page, 0x5a, sizeof page);
    snprintf(path, sizeof path, "%s/sync", bench->dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < SYNCS && rc == TIDE_OK; i++) /* so that none has to grow it */
        if (pwrite(fd, page, sizeof page, (off_t)i * SYNC_BYTES) != SYNC_BYTES)
            rc = TIDE_IO;
    if (fd < 0 || rc != TIDE_OK || fsync(fd) != 0)
        rc = TIDE_IO;
    for (int i = 0; i < SYNCS && rc == TIDE_OK; i++) {
        tide_laps_begin(laps);
        if (pwrite(fd, page, sizeof page, (off_t)i * SYNC_BYTES) != SYNC_BYTES ||
            fdatasync(fd) != 0)
            rc = TIDE_IO;
        tide_laps_end(laps);
    }
    if (rc != TIDE_OK)
        tide_err_set(&bench->err, "write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    unlink(path);
    return rc;
}

/* ---- commits ---- */

/* Every group holds some events of every module; the groups of an interval are those of ten a
 * second. */
static void commit_groups(struct tide_bench *bench, struct tide_sim *sim, struct tide_synth *synth)
{
    for (uint32_t group = 0; group < GROUPS && tide_sim_going(sim); group++) {
        uint32_t interval = group / (10 * TIDE_BENCH_INTERVAL_S);
        int64_t start_s = TIDE_BENCH_START_S + (int64_t)interval * TIDE_BENCH_INTERVAL_S;

        tide_sim_advance(sim, TIDE_BENCH_START_S * 1000000 + (int64_t)group * 100000);
        for (uint32_t module = 0; module < GROUP_MODULES; module++)
            tide_synth_log(synth, module, start_s, tide_sim_take, sim);
        tide_sim_commit(sim);
        tide_progress_show(&bench->progress, bench->records, -1);
    }
}

static void commit_report(struct tide_bench *bench, const struct tide_sim *sim,
                          const struct tide_laps *disk)
{
    struct tide_figure p50 = {.name = "commit_p50",
                              .text = "commit of one group, 200 modules touched, p50",
                              .unit = TIDE_UNIT_MS,
                              .target = 1,
                              .limit = "0.55 ms"},
                       sync = {.name = "fdatasync_p50",
                               .text = "  4 KiB and fdatasync on the same disk, p50",
                               .unit = TIDE_UNIT_MS};

    p50.value = tide_laps_ms(&sim->commit, TIDE_LAP_WALL, .5);
    sync.value = tide_laps_ms(disk, TIDE_LAP_WALL, .5);
    tide_figures_add(&bench->figures, &p50,
                     "p99 %.2f ms; CPU p50 %.2f ms; %.0f events each; %.1f syncs of that disk",
                     tide_laps_ms(&sim->commit, TIDE_LAP_WALL, .99),
                     tide_laps_ms(&sim->commit, TIDE_LAP_CPU, .5),
                     (double)sim->books.events / (double)sim->books.groups, p50.value / sync.value);
    tide_figures_add(&bench->figures, &sync, "p99 %.2f ms", tide_laps_ms(disk, TIDE_LAP_WALL, .99));
}

enum tide_rc tide_bench_commit(struct tide_bench *bench)
{
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_FULL,
                                 .seed = bench->seed,
                                 .modules = GROUP_MODULES,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = 3};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_sim_cfg store;
    struct tide_laps disk;
    struct tide_sim sim;
    enum tide_rc rc;

    tide_bench_store(bench, "commit", false, &store);
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    tide_laps_init(&disk);
    rc = sync_pages(bench, &disk);
    if (rc == TIDE_OK) {
        commit_groups(bench, &sim, synth);
        rc = sync_pages(bench, &disk); /* before and after: disks have their moods */
    }
    if (rc == TIDE_OK && sim.rc == TIDE_OK)
        commit_report(bench, &sim, &disk);
    tide_laps_fini(&disk);
    tide_synth_free(synth);
    if (rc != TIDE_OK) {
        tide_sim_close(&sim);
        return rc;
    }
    return tide_bench_close(bench, &sim);
}

/* ---- start ---- */

enum tide_rc tide_bench_start(struct tide_bench *bench)
{
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_TWELVE,
                                 .seed = bench->seed,
                                 .modules = MANY_TIMES * bench->modules,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = 1};
    struct tide_bench_history history = {
        .from_s = TIDE_BENCH_START_S, .intervals = MANY_INTERVALS, .every = 1, .batch = 1};
    struct tide_figure figure = {.name = "start", .unit = TIDE_UNIT_MS, .target = 2000};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_store_stats stats;
    int64_t us, worst_us = 0;
    struct tide_sim_cfg store;
    struct tide_sim sim;

    snprintf(figure.text, sizeof figure.text, "start with %u modules and an hour of rows",
             cfg.modules);
    tide_bench_store(bench, "start", true, &store);
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    tide_bench_fill(bench, &sim, synth, cfg.modules, &history);
    tide_synth_free(synth);
    for (int i = 0; i < STARTS && tide_sim_going(&sim); i++) {
        tide_sim_reopen(&sim, &us);
        worst_us = us > worst_us ? us : worst_us;
    }
    if (sim.rc == TIDE_OK) {
        tide_store_stats(sim.store, &stats);
        figure.value = (double)worst_us / 1e3;
        tide_figures_add(&bench->figures, &figure,
                         "worst of %d, pages in memory; file %.0f MiB, %" PRIu64 " rows", STARTS,
                         (double)stats.file_bytes / 0x1p20, tide_bench_table(&sim, "row").values);
    }
    return tide_bench_close(bench, &sim);
}
