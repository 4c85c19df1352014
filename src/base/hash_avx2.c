/* hash_avx2 - see hash_parts.h. The build gives this file -mavx2 where the machine is an x86-64. */
#include "hash_parts.h"

struct tide_hash128 tide_hash128_parts_avx2(uint64_t seed, const struct tide_hash_part *part,
                                            size_t count)
{
    return hash_parts(seed, part, count);
}
