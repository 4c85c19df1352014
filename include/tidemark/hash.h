/* Keyed hashes. Names and ids come from the network, so every table that holds them is seeded.
 * XXH3 (libxxhash): the speed of memory, and 128 bits are enough to tell chunks apart; it is no
 * signature.
 */
#ifndef TIDEMARK_HASH_H
#define TIDEMARK_HASH_H

#include <stddef.h>
#include <stdint.h>

struct tide_hash128 {
    uint64_t low, high;
};

uint64_t tide_hash64(uint64_t seed, const void *data, size_t len);

/* Over the parts in order, each preceded by its length, so that no two splits collide. At most 8
 * parts. */
struct tide_hash_part {
    const void *data;
    size_t len;
};
struct tide_hash128 tide_hash128_parts(uint64_t seed, const struct tide_hash_part *part,
                                       size_t count);

/* Fills out[0, len) from the kernel's random source; aborts if there is none. */
void tide_random(void *out, size_t len);

#endif
