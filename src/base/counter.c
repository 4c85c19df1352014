/* The values behind the counter table, and the bounds of the duration histograms. */
#include "tidemark/counter.h"

atomic_ullong tide_counter_value[TIDE_COUNTER_COUNT];

#define TIDE_X(id, counter_name, counter_type, counter_help) \
    [TIDE_COUNT_##id] = {.name = (counter_name), .type = (counter_type), .help = (counter_help)},
const struct tide_counter_info tide_counter_info[TIDE_COUNTER_COUNT] = {TIDE_COUNTERS(TIDE_X)};
#undef TIDE_X

/* Dense between 1 ms and 100 ms, where an fsync and a busy answer live. */
const uint64_t tide_timing_bound_us[TIDE_TIMING_BOUNDS] = {
    100, 250, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2500000, 10000000,
};

struct tide_timing tide_commit_timing;

void tide_timing_add(struct tide_timing *timing, uint64_t us)
{
    unsigned bucket = 0;

    while (bucket < TIDE_TIMING_BOUNDS && us > tide_timing_bound_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&timing->bucket[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&timing->sum_us, us, memory_order_relaxed);
    atomic_fetch_add_explicit(&timing->count, 1, memory_order_relaxed);
}
