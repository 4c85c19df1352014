/* inflate - gzip, bounded. */
#ifndef TIDEMARK_WIRE_INFLATE_H
#define TIDEMARK_WIRE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

/* The first bytes of a gzip member; no msgpack entry begins like this. */
static inline bool tide_gzip_magic(const uint8_t *data, size_t len)
{
    return len >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* Unpacks one or more gzip members, the end of the last one being the end of data.
 *
 * Returns  TIDE_OK         *ret_data (to be freed, NULL when empty) holds *ret_len bytes
 *          TIDE_MALFORMED  no gzip, cut, wrong checksum, or something behind the last member
 *          TIDE_TOO_LARGE  more than max_bytes; memory never went beyond that
 *          TIDE_NO_MEMORY
 */
enum tide_rc tide_gzip_unpack(const uint8_t *data, size_t len, size_t max_bytes, uint8_t **ret_data,
                              size_t *ret_len);

#endif
