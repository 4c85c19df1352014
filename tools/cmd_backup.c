/* `tidemark backup`: a verified copy of a store, while its daemon goes on. */
#include "tidemark.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "human.h"
#include "tidemark/backup.h"
#include "tidemark/clock.h"
#include "verifying.h"

static void print(const struct tide_args *args, const struct tide_manifest *manifest,
                  double seconds)
{
    char size[TIDE_HUMAN_SIZE], span[TIDE_HUMAN_SIZE], records[TIDE_HUMAN_SIZE];

    if (tide_args_flag(args, "json")) {
        printf("{\"backup\":true,\"uuid\":\"%s\",\"commit_seq\":%" PRIu64 ",\"stored\":%" PRIu64
               ",\"modules\":%" PRIu32 ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"sha256\":\"%s\",\"seconds\":%.3f}\n",
               manifest->uuid, manifest->commit_seq, manifest->stored, manifest->modules,
               manifest->records, manifest->file_bytes, manifest->sha256, seconds);
        return;
    }
    printf("%s: %s in %s, as of commit %" PRIu64 ": %" PRIu64 " events, %s records of %" PRIu32
           " modules, verified\n",
           args->operand[0], tide_human_bytes(size, (double)manifest->file_bytes),
           tide_human_ms(span, seconds * 1000), manifest->commit_seq, manifest->stored,
           tide_human_count(records, (double)manifest->records), manifest->modules);
}

static int run(const struct tide_args *args)
{
    struct tide_verifying verifying = {.found = 0};
    struct tide_copy_cfg cfg = {.rate_bytes = (uint64_t)tide_args_number(args, "rate-mib") << 20,
                                .growth_bytes = (uint64_t)tide_args_number(args, "max-growth-mib")
                                                << 20,
                                .found = tide_verifying_found,
                                .go_on = tide_verifying_go_on,
                                .arg = &verifying};
    struct tide_manifest manifest;
    struct tide_err err = {""};
    int64_t begin_us = tide_clock_mono_us();
    enum tide_rc rc;

    if (args->operands == 0) {
        tide_say("backup: name the directory that it shall make: 'tidemark backup DEST'");
        return 2;
    }
    tide_stop_catch();
    tide_progress_start(&verifying.progress, tide_args_text(args, "progress"), "bytes");
    rc = tide_backup(tide_args_text(args, "data-dir"), args->operand[0], &cfg, &manifest, &err);
    tide_progress_end(&verifying.progress);
    if (rc == TIDE_STOPPED) {
        tide_say("backup: stopped; nothing was left behind");
        return tide_rc_exit(rc);
    }
    tide_verifying_hint(args, rc, &err);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    print(args, &manifest, (double)(tide_clock_mono_us() - begin_us) / 1e6);
    return 0;
}

static const struct tide_option options[] = {
    TIDE_OPTION_DATA_DIR,
    {"rate-mib", "N", "64", "write at most N MiB a second; 0: no limit", TIDE_OPTION_NUMBER, 0,
     1000000},
    {"max-growth-mib", "N", "4096", "give up when the store grows by more meanwhile",
     TIDE_OPTION_NUMBER, 1, 1 << 30},
    TIDE_OPTION_JSON,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_END};

const struct tide_command tide_command_backup = {
    .name = "backup",
    .operands = "DEST",
    .summary = "copy a store, also beside its daemon, and verify the copy",
    .detail = "Makes the new directory DEST with tidemark.mdb and manifest.json: everything that\n"
              "was acked before it began, and nothing else. The copy is compact, synced, and read\n"
              "again and verified before it gets its name; until then it is DEST.partial, and\n"
              "Ctrl-C leaves nothing. DEST must not be there. A backup is always a whole one;\n"
              "there is no --incremental yet.\n\n"
              "While it reads, the store's file keeps what the daemon deletes or rewrites; that\n"
              "growth is bounded, and is used again afterwards. --rate-mib is what bounds how\n"
              "much the daemon's commits are slowed: lower it on a slow disk.\n\n"
              "Exit: 0 done, 1 damaged, stopped, or DEST is there, 69 another process makes DEST,\n"
              "74 the disk is full or refuses.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
