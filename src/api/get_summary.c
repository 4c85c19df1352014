/* GET /api/v3/metrics/summary: the fleet in a few figures. */
#include "routes.h"
#include "views.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_fleet_view view;
    enum tide_rc rc = tide_query_summary(call->query, call->params->window_s, &view, &reply->err);

    if (rc)
        return rc;
    tide_json_object(&reply->json, "metrics");
    tide_json_summary(&reply->json, &view);
    tide_json_end(&reply->json);
    tide_fleet_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_summary = {
    .path = "/api/v3/metrics/summary",
    .summary = "The fleet in a few figures",
    .params = {.allowed = TIDE_PARAM(WINDOW)},
    .serve = serve,
};
