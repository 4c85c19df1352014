/* `tidemark status`: is the daemon well, how is the fleet, what happened to the events. Three
 * questions; --json passes the summary through.
 */
#include "tidemark.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "human.h"
#include "table.h"

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *name, const char *format, ...)
{
    char text[1024], clean[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    tide_text_clean(clean, sizeof clean, text);
    printf("%-10s %s\n", name, clean);
}

static void print_daemon(const char *url, const json_t *own)
{
    const char *name;
    json_t *checks = json_object_get(own, "checks"), *check;

    line("daemon", "%s at %s", tide_word(own, "status"), url);
    json_object_foreach(checks, name, check)
    {
        if (strcmp(tide_word(check, "status"), "ok") != 0)
            line("", "%s: %s, %s", name, tide_word(check, "status"), tide_word(check, "detail"));
    }
}

static void print_fleet(const json_t *metrics)
{
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE], d[TIDE_HUMAN_SIZE];

    line("fleet", "%s, score %s", tide_word(metrics, "overall_health"),
         tide_human_score(a, tide_figure(metrics, "health_score")));
    line("modules", "%s: %s healthy, %s degraded, %s critical, %s without data",
         tide_human_count(a, tide_figure(metrics, "total_modules")),
         tide_human_count(b, tide_figure(metrics, "healthy_modules")),
         tide_human_count(c, tide_figure(metrics, "degraded_modules")),
         tide_human_count(d, tide_figure(metrics, "critical_modules")),
         tide_human_count((char[TIDE_HUMAN_SIZE]){""}, tide_figure(metrics, "no_data_modules")));
    line("requests", "%s ever, %s in the last %s, now %s, %s failed",
         tide_human_count(a, tide_figure(metrics, "total_requests")),
         tide_human_count(b, tide_figure(metrics, "window_requests")),
         tide_human_span(c, tide_figure(metrics, "window_s")),
         tide_human_rate(d, tide_figure(metrics, "overall_throughput_rps")),
         tide_human_share((char[TIDE_HUMAN_SIZE]){""}, tide_figure(metrics, "overall_error_rate")));
    line("response", "mean %s, p95 %s, p99 %s",
         tide_human_ms(a, tide_figure(metrics, "average_response_time_ms")),
         tide_human_ms(b, tide_figure(metrics, "p95_response_time_ms")),
         tide_human_ms(c, tide_figure(metrics, "p99_response_time_ms")));
    if (tide_word(metrics, "last_updated")[0])
        line("last event", "%s", tide_word(metrics, "last_updated"));
}

static void print_books(const json_t *ledger)
{
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE], d[TIDE_HUMAN_SIZE];
    const char *reason;
    json_t *reasons = json_object_get(ledger, "rejected_by_reason"), *count;

    line("events", "%s received: %s stored, %s duplicate, %s late, %s rejected",
         tide_human_count(a, tide_figure(ledger, "received")),
         tide_human_count(b, tide_figure(ledger, "stored")),
         tide_human_count(c, tide_figure(ledger, "duplicate")),
         tide_human_count(d, tide_figure(ledger, "late")),
         tide_human_count((char[TIDE_HUMAN_SIZE]){""}, tide_figure(ledger, "rejected")));
    json_object_foreach(reasons, reason, count)
    {
        if (json_number_value(count) > 0)
            line("", "%s rejected as %s", tide_human_count(a, json_number_value(count)), reason);
    }
}

static int run(const struct tide_args *args)
{
    struct tide_err err = {""};
    json_t *summary = NULL, *own = NULL, *ledger = NULL;
    enum tide_rc rc;

    rc = tide_ask_args(args, "/api/v3/metrics/summary", false, &summary, &err);
    if (rc == TIDE_OK && summary)
        rc = tide_ask_args(args, "/api/v3/health/status", true, &own, &err);
    if (rc == TIDE_OK && summary)
        rc = tide_ask_args(args, "/api/v3/ingest/ledger", false, &ledger, &err);
    if (rc == TIDE_OK && summary) {
        print_daemon(tide_args_text(args, "url"), own);
        print_fleet(json_object_get(summary, "metrics"));
        print_books(json_object_get(ledger, "ledger"));
    }
    json_decref(summary);
    json_decref(own);
    json_decref(ledger);
    return rc == TIDE_OK ? 0 : tide_tool_fail(args, rc, &err);
}

static const struct tide_option options[] = {TIDE_OPTIONS_ASK, TIDE_OPTION_HTTP_TIMEOUT,
                                             TIDE_OPTION_JSON, TIDE_OPTION_END};

const struct tide_command tide_command_status = {
    .name = "status",
    .summary = "how the daemon and the fleet are",
    .detail = "Exit: 0 when the daemon answered, whatever it said; 69 when it is not there.",
    .option = options,
    .run = run,
};
