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
        into->last += from->last;
        into->max = tide_add_sat(into->max, from->max);
    } else {
        into->max = from->max > into->max ? from->max : into->max;
    }
    into->sum = tide_add_sat(into->sum, from->sum);
    into->count = tide_add_sat(into->count, from->count);
}

/* What saturated stays so: samples are only ever added. */
static void grow(uint64_t *value, uint64_t before, uint64_t after)
{
    if (*value != UINT64_MAX)
        *value = tide_add_sat(*value, after - before);
}

void tide_gauge_regather(enum tide_gauge gauge, struct tide_gauge_state *into,
                         const struct tide_gauge_state *before,
                         const struct tide_gauge_state *after)
{
    if (after->count == 0)
        return;
    if (into->count == 0 || after->time_us > into->time_us)
        into->time_us = after->time_us;
    if (tide_gauge_info[gauge].gather == TIDE_GATHER_ADD) {
        into->last += after->last - before->last;
        grow(&into->max, before->max, after->max);
    } else {
        into->max = after->max > into->max ? after->max : into->max;
    }
    grow(&into->sum, before->sum, after->sum);
    grow(&into->count, before->count, after->count);
}

void tide_gauge_remerge(struct tide_gauge_state *into, const struct tide_gauge_state *before,
                        const struct tide_gauge_state *after)
{
    if (after->count == 0)
        return;
    if (into->count == 0 || after->time_us >= into->time_us) {
        into->time_us = after->time_us;
        into->last = after->last;
    }
    into->max = after->max > into->max ? after->max : into->max;
    grow(&into->sum, before->sum, after->sum);
    grow(&into->count, before->count, after->count);
}
