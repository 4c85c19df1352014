/* plan - which table answers for which stretch of a range. Pure arithmetic.
 *
 * A range is covered by records of the coarsest tier that is allowed, fits in and is complete, with
 * finer ones at its edges and where the coarser ones are not finished. Taken from the newest end,
 * that is a handful of pieces whatever the length of the range: each tier at most twice.
 */
#ifndef STORAGE_PLAN_H
#define STORAGE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/tier.h"

/* How far history is folded; days_upto_s <= hours_upto_s. INT64_MAX: everything, as it will be once
 * all background work is done. */
struct plan_reach {
    uint32_t interval_s;
    int64_t hours_upto_s; /* a multiple of an hour */
    int64_t days_upto_s;  /* a multiple of a day */
};

struct plan_piece {
    enum tide_tier tier;
    bool rows;      /* of the raw tier: not in chunks yet */
    int64_t from_s; /* it ends where it was asked for */
};

/* The newest piece of [from_s, at_s), both multiples of the interval, from_s < at_s. */
struct plan_piece plan_newest(const struct plan_reach *reach, int64_t from_s, int64_t at_s,
                              enum tide_tier coarsest);

#endif
