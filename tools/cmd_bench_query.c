/* `tidemark bench query`: what answers cost. One connection asks each question of a table again and
 * again; how long an answer takes is the client's clock, what it costs the server is what the
 * kernel booked on the daemon's threads meanwhile.
 *
 * Without a daemon to ask it makes a store of its own with two days of history through the store's
 * own write path and starts one on it. The answers are checked, too: the points of a day add up to
 * what one point over the day says.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "asker.h"
#include "bench_storage.h"
#include "human.h"
#include "laps.h"
#include "proc.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define DAY_S     86400
#define ASK_MS    30000
#define OWN_DAYS  2
#define PATH_SIZE 1024

/* What a question is about: %M the module, %E the end of its history, %D, %T and %Y a day, thirty
 * days and a year before that. */
static const struct question {
    const char *name, *text, *path;
    double target_ms; /* of its p50; 0: none */
} questions[] = {
    {"live", "is it alive", "/api/v3/health/live", 0},
    {"summary", "summary of the fleet", "/api/v3/metrics/summary", 0},
    {"module", "one module, current", "/api/v3/metrics/module?module_id=%M", 0},
    {"modules", "list of modules", "/api/v3/metrics/modules", 0},
    {"prometheus", "scrape", "/api/v3/metrics/prometheus", 0},
    {"day_json", "a day of one module, 30 s, JSON",
     "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&step=30s&limit=2880", 2.5},
    {"day_columns", "  the same, columns",
     "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&step=30s&limit=2880&format=columns", 1.5},
    {"day_msgpack", "  the same, msgpack",
     "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&step=30s&limit=2880&format=msgpack", 0},
    {"day_requests", "  the same, only requests",
     "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&step=30s&limit=2880&fields=requests", 0},
    {"month_p99", "30 days of one module, hours, p99",
     "/api/v3/metrics/history?module_id=%M&from=%T&to=%E&step=1h&limit=1000"
     "&fields=p99_response_time_ms",
     10},
    {"year_fleet", "a year of the fleet, one point",
     "/api/v3/metrics/history?from=%Y&to=%E&aggregate=true", 5},
};
#define QUESTIONS (sizeof questions / sizeof *questions)

struct answer {
    double p50_ms, p99_ms, cpu_ms; /* cpu NAN: not known */
    size_t bytes;
};

struct query_bench {
    const struct tide_args *args;
    char url[512];
    pid_t pid; /* of the daemon; 0: not known */
    struct tide_child child;
    struct tide_asker asker;
    char module[TIDE_MODULE_NAME_MAX * 3 + 1]; /* escaped */
    int64_t end_s;
    uint32_t times;
    struct answer answer[QUESTIONS];
    struct tide_err err;
};

/* ---- what is asked ---- */

static void path_make(const struct query_bench *bench, const char *pattern, char path[PATH_SIZE])
{
    size_t len = 0;

    for (; *pattern && len < PATH_SIZE - 1; pattern++) {
        int64_t back_s = 0;

        if (*pattern != '%') {
            path[len++] = *pattern;
            continue;
        }
        switch (*++pattern) {
        case 'M':
            len += (size_t)snprintf(path + len, PATH_SIZE - len, "%s", bench->module);
            continue;
        case 'D':
            back_s = DAY_S;
            break;
        case 'T':
            back_s = 30 * DAY_S;
            break;
        case 'Y':
            back_s = 365 * DAY_S;
            break;
        default:
            break;
        }
        len += (size_t)snprintf(path + len, PATH_SIZE - len, "%" PRId64, bench->end_s - back_s);
    }
    path[len] = '\0';
}

/* One answer with its status checked. */
static enum tide_rc ask(struct query_bench *bench, const char *path, struct tide_asked *ret)
{
    enum tide_rc rc = tide_asker_get(&bench->asker, path, ret, &bench->err);

    if (rc == TIDE_OK && ret->status != 200) {
        tide_err_set(&bench->err, "%s: the daemon answers %d: %.300s", path, ret->status,
                     ret->body);
        rc = TIDE_UNAVAILABLE;
    }
    return rc;
}

static enum tide_rc ask_json(struct query_bench *bench, const char *pattern, json_t **ret)
{
    struct tide_asked asked;
    char path[PATH_SIZE];
    enum tide_rc rc;

    path_make(bench, pattern, path);
    rc = ask(bench, path, &asked);
    if (rc != TIDE_OK)
        return rc;
    *ret = json_loadb(asked.body, asked.body_len, 0, NULL);
    if (*ret)
        return TIDE_OK;
    tide_err_set(&bench->err, "%s: no JSON", path);
    return TIDE_MALFORMED;
}

/* The module with the most requests, and where its history ends, rounded up to a day. */
static enum tide_rc choose(struct query_bench *bench)
{
    json_t *list = NULL, *first;
    int64_t last_us;
    const char *last;
    enum tide_rc rc = ask_json(bench, "/api/v3/metrics/modules?sort=requests&limit=1", &list);

    if (rc != TIDE_OK)
        return rc;
    first = json_array_get(json_object_get(list, "modules"), 0);
    last = tide_word(first, "last_updated");
    if (!first || !tide_time_parse(last, strlen(last), &last_us)) {
        tide_err_set(&bench->err, "the daemon knows no module: there is nothing to ask about");
        rc = TIDE_UNAVAILABLE;
    } else {
        tide_http_escape(bench->module, sizeof bench->module, tide_word(first, "module_id"));
        bench->end_s = last_us / 1000000 / DAY_S * DAY_S + DAY_S;
    }
    json_decref(list);
    return rc;
}

/* ---- measuring ---- */

static enum tide_rc measure(struct query_bench *bench, size_t which)
{
    struct answer *answer = &bench->answer[which];
    struct tide_cpu before, after;
    struct tide_asked asked = {0};
    char path[PATH_SIZE];
    struct tide_laps laps;
    enum tide_rc rc;
    bool has_cpu;

    path_make(bench, questions[which].path, path);
    tide_laps_init(&laps);
    rc = ask(bench, path, &asked); /* the first one warms up */
    has_cpu = bench->pid && tide_cpu_read(bench->pid, &before) == TIDE_OK;
    for (uint32_t i = 0; i < bench->times && rc == TIDE_OK; i++) {
        tide_laps_begin(&laps);
        rc = ask(bench, path, &asked);
        tide_laps_end(&laps);
    }
    has_cpu = has_cpu && tide_cpu_read(bench->pid, &after) == TIDE_OK;
    answer->p50_ms = tide_laps_ms(&laps, TIDE_LAP_WALL, .5);
    answer->p99_ms = tide_laps_ms(&laps, TIDE_LAP_WALL, .99);
    answer->cpu_ms =
        has_cpu ? (double)(after.total_ns - before.total_ns) / 1e6 / bench->times : (double)NAN;
    answer->bytes = asked.body_len;
    tide_laps_fini(&laps);
    return rc;
}

/* The points of the day beside one point over it: both sums of requests. */
static enum tide_rc check(struct query_bench *bench, double *ret_points, double *ret_whole)
{
    json_t *day = NULL, *whole = NULL, *point;
    enum tide_rc rc;
    size_t i;

    rc = ask_json(bench,
                  "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&step=30s&limit=2880"
                  "&fields=requests",
                  &day);
    if (rc == TIDE_OK)
        rc = ask_json(bench,
                      "/api/v3/metrics/history?module_id=%M&from=%D&to=%E&aggregate=true"
                      "&fields=requests",
                      &whole);
    *ret_points = 0;
    *ret_whole = 0;
    if (rc == TIDE_OK) {
        json_array_foreach(json_object_get(day, "history"), i, point) *ret_points +=
            tide_figure(point, "requests");
        json_array_foreach(json_object_get(whole, "history"), i, point) *ret_whole +=
            tide_figure(point, "requests");
    }
    json_decref(day);
    json_decref(whole);
    return rc;
}

/* ---- the daemon ---- */

static enum tide_rc own_store(struct query_bench *bench, const char *data)
{
    struct tide_bench *storage = calloc(1, sizeof *storage);
    uint32_t modules = (uint32_t)tide_args_number(bench->args, "modules");
    enum tide_rc rc;

    if (!storage)
        return TIDE_NO_MEMORY;
    storage->seed = (uint64_t)tide_args_number(bench->args, "seed");
    storage->planned = (uint64_t)modules * OWN_DAYS * (DAY_S / TIDE_BENCH_INTERVAL_S);
    tide_progress_start(&storage->progress, tide_args_text(bench->args, "progress"), "records");
    rc = tide_bench_history(storage, data, modules, OWN_DAYS, true);
    tide_progress_end(&storage->progress);
    bench->err = storage->err;
    free(storage);
    return rc;
}

/* A daemon of our own, on a store of our own or a given one, or the given one. */
static enum tide_rc daemon_get(struct query_bench *bench)
{
    const char *url = tide_args_text(bench->args, "url");
    const char *daemon = tide_args_text(bench->args, "daemon");
    const char *store = tide_args_text(bench->args, "store");
    char beside[TIDE_CHILD_PATH], data[TIDE_CHILD_PATH + 16];
    enum tide_rc rc;

    if (url) {
        snprintf(bench->url, sizeof bench->url, "%s", url);
        bench->pid = (pid_t)tide_args_number(bench->args, "pid");
        return TIDE_OK;
    }
    if (!daemon) {
        if ((rc = tide_daemon_beside(beside, &bench->err)) != TIDE_OK)
            return rc;
        daemon = beside;
    }
    rc = tide_child_prepare(tide_args_text(bench->args, "dir"), &bench->child, &bench->err);
    if (rc != TIDE_OK)
        return rc;
    snprintf(data, sizeof data, "%s/data", bench->child.dir);
    if (!store)
        rc = own_store(bench, data);
    if (rc == TIDE_OK)
        rc = tide_child_run(&bench->child, daemon, store ? store : data, NULL, &bench->err);
    if (rc != TIDE_OK)
        return rc;
    bench->pid = bench->child.pid;
    snprintf(bench->url, sizeof bench->url, "http://%s", bench->child.http);
    return TIDE_OK;
}

/* ---- reports ---- */

static void report_text(const struct query_bench *bench, const char *books)
{
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE], d[TIDE_HUMAN_SIZE],
        e[TIDE_HUMAN_SIZE], f[TIDE_HUMAN_SIZE];

    printf("%" PRIu32 " times each, one connection\n\n", bench->times);
    printf("%-36s%12s%12s%12s%14s%12s%12s\n", "QUESTION", "P50", "P99", "SERVER CPU", "PER CPU-S",
           "BYTES", "P50 TARGET");
    for (size_t i = 0; i < QUESTIONS; i++) {
        const struct answer *answer = &bench->answer[i];
        bool has_cpu = isfinite(answer->cpu_ms) && answer->cpu_ms > 0;

        printf("%-36s%12s%12s%12s%14s%12s%12s\n", questions[i].text,
               tide_human_ms(a, answer->p50_ms), tide_human_ms(b, answer->p99_ms),
               has_cpu ? tide_human_ms(c, answer->cpu_ms) : "not known",
               has_cpu ? tide_human_count(d, 1e3 / answer->cpu_ms) : "",
               tide_human_bytes(e, (double)answer->bytes),
               questions[i].target_ms > 0 ? tide_human_ms(f, questions[i].target_ms) : "");
    }
    printf("\nbooks: %s\n", books);
}

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void report_json(const struct query_bench *bench, const char *books)
{
    json_t *object = json_object(), *list = json_array();

    for (size_t i = 0; i < QUESTIONS; i++) {
        const struct answer *answer = &bench->answer[i];
        double target = questions[i].target_ms;

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "name", questions[i].name,
                            "text", questions[i].text, "p50_ms", real_or_null(answer->p50_ms),
                            "p99_ms", real_or_null(answer->p99_ms), "server_cpu_ms",
                            real_or_null(answer->cpu_ms), "bytes", (json_int_t)answer->bytes,
                            "p50_target_ms", target > 0 ? json_real(target) : json_null()));
    }
    json_object_set_new(object, "times", json_integer(bench->times));
    json_object_set_new(object, "questions", list);
    json_object_set_new(object, "books", json_string(books));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

/* ---- the command ---- */

static enum tide_rc options_check(const struct tide_args *args, struct tide_err *err)
{
    static const char *const own_only[] = {"store", "daemon", "dir", "modules", "seed"};

    for (size_t i = 0; i < sizeof own_only / sizeof *own_only; i++)
        if (tide_args_given(args, "url") && tide_args_given(args, own_only[i])) {
            tide_err_set(err, "--%s is for a daemon of its own, --url names a running one",
                         own_only[i]);
            return TIDE_USAGE;
        }
    if (!tide_args_given(args, "url") && tide_args_given(args, "pid")) {
        tide_err_set(err, "--pid belongs to the daemon that --url names");
        return TIDE_USAGE;
    }
    return TIDE_OK;
}

static int run(const struct tide_args *args)
{
    struct query_bench *bench = calloc(1, sizeof *bench);
    char books[200] = "ok, the points of the day add up to the day";
    double points = 0, whole = 0;
    struct tide_err err = {""};
    enum tide_rc rc, stopped;

    if (!bench)
        return tide_tool_fail(args, TIDE_NO_MEMORY, NULL);
    bench->args = args;
    bench->times = (uint32_t)tide_args_number(args, "times");
    tide_log_set_level(TIDE_WARNING);
    rc = options_check(args, &bench->err);
    if (rc == TIDE_OK) {
        tide_stop_catch();
        rc = daemon_get(bench);
    }
    if (rc == TIDE_OK)
        rc = tide_asker_open(&bench->asker, bench->url, ASK_MS, &bench->err);
    if (rc == TIDE_OK)
        rc = choose(bench);
    for (size_t i = 0; i < QUESTIONS && rc == TIDE_OK; i++)
        rc = tide_stopping ? TIDE_STOPPED : measure(bench, i);
    if (rc == TIDE_OK)
        rc = check(bench, &points, &whole);
    if (rc == TIDE_OK) {
        if (points != whole)
            snprintf(books, sizeof books,
                     "the points of the day have %.0f requests, one point over the day %.0f",
                     points, whole);
        if (tide_args_flag(args, "json"))
            report_json(bench, books);
        else
            report_text(bench, books);
    }
    tide_asker_close(&bench->asker);
    stopped = tide_child_stop(&bench->child, rc == TIDE_OK ? &bench->err : NULL);
    tide_child_clean(&bench->child);
    err = bench->err;
    free(bench);
    if (rc == TIDE_STOPPED)
        tide_err_set(&err, "interrupted");
    if (rc != TIDE_OK || stopped != TIDE_OK)
        return tide_tool_fail(args, rc != TIDE_OK ? rc : stopped, &err);
    return points == whole ? 0 : 1;
}

static const struct tide_option options[] = {
    {"times", "N", "200", "how often each question is asked", TIDE_OPTION_NUMBER, 1, 1000000},
    {"store", "DIR", NULL, "start a daemon on this store, which goes on with it", TIDE_OPTION_TEXT,
     1, 1000},
    {"modules", "N", "10", "modules of the store that is made", TIDE_OPTION_NUMBER, 1, 5000},
    {"seed", "N", "1", "the same seed makes the same history", TIDE_OPTION_NUMBER, 0, INT64_MAX},
    {"daemon", "PATH", NULL, "the tidemarkd to start; the one beside this tool if absent",
     TIDE_OPTION_TEXT, 1, 4000},
    {"dir", "PATH", ".", "where its store is made, and removed afterwards", TIDE_OPTION_TEXT, 1,
     900},
    {"url", "URL", NULL, "ask this running daemon instead", TIDE_OPTION_TEXT, 1, 500},
    TIDE_OPTION_TOKEN,
    TIDE_OPTIONS_HTTPS,
    {"pid", "N", NULL, "its process, for the CPU figures", TIDE_OPTION_NUMBER, 1, INT32_MAX},
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_bench_query = {
    .name = "bench query",
    .summary = "what answers cost: latency, server CPU and size of the usual questions",
    .detail =
        "Makes a store with two days of history in a fresh directory under --dir, starts a\n"
        "daemon on it and removes both afterwards; or takes a store that is there (--store,\n"
        "for example one of `bench storage --store DIR --keep`), or a running daemon (--url,\n"
        "--pid).\n"
        "\n"
        "Exit: 0 when every question was answered and the answers agree; 1 when they do not.\n"
        "A missed target is no failure.",
    .option = options,
    .run = run,
};
