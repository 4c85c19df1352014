/* laps - many durations of one kind of step: quantiles and the worst, of wall time and of CPU.
 *
 * Wall time is what a user waits; on a machine that others use too, or whose disk has its moments,
 * CPU tells how much of it was us. Bounded: histograms, within 1.1 %.
 */
#ifndef TIDEMARK_TOOLS_LAPS_H
#define TIDEMARK_TOOLS_LAPS_H

#include <stdint.h>
#include "tidemark/hist.h"

enum tide_lap { TIDE_LAP_WALL, TIDE_LAP_CPU, TIDE_LAP_KINDS };

struct tide_laps {
    uint64_t count;
    struct {
        struct tide_hist hist;
        uint64_t min_us, max_us;
        int64_t begin_us;
    } of[TIDE_LAP_KINDS];
};

void tide_laps_init(struct tide_laps *laps);
void tide_laps_fini(struct tide_laps *laps);

/* One lap of the calling thread. */
void tide_laps_begin(struct tide_laps *laps);
void tide_laps_end(struct tide_laps *laps);

/* The q-quantile in milliseconds, NAN without laps; 1 is the worst, exact. */
double tide_laps_ms(const struct tide_laps *laps, enum tide_lap kind, double q);

#endif
