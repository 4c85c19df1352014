/* request - what one whole value of the stream is: its mode, tag, entries and option, and the
 * identity of its chunk.
 *
 * The second element decides the mode, as the protocol has it. What cannot be a request at all is
 * malformed and ends the connection; what is merely odd (a tag of another type, an option that is
 * no map) is taken as absent, because the sender would send the same bytes again for ever.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <string.h>
#include "cursor.h"
#include "tidemark/bytes.h"

#define TAG_MAX 256

/* One key of the option map. `at` is where the value began. */
static void read_option(struct tide_request *request, const struct tide_value *key,
                        const struct tide_value *value, const uint8_t *at, size_t size)
{
    if (tide_value_is(key, "chunk")) {
        request->chunk = NULL;
        if (tide_value_is_text(value) || value->type == TIDE_UINT || value->type == TIDE_INT) {
            request->chunk = at;
            request->chunk_len = size;
            request->chunk_payload_len = tide_value_is_text(value) ? value->len : size - 1;
        } else if (value->type != TIDE_NIL) {
            request->bad_option = true;
        }
    } else if (tide_value_is(key, "compressed")) {
        if (value->type == TIDE_NIL || tide_value_is(value, "text") || tide_value_is(value, ""))
            request->compression = TIDE_PLAIN;
        else
            request->compression =
                tide_value_is(value, "gzip") ? TIDE_GZIP : TIDE_COMPRESSION_UNKNOWN;
    } else if (tide_value_is(key, "fluent_signal")) {
        request->signal = 0;
        if (value->type == TIDE_UINT)
            request->signal = value->whole > INT64_MAX ? INT64_MAX : (int64_t)value->whole;
        else if (value->type == TIDE_INT)
            request->signal = value->minus;
        else if (value->type != TIDE_NIL)
            request->bad_option = true;
    }
}

/* The option element; the cursor stands at it. False: not well-formed. */
static bool read_options(struct tide_cursor *cursor, struct tide_request *request)
{
    struct tide_value options;

    if (!tide_cursor_read(cursor, &options))
        return false;
    if (options.type != TIDE_MAP) {
        request->bad_option = options.type != TIDE_NIL;
        return tide_cursor_skip_inside(cursor, &options);
    }
    for (uint32_t i = 0; i < options.len; i++) {
        struct tide_value key, value;
        const uint8_t *at;

        if (!tide_cursor_read(cursor, &key) || !tide_cursor_skip_inside(cursor, &key))
            return false;
        at = cursor->at;
        if (!tide_cursor_read(cursor, &value) || !tide_cursor_skip_inside(cursor, &value))
            return false;
        read_option(request, &key, &value, at, (size_t)(cursor->at - at));
    }
    return true;
}

/* The elements of a request array; the cursor stands at the tag. */
static bool read_elements(struct tide_cursor *cursor, uint32_t elements,
                          struct tide_request *request)
{
    struct tide_value tag, second;
    const uint8_t *at;
    uint32_t used = 2;

    if (!tide_cursor_read(cursor, &tag) || !tide_cursor_skip_inside(cursor, &tag))
        return false;
    if (tide_value_is_text(&tag) && tag.len <= TAG_MAX)
        request->tag = tide_value_text(&tag);
    else
        request->bad_tag = true;

    at = cursor->at;
    if (!tide_cursor_read(cursor, &second))
        return false;
    if (second.type == TIDE_ARRAY) {
        request->mode = TIDE_MODE_FORWARD;
        request->entries = cursor->at;
        request->entry_count = second.len;
        if (!tide_cursor_skip_inside(cursor, &second))
            return false;
        request->entries_len = (size_t)(cursor->at - request->entries);
    } else if (tide_value_is_text(&second)) {
        request->mode = TIDE_MODE_PACKED;
        request->entries = second.data;
        request->entries_len = second.len;
    } else {
        request->mode = TIDE_MODE_MESSAGE;
        request->entries = at;
        request->entry_count = 1;
        used = 3;
        if (elements < 3 || !tide_cursor_skip_inside(cursor, &second) || !tide_cursor_skip(cursor))
            return false;
        request->entries_len = (size_t)(cursor->at - request->entries);
    }
    if (elements > used && !read_options(cursor, request))
        return false;
    /* A Message whose time is [time, {metadata}] or a text reads as one of the other modes, with
     * its record for an option. It is no good, but its sender waits for an ack. */
    if (elements > used + 1 && request->mode != TIDE_MODE_MESSAGE && !request->chunk &&
        tide_cursor_left(cursor) > 0 && tide_byte_opens_map(*cursor->at))
        return read_options(cursor, request);
    return true;
}

enum tide_rc tide_request_parse(const uint8_t *frame, size_t len, struct tide_request *ret)
{
    struct tide_cursor cursor = {frame, frame + len};
    struct tide_request request = {.mode = TIDE_MODE_STRAY};
    struct tide_value value;

    if (!tide_cursor_read(&cursor, &value))
        return TIDE_MALFORMED;
    switch (value.type) {
    case TIDE_NIL:
        request.mode = TIDE_MODE_NIL;
        break;
    case TIDE_MAP:
        request.mode = TIDE_MODE_BARE;
        request.entries = frame;
        request.entries_len = len;
        request.entry_count = 1;
        break;
    case TIDE_ARRAY:
        if (value.len < 2 || !read_elements(&cursor, value.len, &request) ||
            (request.chunk && request.chunk_len > TIDE_PARCEL_CHUNK_MAX))
            return TIDE_MALFORMED;
        break;
    default:
        break;
    }
    *ret = request;
    return TIDE_OK;
}

struct tide_hash128 tide_request_identity(const struct tide_request *request, uint64_t seed,
                                          const void *peer, size_t peer_len)
{
    struct tide_hash_part part[] = {
        {peer, peer_len},
        {request->tag.start, request->tag.len},
        {request->chunk, request->chunk ? request->chunk_len : 0},
        {request->entries, request->entries_len},
    };

    return tide_hash128_parts(seed, part, sizeof(part) / sizeof(part[0]));
}

/* ---- structured chunk ids ---- */

/* A decimal number at *at, up to the end or `stop`, which is stepped over. */
static bool read_decimal(const uint8_t **at, const uint8_t *end, uint8_t stop, uint64_t *ret)
{
    const uint8_t *first = *at;

    *ret = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(**at - '0'), ret))
            return false;
    if (*at == first || (*first == '0' && *at - first > 1))
        return false;
    if (stop && (*at == end || *(*at)++ != stop))
        return false;
    return true;
}

#define ORIGIN_PREFIX 36 /* "v1:", the producer, ':' */

bool tide_request_origin(const struct tide_request *request, struct tide_origin *ret)
{
    const uint8_t *at, *end;

    if (!request->chunk || request->chunk_payload_len < ORIGIN_PREFIX)
        return false;
    end = request->chunk + request->chunk_len;
    at = end - request->chunk_payload_len;
    if (memcmp(at, "v1:", 3) != 0 || at[ORIGIN_PREFIX - 1] != ':')
        return false;
    for (int i = 0; i < 16; i++) {
        int high = tide_hex_digit((char)at[3 + 2 * i]), low = tide_hex_digit((char)at[4 + 2 * i]);

        if (high < 0 || low < 0)
            return false;
        ret->producer[i] = (uint8_t)(high << 4 | low);
    }
    at += ORIGIN_PREFIX;
    return read_decimal(&at, end, ':', &ret->epoch) && read_decimal(&at, end, 0, &ret->seq) &&
           at == end;
}

struct tide_hash128 tide_request_payload(const struct tide_request *request, uint64_t seed)
{
    struct tide_hash_part part[] = {{request->tag.start, request->tag.len},
                                    {request->entries, request->entries_len}};

    return tide_hash128_parts(seed, part, sizeof(part) / sizeof(part[0]));
}
