/* Interval arithmetic. Times of intervals are Unix seconds, aligned to the epoch; an interval is
 * [start, start + width).
 */
#ifndef TIDEMARK_TIER_H
#define TIDEMARK_TIER_H

#include <stdbool.h>
#include <stdint.h>

enum tide_tier { TIDE_TIER_RAW, TIDE_TIER_5M, TIDE_TIER_1H, TIDE_TIER_1D, TIDE_TIER_COUNT };

struct tide_tier_info {
    const char *name; /* "raw", "5m", "1h", "1d" */
    uint32_t width_s; /* raw: 0, it is the store's interval */
};
extern const struct tide_tier_info tide_tier_info[TIDE_TIER_COUNT];

/* Widths that divide five minutes: 1 2 5 10 15 20 30 60 100 150 300. */
bool tide_interval_valid(int64_t interval_s);

static inline int64_t tide_floor_s(int64_t time_s, int64_t width_s)
{
    int64_t rest = time_s % width_s;
    return time_s - (rest < 0 ? rest + width_s : rest);
}

static inline int64_t tide_ceil_s(int64_t time_s, int64_t width_s)
{
    int64_t down = tide_floor_s(time_s, width_s);
    return down == time_s ? down : down + width_s;
}

#endif
