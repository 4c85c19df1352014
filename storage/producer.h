/* producer - which chunks with structured ids (producer, epoch, seq) were committed: per producer
 * its newest epoch, the highest seq of that, and which of the PRODUCER_WINDOW seqs up to it were
 * seen, each with the hash of its payload. Bounded by time (silence), by the number of producers
 * and by the hashes they keep together. Rebuilt from the producer table at start. Used by the
 * committing thread only.
 *
 * Between two calls of producers_keep everything taken can be taken back, because the commit it was
 * taken for may fail.
 */
#ifndef STORAGE_PRODUCER_H
#define STORAGE_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/hash.h"
#include "tidemark/parcel.h"

#define PRODUCERS_MAX   100000u
#define PRODUCER_WINDOW 1024u /* a producer has at most so many chunks on their way */

struct producer_chunk {
    struct tide_origin origin;
    struct tide_hash128 payload;
};

enum producer_verdict {
    PRODUCER_NEW,
    PRODUCER_KNOWN, /* seen with the same payload, of an older epoch, or too old to tell */
    PRODUCER_REUSED /* seen with another payload */
};

struct producers;

/* refresh_s: of a producer that sends only what is known, a chunk is written anew this long after
 * the last, so that the disk knows that it is not silent. */
struct producers *producers_new(uint32_t max_producers, uint64_t max_hashes, uint32_t refresh_s);
void producers_free(struct producers *set);

/* Judges a chunk and remembers it when it is new. time_s: Unix seconds. */
enum producer_verdict producers_take(struct producers *set, const struct producer_chunk *chunk,
                                     uint32_t time_s);

/* The chunks to be written with the commit; valid until the next call. */
size_t producers_taken(const struct producers *set, const struct producer_chunk **ret);

/* The commit happened; what is over the bounds is forgotten. Or it did not: everything is as at the
 * last keep, but for the order in which producers are forgotten. */
void producers_keep(struct producers *set);
void producers_undo(struct producers *set);

/* Takes a chunk as it was written; any order gives the same. */
void producers_load(struct producers *set, const struct producer_chunk *chunk, uint32_t time_s);

/* Forgets producers that were last heard before before_s, and the longest silent over the bounds.
 * Returns how many. */
uint32_t producers_expire(struct producers *set, uint32_t before_s);

/* True while this chunk is among those remembered: its record on disk is of use. */
bool producers_holds(const struct producers *set, const struct producer_chunk *chunk);

uint32_t producers_count(const struct producers *set);
uint64_t producers_held(const struct producers *set); /* chunks remembered, over all */

#endif
