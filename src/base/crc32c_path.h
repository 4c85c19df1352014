/* The two ways to compute CRC-32C, for the test that holds them against each other. */
#ifndef TIDEMARK_BASE_CRC32C_PATH_H
#define TIDEMARK_BASE_CRC32C_PATH_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t crc32c_fn(uint32_t crc, const void *data, size_t len);

crc32c_fn tide_crc32c_by_table;

/* The instruction's path, or NULL where this processor has none. */
crc32c_fn *tide_crc32c_hardware(void);

#endif
