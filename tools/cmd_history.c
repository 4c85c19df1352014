/* `tidemark history [MODULE]`: the points of one module or of the fleet as a table under two
 * sparklines, or as CSV. Empty intervals are absent from the answer; the sparklines show them as
 * gaps.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "human.h"
#include "spark.h"
#include "table.h"
#include "tidemark/clock.h"

#define SERIES_MAX 100000 /* intervals a sparkline looks at; the daemon's own limit of points */

/* One CSV field (RFC 4180): quoted when it has to be. */
static void csv_field(const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value)) {
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        printf("%.15g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        fputs(json_is_true(value) ? "true" : "false", stdout);
    } else if (text && strpbrk(text, ",\"\r\n")) {
        putchar('"');
        for (; *text; text++) {
            if (*text == '"')
                putchar('"');
            putchar(*text);
        }
        putchar('"');
    } else if (text) {
        fputs(text, stdout);
    } /* null: empty */
}

/* The columns are those of the first point, in its order. */
static void print_csv(const json_t *points)
{
    const json_t *first = json_array_get(points, 0);
    const char *name;
    json_t *point, *value;
    size_t i;
    bool begun = false;

    if (!first) {
        printf("interval_start\n");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)first, name, value)
    {
        printf("%s%s", begun ? "," : "", name);
        begun = true;
    }
    putchar('\n');
    json_array_foreach(points, i, point)
    {
        begun = false;
        json_object_foreach((json_t *)(uintptr_t)first, name, value)
        {
            if (begun)
                putchar(',');
            begun = true;
            csv_field(json_object_get(point, name));
        }
        putchar('\n');
    }
}

/* Where a point stands: whole steps behind the first one, or -1. */
static int64_t slot_of(const json_t *point, int64_t first_us, int64_t step_us)
{
    const char *text = tide_word(point, "interval_start");
    int64_t at_us;

    if (!tide_time_parse(text, strlen(text), &at_us) || at_us < first_us)
        return -1;
    return (at_us - first_us) / step_us;
}

static void print_spark(const json_t *points, double step_s, const char *field, const char *label,
                        char *(*human)(char *, double))
{
    const char *text = tide_word(json_array_get(points, 0), "interval_start");
    int64_t step_us = (int64_t)(step_s * 1e6), first_us, slots;
    char spark[TIDE_SPARK_SIZE], most[TIDE_HUMAN_SIZE];
    double *series, largest = (double)NAN;
    json_t *point;
    size_t i;

    if (!(step_s >= 1 && step_s < 1e9) || !tide_time_parse(text, strlen(text), &first_us))
        return;
    slots = slot_of(json_array_get(points, json_array_size(points) - 1), first_us, step_us) + 1;
    if (slots < 2 || slots > SERIES_MAX)
        return;
    series = malloc((size_t)slots * sizeof *series);
    if (!series)
        return; /* decoration */
    for (i = 0; i < (size_t)slots; i++)
        series[i] = (double)NAN;
    json_array_foreach(points, i, point)
    {
        int64_t slot = slot_of(point, first_us, step_us);
        double value = tide_figure(point, field);

        if (slot < 0 || slot >= slots)
            continue;
        series[slot] = value;
        if (isfinite(value) && !(value <= largest))
            largest = value;
    }
    tide_spark(spark, series, (size_t)slots, slots < 72 ? (size_t)slots : 72, tide_wants_unicode());
    printf("%-5s %s  up to %s\n", label, spark, human(most, largest));
    free(series);
}

static void table_add(struct tide_table *table, const json_t *point)
{
    char text[TIDE_HUMAN_SIZE];
    double corrected = tide_figure(point, "corrected"), requests = tide_figure(point, "requests");
    char time[TIDE_TIME_TEXT_SIZE];

    tide_table_row(table);
    snprintf(time, sizeof time, "%.19s", tide_word(point, "interval_start"));
    if (strlen(time) > 10 && time[10] == 'T')
        time[10] = ' ';
    tide_table_cell(table, time);
    tide_table_cell(table, tide_human_count(text, requests));
    tide_table_cell(table, tide_human_rate(text, tide_figure(point, "throughput_rps")));
    tide_table_cell(table,
                    tide_human_share(text, requests > 0 ? tide_figure(point, "failed") / requests
                                                        : (double)NAN));
    tide_table_cell(table, tide_human_ms(text, tide_figure(point, "average_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(point, "p50_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(point, "p95_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(point, "p99_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(point, "max_response_time_ms")));
    tide_table_cell(table, tide_human_bytes(text, tide_figure(point, "memory_usage_bytes")));
    tide_table_cell(table, tide_human_percent(text, tide_figure(point, "cpu_usage_percent")));
    if (json_is_false(json_object_get(point, "complete"))) {
        tide_table_cell(table, "open");
    } else if (corrected > 0) {
        snprintf(text, sizeof text, "+%.0f late", corrected);
        tide_table_cell(table, text);
    }
}

static void print_table(const json_t *answer)
{
    static const char *const heads[] = {
        "interval (UTC)", "requests", "rate", "failed", "mean", "p50", "p95", "p99", "max",
        "memory",         "cpu",      ""};
    json_t *points = json_object_get(answer, "history"), *point;
    const char *module = tide_word(answer, "module_id");
    double step_s = tide_figure(answer, "step_s");
    struct tide_table *table = tide_table_new();
    char title[600], clean[600], span[TIDE_HUMAN_SIZE];
    size_t i;

    snprintf(title, sizeof title, "%s, %s to %s, step %s, tier %s", module[0] ? module : "fleet",
             tide_word(answer, "from"), tide_word(answer, "to"), tide_human_span(span, step_s),
             tide_word(answer, "tier"));
    tide_text_clean(clean, sizeof clean, title);
    puts(clean);
    for (i = 0; i < sizeof heads / sizeof *heads; i++)
        tide_table_column(table, heads[i], i == 0 || i == 11 ? TIDE_LEFT : TIDE_RIGHT, 0);
    json_array_foreach(points, i, point)
    {
        table_add(table, point);
    }
    if (json_array_size(points) > 0)
        tide_table_print(table, stdout, tide_wants_colour(stdout), "\n");
    else
        tide_say("nothing in this range");
    if (json_array_size(points) > 1) { /* last, where a long table leaves the eye */
        putchar('\n');
        print_spark(points, step_s, "p95_response_time_ms", "p95", tide_human_ms);
        print_spark(points, step_s, "throughput_rps", "rate", tide_human_rate);
    }
    if (tide_word(answer, "next_cursor")[0])
        tide_say("older points were left out; --limit shows more");
    tide_table_free(table);
}

static int run(const struct tide_args *args)
{
    static const char *const parameters[] = {"from", "to", "step", "limit", "cursor"};
    struct tide_err err = {""};
    json_t *answer = NULL;
    char path[6000] = "/api/v3/metrics/history";
    enum tide_rc rc;

    if (tide_args_flag(args, "csv") && tide_args_flag(args, "json")) {
        tide_err_set(&err, "--csv and --json do not go together");
        return tide_tool_fail(args, TIDE_USAGE, &err);
    }
    tide_path_parameter(path, sizeof path, "module_id", args->operands ? args->operand[0] : NULL);
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        tide_path_parameter(path, sizeof path, parameters[i], tide_args_text(args, parameters[i]));
    rc = tide_ask_args(args, path, false, &answer, &err);
    if (rc != TIDE_OK)
        return tide_tool_fail(args, rc, &err);
    if (answer && tide_args_flag(args, "csv"))
        print_csv(json_object_get(answer, "history"));
    else if (answer)
        print_table(answer);
    json_decref(answer);
    return 0;
}

static const struct tide_option options[] = {
    {"from", "TIME", NULL,
     "begin: 2026-11-23T17:00:00Z, Unix seconds, or -24h; the last hour if absent",
     TIDE_OPTION_TEXT, 1, 64},
    {"to", "TIME", NULL, "end, not included; now if absent", TIDE_OPTION_TEXT, 1, 64},
    {"step", "TIME", NULL, "width of a point; the finest that fits if absent", TIDE_OPTION_TEXT, 1,
     32},
    {"limit", "N", "150", "points at most, the newest of the range", TIDE_OPTION_NUMBER, 1, 100000},
    {"cursor", "TEXT", NULL, "next_cursor of an answer: the points before it", TIDE_OPTION_TEXT, 1,
     512},
    {"csv", NULL, NULL, "print CSV, every field of a point a column", TIDE_OPTION_FLAG, 0, 0},
    TIDE_OPTIONS_ASK,
    TIDE_OPTION_HTTP_TIMEOUT,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_history = {
    .name = "history",
    .operands = "[MODULE]",
    .summary = "a module, or the fleet, over time",
    .detail =
        "Without MODULE: the fleet. An interval that is still open is marked; '+N late' says that\n"
        "N events came after it was finished.",
    .option = options,
    .operands_max = 1,
    .run = run,
};
