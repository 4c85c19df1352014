/* GET /api/v3/metrics/health: who is in trouble and why. */
#include "routes.h"
#include "views.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    struct tide_fleet_view view;
    const struct tide_figures *figures = &view.figures;
    enum tide_rc rc = tide_query_health(call->query, call->params->window_s, &view, &reply->err);

    if (rc)
        return rc;
    tide_json_object(json, "health");
    tide_json_text(json, "overall_health", tide_status_name(view.overall));
    tide_json_share(json, "health_score", view.score);
    tide_json_uint(json, "degraded_modules", view.by_status[TIDE_DEGRADED]);
    tide_json_uint(json, "critical_modules", view.by_status[TIDE_CRITICAL]);
    tide_json_share(json, "overall_success_rate", figures->success_rate);
    tide_json_share(json, "overall_error_rate", figures->error_rate);
    tide_json_uint(json, "total_requests", figures->total);
    tide_json_uint(json, "successful_requests", tide_successful(figures));
    tide_json_uint(json, "failed_requests", figures->failed);
    tide_json_time(json, "timestamp", call->now_us);
    tide_json_array(json, "modules");
    for (size_t i = 0; i < view.lines; i++) {
        tide_json_object(json, NULL);
        tide_json_text(json, "module_id", view.line[i].name);
        tide_json_text(json, "status", tide_status_name(view.line[i].health.status));
        tide_json_share(json, "health_score", view.line[i].health.score);
        tide_json_reasons(json, &view.line[i].health);
        tide_json_end(json);
    }
    tide_json_end(json);
    tide_json_end(json);
    tide_fleet_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_health = {
    .path = "/api/v3/metrics/health",
    .summary = "The health of the fleet, and who is in trouble and why",
    .params = {.allowed = TIDE_PARAM(WINDOW)},
    .serve = serve,
};
