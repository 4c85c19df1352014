/* laps - many durations of one kind of step: quantiles, the worst, and how much CPU the worst took.
 *
 * Wall time is what a user waits; on a machine that others use too, or whose disk has its moments,
 * the CPU of the worst lap tells whether it was us. Bounded: a histogram, within 1.1 %.
 */
#ifndef TIDEMARK_TOOLS_LAPS_H
#define TIDEMARK_TOOLS_LAPS_H

#include <stdint.h>
#include "tidemark/hist.h"

struct tide_laps {
    struct tide_hist hist;
    uint64_t count, sum_us, min_us, max_us;
    uint64_t max_cpu_us; /* the most CPU that a lap took */
    int64_t begin_us, begin_cpu_us;
};

void tide_laps_init(struct tide_laps *laps);
void tide_laps_fini(struct tide_laps *laps);

/* One lap of the calling thread. */
void tide_laps_begin(struct tide_laps *laps);
void tide_laps_end(struct tide_laps *laps);

/* The q-quantile in milliseconds, NAN without laps; 1 is the worst, exact. */
double tide_laps_ms(const struct tide_laps *laps, double q);

#endif
