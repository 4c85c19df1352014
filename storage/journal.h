/* journal - one value stream per commit: what has been promised. FORMAT.md "journal". */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include "group.h"
#include "txn.h"

/* The deltas of a group as one payload: how many, then one after the other. */
void journal_begin(struct blob *blob, uint32_t deltas);
void journal_add(struct blob *blob, const struct group *group, const struct group_delta *delta);

/* A delta as replayed. */
struct journal_delta {
    uint32_t module;
    int64_t start_s;
    const struct tide_record *record; /* valid during the call */
    const char *error;
    uint32_t error_len;
    int64_t error_us;
};
typedef void journal_take_fn(void *arg, uint64_t seq, const struct journal_delta *delta);

/* Decodes one payload, calling take for each delta. False: damaged (take may have been called for
 * the part before). */
bool journal_decode(uint64_t seq, const uint8_t *payload, size_t len, struct tide_record *scratch,
                    journal_take_fn *take, void *arg);

/* The newest `count` identities of a set as one payload: commit time, then 16 bytes each. */
void journal_encode_identities(struct blob *blob, const struct identity_set *set, uint64_t count,
                               int64_t now_us);

/* Chunks of producers as one payload: commit time, then 48 bytes each. */
#define JOURNAL_PRODUCER_SIZE 48
void journal_encode_producers(struct blob *blob, const struct producer_chunk *chunk, size_t count,
                              int64_t now_us);
struct producer_chunk journal_decode_producer(const uint8_t from[JOURNAL_PRODUCER_SIZE]);

#endif
