/* bits - fields of 0 to 64 bits, one after the other, as chunks hold them.
 *
 * Bit b of a stream is bit b % 8 of byte b / 8, and the lowest bit of a field comes first; so a
 * field is found by one unaligned little-endian load, a shift and a mask. The writer needs eight
 * spare bytes behind its end. The reader never touches a byte outside [start, start + len): past
 * the end it sees zeros, and the caller asks once, after a run of reads, whether that happened.
 */
#ifndef STORAGE_BITS_H
#define STORAGE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Spare bytes behind what is written. */
#define BITS_SLACK 8

struct bit_writer {
    uint8_t *at;
    uint64_t held;
    unsigned bits; /* of held, 0..7 between calls */
};

/* Width of the smallest field that holds v. */
static inline unsigned bits_of(uint64_t v)
{
    return v ? 64u - (unsigned)__builtin_clzll(v) : 0;
}

static inline uint64_t bits_mask(unsigned width)
{
    return width == 0 ? 0 : UINT64_MAX >> (64 - width);
}

/* Appends the low `width` bits of v; width <= 56 and v has no bit above it. */
static inline void bits_put_short(struct bit_writer *to, uint64_t v, unsigned width)
{
    to->held |= v << to->bits;
    to->bits += width;
    memcpy(to->at, &to->held, sizeof(to->held));
    to->at += to->bits >> 3;
    to->held >>= to->bits & ~7u;
    to->bits &= 7;
}

/* As bits_put_short, width <= 64. */
static inline void bits_put(struct bit_writer *to, uint64_t v, unsigned width)
{
    if (width > 32) {
        bits_put_short(to, v & UINT32_MAX, 32);
        v >>= 32;
        width -= 32;
    }
    bits_put_short(to, v, width);
}

/* Fills the last byte up with zeros; returns the end. */
static inline uint8_t *bits_end(struct bit_writer *to)
{
    if (to->bits)
        *to->at++ = (uint8_t)to->held;
    to->held = 0;
    to->bits = 0;
    return to->at;
}

struct bit_reader {
    const uint8_t *start;
    size_t len; /* bytes */
    size_t bit; /* next one; may run past the end, see bits_overrun */
};

#define BITS_PEEK 57

/* The next BITS_PEEK bits or more, zeros behind the end. */
static inline uint64_t bits_peek(const struct bit_reader *from)
{
    size_t byte = from->bit >> 3;
    uint64_t window = 0;

    if (byte + sizeof(window) <= from->len)
        memcpy(&window, from->start + byte, sizeof(window));
    else if (byte < from->len)
        memcpy(&window, from->start + byte, from->len - byte);
    return window >> (from->bit & 7);
}

/* The next field; width <= 64. */
static inline uint64_t bits_get(struct bit_reader *from, unsigned width)
{
    uint64_t low = 0;

    if (width > 32) {
        low = bits_peek(from) & UINT32_MAX;
        from->bit += 32;
        low |= (bits_peek(from) & bits_mask(width - 32)) << 32;
        from->bit += width - 32;
        return low;
    }
    low = bits_peek(from) & bits_mask(width);
    from->bit += width;
    return low;
}

/* More bits were taken than there are. */
static inline bool bits_overrun(const struct bit_reader *from)
{
    return from->bit > from->len * 8;
}

/* Moves to the next byte boundary; false when the bits left behind are not zeros. */
static inline bool bits_align(struct bit_reader *from)
{
    unsigned rest = (unsigned)(-from->bit & 7);

    return bits_get(from, rest) == 0;
}

#endif
