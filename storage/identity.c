/* identity - see identity.h. The hash is already random (keyed), so its low bits place it; removal
 * shifts the followers back instead of leaving tombstones, so the table never degrades over the
 * years.
 */
#include "identity.h"
#include "must.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct tide_hash128 id;
    uint32_t time_s;
    uint32_t spare;
};

struct identity_set {
    struct entry *ring;  /* position p lives at ring[p & (ring_size - 1)] */
    uint64_t ring_size;  /* a power of two */
    uint64_t head, tail; /* positions: [head, tail) are held; both only grow */
    uint32_t *slot;      /* 1 + (position & (ring_size - 1)), 0 free */
    uint64_t slots;
    uint64_t max_count;
    bool by_count;
};

struct identity_set *identity_new(uint64_t max_count)
{
    struct identity_set *set = must(calloc(1, sizeof(*set)));

    assert(max_count >= 1 && max_count < UINT32_MAX / 2);
    set->max_count = max_count;
    set->ring_size = 1024;
    set->ring = must(malloc(set->ring_size * sizeof(*set->ring)));
    set->slots = 2 * set->ring_size;
    set->slot = must(calloc(set->slots, sizeof(*set->slot)));
    return set;
}

void identity_free(struct identity_set *set)
{
    if (!set)
        return;
    free(set->ring);
    free(set->slot);
    free(set);
}

static struct entry *at(const struct identity_set *set, uint64_t position)
{
    return &set->ring[position & (set->ring_size - 1)];
}

static uint64_t home_of(const struct identity_set *set, const struct tide_hash128 *id)
{
    return id->low & (set->slots - 1);
}

static uint64_t slot_of(const struct identity_set *set, const struct tide_hash128 *id)
{
    uint64_t slot = home_of(set, id);

    while (set->slot[slot]) {
        const struct entry *held = &set->ring[set->slot[slot] - 1];

        if (held->id.low == id->low && held->id.high == id->high)
            break;
        slot = (slot + 1) & (set->slots - 1);
    }
    return slot;
}

static void grow(struct identity_set *set)
{
    uint64_t size = set->ring_size * 2;
    struct entry *ring = must(malloc(size * sizeof(*ring)));

    for (uint64_t p = set->head; p < set->tail; p++)
        ring[p & (size - 1)] = *at(set, p);
    free(set->ring);
    free(set->slot);
    set->ring = ring;
    set->ring_size = size;
    set->slots = 2 * size;
    set->slot = must(calloc(set->slots, sizeof(*set->slot)));
    for (uint64_t p = set->head; p < set->tail; p++)
        set->slot[slot_of(set, &at(set, p)->id)] = (uint32_t)(p & (size - 1)) + 1;
}

bool identity_add(struct identity_set *set, struct tide_hash128 id, uint32_t time_s)
{
    uint64_t slot = slot_of(set, &id);

    if (set->slot[slot])
        return false;
    if (set->tail - set->head == set->ring_size) {
        grow(set);
        slot = slot_of(set, &id);
    }
    *at(set, set->tail) = (struct entry){.id = id, .time_s = time_s};
    set->slot[slot] = (uint32_t)(set->tail & (set->ring_size - 1)) + 1;
    set->tail++;
    return true;
}

static void remove_slot(struct identity_set *set, const struct tide_hash128 *id)
{
    uint64_t mask = set->slots - 1, hole = slot_of(set, id), next = hole;

    assert(set->slot[hole]);
    for (;;) {
        uint64_t home;

        next = (next + 1) & mask;
        if (!set->slot[next])
            break;
        home = home_of(set, &set->ring[set->slot[next] - 1].id);
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            set->slot[hole] = set->slot[next];
            hole = next;
        }
    }
    set->slot[hole] = 0;
}

struct tide_hash128 identity_newest(const struct identity_set *set, uint64_t n)
{
    assert(n < set->tail - set->head);
    return at(set, set->tail - 1 - n)->id;
}

void identity_undo(struct identity_set *set, uint64_t count)
{
    assert(count <= set->tail - set->head);
    while (count--) {
        remove_slot(set, &at(set, set->tail - 1)->id);
        set->tail--;
    }
}

uint64_t identity_expire(struct identity_set *set, uint32_t before_s)
{
    uint64_t gone = 0;

    set->by_count = set->tail - set->head >= set->max_count;
    while (set->head < set->tail &&
           (at(set, set->head)->time_s < before_s || set->tail - set->head > set->max_count)) {
        remove_slot(set, &at(set, set->head)->id);
        set->head++;
        gone++;
    }
    return gone;
}

uint64_t identity_count(const struct identity_set *set)
{
    return set->tail - set->head;
}

uint32_t identity_oldest_s(const struct identity_set *set)
{
    return set->head == set->tail ? 0 : at(set, set->head)->time_s;
}

bool identity_bound_by_count(const struct identity_set *set)
{
    return set->by_count;
}
