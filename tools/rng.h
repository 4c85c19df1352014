/* Seeded random numbers for generated load: the same seed gives the same fleet on every machine
 * (splitmix64). */
#ifndef TIDEMARK_TOOLS_RNG_H
#define TIDEMARK_TOOLS_RNG_H

#include <math.h>
#include <stdint.h>

struct tide_rng {
    uint64_t state;
};

static inline uint64_t tide_rng_next(struct tide_rng *rng)
{
    uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double tide_rng_unit(struct tide_rng *rng)
{
    return (double)(tide_rng_next(rng) >> 11) * 0x1p-53;
}

/* In [0, below); below > 0. */
static inline uint32_t tide_rng_below(struct tide_rng *rng, uint32_t below)
{
    return (uint32_t)(((tide_rng_next(rng) >> 32) * below) >> 32);
}

/* Mean 0, deviation 1. */
static inline double tide_rng_normal(struct tide_rng *rng)
{
    double u = tide_rng_unit(rng), v = tide_rng_unit(rng);

    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* How many of something that happens `mean` times on average. */
static inline uint32_t tide_rng_poisson(struct tide_rng *rng, double mean)
{
    double limit, product = 1;
    uint32_t count = 0;

    if (mean > 64) {
        double value = mean + sqrt(mean) * tide_rng_normal(rng);

        return value > 0 ? (uint32_t)(value + 0.5) : 0;
    }
    limit = exp(-mean);
    while ((product *= 1 - tide_rng_unit(rng)) > limit)
        count++;
    return count;
}

#endif
