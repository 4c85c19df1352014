/* `tidemark modules`: one row per module, following the daemon's cursor until --limit rows are
 * there.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "module_table.h"

#define PAGE_MAX   10000
#define CURSOR_MAX 512

static void path_build(char *path, size_t size, const struct tide_args *args, int64_t limit,
                       const char *cursor)
{
    char number[24];

    snprintf(path, size, "/api/v3/metrics/modules");
    snprintf(number, sizeof number, "%" PRId64, limit < PAGE_MAX ? limit : PAGE_MAX);
    tide_path_parameter(path, size, "limit", number);
    tide_path_parameter(path, size, "sort", tide_args_text(args, "sort"));
    tide_path_parameter(path, size, "status", tide_args_text(args, "status"));
    tide_path_parameter(path, size, "prefix", tide_args_text(args, "prefix"));
    tide_path_parameter(path, size, "cursor", cursor);
}

static int run(const struct tide_args *args)
{
    int64_t limit = tide_args_number(args, "limit"), rows = 0;
    char path[4096], cursor[CURSOR_MAX] = "";
    struct tide_err err = {""};
    struct tide_table *table = tide_module_table();
    double count = 0;
    enum tide_rc rc;

    do {
        json_t *answer = NULL, *module;
        size_t i, got;

        path_build(path, sizeof path, args, limit - rows, cursor);
        rc = tide_ask_args(args, path, false, &answer, &err);
        if (rc != TIDE_OK || !answer)
            break;
        json_array_foreach(json_object_get(answer, "modules"), i, module)
        {
            tide_module_row(table, module);
        }
        got = json_array_size(json_object_get(answer, "modules"));
        rows += (int64_t)got;
        count = tide_figure(answer, "count");
        snprintf(cursor, sizeof cursor, "%s", got ? tide_word(answer, "next_cursor") : "");
        json_decref(answer);
    } while (cursor[0] && rows < limit && !tide_stopping);
    if (rc == TIDE_OK && !tide_args_flag(args, "json")) {
        tide_table_print(table, stdout, tide_wants_colour(stdout), "\n");
        if (count > (double)rows)
            tide_say("%" PRId64 " of %.0f modules shown; --limit shows more", rows, count);
        else if (rows == 0)
            tide_say("no module matches");
    }
    tide_table_free(table);
    return rc == TIDE_OK ? 0 : tide_tool_fail(args, rc, &err);
}

static const struct tide_option options[] = {
    {"status", "healthy|degraded|critical|no_data", NULL, "only those", TIDE_OPTION_CHOICE, 0, 0},
    {"prefix", "TEXT", NULL, "only names that begin so", TIDE_OPTION_TEXT, 1, 128},
    {"sort", "name|trouble|requests|p95", "name", "order of the rows", TIDE_OPTION_CHOICE, 0, 0},
    {"limit", "N", "1000", "rows at most", TIDE_OPTION_NUMBER, 1, 10000000},
    TIDE_OPTIONS_ASK,
    TIDE_OPTION_HTTP_TIMEOUT,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_modules = {
    .name = "modules",
    .summary = "one row per module: status, score, rate, p95, failures",
    .detail =
        "--json prints the daemon's answer as it is: one page of at most 10000 modules and its\n"
        "next_cursor.",
    .option = options,
    .run = run,
};
