/* The parcels of one shard: a fixed number, initialised when first needed, so an idle daemon holds
 * none of their memory. Taken by the shard only; while one is in flight the committer holds it.
 */
#ifndef TIDEMARK_INGEST_POOL_H
#define TIDEMARK_INGEST_POOL_H

#include <stddef.h>
#include "tidemark/err.h"
#include "tidemark/parcel.h"

/* Idle parcels keep at most so much memory for the next ones. */
#define TIDE_POOL_IDLE_BYTES (12u << 20)

struct tide_pool {
    struct tide_parcel *parcel; /* [capacity]; those from `ready` on are untouched memory */
    struct tide_names *names;   /* what the facts of all of them refer to */
    size_t *posted_bytes;       /* [capacity]: memory of each parcel in flight */
    unsigned capacity;
    unsigned ready;
    unsigned in_flight;
    unsigned taken;           /* in flight, or being filled */
    size_t in_flight_bytes;   /* sum of posted_bytes */
    struct tide_parcel *idle; /* empty ones; the last put is the first taken: it is warm */
    size_t idle_bytes;        /* kept by those */
};

enum tide_rc tide_pool_init(struct tide_pool *pool, unsigned capacity, uint32_t max_names);

/* Nothing may be in flight. */
void tide_pool_fini(struct tide_pool *pool);

/* An empty parcel, or NULL when all are taken. */
struct tide_parcel *tide_pool_take(struct tide_pool *pool);

/* Empties a parcel and takes it back; the giver's pointer becomes NULL. */
void tide_pool_put(struct tide_pool *pool, struct tide_parcel **parcel);

/* The parcel is about to be posted; it has come home. */
void tide_pool_note_posted(struct tide_pool *pool, const struct tide_parcel *parcel);
void tide_pool_note_home(struct tide_pool *pool, const struct tide_parcel *parcel);

static inline unsigned tide_pool_left(const struct tide_pool *pool)
{
    return pool->capacity - pool->taken;
}

#endif
