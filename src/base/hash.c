/* Keyed hashes (XXH3, inlined from its header) and random bytes from the kernel. */
#include "tidemark/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "hash_parts.h"

uint64_t tide_hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

struct tide_hash128 tide_hash128_parts_plain(uint64_t seed, const struct tide_hash_part *part,
                                             size_t count)
{
    return hash_parts(seed, part, count);
}

struct tide_hash128 tide_hash128_parts(uint64_t seed, const struct tide_hash_part *part,
                                       size_t count)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return tide_hash128_parts_avx2(seed, part, count);
#endif
    return hash_parts(seed, part, count);
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
