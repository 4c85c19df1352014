/* current - one pass over the snapshot, newest stage first, into one or two records a module. See
 * current.h for the picture.
 */
#include "current.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"
#include "tidemark/tier.h"

#define FUTURE_MAX_S \
    3600 /* the most that aggregation.future_s allows: no interval lies further ahead */

/* ---- recent records ---- */

static void record_free(struct tide_record *record)
{
    if (!record)
        return;
    tide_record_fini(record);
    free(record);
}

void tide_recent_fini(struct tide_recent *recent)
{
    record_free(recent->window);
    record_free(recent->older);
    recent->window = recent->older = NULL;
}

/* Whether a module needs the records of a stage, and then all of them; stages are asked for newest
 * first. */
static bool recent_wants(const struct tide_recent *recent, unsigned stage)
{
    return !recent->left_out && (stage <= recent->stage || recent->requests < TIDE_JUDGE_REQUESTS);
}

static bool recent_take(struct tide_recent *recent, unsigned stage,
                        const struct tide_record *record)
{
    struct tide_record **into = stage == 0 ? &recent->window : &recent->older;

    if (!*into) {
        *into = malloc(sizeof(**into));
        if (!*into)
            return false;
        tide_record_init(*into);
    }
    tide_record_merge(*into, record);
    recent->stage = (uint8_t)stage;
    recent->requests += record->tally.requests;
    return true;
}

/* ---- the pass ---- */

enum tide_rc tide_current_open(struct tide_current *current, struct tide_query *query,
                               uint32_t window_s, struct tide_err *err)
{
    enum tide_rc rc;
    uint32_t window, interval;

    memset(current, 0, sizeof(*current));
    current->query = query;
    current->windowed = window_s != 0;
    rc = tide_snapshot_open(query->store, &current->snapshot, err);
    if (rc)
        return rc;
    current->rules = tide_rules_take(query);
    current->info = tide_snapshot_info(current->snapshot);
    /* After the snapshot, so that nothing in it can be younger than now. */
    current->now_us = tide_clock_wall_us();
    interval = current->info->interval_s;
    window = window_s ? window_s : query->cfg.window_s;
    for (;;) {
        /* An interval is open for grace_s after its end, and every open one is covered. */
        int64_t back_s = window > query->cfg.grace_s ? window : query->cfg.grace_s;
        int64_t from_s =
            tide_floor_s(tide_floor_s(current->now_us, 1000000) / 1000000 - back_s, interval);

        assert(current->stages < TIDE_JUDGE_STAGES);
        current->stage_window_s[current->stages] = window;
        current->stage_from_s[current->stages++] = from_s > 0 ? from_s : 0;
        if (window >= TIDE_JUDGE_MAX_S)
            break;
        window = window * 2 < TIDE_JUDGE_MAX_S ? window * 2 : TIDE_JUDGE_MAX_S;
    }
    current->to_s = tide_floor_s(current->now_us / 1000000, interval) + interval + FUTURE_MAX_S;
    return TIDE_OK;
}

void tide_current_close(struct tide_current *current)
{
    if (current->recent)
        for (uint32_t i = 0; i < current->info->modules; i++)
            tide_recent_fini(&current->recent[i]);
    free(current->recent);
    current->recent = NULL;
    tide_snapshot_close(current->snapshot);
    current->snapshot = NULL;
    if (current->rules)
        tide_rules_put(current->query, current->rules);
    current->rules = NULL;
}

struct pass {
    struct tide_current *current;
    struct tide_recent *one; /* of a walk over one module */
    unsigned stage;
    enum tide_rc rc;
};

/* What lies between the windows of two stages. */
static struct tide_span stage_span(const struct tide_current *current, unsigned stage)
{
    return (struct tide_span){.from_s = current->stage_from_s[stage],
                              .to_s = stage == 0 ? current->to_s : current->stage_from_s[stage - 1],
                              .coarsest = TIDE_TIER_1D};
}

static bool sweep_want(void *arg, uint32_t module, int64_t start_s)
{
    struct pass *pass = arg;

    (void)start_s;
    assert(module >= 1 && module <= pass->current->info->modules);
    return recent_wants(&pass->current->recent[module - 1], pass->stage);
}

static bool sweep_take(void *arg, uint32_t module, int64_t start_s,
                       const struct tide_record *record, unsigned flags)
{
    struct pass *pass = arg;

    (void)start_s;
    (void)flags;
    if (!recent_take(&pass->current->recent[module - 1], pass->stage, record))
        pass->rc = TIDE_NO_MEMORY;
    return pass->rc == TIDE_OK;
}

static bool walk_take(void *arg, uint32_t module, int64_t start_s, const struct tide_record *record,
                      unsigned flags)
{
    struct pass *pass = arg;

    (void)module;
    (void)start_s;
    (void)flags;
    if (!recent_take(pass->one, pass->stage, record))
        pass->rc = TIDE_NO_MEMORY;
    return pass->rc == TIDE_OK;
}

/* Whether any module needs the stage. */
static bool anyone_wants(const struct tide_current *current, unsigned stage)
{
    for (uint32_t i = 0; i < current->info->modules; i++)
        if (recent_wants(&current->recent[i], stage))
            return true;
    return false;
}

enum tide_rc tide_current_sweep(struct tide_current *current, struct tide_err *err)
{
    struct pass pass = {.current = current};
    enum tide_rc rc = TIDE_OK;

    if (current->info->modules == 0)
        return TIDE_OK;
    if (!current->recent) {
        current->recent = calloc(current->info->modules, sizeof(*current->recent));
        if (!current->recent)
            return TIDE_NO_MEMORY;
    }
    for (; pass.stage < current->stages && anyone_wants(current, pass.stage); pass.stage++) {
        struct tide_span span = stage_span(current, pass.stage);

        rc = tide_snapshot_sweep_range(current->snapshot, &span, sweep_want, sweep_take, &pass);
        if (rc == TIDE_OK)
            rc = pass.rc;
        if (rc) {
            tide_err_wrap(err, "query: sweep of %u modules", current->info->modules);
            break;
        }
    }
    return rc;
}

enum tide_rc tide_current_walk(struct tide_current *current, uint32_t id,
                               struct tide_recent *recent, struct tide_err *err)
{
    struct pass pass = {.current = current, .one = recent};
    enum tide_rc rc = TIDE_OK;

    for (; pass.stage < current->stages && recent_wants(recent, pass.stage); pass.stage++) {
        struct tide_span span = stage_span(current, pass.stage);

        rc = tide_snapshot_range(current->snapshot, id, &span, walk_take, &pass);
        if (rc == TIDE_OK)
            rc = pass.rc;
        if (rc) {
            tide_err_wrap(err, "query: walk of module %u", id);
            break;
        }
    }
    return rc;
}

/* ---- figures ---- */

double tide_gauge_shown(enum tide_gauge gauge, const struct tide_gauge_state *state)
{
    const struct tide_gauge_info *info = &tide_gauge_info[gauge];

    if (state->count == 0)
        return NAN;
    if (info->gather == TIDE_GATHER_MEAN)
        return (double)state->sum / (double)state->count / info->scale;
    return (double)state->last / info->scale;
}

double tide_gauge_shown_max(enum tide_gauge gauge, const struct tide_gauge_state *state)
{
    if (state->count == 0)
        return NAN;
    return (double)state->max / tide_gauge_info[gauge].scale;
}

/* From the first covered interval, or the first event ever if that is later, to now; at least one
 * interval. */
static double rate_seconds(const struct tide_current *current, int64_t from_s, int64_t first_us)
{
    double interval_s = current->info->interval_s;
    int64_t from_us = from_s * 1000000;
    double seconds;

    if (first_us != INT64_MAX && first_us > from_us)
        from_us = first_us;
    seconds = (double)(current->now_us - from_us) / 1e6;
    return seconds > interval_s ? seconds : interval_s;
}

const double tide_usual_quantile[TIDE_USUAL_QUANTILES] = {0.50, 0.95, 0.99};

/* The part that a module and the fleet compute alike; gauges and in-flight are the caller's. */
static void figures_of(const struct tide_current *current, const struct tide_tally *life,
                       const struct tide_record *window, struct tide_figures *ret)
{
    const struct tide_tally *counted = current->windowed ? &window->tally : life;
    const struct tide_tally *tally = &window->tally;
    double usual[TIDE_USUAL_QUANTILES];

    ret->total = counted->requests;
    ret->failed = counted->failed;
    ret->errors = counted->errors;
    ret->window_requests = tally->requests;
    ret->error_rate = tide_record_error_rate(window);
    ret->success_rate =
        tally->requests ? (double)(tally->requests - tally->failed) / (double)tally->requests : NAN;
    ret->samples = tally->samples;
    ret->mean_ms = tide_record_mean_us(window) / 1e3;
    tide_record_quantiles_us(window, tide_usual_quantile, TIDE_USUAL_QUANTILES, usual);
    ret->p50_ms = usual[0] / 1e3;
    ret->p95_ms = usual[1] / 1e3;
    ret->p99_ms = usual[2] / 1e3;
    ret->min_ms = tally->samples ? (double)tally->min_us / 1e3 : NAN;
    ret->max_ms = tally->samples ? (double)tally->max_us / 1e3 : NAN;
    ret->throughput_rps =
        (double)tally->requests / rate_seconds(current, current->stage_from_s[0], life->first_us);
    ret->first_us = life->first_us == INT64_MAX ? 0 : life->first_us;
    ret->last_us = life->last_us;
    ret->window_s = current->stage_window_s[0];
}

void tide_current_figures(const struct tide_current *current, const struct tide_module *module,
                          const struct tide_recent *recent, struct tide_figures *ret)
{
    struct tide_record nothing;
    const struct tide_record *window = recent->window;

    if (!window) {
        tide_record_init(&nothing);
        window = &nothing;
    }
    figures_of(current, &module->total->tally, window, ret);
    ret->in_flight = tide_record_in_flight(window);
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        struct tide_gauge_state state = tide_record_gauge(window, (enum tide_gauge)g);

        ret->gauge[g] = tide_gauge_shown((enum tide_gauge)g, &state);
    }
}

/* ---- judging ---- */

static double micro(double value)
{
    return round(value * 1e6) / 1e6;
}

/* Rounds the penalties as they will be printed and takes the score from the rounded ones. */
static enum tide_rc settle(const struct tide_verdict *verdict, struct tide_judgement *ret)
{
    double sum = 0, cap = NAN;
    struct tide_reason reason[TIDE_REASONS_MAX];
    size_t count = 0;

    ret->status = verdict->status;
    ret->score = NAN;
    ret->reasons = 0;
    ret->reason = NULL;
    if (verdict->status == TIDE_NO_DATA)
        return TIDE_OK;
    for (size_t i = 0; i < verdict->reasons; i++) {
        struct tide_reason one = verdict->reason[i];

        /* A self report lowers the score to a fixed level: its penalty is what the others leave to
         * it. */
        if (isnan(one.value)) {
            cap = micro(verdict->score);
            reason[count++] = one;
            continue;
        }
        one.penalty = micro(one.penalty);
        if (one.penalty <= 0)
            continue;
        sum += one.penalty;
        reason[count++] = one;
    }
    ret->score = micro(100 - sum);
    if (!isnan(cap)) {
        for (size_t i = 0; i < count; i++)
            if (isnan(reason[i].value))
                reason[i].penalty = micro(ret->score - cap);
        ret->score = cap;
    }
    if (count == 0)
        return TIDE_OK;
    ret->reason = malloc(count * sizeof(*reason));
    if (!ret->reason)
        return TIDE_NO_MEMORY;
    memcpy(ret->reason, reason, count * sizeof(*reason));
    ret->reasons = count;
    return TIDE_OK;
}

enum tide_rc tide_current_judge(const struct tide_current *current,
                                const struct tide_module *module, struct tide_recent *recent,
                                struct tide_judgement *ret)
{
    struct tide_thresholds thresholds =
        tide_health_thresholds(&current->rules->health, module->name);
    bool enough = recent->requests >= TIDE_JUDGE_REQUESTS;
    unsigned stage = enough ? recent->stage : current->stages - 1;
    struct tide_health_input input = {.stopped = tide_tally_stopped(&module->total->tally)};
    const struct tide_record *judged = recent->window;
    struct tide_verdict verdict;

    if (recent->older) {
        if (recent->window)
            tide_record_merge(recent->older, recent->window);
        judged = recent->older;
    }
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
        input.value[signal] = NAN;
    if (judged && !tide_record_empty(judged)) {
        static const struct {
            enum tide_signal signal;
            enum tide_gauge gauge;
        } by_gauge[] = {{TIDE_SIGNAL_CPU, TIDE_GAUGE_CPU},
                        {TIDE_SIGNAL_GOROUTINES, TIDE_GAUGE_GOROUTINES},
                        {TIDE_SIGNAL_MEMORY, TIDE_GAUGE_MEMORY}};

        input.has_data = true;
        input.self_unhealthy = judged->tally.health_us != 0 && !judged->tally.healthy;
        input.value[TIDE_SIGNAL_ERROR_RATE] = tide_record_error_rate(judged);
        /* In whole microseconds: a module that always takes exactly the threshold is at it. */
        input.value[TIDE_SIGNAL_P95] = round(tide_record_quantile_us(judged, 0.95)) / 1e3;
        input.value[TIDE_SIGNAL_THROUGHPUT] =
            (double)judged->tally.requests /
            rate_seconds(current, current->stage_from_s[stage], module->total->tally.first_us);
        for (size_t i = 0; i < sizeof(by_gauge) / sizeof(by_gauge[0]); i++) {
            struct tide_gauge_state state = tide_record_gauge(judged, by_gauge[i].gauge);

            input.value[by_gauge[i].signal] = tide_gauge_shown(by_gauge[i].gauge, &state);
        }
    }
    tide_health_judge(&thresholds, &input, &verdict);
    ret->judged_window_s = current->stage_window_s[stage];
    return settle(&verdict, ret);
}

/* ---- lines and the fleet ---- */

void tide_module_line_fini(struct tide_module_line *line)
{
    free(line->name);
    free(line->health.reason);
    line->name = NULL;
    line->health.reason = NULL;
}

enum tide_rc tide_current_line(struct tide_current *current, const struct tide_module *module,
                               struct tide_module_line *ret)
{
    struct tide_recent *recent = &current->recent[module->id - 1];
    enum tide_rc rc;

    tide_current_figures(current, module, recent, &ret->figures);
    rc = tide_current_judge(current, module, recent, &ret->health);
    tide_recent_fini(recent);
    ret->name = rc ? NULL : strdup(module->name);
    if (!ret->name) {
        free(rc ? NULL : ret->health.reason);
        ret->health.reason = NULL;
        return TIDE_NO_MEMORY;
    }
    return TIDE_OK;
}

enum tide_rc tide_lines_add(struct tide_lines *lines, struct tide_module_line *line)
{
    if (lines->count == lines->capacity) {
        size_t capacity = lines->capacity ? lines->capacity * 2 : 64;
        struct tide_module_line *grown = realloc(lines->line, capacity * sizeof(*grown));

        if (!grown)
            return TIDE_NO_MEMORY;
        lines->line = grown;
        lines->capacity = capacity;
    }
    lines->line[lines->count++] = *line;
    line->name = NULL;
    line->health.reason = NULL;
    return TIDE_OK;
}

void tide_lines_fini(struct tide_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        tide_module_line_fini(&lines->line[i]);
    free(lines->line);
    *lines = (struct tide_lines){0};
}

static void fleet_add_record(struct tide_fleet *fleet, const struct tide_record *window)
{
    tide_tally_merge(&fleet->sum.tally, &window->tally);
    tide_hist_merge(&fleet->sum.hist, &window->hist);
    /* Per module: answers of one module must not hide requests that hang in another. */
    fleet->in_flight += tide_record_in_flight(window);
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        struct tide_gauge_state state = tide_record_gauge(window, (enum tide_gauge)g);

        tide_gauge_gather((enum tide_gauge)g, &fleet->gauge[g], &state);
    }
    fleet->view.active += !tide_record_empty(window);
}

static void fleet_add_line(struct tide_fleet *fleet, const struct tide_module_line *line)
{
    fleet->view.by_status[line->health.status]++;
    if (line->health.status != TIDE_NO_DATA) {
        double weight = line->figures.window_requests ? (double)line->figures.window_requests : 1;

        fleet->weighted_score += weight * line->health.score;
        fleet->weight += weight;
    }
}

enum tide_rc tide_current_fleet(struct tide_current *current, tide_line_fn *take, void *arg,
                                struct tide_fleet_view *ret, struct tide_err *err)
{
    const struct tide_record *life = tide_snapshot_fleet_total(current->snapshot);
    struct tide_fleet fleet = {0};
    struct tide_figures *figures = &fleet.view.figures;
    enum tide_rc rc;

    tide_record_init(&fleet.sum);
    rc = tide_current_sweep(current, err);
    for (uint32_t id = 1; id <= current->info->modules && rc == TIDE_OK; id++) {
        struct tide_module module;
        struct tide_module_line line;

        tide_snapshot_module(current->snapshot, id, &module);
        if (current->recent[id - 1].window)
            fleet_add_record(&fleet, current->recent[id - 1].window);
        rc = tide_current_line(current, &module, &line);
        if (rc)
            break;
        fleet_add_line(&fleet, &line);
        if (take)
            rc = take(arg, &module, &line);
        tide_module_line_fini(&line);
    }
    if (rc == TIDE_OK) {
        figures_of(current, &life->tally, &fleet.sum, figures);
        figures->in_flight = fleet.in_flight;
        for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
            figures->gauge[g] = tide_gauge_shown((enum tide_gauge)g, &fleet.gauge[g]);
        fleet.view.modules = current->info->modules;
        fleet.view.overall = tide_health_overall(
            fleet.view.by_status[TIDE_HEALTHY], fleet.view.by_status[TIDE_DEGRADED],
            fleet.view.by_status[TIDE_CRITICAL], figures->error_rate,
            &current->rules->health.defaults);
        fleet.view.score = fleet.weight > 0 ? fleet.weighted_score / fleet.weight : NAN;
        *ret = fleet.view;
    } else if (rc == TIDE_NO_MEMORY) {
        tide_err_set(err, "query: no memory for %u modules", current->info->modules);
    }
    tide_record_fini(&fleet.sum);
    return rc;
}

enum tide_rc tide_current_fleet_lines(struct tide_query *query, uint32_t window_s,
                                      tide_line_fn *take, struct tide_fleet_view *ret,
                                      struct tide_err *err)
{
    struct tide_current current;
    struct tide_lines lines = {0};
    enum tide_rc rc = tide_current_open(&current, query, window_s, err);

    if (rc == TIDE_OK)
        rc = tide_current_fleet(&current, take, &lines, ret, err);
    tide_current_close(&current);
    if (rc) {
        tide_lines_fini(&lines);
        return rc;
    }
    ret->line = lines.line;
    ret->lines = lines.count;
    return TIDE_OK;
}

int tide_trouble_order(const struct tide_module_line *a, const struct tide_module_line *b)
{
    static const int rank[TIDE_STATUS_COUNT] = {
        [TIDE_CRITICAL] = 0, [TIDE_DEGRADED] = 1, [TIDE_HEALTHY] = 2, [TIDE_NO_DATA] = 3};

    if (a->health.status != b->health.status)
        return rank[a->health.status] - rank[b->health.status];
    if (a->health.status != TIDE_NO_DATA && a->health.score != b->health.score)
        return a->health.score < b->health.score ? -1 : 1;
    return strcmp(a->name, b->name);
}
