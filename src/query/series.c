/* series - what Prometheus scrapes: the fleet, and for each module its lifetime counters, its
 * lifetime latency histogram cut to bounds that are bounds of our own buckets, and its current
 * gauges.
 */
#include "current.h"

#include <stdlib.h>
#include <string.h>

static void cut_histogram(const struct tide_hist *hist, struct tide_series *series)
{
    uint64_t sum = 0;
    unsigned at = 0;

    for (unsigned le = 0; le < TIDE_SERIES_LES; le++) {
        unsigned last =
            (TIDE_SERIES_LE_FIRST + le) * TIDE_HIST_SUB; /* its upper bound is 2^(8 + le) us */

        for (; at < hist->len && hist->first + at <= last; at++)
            sum += hist->count[at];
        series->le[le] = sum;
    }
}

static enum tide_rc take_series(void *arg, const struct tide_module *module,
                                struct tide_module_line *line)
{
    struct tide_series_view *view = arg;
    struct tide_series *series;

    if (module->id > TIDE_SERIES_MAX)
        return TIDE_OK;
    series = &view->series[view->count++];
    series->line = *line;
    line->name = NULL;
    line->health.reason = NULL;
    series->samples = module->total->tally.samples;
    series->sum_us = module->total->tally.sum_us;
    cut_histogram(&module->total->hist, series);
    return TIDE_OK;
}

enum tide_rc tide_query_series(struct tide_query *query, struct tide_series_view *ret,
                               struct tide_err *err)
{
    struct tide_current current;
    uint32_t modules = 0;
    enum tide_rc rc;

    memset(ret, 0, sizeof(*ret));
    rc = tide_current_open(&current, query, 0, err);
    if (rc == TIDE_OK) {
        modules = current.info->modules;
        if (modules > TIDE_SERIES_MAX)
            modules = TIDE_SERIES_MAX;
        ret->series = calloc(modules ? modules : 1, sizeof(*ret->series));
        rc = ret->series ? TIDE_OK : TIDE_NO_MEMORY;
    }
    if (rc == TIDE_OK) {
        ret->ledger = current.info->ledger;
        rc = tide_current_fleet(&current, take_series, ret, &ret->fleet, err);
    }
    tide_current_close(&current);
    if (rc)
        tide_series_view_fini(ret);
    return rc;
}

void tide_series_view_fini(struct tide_series_view *view)
{
    for (size_t i = 0; i < view->count; i++)
        tide_module_line_fini(&view->series[i].line);
    free(view->series);
    view->series = NULL;
    view->count = 0;
}
