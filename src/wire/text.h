/* text - what a module name may be, and where a long id may be cut. */
#ifndef TIDEMARK_WIRE_TEXT_H
#define TIDEMARK_WIRE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/bytes.h"
#include "tidemark/event.h"

/* Valid UTF-8 (shortest form, no surrogates, up to U+10FFFF) without control characters (C0, DEL,
 * C1). */
bool tide_text_is_clean(const char *text, size_t len);

/* Some byte of these eight is not in 0x20..0x7e: a control character, DEL or part of a longer
 * character. */
static inline bool tide_text_odd8(uint64_t bytes)
{
    uint64_t below_blank = bytes - 0x2020202020202020;
    uint64_t del = bytes + 0x0101010101010101;

    return ((bytes | below_blank | del) & 0x8080808080808080) != 0;
}

/* A usable module name: 1..128 bytes and clean. Nearly all are short plain ASCII, which is decided
 * here. */
static inline bool tide_text_is_name(const char *text, size_t len)
{
    bool odd = false;
    uint64_t bytes;

    if (len == 0 || len > TIDE_MODULE_NAME_MAX)
        return false;
    if (len >= 8) {
        for (size_t at = 0; at + 8 < len; at += 8) {
            memcpy(&bytes, text + at, 8);
            odd |= tide_text_odd8(bytes);
        }
        memcpy(&bytes, text + len - 8, 8); /* may look at some bytes twice */
    } else if (len >= 4) {
        uint32_t head, tail;

        memcpy(&head, text, 4);
        memcpy(&tail, text + len - 4, 4);
        bytes = (uint64_t)tail << 32 | head;
    } else {
        bytes = UINT64_C(0x2020202020000000) | (uint8_t)text[0] |
                (uint64_t)(uint8_t)text[len / 2] << 8 | (uint64_t)(uint8_t)text[len - 1] << 16;
    }
    odd |= tide_text_odd8(bytes);
    return !odd || tide_text_is_clean(text, len);
}

/* The most bytes of text[0, len), at most `most`, that do not end inside a character. */
size_t tide_text_cut(const char *text, size_t len, size_t most);

#endif
