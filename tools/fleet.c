/* The fleet is a table; the generator below reads it. A second of a module is: as many operations
 * as a Poisson draw gives, each at a random moment with a duration of the module's shape; every few
 * seconds a performance event with the gauges of each instance, and the module's own word on its
 * health.
 */
#include "fleet.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packer.h"
#include "rng.h"

enum shape {
    LOG_NORMAL, /* median a ms, sigma b */
    BIMODAL,    /* a ms, or with chance c around b ms */
    CONSTANT,   /* a ms, nearly */
    HEAVY_TAIL, /* Pareto: least a ms, exponent b */
};

struct plan {
    const char *name;
    double share; /* of the fleet's requests */
    enum shape shape;
    double a, b, c;
    double error_rate;
    unsigned instances;
    double memory_mib, cpu_percent; /* of one instance at a middling hour */
    unsigned goroutines, db_connections;
    bool logs_requests; /* logs a plain request before the response: in-flight can be seen */
    bool cron;          /* works in the first seconds of a minute only */
    bool degrades;
    const char *error; /* what its errors say */
};

static const struct plan plans[] = {
    {"gateway", .25, LOG_NORMAL, 14, .55, 0, .002, 3, 180, 24, 220, 0, true, false, false,
     "upstream timed out"},
    {"auth", .16, LOG_NORMAL, 6, .40, 0, .004, 2, 95, 15, 90, 12, false, false, false,
     "token expired"},
    {"catalog", .14, BIMODAL, 2.5, 48, .18, .001, 2, 410, 18, 130, 20, false, false, false,
     "cache node unreachable"},
    {"search", .10, BIMODAL, 21, 190, .30, .003, 2, 890, 41, 160, 0, false, false, false,
     "query too broad"},
    {"checkout", .08, LOG_NORMAL, 85, .45, 0, .006, 2, 240, 22, 140, 25, true, false, true,
     "payment provider: connection reset"},
    {"pricing", .09, CONSTANT, 4, 0, 0, .0005, 1, 60, 9, 40, 4, false, false, false,
     "no price for item"},
    {"recommend", .06, HEAVY_TAIL, 9, 1.4, 0, .002, 2, 1500, 55, 80, 0, false, false, false,
     "model not loaded"},
    {"session-store", .07, LOG_NORMAL, .35, .35, 0, .0002, 3, 320, 7, 60, 0, false, false, false,
     "slot moved"},
    {"inventory", .03, LOG_NORMAL, 32, .60, 0, .004, 1, 150, 12, 70, 30, false, false, false,
     "lock wait timeout"},
    {"mailer", .01, LOG_NORMAL, 320, .70, 0, .006, 1, 70, 3, 35, 2, false, false, false,
     "550 mailbox unavailable"},
    {"report-export", .004, HEAVY_TAIL, 240, 2.6, 0, .004, 1, 620, 35, 28, 6, false, false, false,
     "result set too large"},
    {"billing-cron", .005, LOG_NORMAL, 140, .30, 0, .005, 1, 130, 5, 30, 8, false, true, false,
     "invoice already sent"},
    {"legacy-soap", .004, BIMODAL, 260, 950, .12, .009, 1, 980, 11, 210, 15, false, false, false,
     "Premature end of file"},
};
#define MODULES       (sizeof plans / sizeof *plans)
#define INSTANCES_MAX 3

struct tide_fleet {
    struct tide_rng rng;
    double rate;
    int64_t start_us, cycle_us;
    double drift[MODULES][INSTANCES_MAX]; /* slow random walk of the gauges, around 1 */
    struct tide_packer pack;
};

struct out {
    void (*emit)(void *to, int64_t time_us, const void *map, size_t len);
    void *to;
};

struct tide_fleet *tide_fleet_new(uint64_t seed, double rate, uint32_t cycle_s, int64_t start_us)
{
    struct tide_fleet *fleet = calloc(1, sizeof *fleet);

    if (!fleet)
        abort();
    fleet->rng.state = seed;
    fleet->rate = rate;
    fleet->start_us = start_us;
    fleet->cycle_us = (int64_t)cycle_s * 1000000;
    for (size_t m = 0; m < MODULES; m++)
        for (size_t i = 0; i < INSTANCES_MAX; i++)
            fleet->drift[m][i] = 0.9 + 0.2 * tide_rng_unit(&fleet->rng);
    return fleet;
}

void tide_fleet_free(struct tide_fleet *fleet)
{
    if (!fleet)
        return;
    tide_packer_fini(&fleet->pack);
    free(fleet);
}

size_t tide_fleet_size(const struct tide_fleet *fleet)
{
    (void)fleet;
    return MODULES;
}

const char *tide_fleet_name(const struct tide_fleet *fleet, size_t index)
{
    (void)fleet;
    return plans[index].name;
}

/* Well for the first 8 % of a cycle, then 5 % getting worse, 17 % at the worst, 5 % recovering,
 * well again. */
double tide_fleet_illness(const struct tide_fleet *fleet, int64_t at_us)
{
    double at = at_us > fleet->start_us ? (double)((at_us - fleet->start_us) % fleet->cycle_us) /
                                              (double)fleet->cycle_us
                                        : 0;

    if (at < .08 || at >= .35)
        return 0;
    if (at < .13)
        return (at - .08) / .05;
    return at < .30 ? 1 : (.35 - at) / .05;
}

/* 0.6 in the night, 1.4 in the early afternoon (UTC). */
static double wave(int64_t at_us)
{
    return 1 + .4 * sin(6.283185307179586 * ((double)(at_us / 1000000 % 86400) / 86400 - .33));
}

static double duration_ms(struct tide_rng *rng, const struct plan *plan, double illness)
{
    double ms = 0;

    switch (plan->shape) {
    case LOG_NORMAL:
        ms = plan->a * exp(plan->b * tide_rng_normal(rng));
        break;
    case BIMODAL:
        ms = tide_rng_unit(rng) < plan->c ? plan->b * exp(.25 * tide_rng_normal(rng))
                                          : plan->a * exp(.20 * tide_rng_normal(rng));
        break;
    case CONSTANT:
        ms = plan->a * (1 + .01 * tide_rng_unit(rng));
        break;
    case HEAVY_TAIL:
        ms = plan->a * pow(1 - tide_rng_unit(rng), -1 / plan->b);
        break;
    }
    ms *= 1 + 35 * illness;
    return ms < 120000 ? ms : 120000;
}

static void begin(struct tide_packer *pack, const char *module, const char *event, uint32_t pairs)
{
    pack->len = 0;
    tide_packer_map(pack, pairs + 2);
    tide_packer_text(pack, "module_id");
    tide_packer_text(pack, module);
    tide_packer_text(pack, "event");
    tide_packer_text(pack, event);
}

static void pair_text(struct tide_packer *pack, const char *name, const char *value)
{
    tide_packer_text(pack, name);
    tide_packer_text(pack, value);
}

static void finish(const struct out *out, const struct tide_packer *pack, int64_t time_us)
{
    out->emit(out->to, time_us, pack->bytes, pack->len);
}

static void instance_name(char text[48], const struct plan *plan, unsigned instance)
{
    snprintf(text, 48, "%s-%u", plan->name, instance + 1);
}

static void log_operation(struct tide_fleet *fleet, const struct plan *plan, int64_t time_us,
                          const struct out *out)
{
    double illness = plan->degrades ? tide_fleet_illness(fleet, time_us) : 0;
    double error_rate = plan->error_rate + .22 * illness;
    bool failed = tide_rng_unit(&fleet->rng) < error_rate;
    char correlation[33], instance[48];
    struct tide_packer *pack = &fleet->pack;

    snprintf(correlation, sizeof correlation, "%016llx%016llx",
             (unsigned long long)tide_rng_next(&fleet->rng),
             (unsigned long long)tide_rng_next(&fleet->rng));
    instance_name(instance, plan, tide_rng_below(&fleet->rng, plan->instances));
    if (plan->logs_requests) {
        begin(pack, plan->name, "request", 2);
        pair_text(pack, "correlation_id", correlation);
        pair_text(pack, "instance_id", instance);
        finish(out, pack, time_us);
        if (tide_rng_unit(&fleet->rng) < .02 * illness)
            return; /* hung: it stays in flight */
    }
    begin(pack, plan->name, "response", failed ? 6 : 5);
    tide_packer_text(pack, "success");
    tide_packer_bool(pack, !failed);
    tide_packer_text(pack, "status");
    tide_packer_int(pack, failed ? 500 + (int64_t)tide_rng_below(&fleet->rng, 5) : 200);
    tide_packer_text(pack, "duration_ms");
    tide_packer_double(pack, duration_ms(&fleet->rng, plan, illness));
    pair_text(pack, "correlation_id", correlation);
    pair_text(pack, "instance_id", instance);
    if (failed)
        pair_text(pack, "error", plan->error);
    finish(out, pack, time_us);
}

static void log_performance(struct tide_fleet *fleet, size_t module, unsigned instance,
                            int64_t time_us, const struct out *out)
{
    const struct plan *plan = &plans[module];
    double illness = plan->degrades ? tide_fleet_illness(fleet, time_us) : 0;
    double *drift = &fleet->drift[module][instance];
    double load = wave(time_us);
    struct tide_packer *pack = &fleet->pack;
    char name[48];

    *drift += .02 * tide_rng_normal(&fleet->rng) + .05 * (1 - *drift);
    instance_name(name, plan, instance);
    begin(pack, plan->name, "performance", 5);
    pair_text(pack, "instance_id", name);
    tide_packer_text(pack, "memory_bytes");
    tide_packer_int(pack,
                    (int64_t)(plan->memory_mib * fabs(*drift) * (1 + .6 * illness) * 1048576));
    tide_packer_text(pack, "cpu_percent");
    tide_packer_double(pack,
                       fmin(100, plan->cpu_percent * fabs(*drift) * load * (1 + 2.2 * illness)));
    tide_packer_text(pack, "goroutines");
    tide_packer_int(pack, (int64_t)(plan->goroutines * fabs(*drift) * load * (1 + 8 * illness)));
    tide_packer_text(pack, "db_connections");
    tide_packer_int(pack, (int64_t)(plan->db_connections * fabs(*drift) * (1 + illness)));
    finish(out, pack, time_us);
}

static void log_health(struct tide_fleet *fleet, const struct plan *plan, int64_t time_us,
                       const struct out *out)
{
    double illness = plan->degrades ? tide_fleet_illness(fleet, time_us) : 0;
    struct tide_packer *pack = &fleet->pack;

    begin(pack, plan->name, "health", 2);
    tide_packer_text(pack, "healthy");
    tide_packer_bool(pack, illness < .9);
    pair_text(pack, "message", illness < .9 ? "ok" : "payment provider does not answer");
    finish(out, pack, time_us);
}

/* An order of the shop, as a custom metric. */
static void log_order(struct tide_fleet *fleet, const struct plan *plan, int64_t time_us,
                      const struct out *out)
{
    struct tide_packer *pack = &fleet->pack;

    begin(pack, plan->name, "metric", 2);
    pair_text(pack, "name", "order_value");
    tide_packer_text(pack, "value");
    tide_packer_double(pack, round(2400 * exp(.8 * tide_rng_normal(&fleet->rng))) / 100);
    finish(out, pack, time_us);
}

static void log_start(struct tide_fleet *fleet, const struct plan *plan, int64_t time_us,
                      const struct out *out)
{
    struct tide_packer *pack = &fleet->pack;
    char name[48];

    for (unsigned i = 0; i < plan->instances; i++) {
        instance_name(name, plan, i);
        begin(pack, plan->name, "start", 1);
        pair_text(pack, "instance_id", name);
        finish(out, pack, time_us);
    }
    begin(pack, plan->name, "config", 1);
    pair_text(pack, "message", "configuration loaded");
    finish(out, pack, time_us);
}

/* What one module logs within one whole second (or the part of it in [from_us, to_us)). */
static void log_module(struct tide_fleet *fleet, size_t module, int64_t from_us, int64_t to_us,
                       const struct out *out)
{
    const struct plan *plan = &plans[module];
    double seconds = (double)(to_us - from_us) / 1e6;
    double rate = fleet->rate * plan->share * wave(from_us);
    int64_t second = from_us / 1000000;
    uint32_t count;

    if (plan->cron)
        rate = second % 60 < 6 ? rate * 10 : 0;
    count = tide_rng_poisson(&fleet->rng, rate * seconds);
    for (uint32_t i = 0; i < count; i++) {
        int64_t at_us = from_us + (int64_t)(tide_rng_unit(&fleet->rng) * (double)(to_us - from_us));

        log_operation(fleet, plan, at_us, out);
        if (plan->degrades && tide_rng_below(&fleet->rng, 4) == 0)
            log_order(fleet, plan, at_us, out);
    }
    if ((second + (int64_t)module) % 5 == 0)
        for (unsigned i = 0; i < plan->instances; i++)
            log_performance(fleet, module, i, from_us, out);
    if ((second + (int64_t)module) % 10 == 0)
        log_health(fleet, plan, from_us, out);
}

void tide_fleet_log(struct tide_fleet *fleet, int64_t from_us, int64_t to_us,
                    void (*emit)(void *to, int64_t time_us, const void *map, size_t len), void *to)
{
    struct out out = {emit, to};

    if (from_us <= fleet->start_us && fleet->start_us < to_us)
        for (size_t m = 0; m < MODULES; m++)
            log_start(fleet, &plans[m], fleet->start_us, &out);
    while (from_us < to_us) {
        int64_t end_us = (from_us / 1000000 + 1) * 1000000;

        if (end_us > to_us)
            end_us = to_us;
        for (size_t m = 0; m < MODULES; m++)
            log_module(fleet, m, from_us, end_us, &out);
        from_us = end_us;
    }
}
