/* Keyed hashes (XXH3, inlined from its header) and random bytes from the kernel. */
#include "tidemark/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tidemark/bytes.h"

uint64_t tide_hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

struct tide_hash128 tide_hash128_parts(uint64_t seed, const struct tide_hash_part *part,
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

void tide_random(void *out, size_t len)
{
    uint8_t *at = out;

    while (len) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* Unseeded tables can be flooded by chosen names; better not to run at all. */
            perror("getrandom");
            abort();
        }
        at += n;
        len -= (size_t)n;
    }
}
