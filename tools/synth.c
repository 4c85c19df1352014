/* See the header for the shapes. A module is a handful of numbers that wander from interval to
 * interval; its events are drawn around them.
 */
#include "synth.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tidemark/hist.h"

#define NORMALS        65536
#define DAY_S          86400
#define COARSE_BUCKETS 20
#define COARSE_MODULES 200 /* the fleet that a smaller one is picked from */

struct module {
    struct tide_rng rng;
    char name[16];
    uint32_t name_len;
    uint32_t seen; /* intervals so far */
    double rate, log_mean, spread, failing, phase;
    double memory, memory_first, cpu, threads, connections, drift;
};

struct tide_synth {
    struct tide_synth_cfg cfg;
    struct module *module;
    float normal[NORMALS];
};

/* What an interval of one module is made with. */
struct interval {
    struct tide_synth *synth;
    struct module *module;
    int64_t start_us;
    struct tide_event ev; /* the parts all events share */
    tide_synth_take *take;
    void *to;
};

static const char failure[] = "upstream timed out";

static double normal(const struct tide_synth *synth, struct module *module)
{
    return (double)synth->normal[tide_rng_next(&module->rng) % NORMALS];
}

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static struct tide_text text_of(const char *text)
{
    return (struct tide_text){text, (uint32_t)strlen(text)};
}

static void module_start(const struct tide_synth *synth, struct module *module, uint32_t number)
{
    const struct tide_synth_cfg *cfg = &synth->cfg;

    module->rng.state = cfg->seed * UINT64_C(0xd1b54a32d192ed03) + number;
    module->name_len =
        (uint32_t)snprintf(module->name, sizeof module->name, "svc-%06u", number % 1000000u);
    module->phase = number;
    if (cfg->shape == TIDE_SYNTH_COARSE) {
        double place =
            cfg->modules < COARSE_MODULES ? number * (double)COARSE_MODULES / cfg->modules : number;

        module->rate = 30000 / (place + 1) + 40;
        module->log_mean = log(12) + 0.35 * normal(synth, module);
        module->spread = 0.6;
        module->memory = module->memory_first = 120 + 300 * tide_rng_unit(&module->rng);
        module->threads = 8 + floor(tide_rng_unit(&module->rng) * 40);
        module->phase = 6.28 * tide_rng_unit(&module->rng);
        return;
    }
    module->rate = cfg->events * exp(normal(synth, module));
    module->log_mean = 1.5 + 1.2 * normal(synth, module);
    module->spread = 0.25 + 0.35 * tide_rng_unit(&module->rng);
    module->failing = 0.002 + 0.01 * tide_rng_unit(&module->rng);
    module->memory = 5e7 + 4e8 * tide_rng_unit(&module->rng);
    module->cpu = 5 + 50 * tide_rng_unit(&module->rng);
    module->threads = 20 + 200 * tide_rng_unit(&module->rng);
    module->connections = 5 + 40 * tide_rng_unit(&module->rng);
}

struct tide_synth *tide_synth_new(const struct tide_synth_cfg *cfg)
{
    struct tide_synth *synth = calloc(1, sizeof *synth);
    struct tide_rng rng = {cfg->seed};

    if (!synth || !(synth->module = calloc(cfg->modules, sizeof *synth->module)))
        abort();
    synth->cfg = *cfg;
    for (unsigned i = 0; i < NORMALS; i++)
        synth->normal[i] = (float)tide_rng_normal(&rng);
    for (uint32_t i = 0; i < cfg->modules; i++)
        module_start(synth, &synth->module[i], i);
    return synth;
}

void tide_synth_free(struct tide_synth *synth)
{
    if (!synth)
        return;
    free(synth->module);
    free(synth);
}

struct tide_text tide_synth_name(const struct tide_synth *synth, uint32_t module)
{
    return (struct tide_text){synth->module[module].name, synth->module[module].name_len};
}

/* ---- twelve and full ---- */

static void wander(const struct tide_synth *synth, struct module *module)
{
    module->memory += 2e5 * normal(synth, module);
    if (module->seen % 97 == 96)
        module->memory -= 3e6; /* something was cleaned up */
    module->memory = clamp(module->memory, 1e6, 1e12);
    module->cpu = clamp(module->cpu + 0.8 * normal(synth, module), 1, 95);
    module->threads = clamp(module->threads + 1.5 * normal(synth, module), 4, 1e6);
    module->connections = clamp(module->connections + 0.8 * normal(synth, module), 0, 1e6);
}

/* One operation: duration, outcome and, in full, when it ended and who asked. */
static void operation(struct interval *at, double log_mean, bool failed)
{
    struct module *module = at->module;
    uint64_t bits = tide_rng_next(&module->rng);
    double slow = (bits >> 16 & 0xffffff) < 0.03 * 0x1000000 ? 1.5 : 0, ms;
    struct tide_event *ev = &at->ev;
    char id[12];

    ms = exp(log_mean + module->spread * (double)at->synth->normal[bits % NORMALS] + slow);
    ev->kind = TIDE_EVENT_RESPONSE;
    ev->has_duration = true;
    ev->duration_us = clamp(floor(ms * 1000), 0, (double)TIDE_DURATION_MAX_US);
    ev->has_outcome = true;
    ev->success = !failed;
    ev->error = failed ? text_of(failure) : (struct tide_text){NULL, 0};
    ev->gauges = 0;
    if (at->synth->cfg.shape == TIDE_SYNTH_FULL) {
        uint64_t width_us = (uint64_t)at->synth->cfg.interval_s * 1000000;

        for (int i = 0; i < 12; i++)
            id[i] = "0123456789abcdef"[bits >> (4 * i) & 15];
        ev->correlation = (struct tide_text){id, sizeof id};
        ev->time_us = at->start_us + (int64_t)((bits >> 40) * width_us >> 24);
    }
    at->take(at->to, ev);
    ev->correlation.len = 0;
}

static void report(struct interval *at, uint8_t gauges, double memory, double cpu)
{
    struct tide_event *ev = &at->ev;

    ev->kind = TIDE_EVENT_PERFORMANCE;
    ev->has_duration = ev->has_outcome = false;
    ev->success = true;
    ev->error.len = 0;
    ev->gauges = gauges;
    ev->gauge[TIDE_GAUGE_MEMORY] = (int64_t)clamp(memory, 0, 1e15) & ~INT64_C(4095);
    ev->gauge[TIDE_GAUGE_CPU] = (int64_t)clamp(cpu, 0, 1e9) * 10;
    ev->gauge[TIDE_GAUGE_GOROUTINES] = (int64_t)at->module->threads;
    ev->gauge[TIDE_GAUGE_DB_CONNECTIONS] = (int64_t)at->module->connections;
    at->take(at->to, ev);
}

/* Three samples make mean and maximum of memory and CPU: one below the mean, one as far above, and
 * the newest is the mean itself. */
static void report_twelve(struct interval *at, uint32_t operations)
{
    struct tide_synth *synth = at->synth;
    struct module *module = at->module;
    uint8_t moving = 1 << TIDE_GAUGE_MEMORY | 1 << TIDE_GAUGE_CPU;
    double memory = floor(module->memory / 4096), above, cpu, cpu_above;

    above = floor(fabs(3e5 * normal(synth, module)) / 4096);
    cpu = clamp(floor(module->cpu * 100 + 20 * normal(synth, module)), 0, 1e4);
    cpu_above = floor(fabs(300 * normal(synth, module)));
    cpu_above = cpu_above < cpu ? cpu_above : cpu;
    if (operations == 0)
        cpu = cpu_above = 0;
    report(at, moving, (memory - above) * 4096, cpu - cpu_above);
    report(at, moving, (memory + above) * 4096, cpu + cpu_above);
    at->ev.time_us++;
    report(at, (1 << TIDE_GAUGE_COUNT) - 1, memory * 4096, cpu);
}

static void report_full(struct interval *at)
{
    struct tide_synth *synth = at->synth;
    struct module *module = at->module;

    at->ev.instance = text_of("host-a");
    for (int i = 0; i < 3; i++) {
        at->ev.time_us = at->start_us + (int64_t)synth->cfg.interval_s * 333333 * i +
                         tide_rng_below(&module->rng, 3000);
        report(at, (1 << TIDE_GAUGE_COUNT) - 1, module->memory + 3e5 * normal(synth, module),
               floor(module->cpu * 100 + 200 * normal(synth, module)));
    }
    at->ev.instance.len = 0;
}

static void log_module(struct interval *at)
{
    struct tide_synth *synth = at->synth;
    struct module *module = at->module;
    int64_t of_day = at->start_us / 1000000 % DAY_S;
    double day = 1 + 0.6 * sin(6.283185307179586 * (double)of_day / DAY_S + module->phase),
           log_mean;
    uint32_t operations, failed;

    module->drift = 0.97 * module->drift + 0.05 * normal(synth, module);
    operations = tide_rng_poisson(&module->rng, module->rate * day);
    failed = tide_rng_poisson(&module->rng, operations * module->failing);
    wander(synth, module);
    log_mean = module->log_mean + module->drift * 0.5;
    for (uint32_t i = 0; i < operations; i++)
        operation(at, log_mean, i < failed);
    if (synth->cfg.shape == TIDE_SYNTH_FULL)
        report_full(at);
    else
        report_twelve(at, operations);
}

/* ---- coarse ---- */

/* Share of the durations below ms. */
static double below(double ms, double log_mean, double spread)
{
    return 0.5 * erfc(-(log(ms) - log_mean) / (spread * 1.4142135623730951));
}

/* How many of `operations` fall into each bucket of 1, 1.58, 2.51, ... 6310 ms. */
static void spread_out(const struct tide_synth *synth, struct module *module, double log_mean,
                       uint32_t operations, uint32_t count[COARSE_BUCKETS])
{
    double before = 0;
    uint32_t left = operations;

    for (unsigned b = 0; b < COARSE_BUCKETS; b++) {
        double share = below(pow(10, b * 0.2), log_mean, module->spread);
        double expected = operations * (share - before), got;

        before = share;
        got = floor(expected + sqrt(expected) * 0.5 * normal(synth, module) +
                    tide_rng_unit(&module->rng));
        count[b] = b == COARSE_BUCKETS - 1 ? left : (uint32_t)clamp(got, 0, left);
        left -= count[b];
    }
}

static void weighed(struct interval *at, double duration_us, uint32_t weight, bool failed)
{
    struct tide_event *ev = &at->ev;

    if (weight == 0)
        return;
    ev->weight = weight;
    ev->duration_us = floor(duration_us);
    ev->success = !failed;
    ev->error = failed ? text_of(failure) : (struct tide_text){NULL, 0};
    at->take(at->to, ev);
}

/* A duration in the middle of a coarse bucket, somewhere in one fine bucket, so that a histogram of
 * 20 buckets stays one of 20 while sum, minimum and maximum are as uneven as they would be. */
static double duration_in(struct module *module, unsigned coarse)
{
    unsigned fine = tide_hist_bucket(1000 * pow(10, ((double)coarse - 0.5) * 0.2));
    double low = tide_hist_lower_us(fine), high = tide_hist_upper_us(fine);

    return low + (high - low) * (0.1 + 0.8 * tide_rng_unit(&module->rng));
}

static void log_buckets(struct interval *at, double log_mean, uint32_t operations, uint32_t failed)
{
    struct module *module = at->module;
    double reach = module->spread * sqrt(2 * log(operations + 1.0)), tail;
    uint32_t count[COARSE_BUCKETS];
    unsigned most = 0, first = COARSE_BUCKETS, last = 0;

    spread_out(at->synth, module, log_mean, operations, count);
    for (unsigned b = 0; b < COARSE_BUCKETS; b++) {
        most = count[b] > count[most] ? b : most;
        first = count[b] && first == COARSE_BUCKETS ? b : first;
        last = count[b] ? b : last;
    }
    at->ev.kind = TIDE_EVENT_RESPONSE;
    at->ev.has_duration = at->ev.has_outcome = true;
    if (operations > 2) { /* the smallest and the largest are known as they were */
        tail = tide_rng_unit(&module->rng) < 0.3 ? 1.5 * tide_rng_unit(&module->rng) : 0;
        weighed(at, 1000 * exp(log_mean - reach * (1 + 0.1 * tide_rng_unit(&module->rng))), 1,
                false);
        weighed(at, 1000 * exp(log_mean + reach * (1 + 0.3 * tide_rng_unit(&module->rng)) + tail),
                1, false);
        count[first]--;
        count[last]--;
    }
    failed = failed < count[most] ? failed : count[most];
    for (unsigned b = 0; b < COARSE_BUCKETS; b++) {
        double duration_us = duration_in(module, b);

        weighed(at, duration_us, count[b] - (b == most ? failed : 0), false);
        weighed(at, duration_us, b == most ? failed : 0, true);
    }
}

static void log_coarse(struct interval *at)
{
    struct tide_synth *synth = at->synth;
    struct module *module = at->module;
    int64_t of_day = at->start_us / 1000000 % DAY_S;
    double load, mean, cpu;
    uint32_t operations, failed;

    module->drift = (module->drift + 0.02 * normal(synth, module)) * 0.995;
    module->cpu = (module->cpu + 0.1 * normal(synth, module)) * 0.98;
    load = 1 + 0.5 * sin(6.283185307179586 * (double)of_day / DAY_S + module->phase) +
           0.05 * module->drift;
    mean = clamp(module->rate * load, 0, 1e9);
    operations = (uint32_t)clamp(floor(mean + sqrt(mean) * normal(synth, module) + 0.5), 1, 1e9);
    failed = (uint32_t)clamp(
        floor(operations * 0.02 * (1 + 0.3 * normal(synth, module)) + tide_rng_unit(&module->rng)),
        0, operations);
    log_buckets(at, module->log_mean + 0.15 * module->drift + 0.1 * (load - 1), operations, failed);

    module->memory += 0.4 + 0.5 * normal(synth, module);
    if (module->memory > module->memory_first * 1.8)
        module->memory = module->memory_first;
    cpu = clamp(20 * load + 5 * module->cpu + 2 * normal(synth, module), 0, 100);
    if (tide_rng_unit(&module->rng) < 0.05)
        module->threads += tide_rng_unit(&module->rng) < 0.5 ? -1 : 1;
    module->threads = clamp(module->threads, 2, 1e6);
    at->ev.kind = TIDE_EVENT_PERFORMANCE;
    at->ev.weight = 1;
    at->ev.has_duration = at->ev.has_outcome = false;
    at->ev.success = true;
    at->ev.error.len = 0;
    at->ev.gauges = 1 << TIDE_GAUGE_MEMORY | 1 << TIDE_GAUGE_CPU | 1 << TIDE_GAUGE_GOROUTINES;
    at->ev.gauge[TIDE_GAUGE_MEMORY] = (int64_t)(module->memory * 10 + 0.5) * 100000;
    at->ev.gauge[TIDE_GAUGE_CPU] = (int64_t)(cpu * 10 + 0.5) * 100;
    at->ev.gauge[TIDE_GAUGE_GOROUTINES] = (int64_t)module->threads;
    at->take(at->to, &at->ev);
}

void tide_synth_log(struct tide_synth *synth, uint32_t number, int64_t start_s,
                    tide_synth_take *take, void *to)
{
    struct module *module = &synth->module[number];
    struct interval at = {.synth = synth,
                          .module = module,
                          .start_us = start_s * 1000000,
                          .take = take,
                          .to = to,
                          .ev = {.time_us = start_s * 1000000,
                                 .module = {module->name, module->name_len},
                                 .weight = 1,
                                 .success = true}};

    if (synth->cfg.shape == TIDE_SYNTH_COARSE)
        log_coarse(&at);
    else
        log_module(&at);
    module->seen++;
}
