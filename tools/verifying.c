/* verifying - see verifying.h. */
#include "verifying.h"

#include "tidemark.h"

#define SHOWN 10

bool tide_verifying_go_on(void *verifying, uint64_t done_bytes, double share)
{
    struct tide_verifying *self = verifying;

    tide_progress_show(&self->progress, done_bytes, share);
    return !tide_stopping;
}

void tide_verifying_found(void *verifying, const struct tide_finding *finding)
{
    struct tide_verifying *self = verifying;

    if (self->found++ >= SHOWN)
        return; /* verify tells the rest */
    tide_progress_pause(&self->progress);
    tide_say("table %s%s%s: %s", finding->table, finding->module[0] ? ", " : "", finding->module,
             finding->what);
}

void tide_verifying_hint(const struct tide_args *args, enum tide_rc rc, struct tide_err *err)
{
    if (rc == TIDE_NOT_FOUND && !tide_args_given(args, "data-dir"))
        tide_err_wrap(err, "name the store's directory with --data-dir");
}
