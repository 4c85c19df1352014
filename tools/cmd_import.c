/* `tidemark import`: what `tidemark export` wrote, into the store of a stopped daemon or a new one.
 *
 * Lines are read one by one and committed in batches; whatever follows a commit in a daemon
 * (sealing, folding, cutting the journal) is done between them, so memory is bounded by a batch and
 * what it leaves open. */
#include "tidemark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "human.h"
#include "portable.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"
#include "tidemark/transfer.h"
#include "verifying.h"

#define BATCH          2048u
#define BATCH_BYTES    (8u << 20) /* of lines */
#define SLOTS          (2 * BATCH)
#define LINE_MAX_BYTES (32u << 20)

struct import {
    struct tide_verifying verifying;
    const char *dir, *source;
    struct tide_store *store;
    json_t *heads; /* of a CSV file */
    uint64_t line, bytes, file_bytes;
    bool begun, ended; /* the lines that tell of the store and of the end were there */
    uint64_t told_records, records, derived;
    struct tide_imported sums, lives;

    struct tide_import item[BATCH];
    char name[BATCH][TIDE_MODULE_NAME_MAX];
    struct tide_record record[BATCH];
    uint64_t slot[SLOTS]; /* what of the batch's (module, start) is taken */
    size_t count;
    size_t batch_bytes;

    struct tide_import_life life[BATCH]; /* with the names and records above */
    char error[BATCH][TIDE_ERROR_TEXT_MAX];
    size_t life_count;
};

/* ---- the store ---- */

static enum tide_rc open_store(struct import *import, uint32_t interval_s, uint64_t seed,
                               struct tide_err *err)
{
    struct tide_store_cfg cfg;
    enum tide_rc rc;

    tide_store_cfg_default(&cfg);
    snprintf(cfg.dir, sizeof(cfg.dir), "%s", import->dir);
    memset(cfg.retention.keep_s, 0, sizeof(cfg.retention.keep_s)); /* its daemon decides that */
    cfg.dedup_window_s = INT64_C(1) << 31;                         /* and that */
    cfg.dedup_max_chunks = cfg.dedup_max_event_ids = UINT64_C(1) << 30;
    cfg.interval_s = interval_s;
    cfg.instance_seed = seed;
    if (!(rc = tide_store_open(&cfg, &import->store, err)) &&
        tide_store_instance_seed(import->store) != seed)
        tide_say("import: the store was there before, so gauges of an instance that reports again "
                 "count as those of another one");
    return rc;
}

/* What a daemon does between commits. */
static enum tide_rc settle(struct import *import, struct tide_err *err)
{
    enum tide_rc rc = tide_store_seal(import->store, tide_clock_wall_us(), err);

    while (!rc && (rc = tide_store_upkeep(import->store, tide_clock_wall_us(), err)) == TIDE_AGAIN)
        rc = tide_stopping ? TIDE_STOPPED : TIDE_OK;
    return rc;
}

/* Records or lives, whichever the batch has. */
static enum tide_rc commit(struct import *import, struct tide_err *err)
{
    enum tide_rc rc = TIDE_OK;

    if (import->count)
        rc = tide_store_import(import->store, import->item, import->count, &import->sums, err);
    else if (import->life_count)
        rc = tide_store_import_lives(import->store, import->life, import->life_count,
                                     tide_clock_wall_us(), &import->lives, err);
    else
        return TIDE_OK;
    if (!rc)
        rc = settle(import, err);
    import->count = import->life_count = import->batch_bytes = 0;
    memset(import->slot, 0, sizeof(import->slot));
    if (!rc && !tide_verifying_go_on(
                   &import->verifying, import->bytes,
                   import->file_bytes ? (double)import->bytes / (double)import->file_bytes : -1))
        rc = TIDE_STOPPED;
    return rc;
}

/* ---- rows ---- */

static enum tide_rc take_store(struct import *import, const json_t *row, struct tide_err *err)
{
    const json_t *about = json_object_get(row, "about");
    const char *format = json_string_value(json_object_get(about, "format")),
               *seed = json_string_value(json_object_get(about, "instance_seed"));
    json_int_t version = json_integer_value(json_object_get(about, "version")),
               interval_s = json_integer_value(json_object_get(about, "interval_s"));

    if (import->begun || !format || strcmp(format, "tidemark export") != 0 || !seed ||
        !tide_interval_valid(interval_s)) {
        tide_err_set(err, "not the first line of an export");
        return TIDE_MALFORMED;
    }
    if (version != TIDE_PORTABLE_VERSION) {
        tide_err_set(err,
                     "made by another tidemark, in version %lld of this form; this one reads "
                     "%d",
                     (long long)version, TIDE_PORTABLE_VERSION);
        return TIDE_MALFORMED;
    }
    import->begun = true;
    return open_store(import, (uint32_t)interval_s, strtoull(seed, NULL, 16), err);
}

static bool tier_of(const json_t *row, enum tide_tier *ret)
{
    const char *name = json_string_value(json_object_get(row, "tier"));

    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        if (name && strcmp(tide_tier_info[tier].name, name) == 0) {
            *ret = (enum tide_tier)tier;
            return true;
        }
    return false;
}

static int64_t width_of(const struct import *import, enum tide_tier tier)
{
    return tier == TIDE_TIER_RAW ? tide_store_interval_s(import->store)
                                 : tide_tier_info[tier].width_s;
}

static bool start_of(const json_t *row, int64_t width_s, int64_t *ret_s)
{
    const char *text = json_string_value(json_object_get(row, "start"));
    int64_t us;

    if (!text || !tide_time_parse(text, strlen(text), &us) || us <= 0 ||
        us % (width_s * 1000000) != 0)
        return false;
    *ret_s = us / 1000000;
    return true;
}

static bool name_of(const json_t *row, char name[TIDE_MODULE_NAME_MAX], uint32_t *ret_len)
{
    const json_t *value = json_object_get(row, "module");
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (!text || len == 0 || len > TIDE_MODULE_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    memcpy(name, text, len);
    *ret_len = (uint32_t)len;
    return true;
}

/* Whether the batch has a record of this module and start. Else it has one now. */
static bool is_taken(struct import *import, const char *name, uint32_t len, int64_t start_s)
{
    const struct tide_hash_part part[2] = {{name, len}, {&start_s, sizeof(start_s)}};
    uint64_t hash = tide_hash128_parts(0, part, 2).low | 1;

    for (size_t i = hash % SLOTS;; i = (i + 1) % SLOTS) {
        if (import->slot[i] == hash)
            return true;
        if (!import->slot[i]) {
            import->slot[i] = hash;
            return false;
        }
    }
}

static enum tide_rc take_record(struct import *import, const json_t *row, size_t len,
                                struct tide_err *err)
{
    enum tide_rc rc = import->life_count ? commit(import, err) : TIDE_OK;
    size_t at = import->count;
    struct tide_import *item = &import->item[at];
    int64_t width_s;

    if (rc)
        return rc;
    import->records++;
    if (!json_object_get(row, "module")) {
        import->derived++; /* the fleet's are made of the modules' */
        return TIDE_OK;
    }
    if (!tier_of(row, &item->tier)) {
        tide_err_set(err, "tier is none of raw, 5m, 1h and 1d");
        return TIDE_MALFORMED;
    }
    width_s = width_of(import, item->tier);
    if (!name_of(row, import->name[at], &item->module_len) ||
        !start_of(row, width_s, &item->start_s)) {
        tide_err_set(err,
                     "module or start is wrong: a name, and a time that is a multiple of "
                     "%" PRId64 " s",
                     width_s);
        return TIDE_MALFORMED;
    }
    if (!tide_row_record(row, item->start_s, width_s, &import->record[at], err))
        return TIDE_MALFORMED;
    if (is_taken(import, import->name[at], item->module_len, item->start_s)) {
        struct tide_record spare;

        if ((rc = commit(import, err))) /* the one before must be in the store to be seen */
            return rc;
        spare = import->record[0];
        import->record[0] = import->record[at];
        import->record[at] = spare;
        memcpy(import->name[0], import->name[at], sizeof(import->name[0]));
        import->item[0] = *item;
        item = &import->item[0];
        is_taken(import, import->name[0], item->module_len, item->start_s);
        at = 0;
    }
    item->module = import->name[at];
    item->record = &import->record[at];
    import->count = at + 1;
    import->batch_bytes += len;
    return import->count == BATCH || import->batch_bytes >= BATCH_BYTES ? commit(import, err)
                                                                        : TIDE_OK;
}

static enum tide_rc take_life(struct import *import, const json_t *row, struct tide_err *err)
{
    enum tide_rc rc = import->count || import->life_count == BATCH ? commit(import, err) : TIDE_OK;
    size_t at = import->life_count;
    struct tide_import_life *life = &import->life[at];
    uint64_t error_us;
    int len;

    if (rc)
        return rc;
    *life = (struct tide_import_life){.module = import->name[at]};
    if (!name_of(row, import->name[at], &life->module_len)) {
        tide_err_set(err, "module is no name");
        return TIDE_MALFORMED;
    }
    if (json_object_get(row, "events")) {
        if (!tide_row_record(row, 0, 0, &import->record[at], err))
            return TIDE_MALFORMED;
        life->before = &import->record[at];
    }
    if (json_object_get(row, "last_error")) {
        len = tide_row_string(json_object_get(row, "last_error"), import->error[at],
                              sizeof(import->error[at]));
        if (len <= 0 || !tide_row_number(row, TIDE_COLUMN_LAST_ERROR_US, 0, &error_us) ||
            error_us == 0 || error_us > INT64_MAX) {
            tide_err_set(err, "last_error or last_error_us is wrong");
            return TIDE_MALFORMED;
        }
        life->last_error = import->error[at];
        life->last_error_len = (uint32_t)len;
        life->last_error_us = (int64_t)error_us;
    }
    import->life_count++;
    return TIDE_OK;
}

static enum tide_rc take_row(struct import *import, const json_t *row, size_t len,
                             struct tide_err *err)
{
    const char *kind = json_string_value(json_object_get(row, "kind"));

    if (kind && strcmp(kind, "store") == 0)
        return take_store(import, row, err);
    if (!import->begun) {
        tide_err_set(err, "the first line tells nothing of a store: not an export?");
        return TIDE_MALFORMED;
    }
    if (kind && strcmp(kind, "record") == 0)
        return take_record(import, row, len, err);
    if (kind && strcmp(kind, "lifetime") == 0)
        return take_life(import, row, err);
    if (kind && strcmp(kind, "end") == 0) {
        import->ended = true;
        import->told_records =
            (uint64_t)json_integer_value(json_object_get(json_object_get(row, "about"), "records"));
        return TIDE_OK;
    }
    tide_err_set(err, "kind is none of store, record, lifetime and end");
    return TIDE_MALFORMED;
}

static enum tide_rc take_line(struct import *import, char *line, size_t len, struct tide_err *err)
{
    json_t *row;
    enum tide_rc rc;

    while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    if (len == 0)
        return TIDE_OK;
    if (len > LINE_MAX_BYTES) {
        tide_err_set(err, "longer than %u MiB", LINE_MAX_BYTES >> 20);
        return TIDE_MALFORMED;
    }
    if (!import->begun && !import->heads && line[0] != '{') {
        import->heads = tide_heads_parse(line, len, err);
        return import->heads ? TIDE_OK : TIDE_MALFORMED;
    }
    row = tide_row_parse(line, len, import->heads, err);
    if (!row)
        return TIDE_MALFORMED;
    rc = take_row(import, row, len, err);
    json_decref(row);
    return rc;
}

static enum tide_rc read_all(struct import *import, FILE *in, struct tide_err *err)
{
    enum tide_rc rc = TIDE_OK;
    size_t capacity = 0;
    char *line = NULL;
    ssize_t len;

    while (!rc && !import->ended && (len = getline(&line, &capacity, in)) > 0) {
        import->line++;
        import->bytes += (uint64_t)len;
        rc = take_line(import, line, (size_t)len, err);
        if (rc == TIDE_MALFORMED)
            tide_err_wrap(err, "%s:%" PRIu64, import->source, import->line);
    }
    free(line);
    if (!rc && ferror(in)) {
        tide_err_set(err, "read %s: %s", import->source, strerror(errno));
        return TIDE_IO;
    }
    if (!rc)
        rc = commit(import, err);
    if (!rc && (!import->ended || import->told_records != import->records)) {
        tide_err_set(err, "%s: %s", import->source,
                     !import->begun   ? "it is empty"
                     : !import->ended ? "it is cut short: its last line is missing; what was "
                                        "there is in the store"
                                      : "lines are missing; what was there is in the store");
        return TIDE_MALFORMED;
    }
    return rc;
}

/* ---- the command ---- */

static void print(const struct tide_args *args, const struct import *import, double seconds)
{
    char span[TIDE_HUMAN_SIZE];

    if (tide_args_flag(args, "json")) {
        printf("{\"imported\":true,\"added\":%" PRIu64 ",\"present\":%" PRIu64
               ",\"differ\":%" PRIu64 ",\"lifetimes_added\":%" PRIu64 ",\"derived\":%" PRIu64
               ",\"seconds\":%.3f}\n",
               import->sums.added, import->sums.present, import->sums.differ, import->lives.added,
               import->derived, seconds);
        return;
    }
    printf("%s: %" PRIu64 " records added, %" PRIu64 " were there already, in %s\n", import->dir,
           import->sums.added, import->sums.present, tide_human_ms(span, seconds * 1000));
    if (import->sums.differ)
        printf("%" PRIu64 " records differ from what the store has for their time, and were left "
               "out\n",
               import->sums.differ);
}

static enum tide_rc import_file(struct import *import, FILE *in, struct tide_err *err)
{
    enum tide_rc rc;

    for (unsigned i = 0; i < BATCH; i++)
        tide_record_init(&import->record[i]);
    rc = read_all(import, in, err);
    tide_store_close(import->store);
    for (unsigned i = 0; i < BATCH; i++)
        tide_record_fini(&import->record[i]);
    json_decref(import->heads);
    return rc;
}

static int run(const struct tide_args *args)
{
    struct import *import = calloc(1, sizeof(*import));
    const char *path = args->operands ? args->operand[0] : "-";
    int64_t begin_us = tide_clock_mono_us();
    struct tide_err err = {""};
    struct stat info;
    enum tide_rc rc;
    FILE *in;
    int code;

    if (!import)
        abort();
    import->dir = tide_args_text(args, "data-dir");
    import->source = strcmp(path, "-") == 0 ? "(standard input)" : path;
    in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!in) {
        tide_say("import: open %s: %s", path, strerror(errno));
        free(import);
        return tide_rc_exit(TIDE_IO);
    }
    if (fstat(fileno(in), &info) == 0 && S_ISREG(info.st_mode))
        import->file_bytes = (uint64_t)info.st_size;
    tide_stop_catch();
    tide_progress_start(&import->verifying.progress, tide_args_text(args, "progress"), "bytes");
    rc = import_file(import, in, &err);
    tide_progress_end(&import->verifying.progress);
    if (in != stdin)
        fclose(in);
    if (rc == TIDE_STOPPED)
        tide_err_set(&err, "stopped; run it again to go on");
    if (rc == TIDE_LOCKED)
        tide_err_wrap(&err, "stop the daemon first");
    code = rc ? tide_tool_fail(args, rc, &err) : import->sums.differ ? 1 : 0;
    if (!rc)
        print(args, import, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    free(import);
    return code;
}

static const struct tide_option options[] = {TIDE_OPTION_DATA_DIR, TIDE_OPTION_JSON,
                                             TIDE_OPTION_PROGRESS, TIDE_OPTION_END};

const struct tide_command tide_command_import = {
    .name = "import",
    .operands = "[FILE]",
    .summary = "read what 'tidemark export' wrote into a store",
    .detail =
        "FILE is NDJSON or CSV; without it standard input is read. The store in --data-dir is\n"
        "made if it is not there, with the intervals of the exported one; its daemon must be\n"
        "stopped. A record that the store has already is left alone, so a second import adds\n"
        "nothing, and one that was stopped or killed is simply run again. Where the store has\n"
        "another record for the time, it stays, is counted, and makes the exit code 1. Records\n"
        "of the fleet are not read: they are made of the modules'; where coarser tiers only are\n"
        "left, the fleet's gauges are therefore those of the modules' coarser records.\n\n"
        "Exit: 0 done, 1 the file is cut short, wrong, or differs, 69 a daemon uses the store,\n"
        "74 the disk is full or refuses, 78 the store has other intervals.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
