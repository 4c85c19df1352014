/* memory - see memory.h. */
#include "memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void *tide_must_realloc(void *held, size_t bytes)
{
    void *got;

    assert(bytes > 0);
    got = realloc(held, bytes);
    if (!got) {
        fprintf(stderr, "tidemark: out of memory: %zu bytes for records\n", bytes);
        abort();
    }
    return got;
}

void *tide_must_grow(void *held, uint32_t *capacity, uint32_t need, size_t size)
{
    uint32_t wanted = *capacity ? *capacity : 8;

    if (need <= *capacity)
        return held;
    assert(need <= UINT32_MAX / 2);
    while (wanted < need)
        wanted *= 2;
    *capacity = wanted;
    return tide_must_realloc(held, wanted * size);
}
