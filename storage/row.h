/* row - a record as bytes, and back. The same bytes serve rows, corrections, the deltas of the
 * journal and the totals of modules; FORMAT.md "record" has them. Times inside are relative to
 * base_us, usually the interval's start.
 */
#ifndef STORAGE_ROW_H
#define STORAGE_ROW_H

#include "tidemark/record.h"
#include "txn.h"

/* One non-empty bucket. */
struct hist_run {
    uint32_t bucket;
    uint64_t count;
};

/* A record in parts: what a group's delta and a head's record have in common. */
struct row_view {
    const struct tide_tally *tally;
    const struct hist_run *run; /* ascending by bucket; counts > 0 */
    uint32_t runs;
    const struct tide_instance *instance; /* ascending by id */
    uint32_t instances;
    const struct tide_custom *custom; /* ascending by tide_custom_order */
    uint32_t customs;
    uint64_t slowest_us;
    const char *slowest;
    uint32_t slowest_len;
};

/* The parts of a record, which it still owns; run is where its buckets are put. */
struct row_view row_view_of(const struct tide_record *record,
                            struct hist_run run[TIDE_HIST_BUCKETS]);

/* Appends the record to blob. */
void row_encode_view(struct blob *blob, const struct row_view *view, int64_t base_us);
void row_encode(struct blob *blob, const struct tide_record *record, int64_t base_us);

/* Decodes one record from [*from, end) into `into` (initialised; what it held is gone). False:
 * damaged; `into` is then reset. Validates everything a reader relies on. */
bool row_decode(const uint8_t **from, const uint8_t *end, struct tide_record *into,
                int64_t base_us);

#endif
