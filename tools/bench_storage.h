/* bench_storage - what the parts of `tidemark bench storage` share. Each part makes stores of its
 * own below bench->dir with one writer, itself, adds its figures and audits what it wrote.
 */
#ifndef TIDEMARK_TOOLS_BENCH_STORAGE_H
#define TIDEMARK_TOOLS_BENCH_STORAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "figures.h"
#include "progress.h"
#include "scratch.h"
#include "sim.h"
#include "synth.h"

#define TIDE_BENCH_INTERVAL_S 30
#define TIDE_BENCH_GRACE_S    5
#define TIDE_BENCH_START_S    INT64_C(1704067200) /* a midnight */

struct tide_bench {
    uint64_t seed;
    uint32_t modules, hours; /* of a data set */
    char dir[980];
    struct tide_figures figures;
    struct tide_progress progress;
    uint64_t records, planned; /* made so far; of about so many */
    struct tide_err err;
};

/* How a stretch of history is made. */
struct tide_bench_history {
    int64_t from_s;
    uint32_t intervals;
    uint32_t every; /* intervals between those that have events; 1: all have */
    uint32_t batch; /* intervals that are sent, sealed and kept up at once; 1: as in real life */
};

/* A configuration for a store called `name`; chunks of 100 events, or of 20 000 when batched. */
void tide_bench_store(const struct tide_bench *bench, const char *name, bool batched,
                      struct tide_sim_cfg *ret);

/* Makes a stretch. The clock ends where the last interval is sealed. */
void tide_bench_fill(struct tide_bench *bench, struct tide_sim *sim, struct tide_synth *synth,
                     uint32_t modules, const struct tide_bench_history *history);

/* Lets time pass until everything that is old enough to be folded is. */
void tide_bench_settle(struct tide_sim *sim);

/* What a table takes; zero when there is none of that name. */
struct tide_store_table tide_bench_table(struct tide_sim *sim, const char *name);

/* Audits, closes, removes the files, hands up what went wrong. */
enum tide_rc tide_bench_close(struct tide_bench *bench, struct tide_sim *sim);

/* The same without the audit, for a store that was audited and then lost history. */
enum tide_rc tide_bench_drop(struct tide_bench *bench, struct tide_sim *sim);

/* The parts. */
enum tide_rc tide_bench_sizes(struct tide_bench *bench);
enum tide_rc tide_bench_life(struct tide_bench *bench);
enum tide_rc tide_bench_commit(struct tide_bench *bench);
enum tide_rc tide_bench_year(struct tide_bench *bench);
enum tide_rc tide_bench_start(struct tide_bench *bench);

/* The store of --store: dir is made, or empty; what is in it afterwards is removed, unless kept. */
enum tide_rc tide_bench_history(struct tide_bench *bench, const char *dir, uint32_t modules,
                                uint32_t days, bool keep);

#endif
