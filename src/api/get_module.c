/* GET /api/v3/metrics/module?module_id=X: all that is known of one module. */
#include "routes.h"

#include <string.h>

#include "views.h"

static void put_slowest(struct tide_json *json, const struct tide_slowest *slowest)
{
    if (slowest->len == 0) {
        tide_json_null(json, "slowest");
        return;
    }
    tide_json_object(json, "slowest");
    tide_json_bytes(json, "correlation_id", slowest->id, slowest->len);
    tide_json_ms(json, "duration_ms", (double)slowest->us / 1e3);
    tide_json_end(json);
}

static void put_customs(struct tide_json *json, const struct tide_customs *customs)
{
    tide_json_object(json, "custom");
    for (unsigned i = 0; i < customs->count; i++) {
        const struct tide_custom *custom = &customs->item[i];
        char name[TIDE_METRIC_NAME_MAX + 1];

        memcpy(name, custom->name, custom->len);
        name[custom->len] = '\0';
        tide_json_object(json, name);
        tide_json_uint(json, "count", custom->count);
        tide_json_millionths(json, "sum", custom->sum);
        tide_json_millionths(json, "min", custom->min);
        tide_json_millionths(json, "max", custom->max);
        tide_json_millionths(json, "last", custom->last);
        tide_json_end(json);
    }
    tide_json_end(json);
}

static void put_module(struct tide_json *json, const struct tide_module_view *view)
{
    const struct tide_figures *figures = &view->figures;

    tide_json_text(json, "status", tide_status_name(view->health.status));
    tide_json_share(json, "health_score", view->health.score);
    tide_json_reasons(json, &view->health);
    tide_json_uint(json, "judged_window_s", view->health.judged_window_s);
    tide_json_uint(json, "total_requests", figures->total);
    tide_json_uint(json, "successful_requests", tide_successful(figures));
    tide_json_uint(json, "failed_requests", figures->failed);
    tide_json_uint(json, "errors", figures->errors);
    tide_json_uint(json, "window_requests", figures->window_requests);
    tide_json_share(json, "success_rate", figures->success_rate);
    tide_json_share(json, "error_rate", figures->error_rate);
    tide_json_ms(json, "average_response_time_ms", figures->mean_ms);
    tide_json_ms(json, "p50_response_time_ms", figures->p50_ms);
    tide_json_ms(json, "p95_response_time_ms", figures->p95_ms);
    tide_json_ms(json, "p99_response_time_ms", figures->p99_ms);
    tide_json_ms(json, "min_response_time_ms", figures->min_ms);
    tide_json_ms(json, "max_response_time_ms", figures->max_ms);
    tide_json_share(json, "throughput_rps", figures->throughput_rps);
    tide_json_real(json, "memory_usage_bytes", figures->gauge[TIDE_GAUGE_MEMORY], 0);
    tide_json_real(json, "cpu_usage_percent", figures->gauge[TIDE_GAUGE_CPU], 6);
    tide_json_real(json, "goroutines", figures->gauge[TIDE_GAUGE_GOROUTINES], 0);
    tide_json_real(json, "database_connections", figures->gauge[TIDE_GAUGE_DB_CONNECTIONS], 0);
    tide_json_uint(json, "in_flight", figures->in_flight);
    tide_json_uint(json, "restarts", view->restarts);
    tide_json_time(json, "first_seen", figures->first_us);
    tide_json_time(json, "last_updated", figures->last_us);
    tide_json_text(json, "last_error", view->last_error[0] ? view->last_error : NULL);
    put_slowest(json, &view->slowest);
    put_customs(json, &view->customs);
    tide_json_uint(json, "latency_samples", figures->samples);
    tide_json_share(json, "percentile_relative_error", TIDE_HIST_RELATIVE_ERROR);
}

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    const struct tide_params *params = call->params;
    struct tide_module_view view;
    enum tide_rc rc;

    if (params->module_len == 0) {
        tide_err_set(&reply->err, "module_id parameter is required");
        reply->code = "missing_parameter";
        return TIDE_USAGE;
    }
    rc = tide_query_module(call->query, params->module_id, params->module_len, params->window_s,
                           &view, &reply->err);
    if (rc)
        return rc;
    tide_json_text(&reply->json, "module_id", view.name);
    tide_json_object(&reply->json, "metrics");
    put_module(&reply->json, &view);
    tide_json_end(&reply->json);
    tide_module_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_module = {
    .path = "/api/v3/metrics/module",
    .summary = "All figures of one module",
    .params = {.allowed = TIDE_PARAM(MODULE_ID) | TIDE_PARAM(WINDOW)},
    .serve = serve,
};
