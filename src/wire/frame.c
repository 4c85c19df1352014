/* frame - where does the value end that starts here? Answered by walking headers, never by
 * decoding.
 *
 * The walk keeps how many values are still owed in each open container. Every owed value is at
 * least one byte, so the bytes walked plus the values owed is a lower bound of the final size: over
 * the limit, it is refused when the header that declares it arrives, not when memory is full; below
 * it, it tells how much must arrive before another look is worth it. All checks depend on the bytes
 * alone and not on how they were cut, so every segmentation of a stream gives the same frames and
 * the same refusals.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <string.h>
#include "cursor.h"

#define FIX4(n)  n, n, n, n
#define FIX16(n) FIX4(n), FIX4(n), FIX4(n), FIX4(n)

/* clang-format off */
const uint8_t tide_value_size[256] = {
    /* 00-7f */ FIX16(1), FIX16(1), FIX16(1), FIX16(1), FIX16(1), FIX16(1), FIX16(1), FIX16(1),
    /* 80-9f fixmap, fixarray */ FIX16(0), FIX16(0),
    /* a0-bf fixstr */ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                       17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    /* c0 nil, c1 unused, c2 false, c3 true */ 1, 0, 1, 1,
    /* c4-c9 bin, ext with a length */ 0, 0, 0, 0, 0, 0,
    /* ca float, cb double */ 5, 9,
    /* cc-cf uint */ 2, 3, 5, 9,
    /* d0-d3 int */ 2, 3, 5, 9,
    /* d4-d8 fixext */ 3, 4, 6, 10, 18,
    /* d9-df str, array, map with a length */ 0, 0, 0, 0, 0, 0, 0,
    /* e0-ff */ FIX16(1), FIX16(1),
};
/* clang-format on */

/* What a header that carries a length says. */
struct header {
    uint8_t size;     /* of the header itself; 0: byte 0xc1 */
    bool opens;       /* a container */
    uint64_t payload; /* bytes that follow it, when no container */
    uint64_t values;  /* owed by it, when a container */
};

/* The size of the header alone. */
static uint8_t header_size(uint8_t first)
{
    static const uint8_t size[] = {
        2, 3, 5, 3, 4, 6,                            /* c4-c9 */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* ca-d8 say it all in their first byte */
        2, 3, 5, 3, 5, 3, 5,                         /* d9-df */
    };

    if (first < 0xa0)
        return 1;
    if (first < 0xc4)
        return 0;
    assert(first <= 0xdf);
    return size[first - 0xc4];
}

/* at[0, header_size) is there. */
static struct header header_read(const uint8_t *at)
{
    struct header header = {.size = header_size(at[0])};
    uint64_t declared = 0;

    switch (at[0]) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
        declared = at[1];
        break;
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
        declared = tide_get_be16(at + 1);
        break;
    case 0xc6:
    case 0xc9:
    case 0xdb:
    case 0xdd:
    case 0xdf:
        declared = tide_get_be32(at + 1);
        break;
    default:
        declared = at[0] & 0x0f; /* fixmap, fixarray */
        break;
    }
    if (at[0] < 0xa0 || at[0] >= 0xdc) {
        header.opens = true;
        header.values = at[0] < 0x90 || at[0] >= 0xde ? 2 * declared : declared;
    } else {
        header.payload = declared;
    }
    return header;
}

void tide_frame_reset(struct tide_frame_scan *scan)
{
    scan->at = 0;
    scan->need = 1;
    scan->depth = 0;
    scan->in_text = false;
    scan->escaped = false;
}

static enum tide_rc again(struct tide_frame_scan *scan, size_t at, uint32_t depth, size_t need)
{
    scan->at = at;
    scan->depth = depth;
    scan->need = need;
    return TIDE_AGAIN;
}

enum tide_rc tide_frame_next_within(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                                    size_t max_bytes, uint32_t max_depth, size_t *ret_size)
{
    size_t at = scan->at;
    uint32_t depth = scan->depth;
    uint64_t owed = at == 0; /* values still to come in all */

    assert(max_depth > 0 && max_depth <= TIDE_FRAME_DEPTH_MAX && depth <= max_depth);
    for (uint32_t i = 0; i < depth; i++)
        owed += scan->left[i];
    while (owed > 0) {
        uint64_t run = depth > 0 ? scan->left[depth - 1] : 1; /* still to come in this container */
        uint64_t before = run;
        struct header header;
        size_t size = 1;

        while (run > 0 && at < len && (size = tide_value_size[buf[at]]) != 0) {
            at += size;
            run--;
        }
        owed -= before - run;
        if (at + owed > max_bytes)
            return TIDE_TOO_LARGE;
        if (depth > 0)
            scan->left[depth - 1] = run;
        if (run == 0) {
            while (depth > 0 && scan->left[depth - 1] == 0)
                depth--;
            continue;
        }
        if (at >= len)
            return again(scan, at, depth, at + (size_t)owed);

        /* A value that declares a length or a count. It owes itself no longer, but what it
         * declares. */
        size = header_size(buf[at]);
        if (size == 0)
            return TIDE_MALFORMED;
        owed--;
        if (at + size + owed > max_bytes)
            return TIDE_TOO_LARGE;
        if (len - at < size)
            return again(scan, at, depth, at + size + (size_t)owed);
        header = header_read(buf + at);
        at += size + header.payload;
        owed += header.values;
        if (at + owed > max_bytes)
            return TIDE_TOO_LARGE;
        if (depth > 0)
            scan->left[depth - 1]--;
        if (header.opens) {
            if (depth == max_depth)
                return TIDE_MALFORMED;
            scan->left[depth++] = header.values;
        }
        while (depth > 0 && scan->left[depth - 1] == 0)
            depth--;
    }
    if (at > len)
        return again(scan, at, depth, at);
    tide_frame_reset(scan);
    *ret_size = at;
    return TIDE_OK;
}

enum tide_rc tide_frame_next(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                             size_t max_bytes, size_t *ret_size)
{
    return tide_frame_next_within(scan, buf, len, max_bytes, TIDE_FRAME_DEPTH_MAX, ret_size);
}

bool tide_cursor_skip_values(struct tide_cursor *cursor, uint64_t values)
{
    uint64_t left[TIDE_FRAME_DEPTH_MAX];
    uint32_t depth = 0;

    left[0] = values;
    while (left[depth] > 0 || depth > 0) {
        struct tide_value value;

        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (!tide_cursor_read(cursor, &value))
            return false;
        if (value.type < TIDE_ARRAY || value.len == 0)
            continue;
        if (++depth == TIDE_FRAME_DEPTH_MAX)
            return false;
        left[depth] = value.type == TIDE_MAP ? 2 * (uint64_t)value.len : value.len;
    }
    return true;
}

enum tide_speech tide_speech_of(uint8_t first)
{
    if ((first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf) || first == 0xc0)
        return TIDE_SPEECH_MSGPACK;
    switch (first) {
    case '{':
    case '[':
        return TIDE_SPEECH_JSON;
    case 0x16:
        return TIDE_SPEECH_TLS;
    case 'G':
    case 'P':
    case 'H':
    case 'D':
    case 'O':
        return TIDE_SPEECH_HTTP;
    default:
        return TIDE_SPEECH_FOREIGN;
    }
}
