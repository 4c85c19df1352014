/* verifying - what the commands that read or copy whole stores share: progress in bytes, Ctrl-C,
 * and where the store is.
 */
#ifndef TIDEMARK_TOOLS_VERIFYING_H
#define TIDEMARK_TOOLS_VERIFYING_H

#include "args.h"
#include "progress.h"
#include "tidemark/verify.h"

#define TIDE_OPTION_DATA_DIR                                                                     \
    {                                                                                            \
        "data-dir", "DIR", "./tidemark-data", "the store's directory", TIDE_OPTION_TEXT, 1, 1000 \
    }

struct tide_verifying {
    struct tide_progress progress;
    uint64_t found; /* findings */
};

/* For go_on, with a struct tide_verifying (or what begins with one) as its argument: shows the
 * progress; false after Ctrl-C. */
bool tide_verifying_go_on(void *verifying, uint64_t done_bytes, double share);

/* For found: says the first few on stderr. */
void tide_verifying_found(void *verifying, const struct tide_finding *finding);

/* Says how to name a store, when there is none where it was looked for unasked. */
void tide_verifying_hint(const struct tide_args *args, enum tide_rc rc, struct tide_err *err);

#endif
