/* CPU is that of the calling thread, from getrusage. */
#include "laps.h"

#include <math.h>
#include <sys/resource.h>

#include "tidemark/clock.h"

static int64_t cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void tide_laps_init(struct tide_laps *laps)
{
    *laps = (struct tide_laps){.min_us = UINT64_MAX};
    tide_hist_init(&laps->hist);
}

void tide_laps_fini(struct tide_laps *laps)
{
    tide_hist_fini(&laps->hist);
}

void tide_laps_begin(struct tide_laps *laps)
{
    laps->begin_cpu_us = cpu_us();
    laps->begin_us = tide_clock_mono_us();
}

void tide_laps_end(struct tide_laps *laps)
{
    uint64_t us = (uint64_t)(tide_clock_mono_us() - laps->begin_us);
    uint64_t own_us = (uint64_t)(cpu_us() - laps->begin_cpu_us);

    tide_hist_add(&laps->hist, tide_hist_bucket((double)us), 1);
    laps->count++;
    laps->sum_us += us;
    laps->min_us = us < laps->min_us ? us : laps->min_us;
    laps->max_us = us > laps->max_us ? us : laps->max_us;
    laps->max_cpu_us = own_us > laps->max_cpu_us ? own_us : laps->max_cpu_us;
}

double tide_laps_ms(const struct tide_laps *laps, double q)
{
    if (laps->count == 0)
        return (double)NAN;
    if (q >= 1)
        return (double)laps->max_us / 1e3;
    return tide_hist_quantile_us(&laps->hist, q, laps->min_us, laps->max_us) / 1e3;
}
