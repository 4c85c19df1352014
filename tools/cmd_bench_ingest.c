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
#include "bench_ingest.h"
#include "credentials.h"
#include "human.h"
#include "load.h"
#include "proc.h"
#include "progress.h"

#define ASK_MS 10000

struct bench {
    const struct tide_args *args;
    struct tide_credentials credentials;
    char url[512];
    struct tide_child child;
    struct tide_ingest_run run;
    struct tide_ingest_phase *now; /* which of its two is going on */
    pid_t pid;                     /* of the daemon; 0: not known, no CPU figures */
    struct tide_progress progress;
};

static void on_begin(void *context)
{
    struct bench *bench = context;

    bench->now->has_cpu = bench->pid && tide_cpu_read(bench->pid, &bench->now->cpu[0]) == TIDE_OK;
}

static void on_end(void *context)
{
    struct bench *bench = context;

    bench->now->has_cpu =
        bench->now->has_cpu && tide_cpu_read(bench->pid, &bench->now->cpu[1]) == TIDE_OK;
    bench->run.peak_bytes = bench->pid ? tide_memory_peak(bench->pid) : 0;
}

static void on_watch(void *context, uint64_t acked_chunks)
{
    struct bench *bench = context;

    tide_progress_show(&bench->progress, acked_chunks * bench->now->load.per_chunk,
                       (double)acked_chunks / (double)bench->now->load.chunks);
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

static enum tide_rc books_read(const char *url, struct tide_ingest_books *ret, struct tide_err *err)
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
        ret->commits = ret->commit_s = (double)NAN;
        if (tide_http_get(url, "/api/v3/metrics/prometheus", ASK_MS, TIDE_HTTP_BODY_MAX, &metrics,
                          NULL) == TIDE_OK) {
            ret->commits = sample_find(metrics.body, "tidemark_commits_total");
            ret->commit_s = sample_find(metrics.body, "tidemark_commit_duration_seconds_sum");
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

/* Adds to text what differs in one phase. */
static void phase_compare(const struct tide_ingest_phase *phase, char *text, size_t size)
{
    const struct tide_ingest_books *a = &phase->before, *b = &phase->after;

    compare(text, size, "received", (double)phase->result.events, b->received - a->received);
    compare(text, size, "stored", (double)phase->result.events, b->stored - a->stored);
    compare(text, size, "chunks", (double)phase->result.chunks, b->chunks - a->chunks);
    /* The summary says null while no request has ever come. */
    compare(text, size, "requests", (double)phase->result.operations,
            b->requests - (isnan(a->requests) ? 0 : a->requests));
}

static bool books_agree(const struct bench *bench, char *text, size_t size)
{
    text[0] = '\0';
    phase_compare(&bench->run.burst, text, size);
    if (bench->run.paced.load.rate > 0)
        phase_compare(&bench->run.paced, text, size);
    return text[0] == '\0';
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

        bench->run.burst.load.address = forward;
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
    bench->run.burst.load.address = bench->child.forward;
    bench->pid = bench->child.pid;
    snprintf(bench->url, sizeof bench->url, "http://%s", bench->child.http);
    return TIDE_OK;
}

static enum tide_rc phase_run(struct bench *bench, struct tide_ingest_phase *phase,
                              struct tide_err *err)
{
    enum tide_rc rc = books_read(bench->url, &phase->before, err);

    bench->now = phase;
    if (rc == TIDE_OK)
        rc = tide_load_run(&phase->load, &phase->result, err);
    if (rc == TIDE_OK)
        rc = books_read(bench->url, &phase->after, err);
    return rc;
}

static enum tide_rc measure(struct bench *bench, struct tide_err *err)
{
    struct tide_ingest_run *run = &bench->run;
    enum tide_rc rc = phase_run(bench, &run->burst, err);

    if (rc == TIDE_OK && run->paced.load.rate > 0) {
        run->paced.load.address = run->burst.load.address;
        rc = phase_run(bench, &run->paced, err);
    }
    if (rc == TIDE_OK && bench->child.dir[0])
        run->disk_bytes = tide_disk_bytes(bench->child.dir);
    return rc;
}

/* The paced phase is the burst once more, but at a rate, in small writes, for a time. */
static enum tide_rc pace_plan(struct bench *bench, struct tide_err *err)
{
    const struct tide_args *args = bench->args;
    struct tide_load_cfg *paced = &bench->run.paced.load;
    uint64_t events;

    *paced = bench->run.burst.load;
    paced->rate = (uint64_t)tide_args_number(args, "rate");
    paced->write_bytes = (size_t)tide_args_number(args, "write-bytes");
    if (paced->rate == 0) {
        if (!tide_args_given(args, "rate-for") && !tide_args_given(args, "write-bytes"))
            return TIDE_OK;
        tide_err_set(err, "--rate-for and --write-bytes belong to --rate");
        return TIDE_USAGE;
    }
    if (bench->run.one_at_a_time) {
        tide_err_set(err, "--rate and --one-at-a-time do not go together");
        return TIDE_USAGE;
    }
    events = paced->rate * (uint64_t)tide_args_number(args, "rate-for") / 1000;
    paced->chunks = events / paced->per_chunk;
    if (paced->chunks < paced->connections)
        paced->chunks = paced->connections; /* at least one each */
    return TIDE_OK;
}

static enum tide_rc load_plan(struct bench *bench, struct tide_err *err)
{
    const struct tide_args *args = bench->args;
    bool slow = tide_args_flag(args, "one-at-a-time");
    uint64_t events = (uint64_t)tide_args_number(args, "events");
    struct tide_load_cfg *load;
    enum tide_rc rc;

    if (slow && !tide_args_given(args, "events"))
        events = 2000;
    bench->run.one_at_a_time = slow;
    load = &bench->run.burst.load;
    *load = (struct tide_load_cfg){
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
    load->chunks = (events + load->per_chunk - 1) / load->per_chunk;
    if (load->chunks < load->connections)
        load->connections = (uint32_t)load->chunks;
    if (load->chunks > UINT64_C(100000000)) { /* a latency of each is kept */
        tide_err_set(err, "that would be %" PRIu64 " chunks; 100000000 at most", load->chunks);
        return TIDE_USAGE;
    }
    if (!tide_args_given(args, "forward") &&
        (tide_args_given(args, "http") || tide_args_given(args, "url") ||
         tide_args_given(args, "pid") || tide_credentials_given(args))) {
        tide_err_set(err, "--url, --http, --pid, and key, user and TLS belong to the daemon that "
                          "--forward names");
        return TIDE_USAGE;
    }
    rc = pace_plan(bench, err);
    if (rc == TIDE_OK && tide_args_given(args, "forward"))
        rc = tide_credentials_init(&bench->credentials, args, err);
    return rc;
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
            tide_ingest_report_json(&bench->run, agree ? "ok" : difference);
        else
            tide_ingest_report_text(&bench->run, agree ? "ok" : difference);
    }
    stopped = tide_child_stop(&bench->child, rc == TIDE_OK ? &err : NULL);
    tide_child_clean(&bench->child);
    tide_load_result_fini(&bench->run.burst.result);
    tide_load_result_fini(&bench->run.paced.result);
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
    {"rate", "N", "0", "then once more at so many events a second in all; 0: not",
     TIDE_OPTION_NUMBER, 0, 10000000},
    {"rate-for", "TIME", "10s", "for this long", TIDE_OPTION_DURATION, 100, 3600000},
    {"write-bytes", "N", "4096", "in writes of so many bytes", TIDE_OPTION_NUMBER, 1, 16777216},
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
    .detail =
        "Starts a daemon of its own on ports the kernel picks, with its store in a fresh "
        "directory\n"
        "under --dir, and removes both afterwards; or uses a running one (--forward, --http, "
        "--pid)\n"
        "that nobody else feeds meanwhile.\n"
        "\n"
        "--one-at-a-time is how clients behave that wait for each ack; it prints how the rate\n"
        "compares with 1 / the mean commit of the same run. --rate paces the same chunks in small\n"
        "writes after the burst, and prints the CPU of an event beside the burst's; an ack's time\n"
        "counts from its chunk's last write.\n"
        "\n" TIDE_HELP_CREDENTIALS "\n"
        "Exit: 0 when every chunk was acked and the books agree; 1 when they do not.",
    .option = options,
    .run = run,
};
