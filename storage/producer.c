/* producer - see producer.h.
 *
 * A bitmap of the window is in each producer; the hashes lie in a ring that is as small as the seqs
 * in it allow and doubles when two of them would share a place, up to the window, where none can:
 * a client with one chunk costs a few hundred bytes, one with a thousand 16 KiB.
 *
 * The first change to a producer after a keep leaves a copy of its state; undo puts the copies
 * back.
 */
#include "producer.h"
#include "must.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RING_FIRST 4u
#define WORDS      (PRODUCER_WINDOW / 64)

struct state {
    uint64_t epoch, high;
    uint64_t seen[WORDS]; /* bit seq % PRODUCER_WINDOW, of seqs in (high - PRODUCER_WINDOW, high] */
    struct tide_hash128 *ring; /* of seq at seq % size */
    uint32_t size;             /* a power of two up to PRODUCER_WINDOW */
    uint32_t held;             /* bits set */
    uint32_t heard_s;          /* last heard */
    uint32_t written_s;        /* time of its newest record on disk */
};

struct producer {
    uint8_t id[16];
    struct producer *before, *after; /* by silence */
    uint64_t saved_in;               /* serial of the commit that holds a copy */
    struct state state;
};

struct saved {
    struct producer *producer;
    bool fresh; /* it was not there */
    struct state state;
};

struct producers {
    struct producer **slot;
    uint32_t slots, count;
    struct producer *first, *last; /* the longest silent, the one heard last */
    uint64_t held, hashes;         /* bits and ring places, over all */
    uint64_t max_hashes;
    uint32_t max_producers, refresh_s;
    uint64_t seed;
    uint64_t serial;
    struct saved *saved;
    size_t saves, save_capacity;
    struct producer_chunk *taken;
    size_t takes, take_capacity;
};

struct producers *producers_new(uint32_t max_producers, uint64_t max_hashes, uint32_t refresh_s)
{
    struct producers *set = must(calloc(1, sizeof(*set)));

    assert(max_producers > 0 && max_hashes > 0);
    set->max_producers = max_producers;
    set->max_hashes = max_hashes;
    set->refresh_s = refresh_s;
    set->serial = 1;
    tide_random(&set->seed, sizeof(set->seed));
    set->slots = 64;
    set->slot = must(calloc(set->slots, sizeof(struct producer *)));
    return set;
}

void producers_free(struct producers *set)
{
    if (!set)
        return;
    for (struct producer *at = set->first, *after; at; at = after) {
        after = at->after;
        free(at->state.ring);
        free(at);
    }
    for (size_t i = 0; i < set->saves; i++)
        free(set->saved[i].state.ring);
    free(set->slot);
    free(set->saved);
    free(set->taken);
    free(set);
}

/* ---- finding one ---- */

static uint32_t home_of(const struct producers *set, const uint8_t id[16])
{
    return (uint32_t)tide_hash64(set->seed, id, 16) & (set->slots - 1);
}

/* The slot of a producer, or the free one where it would go. */
static uint32_t slot_of(const struct producers *set, const uint8_t id[16])
{
    uint32_t at = home_of(set, id);

    while (set->slot[at] && memcmp(set->slot[at]->id, id, 16) != 0)
        at = (at + 1) & (set->slots - 1);
    return at;
}

static void unlink_one(struct producers *set, struct producer *producer)
{
    *(producer->before ? &producer->before->after : &set->first) = producer->after;
    *(producer->after ? &producer->after->before : &set->last) = producer->before;
}

static void link_last(struct producers *set, struct producer *producer)
{
    producer->before = set->last;
    producer->after = NULL;
    *(set->last ? &set->last->after : &set->first) = producer;
    set->last = producer;
}

static struct producer *add(struct producers *set, const uint8_t id[16])
{
    struct producer *producer = must(calloc(1, sizeof(*producer)));

    if (2 * (set->count + 1) > set->slots) {
        free(set->slot);
        set->slots *= 2;
        set->slot = must(calloc(set->slots, sizeof(struct producer *)));
        for (struct producer *at = set->first; at; at = at->after)
            set->slot[slot_of(set, at->id)] = at;
    }
    memcpy(producer->id, id, 16);
    producer->state.size = RING_FIRST;
    producer->state.ring = must(malloc(RING_FIRST * sizeof(struct tide_hash128)));
    set->hashes += RING_FIRST;
    set->slot[slot_of(set, id)] = producer;
    link_last(set, producer);
    set->count++;
    return producer;
}

static void drop(struct producers *set, struct producer *producer)
{
    uint32_t mask = set->slots - 1, hole = slot_of(set, producer->id), next = hole;

    for (;;) {
        uint32_t home;

        next = (next + 1) & mask;
        if (!set->slot[next])
            break;
        home = home_of(set, set->slot[next]->id);
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            set->slot[hole] = set->slot[next];
            hole = next;
        }
    }
    set->slot[hole] = NULL;
    unlink_one(set, producer);
    set->count--;
    set->held -= producer->state.held;
    set->hashes -= producer->state.size;
    free(producer->state.ring);
    free(producer);
}

/* ---- one producer's window ---- */

static bool seen(const struct state *state, uint64_t seq)
{
    return state->seen[seq % PRODUCER_WINDOW / 64] >> seq % 64 & 1;
}

/* The window ends at seq now: what it leaves behind is forgotten. */
static void advance(struct state *state, uint64_t seq)
{
    if (seq - state->high >= PRODUCER_WINDOW)
        memset(state->seen, 0, sizeof(state->seen));
    else
        for (uint64_t gone = state->high + 1; gone != seq + 1; gone++)
            state->seen[gone % PRODUCER_WINDOW / 64] &= ~(UINT64_C(1) << gone % 64);
    state->high = seq;
    state->held = 0;
    for (unsigned i = 0; i < WORDS; i++)
        state->held += (uint32_t)__builtin_popcountll(state->seen[i]);
}

/* Another seq of the window lies where this one's hash would. */
static bool shares_its_place(const struct state *state, uint64_t seq)
{
    for (uint32_t step = state->size; step < PRODUCER_WINDOW; step += state->size)
        if (seen(state, seq % PRODUCER_WINDOW + step))
            return true;
    return false;
}

static void widen(struct state *state)
{
    uint32_t size = 2 * state->size;
    struct tide_hash128 *ring = must(malloc(size * sizeof(*ring)));

    for (uint32_t at = 0; at < PRODUCER_WINDOW; at++)
        if (seen(state, at))
            ring[at & (size - 1)] = state->ring[at & (state->size - 1)];
    free(state->ring);
    state->ring = ring;
    state->size = size;
}

static struct tide_hash128 *hash_of(const struct state *state, uint64_t seq)
{
    return &state->ring[seq & (state->size - 1)];
}

static void put(struct state *state, uint64_t seq, struct tide_hash128 payload)
{
    while (shares_its_place(state, seq))
        widen(state);
    state->seen[seq % PRODUCER_WINDOW / 64] |= UINT64_C(1) << seq % 64;
    state->held++;
    *hash_of(state, seq) = payload;
}

static enum producer_verdict judge(const struct state *state, const struct producer_chunk *chunk)
{
    const struct tide_hash128 *held;

    if (chunk->origin.epoch != state->epoch)
        return chunk->origin.epoch > state->epoch ? PRODUCER_NEW : PRODUCER_KNOWN;
    if (chunk->origin.seq > state->high)
        return PRODUCER_NEW;
    if (state->high - chunk->origin.seq >= PRODUCER_WINDOW)
        return PRODUCER_KNOWN;
    if (!seen(state, chunk->origin.seq))
        return PRODUCER_NEW;
    held = hash_of(state, chunk->origin.seq);
    return held->low == chunk->payload.low && held->high == chunk->payload.high ? PRODUCER_KNOWN
                                                                                : PRODUCER_REUSED;
}

/* Takes a chunk that was judged new. */
static void accept(struct producers *set, struct state *state, const struct producer_chunk *chunk)
{
    uint32_t size = state->size, held = state->held;

    if (chunk->origin.epoch != state->epoch || held == 0) {
        memset(state->seen, 0, sizeof(state->seen));
        state->held = 0;
        state->epoch = chunk->origin.epoch;
        state->high = chunk->origin.seq;
    } else if (chunk->origin.seq > state->high) {
        advance(state, chunk->origin.seq);
    }
    put(state, chunk->origin.seq, chunk->payload);
    set->hashes += state->size - size;
    set->held = set->held + state->held - held;
}

static void hear(struct producers *set, struct producer *producer, uint32_t time_s)
{
    if (time_s > producer->state.heard_s)
        producer->state.heard_s = time_s;
    if (set->last == producer)
        return;
    unlink_one(set, producer);
    link_last(set, producer);
}

/* ---- taking and taking back ---- */

static void save(struct producers *set, struct producer *producer, bool fresh)
{
    struct saved *saved;

    if (producer->saved_in == set->serial)
        return;
    producer->saved_in = set->serial;
    if (set->saves == set->save_capacity) {
        set->save_capacity = set->save_capacity ? 2 * set->save_capacity : 64;
        set->saved = must(realloc(set->saved, set->save_capacity * sizeof(*set->saved)));
    }
    saved = &set->saved[set->saves++];
    *saved = (struct saved){.producer = producer, .fresh = fresh};
    if (fresh)
        return;
    saved->state = producer->state;
    saved->state.ring = must(malloc(saved->state.size * sizeof(*saved->state.ring)));
    memcpy(saved->state.ring, producer->state.ring, saved->state.size * sizeof(*saved->state.ring));
}

static void write_later(struct producers *set, struct producer *producer,
                        const struct producer_chunk *chunk, uint32_t time_s)
{
    if (set->takes == set->take_capacity) {
        set->take_capacity = set->take_capacity ? 2 * set->take_capacity : 64;
        set->taken = must(realloc(set->taken, set->take_capacity * sizeof(*set->taken)));
    }
    set->taken[set->takes++] = *chunk;
    producer->state.written_s = time_s;
}

enum producer_verdict producers_take(struct producers *set, const struct producer_chunk *chunk,
                                     uint32_t time_s)
{
    struct producer *producer = set->slot[slot_of(set, chunk->origin.producer)];
    enum producer_verdict verdict = PRODUCER_NEW;

    if (!producer) {
        producer = add(set, chunk->origin.producer);
        save(set, producer, true);
    } else {
        verdict = judge(&producer->state, chunk);
    }
    if (verdict == PRODUCER_NEW) {
        save(set, producer, false);
        accept(set, &producer->state, chunk);
        write_later(set, producer, chunk, time_s);
    } else if (time_s > producer->state.written_s &&
               time_s - producer->state.written_s > set->refresh_s) {
        struct producer_chunk newest = {.origin = chunk->origin};

        save(set, producer, false);
        newest.origin.epoch = producer->state.epoch;
        newest.origin.seq = producer->state.high;
        newest.payload = *hash_of(&producer->state, producer->state.high);
        write_later(set, producer, &newest, time_s);
    }
    hear(set, producer, time_s);
    return verdict;
}

size_t producers_taken(const struct producers *set, const struct producer_chunk **ret)
{
    *ret = set->taken;
    return set->takes;
}

static uint32_t drop_silent(struct producers *set, uint32_t before_s)
{
    uint32_t gone = 0;

    assert(set->saves == 0);
    while (set->first && (set->first->state.heard_s < before_s || set->count > set->max_producers ||
                          (set->hashes > set->max_hashes && set->count > 1))) {
        drop(set, set->first);
        gone++;
    }
    return gone;
}

void producers_keep(struct producers *set)
{
    for (size_t i = 0; i < set->saves; i++)
        free(set->saved[i].state.ring);
    set->saves = 0;
    set->takes = 0;
    set->serial++;
    drop_silent(set, 0);
}

void producers_undo(struct producers *set)
{
    while (set->saves) {
        struct saved *saved = &set->saved[--set->saves];
        struct state *state = &saved->producer->state;

        if (saved->fresh) {
            drop(set, saved->producer);
            continue;
        }
        set->held = set->held - state->held + saved->state.held;
        set->hashes = set->hashes - state->size + saved->state.size;
        free(state->ring);
        *state = saved->state;
    }
    set->takes = 0;
    set->serial++;
}

void producers_load(struct producers *set, const struct producer_chunk *chunk, uint32_t time_s)
{
    struct producer *producer = set->slot[slot_of(set, chunk->origin.producer)];

    if (!producer)
        producer = add(set, chunk->origin.producer);
    if (producer->state.held == 0 || judge(&producer->state, chunk) == PRODUCER_NEW)
        accept(set, &producer->state, chunk);
    if (time_s > producer->state.written_s)
        producer->state.written_s = time_s;
    hear(set, producer, time_s);
}

/* ---- bounds ---- */

uint32_t producers_expire(struct producers *set, uint32_t before_s)
{
    return drop_silent(set, before_s);
}

bool producers_holds(const struct producers *set, const struct producer_chunk *chunk)
{
    const struct producer *producer = set->slot[slot_of(set, chunk->origin.producer)];

    return producer && producer->state.epoch == chunk->origin.epoch &&
           chunk->origin.seq <= producer->state.high &&
           producer->state.high - chunk->origin.seq < PRODUCER_WINDOW &&
           seen(&producer->state, chunk->origin.seq);
}

uint32_t producers_count(const struct producers *set)
{
    return set->count;
}

uint64_t producers_held(const struct producers *set)
{
    return set->held;
}
