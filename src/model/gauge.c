/* gauge - the table, and the two ways to combine. */
#include "tidemark/gauge.h"

#include "tidemark/bytes.h"

#define TIDE_X(id, field, scale, gather) {field, scale, gather},
const struct tide_gauge_info tide_gauge_info[TIDE_GAUGE_COUNT] = {TIDE_GAUGES(TIDE_X)};
#undef TIDE_X

void tide_gauge_merge(struct tide_gauge_state *into, const struct tide_gauge_state *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->time_us > into->time_us ||
        (from->time_us == into->time_us && from->last > into->last)) {
        into->time_us = from->time_us;
        into->last = from->last;
    }
    if (from->max > into->max)
        into->max = from->max;
    into->sum = tide_add_sat(into->sum, from->sum);
    into->count = tide_add_sat(into->count, from->count);
}

void tide_gauge_gather(enum tide_gauge gauge, struct tide_gauge_state *into,
                       const struct tide_gauge_state *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->time_us > into->time_us)
        into->time_us = from->time_us;
    if (tide_gauge_info[gauge].gather == TIDE_GATHER_ADD) {
        into->last = tide_add_sat(into->last, from->last);
        into->max = tide_add_sat(into->max, from->max);
    } else {
        into->last = from->last > into->last ? from->last : into->last;
        into->max = from->max > into->max ? from->max : into->max;
    }
    into->sum = tide_add_sat(into->sum, from->sum);
    into->count = tide_add_sat(into->count, from->count);
}
