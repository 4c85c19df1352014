/* plan - see the header. */
#include "plan.h"

#include <assert.h>

static int64_t min_s(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct plan_piece plan_newest(const struct plan_reach *reach, int64_t from_s, int64_t at_s,
                              enum tide_tier coarsest)
{
    struct plan_piece piece = {.tier = TIDE_TIER_RAW, .from_s = from_s};

    assert(from_s < at_s);
    for (int tier = (int)coarsest; tier > TIDE_TIER_RAW; tier--) {
        int64_t width_s = tide_tier_info[tier].width_s;
        int64_t upto_s = tier == TIDE_TIER_1D ? reach->days_upto_s : reach->hours_upto_s;
        int64_t top_s = tide_floor_s(min_s(at_s, upto_s), width_s);
        int64_t bottom_s = tide_ceil_s(from_s, width_s);

        if (top_s <= bottom_s)
            continue;
        if (top_s == at_s) { /* this one; down to where a coarser one goes on */
            piece.tier = (enum tide_tier)tier;
            if (bottom_s > piece.from_s)
                piece.from_s = bottom_s;
            return piece;
        }
        if (top_s > piece.from_s)
            piece.from_s = top_s;
    }
    if (at_s > reach->hours_upto_s) {
        piece.rows = true;
        if (reach->hours_upto_s > piece.from_s)
            piece.from_s = reach->hours_upto_s;
    }
    return piece;
}
