/* hash_parts - the body of tide_hash128_parts, compiled once for every x86-64 and once for those
 * with AVX2 (twice the speed on whole chunks). The results are the same, by XXH3's definition and
 * by the tests.
 */
#ifndef BASE_HASH_PARTS_H
#define BASE_HASH_PARTS_H

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tidemark/bytes.h"
#include "tidemark/hash.h"

static inline struct tide_hash128 hash_parts(uint64_t seed, const struct tide_hash_part *part,
                                             size_t count)
{
    /* Aligned by hand: AddressSanitizer's stack for use-after-return knows no alignment above 32.
     */
    uint8_t room[sizeof(XXH3_state_t) + 64];
    XXH3_state_t *state = (XXH3_state_t *)(((uintptr_t)room + 63) & ~(uintptr_t)63);
    XXH128_hash_t sum;

    assert(count <= 8);
    XXH3_INITSTATE(state);
    XXH3_128bits_reset_withSeed(state, seed);
    for (size_t i = 0; i < count; i++) {
        uint8_t len[8]; /* in front, big-endian: the stored identities depend on it */

        tide_put_be64(len, part[i].len);
        XXH3_128bits_update(state, len, sizeof(len));
        if (part[i].len)
            XXH3_128bits_update(state, part[i].data, part[i].len);
    }
    sum = XXH3_128bits_digest(state);
    return (struct tide_hash128){.low = sum.low64, .high = sum.high64};
}

/* The second compilation; only where the processor has AVX2. */
struct tide_hash128 tide_hash128_parts_avx2(uint64_t seed, const struct tide_hash_part *part,
                                            size_t count);

/* The first one, for the tests. */
struct tide_hash128 tide_hash128_parts_plain(uint64_t seed, const struct tide_hash_part *part,
                                             size_t count);

#endif
