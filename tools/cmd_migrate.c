/* `tidemark migrate`: a store of an older tidemark becomes one of this one. */
#include "tidemark.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "human.h"
#include "scratch.h"
#include "tidemark/clock.h"
#include "tidemark/migrate.h"
#include "verifying.h"

struct migrating {
    struct tide_verifying verifying; /* first: it is the argument of the callbacks */
    const char *progress;
    bool quiet;
};

/* ---- --status ---- */

static bool is_needed(const struct tide_migration_state *state, uint32_t to)
{
    return to > state->schema || (to == state->schema && state->under_way);
}

static void status_json(const char *dir, const struct tide_migration_state *state)
{
    size_t count;
    const struct tide_migration *all = tide_migrations(&count);
    json_t *steps = json_array(), *object;

    for (size_t i = 0; i < count; i++)
        if (is_needed(state, all[i].to))
            json_array_append_new(steps, json_pack("{s:i, s:s, s:s}", "to", (int)all[i].to, "name",
                                                   all[i].name, "what", all[i].what));
    object =
        json_pack("{s:s, s:i, s:i, s:b, s:s, s:I, s:o}", "store", dir, "schema", (int)state->schema,
                  "program_schema", (int)state->program, "under_way", state->under_way, "uuid",
                  state->uuid, "file_bytes", (json_int_t)state->file_bytes, "steps", steps);
    if (!object) {
        tide_say("migrate: the directory's name is no UTF-8: no JSON");
        return;
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void status_text(const char *dir, const struct tide_migration_state *state)
{
    char size[TIDE_HUMAN_SIZE];
    size_t count;
    const struct tide_migration *all = tide_migrations(&count);

    if (state->under_way)
        printf("store      %s, %s, on its way to schema %u\n", dir,
               tide_human_bytes(size, (double)state->file_bytes), state->schema);
    else
        printf("store      %s, %s, schema %u\n", dir,
               tide_human_bytes(size, (double)state->file_bytes), state->schema);
    printf("program    schema %u\n", state->program);
    for (size_t i = 0; i < count; i++)
        if (is_needed(state, all[i].to))
            printf("to do      to schema %u: %s (%s)\n", all[i].to, all[i].what, all[i].name);
    if (state->schema > state->program)
        printf("newer      made by a newer tidemark: use that one\n");
    else if (state->schema == state->program && !state->under_way)
        printf("nothing to do\n");
}

static int status(const struct tide_args *args, const char *dir)
{
    struct tide_migration_state state;
    struct tide_err err = {""};
    enum tide_rc rc = tide_migrate_look(dir, &state, &err);

    tide_verifying_hint(args, rc, &err);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    if (tide_args_flag(args, "json"))
        status_json(dir, &state);
    else
        status_text(dir, &state);
    return state.schema == state.program && !state.under_way ? 0 : 1;
}

/* ---- the work ---- */

static void begun(void *arg, uint32_t to, const char *what)
{
    struct migrating *migrating = arg;

    tide_progress_end(&migrating->verifying.progress);
    if (!migrating->quiet && to)
        tide_say("migrate: to schema %u: %s", to, what);
    tide_progress_start(&migrating->verifying.progress, migrating->progress,
                        to ? "intervals" : "bytes");
}

static void print(const struct tide_args *args, const char *dir, const struct tide_migrated *done,
                  double seconds)
{
    char span[TIDE_HUMAN_SIZE];
    bool dry = tide_args_flag(args, "dry-run");

    if (tide_args_flag(args, "json")) {
        printf("{\"migrated\":%s,\"from\":%" PRIu32 ",\"to\":%" PRIu32
               ",\"resumed\":%s,\"intervals\":%" PRIu64 ",\"changed\":%" PRIu64
               ",\"transactions\":%" PRIu64 ",\"seconds\":%.3f}\n",
               done->from != done->to && !dry ? "true" : "false", done->from, done->to,
               done->resumed ? "true" : "false", done->looked, done->changed, done->transactions,
               seconds);
        return;
    }
    if (done->from == done->to) {
        printf("%s: has schema %" PRIu32 " already; nothing to do\n", dir, done->to);
        return;
    }
    printf("%s: %s schema %" PRIu32 " %s %" PRIu32 ": %" PRIu64 " intervals read, %" PRIu64
           " values %s, in %s%s\n",
           dir, dry ? "can go from" : "from", done->from, "to", done->to, done->looked,
           done->changed, dry ? "would change" : "changed", tide_human_ms(span, seconds * 1000),
           dry ? "" : ", verified");
    if (done->backup[0])
        printf("%s: the store as it was, a data directory for the older tidemark; remove it when "
               "all is well\n",
               done->backup);
}

static int migrate(const struct tide_args *args, const char *dir)
{
    struct migrating migrating = {.progress = tide_args_text(args, "progress"),
                                  .quiet = tide_args_flag(args, "json")};
    struct tide_migrate_cfg cfg = {
        .dir = dir,
        .backup = tide_args_text(args, "backup"),
        .dry_run = tide_args_flag(args, "dry-run"),
        .slice = (unsigned)tide_args_number(args, "slice"),
        .begun = begun,
        .copy = {.found = tide_verifying_found, .go_on = tide_verifying_go_on, .arg = &migrating}};
    struct tide_migrated done = {0};
    struct tide_migration_state state;
    struct tide_err err = {""};
    int64_t begin_us = tide_clock_mono_us();
    enum tide_rc rc;

    tide_stop_catch();
    rc = tide_migrate(&cfg, &done, &err);
    tide_progress_end(&migrating.verifying.progress);
    if (!rc && cfg.dry_run && done.from != done.to && !done.resumed &&
        !(rc = tide_migrate_look(dir, &state, &err)) && !cfg.backup &&
        (rc = tide_scratch_room(dir, state.file_bytes, &err)))
        tide_err_wrap(&err, "the backup does not fit beside the store; --backup names another "
                            "place");
    if (rc == TIDE_LOCKED)
        tide_err_wrap(&err, "stop the daemon first");
    tide_verifying_hint(args, rc, &err);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    print(args, dir, &done, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    return 0;
}

static int run(const struct tide_args *args)
{
    const char *dir = tide_args_text(args, "data-dir");

    if (tide_args_flag(args, "status") && tide_args_flag(args, "dry-run")) {
        tide_say("migrate: --status or --dry-run, not both");
        return 2;
    }
    return tide_args_flag(args, "status") ? status(args, dir) : migrate(args, dir);
}

static const struct tide_option options[] = {
    TIDE_OPTION_DATA_DIR,
    {"status", NULL, NULL, "say what would be done, and look at nothing else", TIDE_OPTION_FLAG, 0,
     0},
    {"dry-run", NULL, NULL, "read everything as a migration would, and change nothing",
     TIDE_OPTION_FLAG, 0, 0},
    {"backup", "DEST", NULL, "make the backup there instead of DIR.schema-N", TIDE_OPTION_TEXT, 1,
     1000},
    {"slice", "N", "4096", "read so many intervals in one transaction", TIDE_OPTION_NUMBER, 1,
     1000000},
    TIDE_OPTION_JSON,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_END};

const struct tide_command tide_command_migrate = {
    .name = "migrate",
    .summary = "bring a store of an older tidemark to this one's schema",
    .detail =
        "A daemon refuses a store of an older schema. This makes a copy of it first, byte by\n"
        "byte, synced, read again and checked, beside the store or where --backup says. Then\n"
        "the store is changed in small transactions, and verified. Killed at any moment, the\n"
        "next run goes on; until it is finished no program opens the store. The copy is a data\n"
        "directory for the older tidemark: to go back, use it. A daemon started with\n"
        "'--set storage.migrate=true' does the same before it opens the store.\n\n"
        "Exit: 0 done, or nothing to do; 1 the store is newer, damaged or not there, and with\n"
        "--status that there is something to do; 69 a daemon uses it; 74 the disk is full or\n"
        "refuses.",
    .option = options,
    .run = run,
};
