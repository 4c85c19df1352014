/* names - see the door. Open addressing by a seeded hash; a slot keeps the hash's upper half beside
 * the pointer, so that a probe seldom touches a subject that is not the one.
 */
#include "tidemark/names.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/event.h"
#include "tidemark/hash.h"
#include "memory.h"

struct slot {
    struct tide_subject *subject; /* NULL: free */
    uint64_t hash;
};

/* This one needs no seed: names that share a place only push each other out, into the table that
 * has one.
 *
 * A name of up to 16 bytes is two words and its length: what was met lately is found by comparing
 * those, without the hash and without touching the subject. The table grows with the names, so that
 * two that are met all the time seldom share a place. */
struct near {
    uint64_t first, last;
    struct tide_subject *subject;
    uint32_t len;
    uint32_t memo; /* its number */
};

#define NEAR_LEN        16u
#define NEAR_BITS_FIRST 10 /* places at first, ... */
#define NEAR_BITS_LAST  16 /* ... and at most, as powers of two */
#define NEAR_SPARSE     8u /* places per name, below the most */

#define MEMOS_BITS 9 /* of one block */

struct tide_names {
    struct near *near;
    unsigned near_bits;
    uint64_t seed;
    uint32_t count, max;
    uint32_t slots; /* a power of two, at least twice the count */
    struct slot *slot;
    struct tide_memo **memo; /* blocks that stay where they are, as the subjects point into them */
    uint32_t memo_capacity;
    size_t memory;
};

static void make_near(struct tide_names *names, unsigned bits)
{
    free(names->near);
    names->near = tide_must_realloc(NULL, sizeof(*names->near) << bits);
    memset(names->near, 0, sizeof(*names->near) << bits);
    names->near_bits = bits;
}

struct tide_names *tide_names_new(uint32_t max)
{
    struct tide_names *names = tide_must_realloc(NULL, sizeof(*names));

    memset(names, 0, sizeof(*names));
    names->max = max;
    names->slots = 64;
    tide_random(&names->seed, sizeof(names->seed));
    make_near(names, NEAR_BITS_FIRST);
    names->slot = tide_must_realloc(NULL, names->slots * sizeof(*names->slot));
    memset(names->slot, 0, names->slots * sizeof(*names->slot));
    return names;
}

void tide_names_free(struct tide_names *names)
{
    if (!names)
        return;
    for (uint32_t i = 0; i < names->slots; i++)
        free(names->slot[i].subject);
    for (uint32_t i = 0; i << MEMOS_BITS < names->count; i++)
        free(names->memo[i]);
    free(names->memo);
    free(names->slot);
    free(names->near);
    free(names);
}

size_t tide_names_memory(const struct tide_names *names)
{
    return sizeof(*names) + (sizeof(*names->near) << names->near_bits) +
           names->slots * sizeof(*names->slot) + names->memory;
}

static void grow(struct tide_names *names)
{
    uint32_t slots = names->slots * 2;
    struct slot *slot = tide_must_realloc(NULL, slots * sizeof(*slot));

    memset(slot, 0, slots * sizeof(*slot));
    for (uint32_t i = 0; i < names->slots; i++) {
        uint32_t at = (uint32_t)names->slot[i].hash & (slots - 1);

        if (!names->slot[i].subject)
            continue;
        while (slot[at].subject)
            at = (at + 1) & (slots - 1);
        slot[at] = names->slot[i];
    }
    free(names->slot);
    names->slot = slot;
    names->slots = slots;
}

static inline uint64_t load4(const char *from)
{
    uint32_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/* Names of services are short: a few words compared in place beat a call. */
static inline bool same(const char *a, const char *b, uint32_t len)
{
    if (len < 8)
        return memcmp(a, b, len) == 0;
    for (uint32_t at = 0; at + 8 < len; at += 8)
        if (tide_load8(a + at) != tide_load8(b + at))
            return false;
    return tide_load8(a + len - 8) == tide_load8(b + len - 8);
}

static inline struct tide_memo *memo_of(const struct tide_names *names, uint32_t number)
{
    return &names->memo[number >> MEMOS_BITS][number & ((1u << MEMOS_BITS) - 1)];
}

/* The memo of a new name, the last. */
static struct tide_memo *add_memo(struct tide_names *names)
{
    uint32_t number = names->count++, block = number >> MEMOS_BITS;

    if (number == block << MEMOS_BITS) {
        size_t size = sizeof(**names->memo) << MEMOS_BITS;

        names->memo =
            tide_must_grow(names->memo, &names->memo_capacity, block + 1, sizeof(*names->memo));
        names->memo[block] = tide_must_realloc(NULL, size);
        memset(names->memo[block], 0, size);
        names->memory += size;
    }
    return memo_of(names, number);
}

static __attribute__((noinline)) struct tide_subject *find_or_add(struct tide_names *names,
                                                                  const char *name, uint32_t len)
{
    static const char overflow[] = TIDE_OVERFLOW_MODULE;
    uint64_t hash = tide_hash64(names->seed, name, len);
    uint32_t at = (uint32_t)hash & (names->slots - 1);
    struct tide_subject *subject;

    assert(len > 0 && len <= TIDE_MODULE_NAME_MAX);
    for (; (subject = names->slot[at].subject); at = (at + 1) & (names->slots - 1))
        if (names->slot[at].hash == hash && subject->len == len && same(subject->name, name, len))
            return subject;
    if (names->count >= names->max &&
        (len != sizeof(overflow) - 1 || memcmp(name, overflow, len) != 0))
        return find_or_add(names, overflow, sizeof(overflow) - 1);
    subject = tide_must_realloc(NULL, sizeof(*subject) + len);
    *subject = (struct tide_subject){.len = len, .number = names->count, .memo = add_memo(names)};
    memcpy(subject->name, name, len);
    names->slot[at] = (struct slot){subject, hash};
    names->memory += sizeof(*subject) + len;
    if (names->count * 2 > names->slots)
        grow(names);
    return subject;
}

/* Two words that tell names of one length up to NEAR_LEN apart. */
static inline void look_of(const char *name, uint32_t len, uint64_t *ret_first, uint64_t *ret_last)
{
    if (len >= 8) {
        *ret_first = tide_load8(name);
        *ret_last = tide_load8(name + len - 8);
    } else if (len >= 4) {
        *ret_first = load4(name);
        *ret_last = load4(name + len - 4);
    } else {
        *ret_first = (unsigned char)name[0] | (uint64_t)(unsigned char)name[len / 2] << 8;
        *ret_last = (unsigned char)name[len - 1];
    }
}

/* Where a name of this look is, or would be, among the near ones: there, or in the place beside it,
 * which is in the same cache line. */
static inline size_t place_of(const struct tide_names *names, uint64_t first, uint64_t last)
{
    uint64_t mixed = (first ^ last * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);

    return (size_t)(mixed >> (64 - names->near_bits));
}

static inline bool is_near(const struct near *near, uint64_t first, uint64_t last, uint32_t len)
{
    return ((near->first ^ first) | (near->last ^ last) | (near->len ^ len)) == 0;
}

/* It is not among the near ones. */
static __attribute__((noinline)) struct tide_subject *bring_near(struct tide_names *names,
                                                                 const char *name, uint32_t len)
{
    uint64_t first, last;
    struct tide_subject *subject = find_or_add(names, name, len);
    size_t place;

    if (names->near_bits < NEAR_BITS_LAST && names->count * NEAR_SPARSE >> names->near_bits)
        make_near(names, names->near_bits + 2);
    look_of(name, len, &first, &last);
    place = place_of(names, first, last);
    if (names->near[place].subject && !names->near[place ^ 1].subject)
        place ^= 1;
    names->near[place] = (struct near){first, last, subject, len, subject->number};
    return subject;
}

struct tide_named tide_names_get(struct tide_names *names, const char *name, uint32_t len)
{
    struct tide_subject *subject;
    uint64_t first, last;
    const struct near *near;

    if (len <= NEAR_LEN) {
        look_of(name, len, &first, &last);
        near = &names->near[place_of(names, first, last)];
        if (is_near(near, first, last, len))
            return (struct tide_named){near->subject, memo_of(names, near->memo)};
        near = &names->near[place_of(names, first, last) ^ 1];
        if (is_near(near, first, last, len))
            return (struct tide_named){near->subject, memo_of(names, near->memo)};
        subject = bring_near(names, name, len);
    } else {
        subject = find_or_add(names, name, len);
    }
    return (struct tide_named){subject, subject->memo};
}

void tide_names_call_up(const struct tide_names *names, const char *name, uint32_t len)
{
    uint64_t first, last;

    if (len > NEAR_LEN)
        return;
    look_of(name, len, &first, &last);
    __builtin_prefetch(&names->near[place_of(names, first, last)]);
}
