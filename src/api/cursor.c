/* cursor - see cursor.h. */
#include "cursor.h"

#include <assert.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/crc32c.h"

static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void tide_cursor_encode(const uint8_t *bytes, size_t len, char ret_text[TIDE_CURSOR_TEXT_SIZE])
{
    uint8_t raw[TIDE_CURSOR_BYTES_MAX + 4 + 2] = {0};
    size_t size = len + 4, at = 0;

    assert(len <= TIDE_CURSOR_BYTES_MAX);
    memcpy(raw, bytes, len);
    tide_put_be32(raw + len, tide_crc32c(0, bytes, len));
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
        size_t chars = size - i >= 3 ? 4 : size - i + 1;

        for (size_t c = 0; c < chars; c++)
            ret_text[at++] = letter[three >> (18 - 6 * c) & 63];
    }
    assert(at < TIDE_CURSOR_TEXT_SIZE);
    ret_text[at] = '\0';
}

bool tide_cursor_decode(const char *text, uint8_t ret_bytes[TIDE_CURSOR_BYTES_MAX], size_t *ret_len)
{
    uint8_t raw[TIDE_CURSOR_BYTES_MAX + 4];
    size_t size = 0;
    uint32_t held = 0;
    unsigned bits = 0;

    for (; *text; text++) {
        const char *found = strchr(letter, *text);

        if (!found)
            return false;
        held = held << 6 | (uint32_t)(found - letter);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        if (size == sizeof(raw))
            return false;
        raw[size++] = (uint8_t)(held >> bits);
    }
    if (size < 4 || tide_get_be32(raw + size - 4) != tide_crc32c(0, raw, size - 4))
        return false;
    memcpy(ret_bytes, raw, size - 4);
    *ret_len = size - 4;
    return true;
}
