/* cursor - reads msgpack in place: no objects, no copies, no recursion, no trust.
 *
 * A cursor is two pointers. Every reader checks the bytes it needs against the end before it
 * touches them and leaves the cursor where it was when it fails; a declared count is checked
 * against the bytes left (an array of n needs at least n more bytes, a map 2n), so no loop can be
 * longer than its input. Everything is inline: the decoder is compiled with -O3 and lives from the
 * readers melting into it.
 */
#ifndef TIDEMARK_WIRE_CURSOR_H
#define TIDEMARK_WIRE_CURSOR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tidemark/bytes.h"
#include "tidemark/event.h"
#include "tidemark/wire.h"

struct tide_cursor {
    const uint8_t *at, *end;
};

enum tide_type {
    TIDE_NIL,
    TIDE_BOOL,
    TIDE_UINT, /* any integer >= 0, however it was encoded */
    TIDE_INT,  /* a negative integer */
    TIDE_FLOAT,
    TIDE_STR,
    TIDE_BIN,
    TIDE_EXT,
    TIDE_ARRAY, /* the cursor stands at its first element */
    TIDE_MAP    /* the cursor stands at its first key */
};

struct tide_value {
    enum tide_type type;
    int8_t ext;          /* TIDE_EXT: its type */
    uint32_t len;        /* STR, BIN, EXT: bytes; ARRAY: elements; MAP: pairs */
    const uint8_t *data; /* STR, BIN, EXT */
    union {
        bool truth;
        uint64_t whole; /* TIDE_UINT */
        int64_t minus;  /* TIDE_INT, < 0 */
        double real;
    };
};

/* How many bytes the value with this first byte has in all, where the first byte alone says so
 * (scalars, short strings, fixext); 0 for the rest: longer strings, containers, and the one byte
 * that msgpack does not use. */
extern const uint8_t tide_value_size[256];

static inline bool tide_byte_opens_map(uint8_t first)
{
    return (first & 0xf0) == 0x80 || first == 0xde || first == 0xdf;
}

static inline size_t tide_cursor_left(const struct tide_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* A value whose payload is `len` bytes after a header of `header` bytes. */
static inline bool tide_cursor_payload(struct tide_cursor *cursor, size_t header, uint32_t len,
                                       enum tide_type type, struct tide_value *ret)
{
    if (tide_cursor_left(cursor) - header < len)
        return false;
    ret->type = type;
    ret->len = len;
    ret->data = cursor->at + header;
    cursor->at += header + len;
    return true;
}

/* A container of `len` elements or pairs after a header of `header` bytes. */
static inline bool tide_cursor_container(struct tide_cursor *cursor, size_t header, uint32_t len,
                                         enum tide_type type, struct tide_value *ret)
{
    uint64_t least = type == TIDE_MAP ? 2 * (uint64_t)len : len;

    if (tide_cursor_left(cursor) - header < least)
        return false;
    ret->type = type;
    ret->len = len;
    cursor->at += header;
    return true;
}

static inline bool tide_cursor_whole(struct tide_cursor *cursor, size_t size, uint64_t whole,
                                     struct tide_value *ret)
{
    ret->type = TIDE_UINT;
    ret->whole = whole;
    cursor->at += size;
    return true;
}

static inline bool tide_cursor_signed(struct tide_cursor *cursor, size_t size, int64_t number,
                                      struct tide_value *ret)
{
    if (number >= 0)
        return tide_cursor_whole(cursor, size, (uint64_t)number, ret);
    ret->type = TIDE_INT;
    ret->minus = number;
    cursor->at += size;
    return true;
}

static inline bool tide_cursor_real(struct tide_cursor *cursor, size_t size, double real,
                                    struct tide_value *ret)
{
    ret->type = TIDE_FLOAT;
    ret->real = real;
    cursor->at += size;
    return true;
}

static inline bool tide_cursor_ext(struct tide_cursor *cursor, size_t header, uint32_t len,
                                   struct tide_value *ret)
{
    ret->ext = (int8_t)cursor->at[header - 1];
    return tide_cursor_payload(cursor, header, len, TIDE_EXT, ret);
}

/* Reads one value, or the header of one container. False, with the cursor unmoved: the bytes end
 * first, or it is byte 0xc1. */
static inline bool tide_cursor_read(struct tide_cursor *cursor, struct tide_value *ret)
{
    const uint8_t *p = cursor->at;
    size_t left = tide_cursor_left(cursor);
    uint8_t first;

    if (left == 0)
        return false;
    first = p[0];
    if ((first & 0xe0) == 0xa0)
        return tide_cursor_payload(cursor, 1, first & 0x1f, TIDE_STR, ret);
    if (first < 0x80)
        return tide_cursor_whole(cursor, 1, first, ret);
    if (first >= 0xe0)
        return tide_cursor_signed(cursor, 1, (int8_t)first, ret);
    if (first < 0x90)
        return tide_cursor_container(cursor, 1, first & 0x0f, TIDE_MAP, ret);
    if (first < 0xa0)
        return tide_cursor_container(cursor, 1, first & 0x0f, TIDE_ARRAY, ret);
    if (left < tide_value_size[first])
        return false;
    switch (first) {
    case 0xc0:
        ret->type = TIDE_NIL;
        cursor->at++;
        return true;
    case 0xc2:
    case 0xc3:
        ret->type = TIDE_BOOL;
        ret->truth = first & 1;
        cursor->at++;
        return true;
    case 0xc4:
        return left >= 2 && tide_cursor_payload(cursor, 2, p[1], TIDE_BIN, ret);
    case 0xc5:
        return left >= 3 && tide_cursor_payload(cursor, 3, tide_get_be16(p + 1), TIDE_BIN, ret);
    case 0xc6:
        return left >= 5 && tide_cursor_payload(cursor, 5, tide_get_be32(p + 1), TIDE_BIN, ret);
    case 0xc7:
        return left >= 3 && tide_cursor_ext(cursor, 3, p[1], ret);
    case 0xc8:
        return left >= 4 && tide_cursor_ext(cursor, 4, tide_get_be16(p + 1), ret);
    case 0xc9:
        return left >= 6 && tide_cursor_ext(cursor, 6, tide_get_be32(p + 1), ret);
    case 0xca: {
        uint32_t bits = tide_get_be32(p + 1);
        float real;

        memcpy(&real, &bits, sizeof(real));
        return tide_cursor_real(cursor, 5, (double)real, ret);
    }
    case 0xcb: {
        uint64_t bits = tide_get_be64(p + 1);
        double real;

        memcpy(&real, &bits, sizeof(real));
        return tide_cursor_real(cursor, 9, real, ret);
    }
    case 0xcc:
        return tide_cursor_whole(cursor, 2, p[1], ret);
    case 0xcd:
        return tide_cursor_whole(cursor, 3, tide_get_be16(p + 1), ret);
    case 0xce:
        return tide_cursor_whole(cursor, 5, tide_get_be32(p + 1), ret);
    case 0xcf:
        return tide_cursor_whole(cursor, 9, tide_get_be64(p + 1), ret);
    case 0xd0:
        return tide_cursor_signed(cursor, 2, (int8_t)p[1], ret);
    case 0xd1:
        return tide_cursor_signed(cursor, 3, (int16_t)tide_get_be16(p + 1), ret);
    case 0xd2:
        return tide_cursor_signed(cursor, 5, (int32_t)tide_get_be32(p + 1), ret);
    case 0xd3:
        return tide_cursor_signed(cursor, 9, (int64_t)tide_get_be64(p + 1), ret);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return tide_cursor_ext(cursor, 2, 1u << (first - 0xd4), ret);
    case 0xd9:
        return left >= 2 && tide_cursor_payload(cursor, 2, p[1], TIDE_STR, ret);
    case 0xda:
        return left >= 3 && tide_cursor_payload(cursor, 3, tide_get_be16(p + 1), TIDE_STR, ret);
    case 0xdb:
        return left >= 5 && tide_cursor_payload(cursor, 5, tide_get_be32(p + 1), TIDE_STR, ret);
    case 0xdc:
        return left >= 3 && tide_cursor_container(cursor, 3, tide_get_be16(p + 1), TIDE_ARRAY, ret);
    case 0xdd:
        return left >= 5 && tide_cursor_container(cursor, 5, tide_get_be32(p + 1), TIDE_ARRAY, ret);
    case 0xde:
        return left >= 3 && tide_cursor_container(cursor, 3, tide_get_be16(p + 1), TIDE_MAP, ret);
    case 0xdf:
        return left >= 5 && tide_cursor_container(cursor, 5, tide_get_be32(p + 1), TIDE_MAP, ret);
    default:
        return false; /* 0xc1 */
    }
}

/* Steps over `values` values and all that is in them; at most TIDE_FRAME_DEPTH_MAX containers deep.
 * Out of line: only unknown containers come here. False: cut, 0xc1 or too deep, cursor anywhere. */
bool tide_cursor_skip_values(struct tide_cursor *cursor, uint64_t values);

/* After tide_cursor_read gave `value`: steps over the elements of a container, nothing otherwise.
 */
static inline bool tide_cursor_skip_inside(struct tide_cursor *cursor,
                                           const struct tide_value *value)
{
    if (value->type < TIDE_ARRAY || value->len == 0)
        return true;
    return tide_cursor_skip_values(cursor,
                                   value->type == TIDE_MAP ? 2 * (uint64_t)value->len : value->len);
}

/* Steps over one value if its first byte says how long it is. */
static inline bool tide_cursor_skip_scalar(struct tide_cursor *cursor)
{
    size_t left = tide_cursor_left(cursor);
    size_t size;

    if (left == 0)
        return false;
    size = tide_value_size[*cursor->at];
    if (size == 0 || left < size)
        return false;
    cursor->at += size;
    return true;
}

/* Steps over one value. */
static inline bool tide_cursor_skip(struct tide_cursor *cursor)
{
    struct tide_value value;

    return tide_cursor_skip_scalar(cursor) ||
           (tide_cursor_read(cursor, &value) && tide_cursor_skip_inside(cursor, &value));
}

static inline bool tide_value_is_text(const struct tide_value *value)
{
    return value->type == TIDE_STR || value->type == TIDE_BIN;
}

static inline struct tide_text tide_value_text(const struct tide_value *value)
{
    return (struct tide_text){(const char *)value->data, value->len};
}

static inline bool tide_value_is(const struct tide_value *value, const char *text)
{
    size_t len = strlen(text);

    return tide_value_is_text(value) && value->len == len && memcmp(value->data, text, len) == 0;
}

#endif
