/* buckets - the histograms of m records as one stretch of bits, bucket by bucket. FORMAT.md
 * "histograms" has them. Counts of one bucket over time resemble each other far more than the
 * counts of one record do; and differences between neighbours in time would only add their noise.
 */
#ifndef STORAGE_BUCKETS_H
#define STORAGE_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "row.h"
#include "tidemark/hist.h"
#include "txn.h"

/* Appends m >= 1 histograms, none empty; samples[t] is the total of hist[t]. */
void buckets_encode(struct blob *to, const struct tide_hist *const *hist, const uint64_t *samples,
                    size_t m);

/* Decoded histograms: those of record t are run[first[t], first[t + 1]). Kept from one decoding to
 * the next for its memory. */
struct buckets {
    struct hist_run *run;
    uint32_t *first;
    size_t m;

    /* while decoding */
    struct found *found; /* as they come, bucket by bucket */
    uint64_t *rest;      /* of record t: samples not seen yet */
    size_t founds, found_capacity, run_capacity, m_capacity;
    bool exact; /* the counts add up to the samples, without saturation */
};

void buckets_init(struct buckets *buckets);
void buckets_fini(struct buckets *buckets);

/* Decodes m >= 1 histograms from exactly [from, end). False: damaged, or the totals are not
 * samples[]; `into` then holds nothing of use. Memory: at
 * most 4 * (end - from) + m counts. */
bool buckets_decode(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                    struct buckets *into);

#endif
