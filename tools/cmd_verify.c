/* `tidemark verify`: is a store sound? Reads all of it, of a closed one, beside a daemon, or of a
 * backup, and names what is not.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "human.h"
#include "progress.h"
#include "tidemark/clock.h"
#include "verifying.h"

static void line(const struct tide_finding *finding)
{
    char from[TIDE_TIME_TEXT_SIZE], to[TIDE_TIME_TEXT_SIZE];

    printf("%s", finding->table);
    if (finding->module[0])
        printf(", %s", finding->module);
    if (finding->to_s > finding->from_s)
        printf(", %s to %s", tide_time_text(from, finding->from_s * 1000000),
               tide_time_text(to, finding->to_s * 1000000));
    if (finding->key[0])
        printf(", key %s", finding->key);
    printf(": %s\n", finding->what);
}

static json_t *object(const struct tide_finding *finding)
{
    char from[TIDE_TIME_TEXT_SIZE], to[TIDE_TIME_TEXT_SIZE];
    bool timed = finding->to_s > finding->from_s;

    return json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:o, s:s}", "table", finding->table, "key",
                     finding->key[0] ? finding->key : NULL, "module",
                     finding->module[0] ? finding->module : NULL, "from",
                     timed ? tide_time_text(from, finding->from_s * 1000000) : NULL, "to",
                     timed ? tide_time_text(to, finding->to_s * 1000000) : NULL, "page",
                     finding->page ? json_integer((json_int_t)finding->page) : json_null(), "what",
                     finding->what);
}

struct told {
    struct tide_verifying verifying; /* first: it is the argument of both callbacks */
    json_t *findings;                /* NULL: as text */
    uint64_t limit, count;
};

static void found(void *arg, const struct tide_finding *finding)
{
    struct told *told = arg;

    if (told->count++ >= told->limit)
        return;
    tide_progress_pause(&told->verifying.progress);
    if (!told->findings)
        line(finding);
    else if (json_array_append_new(told->findings, object(finding)))
        tide_say("verify: a finding with a name that is no UTF-8: %s: %s", finding->table,
                 finding->what);
}

/* A time in seconds as text; NULL: there was none yet. */
static const char *time_or_null(char text[TIDE_TIME_TEXT_SIZE], int64_t time_s)
{
    return time_s ? tide_time_text(text, time_s * 1000000) : NULL;
}

static void print_text(const char *dir, const struct tide_verified *v, const struct told *told)
{
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE];
    char sealed[TIDE_TIME_TEXT_SIZE], hours[TIDE_TIME_TEXT_SIZE];

    if (told->count > told->limit)
        printf("... and %" PRIu64 " more; --limit shows them\n", told->count - told->limit);
    if (told->count)
        putchar('\n');
    printf("store      %s, schema %u, %u s intervals, source %s\n", dir, v->schema, v->interval_s,
           v->uuid);
    printf("commit     %" PRIu64 "; ", v->commit_seq);
    if (v->sealed_upto_s == 0)
        printf("nothing sealed yet");
    else
        printf("sealed up to %s", tide_time_text(sealed, v->sealed_upto_s * 1000000));
    if (v->hours_upto_s == 0)
        printf(", nothing folded yet\n");
    else
        printf(", folded up to %s\n", tide_time_text(hours, v->hours_upto_s * 1000000));
    printf("books      %" PRIu64 " received: %" PRIu64 " stored, %" PRIu64 " late, %" PRIu64
           " duplicate, %" PRIu64 " sampled, %" PRIu64 " rejected\n",
           v->ledger.received, v->ledger.stored, v->ledger.late, v->ledger.duplicate,
           v->ledger.sampled, tide_ledger_rejected(&v->ledger));
    printf("read       %s values, %s; %s records of %u modules\n",
           tide_human_count(a, (double)v->values), tide_human_bytes(b, (double)v->bytes),
           tide_human_count(c, (double)v->records), v->modules);
    printf("compared   %s records with the finer tier, %s with the modules; %s could not be\n",
           tide_human_count(a, (double)v->tier_sums), tide_human_count(b, (double)v->fleet_sums),
           tide_human_count(c, (double)v->not_compared));
    if (v->free_bytes || v->whole)
        printf("file       %s, of which %s are free for new data\n",
               tide_human_bytes(a, (double)v->file_bytes),
               tide_human_bytes(b, (double)v->free_bytes));
    if (!v->whole)
        printf("not whole  a daemon wrote meanwhile, so totals were not held against history, nor "
               "pages accounted for;\n           stop it, or verify a backup, for these\n");
    if (told->count)
        printf("DAMAGED    %" PRIu64 " findings; 'tidemark restore' brings back a backup\n",
               told->count);
    else
        printf("sound\n");
}

static void print_json(const char *dir, const struct tide_verified *v, struct told *told)
{
    char sealed[TIDE_TIME_TEXT_SIZE], hours[TIDE_TIME_TEXT_SIZE], days[TIDE_TIME_TEXT_SIZE];
    json_t *tables = json_object(), *all;

    for (int i = 0; i < TIDE_VERIFY_TABLES; i++)
        if (v->table[i].name)
            json_object_set_new(tables, v->table[i].name,
                                json_pack("{s:I, s:I}", "values", (json_int_t)v->table[i].values,
                                          "bytes", (json_int_t)v->table[i].bytes));
    all = json_pack(
        "{s:s, s:b, s:b, s:I, s:o, s:i, s:s, s:i, s:I, s:s?, s:s?, s:s?, s:i, s:I, s:I, s:I, s:I, "
        "s:I, "
        "s:I, s:I, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
        "store", dir, "sound", told->count == 0, "whole", v->whole, "findings_count",
        (json_int_t)told->count, "findings", told->findings, "schema", (int)v->schema, "uuid",
        v->uuid, "interval_s", (int)v->interval_s, "commit_seq", (json_int_t)v->commit_seq,
        "sealed_upto", time_or_null(sealed, v->sealed_upto_s), "hours_upto",
        time_or_null(hours, v->hours_upto_s), "days_upto", time_or_null(days, v->days_upto_s),
        "modules", (int)v->modules, "values", (json_int_t)v->values, "records",
        (json_int_t)v->records, "tier_sums", (json_int_t)v->tier_sums, "fleet_sums",
        (json_int_t)v->fleet_sums, "not_compared", (json_int_t)v->not_compared, "file_bytes",
        (json_int_t)v->file_bytes, "free_bytes", (json_int_t)v->free_bytes, "tables", tables,
        "ledger", "received", (json_int_t)v->ledger.received, "stored",
        (json_int_t)v->ledger.stored, "late", (json_int_t)v->ledger.late, "duplicate",
        (json_int_t)v->ledger.duplicate, "sampled", (json_int_t)v->ledger.sampled, "rejected",
        (json_int_t)tide_ledger_rejected(&v->ledger));
    told->findings = NULL;
    if (!all) {
        tide_say("verify: the directory's name is no UTF-8: no JSON");
        return;
    }
    json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    putchar('\n');
    json_decref(all);
}

static int run(const struct tide_args *args)
{
    struct told told = {.limit = (uint64_t)tide_args_number(args, "limit")};
    struct tide_verify_cfg cfg = {.hold_us = tide_args_number(args, "hold") * 1000,
                                  .found = found,
                                  .go_on = tide_verifying_go_on,
                                  .arg = &told};
    struct tide_verified result;
    struct tide_err err = {""};
    bool json = tide_args_flag(args, "json");
    enum tide_rc rc;

    if (args->operands && tide_args_given(args, "data-dir")) {
        tide_say("verify: a directory or --data-dir, not both");
        return 2;
    }
    cfg.dir = args->operands ? args->operand[0] : tide_args_text(args, "data-dir");
    told.findings = json ? json_array() : NULL;
    tide_stop_catch();
    tide_progress_start(&told.verifying.progress, tide_args_text(args, "progress"), "bytes");
    rc = tide_verify(&cfg, &result, &err);
    tide_progress_end(&told.verifying.progress);
    if (!args->operands)
        tide_verifying_hint(args, rc, &err);
    if (rc && !(json && rc == TIDE_DAMAGED)) {
        json_decref(told.findings);
        return tide_tool_fail(args, rc, &err);
    }
    if (json)
        print_json(cfg.dir, &result, &told);
    else
        print_text(cfg.dir, &result, &told);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    return told.count ? 1 : 0;
}

static const struct tide_option options[] = {
    TIDE_OPTION_DATA_DIR,
    {"hold", "TIME", "250ms", "beside a daemon: how long one view is held", TIDE_OPTION_DURATION, 1,
     86400000},
    {"limit", "N", "100", "print so many findings; all are counted", TIDE_OPTION_NUMBER, 0,
     1000000000},
    TIDE_OPTION_JSON,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_END};

const struct tide_command tide_command_verify = {
    .name = "verify",
    .operands = "[DIR]",
    .summary = "read a whole store and name what is damaged",
    .detail = "DIR is a data directory or a backup; without it --data-dir is meant. Checks every\n"
              "page of the file and every value: checksums, keys, that it decodes, that coarser\n"
              "tiers are the sums of finer ones and the fleet that of its modules, that totals\n"
              "and history agree, and the books. Changes nothing, and may run beside a daemon.\n\n"
              "Exit: 0 sound, 1 damaged or not there, 74 it could not be read.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
