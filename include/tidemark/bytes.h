/* Loads and stores, LEB128 varints, hexadecimal digits, sums that saturate. Inline: they sit on
 * every hot path. */
#ifndef TIDEMARK_BYTES_H
#define TIDEMARK_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Eight bytes as they lie: to compare, not to count with. */
static inline uint64_t tide_load8(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof(word));
    return word;
}

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int tide_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline uint16_t tide_get_be16(const void *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t tide_get_be32(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t tide_get_be64(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void tide_put_be16(void *to, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(to, &v, sizeof(v));
}

static inline void tide_put_be32(void *to, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(to, &v, sizeof(v));
}

static inline void tide_put_be64(void *to, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(to, &v, sizeof(v));
}

#define TIDE_VARINT_MAX 10

/* Writes v in 1..10 bytes, seven bits a byte, lowest first; returns the end. */
static inline uint8_t *tide_put_varint(uint8_t *to, uint64_t v)
{
    while (v >= 0x80) {
        *to++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *to++ = (uint8_t)v;
    return to;
}

/* As tide_put_varint, for who has room for TIDE_VARINT_MAX bytes at `to` however short the value
 * turns out: without a loop, whose end is guessed wrong for values of changing size. */
static inline uint8_t *tide_put_varint_roomy(uint8_t *to, uint64_t v)
{
    unsigned size;

    if (v < 0x80) {
        *to = (uint8_t)v;
        return to + 1;
    }
    if (v >> 56)
        return tide_put_varint(to, v);
    size = (unsigned)(70 - __builtin_clzll(v)) / 7;
    v = (v & 0xfffffff) | (v & 0xfffffff0000000) << 4;
    v = (v & 0x3fff00003fff) | (v & 0xfffc0000fffc000) << 2;
    v = (v & 0x7f007f007f007f) | (v & 0x3f803f803f803f80) << 1;
    v |= 0x8080808080808080 >> (72 - 8 * size);
    v = htole64(v);
    memcpy(to, &v, sizeof(v));
    return to + size;
}

/* Reads a varint from [*from, end); false when it is cut or longer than 64 bits. */
static inline _Bool tide_get_varint(const uint8_t **from, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    const uint8_t *p = *from;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (p == end)
            return 0;
        byte = *p++;
        if (shift == 63 && byte > 1)
            return 0;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *from = p;
            *ret = v;
            return 1;
        }
    }
    return 0;
}

/* Signed values as varints: small magnitudes stay short. */
static inline uint64_t tide_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t tide_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Sums that stop at the top instead of wrapping: still commutative and associative. */
static inline uint64_t tide_add_sat(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t tide_mul_sat(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

#endif
