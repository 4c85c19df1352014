/* views - see views.h. */
#include "views.h"

void tide_json_summary(struct tide_json *json, const struct tide_fleet_view *view)
{
    const struct tide_figures *figures = &view->figures;

    tide_json_text(json, "overall_health", tide_status_name(view->overall));
    tide_json_share(json, "health_score", view->score);
    tide_json_uint(json, "total_modules", view->modules);
    tide_json_uint(json, "active_modules", view->active);
    tide_json_uint(json, "healthy_modules", view->by_status[TIDE_HEALTHY]);
    tide_json_uint(json, "degraded_modules", view->by_status[TIDE_DEGRADED]);
    tide_json_uint(json, "critical_modules", view->by_status[TIDE_CRITICAL]);
    tide_json_uint(json, "no_data_modules", view->by_status[TIDE_NO_DATA]);
    tide_json_uint(json, "total_requests", figures->total);
    tide_json_uint(json, "window_requests", figures->window_requests);
    tide_json_share(json, "overall_success_rate", figures->success_rate);
    tide_json_share(json, "overall_error_rate", figures->error_rate);
    tide_json_ms(json, "average_response_time_ms", figures->mean_ms);
    tide_json_ms(json, "p95_response_time_ms", figures->p95_ms);
    tide_json_ms(json, "p99_response_time_ms", figures->p99_ms);
    tide_json_share(json, "overall_throughput_rps", figures->throughput_rps);
    tide_json_time(json, "last_updated", figures->last_us);
    tide_json_uint(json, "window_s", figures->window_s);
}

void tide_json_fleet_gauges(struct tide_json *json, const struct tide_figures *figures)
{
    tide_json_real(json, "total_memory_usage_bytes", figures->gauge[TIDE_GAUGE_MEMORY], 0);
    tide_json_real(json, "average_cpu_usage_percent", figures->gauge[TIDE_GAUGE_CPU], 6);
    tide_json_real(json, "total_goroutines", figures->gauge[TIDE_GAUGE_GOROUTINES], 0);
    tide_json_real(json, "database_connections", figures->gauge[TIDE_GAUGE_DB_CONNECTIONS], 0);
}

void tide_json_reasons(struct tide_json *json, const struct tide_judgement *health)
{
    tide_json_array(json, "reasons");
    for (size_t i = 0; i < health->reasons; i++) {
        const struct tide_reason *reason = &health->reason[i];

        tide_json_object(json, NULL);
        tide_json_text(json, "signal", reason->signal);
        tide_json_share(json, "value", reason->value);
        tide_json_share(json, "warning", reason->warning);
        tide_json_share(json, "critical", reason->critical);
        tide_json_share(json, "penalty", reason->penalty);
        tide_json_end(json);
    }
    tide_json_end(json);
}
