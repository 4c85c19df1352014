/* health - thresholds -> status, score and reasons. See the door; every number here is a
 * definition, not a heuristic. */
#include "tidemark/health.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#define SELF_REPORTED_CAP \
    40.0 /* the score of a module that says of itself that it is unhealthy is at most this */

#define TIDE_X(id, name, weight, warning, critical, larger) \
    {name, weight, warning, critical, larger},
const struct tide_signal_info tide_signal_info[TIDE_SIGNAL_COUNT] = {TIDE_SIGNALS(TIDE_X)};
#undef TIDE_X

static const char *const status_name[TIDE_STATUS_COUNT] = {"healthy", "degraded", "critical",
                                                           "no_data"};

const char *tide_status_name(enum tide_status status)
{
    assert(status < TIDE_STATUS_COUNT);
    return status_name[status];
}

int tide_status_find(const char *name)
{
    for (int status = 0; status < TIDE_STATUS_COUNT; status++)
        if (strcmp(status_name[status], name) == 0)
            return status;
    return -1;
}

int tide_signal_find(const char *name)
{
    static const struct {
        const char *name;
        enum tide_signal signal;
    } also[] = {
        {"p95", TIDE_SIGNAL_P95},
        {"cpu", TIDE_SIGNAL_CPU},
        {"memory", TIDE_SIGNAL_MEMORY},
        {"throughput", TIDE_SIGNAL_THROUGHPUT},
    };

    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
        if (strcmp(tide_signal_info[signal].name, name) == 0)
            return signal;
    for (unsigned i = 0; i < sizeof(also) / sizeof(also[0]); i++)
        if (strcmp(also[i].name, name) == 0)
            return (int)also[i].signal;
    return -1;
}

void tide_thresholds_default(struct tide_thresholds *thresholds)
{
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        thresholds->signal[signal].warning = tide_signal_info[signal].warning;
        thresholds->signal[signal].critical = tide_signal_info[signal].critical;
    }
}

enum tide_rc tide_thresholds_check(const struct tide_thresholds *thresholds, struct tide_err *err)
{
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        const struct tide_signal_info *info = &tide_signal_info[signal];
        const struct tide_threshold *at = &thresholds->signal[signal];

        if (isnan(at->warning) && isnan(at->critical))
            continue;
        if (isnan(at->warning) || isnan(at->critical)) {
            tide_err_set(err, "%s: set both warning and critical, or neither", info->name);
            return TIDE_CONFIG;
        }
        if (at->warning < 0 || at->critical < 0) {
            tide_err_set(err, "%s: a threshold must not be negative", info->name);
            return TIDE_CONFIG;
        }
        if (info->larger_is_worse ? at->critical <= at->warning : at->critical >= at->warning) {
            tide_err_set(err, "%s: critical (%g) must lie %s warning (%g)", info->name,
                         at->critical, info->larger_is_worse ? "above" : "below", at->warning);
            return TIDE_CONFIG;
        }
    }
    return TIDE_OK;
}

struct tide_thresholds tide_health_thresholds(const struct tide_health_rules *rules,
                                              const char *module)
{
    struct tide_thresholds thresholds = rules->defaults;

    for (size_t i = 0; i < rules->rules; i++) {
        const struct tide_health_rule *rule = &rules->rule[i];

        if (fnmatch(rule->glob, module, 0) != 0)
            continue;
        for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
            if (rule->set[signal])
                thresholds.signal[signal] = rule->thresholds.signal[signal];
        break;
    }
    return thresholds;
}

double tide_health_severity(enum tide_signal signal, double value,
                            const struct tide_threshold *threshold)
{
    double warning = threshold->warning, critical = threshold->critical, severity;

    if (isnan(value) || isnan(warning) || isnan(critical))
        return 0;
    if (tide_signal_info[signal].larger_is_worse) {
        if (value >= critical)
            return 1;
        if (value >= warning)
            return 0.5 + 0.5 * (value - warning) / (critical - warning);
        severity = (value - warning / 2) / warning; /* 0 at half the warning level, 0.5 at it */
    } else {
        if (value <= critical)
            return 1;
        if (value <= warning)
            return 0.5 + 0.5 * (warning - value) / (warning - critical);
        severity = (2 * warning - value) / (2 * warning);
    }
    return severity > 0 ? severity : 0;
}

static bool at_or_over(enum tide_signal signal, double value, double level)
{
    if (isnan(value) || isnan(level))
        return false;
    return tide_signal_info[signal].larger_is_worse ? value >= level : value <= level;
}

static void add_reason(struct tide_verdict *verdict, struct tide_reason reason)
{
    size_t at = verdict->reasons++;

    assert(at < TIDE_REASONS_MAX);
    for (; at > 0 && verdict->reason[at - 1].penalty < reason.penalty; at--)
        verdict->reason[at] = verdict->reason[at - 1];
    verdict->reason[at] = reason;
}

void tide_health_judge(const struct tide_thresholds *thresholds,
                       const struct tide_health_input *input, struct tide_verdict *ret)
{
    bool warned = false, critical = input->self_unhealthy;

    ret->reasons = 0;
    if (!input->has_data || input->stopped) {
        ret->status = TIDE_NO_DATA;
        ret->score = NAN;
        return;
    }
    ret->score = 100;
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        const struct tide_threshold *at = &thresholds->signal[signal];
        double value = input->value[signal];
        double penalty = tide_signal_info[signal].weight *
                         tide_health_severity((enum tide_signal)signal, value, at);

        warned = warned || at_or_over((enum tide_signal)signal, value, at->warning);
        critical = critical || at_or_over((enum tide_signal)signal, value, at->critical);
        if (penalty <= 0)
            continue;
        ret->score -= penalty;
        add_reason(ret, (struct tide_reason){tide_signal_info[signal].name, value, at->warning,
                                             at->critical, penalty});
    }
    if (input->self_unhealthy && ret->score > SELF_REPORTED_CAP) {
        add_reason(ret, (struct tide_reason){"self_reported", NAN, NAN, NAN,
                                             ret->score - SELF_REPORTED_CAP});
        ret->score = SELF_REPORTED_CAP;
    }
    if (ret->score < 0)
        ret->score = 0; /* the weights add up to 100; only rounding can get here */
    ret->status = critical ? TIDE_CRITICAL : warned ? TIDE_DEGRADED : TIDE_HEALTHY;
}

enum tide_status tide_health_overall(size_t healthy, size_t degraded, size_t critical,
                                     double overall_error_rate,
                                     const struct tide_thresholds *defaults)
{
    size_t judged = healthy + degraded + critical;

    if (judged == 0)
        return TIDE_NO_DATA;
    if (4 * critical >= judged || at_or_over(TIDE_SIGNAL_ERROR_RATE, overall_error_rate,
                                             defaults->signal[TIDE_SIGNAL_ERROR_RATE].critical))
        return TIDE_CRITICAL;
    return degraded || critical ? TIDE_DEGRADED : TIDE_HEALTHY;
}
