/* `tidemark export`: all that a store holds, as text, beside its daemon or without one. */
#include "tidemark.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "human.h"
#include "portable.h"
#include "tidemark/clock.h"
#include "tidemark/transfer.h"
#include "verifying.h"

#define GROWTH_LOOK 4096 /* records between two looks at the size of the file */

struct export
{
    struct tide_progress progress;
    struct tide_store *store;
    struct tide_snapshot *snapshot;
    struct tide_sheet sheet;
    const char *glob;           /* NULL: all modules */
    struct tide_module *module; /* by id, asked once: the snapshot keeps what it sums up for it */
    bool lives; /* the whole time is exported, so what is left of a life can be told */
    struct tide_record *rest; /* by module: its life less what was exported */
    uint64_t records;
    uint64_t began_bytes, growth_bytes;
    bool grown, refused; /* why it was stopped */
};

static bool want(void *arg, uint32_t module)
{
    struct export *export = arg;

    if (!export->glob)
        return true;
    return module != TIDE_FLEET && fnmatch(export->glob, export->module[module].name, 0) == 0;
}

static uint64_t less(uint64_t whole, uint64_t part)
{
    return whole > part ? whole - part : 0;
}

/* What is left when a part of it is taken away; extremes and moments stay. */
static void subtract(struct tide_record *from, const struct tide_record *part)
{
    struct tide_tally *tally = &from->tally;

    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        tally->kind[kind] = less(tally->kind[kind], part->tally.kind[kind]);
    tally->requests = less(tally->requests, part->tally.requests);
    tally->failed = less(tally->failed, part->tally.failed);
    tally->errors = less(tally->errors, part->tally.errors);
    tally->plain_requests = less(tally->plain_requests, part->tally.plain_requests);
    tally->samples = less(tally->samples, part->tally.samples);
    tally->sum_us = less(tally->sum_us, part->tally.sum_us);
    for (unsigned i = 0; i < part->hist.len; i++) {
        unsigned at = part->hist.first + i - from->hist.first;

        if (part->hist.first + i >= from->hist.first && at < from->hist.len)
            from->hist.count[at] = less(from->hist.count[at], part->hist.count[i]);
    }
}

static bool take(void *arg, uint32_t module, enum tide_tier tier, int64_t start_s,
                 const struct tide_record *record, unsigned flags)
{
    struct export *export = arg;
    struct tide_sheet *sheet = &export->sheet;
    char start[TIDE_TIME_TEXT_SIZE];

    tide_sheet_put(sheet, TIDE_COLUMN_KIND, "\"record\"");
    if (module != TIDE_FLEET)
        tide_sheet_string(sheet, TIDE_COLUMN_MODULE, export->module[module].name,
                          export->module[module].name_len);
    tide_sheet_put(sheet, TIDE_COLUMN_TIER, "\"%s\"", tide_tier_info[tier].name);
    tide_sheet_put(sheet, TIDE_COLUMN_START, "\"%s\"", tide_time_text(start, start_s * 1000000));
    if (flags)
        tide_sheet_put(sheet, TIDE_COLUMN_FLAGS, "[%s%s%s]",
                       flags & TIDE_PART_OPEN ? "\"open\"" : "",
                       flags == (TIDE_PART_OPEN | TIDE_PART_CORRECTED) ? "," : "",
                       flags & TIDE_PART_CORRECTED ? "\"corrected\"" : "");
    tide_sheet_record(sheet, record);
    tide_sheet_end(sheet);
    if (export->lives && module != TIDE_FLEET)
        subtract(&export->rest[module], record);
    if (++export->records % GROWTH_LOOK == 0)
        export->grown =
            tide_store_file_bytes(export->store) > export->began_bytes + export->growth_bytes;
    export->refused = ferror(sheet->out) != 0;
    return !export->grown && !export->refused && !tide_stopping;
}

static bool go_on(void *arg, double share)
{
    struct export *export = arg;

    tide_progress_show(&export->progress, export->records, share);
    return !tide_stopping;
}

/* ---- lives ---- */

static void begin_lives(struct export *export, uint32_t modules)
{
    export->rest = calloc(modules + 1, sizeof(*export->rest));
    if (!export->rest)
        abort();
    for (uint32_t id = 1; id <= modules; id++) {
        tide_record_init(&export->rest[id]);
        tide_tally_merge(&export->rest[id].tally, &export->module[id].total->tally);
        tide_hist_merge(&export->rest[id].hist, &export->module[id].total->hist);
    }
}

static bool is_nothing(const struct tide_record *rest)
{
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        if (rest->tally.kind[kind])
            return false;
    return true;
}

static void print_life(struct export *export, uint32_t id)
{
    struct tide_sheet *sheet = &export->sheet;
    struct tide_record *rest = &export->rest[id];
    const struct tide_module *known = &export->module[id];

    if (is_nothing(rest) && !known->last_error_us)
        return;
    tide_sheet_put(sheet, TIDE_COLUMN_KIND, "\"lifetime\"");
    tide_sheet_string(sheet, TIDE_COLUMN_MODULE, known->name, known->name_len);
    if (rest->tally.samples == 0) {
        rest->tally.min_us = UINT64_MAX;
        rest->tally.max_us = rest->tally.sum_us = 0;
    } else if (rest->tally.sum_us < rest->tally.max_us) {
        rest->tally.sum_us = rest->tally.max_us; /* the longest is among what was exported */
    }
    if (!is_nothing(rest))
        tide_sheet_record(sheet, rest);
    if (known->last_error_us) {
        tide_sheet_string(sheet, TIDE_COLUMN_LAST_ERROR, known->last_error,
                          strlen(known->last_error));
        tide_sheet_put(sheet, TIDE_COLUMN_LAST_ERROR_US, "%" PRId64, known->last_error_us);
    }
    tide_sheet_end(sheet);
}

static void end_lives(struct export *export, uint32_t modules, bool print)
{
    for (uint32_t id = 1; id <= modules; id++) {
        if (print && want(export, id))
            print_life(export, id);
        tide_record_fini(&export->rest[id]);
    }
    free(export->rest);
}

/* ---- the file ---- */

static void print_store(struct export *export)
{
    const struct tide_snapshot_info *info = tide_snapshot_info(export->snapshot);
    char uuid[33], time[TIDE_TIME_TEXT_SIZE];

    tide_store_uuid(export->store, uuid);
    tide_sheet_put(&export->sheet, TIDE_COLUMN_KIND, "\"store\"");
    tide_sheet_put(&export->sheet, TIDE_COLUMN_ABOUT,
                   "{\"format\":\"tidemark export\",\"version\":%d,\"schema\":%d,\"uuid\":\"%s\","
                   "\"interval_s\":%u",
                   TIDE_PORTABLE_VERSION, TIDE_STORE_SCHEMA, uuid, info->interval_s);
    tide_sheet_put(&export->sheet, TIDE_COLUMN_ABOUT,
                   ",\"instance_seed\":\"%016" PRIx64 "\",\"commit_seq\":%" PRIu64
                   ",\"modules\":%" PRIu32 ",\"time\":\"%s\"}",
                   tide_store_instance_seed(export->store), info->commit_seq, info->modules,
                   tide_time_text(time, tide_clock_wall_us()));
    tide_sheet_end(&export->sheet);
}

static enum tide_rc print_all(struct export *export, int64_t from_s, int64_t to_s,
                              struct tide_err *err)
{
    struct tide_whole whole = {
        .from_s = from_s, .to_s = to_s, .take = take, .want = want, .go_on = go_on, .arg = export};
    uint32_t modules = tide_snapshot_info(export->snapshot)->modules;
    enum tide_rc rc;

    export->module = calloc(modules + 1, sizeof(*export->module));
    if (!export->module)
        abort();
    for (uint32_t id = 1; id <= modules; id++)
        tide_snapshot_module(export->snapshot, id, &export->module[id]);
    print_store(export);
    if (export->lives)
        begin_lives(export, modules);
    rc = tide_snapshot_whole(export->snapshot, &whole, err);
    if (export->lives)
        end_lives(export, modules, rc == TIDE_OK);
    free(export->module);
    if (rc)
        return rc;
    tide_sheet_put(&export->sheet, TIDE_COLUMN_KIND, "\"end\"");
    tide_sheet_put(&export->sheet, TIDE_COLUMN_ABOUT, "{\"records\":%" PRIu64 "}", export->records);
    tide_sheet_end(&export->sheet);
    return TIDE_OK;
}

/* A stop by one of our own callbacks, in its words. */
static enum tide_rc why_stopped(const struct export *export, struct tide_err *err)
{
    if (export->grown) {
        tide_err_set(err, "gave up: the store grew too much while it was read; try again at a "
                          "quieter time, allow more with --max-growth-mib, or export a backup");
        return TIDE_TOO_LARGE;
    }
    if (export->refused) {
        tide_err_set(err, "write: %s", strerror(errno));
        return TIDE_IO;
    }
    return TIDE_STOPPED;
}

static enum tide_rc export_store(const struct tide_args *args, const char *dir, FILE *out,
                                 int64_t from_s, int64_t to_s, struct export *export,
                                 struct tide_err *err)
{
    enum tide_rc rc;

    if ((rc = tide_store_view(dir, &export->store, err)))
        return rc;
    export->began_bytes = tide_store_file_bytes(export->store);
    if (!(rc = tide_snapshot_open(export->store, &export->snapshot, err))) {
        tide_sheet_init(&export->sheet, out, strcmp(tide_args_text(args, "format"), "csv") == 0);
        rc = print_all(export, from_s, to_s, err);
        if (rc == TIDE_STOPPED)
            rc = why_stopped(export, err);
        tide_sheet_fini(&export->sheet);
    }
    tide_snapshot_close(export->snapshot);
    tide_store_close(export->store);
    return rc;
}

/* Opens FILE.partial for --output; it gets its name when it is whole and on disk. */
static FILE *open_output(const char *path, char *partial, size_t size, struct tide_err *err)
{
    struct stat info;
    FILE *out;

    snprintf(partial, size, "%s.partial", path);
    if (lstat(path, &info) == 0) {
        tide_err_set(err, "%s is there already; choose another name", path);
        return NULL;
    }
    out = fopen(partial, "w");
    if (!out)
        tide_err_set(err, "create %s: %s", partial, strerror(errno));
    return out;
}

static enum tide_rc close_output(FILE *out, const char *partial, const char *path,
                                 struct tide_err *err)
{
    bool failed = fflush(out) != 0 || fsync(fileno(out)) != 0;
    int code = errno;

    if ((fclose(out) != 0 && !failed) || (!failed && rename(partial, path) != 0)) {
        failed = true;
        code = errno;
    }
    if (!failed)
        return TIDE_OK;
    tide_err_set(err, "write %s: %s", path, strerror(code));
    unlink(partial);
    return code == ENOSPC ? TIDE_DISK_FULL : TIDE_IO;
}

/* Seconds, from RFC 3339 or a whole number of them. */
static bool time_option(const struct tide_args *args, const char *name, int64_t *ret_s)
{
    const char *text = tide_args_text(args, name);
    char *end;

    if (!text)
        return true;
    if (tide_time_parse(text, strlen(text), ret_s)) {
        *ret_s /= 1000000;
        return true;
    }
    *ret_s = strtoll(text, &end, 10);
    if (end != text && !*end && *ret_s >= 0 && *ret_s <= INT64_MAX / 1000000)
        return true;
    tide_say("export: --%s: expected a time such as 2026-11-23T17:00:00Z or Unix seconds, got '%s'",
             name, text);
    return false;
}

static int run(const struct tide_args *args)
{
    const char *dir = args->operands ? args->operand[0] : tide_args_text(args, "data-dir"),
               *path = tide_args_text(args, "output");
    struct export export = {.glob = tide_args_text(args, "module"),
                            .lives = !tide_args_given(args, "from") && !tide_args_given(args, "to"),
                            .growth_bytes = (uint64_t)tide_args_number(args, "max-growth-mib")
                                            << 20};
    int64_t from_s = 0, to_s = INT64_MAX, begin_us = tide_clock_mono_us();
    char partial[1200], span[TIDE_HUMAN_SIZE];
    struct tide_err err = {""};
    FILE *out = stdout;
    enum tide_rc rc;

    if (args->operands && tide_args_given(args, "data-dir")) {
        tide_say("export: a directory or --data-dir, not both");
        return 2;
    }
    if (!time_option(args, "from", &from_s) || !time_option(args, "to", &to_s))
        return 2;
    if (!path && isatty(STDOUT_FILENO) && !tide_args_given(args, "format")) {
        tide_say("export: this may be much; name a file with --output, or a form with --format");
        return 2;
    }
    if (path && !(out = open_output(path, partial, sizeof(partial), &err)))
        return tide_tool_fail(args, TIDE_IO, &err);
    tide_stop_catch();
    tide_progress_start(&export.progress, tide_args_text(args, "progress"), "records");
    rc = export_store(args, dir, out, from_s, to_s, &export, &err);
    tide_progress_end(&export.progress);
    if (path && rc) {
        fclose(out);
        unlink(partial);
    } else if (path) {
        rc = close_output(out, partial, path, &err);
    }
    if (!args->operands)
        tide_verifying_hint(args, rc, &err);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    if (tide_args_flag(args, "json"))
        fprintf(stderr, "{\"exported\":true,\"records\":%" PRIu64 ",\"seconds\":%.3f}\n",
                export.records, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    else
        tide_say("export: %" PRIu64 " records in %s", export.records,
                 tide_human_ms(span, (double)(tide_clock_mono_us() - begin_us) / 1e3));
    return 0;
}

static const struct tide_option options[] = {
    TIDE_OPTION_DATA_DIR,
    {"format", "ndjson|csv", "ndjson", "a JSON object or a line of cells per record",
     TIDE_OPTION_CHOICE, 0, 0},
    {"output", "FILE", NULL, "write this file, which gets its name when it is whole",
     TIDE_OPTION_TEXT, 1, 1000},
    {"from", "TIME", NULL, "only what starts then or later (RFC 3339 or Unix seconds)",
     TIDE_OPTION_TEXT, 1, 64},
    {"to", "TIME", NULL, "only what starts before", TIDE_OPTION_TEXT, 1, 64},
    {"module", "GLOB", NULL, "only modules whose names match", TIDE_OPTION_TEXT, 1, 128},
    {"max-growth-mib", "N", "4096", "give up when the store grows by more meanwhile",
     TIDE_OPTION_NUMBER, 1, 1 << 30},
    TIDE_OPTION_JSON,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_END};

const struct tide_command tide_command_export = {
    .name = "export",
    .operands = "[DIR]",
    .summary = "write what a store holds as NDJSON or CSV",
    .detail =
        "DIR is a data directory or a backup; without it --data-dir is meant. All is as of one\n"
        "moment, also beside a daemon. Each stretch of a module's time comes once, by the finest\n"
        "tier that is still kept: counts, histogram, gauges per instance, custom metrics, to the\n"
        "last bit, and what a module counted before that. 'tidemark import' makes a store of it.\n"
        "Not in it: identities of chunks and events (what is sent again to another store counts\n"
        "again), the books, and, as in the store, which operation of folded history was slowest.\n"
        "With --from or --to, what modules counted outside is left out.\n\n"
        "Exit: 0 done, 1 stopped, damaged or not there, 74 the disk is full or refuses.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
