/* prom - views as Prometheus text: format 0.0.4, or OpenMetrics 1.0, which differ in the names of
 * counter families, in the last line and in the type. Units are seconds, bytes and ratios.
 */
#ifndef API_PROM_H
#define API_PROM_H

#include "body.h"
#include "tidemark/query.h"

#define TIDE_PROM_TYPE        "text/plain; version=0.0.4; charset=utf-8"
#define TIDE_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

void tide_prom_write(struct tide_body *body, bool openmetrics, const struct tide_series_view *view,
                     const struct tide_self_view *self);

#endif
