/* text - UTF-8 as strictly as its definition: shortest form only, no surrogates, nothing above
 * U+10FFFF. */
#include "text.h"

/* The length of the well-formed character at text[0, len), 0 when there is none; *ret gets its code
 * point. */
static size_t character(const uint8_t *text, size_t len, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length */
    uint32_t point;
    size_t size;

    if (text[0] < 0x80) {
        *ret = text[0];
        return 1;
    }
    if (text[0] >= 0xc2 && text[0] < 0xe0) {
        size = 2;
        point = text[0] & 0x1f;
    } else if (text[0] >= 0xe0 && text[0] < 0xf0) {
        size = 3;
        point = text[0] & 0x0f;
    } else if (text[0] >= 0xf0 && text[0] < 0xf5) {
        size = 4;
        point = text[0] & 0x07;
    } else {
        return 0;
    }
    if (len < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    *ret = point;
    return size;
}

bool tide_text_is_clean(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = len;

    while (left > 0) {
        uint32_t point;
        size_t size = character(at, left, &point);

        if (size == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
            return false;
        at += size;
        left -= size;
    }
    return true;
}

size_t tide_text_cut(const char *text, size_t len, size_t most)
{
    size_t cut = most;

    if (len <= most)
        return len;
    /* Back over continuation bytes; a character has at most three, more are no UTF-8 and may be cut
     * anywhere. */
    while (cut > 0 && most - cut < 3 && ((uint8_t)text[cut] & 0xc0) == 0x80)
        cut--;
    return ((uint8_t)text[cut] & 0xc0) == 0x80 ? most : cut;
}
