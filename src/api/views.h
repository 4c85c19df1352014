/* views - the pieces of JSON that several endpoints share. Names carry units; what does not exist
 * is null. */
#ifndef API_VIEWS_H
#define API_VIEWS_H

#include "json.h"
#include "tidemark/query.h"

/* successful_, failed_ requests are of the same stretch as total. */
static inline uint64_t tide_successful(const struct tide_figures *figures)
{
    return figures->total - figures->failed;
}

/* overall_health .. window_s: the summary's fields, which aggregated repeats. */
void tide_json_summary(struct tide_json *json, const struct tide_fleet_view *view);

/* {memory,cpu,goroutines,db} of the fleet under their fleet names. */
void tide_json_fleet_gauges(struct tide_json *json, const struct tide_figures *figures);

/* `reasons`: [...] */
void tide_json_reasons(struct tide_json *json, const struct tide_judgement *health);

#endif
