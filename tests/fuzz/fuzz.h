/* What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput, the function that
 * libFuzzer and AFL++ call; linked with replay.c it is an ordinary test over its corpus.
 */
#ifndef TIDE_FUZZ_H
#define TIDE_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fuzzer calls it; 0: the input was of use. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has to hold for any input. Not an assert: those of the product stay told apart. */
#define claim(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* A copy whose end is the end of its memory, so that AddressSanitizer sees a byte read behind it.
 * Freed by the caller. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(1, size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* The next number of a small generator: what the input's first bytes choose. */
static inline uint32_t fuzz_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
