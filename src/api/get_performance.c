/* GET /api/v3/metrics/performance: latency, throughput, resources, and the slowest modules. */
#include "routes.h"
#include "views.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    struct tide_fleet_view view;
    const struct tide_figures *figures = &view.figures;
    enum tide_rc rc =
        tide_query_performance(call->query, call->params->window_s, &view, &reply->err);

    if (rc)
        return rc;
    tide_json_object(json, "performance");
    tide_json_ms(json, "average_response_time_ms", figures->mean_ms);
    tide_json_ms(json, "p50_response_time_ms", figures->p50_ms);
    tide_json_ms(json, "p95_response_time_ms", figures->p95_ms);
    tide_json_ms(json, "p99_response_time_ms", figures->p99_ms);
    tide_json_share(json, "overall_throughput_rps", figures->throughput_rps);
    tide_json_fleet_gauges(json, figures);
    tide_json_time(json, "timestamp", call->now_us);
    tide_json_array(json, "slowest_modules");
    for (size_t i = 0; i < view.lines; i++) {
        tide_json_object(json, NULL);
        tide_json_text(json, "module_id", view.line[i].name);
        tide_json_ms(json, "p95_response_time_ms", view.line[i].figures.p95_ms);
        tide_json_end(json);
    }
    tide_json_end(json);
    tide_json_end(json);
    tide_fleet_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_performance = {
    .path = "/api/v3/metrics/performance",
    .summary = "Latency, throughput and resources of the fleet, and the slowest modules",
    .params = {.allowed = TIDE_PARAM(WINDOW)},
    .serve = serve,
};
