/* `tidemark compact`: the store of a stopped daemon, written anew without its free pages. */
#include "tidemark.h"

#include <inttypes.h>
#include <stdio.h>

#include "human.h"
#include "tidemark/backup.h"
#include "tidemark/clock.h"
#include "verifying.h"

static int run(const struct tide_args *args)
{
    struct tide_verifying verifying = {.found = 0};
    struct tide_copy_cfg cfg = {.growth_bytes = UINT64_MAX / 2,
                                .found = tide_verifying_found,
                                .go_on = tide_verifying_go_on,
                                .arg = &verifying};
    char before[TIDE_HUMAN_SIZE], after[TIDE_HUMAN_SIZE], span[TIDE_HUMAN_SIZE];
    struct tide_compacted compacted;
    struct tide_err err = {""};
    int64_t begin_us = tide_clock_mono_us();
    double seconds;
    enum tide_rc rc;

    tide_stop_catch();
    tide_progress_start(&verifying.progress, tide_args_text(args, "progress"), "bytes");
    rc = tide_compact(tide_args_text(args, "data-dir"), &cfg, &compacted, &err);
    tide_progress_end(&verifying.progress);
    if (rc == TIDE_STOPPED) {
        tide_say("compact: stopped; the store is as it was");
        return tide_rc_exit(rc);
    }
    if (rc == TIDE_LOCKED)
        tide_err_wrap(&err, "stop the daemon first");
    tide_verifying_hint(args, rc, &err);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    seconds = (double)(tide_clock_mono_us() - begin_us) / 1e6;
    if (tide_args_flag(args, "json"))
        printf("{\"compacted\":true,\"before_bytes\":%" PRIu64 ",\"after_bytes\":%" PRIu64
               ",\"seconds\":%.3f}\n",
               compacted.before_bytes, compacted.after_bytes, seconds);
    else
        printf("%s: %s before, %s after, in %s\n", tide_args_text(args, "data-dir"),
               tide_human_bytes(before, (double)compacted.before_bytes),
               tide_human_bytes(after, (double)compacted.after_bytes),
               tide_human_ms(span, seconds * 1000));
    return 0;
}

static const struct tide_option options[] = {TIDE_OPTION_DATA_DIR, TIDE_OPTION_JSON,
                                             TIDE_OPTION_PROGRESS, TIDE_OPTION_END};

const struct tide_command tide_command_compact = {
    .name = "compact",
    .summary = "write a store anew, smaller; the daemon must be stopped",
    .detail =
        "The file of a store keeps its size when history is deleted: the daemon uses the room\n"
        "again. This gives it back to the disk. The new file is made beside the old one,\n"
        "verified, and takes its place at once; a crash leaves the old one or the new one. It\n"
        "takes as much free disk space as the result has.\n\n"
        "Exit: 0 done, 1 the store is damaged or not there, 69 a daemon uses it, 74 the disk\n"
        "is full or refuses.",
    .option = options,
    .run = run,
};
