/* bench_chunk - size and speed of chunks on synthetic modules: one table, each figure beside its
 * target and the limit that the bare codecs reached on the same data.
 *
 * 200 modules x 2880 intervals of 30 s: log-normal rates and latencies with drift and a 3 % slow
 * tail, a daily wave, failures, memory in pages, CPU in hundredths of a percent. The same twelve
 * figures an interval each time, then the full record: every time to the microsecond, gauges with
 * newest, maximum, sum and count of the samples. A chunk is cut to its page; what it takes in the
 * file is the page and its entry in a leaf. The last chunk of a module, which is not full, is left
 * out.
 *
 *     bench_chunk [modules]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunk.h"

#define INTERVALS  2880
#define WIDTH_S    30
#define START_S    INT64_C(1700006400)
#define FILE_BYTES (4096 + 30) /* an overflow page, and key, header and pointer in its leaf */

/* Where the gauges come from. */
enum shape {
    TWELVE,   /* the twelve figures only: one sample per gauge, times constant */
    REPORTED, /* full; three performance events an interval carry all gauges */
    CARRIED,  /* full; every response carries all gauges */
    METRICS   /* as REPORTED, and three times an interval five custom metrics */
};

struct figures {
    double events, buckets;
    uint64_t records, full_records, chunks, field_bytes, hist_bytes;
    double encode_ns, fields_ns, hists_ns, records_ns;
};

static uint64_t random_state[2];

static uint64_t next_random(void)
{
    uint64_t a = random_state[0], b = random_state[1], sum = a + b;

    random_state[0] = b;
    a ^= a << 23;
    random_state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return sum;
}

static double uniform(void)
{
    return (double)(next_random() >> 11) * 0x1p-53;
}

static double normal(void)
{
    double a = uniform(), b = uniform();

    return sqrt(-2 * log(a < 1e-300 ? 1e-300 : a)) * cos(6.283185307179586 * b);
}

static int poisson(double mean)
{
    double limit, product = 1;
    int count = 0;

    if (mean > 50) {
        double x = mean + sqrt(mean) * normal();

        return x < 0 ? 0 : (int)(x + 0.5);
    }
    limit = exp(-mean);
    do {
        count++;
        product *= uniform();
    } while (product > limit);
    return count - 1;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The slowly moving state of one module. */
struct module {
    double rate, log_mean, spread, failing;
    double memory, cpu, threads, connections, drift;
};

static void start_module(struct module *module, double events)
{
    module->rate = events * exp(normal());
    module->log_mean = 1.5 + 1.2 * normal();
    module->spread = 0.25 + 0.35 * uniform();
    module->failing = 0.002 + 0.01 * uniform();
    module->memory = 5e7 + 4e8 * uniform();
    module->cpu = 5 + 50 * uniform();
    module->threads = 20 + 200 * uniform();
    module->connections = 5 + 40 * uniform();
    module->drift = 0;
}

static void sample_gauges(struct tide_instance *instance, const struct module *module,
                          int64_t time_us)
{
    double cpu = module->cpu + 2 * normal(), memory = module->memory + 3e5 * normal();

    tide_gauge_fold(&instance->gauge[TIDE_GAUGE_MEMORY], time_us,
                    (uint64_t)(memory < 0 ? 0 : memory) & ~4095ull, 1);
    tide_gauge_fold(&instance->gauge[TIDE_GAUGE_CPU], time_us,
                    (uint64_t)(cpu < 0 ? 0 : cpu * 100) * 10, 1);
    tide_gauge_fold(&instance->gauge[TIDE_GAUGE_GOROUTINES], time_us,
                    (uint64_t)fabs(module->threads + 1.5 * normal()), 1);
    tide_gauge_fold(&instance->gauge[TIDE_GAUGE_DB_CONNECTIONS], time_us,
                    (uint64_t)fabs(module->connections + 0.8 * normal()), 1);
}

/* A level, a share, a counter, a temperature that is told once and a constant. */
static void sample_metrics(struct tide_record *record, const struct module *module, int t, int i,
                           int64_t time_us)
{
    double level = module->threads + 8 * normal(), share = 40 + 9 * normal();

    tide_customs_fold(&record->customs, "queue.depth", 11, (int64_t)level * TIDE_METRIC_SCALE,
                      time_us, 1);
    tide_customs_fold(&record->customs, "cache.hit_ratio", 15, (int64_t)(share * 100) * 10000,
                      time_us, 1);
    tide_customs_fold(&record->customs, "jobs.done", 9,
                      ((int64_t)t * 3 + i) * 17 * TIDE_METRIC_SCALE +
                          (int64_t)(uniform() * 9) * TIDE_METRIC_SCALE,
                      time_us, 1);
    if (i == 0)
        tide_customs_fold(&record->customs, "room.temperature", 16,
                          (int64_t)(210 + 3 * normal()) * 100000, time_us, 1);
    tide_customs_fold(&record->customs, "workers.configured", 18, 16 * TIDE_METRIC_SCALE, time_us,
                      1);
    record->tally.kind[TIDE_EVENT_METRIC] += i == 0 ? 5 : 4;
}

static void single(struct tide_gauge_state *state, uint64_t last, uint64_t max, int64_t time_us)
{
    *state = (struct tide_gauge_state){
        .count = 1, .time_us = time_us, .last = last, .max = max, .sum = last};
}

/* One interval. False: nothing happened in it. The order of the draws is part of the data set. */
static bool fill(struct tide_record *record, struct module *module, int number, int t,
                 enum shape shape)
{
    double day = 1 + 0.6 * sin(6.2831853 * t / INTERVALS + number), cpu_mean, cpu_max;
    int64_t start_us = (START_S + (int64_t)t * WIDTH_S) * 1000000, us = start_us;
    struct tide_instance instance = {0};
    struct tide_tally *tally = &record->tally;
    double memory_max;
    int events, failed;

    module->drift = 0.97 * module->drift + 0.05 * normal();
    events = poisson(module->rate * day);
    for (int i = 0; i < events; i++) {
        double slow, ms = module->log_mean + module->drift * 0.5;
        struct tide_event ev = {
            .kind = TIDE_EVENT_RESPONSE, .weight = 1, .has_duration = true, .success = true};

        ms += module->spread * normal();
        slow = uniform() < 0.03 ? 1.5 : 0;
        ev.duration_us = floor(exp(ms + slow) * 1000);
        tide_record_fold(record, &ev, start_us, 0);
    }
    failed = poisson(events * module->failing);
    tally->failed = (uint64_t)(failed < events ? failed : events);
    tally->errors = tally->failed;
    module->memory += 2e5 * normal();
    if (t % 97 == 96)
        module->memory -= 3e6;
    module->memory = module->memory < 1e6 ? 1e6 : module->memory;
    module->cpu += 0.8 * normal();
    module->cpu = module->cpu < 1 ? 1 : module->cpu > 95 ? 95 : module->cpu;
    module->threads += 1.5 * normal();
    module->threads = module->threads < 4 ? 4 : module->threads;
    module->connections += 0.8 * normal();
    module->connections = module->connections < 0 ? 0 : module->connections;
    memory_max = module->memory + fabs(3e5 * normal());
    cpu_mean = events ? floor(module->cpu * 100 + 20 * normal()) : 0;
    cpu_mean = cpu_mean < 0 ? 0 : cpu_mean;
    cpu_max = events ? cpu_mean + floor(fabs(300 * normal())) : 0;

    if (shape == TWELVE) {
        tally->first_us = start_us;
        tally->last_us = start_us;
        single(&instance.gauge[TIDE_GAUGE_MEMORY], (uint64_t)module->memory & ~4095ull,
               (uint64_t)memory_max & ~4095ull, us);
        single(&instance.gauge[TIDE_GAUGE_CPU], (uint64_t)cpu_mean * 10, (uint64_t)cpu_max * 10,
               us);
        single(&instance.gauge[TIDE_GAUGE_GOROUTINES], (uint64_t)module->threads,
               (uint64_t)module->threads, us);
        single(&instance.gauge[TIDE_GAUGE_DB_CONNECTIONS], (uint64_t)module->connections,
               (uint64_t)module->connections, us);
        tide_record_merge_instance(record, &instance);
        return true;
    }
    tally->first_us = INT64_MAX;
    tally->last_us = 0;
    for (int i = 0; i < events + (shape == REPORTED || shape == METRICS ? 3 : 0); i++) {
        bool report = i >= events;

        us = start_us + (int64_t)(report ? (i - events) * 10e6 + 1e6 + 3000 * uniform()
                                         : uniform() * (WIDTH_S * 1e6));
        tally->first_us = us < tally->first_us ? us : tally->first_us;
        tally->last_us = us > tally->last_us ? us : tally->last_us;
        tally->kind[TIDE_EVENT_PERFORMANCE] += report;
        if (report || shape == CARRIED)
            sample_gauges(&instance, module, us);
        if (report && shape == METRICS)
            sample_metrics(record, module, t, i - events, us);
    }
    if (instance.gauge[0].count)
        tide_record_merge_instance(record, &instance);
    return !tide_record_empty(record);
}

/* Cuts one module into chunks, reads them back, adds to the figures. */
static void measure(struct figures *figures, const struct chunk_entry *entry, size_t count,
                    struct chunk_reader *reader, struct blob *blob)
{
    struct tide_record back;

    tide_record_init(&back);
    for (size_t done = 0, took; done < count; done += took) {
        struct chunk_view view;
        uint64_t before = cpu_ns(), opened, hists, best_fields = UINT64_MAX;
        uint64_t best_hists = UINT64_MAX;

        took = chunk_encode(blob, entry + done, count - done, WIDTH_S, CHUNK_PAYLOAD_MAX);
        figures->encode_ns += (double)(cpu_ns() - before);
        for (int again = 0; again < 3; again++) {
            before = cpu_ns();
            if (!chunk_open(blob->start, blob->len, &view) || !chunk_read_fields(reader, &view))
                abort();
            opened = cpu_ns();
            if (!chunk_read_hists(reader))
                abort();
            hists = cpu_ns();
            best_fields = opened - before < best_fields ? opened - before : best_fields;
            best_hists = hists - opened < best_hists ? hists - opened : best_hists;
        }
        figures->fields_ns += (double)best_fields;
        figures->hists_ns += (double)best_hists;
        before = cpu_ns();
        for (uint32_t i = 0; i < took; i++)
            chunk_record(reader, i, &back);
        figures->records_ns += (double)(cpu_ns() - before);
        for (uint32_t i = 0; i < took; i++) {
            chunk_record(reader, i, &back);
            if (!tide_record_equal(&back, entry[done + i].record)) {
                fprintf(stderr, "record %u of a chunk reads back differently\n", i);
                abort();
            }
        }
        figures->records += took;
        if (done + took < count) {
            figures->chunks++;
            figures->full_records += took;
            figures->hist_bytes += (uint64_t)(view.hists_end - view.fields_end);
            figures->field_bytes += (uint64_t)(view.fields_end - blob->start);
        }
    }
    tide_record_fini(&back);
}

static struct figures run(double events, enum shape shape, int modules)
{
    struct tide_record *record = calloc(INTERVALS, sizeof(*record));
    struct chunk_entry *entry = calloc(INTERVALS, sizeof(*entry));
    struct figures figures = {0};
    struct chunk_reader reader;
    struct blob blob = {0};

    if (!record || !entry)
        abort();
    random_state[0] = UINT64_C(0x9e3779b97f4a7c15);
    random_state[1] = UINT64_C(0xd1b54a32d192ed03);
    chunk_reader_init(&reader);
    for (int number = 0; number < modules; number++) {
        struct module module;
        size_t count = 0;

        start_module(&module, events);
        for (int t = 0; t < INTERVALS; t++) {
            struct tide_record *one = &record[t];

            tide_record_init(one);
            if (!fill(one, &module, number, t, shape))
                continue;
            entry[count++] =
                (struct chunk_entry){.start_s = START_S + (int64_t)t * WIDTH_S, .record = one};
            figures.events += (double)one->tally.requests;
            for (unsigned b = 0; b < one->hist.len; b++)
                figures.buckets += one->hist.count[b] != 0;
        }
        measure(&figures, entry, count, &reader, &blob);
        for (int t = 0; t < INTERVALS; t++)
            tide_record_fini(&record[t]);
    }
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    free(record);
    free(entry);
    return figures;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double events;
        enum shape shape;
        const char *target, *limit;
    } sets[] = {
        {"busy (median 30), 12 columns", 30, TWELVE, "<= 40", "37.5, floor 33"},
        {"quiet (median 3), 12 columns", 3, TWELVE, "<= 25", "24, floor 21"},
        {"very busy (1000), 12 columns", 1000, TWELVE, "-", "-"},
        {"busy, full, 3 gauge reports", 30, REPORTED, "-", "-"},
        {"busy, full, gauges on every event", 30, CARRIED, "-", "-"},
        {"quiet, full, 3 gauge reports", 3, REPORTED, "-", "-"},
        {"quiet, full, gauges on every event", 3, CARRIED, "-", "-"},
        {"very busy, full, gauges on every event", 1000, CARRIED, "-", "-"},
        {"quiet, full, 5 custom metrics x 3", 3, METRICS, "-", "-"},
    };
    int modules = argc > 1 ? atoi(argv[1]) : 200;

    if (modules < 1) {
        fprintf(stderr, "usage: bench_chunk [modules]\n");
        return 2;
    }
    printf("%d modules x %d intervals; file bytes = %d per chunk; ns = thread CPU per record\n",
           modules, INTERVALS, FILE_BYTES);
    printf("%-38s %7s %7s %6s %6s %6s %6s %15s | %6s %6s %6s %7s\n", "", "buckets", "records",
           "fields", "hists", "file", "target", "limit", "encode", "fields", "+hists", "+record");
    printf("%-38s %7s %7s %6s %6s %6s %6s %15s | %6s %6s %6s %7s\n", "", "/record", "/chunk",
           "B/rec", "B/rec", "B/rec", "", "", "ns", "ns", "ns", "ns");
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        int some = sets[i].events > 100 && modules > 10 ? modules / 10 : modules;
        struct figures f = run(sets[i].events, sets[i].shape, some);
        double full = (double)f.full_records, all = (double)f.records;

        printf("%-38s %7.1f %7.1f %6.2f %6.2f %6.2f %6s %15s | %6.0f %6.1f %6.0f %7.0f\n",
               sets[i].name, f.buckets / all, full / (double)f.chunks, (double)f.field_bytes / full,
               (double)f.hist_bytes / full, FILE_BYTES * (double)f.chunks / full, sets[i].target,
               sets[i].limit, f.encode_ns / all, f.fields_ns / all, f.hists_ns / all,
               f.records_ns / all);
        fflush(stdout);
    }
    return 0;
}
