/* GET /api/v3/metrics/prometheus: everything, for a scraper. Text 0.0.4 unless the client prefers
 * OpenMetrics.
 */
#include "routes.h"

#include "accept.h"
#include "prom.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    bool openmetrics =
        tide_accept_prefers(call->accept, "application/openmetrics-text", "text/plain");
    struct tide_series_view view;
    struct tide_self_view self;
    enum tide_rc rc = tide_query_series(call->query, &view, &reply->err);

    if (rc)
        return rc;
    tide_query_self(call->query, &self);
    tide_prom_write(&reply->body, openmetrics, &view, &self);
    reply->type = openmetrics ? TIDE_OPENMETRICS_TYPE : TIDE_PROM_TYPE;
    tide_series_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_prometheus = {
    .path = "/api/v3/metrics/prometheus",
    .summary = "Everything as Prometheus text or OpenMetrics",
    .serve = serve,
    .prometheus = true,
    .text = true,
};
