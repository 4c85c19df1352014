/* `tidemark bench ingest`: seeded load against a daemon of its own (or a given one), what it cost
 * the server, and whether the books agree with what was sent, to the event.
 *
 * Server CPU is what the kernel booked on the daemon's threads between the first byte sent and the
 * last ack. The books are the ledger after minus the ledger before, so a daemon that holds data
 * already can be used, as long as nobody else feeds it meanwhile.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "credentials.h"
#include "human.h"
#include "load.h"
#include "proc.h"
#include "progress.h"

#define ASK_MS 10000

/* Figures of the daemon that only ever grow. */
struct books {
    double received, stored, chunks, requests, commits; /* commits NAN: not told */
};

struct bench {
    const struct tide_args *args;
    struct tide_credentials credentials;
    struct tide_load_cfg load;
    char url[512];
    struct tide_child child;
    pid_t pid; /* of the daemon; 0: not known, no CPU figures */
    struct tide_cpu cpu[2];
    bool has_cpu;
    struct books before, after;
    struct tide_load_result result;
    uint64_t peak_bytes, disk_bytes;
    struct tide_progress progress;
};

static void on_begin(void *context)
{
    struct bench *bench = context;

    bench->has_cpu = bench->pid && tide_cpu_read(bench->pid, &bench->cpu[0]) == TIDE_OK;
}

static void on_end(void *context)
{
    struct bench *bench = context;

    bench->has_cpu = bench->has_cpu && tide_cpu_read(bench->pid, &bench->cpu[1]) == TIDE_OK;
    bench->peak_bytes = bench->pid ? tide_memory_peak(bench->pid) : 0;
}

static void on_watch(void *context, uint64_t acked_chunks)
{
    struct bench *bench = context;

    tide_progress_show(&bench->progress, acked_chunks * bench->load.per_chunk,
                       (double)acked_chunks / (double)bench->load.chunks);
}

/* One sample without labels of the Prometheus text, or NAN. */
static double sample_find(const char *text, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ')
            return strtod(line + len, NULL);
    }
    return (double)NAN;
}

static enum tide_rc books_read(const char *url, struct books *ret, struct tide_err *err)
{
    struct tide_http_answer metrics;
    json_t *ledger = NULL, *summary = NULL, *of;
    enum tide_rc rc;

    rc = tide_ask(url, "/api/v3/ingest/ledger", ASK_MS, &ledger, err);
    if (rc == TIDE_OK)
        rc = tide_ask(url, "/api/v3/metrics/summary", ASK_MS, &summary, err);
    if (rc == TIDE_OK) {
        of = json_object_get(ledger, "ledger");
        ret->received = tide_figure(of, "received");
        ret->stored = tide_figure(of, "stored");
        ret->chunks = tide_figure(json_object_get(of, "chunks"), "committed");
        ret->requests = tide_figure(json_object_get(summary, "metrics"), "total_requests");
        ret->commits = (double)NAN;
        if (tide_http_get(url, "/api/v3/metrics/prometheus", ASK_MS, TIDE_HTTP_BODY_MAX, &metrics,
                          NULL) == TIDE_OK) {
            ret->commits = sample_find(metrics.body, "tidemark_commits_total");
            tide_http_answer_fini(&metrics);
        }
    }
    json_decref(ledger);
    json_decref(summary);
    return rc;
}

/* Adds "what: expected x, got y" to text when they differ. */
static void compare(char *text, size_t size, const char *what, double expected, double got)
{
    size_t len = strlen(text);

    if (!(expected == got))
        snprintf(text + len, size - len, "%s%s: sent %.0f, the daemon says %.0f", len ? "; " : "",
                 what, expected, got);
}

static bool books_agree(const struct bench *bench, char *text, size_t size)
{
    const struct books *a = &bench->before, *b = &bench->after;
    double events = (double)bench->result.events, chunks = (double)bench->result.chunks;

    text[0] = '\0';
    compare(text, size, "received", events, b->received - a->received);
    compare(text, size, "stored", events, b->stored - a->stored);
    compare(text, size, "chunks", chunks, b->chunks - a->chunks);
    /* The summary says null while no request has ever come. */
    compare(text, size, "requests", (double)bench->result.operations,
            b->requests - (isnan(a->requests) ? 0 : a->requests));
    return text[0] == '\0';
}

static double cpu_ns_per_event(const struct bench *bench)
{
    if (!bench->has_cpu)
        return (double)NAN;
    return (double)(bench->cpu[1].total_ns - bench->cpu[0].total_ns) / (double)bench->result.events;
}

/* What thread i of the second reading used between the two. */
static double thread_ns_per_event(const struct bench *bench, size_t i)
{
    uint64_t before = 0;

    for (size_t k = 0; k < bench->cpu[0].threads; k++)
        if (bench->cpu[0].thread[k].tid == bench->cpu[1].thread[i].tid)
            before = bench->cpu[0].thread[k].ns;
    return (double)(bench->cpu[1].thread[i].ns - before) / (double)bench->result.events;
}

static void report_text(const struct bench *bench, bool agree, const char *difference)
{
    const struct tide_load_result *result = &bench->result;
    double commits = bench->after.commits - bench->before.commits;
    double events = (double)result->events;
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE];

    printf("sent         %" PRIu64 " events of %.0f bytes, %" PRIu64 " chunks of %" PRIu32
           "; %" PRIu32 " connections, window %" PRIu32 ", %" PRIu32 " modules, seed %" PRIu64 "\n",
           result->events, (double)result->bytes / events, result->chunks, bench->load.per_chunk,
           bench->load.connections, bench->load.window, bench->load.modules, bench->load.seed);
    printf("wall         %.3f s, %s events/s, %s/s\n", result->seconds,
           tide_human_count(a, events / result->seconds),
           tide_human_bytes(b, (double)result->bytes / result->seconds));
    if (bench->has_cpu) {
        printf("server CPU   %.1f ns/event (%s):", cpu_ns_per_event(bench), bench->cpu[1].source);
        for (size_t i = 0; i < bench->cpu[1].threads; i++)
            printf("%s %s %.1f", i ? "," : "", bench->cpu[1].thread[i].name,
                   thread_ns_per_event(bench, i));
        putchar('\n');
    } else {
        printf("server CPU   not known (name the daemon's process with --pid)\n");
    }
    printf("sender CPU   %.1f ns/event\n", (double)result->sender_cpu_ns / events);
    printf("ack          p50 %s, p99 %s, max %s\n",
           tide_human_ms(a, tide_load_latency_us(result, .5) / 1e3),
           tide_human_ms(b, tide_load_latency_us(result, .99) / 1e3),
           tide_human_ms(c, tide_load_latency_us(result, 1) / 1e3));
    if (commits > 0)
        printf("commits      %.0f, %.0f events each\n", commits, events / commits);
    if (bench->peak_bytes)
        printf("peak memory  %s\n", tide_human_bytes(a, (double)bench->peak_bytes));
    if (bench->disk_bytes)
        printf("on disk      %s\n", tide_human_bytes(a, (double)bench->disk_bytes));
    printf("books: %s\n", agree ? "ok" : difference);
}

static void set_real(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void report_json(const struct bench *bench, bool agree, const char *difference)
{
    const struct tide_load_result *result = &bench->result;
    json_t *object = json_object(), *threads = json_object();

    json_object_set_new(object, "events", json_integer((json_int_t)result->events));
    json_object_set_new(object, "chunks", json_integer((json_int_t)result->chunks));
    json_object_set_new(object, "requests", json_integer((json_int_t)result->operations));
    json_object_set_new(object, "bytes", json_integer((json_int_t)result->bytes));
    json_object_set_new(object, "connections", json_integer(bench->load.connections));
    json_object_set_new(object, "window", json_integer(bench->load.window));
    json_object_set_new(object, "modules", json_integer(bench->load.modules));
    json_object_set_new(object, "seed", json_integer((json_int_t)bench->load.seed));
    set_real(object, "seconds", result->seconds);
    set_real(object, "events_per_second", (double)result->events / result->seconds);
    set_real(object, "server_cpu_ns_per_event", cpu_ns_per_event(bench));
    set_real(object, "sender_cpu_ns_per_event",
             (double)result->sender_cpu_ns / (double)result->events);
    for (size_t i = 0; bench->has_cpu && i < bench->cpu[1].threads; i++) {
        const char *name = bench->cpu[1].thread[i].name;
        double sum =
            thread_ns_per_event(bench, i) + json_real_value(json_object_get(threads, name));

        json_object_set_new(threads, name, json_real(sum)); /* equal names are taken together */
    }
    json_object_set_new(object, "server_cpu_ns_per_event_by_thread", threads);
    json_object_set_new(object, "cpu_source",
                        bench->has_cpu ? json_string(bench->cpu[1].source) : json_null());
    set_real(object, "ack_p50_ms", tide_load_latency_us(result, .5) / 1e3);
    set_real(object, "ack_p99_ms", tide_load_latency_us(result, .99) / 1e3);
    set_real(object, "ack_max_ms", tide_load_latency_us(result, 1) / 1e3);
    set_real(object, "commits", bench->after.commits - bench->before.commits);
    set_real(object, "peak_memory_bytes",
             bench->peak_bytes ? (double)bench->peak_bytes : (double)NAN);
    set_real(object, "disk_bytes", bench->disk_bytes ? (double)bench->disk_bytes : (double)NAN);
    json_object_set_new(object, "books", json_string(agree ? "ok" : difference));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

/* A daemon of our own, or the given one. */
static enum tide_rc daemon_get(struct bench *bench, struct tide_err *err)
{
    const char *forward = tide_args_text(bench->args, "forward");
    const char *daemon = tide_args_text(bench->args, "daemon");
    char beside[TIDE_CHILD_PATH];
    enum tide_rc rc;

    if (forward) {
        const char *http = tide_args_text(bench->args, "http");
        const char *url = tide_args_text(bench->args, "url");

        bench->load.address = forward;
        bench->pid = (pid_t)tide_args_number(bench->args, "pid");
        if (url)
            snprintf(bench->url, sizeof bench->url, "%s", url);
        else
            snprintf(bench->url, sizeof bench->url, "http://%s", http ? http : "127.0.0.1:8640");
        return TIDE_OK;
    }
    if (!daemon) {
        rc = tide_daemon_beside(beside, err);
        if (rc != TIDE_OK)
            return rc;
        daemon = beside;
    }
    rc = tide_child_start(daemon, tide_args_text(bench->args, "dir"),
                          tide_args_text(bench->args, "set"), &bench->child, err);
    if (rc != TIDE_OK)
        return rc;
    bench->load.address = bench->child.forward;
    bench->pid = bench->child.pid;
    snprintf(bench->url, sizeof bench->url, "http://%s", bench->child.http);
    return TIDE_OK;
}

static enum tide_rc measure(struct bench *bench, struct tide_err *err)
{
    enum tide_rc rc = books_read(bench->url, &bench->before, err);

    if (rc == TIDE_OK)
        rc = tide_load_run(&bench->load, &bench->result, err);
    if (rc == TIDE_OK)
        rc = books_read(bench->url, &bench->after, err);
    if (rc == TIDE_OK && bench->child.dir[0])
        bench->disk_bytes = tide_disk_bytes(bench->child.dir);
    return rc;
}

static enum tide_rc load_plan(struct bench *bench, struct tide_err *err)
{
    const struct tide_args *args = bench->args;
    bool slow = tide_args_flag(args, "one-at-a-time");
    uint64_t events = (uint64_t)tide_args_number(args, "events");

    if (slow && !tide_args_given(args, "events"))
        events = 2000;
    bench->load = (struct tide_load_cfg){
        .connections = slow ? 1 : (uint32_t)tide_args_number(args, "connections"),
        .per_chunk = slow ? 1 : (uint32_t)tide_args_number(args, "per-chunk"),
        .window = slow ? 1 : (uint32_t)tide_args_number(args, "window"),
        .modules = (uint32_t)tide_args_number(args, "modules"),
        .seed = (uint64_t)tide_args_number(args, "seed"),
        .lean = tide_args_flag(args, "lean"),
        .timeout_ms = (int)tide_args_number(args, "timeout"),
        .credentials = &bench->credentials,
        .begin = on_begin,
        .end = on_end,
        .watch = on_watch,
        .context = bench};
    bench->load.chunks = (events + bench->load.per_chunk - 1) / bench->load.per_chunk;
    if (bench->load.chunks < bench->load.connections)
        bench->load.connections = (uint32_t)bench->load.chunks;
    if (bench->load.chunks > UINT64_C(100000000)) { /* a latency of each is kept */
        tide_err_set(err, "that would be %" PRIu64 " chunks; 100000000 at most",
                     bench->load.chunks);
        return TIDE_USAGE;
    }
    if (!tide_args_given(args, "forward") &&
        (tide_args_given(args, "http") || tide_args_given(args, "url") ||
         tide_args_given(args, "pid") || tide_credentials_given(args))) {
        tide_err_set(err, "--url, --http, --pid, and key, user and TLS belong to the daemon that "
                          "--forward names");
        return TIDE_USAGE;
    }
    if (tide_args_given(args, "forward"))
        return tide_credentials_init(&bench->credentials, args, err);
    return TIDE_OK;
}

static int run(const struct tide_args *args)
{
    struct bench *bench = calloc(1, sizeof *bench);
    char difference[512] = "";
    struct tide_err err = {""};
    enum tide_rc rc, stopped;
    bool agree = false;

    if (!bench)
        return tide_tool_fail(args, TIDE_NO_MEMORY, NULL);
    bench->args = args;
    rc = load_plan(bench, &err);
    if (rc == TIDE_OK) {
        tide_stop_catch();
        rc = daemon_get(bench, &err);
    }
    if (rc == TIDE_OK) {
        tide_progress_start(&bench->progress, tide_args_text(args, "progress"), "events");
        rc = measure(bench, &err);
        tide_progress_end(&bench->progress);
    }
    if (rc == TIDE_OK) {
        agree = books_agree(bench, difference, sizeof difference);
        if (tide_args_flag(args, "json"))
            report_json(bench, agree, difference);
        else
            report_text(bench, agree, difference);
    }
    stopped = tide_child_stop(&bench->child, rc == TIDE_OK ? &err : NULL);
    tide_child_clean(&bench->child);
    tide_load_result_fini(&bench->result);
    tide_credentials_fini(&bench->credentials);
    free(bench);
    if (rc == TIDE_STOPPED)
        tide_err_set(&err, "interrupted");
    if (rc != TIDE_OK)
        return tide_tool_fail(args, rc, &err);
    if (stopped != TIDE_OK)
        return tide_tool_fail(args, stopped, &err);
    return agree ? 0 : 1;
}

static const struct tide_option options[] = {
    {"events", "N", "2000000", "events in all, rounded up to whole chunks", TIDE_OPTION_NUMBER, 1,
     INT64_C(100000000000)},
    {"connections", "N", "16", "senders, each on its own connection", TIDE_OPTION_NUMBER, 1,
     TIDE_LOAD_CONNECTIONS_MAX},
    {"per-chunk", "N", "1000", "events in a chunk", TIDE_OPTION_NUMBER, 1, 50000},
    {"window", "N", "4", "unacked chunks a connection may have", TIDE_OPTION_NUMBER, 1, 1024},
    {"modules", "N", "200", "different modules", TIDE_OPTION_NUMBER, 1, 10000000},
    {"seed", "N", "1", "the same seed makes the same events", TIDE_OPTION_NUMBER, 0, INT64_MAX},
    {"lean", NULL, NULL, "events of three fields instead of nine", TIDE_OPTION_FLAG, 0, 0},
    {"one-at-a-time", NULL, NULL, "one connection, one event a chunk, each acked before the next",
     TIDE_OPTION_FLAG, 0, 0},
    {"daemon", "PATH", NULL, "the tidemarkd to start; the one beside this tool if absent",
     TIDE_OPTION_TEXT, 1, 4000},
    {"dir", "PATH", ".", "where its store is made, and removed afterwards", TIDE_OPTION_TEXT, 1,
     3900},
    {"set", "KEY=VALUE", NULL, "one setting for it", TIDE_OPTION_TEXT, 3, 1000},
    {"forward", "ADDR:PORT", NULL, "use this running daemon instead", TIDE_OPTION_TEXT, 3, 300},
    {"url", "URL", NULL, "where it answers (http://127.0.0.1:8640)", TIDE_OPTION_TEXT, 1, 500},
    {"http", "ADDR:PORT", NULL, "the same, as tidemarkd writes it", TIDE_OPTION_TEXT, 3, 300},
    {"pid", "N", NULL, "its process, for the CPU figures", TIDE_OPTION_NUMBER, 1, INT32_MAX},
    {"timeout", "TIME", "60s", "give up when no ack comes for this long", TIDE_OPTION_DURATION, 100,
     3600000},
    TIDE_OPTION_TOKEN,
    TIDE_OPTIONS_CREDENTIALS,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_bench_ingest = {
    .name = "bench ingest",
    .summary = "seeded load: events/s, server CPU, ack latency, and whether the books agree",
    .detail = "Starts a daemon of its own on ports the kernel picks, with its store in a fresh "
              "directory\n"
              "under --dir, and removes both afterwards; or uses a running one (--forward, --http, "
              "--pid)\n"
              "that nobody else feeds meanwhile.\n"
              "\n" TIDE_HELP_CREDENTIALS "\n"
              "Exit: 0 when every chunk was acked and the books agree; 1 when they do not.",
    .option = options,
    .run = run,
};
