/* query's door: questions over a snapshot -> views. One file per question in src/query/.
 *
 * Every function opens one snapshot, computes, closes it and returns a view that owns all it points
 * to, so a slow client never holds a snapshot. All of them are safe from any number of threads.
 *
 * "Current" is the whole intervals that cover the last window plus every open one. A question takes
 * window_s: 0 = the configured window, with lifetime counters; else all figures cover that window.
 * Reals are NAN and times are 0 where there is no sample.
 */
#ifndef TIDEMARK_QUERY_H
#define TIDEMARK_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/health.h"
#include "tidemark/store.h"

struct tide_query_cfg {
    uint32_t window_s; /* aggregation.window_s: what "current" means */
    uint32_t grace_s;  /* aggregation.grace_s: how long after its end an interval is open */
    int64_t raw_s;     /* retention.raw_s, the longest window; 0 = for ever */
    struct tide_health_rules health; /* copied */
};

struct tide_query;

enum tide_rc tide_query_open(const struct tide_query_cfg *cfg, struct tide_store *store,
                             struct tide_query **ret, struct tide_err *err);
void tide_query_close(struct tide_query *query); /* NULL is fine */

/* Replaces the thresholds (copied); questions under way finish with the old ones. */
enum tide_rc tide_query_reload_health(struct tide_query *query,
                                      const struct tide_health_rules *rules, struct tide_err *err);

/* ---- figures that a module and the fleet have in common ---- */

struct tide_figures {
    uint64_t total; /* operations, lifetime or window */
    uint64_t failed;
    uint64_t errors;
    uint64_t window_requests;
    double error_rate, success_rate; /* of the window */
    double mean_ms, p50_ms, p95_ms, p99_ms, min_ms, max_ms;
    uint64_t samples; /* operations with a duration in the window */
    double throughput_rps;
    double gauge[TIDE_GAUGE_COUNT]; /* as people want them: last, mean for cpu; bytes, percent,
                                       count */
    uint64_t in_flight;
    int64_t first_us, last_us; /* events: oldest, newest; 0 = none */
    uint32_t window_s;
};

/* The verdict of health.h with its penalties rounded to six decimals, so that 100 - their sum is
 * the score as printed. */
struct tide_judgement {
    enum tide_status status;
    double score; /* NAN: no_data */
    uint32_t judged_window_s;
    size_t reasons;
    struct tide_reason *reason; /* owned by the view; NULL without any */
};

/* ---- one module ---- */

struct tide_module_view {
    char name[TIDE_MODULE_NAME_MAX + 1];
    struct tide_figures figures;
    struct tide_judgement health;
    uint64_t restarts;                        /* start events after the first */
    char last_error[TIDE_ERROR_TEXT_MAX + 1]; /* raw bytes; "" = none */
    struct tide_slowest slowest;
    struct tide_customs customs; /* of the window; owned by the view */
};

/* TIDE_NOT_FOUND: no such module. */
enum tide_rc tide_query_module(struct tide_query *query, const char *name, size_t len,
                               uint32_t window_s, struct tide_module_view *ret,
                               struct tide_err *err);
void tide_module_view_fini(struct tide_module_view *view);

/* ---- the fleet ---- */

/* One module in a list. */
struct tide_module_line {
    char *name;
    struct tide_figures figures;
    struct tide_judgement health;
};

struct tide_fleet_view {
    struct tide_figures figures;
    enum tide_status overall;
    double score; /* mean weighted by max(1, window_requests), NAN: no_data */
    size_t modules;
    size_t active; /* modules with any event in the window */
    size_t by_status[TIDE_STATUS_COUNT];
    struct tide_module_line *line; /* what the question asked for: see each */
    size_t lines;
};
void tide_fleet_view_fini(struct tide_fleet_view *view);

/* No lines. */
enum tide_rc tide_query_summary(struct tide_query *query, uint32_t window_s,
                                struct tide_fleet_view *ret, struct tide_err *err);

/* Lines: the degraded and the critical modules, worst first. */
enum tide_rc tide_query_health(struct tide_query *query, uint32_t window_s,
                               struct tide_fleet_view *ret, struct tide_err *err);

#define TIDE_SLOWEST_MODULES 10

/* Lines: the modules with the largest p95, at most TIDE_SLOWEST_MODULES, slowest first. */
enum tide_rc tide_query_performance(struct tide_query *query, uint32_t window_s,
                                    struct tide_fleet_view *ret, struct tide_err *err);

/* ---- the list of modules ---- */

enum tide_sort { TIDE_SORT_NAME, TIDE_SORT_TROUBLE, TIDE_SORT_REQUESTS, TIDE_SORT_P95 };

/* Where a page ended: the sort key of its last module. */
struct tide_modules_mark {
    uint8_t sort;   /* enum tide_sort */
    uint8_t status; /* enum tide_status */
    double real;    /* score or p95, NAN = none */
    uint64_t count; /* requests */
    char name[TIDE_MODULE_NAME_MAX + 1];
};

struct tide_modules_ask {
    int status;         /* enum tide_status, -1 = all */
    const char *prefix; /* of the name; NULL or "" = all */
    enum tide_sort sort;
    uint32_t limit;
    uint32_t window_s;
    const struct tide_modules_mark *after; /* NULL: from the start */
};

struct tide_modules_view {
    struct tide_module_line *line;
    size_t lines;
    size_t count; /* of all that match */
    bool more;
    struct tide_modules_mark next; /* when more */
};

enum tide_rc tide_query_modules(struct tide_query *query, const struct tide_modules_ask *ask,
                                struct tide_modules_view *ret, struct tide_err *err);
void tide_modules_view_fini(struct tide_modules_view *view);

/* ---- history ---- */

#define TIDE_HISTORY_LIMIT     100
#define TIDE_HISTORY_LIMIT_MAX 100000
#define TIDE_QUANTILES_MAX     16

struct tide_history_ask {
    const char *module; /* NULL: the fleet */
    size_t module_len;
    int64_t from_us, to_us; /* half-open; rounded outwards to steps */
    int64_t step_s;         /* 0: the finest tier that gives at most `limit` points */
    int64_t before_s;       /* only points that start before this; INT64_MAX: all */
    uint32_t limit;
    bool aggregate;      /* one point over the whole range */
    bool histogram;      /* keep the buckets of each point */
    bool no_percentiles; /* the points need none: their p50, p95 and p99 are NAN. Much cheaper */
    double quantile[TIDE_QUANTILES_MAX];
    size_t quantiles;
};

struct tide_point {
    int64_t start_s;
    uint64_t requests, failed, errors;
    double mean_ms, min_ms, p50_ms, p95_ms, p99_ms, max_ms;
    double throughput_rps;
    double gauge[TIDE_GAUGE_COUNT], gauge_max[TIDE_GAUGE_COUNT];
    bool complete;         /* nothing of it is open */
    bool corrected;        /* events were stored after it was finished */
    double *quantile_ms;   /* one per asked quantile; NULL when none is asked */
    struct tide_hist hist; /* empty unless asked for */
};

struct tide_history_view {
    int64_t from_s, to_s, step_s;
    const char *tier;
    bool closed;              /* every interval of the range is finished */
    struct tide_point *point; /* newest first */
    size_t points;
    bool more;
    int64_t before_s; /* when more: where the next page begins */
};

/* Returns  TIDE_NOT_FOUND  no such module
 *          TIDE_USAGE      from, to or step are off; err says how, its first word names the
 * parameter */
enum tide_rc tide_query_history(struct tide_query *query, const struct tide_history_ask *ask,
                                struct tide_history_view *ret, struct tide_err *err);
void tide_history_view_fini(struct tide_history_view *view);

/* ---- for Prometheus ---- */

/* More modules than this get no series of their own; the fleet's figures always cover all. */
#define TIDE_SERIES_MAX 10000

/* Upper bounds of the exported latency histogram: 2^8 .. 2^26 us, which are bounds of our own
 * buckets, so the counts are exact. */
#define TIDE_SERIES_LE_FIRST 8
#define TIDE_SERIES_LES      19

struct tide_series {
    struct tide_module_line line; /* figures.total, failed, errors: lifetime */
    uint64_t le[TIDE_SERIES_LES]; /* cumulative, lifetime */
    uint64_t samples, sum_us;     /* lifetime */
};

struct tide_series_view {
    struct tide_fleet_view fleet; /* no lines */
    struct tide_series *series;   /* in order of module ids */
    size_t count;
    struct tide_ledger ledger;
};

enum tide_rc tide_query_series(struct tide_query *query, struct tide_series_view *ret,
                               struct tide_err *err);
void tide_series_view_fini(struct tide_series_view *view);

/* ---- the books and the daemon itself ---- */

enum tide_rc tide_query_ledger(struct tide_query *query, struct tide_ledger *ret,
                               struct tide_err *err);

struct tide_self_view {
    enum tide_store_state state;
    struct tide_store_stats stats;
};
void tide_query_self(struct tide_query *query, struct tide_self_view *ret);

/* The bounds of a window: the interval of the store, and raw retention (0 = for ever). */
struct tide_window_bounds {
    uint32_t min_s;
    int64_t max_s;
};
struct tide_window_bounds tide_query_window_bounds(const struct tide_query *query);

#endif
