/* tier - the table of widths. */
#include "tidemark/tier.h"

const struct tide_tier_info tide_tier_info[TIDE_TIER_COUNT] = {
    {"raw", 0},
    {"5m", 300},
    {"1h", 3600},
    {"1d", 86400},
};

bool tide_interval_valid(int64_t interval_s)
{
    static const int64_t valid[] = {1, 2, 5, 10, 15, 20, 30, 60, 100, 150, 300};

    for (unsigned i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        if (valid[i] == interval_s)
            return true;
    return false;
}
