/* CRC-32C: the processor's instruction where there is one, else eight bytes a step through tables.
 *
 * Tables and choice are made by a constructor, before there is a second thread, and never change.
 */
#include "tidemark/crc32c.h"
#include "crc32c_path.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli, reflected */

static uint32_t table[8][256]; /* table[k][b]: byte b followed by k zero bytes */
static crc32c_fn *chosen = tide_crc32c_by_table;

uint32_t tide_crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *at = data;

    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                              (uint32_t)at[3] << 24);

        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
              table[0][at[7]];
    }
    for (; len; len--)
        crc = crc >> 8 ^ table[0][(crc ^ *at++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *data,
                                                                 size_t len)
{
    const uint8_t *at = data;
    uint64_t wide = (uint32_t)~crc;
    uint32_t narrow;

    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    narrow = (uint32_t)wide;
    for (; len; len--)
        narrow = __builtin_ia32_crc32qi(narrow, *at++);
    return ~narrow;
}

crc32c_fn *tide_crc32c_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction : NULL;
}
#else
crc32c_fn *tide_crc32c_hardware(void)
{
    return NULL;
}
#endif

__attribute__((constructor)) static void prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (uint32_t byte = 0; byte < 256; byte++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
    }
    if (tide_crc32c_hardware())
        chosen = tide_crc32c_hardware();
}

uint32_t tide_crc32c(uint32_t crc, const void *data, size_t len)
{
    return chosen(crc, data, len);
}
