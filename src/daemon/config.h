/* From flags, environment and file to one checked struct tide_config. */
#ifndef TIDEMARK_DAEMON_CONFIG_H
#define TIDEMARK_DAEMON_CONFIG_H

#include "options.h"
#include "tidemark/err.h"

/* Flag beats --set beats environment beats file beats default; a source of its own never sees the
 * others, only the result is checked as a whole. With help or version set in *ret nothing else was
 * looked at.
 *
 * Shape    argv[0] is the program; env is as environ: "NAME=value" ..., NULL
 * Returns  TIDE_OK      *ret is complete; tide_config_fini frees it
 *          TIDE_USAGE   the command line is off (exit 2)
 *          TIDE_CONFIG  a key, a value or their combination is (exit 78); names source, place, key
 * and what was expected TIDE_NO_MEMORY
 */
enum tide_rc tide_config_load(int argc, char *const argv[], char *const env[],
                              struct tide_config *ret, struct tide_err *err);
void tide_config_fini(struct tide_config *config);

#endif
