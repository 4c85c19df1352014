/* The whole life of records, at the pace of real life: every interval of 30 s is committed, sealed
 * and kept up by itself, in synced transactions, until it is folded history. What is written for a
 * byte that is put, and how long the background holds up a commit: seals, upkeep with its folds,
 * and in the end the deletion of everything, first that of half the modules by a rule.
 *
 * Written is what this process gives to the kernel, which is whole pages of the store but for one
 * small write to a meta page in each transaction; that one is taken as the page that the disk gets.
 * (The kernel's own write_bytes counts each large folio that a page is part of: up to four times as
 * much here.) A second, shorter life has one event in a chunk and one chunk in a commit: what a
 * lone client costs that waits for each ack.
 */
#include "bench_storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proc.h"
#include "tidemark/counter.h"

#define LONE_COMMITS 600
#define PAGE_BYTES   4096

/* What was written since the beginning. */
struct traffic {
    uint64_t put_bytes, written_bytes, transactions;
    bool known;
};

static struct traffic traffic_now(void)
{
    struct traffic now = {.put_bytes = tide_counted(TIDE_COUNT_STORE_PUT_BYTES),
                          .transactions = tide_counted(TIDE_COUNT_STORE_TRANSACTIONS)};

    now.known = tide_written_bytes(&now.written_bytes);
    return now;
}

static void traffic_report(struct tide_bench *bench, const struct traffic *since,
                           struct tide_figure *figure, uint64_t events)
{
    struct traffic now = traffic_now();
    uint64_t transactions = now.transactions - since->transactions;
    double put = (double)(now.put_bytes - since->put_bytes);
    double written = (double)(now.written_bytes - since->written_bytes + transactions * PAGE_BYTES);

    if (!now.known || !since->known)
        return;
    figure->value = written / put;
    tide_figures_add(&bench->figures, figure,
                     "%" PRIu64 " transactions; %.1f B put and %.1f B written per event",
                     transactions, put / (double)events, written / (double)events);
}

/* The worst stall, and what of it the processor did; the rest was waiting, mostly for the disk to
 * sync. */
static void stall_report(struct tide_bench *bench, const struct tide_laps *laps, const char *name,
                         const char *text, double target, const char *limit)
{
    struct tide_figure figure = {.unit = TIDE_UNIT_MS, .target = target, .limit = limit};

    snprintf(figure.name, sizeof figure.name, "%s", name);
    snprintf(figure.text, sizeof figure.text, "%s", text);
    figure.value = tide_laps_ms(laps, TIDE_LAP_WALL, 1);
    tide_figures_add(&bench->figures, &figure, "of %" PRIu64 ", p50 %.2f ms, p99 %.2f ms",
                     laps->count, tide_laps_ms(laps, TIDE_LAP_WALL, .5),
                     tide_laps_ms(laps, TIDE_LAP_WALL, .99));
    figure.limit = NULL;
    snprintf(figure.name, sizeof figure.name, "%s_cpu", name);
    snprintf(figure.text, sizeof figure.text, "  the most CPU in one");
    figure.value = tide_laps_ms(laps, TIDE_LAP_CPU, 1);
    tide_figures_add(&bench->figures, &figure, "p50 %.2f ms, p99 %.2f ms; the rest waits for syncs",
                     tide_laps_ms(laps, TIDE_LAP_CPU, .5), tide_laps_ms(laps, TIDE_LAP_CPU, .99));
}

/* History is over: two restarts, each with shorter keep times than before. */
static void expire(struct tide_bench *bench, struct tide_sim *sim)
{
    struct tide_retention_rule rule = {.glob = "svc-*[02468]", .keep_s = {3600, 3600, 3600, 3600}};
    struct tide_retention_rules *rules = &sim->cfg.store.retention;
    int64_t us;

    tide_sim_audit(sim);
    tide_laps_fini(&sim->upkeep);
    tide_laps_init(&sim->upkeep);
    rules->rule = &rule;
    rules->rules = 1;
    for (int round = 0; round < 2; round++) {
        tide_sim_reopen(sim, &us);
        for (int minute = 0; minute < 2; minute++)
            tide_sim_advance(sim, sim->now_us + 60 * 1000000);
        memcpy(rules->keep_s, rule.keep_s, sizeof rules->keep_s);
    }
    rules->rules = 0;
    rules->rule = NULL;
    if (sim->rc == TIDE_OK)
        stall_report(bench, &sim->upkeep, "retention_worst", "worst stall by a slice of retention",
                     10, "1.5-5 ms");
}

static enum tide_rc live(struct tide_bench *bench)
{
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_TWELVE,
                                 .seed = bench->seed,
                                 .modules = 4 * bench->modules,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = 30};
    struct tide_bench_history history = {.from_s = TIDE_BENCH_START_S,
                                         .intervals = (bench->hours + 3) / 4 *
                                                      (3600 / TIDE_BENCH_INTERVAL_S),
                                         .every = 1,
                                         .batch = 1};
    struct tide_figure ratio = {.name = "written_per_put",
                                .text = "bytes written per byte put, whole life",
                                .unit = TIDE_UNIT_TIMES,
                                .target = 4};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_sim_cfg store;
    struct traffic traffic;
    struct tide_sim sim;

    tide_bench_store(bench, "life", false, &store);
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    traffic = traffic_now();
    tide_bench_fill(bench, &sim, synth, cfg.modules, &history);
    tide_bench_settle(&sim);
    tide_synth_free(synth);
    if (sim.rc == TIDE_OK) {
        traffic_report(bench, &traffic, &ratio, sim.books.events);
        stall_report(bench, &sim.seal, "seal_worst", "worst stall by a seal", 0, NULL);
        stall_report(bench, &sim.upkeep, "upkeep_worst", "worst stall by a slice of upkeep", 10,
                     NULL);
        expire(bench, &sim);
    }
    return tide_bench_drop(bench, &sim);
}

static enum tide_rc live_alone(struct tide_bench *bench)
{
    struct tide_synth_cfg cfg = {.shape = TIDE_SYNTH_FULL,
                                 .seed = bench->seed,
                                 .modules = 1,
                                 .interval_s = TIDE_BENCH_INTERVAL_S,
                                 .events = 10};
    struct tide_figure ratio = {.name = "written_per_put_alone",
                                .text = "  one event a chunk, one chunk a commit",
                                .unit = TIDE_UNIT_TIMES};
    struct tide_bench_history history = {
        .from_s = TIDE_BENCH_START_S, .intervals = LONE_COMMITS / 10, .every = 1, .batch = 1};
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_sim_cfg store;
    struct traffic traffic;
    struct tide_sim sim;

    tide_bench_store(bench, "alone", false, &store);
    store.chunk_events = store.group_events = 1;
    tide_sim_open(&sim, &store, TIDE_BENCH_START_S * 1000000);
    traffic = traffic_now();
    tide_bench_fill(bench, &sim, synth, cfg.modules, &history);
    tide_bench_settle(&sim);
    tide_synth_free(synth);
    if (sim.rc == TIDE_OK)
        traffic_report(bench, &traffic, &ratio, sim.books.events);
    return tide_bench_close(bench, &sim);
}

enum tide_rc tide_bench_life(struct tide_bench *bench)
{
    enum tide_rc rc = live(bench);

    return rc == TIDE_OK ? live_alone(bench) : rc;
}
