/* A fixed array of parcels and a stack of the idle ones. calloc gives untouched pages, so a parcel
 * costs memory only from its first use on; last in, first out keeps the working set as small as the
 * load.
 */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum tide_rc tide_pool_init(struct tide_pool *pool, unsigned capacity, uint32_t max_names)
{
    memset(pool, 0, sizeof(*pool));
    pool->parcel = calloc(capacity, sizeof(*pool->parcel));
    pool->posted_bytes = calloc(capacity, sizeof(*pool->posted_bytes));
    if (!pool->parcel || !pool->posted_bytes) {
        tide_pool_fini(pool);
        return TIDE_NO_MEMORY;
    }
    pool->names = tide_names_new(max_names);
    pool->capacity = capacity;
    return TIDE_OK;
}

void tide_pool_fini(struct tide_pool *pool)
{
    assert(pool->in_flight == 0);
    for (unsigned i = 0; i < pool->ready; i++)
        tide_parcel_fini(&pool->parcel[i]);
    tide_names_free(pool->names);
    free(pool->parcel);
    free(pool->posted_bytes);
    memset(pool, 0, sizeof(*pool));
}

struct tide_parcel *tide_pool_take(struct tide_pool *pool)
{
    struct tide_parcel *parcel = pool->idle;

    if (parcel) {
        pool->idle = parcel->next;
        pool->idle_bytes -= tide_parcel_memory(parcel);
    } else if (pool->ready < pool->capacity) {
        parcel = &pool->parcel[pool->ready++];
        tide_parcel_init(parcel, pool->names);
    } else {
        return NULL;
    }
    parcel->next = NULL;
    pool->taken++;
    return parcel;
}

void tide_pool_put(struct tide_pool *pool, struct tide_parcel **parcel)
{
    struct tide_parcel *back = *parcel;

    assert(back >= pool->parcel && back < pool->parcel + pool->ready && pool->taken > 0);
    *parcel = NULL;
    tide_parcel_reset(back);
    if (pool->idle_bytes + tide_parcel_memory(back) > TIDE_POOL_IDLE_BYTES) {
        tide_parcel_fini(back);
    }
    pool->idle_bytes += tide_parcel_memory(back);
    back->next = pool->idle;
    pool->idle = back;
    pool->taken--;
}

void tide_pool_note_posted(struct tide_pool *pool, const struct tide_parcel *parcel)
{
    size_t bytes = tide_parcel_memory(parcel);

    pool->posted_bytes[parcel - pool->parcel] = bytes;
    pool->in_flight_bytes += bytes;
    pool->in_flight++;
}

void tide_pool_note_home(struct tide_pool *pool, const struct tide_parcel *parcel)
{
    size_t *bytes = &pool->posted_bytes[parcel - pool->parcel];

    assert(pool->in_flight > 0 && pool->in_flight_bytes >= *bytes);
    pool->in_flight_bytes -= *bytes;
    pool->in_flight--;
    *bytes = 0;
}
