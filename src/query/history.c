/* history - points over a range, one per step that has any event.
 *
 * The snapshot gives the range newest first, in records of the coarsest tier that steps allow, and
 * those of one step are merged as they come, so a page costs what it shows and ends with the first
 * record beyond it. Merging is exact, so a point of any step is what a tier of that width would
 * hold, and an aggregate over a year is a few hundred days and their edges.
 *
 * Where the tier that a step asks for has expired, the whole answer is of the finest that is kept.
 */
#include "current.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"
#include "tidemark/tier.h"

struct build {
    const struct tide_history_ask *ask;
    struct tide_history_view *view;
    uint32_t grace_s;
    int64_t now_us;
    size_t capacity;
    struct tide_record bucket; /* the step that is being merged */
    int64_t bucket_s;
    bool filling;
    unsigned flags; /* of its intervals, or'ed */
    enum tide_rc rc;
};

/* The tier that a step is served from: the coarsest whose width divides it. The one place that
 * decides it. */
static enum tide_tier tier_of(int64_t step_s, uint32_t interval_s)
{
    int tier = TIDE_TIER_COUNT - 1;

    while (tier > TIDE_TIER_RAW && (tide_tier_info[tier].width_s <= interval_s ||
                                    step_s % tide_tier_info[tier].width_s != 0))
        tier--;
    return (enum tide_tier)tier;
}

static int64_t width_of(enum tide_tier tier, uint32_t interval_s)
{
    return tier == TIDE_TIER_RAW ? interval_s : tide_tier_info[tier].width_s;
}

/* The finest tier from `tier` on that is kept as far back as from_s, rounded down to its records;
 * if none is, the one that is kept longest. */
static enum tide_tier kept_tier(const struct tide_snapshot *snapshot, uint32_t module,
                                enum tide_tier tier, int64_t from_s)
{
    uint32_t interval_s = tide_snapshot_info(snapshot)->interval_s;
    enum tide_tier longest = tier;
    int64_t longest_s = INT64_MAX;

    for (int t = (int)tier; t < TIDE_TIER_COUNT; t++) {
        int64_t kept_s = tide_snapshot_kept_from(snapshot, module, (enum tide_tier)t);

        if (kept_s <= tide_floor_s(from_s, width_of((enum tide_tier)t, interval_s)))
            return (enum tide_tier)t;
        if (kept_s < longest_s) {
            longest = (enum tide_tier)t;
            longest_s = kept_s;
        }
    }
    return longest;
}

static int64_t steps_in(int64_t from_s, int64_t to_s, int64_t step_s)
{
    return (tide_ceil_s(to_s, step_s) - tide_floor_s(from_s, step_s)) / step_s;
}

/* The finest tier that gives at most `limit` points; the coarsest if none does. */
static int64_t default_step(int64_t from_s, int64_t to_s, uint32_t interval_s, uint32_t limit)
{
    int64_t step_s = interval_s;

    for (int tier = TIDE_TIER_5M; tier < TIDE_TIER_COUNT; tier++) {
        if (steps_in(from_s, to_s, step_s) <= limit)
            break;
        step_s = tide_tier_info[tier].width_s;
    }
    return step_s;
}

static int64_t floor_to_s(int64_t us)
{
    return tide_floor_s(us, 1000000) / 1000000;
}

static int64_t ceil_to_s(int64_t us)
{
    return tide_ceil_s(us, 1000000) / 1000000;
}

/* Fixes range, step and tier; *ret_coarsest is what the snapshot may answer with. */
static enum tide_rc fix_range(const struct tide_history_ask *ask,
                              const struct tide_snapshot *snapshot, uint32_t module,
                              struct tide_history_view *view, enum tide_tier *ret_coarsest,
                              struct tide_err *err)
{
    uint32_t interval_s = tide_snapshot_info(snapshot)->interval_s;
    int64_t from_s = floor_to_s(ask->from_us), to_s = ceil_to_s(ask->to_us);
    int64_t step_s = ask->step_s;
    enum tide_tier tier;

    if (ask->from_us >= ask->to_us) {
        tide_err_set(err, "from must be before to");
        return TIDE_USAGE;
    }
    if (step_s % interval_s != 0) {
        tide_err_set(err, "step must be a multiple of the interval, which is %us", interval_s);
        return TIDE_USAGE;
    }
    if (step_s == 0)
        step_s = ask->aggregate ? interval_s : default_step(from_s, to_s, interval_s, ask->limit);
    tier = kept_tier(snapshot, module, tier_of(step_s, interval_s), tide_floor_s(from_s, step_s));
    step_s = tide_ceil_s(step_s, width_of(tier, interval_s));
    view->from_s = tide_floor_s(from_s, step_s);
    view->to_s = tide_ceil_s(to_s, step_s);
    view->tier = tide_tier_info[tier].name;
    view->step_s = ask->aggregate ? view->to_s - view->from_s : step_s;
    *ret_coarsest = ask->aggregate ? TIDE_TIER_1D : tier;
    return TIDE_OK;
}

/* ---- points ---- */

static enum tide_rc add_point(struct build *build)
{
    const struct tide_history_ask *ask = build->ask;
    struct tide_history_view *view = build->view;
    const struct tide_record *record = &build->bucket;
    const struct tide_tally *tally = &record->tally;
    struct tide_point *point;
    int64_t end_s = build->bucket_s + view->step_s;
    double usual[TIDE_USUAL_QUANTILES] = {NAN, NAN, NAN};

    if (view->points == build->capacity) {
        size_t capacity = build->capacity ? build->capacity * 2 : 128;
        struct tide_point *grown = realloc(view->point, capacity * sizeof(*grown));

        if (!grown)
            return TIDE_NO_MEMORY;
        view->point = grown;
        build->capacity = capacity;
    }
    point = &view->point[view->points];
    memset(point, 0, sizeof(*point));
    if (ask->quantiles) {
        point->quantile_ms = malloc(ask->quantiles * sizeof(double));
        if (!point->quantile_ms)
            return TIDE_NO_MEMORY;
        tide_record_quantiles_us(record, ask->quantile, ask->quantiles, point->quantile_ms);
        for (size_t i = 0; i < ask->quantiles; i++)
            point->quantile_ms[i] /= 1e3;
    }
    if (ask->histogram)
        tide_hist_copy(&point->hist, &record->hist);
    if (!ask->no_percentiles)
        tide_record_quantiles_us(record, tide_usual_quantile, TIDE_USUAL_QUANTILES, usual);
    point->start_s = build->bucket_s;
    point->requests = tally->requests;
    point->failed = tally->failed;
    point->errors = tally->errors;
    point->mean_ms = tide_record_mean_us(record) / 1e3;
    point->min_ms = tally->samples ? (double)tally->min_us / 1e3 : NAN;
    point->p50_ms = usual[0] / 1e3;
    point->p95_ms = usual[1] / 1e3;
    point->p99_ms = usual[2] / 1e3;
    point->max_ms = tally->samples ? (double)tally->max_us / 1e3 : NAN;
    point->throughput_rps = (double)tally->requests / (double)view->step_s;
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        struct tide_gauge_state state = tide_record_gauge(record, (enum tide_gauge)g);

        point->gauge[g] = tide_gauge_shown((enum tide_gauge)g, &state);
        point->gauge_max[g] = tide_gauge_shown_max((enum tide_gauge)g, &state);
    }
    point->complete =
        !(build->flags & TIDE_PART_OPEN) && (end_s + build->grace_s) * 1000000 <= build->now_us;
    point->corrected = build->flags & TIDE_PART_CORRECTED;
    view->points++;
    return TIDE_OK;
}

static bool take_record(void *arg, uint32_t module, int64_t start_s,
                        const struct tide_record *record, unsigned flags)
{
    struct build *build = arg;
    struct tide_history_view *view = build->view;
    int64_t bucket_s = build->ask->aggregate ? view->from_s : tide_floor_s(start_s, view->step_s);

    (void)module;
    if (build->filling && bucket_s != build->bucket_s) {
        build->rc = add_point(build);
        build->filling = false;
        if (build->rc)
            return false;
    }
    if (!build->filling) {
        if (view->points == build->ask->limit) {
            view->more = true;
            view->before_s = build->bucket_s;
            return false;
        }
        tide_record_copy(&build->bucket, record);
        build->bucket_s = bucket_s;
        build->flags = flags;
        build->filling = true;
        return true;
    }
    tide_record_merge(&build->bucket, record);
    build->flags |= flags;
    return true;
}

enum tide_rc tide_query_history(struct tide_query *query, const struct tide_history_ask *ask,
                                struct tide_history_view *ret, struct tide_err *err)
{
    struct build build = {.ask = ask, .view = ret, .grace_s = query->cfg.grace_s};
    struct tide_snapshot *snapshot = NULL;
    struct tide_module module = {.id = TIDE_FLEET};
    struct tide_span span = {0};
    enum tide_rc rc;

    assert(ask->limit > 0 && ask->quantiles <= TIDE_QUANTILES_MAX);
    assert(!ask->no_percentiles || (!ask->histogram && !ask->quantiles));
    memset(ret, 0, sizeof(*ret));
    tide_record_init(&build.bucket);
    rc = tide_snapshot_open(query->store, &snapshot, err);
    if (rc)
        goto out;
    build.now_us = tide_clock_wall_us();
    if (ask->module)
        rc = tide_snapshot_find(snapshot, ask->module, ask->module_len, &module);
    if (rc == TIDE_OK || rc == TIDE_NOT_FOUND) { /* what is wrong with the question comes first */
        enum tide_rc asked = fix_range(ask, snapshot, module.id, ret, &span.coarsest, err);

        rc = asked ? asked : rc;
    }
    if (rc)
        goto out;
    ret->closed = (ret->to_s + build.grace_s) * 1000000 <= build.now_us;
    span.no_hist = ask->no_percentiles;
    span.from_s = ret->from_s;
    span.merged = ask->aggregate;
    span.to_s = ret->to_s < ask->before_s ? ret->to_s : ask->before_s;
    rc = tide_snapshot_range(snapshot, module.id, &span, take_record, &build);
    if (rc == TIDE_OK)
        rc = build.rc;
    if (rc == TIDE_OK && build.filling)
        rc = add_point(&build);
    if (rc)
        tide_err_wrap(err, "query: history of module %u", module.id);
    for (size_t i = 0; i < ret->points; i++)
        ret->closed = ret->closed && ret->point[i].complete;
out:
    tide_snapshot_close(snapshot);
    tide_record_fini(&build.bucket);
    if (rc)
        tide_history_view_fini(ret);
    return rc;
}

void tide_history_view_fini(struct tide_history_view *view)
{
    for (size_t i = 0; i < view->points; i++) {
        free(view->point[i].quantile_ms);
        tide_hist_fini(&view->point[i].hist);
    }
    free(view->point);
    view->point = NULL;
    view->points = 0;
}
