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

/* Decoded histograms. Kept from one decoding to the next for its memory. */
struct buckets {
    struct tide_hist *hist; /* [m], to look at: their counts are not theirs */
    size_t m;

    uint64_t *count; /* of all histograms, each a span without zeros at its ends */
    size_t count_capacity, m_capacity;

    /* while decoding */
    struct found *found; /* as they come, bucket by bucket */
    size_t founds, found_capacity;
    struct part *part; /* [m] */
    bool exact;        /* the counts add up to the samples, without saturation */
};

void buckets_init(struct buckets *buckets);
void buckets_fini(struct buckets *buckets);

/* Decodes m >= 1 histograms from exactly [from, end). False: damaged, or the totals are not
 * samples[]; `into` then holds nothing of use. Memory: a count
 * for each bucket from the first to the last of each histogram, and 4 * (end - from) + m others. */
bool buckets_decode(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                    struct buckets *into);

/* Adds the histograms of the records [first, last), some of the m, to `into`, without making each
 * of them. False: damaged, as far as the sum can tell. */
bool buckets_sum(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                 size_t first, size_t last, struct buckets *memory, struct tide_hist *into);

#endif
