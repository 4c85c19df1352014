/* What every command of the tool sees: its place in the table, and how the tool talks.
 *
 * Data goes to stdout, talk to stderr as `tidemark: send: sentence`. Exit codes: 0 done, 1 failed,
 * 2 the words were off, 69 the daemon is not there, 74 input or output failed.
 */
#ifndef TIDEMARK_TOOLS_TIDEMARK_H
#define TIDEMARK_TOOLS_TIDEMARK_H

#include <signal.h>
#include <stdbool.h>
#include "args.h"
#include "tidemark/err.h"

/* The whole tool: argv as main got it -> exit code. */
int tide_tool_main(int argc, char **argv);

/* One line on stderr, "tidemark: " in front. */
void tide_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says err (or the code's own words) under the command's name; returns the exit code. */
int tide_tool_fail(const struct tide_args *args, enum tide_rc rc, const struct tide_err *err);

/* Makes SIGINT and SIGTERM set tide_stopping instead of ending the process; the second one ends it.
 */
void tide_stop_catch(void);
extern volatile sig_atomic_t tide_stopping;

/* One row per command, in the order of the help. */
extern const struct tide_command tide_command_status;
extern const struct tide_command tide_command_modules;
extern const struct tide_command tide_command_history;
extern const struct tide_command tide_command_health;
extern const struct tide_command tide_command_send;
extern const struct tide_command tide_command_demo;
extern const struct tide_command tide_command_bench_ingest;
extern const struct tide_command tide_command_bench_storage;
extern const struct tide_command tide_command_bench_query;
extern const struct tide_command tide_command_backup;
extern const struct tide_command tide_command_restore;
extern const struct tide_command tide_command_verify;
extern const struct tide_command tide_command_compact;
extern const struct tide_command tide_command_migrate;
extern const struct tide_command tide_command_export;
extern const struct tide_command tide_command_import;
extern const struct tide_command tide_command_doctor;
extern const struct tide_command tide_command_config_check;
extern const struct tide_command tide_command_config_show;
extern const struct tide_command tide_command_top;
extern const struct tide_command tide_command_completion;
extern const struct tide_command tide_command_man;

#endif
