/* GET /api/v3/metrics/aggregated: all figures of the fleet. */
#include "routes.h"
#include "views.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    struct tide_fleet_view view;
    const struct tide_figures *figures = &view.figures;
    enum tide_rc rc = tide_query_summary(call->query, call->params->window_s, &view, &reply->err);

    if (rc)
        return rc;
    tide_json_object(json, "metrics");
    tide_json_summary(json, &view);
    tide_json_uint(json, "successful_requests", tide_successful(figures));
    tide_json_uint(json, "failed_requests", figures->failed);
    tide_json_ms(json, "p50_response_time_ms", figures->p50_ms);
    tide_json_ms(json, "min_response_time_ms", figures->min_ms);
    tide_json_ms(json, "max_response_time_ms", figures->max_ms);
    tide_json_fleet_gauges(json, figures);
    tide_json_uint(json, "in_flight", figures->in_flight);
    tide_json_uint(json, "latency_samples", figures->samples);
    tide_json_share(json, "percentile_relative_error", TIDE_HIST_RELATIVE_ERROR);
    tide_json_end(json);
    tide_fleet_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_aggregated = {
    .path = "/api/v3/metrics/aggregated",
    .summary = "All figures of the fleet",
    .params = {.allowed = TIDE_PARAM(WINDOW)},
    .serve = serve,
};
