/* A chained hash table of the addresses that have connections, behind one lock that is held for a
 * few instructions per accept and close. Addresses are the peers' choice, so the hash is seeded.
 */
#include "tidemark/census.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/hash.h"

#define TIDE_CENSUS_CHAINS 4096
#define TIDE_ADDRESS_MAX   16

struct tide_seat {
    struct tide_seat *next;
    uint32_t chain, count;
    uint8_t len, address[TIDE_ADDRESS_MAX];
};

struct tide_census {
    pthread_mutex_t lock;
    uint64_t seed;
    uint32_t max, max_per_address, count;
    struct tide_seat *chain[TIDE_CENSUS_CHAINS];
};

enum tide_rc tide_census_new(uint32_t max, uint32_t max_per_address, struct tide_census **ret)
{
    struct tide_census *census = calloc(1, sizeof(*census));

    if (!census)
        return TIDE_NO_MEMORY;
    pthread_mutex_init(&census->lock, NULL);
    tide_random(&census->seed, sizeof(census->seed));
    census->max = max ? max : UINT32_MAX;
    census->max_per_address = max_per_address ? max_per_address : UINT32_MAX;
    *ret = census;
    return TIDE_OK;
}

void tide_census_free(struct tide_census *census)
{
    if (!census)
        return;
    assert(census->count == 0);
    pthread_mutex_destroy(&census->lock);
    free(census);
}

static struct tide_seat *find(struct tide_census *census, uint32_t chain, const uint8_t *address,
                              size_t len)
{
    struct tide_seat *seat = census->chain[chain];

    while (seat && (seat->len != len || memcmp(seat->address, address, len) != 0))
        seat = seat->next;
    return seat;
}

static struct tide_seat *add(struct tide_census *census, uint32_t chain, const uint8_t *address,
                             size_t len)
{
    struct tide_seat *seat = calloc(1, sizeof(*seat));

    if (!seat)
        return NULL;
    seat->chain = chain;
    seat->len = (uint8_t)len;
    memcpy(seat->address, address, len);
    seat->next = census->chain[chain];
    census->chain[chain] = seat;
    return seat;
}

enum tide_rc tide_census_enter(struct tide_census *census, const uint8_t *address, size_t len,
                               struct tide_seat **ret)
{
    uint32_t chain = (uint32_t)(tide_hash64(census->seed, address, len) % TIDE_CENSUS_CHAINS);
    struct tide_seat *seat;
    enum tide_rc rc = TIDE_OK;

    assert(len <= TIDE_ADDRESS_MAX);
    pthread_mutex_lock(&census->lock);
    seat = find(census, chain, address, len);
    if (census->count >= census->max)
        rc = TIDE_TOO_LARGE;
    else if (seat && seat->count >= census->max_per_address)
        rc = TIDE_LOCKED;
    else if (!seat && !(seat = add(census, chain, address, len)))
        rc = TIDE_NO_MEMORY;
    if (!rc) {
        seat->count++;
        census->count++;
        *ret = seat;
    }
    pthread_mutex_unlock(&census->lock);
    return rc;
}

void tide_census_leave(struct tide_census *census, struct tide_seat **seat)
{
    struct tide_seat *left = *seat, **at;

    *seat = NULL;
    if (!left)
        return;
    pthread_mutex_lock(&census->lock);
    assert(left->count > 0 && census->count > 0);
    census->count--;
    if (--left->count == 0) {
        for (at = &census->chain[left->chain]; *at != left; at = &(*at)->next)
            continue;
        *at = left->next;
        free(left);
    }
    pthread_mutex_unlock(&census->lock);
}
