/* key - key bytes. Big-endian, so that LMDB's order is the order of the numbers. */
#ifndef STORAGE_KEY_H
#define STORAGE_KEY_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/bytes.h"

#define KEY_JOURNAL_SIZE    10 /* seq 8, part 2; identities alike */
#define KEY_MODULE_SIZE     5  /* id 4, part 1 */
#define KEY_ROW_SIZE        13 /* interval start 8, module 4, part 1 */
#define KEY_CORRECTION_SIZE 21 /* interval start 8, module 4, seq 8, part 1 */
#define KEY_CHUNK_SIZE      17 /* period start 8, module 4, first interval - period start 4, part 1 */
#define KEY_MAX             32

static inline void key_journal(uint8_t key[KEY_JOURNAL_SIZE], uint64_t seq, unsigned part)
{
    tide_put_be64(key, seq);
    tide_put_be16(key + 8, (uint16_t)part);
}

static inline void key_module(uint8_t key[KEY_MODULE_SIZE], uint32_t id)
{
    tide_put_be32(key, id);
    key[4] = 0;
}

static inline void key_row(uint8_t key[KEY_ROW_SIZE], int64_t start_s, uint32_t module)
{
    tide_put_be64(key, (uint64_t)start_s);
    tide_put_be32(key + 8, module);
    key[12] = 0;
}

static inline void key_correction(uint8_t key[KEY_CORRECTION_SIZE], int64_t start_s,
                                  uint32_t module, uint64_t seq)
{
    tide_put_be64(key, (uint64_t)start_s);
    tide_put_be32(key + 8, module);
    tide_put_be64(key + 12, seq);
    key[20] = 0;
}

static inline void key_chunk(uint8_t key[KEY_CHUNK_SIZE], int64_t period_s, uint32_t module,
                             int64_t first_s)
{
    tide_put_be64(key, (uint64_t)period_s);
    tide_put_be32(key + 8, module);
    tide_put_be32(key + 12, (uint32_t)(first_s - period_s));
    key[16] = 0;
}

static inline int64_t key_chunk_first_s(const void *key)
{
    return (int64_t)tide_get_be64(key) + tide_get_be32((const uint8_t *)key + 12);
}

static inline int64_t key_start_s(const void *key)
{
    return (int64_t)tide_get_be64(key);
}

static inline uint32_t key_row_module(const void *key)
{
    return tide_get_be32((const uint8_t *)key + 8);
}

static inline uint64_t key_correction_seq(const void *key)
{
    return tide_get_be64((const uint8_t *)key + 12);
}

#endif
