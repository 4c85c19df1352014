/* inflate - gzip members into one growing buffer.
 *
 * Senders append a member per write, and an entry may begin in one member and end in the next, so
 * all of them are unpacked before anything is decoded. The buffer may become one byte larger than
 * the limit: the byte that, once written, proves that there is too much.
 */
#include "inflate.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

#define FIRST_CAPACITY (64 * 1024)
#define PIECE_MAX      (1u << 30) /* zlib counts in 32 bits */
#define GZIP_ONLY      (16 + MAX_WBITS)

struct unpacked {
    uint8_t *data;
    size_t len, capacity, most; /* most: the limit and one byte */
};

static enum tide_rc make_room(struct unpacked *out)
{
    size_t capacity = out->capacity ? out->capacity * 2 : FIRST_CAPACITY;
    uint8_t *data;

    if (capacity > out->most)
        capacity = out->most;
    data = realloc(out->data, capacity);
    if (!data)
        return TIDE_NO_MEMORY;
    out->data = data;
    out->capacity = capacity;
    return TIDE_OK;
}

/* Feeds zlib until its input is used up or a member ends; the code is zlib's last word. */
static enum tide_rc unpack_some(z_stream *stream, struct unpacked *out, int *ret_code)
{
    size_t room;
    enum tide_rc rc;

    if (out->len == out->capacity && (rc = make_room(out)))
        return rc;
    room = out->capacity - out->len;
    stream->next_out = out->data + out->len;
    stream->avail_out = room < PIECE_MAX ? (uInt)room : PIECE_MAX;
    room = stream->avail_out;
    *ret_code = inflate(stream, Z_NO_FLUSH);
    out->len += room - stream->avail_out;
    if (*ret_code == Z_MEM_ERROR)
        return TIDE_NO_MEMORY;
    return out->len == out->most ? TIDE_TOO_LARGE : TIDE_OK;
}

enum tide_rc tide_gzip_unpack(const uint8_t *data, size_t len, size_t max_bytes, uint8_t **ret_data,
                              size_t *ret_len)
{
    struct unpacked out = {.most = max_bytes + 1};
    z_stream stream = {0};
    size_t left = len;
    int code = Z_STREAM_END;
    enum tide_rc rc = TIDE_OK;

    assert(max_bytes < SIZE_MAX);
    if (inflateInit2(&stream, GZIP_ONLY) != Z_OK)
        return TIDE_NO_MEMORY;
    while (rc == TIDE_OK && (left > 0 || stream.avail_in > 0 || code == Z_OK)) {
        if (stream.avail_in == 0 && left > 0) {
            stream.next_in = (Bytef *)(uintptr_t)(data + (len - left));
            stream.avail_in = left < PIECE_MAX ? (uInt)left : PIECE_MAX;
            left -= stream.avail_in;
        }
        if (code == Z_STREAM_END)
            inflateReset(&stream); /* the next member; input stays */
        rc = unpack_some(&stream, &out, &code);
        if (rc == TIDE_OK && code != Z_OK && code != Z_STREAM_END)
            rc = TIDE_MALFORMED; /* Z_BUF_ERROR too: the input ended inside a member */
    }
    inflateEnd(&stream);
    if (rc) {
        free(out.data);
        return rc;
    }
    *ret_data = out.data;
    *ret_len = out.len;
    return TIDE_OK;
}
