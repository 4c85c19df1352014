/* Thresholds -> status, score 0-100 and reasons. Pure: figures in, verdict out. */
#ifndef TIDEMARK_HEALTH_H
#define TIDEMARK_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

enum tide_status { TIDE_HEALTHY, TIDE_DEGRADED, TIDE_CRITICAL, TIDE_NO_DATA, TIDE_STATUS_COUNT };
const char *
tide_status_name(enum tide_status status); /* "healthy" "degraded" "critical" "no_data" */
int tide_status_find(const char *name);    /* -1: no such status */

/* X(enumerator, name, weight, default warning, default critical, larger is worse). NAN: off unless
 * set. Units: share 0-1, ms, percent, count, bytes, requests per second. */
#define TIDE_SIGNALS(X)                                  \
    X(ERROR_RATE, "error_rate", 50, 0.05, 0.10, true)    \
    X(P95, "p95_response_time_ms", 30, 2000, 5000, true) \
    X(CPU, "cpu_percent", 10, 80, 95, true)              \
    X(GOROUTINES, "goroutines", 10, 1000, 2000, true)    \
    X(MEMORY, "memory_bytes", 0, NAN, NAN, true)         \
    X(THROUGHPUT, "throughput_rps", 0, NAN, NAN, false)

#define TIDE_X(id, name, weight, warning, critical, larger) TIDE_SIGNAL_##id,
enum tide_signal { TIDE_SIGNALS(TIDE_X) TIDE_SIGNAL_COUNT };
#undef TIDE_X

struct tide_signal_info {
    const char *name;
    double weight;
    double warning, critical; /* defaults */
    bool larger_is_worse;     /* throughput: smaller is */
};
extern const struct tide_signal_info tide_signal_info[TIDE_SIGNAL_COUNT];

/* The signal of a configuration or answer name ("error_rate", "p95" or "p95_response_time_ms",
 * "cpu" or "cpu_percent", ...), or -1. */
int tide_signal_find(const char *name);

struct tide_threshold {
    double warning, critical; /* NAN: off */
};

struct tide_thresholds {
    struct tide_threshold signal[TIDE_SIGNAL_COUNT];
};

void tide_thresholds_default(struct tide_thresholds *thresholds);

/* Critical must lie beyond warning (below it for throughput), both set or both off. TIDE_CONFIG
 * names the signal. */
enum tide_rc tide_thresholds_check(const struct tide_thresholds *thresholds, struct tide_err *err);

/* Per-module thresholds: the first rule whose glob (fnmatch) matches wins, its unset signals (see
 * `set`) come from the defaults. */
struct tide_health_rule {
    char glob[129];
    struct tide_thresholds thresholds;
    bool set[TIDE_SIGNAL_COUNT];
};

struct tide_health_rules {
    struct tide_thresholds defaults;
    struct tide_health_rule *rule; /* may be NULL */
    size_t rules;
};

/* The thresholds of one module. */
struct tide_thresholds tide_health_thresholds(const struct tide_health_rules *rules,
                                              const char *module);

/* What is judged. NAN: the signal has no value and cannot be at fault. */
struct tide_health_input {
    bool has_data; /* anything in the judged window */
    bool stopped;  /* a stop as the last word */
    bool self_unhealthy;
    double value[TIDE_SIGNAL_COUNT];
};

#define TIDE_REASONS_MAX (TIDE_SIGNAL_COUNT + 1)

struct tide_reason {
    const char *signal;       /* "error_rate" ... or "self_reported" */
    double value;             /* NAN for self_reported */
    double warning, critical; /* NAN for self_reported */
    double penalty;           /* > 0; 100 - sum of penalties is the score */
};

struct tide_verdict {
    enum tide_status status;
    double score;                                /* 0..100; NAN with no_data */
    struct tide_reason reason[TIDE_REASONS_MAX]; /* largest penalty first */
    size_t reasons;
};

/* Severity of one value: 0 up to half the warning level, then linear to 0.5 at warning, linear to 1
 * at critical, 1 above. For throughput (smaller is worse): 0 from twice the warning level up, 0.5
 * at warning, 1 at critical. */
double tide_health_severity(enum tide_signal signal, double value,
                            const struct tide_threshold *threshold);

void tide_health_judge(const struct tide_thresholds *thresholds,
                       const struct tide_health_input *input, struct tide_verdict *ret);

/* Overall status over modules that are not no_data: critical when at least a quarter of them are,
 * or the overall error rate is at or over critical; degraded when any is degraded or critical;
 * no_data without any. */
enum tide_status tide_health_overall(size_t healthy, size_t degraded, size_t critical,
                                     double overall_error_rate,
                                     const struct tide_thresholds *defaults);

#endif
