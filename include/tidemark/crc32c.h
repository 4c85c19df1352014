/* CRC-32C (Castagnoli, reflected, init and xor-out all ones), as in iSCSI and ext4. Every stored
 * value ends in one. */
#ifndef TIDEMARK_CRC32C_H
#define TIDEMARK_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to begin) over data[0, len). tide_crc32c(0, "123456789", 9) == 0xe3069283. */
uint32_t tide_crc32c(uint32_t crc, const void *data, size_t len);

#endif
