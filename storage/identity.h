/* identity - which chunks, or which event ids, were committed. A ring of identities in order of
 * commit, bounded by time and by count, and an open-addressing table of ring positions: about 30
 * bytes each. Rebuilt from its table at start. Used by the committing thread only.
 */
#ifndef STORAGE_IDENTITY_H
#define STORAGE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/hash.h"

struct identity_set;

struct identity_set *identity_new(uint64_t max_count);
void identity_free(struct identity_set *set);

/* Adds an identity committed at time_s (Unix seconds); false: it is there already. */
bool identity_add(struct identity_set *set, struct tide_hash128 id, uint32_t time_s);

/* The n-th newest addition, 0 the newest. */
struct tide_hash128 identity_newest(const struct identity_set *set, uint64_t n);

/* Takes back the newest `count` additions: their commit failed. */
void identity_undo(struct identity_set *set, uint64_t count);

/* Forgets the oldest while they are older than before_s, and whatever is over the count. Returns
 * how many. */
uint64_t identity_expire(struct identity_set *set, uint32_t before_s);

uint64_t identity_count(const struct identity_set *set);

/* Commit time of the oldest, 0 without any. */
uint32_t identity_oldest_s(const struct identity_set *set);

/* True when the last expiry had to forget by count. */
bool identity_bound_by_count(const struct identity_set *set);

#endif
