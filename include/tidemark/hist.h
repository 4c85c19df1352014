/* Mergeable latency histogram: base-2 exponential buckets 2^(1/32) wide (Prometheus native
 * histogram schema 5, OpenTelemetry scale 5). Bucket 0 holds everything up to 1 us; bucket i >= 1
 * holds (2^((i-1)/32), 2^(i/32)] us, upper bound inclusive as in those two formats; the last one
 * ends at 2^40 us. Buckets are never merged or re-cut, so the geometric middle of a bucket is
 * within 2^(1/64) - 1 = 1.09 % of every value in it, over any number of merges. Memory is one span
 * of counts from the first to the last bucket in use.
 */
#ifndef TIDEMARK_HIST_H
#define TIDEMARK_HIST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "tidemark/bytes.h"

#define TIDE_HIST_SUB            32 /* buckets in one octave */
#define TIDE_HIST_OCTAVES        40
#define TIDE_HIST_BUCKETS        (1 + TIDE_HIST_SUB * TIDE_HIST_OCTAVES)
#define TIDE_HIST_RELATIVE_ERROR 0.011

struct tide_hist {
    uint64_t *count; /* count[i] is of bucket first + i; NULL when empty */
    uint16_t first;
    uint16_t len;
    uint16_t capacity;
};

/* Mantissa bits of 2^(k/32), and how many of them lie below c / 64 of an octave. */
extern const uint64_t tide_hist_bound[TIDE_HIST_SUB + 1];
extern const uint8_t tide_hist_below[64];

/* The bucket of a duration in us, 0 <= us <= 2^40 (clamped). Exact: decided on the bits of the
 * double. Inline and without a branch: it runs once for every event. */
static inline unsigned tide_hist_bucket(double us)
{
    uint64_t bits, mantissa;
    unsigned octave, k;

    us = us > 1.0 ? us : 1.0; /* the bounds themselves are in the first and the last bucket */
    us = us < 0x1p40 ? us : 0x1p40;
    memcpy(&bits, &us, sizeof(bits));
    octave = (unsigned)(bits >> 52) - 1023;
    mantissa = bits & UINT64_C(0xfffffffffffff);
    k = tide_hist_below[mantissa >> 46];
    k += mantissa > tide_hist_bound[k];
    return octave * TIDE_HIST_SUB + k;
}

/* Bounds of a bucket in us: (lower, upper]. */
double tide_hist_lower_us(unsigned bucket);
double tide_hist_upper_us(unsigned bucket);

void tide_hist_init(struct tide_hist *hist);
void tide_hist_fini(struct tide_hist *hist);

/* As tide_hist_add, for a bucket that is not in the span yet. */
void tide_hist_add_outside(struct tide_hist *hist, unsigned bucket, uint64_t n);

/* Adds n to one bucket. Aborts when memory is out (histograms are bounded: 10 KiB each). Inline: a
 * commit does it for every second event. */
static inline void tide_hist_add(struct tide_hist *hist, unsigned bucket, uint64_t n)
{
    unsigned at = bucket - hist->first;

    if (at < hist->len)
        hist->count[at] = tide_add_sat(hist->count[at], n);
    else
        tide_hist_add_outside(hist, bucket, n);
}

void tide_hist_merge(struct tide_hist *into, const struct tide_hist *from);
void tide_hist_copy(struct tide_hist *into, const struct tide_hist *from); /* into is initialised */
void tide_hist_reset(struct tide_hist *hist);                              /* keeps its memory */
uint64_t tide_hist_total(const struct tide_hist *hist);
bool tide_hist_equal(const struct tide_hist *a, const struct tide_hist *b);

/* The q-quantile, nearest rank: the middle of the bucket that holds the smallest value with at
 * least q of the samples at or below it, kept within [min_us - 0.5, max_us + 0.5]. 0 < q <= 1. NAN
 * when empty. */
double tide_hist_quantile_us(const struct tide_hist *hist, double q, uint64_t min_us,
                             uint64_t max_us);

/* Several of them; in ascending order of q it takes one pass. ret_us has room for `count`. */
void tide_hist_quantiles_us(const struct tide_hist *hist, const double *q, size_t count,
                            uint64_t min_us, uint64_t max_us, double *ret_us);

#endif
