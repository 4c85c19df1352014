/* reply - the bytes of an answer. The chunk value goes back exactly as it came: clients compare it
 * byte for byte. */
#include "tidemark/wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cursor.h"

size_t tide_reply_ack(uint8_t *out, const uint8_t *chunk, size_t chunk_len)
{
    static const uint8_t head[TIDE_ACK_OVERHEAD] = {0x81, 0xa3, 'a', 'c', 'k'};

    assert(chunk_len > 0 && chunk_len <= TIDE_PARCEL_CHUNK_MAX);
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), chunk, chunk_len);
    return sizeof(head) + chunk_len;
}

/* Quotes, backslashes and control characters are escaped; all else is the client's own UTF-8. */
static uint8_t *quote(uint8_t *out, const uint8_t *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";

    *out++ = '"';
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20) {
            memcpy(out, "\\u00", 4);
            out[4] = (uint8_t)hex[text[i] >> 4];
            out[5] = (uint8_t)hex[text[i] & 15];
            out += 6;
            continue;
        }
        if (text[i] == '"' || text[i] == '\\')
            *out++ = '\\';
        *out++ = text[i];
    }
    *out++ = '"';
    return out;
}

size_t tide_reply_ack_json(uint8_t *out, const uint8_t *chunk, size_t chunk_len)
{
    static const char head[] = "{\"ack\":";
    struct tide_cursor cursor = {chunk, chunk + chunk_len};
    uint8_t *at = out + sizeof(head) - 1;
    struct tide_value value;
    bool whole = tide_cursor_read(&cursor, &value);
    char digits[24];

    assert(whole && chunk_len <= TIDE_PARCEL_CHUNK_MAX); /* tide_request_parse has read it */
    (void)whole;
    memcpy(out, head, sizeof(head) - 1);
    if (tide_value_is_text(&value)) {
        at = quote(at, value.data, value.len);
    } else {
        int len = value.type == TIDE_UINT
                      ? snprintf(digits, sizeof(digits), "%" PRIu64, value.whole)
                      : snprintf(digits, sizeof(digits), "%" PRId64, value.minus);

        memcpy(at, digits, (size_t)len);
        at += len;
    }
    *at++ = '}';
    return (size_t)(at - out);
}
