/* `tidemark restore`: a backup becomes a data directory. */
#include "tidemark.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "human.h"
#include "tidemark/backup.h"
#include "tidemark/clock.h"
#include "verifying.h"

/* Reads SRC/manifest.json. TIDE_NOT_FOUND: there is none. */
static enum tide_rc manifest_read(const char *src, struct tide_manifest *ret, struct tide_err *err)
{
    const char *format, *uuid, *time, *sha256, *file;
    json_int_t schema, seq, modules, records, values, received, stored, bytes;
    struct tide_manifest manifest = {0};
    enum tide_rc rc = TIDE_OK;
    json_error_t error;
    char path[1200];
    json_t *json;

    snprintf(path, sizeof path, "%.1100s/manifest.json", src);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return TIDE_NOT_FOUND;
    json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        tide_err_set(err, "%s:%d: %s", path, error.line, error.text);
        return TIDE_MALFORMED;
    }
    if (json_unpack(json, "{s:s}", "format", &format) == 0 &&
        strcmp(format, "tidemark store before a migration") == 0) {
        tide_err_set(err,
                     "%s is the copy of a store before a migration: it is itself a data directory, "
                     "of the older tidemark",
                     src);
        rc = TIDE_SCHEMA;
    } else if (json_unpack_ex(json, &error, 0,
                              "{s:s, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:s}",
                              "format", &format, "schema", &schema, "uuid", &uuid, "commit_seq",
                              &seq, "time", &time, "modules", &modules, "records", &records,
                              "values", &values, "received", &received, "stored", &stored, "file",
                              &file, "bytes", &bytes, "sha256", &sha256) != 0) {
        tide_err_set(err, "%s: %s", path, error.text);
        rc = TIDE_MALFORMED;
    } else if (strcmp(format, "tidemark backup") != 0 || strcmp(file, "tidemark.mdb") != 0 ||
               strlen(uuid) >= sizeof manifest.uuid || strlen(sha256) >= sizeof manifest.sha256 ||
               schema < 0 || schema > UINT32_MAX || modules < 0 || modules > UINT32_MAX ||
               !tide_time_parse(time, strlen(time), &manifest.time_us)) {
        tide_err_set(err, "%s is not the manifest of a backup", path);
        rc = TIDE_MALFORMED;
    } else {
        manifest.schema = (uint32_t)schema;
        manifest.commit_seq = (uint64_t)seq;
        manifest.modules = (uint32_t)modules;
        manifest.records = (uint64_t)records;
        manifest.values = (uint64_t)values;
        manifest.received = (uint64_t)received;
        manifest.stored = (uint64_t)stored;
        manifest.file_bytes = (uint64_t)bytes;
        strcpy(manifest.uuid, uuid);
        strcpy(manifest.sha256, sha256);
        *ret = manifest;
    }
    json_decref(json);
    return rc;
}

static void print(const struct tide_args *args, const struct tide_manifest *manifest,
                  double seconds)
{
    char size[TIDE_HUMAN_SIZE], span[TIDE_HUMAN_SIZE], time[TIDE_TIME_TEXT_SIZE];

    if (tide_args_flag(args, "json")) {
        printf("{\"restored\":true,\"uuid\":\"%s\",\"commit_seq\":%" PRIu64 ",\"stored\":%" PRIu64
               ",\"modules\":%" PRIu32 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f}\n",
               manifest->uuid, manifest->commit_seq, manifest->stored, manifest->modules,
               manifest->file_bytes, seconds);
        return;
    }
    printf("%s: %s in %s, as of commit %" PRIu64, tide_args_text(args, "data-dir"),
           tide_human_bytes(size, (double)manifest->file_bytes),
           tide_human_ms(span, seconds * 1000), manifest->commit_seq);
    if (manifest->time_us)
        printf(" at %s", tide_time_text(time, manifest->time_us));
    printf(": %" PRIu64 " events of %" PRIu32 " modules\n", manifest->stored, manifest->modules);
}

static int run(const struct tide_args *args)
{
    struct tide_verifying verifying = {.found = 0};
    struct tide_copy_cfg cfg = {.growth_bytes = UINT64_MAX / 2,
                                .found = tide_verifying_found,
                                .go_on = tide_verifying_go_on,
                                .arg = &verifying};
    struct tide_manifest told, found;
    struct tide_err err = {""};
    int64_t begin_us = tide_clock_mono_us();
    enum tide_rc rc, manifest;

    if (args->operands == 0) {
        tide_say("restore: name the backup to restore: 'tidemark restore SRC'");
        return 2;
    }
    manifest = manifest_read(args->operand[0], &told, &err);
    if (manifest && manifest != TIDE_NOT_FOUND)
        return tide_tool_fail(args, manifest, &err);
    tide_stop_catch();
    tide_progress_start(&verifying.progress, tide_args_text(args, "progress"), "bytes");
    rc = tide_restore(args->operand[0], manifest ? NULL : &told, tide_args_text(args, "data-dir"),
                      &cfg, &found, &err);
    tide_progress_end(&verifying.progress);
    if (rc == TIDE_STOPPED) {
        tide_say("restore: stopped; nothing was left behind");
        return tide_rc_exit(rc);
    }
    if (rc)
        return tide_tool_fail(args, rc, &err);
    if (manifest)
        tide_say("restore: %s has no manifest.json; the store itself was verified",
                 args->operand[0]);
    print(args, &found, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    return 0;
}

static const struct tide_option options[] = {TIDE_OPTION_DATA_DIR, TIDE_OPTION_JSON,
                                             TIDE_OPTION_PROGRESS, TIDE_OPTION_END};

const struct tide_command tide_command_restore = {
    .name = "restore",
    .operands = "SRC",
    .summary = "make a data directory of a backup",
    .detail =
        "Verifies the backup SRC and its manifest first, then makes the directory --data-dir\n"
        "of it, which must not be there, or be empty: restore never overwrites. To go back to\n"
        "a backup, stop the daemon, move its data directory away, restore, and start it.\n"
        "What was acked after the backup is not in it; senders that still have it send it\n"
        "again. SRC stays as it is.\n\n"
        "Exit: 0 done, 1 the backup is damaged or the directory is not empty, 69 a daemon\n"
        "uses the directory, 74 the disk is full or refuses.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
