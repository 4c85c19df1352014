/* `tidemark bench storage`: what the store makes of events, beside what it is meant to make of
 * them.
 *
 * The engine's own write path runs in this process, under a clock that does not wait, on modules
 * made from a seed. Every store is read back in the end and compared with what went in; a figure is
 * only worth something when the books agree.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_storage.h"
#include "human.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define MODULES       50
#define STORE_MODULES 200

static const struct part {
    const char *name;
    enum tide_rc (*run)(struct tide_bench *bench);
} parts[] = {
    {"life", tide_bench_life}, {"sizes", tide_bench_sizes}, {"commit", tide_bench_commit},
    {"year", tide_bench_year}, {"start", tide_bench_start},
};
#define PARTS (sizeof parts / sizeof *parts)

/* Otherwise there is an error instead of a report. */
static const char books_ok[] = "ok, everything was read back";

static void report_text(const struct tide_bench *bench, const char *what, double seconds)
{
    char took[TIDE_HUMAN_SIZE];

    printf("%s, seed %" PRIu64 ", %s\n\n", what, bench->seed, tide_human_ms(took, seconds * 1e3));
    tide_figures_print(&bench->figures, stdout);
    printf("\nbooks: %s\n", books_ok);
}

static void report_json(const struct tide_bench *bench, const char *what, double seconds)
{
    json_t *object = json_pack("{s:s, s:I, s:f, s:o, s:s}", "set", what, "seed",
                               (json_int_t)bench->seed, "seconds", seconds, "figures",
                               tide_figures_json(&bench->figures), "books", books_ok);

    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

/* A data set of so many module-intervals in one store takes so much while it is not folded. */
static uint64_t room_for(uint64_t records)
{
    return records * 400 + (UINT64_C(512) << 20);
}

static enum tide_rc run_parts(struct tide_bench *bench, const char *only)
{
    enum tide_rc rc;

    if ((rc = tide_scratch_room(bench->dir, room_for((uint64_t)bench->modules * bench->hours * 120),
                                &bench->err)) != TIDE_OK)
        return rc;
    for (size_t i = 0; i < PARTS && rc == TIDE_OK; i++)
        if (strcmp(only, "all") == 0 || strcmp(only, parts[i].name) == 0)
            rc = parts[i].run(bench);
    return rc;
}

static enum tide_rc run_table(struct tide_bench *bench, const struct tide_args *args)
{
    char path[TIDE_SCRATCH_PATH];
    enum tide_rc rc = tide_scratch_make(tide_args_text(args, "dir"), path, &bench->err);

    if (rc != TIDE_OK)
        return rc;
    snprintf(bench->dir, sizeof bench->dir, "%.970s", path);
    rc = run_parts(bench, tide_args_text(args, "only"));
    tide_scratch_remove(path);
    return rc;
}

static enum tide_rc options_check(const struct tide_args *args, struct tide_err *err)
{
    bool store = tide_args_given(args, "store");
    const char *misplaced = NULL;

    for (size_t i = 0; i < 3; i++) {
        static const char *const table_only[] = {"hours", "only", "dir"};

        if (store && tide_args_given(args, table_only[i]))
            misplaced = table_only[i];
    }
    if (misplaced) {
        tide_err_set(err, "--%s is not for --store", misplaced);
        return TIDE_USAGE;
    }
    if (!store && (tide_args_given(args, "days") || tide_args_flag(args, "keep"))) {
        tide_err_set(err, "--days and --keep belong to --store");
        return TIDE_USAGE;
    }
    return TIDE_OK;
}

static int run(const struct tide_args *args)
{
    struct tide_bench *bench = calloc(1, sizeof *bench);
    const char *store = tide_args_text(args, "store");
    int64_t begin_us = tide_clock_mono_us();
    struct tide_err err = {""};
    char what[200];
    double seconds;
    enum tide_rc rc;

    if (!bench)
        return tide_tool_fail(args, TIDE_NO_MEMORY, NULL);
    if ((rc = options_check(args, &err)) != TIDE_OK) {
        free(bench);
        return tide_tool_fail(args, rc, &err);
    }
    bench->seed = (uint64_t)tide_args_number(args, "seed");
    bench->hours = (uint32_t)tide_args_number(args, "hours");
    bench->modules = tide_args_given(args, "modules") ? (uint32_t)tide_args_number(args, "modules")
                     : store                          ? STORE_MODULES
                                                      : MODULES;
    tide_stop_catch();
    tide_log_set_level(TIDE_WARNING);
    tide_progress_start(&bench->progress, tide_args_text(args, "progress"), "records");
    if (store) {
        uint32_t days = (uint32_t)tide_args_number(args, "days");

        snprintf(what, sizeof what, "%u modules x %u days of history", bench->modules, days);
        bench->planned = (uint64_t)bench->modules * days * 2880;
        rc = tide_bench_history(bench, store, bench->modules, days, tide_args_flag(args, "keep"));
    } else {
        snprintf(what, sizeof what, "%u modules x %u h of intervals of 30 s", bench->modules,
                 bench->hours);
        rc = run_table(bench, args);
    }
    tide_progress_end(&bench->progress);
    seconds = (double)(tide_clock_mono_us() - begin_us) / 1e6;
    if (rc == TIDE_OK && tide_args_flag(args, "json"))
        report_json(bench, what, seconds);
    else if (rc == TIDE_OK)
        report_text(bench, what, seconds);
    err = bench->err;
    free(bench);
    return rc == TIDE_OK ? 0 : tide_tool_fail(args, rc, &err);
}

static const struct tide_option options[] = {
    {"modules", "N", NULL, "modules of a data set (50; with --store 200)", TIDE_OPTION_NUMBER, 1,
     5000},
    {"hours", "N", "24", "hours of a data set", TIDE_OPTION_NUMBER, 1, 8784},
    {"only", "all|life|sizes|commit|year|start", "all", "one part of the table", TIDE_OPTION_CHOICE,
     0, 0},
    {"dir", "PATH", ".", "where its stores are made, and removed afterwards", TIDE_OPTION_TEXT, 1,
     900},
    {"store", "DIR", NULL, "instead of the table: make a store with history here", TIDE_OPTION_TEXT,
     1, 1000},
    {"days", "N", "90", "days of history in it", TIDE_OPTION_NUMBER, 1, 3660},
    {"keep", NULL, NULL, "and leave it there", TIDE_OPTION_FLAG, 0, 0},
    {"seed", "N", "1", "the same seed makes the same events", TIDE_OPTION_NUMBER, 0, INT64_MAX},
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_bench_storage = {
    .name = "bench storage",
    .summary = "the store's own figures beside their targets: sizes, writes, commits, reads",
    .detail = "Runs the store's write path in this process, on modules made from a seed, under a\n"
              "clock that does not wait. The default set takes under a minute;\n"
              "--modules 200 is the large one. Figures depend on the disk of --dir.\n"
              "\n"
              "With --store: makes a store with months of history, prints its size, how long it\n"
              "takes to start and to answer, and removes it unless --keep is given.\n"
              "\n"
              "Exit: 0 when everything that went in was read back; 1 when it was not. A missed\n"
              "target is printed and is no failure.",
    .option = options,
    .run = run,
};
