/* See the header. */
#include "laps.h"

#include <math.h>

#include "tidemark/clock.h"

void tide_laps_init(struct tide_laps *laps)
{
    *laps = (struct tide_laps){.count = 0};
    for (int kind = 0; kind < TIDE_LAP_KINDS; kind++) {
        laps->of[kind].min_us = UINT64_MAX;
        tide_hist_init(&laps->of[kind].hist);
    }
}

void tide_laps_fini(struct tide_laps *laps)
{
    for (int kind = 0; kind < TIDE_LAP_KINDS; kind++)
        tide_hist_fini(&laps->of[kind].hist);
}

void tide_laps_begin(struct tide_laps *laps)
{
    laps->of[TIDE_LAP_CPU].begin_us = tide_clock_cpu_us();
    laps->of[TIDE_LAP_WALL].begin_us = tide_clock_mono_us();
}

void tide_laps_end(struct tide_laps *laps)
{
    int64_t now_us[TIDE_LAP_KINDS] = {
        [TIDE_LAP_WALL] = tide_clock_mono_us(), [TIDE_LAP_CPU] = tide_clock_cpu_us()};

    laps->count++;
    for (int kind = 0; kind < TIDE_LAP_KINDS; kind++) {
        uint64_t us = (uint64_t)(now_us[kind] - laps->of[kind].begin_us);

        tide_hist_add(&laps->of[kind].hist, tide_hist_bucket((double)us), 1);
        laps->of[kind].min_us = us < laps->of[kind].min_us ? us : laps->of[kind].min_us;
        laps->of[kind].max_us = us > laps->of[kind].max_us ? us : laps->of[kind].max_us;
    }
}

double tide_laps_ms(const struct tide_laps *laps, enum tide_lap kind, double q)
{
    if (laps->count == 0)
        return (double)NAN;
    if (q >= 1)
        return (double)laps->of[kind].max_us / 1e3;
    return tide_hist_quantile_us(&laps->of[kind].hist, q, laps->of[kind].min_us,
                                 laps->of[kind].max_us) /
           1e3;
}
