/* The current window of one, some or all modules: the shared heart of every question but history.
 *
 * A module is judged on its window; with fewer than TIDE_JUDGE_REQUESTS requests in it the window
 * is doubled, up to one hour. The windows nest, so one newest-first pass serves them all: stage 0
 * is the window itself, stage k lies between doubled window k - 1 and k, each is a span of its own,
 * and a module that has enough at the end of a stage is not even decoded further back.
 */
#ifndef QUERY_CURRENT_H
#define QUERY_CURRENT_H

#include <pthread.h>
#include "tidemark/query.h"

#define TIDE_JUDGE_REQUESTS 10
#define TIDE_JUDGE_MAX_S    3600
#define TIDE_JUDGE_STAGES   16 /* 1 s doubled up to an hour: 13 */

/* Thresholds are replaced while questions run: a question keeps the set it began with. */
struct tide_rules {
    unsigned holders; /* under the query's lock */
    struct tide_health_rules health;
};

struct tide_query {
    struct tide_query_cfg cfg; /* its health is empty: see rules */
    struct tide_store *store;
    uint32_t interval_s;
    pthread_mutex_t lock;
    struct tide_rules *rules;
};

struct tide_rules *tide_rules_take(struct tide_query *query);
void tide_rules_put(struct tide_query *query, struct tide_rules *rules); /* NULL is fine */

/* One module during a question. Records are made when the first interval of theirs is met. */
struct tide_recent {
    struct tide_record *window;
    struct tide_record *older; /* what the judged window has beyond the window */
    uint64_t requests;         /* in both */
    uint8_t stage;             /* the oldest that is being taken */
    bool left_out;             /* nobody asks for it */
};

void tide_recent_fini(struct tide_recent *recent);

struct tide_current {
    struct tide_query *query;
    struct tide_rules *rules;
    struct tide_snapshot *snapshot;
    const struct tide_snapshot_info *info;
    int64_t now_us;
    bool windowed; /* `window=` was given: no lifetime figures */
    unsigned stages;
    uint32_t stage_window_s[TIDE_JUDGE_STAGES];
    int64_t stage_from_s[TIDE_JUDGE_STAGES]; /* first covered interval */
    int64_t to_s;
    struct tide_recent *recent; /* [info->modules], by id - 1 */
};

/* Opens the snapshot and fixes the windows. window_s 0: the configured one. close accepts
 * half-open. */
enum tide_rc tide_current_open(struct tide_current *current, struct tide_query *query,
                               uint32_t window_s, struct tide_err *err);
void tide_current_close(struct tide_current *current);

/* Fills current->recent for all modules that are not left out. */
enum tide_rc tide_current_sweep(struct tide_current *current, struct tide_err *err);

/* Fills one recent. */
enum tide_rc tide_current_walk(struct tide_current *current, uint32_t id,
                               struct tide_recent *recent, struct tide_err *err);

/* A view of one module's figures; pure. */
void tide_current_figures(const struct tide_current *current, const struct tide_module *module,
                          const struct tide_recent *recent, struct tide_figures *ret);

/* Judges it; merges the window into the older part on the way, so take the figures first. */
enum tide_rc tide_current_judge(const struct tide_current *current,
                                const struct tide_module *module, struct tide_recent *recent,
                                struct tide_judgement *ret);

/* ---- small pure parts, shared with history ---- */

/* p50, p95, p99: what every answer has. */
#define TIDE_USUAL_QUANTILES 3
extern const double tide_usual_quantile[TIDE_USUAL_QUANTILES];

/* A gauge as people want it: its mean (cpu) or its last value, unscaled; NAN without a sample. */
double tide_gauge_shown(enum tide_gauge gauge, const struct tide_gauge_state *state);
double tide_gauge_shown_max(enum tide_gauge gauge, const struct tide_gauge_state *state);

/* ---- the fleet, module by module ---- */

struct tide_fleet {
    struct tide_record sum; /* tallies and histograms of the windows */
    struct tide_gauge_state gauge[TIDE_GAUGE_COUNT];
    uint64_t in_flight;
    double weighted_score, weight;
    struct tide_fleet_view view;
};

/* Called with every line of the fleet; takes over line->name and line->health.reason by setting
 * them NULL. */
typedef enum tide_rc tide_line_fn(void *arg, const struct tide_module *module,
                                  struct tide_module_line *line);

/* Sweeps, judges every module and adds it up. take may be NULL. */
enum tide_rc tide_current_fleet(struct tide_current *current, tide_line_fn *take, void *arg,
                                struct tide_fleet_view *ret, struct tide_err *err);

/* One line of a module that was swept; frees its recent records. */
enum tide_rc tide_current_line(struct tide_current *current, const struct tide_module *module,
                               struct tide_module_line *ret);
void tide_module_line_fini(struct tide_module_line *line);

/* A growing list of lines. */
struct tide_lines {
    struct tide_module_line *line;
    size_t count, capacity;
};

/* Moves a line to the end of the list. */
enum tide_rc tide_lines_add(struct tide_lines *lines, struct tide_module_line *line);
void tide_lines_fini(struct tide_lines *lines);

/* One question from its opening to its end, for the fleet and the lines that take, whose arg is a
 * struct tide_lines, puts into the view. */
enum tide_rc tide_current_fleet_lines(struct tide_query *query, uint32_t window_s,
                                      tide_line_fn *take, struct tide_fleet_view *ret,
                                      struct tide_err *err);

/* 0: same place; critical before degraded before healthy before no_data, then the lower score, then
 * the name. */
int tide_trouble_order(const struct tide_module_line *a, const struct tide_module_line *b);

#endif
