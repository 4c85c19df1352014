/* `tidemark health`: who is in trouble, and why: every module that is degraded or critical with its
 * reasons.
 */
#include "tidemark.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "human.h"
#include "table.h"

/* A signal's figure in its own unit; the names are the daemon's. */
static void signal_text(char *text, const char *signal, double value)
{
    size_t len = strlen(signal);

    if (strcmp(signal, "error_rate") == 0)
        tide_human_share(text, value);
    else if (len > 3 && strcmp(signal + len - 3, "_ms") == 0)
        tide_human_ms(text, value);
    else if (len > 6 && strcmp(signal + len - 6, "_bytes") == 0)
        tide_human_bytes(text, value);
    else if (len > 8 && strcmp(signal + len - 8, "_percent") == 0)
        tide_human_percent(text, value);
    else if (len > 4 && strcmp(signal + len - 4, "_rps") == 0)
        tide_human_rate(text, value);
    else
        tide_human_count(text, value);
}

static void table_add(struct tide_table *table, const json_t *module)
{
    json_t *reasons = json_object_get(module, "reasons"), *reason;
    const char *status = tide_word(module, "status");
    char text[TIDE_HUMAN_SIZE];
    size_t i;

    for (i = 0; i == 0 || i < json_array_size(reasons); i++) {
        const char *signal;

        reason = json_array_get(reasons, i);
        signal = tide_word(reason, "signal");
        tide_table_row(table);
        tide_table_cell(table, i == 0 ? tide_word(module, "module_id") : "");
        tide_table_cell(table, i == 0 ? status : "");
        tide_table_colour(table, tide_status_colour(status));
        tide_table_cell(table,
                        i == 0 ? tide_human_score(text, tide_figure(module, "health_score")) : "");
        tide_table_cell(table, signal);
        if (!reason)
            continue;
        signal_text(text, signal, tide_figure(reason, "value"));
        tide_table_cell(table, text);
        signal_text(text, signal, tide_figure(reason, "warning"));
        tide_table_cell(table, text);
        signal_text(text, signal, tide_figure(reason, "critical"));
        tide_table_cell(table, text);
        snprintf(text, sizeof text, "-%.1f", tide_figure(reason, "penalty"));
        tide_table_cell(table, text);
    }
}

static void print(const json_t *health)
{
    static const char *const heads[] = {"module", "status",  "score",    "signal",
                                        "value",  "warning", "critical", "points"};
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE];
    json_t *modules = json_object_get(health, "modules"), *module;
    struct tide_table *table;
    size_t i;

    printf("fleet %s, score %s: %s of %s requests failed\n", tide_word(health, "overall_health"),
           tide_human_score(a, tide_figure(health, "health_score")),
           tide_human_count(b, tide_figure(health, "failed_requests")),
           tide_human_count(c, tide_figure(health, "total_requests")));
    if (json_array_size(modules) == 0) {
        printf("no module is degraded or critical\n");
        return;
    }
    putchar('\n');
    table = tide_table_new();
    for (i = 0; i < sizeof heads / sizeof *heads; i++)
        tide_table_column(table, heads[i], i == 2 || i > 3 ? TIDE_RIGHT : TIDE_LEFT,
                          i == 0 ? 60 : 0);
    json_array_foreach(modules, i, module)
    {
        table_add(table, module);
    }
    tide_table_print(table, stdout, tide_wants_colour(stdout), "\n");
    tide_table_free(table);
}

static int run(const struct tide_args *args)
{
    struct tide_err err = {""};
    json_t *answer = NULL;
    enum tide_rc rc = tide_ask_args(args, "/api/v3/metrics/health", false, &answer, &err);

    if (rc != TIDE_OK)
        return tide_tool_fail(args, rc, &err);
    if (answer)
        print(json_object_get(answer, "health"));
    json_decref(answer);
    return 0;
}

static const struct tide_option options[] = {TIDE_OPTIONS_ASK, TIDE_OPTION_HTTP_TIMEOUT,
                                             TIDE_OPTION_JSON, TIDE_OPTION_END};

const struct tide_command tide_command_health = {
    .name = "health",
    .summary = "which modules are in trouble, and why",
    .detail = "Exit: 0 when the daemon answered, whatever it said; 69 when it is not there.",
    .option = options,
    .run = run,
};
