/* The reports of `bench ingest`: text for people, JSON for scripts, the same figures in both. */
#include "bench_ingest.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "human.h"

/* Not of this run: tests/bench/one_at_a_time.py measures it where node and npm are. */
#define NPM_BY_HAND                                                                           \
    "fluent-logger 3.4.1: 1166 events/s at 0.46 ms a commit, 0.54 of 1 / commit (by hand on " \
    "2026-11-24, two cores; not of this run)"

static double cpu_ns_per_event(const struct tide_ingest_phase *phase)
{
    if (!phase->has_cpu)
        return (double)NAN;
    return (double)(phase->cpu[1].total_ns - phase->cpu[0].total_ns) / (double)phase->result.events;
}

/* What thread i of the second reading used between the two. */
static double thread_ns_per_event(const struct tide_ingest_phase *phase, size_t i)
{
    uint64_t before = 0;

    for (size_t k = 0; k < phase->cpu[0].threads; k++)
        if (phase->cpu[0].thread[k].tid == phase->cpu[1].thread[i].tid)
            before = phase->cpu[0].thread[k].ns;
    return (double)(phase->cpu[1].thread[i].ns - before) / (double)phase->result.events;
}

static void threads_print(const struct tide_ingest_phase *phase)
{
    for (size_t i = 0; i < phase->cpu[1].threads; i++)
        printf("%s %s %.1f", i ? "," : "", phase->cpu[1].thread[i].name,
               thread_ns_per_event(phase, i));
}

/* Seconds of a group commit, begin to fsync, on average over the phase; NAN: not known. */
static double mean_commit_s(const struct tide_ingest_phase *phase)
{
    double commits = phase->after.commits - phase->before.commits;

    return commits > 0 ? (phase->after.commit_s - phase->before.commit_s) / commits : (double)NAN;
}

static double events_per_second(const struct tide_ingest_phase *phase)
{
    return (double)phase->result.events / phase->result.seconds;
}

/* Who waits for each ack cannot be faster than one event a commit: the share of that it is. */
static void one_at_a_time_print(const struct tide_ingest_phase *phase)
{
    double mean_s = mean_commit_s(phase);
    char text[TIDE_HUMAN_SIZE];

    printf("one by one   %.0f events/s; a commit takes %s on average: %.2f of 1 / commit\n",
           events_per_second(phase), tide_human_ms(text, mean_s * 1e3),
           events_per_second(phase) * mean_s);
    printf("npm          %s\n", NPM_BY_HAND);
}

static void paced_print(const struct tide_ingest_phase *paced,
                        const struct tide_ingest_phase *burst)
{
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE];

    printf("paced        %s events/s asked, %s sent for %.1f s, in writes of %s\n",
           tide_human_count(a, (double)paced->load.rate),
           tide_human_count(b, events_per_second(paced)), paced->result.seconds,
           tide_human_bytes(c, (double)paced->load.write_bytes));
    if (paced->has_cpu && burst->has_cpu) {
        printf("  server CPU %.1f ns/event, %.2f times the burst's:", cpu_ns_per_event(paced),
               cpu_ns_per_event(paced) / cpu_ns_per_event(burst));
        threads_print(paced);
        putchar('\n');
    }
    printf("  ack        p50 %s, p99 %s, max %s\n",
           tide_human_ms(a, tide_load_latency_us(&paced->result, .5) / 1e3),
           tide_human_ms(b, tide_load_latency_us(&paced->result, .99) / 1e3),
           tide_human_ms(c, tide_load_latency_us(&paced->result, 1) / 1e3));
}

void tide_ingest_report_text(const struct tide_ingest_run *run, const char *books)
{
    const struct tide_ingest_phase *phase = &run->burst;
    const struct tide_load_result *result = &phase->result;
    double commits = phase->after.commits - phase->before.commits;
    double events = (double)result->events;
    char a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE];

    printf("sent         %" PRIu64 " events of %.0f bytes, %" PRIu64 " chunks of %" PRIu32
           "; %" PRIu32 " connections, window %" PRIu32 ", %" PRIu32 " modules, seed %" PRIu64 "\n",
           result->events, (double)result->bytes / events, result->chunks, phase->load.per_chunk,
           phase->load.connections, phase->load.window, phase->load.modules, phase->load.seed);
    printf("wall         %.3f s, %s events/s, %s/s\n", result->seconds,
           tide_human_count(a, events / result->seconds),
           tide_human_bytes(b, (double)result->bytes / result->seconds));
    if (phase->has_cpu) {
        printf("server CPU   %.1f ns/event (%s):", cpu_ns_per_event(phase), phase->cpu[1].source);
        threads_print(phase);
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
        printf("commits      %.0f, %.0f events and %s each\n", commits, events / commits,
               tide_human_ms(a, mean_commit_s(phase) * 1e3));
    if (run->one_at_a_time)
        one_at_a_time_print(phase);
    if (run->paced.load.rate > 0)
        paced_print(&run->paced, phase);
    if (run->peak_bytes)
        printf("peak memory  %s\n", tide_human_bytes(a, (double)run->peak_bytes));
    if (run->disk_bytes)
        printf("on disk      %s\n", tide_human_bytes(a, (double)run->disk_bytes));
    printf("books: %s\n", books);
}

static void set_real(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void paced_json(const struct tide_ingest_phase *paced, const struct tide_ingest_phase *burst,
                       json_t *into)
{
    json_t *object = json_object();

    set_real(object, "rate", (double)paced->load.rate);
    set_real(object, "write_bytes", (double)paced->load.write_bytes);
    json_object_set_new(object, "events", json_integer((json_int_t)paced->result.events));
    set_real(object, "events_per_second", events_per_second(paced));
    set_real(object, "server_cpu_ns_per_event", cpu_ns_per_event(paced));
    set_real(object, "server_cpu_of_burst", cpu_ns_per_event(paced) / cpu_ns_per_event(burst));
    set_real(object, "ack_p50_ms", tide_load_latency_us(&paced->result, .5) / 1e3);
    set_real(object, "ack_p99_ms", tide_load_latency_us(&paced->result, .99) / 1e3);
    json_object_set_new(into, "paced", object);
}

void tide_ingest_report_json(const struct tide_ingest_run *run, const char *books)
{
    const struct tide_ingest_phase *phase = &run->burst;
    const struct tide_load_result *result = &phase->result;
    json_t *object = json_object(), *threads = json_object();

    json_object_set_new(object, "events", json_integer((json_int_t)result->events));
    json_object_set_new(object, "chunks", json_integer((json_int_t)result->chunks));
    json_object_set_new(object, "requests", json_integer((json_int_t)result->operations));
    json_object_set_new(object, "bytes", json_integer((json_int_t)result->bytes));
    json_object_set_new(object, "connections", json_integer(phase->load.connections));
    json_object_set_new(object, "window", json_integer(phase->load.window));
    json_object_set_new(object, "modules", json_integer(phase->load.modules));
    json_object_set_new(object, "seed", json_integer((json_int_t)phase->load.seed));
    set_real(object, "seconds", result->seconds);
    set_real(object, "events_per_second", (double)result->events / result->seconds);
    set_real(object, "server_cpu_ns_per_event", cpu_ns_per_event(phase));
    set_real(object, "sender_cpu_ns_per_event",
             (double)result->sender_cpu_ns / (double)result->events);
    for (size_t i = 0; phase->has_cpu && i < phase->cpu[1].threads; i++) {
        const char *name = phase->cpu[1].thread[i].name;
        double sum =
            thread_ns_per_event(phase, i) + json_real_value(json_object_get(threads, name));

        json_object_set_new(threads, name, json_real(sum)); /* equal names are taken together */
    }
    json_object_set_new(object, "server_cpu_ns_per_event_by_thread", threads);
    json_object_set_new(object, "cpu_source",
                        phase->has_cpu ? json_string(phase->cpu[1].source) : json_null());
    set_real(object, "ack_p50_ms", tide_load_latency_us(result, .5) / 1e3);
    set_real(object, "ack_p99_ms", tide_load_latency_us(result, .99) / 1e3);
    set_real(object, "ack_max_ms", tide_load_latency_us(result, 1) / 1e3);
    set_real(object, "commits", phase->after.commits - phase->before.commits);
    set_real(object, "mean_commit_ms", mean_commit_s(phase) * 1e3);
    if (run->one_at_a_time) {
        set_real(object, "share_of_one_by_commit", events_per_second(phase) * mean_commit_s(phase));
        json_object_set_new(object, "npm_by_hand", json_string(NPM_BY_HAND));
    }
    if (run->paced.load.rate > 0)
        paced_json(&run->paced, phase, object);
    set_real(object, "peak_memory_bytes", run->peak_bytes ? (double)run->peak_bytes : (double)NAN);
    set_real(object, "disk_bytes", run->disk_bytes ? (double)run->disk_bytes : (double)NAN);
    json_object_set_new(object, "books", json_string(books));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}
