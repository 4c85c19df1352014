/* beside - tidemarkd, run for a moment, for what only it knows: what its configuration means. */
#ifndef TIDEMARK_TOOLS_BESIDE_H
#define TIDEMARK_TOOLS_BESIDE_H

#include <jansson.h>
#include "args.h"
#include "tidemark/err.h"

#define TIDE_OPTION_DAEMON                                                         \
    {                                                                              \
        "daemon", "PATH", NULL, "the tidemarkd to ask (that beside this program)", \
            TIDE_OPTION_TEXT, 1, 1024                                              \
    }

/* What the daemon says to one of its flags that leave at once; file: for --config, or NULL. The
 * environment goes with it. *ret_said (the caller frees it) is its standard output; *ret_exit its
 * exit code, and err then its words. TIDE_UNAVAILABLE: it cannot be run. */
enum tide_rc tide_beside_ask(const struct tide_args *args, const char *flag, const char *file,
                             char **ret_said, int *ret_exit, struct tide_err *err);

/* Its configuration: the array of keys that --show-config prints. TIDE_CONFIG: it is wrong. */
enum tide_rc tide_beside_config(const struct tide_args *args, const char *file, json_t **ret,
                                struct tide_err *err);

#endif
