/* json - requests that are JSON text: where such a value ends, and the same value as msgpack.
 *
 * The end is found by counting brackets outside of texts, resumable byte by byte, like the end of a
 * msgpack value. Only a whole, bounded text is then rewritten as msgpack, in one pass, and from
 * there goes the way of any other request: there is one decoder of events, and it reads msgpack. No
 * tree is built, so memory is bounded by the text: no value takes more than three times its bytes.
 *
 * Strict as RFC 8259, with two allowances, because a sender would repeat its request for ever: half
 * of a surrogate pair becomes U+FFFD, and bytes in a text that are no UTF-8 stay what they are (the
 * decoder judges names). A number that no double can hold stays a text, which no field takes for a
 * number.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "cursor.h"
#include "number.h"

enum tide_rc tide_json_next(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                            size_t max_bytes, uint32_t max_depth, size_t *ret_size)
{
    const size_t end = len < max_bytes ? len : max_bytes;
    size_t at = scan->at;

    assert(max_depth > 0 && max_depth <= TIDE_FRAME_DEPTH_MAX);
    assert(len == 0 || tide_speech_of(buf[0]) == TIDE_SPEECH_JSON);
    while (at < end) {
        uint8_t byte = buf[at++];

        if (scan->in_text) {
            if (scan->escaped)
                scan->escaped = false;
            else if (byte == '\\')
                scan->escaped = true;
            else
                scan->in_text = byte != '"';
            continue;
        }
        switch (byte) {
        case '"':
            scan->in_text = true;
            break;
        case '[':
        case '{':
            if (scan->depth == max_depth)
                return TIDE_MALFORMED;
            scan->left[scan->depth++] = byte; /* what it is closed by is two behind it */
            break;
        case ']':
        case '}':
            if (scan->left[--scan->depth] + 2 != byte) /* one is open: the first byte was one */
                return TIDE_MALFORMED;
            if (scan->depth == 0) {
                tide_frame_reset(scan);
                *ret_size = at;
                return TIDE_OK;
            }
            break;
        default:
            break;
        }
    }
    if (at == max_bytes)
        return TIDE_TOO_LARGE;
    scan->at = at;
    scan->need = at + 1;
    return TIDE_AGAIN;
}

/* ---- JSON -> msgpack ---- */

#define CONTAINER_HEADER 5 /* array32 and map32: how many there are is known at the end */

struct rewrite {
    const uint8_t *at, *end; /* what is left of the text */
    uint8_t *out;            /* there is always room: see tide_json_pack */
    uint32_t depth;
    struct {
        uint8_t *header;
        uint32_t count;
        bool is_map;
    } open[TIDE_FRAME_DEPTH_MAX];
};

/* Skips blanks; the byte after them, 0 at the end. */
static uint8_t peek(struct rewrite *rewrite)
{
    while (rewrite->at < rewrite->end && tide_json_is_blank(*rewrite->at))
        rewrite->at++;
    return rewrite->at < rewrite->end ? *rewrite->at : 0;
}

static bool take_word(struct rewrite *rewrite, const char *word, uint8_t packed)
{
    size_t len = strlen(word);

    if ((size_t)(rewrite->end - rewrite->at) < len || memcmp(rewrite->at, word, len) != 0)
        return false;
    rewrite->at += len;
    *rewrite->out++ = packed;
    return true;
}

/* ---- texts ---- */

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Four hexadecimal digits behind "\u". */
static bool take_unit(struct rewrite *rewrite, uint32_t *ret)
{
    *ret = 0;
    if (rewrite->end - rewrite->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*rewrite->at++);

        if (digit < 0)
            return false;
        *ret = *ret << 4 | (uint32_t)digit;
    }
    return true;
}

static void put_character(struct rewrite *rewrite, uint32_t point)
{
    uint8_t *out = rewrite->out;

    if (point < 0x80) {
        *out++ = (uint8_t)point;
    } else if (point < 0x800) {
        *out++ = (uint8_t)(0xc0 | point >> 6);
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (uint8_t)(0xe0 | point >> 12);
        *out++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | point >> 18);
        *out++ = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    }
    rewrite->out = out;
}

/* Behind "\u": one unit, or two that make one character. */
static bool take_character(struct rewrite *rewrite)
{
    const uint8_t *behind;
    uint32_t high, low;

    if (!take_unit(rewrite, &high))
        return false;
    if (high < 0xd800 || high > 0xdfff) {
        put_character(rewrite, high);
        return true;
    }
    behind = rewrite->at;
    if (high < 0xdc00 && rewrite->end - behind >= 2 && behind[0] == '\\' && behind[1] == 'u') {
        rewrite->at += 2;
        if (!take_unit(rewrite, &low))
            return false;
        if (low >= 0xdc00 && low <= 0xdfff) {
            put_character(rewrite, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            return true;
        }
        rewrite->at = behind; /* that one is for itself */
    }
    put_character(rewrite, 0xfffd);
    return true;
}

static bool take_escape(struct rewrite *rewrite)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (rewrite->at == rewrite->end || *rewrite->at == 0)
        return false;
    if (*rewrite->at == 'u') {
        rewrite->at++;
        return take_character(rewrite);
    }
    found = strchr(from, *rewrite->at++);
    if (!found)
        return false;
    *rewrite->out++ = (uint8_t)to[found - from];
    return true;
}

/* The bytes of the text whose quote was just taken, up to the next quote that is not escaped. */
static bool raw_length(const struct rewrite *rewrite, size_t *ret)
{
    const uint8_t *at = rewrite->at;

    for (; at < rewrite->end && *at != '"'; at++)
        if (*at == '\\' && ++at == rewrite->end)
            return false;
    *ret = (size_t)(at - rewrite->at);
    return at < rewrite->end;
}

/* What an escape stands for is never longer than the escape: the header is chosen by the length
 * with escapes, and gets the one without. */
static bool take_text(struct rewrite *rewrite)
{
    uint8_t *header = rewrite->out;
    size_t raw, len;

    rewrite->at++;
    if (!raw_length(rewrite, &raw))
        return false;
    rewrite->out += raw < 32 ? 1 : raw < 256 ? 2 : raw < 65536 ? 3 : 5;
    len = (size_t)(rewrite->out - header);
    while (*rewrite->at != '"') {
        uint8_t byte = *rewrite->at++;

        if (byte < 0x20)
            return false;
        if (byte != '\\')
            *rewrite->out++ = byte;
        else if (!take_escape(rewrite))
            return false;
    }
    rewrite->at++;
    len = (size_t)(rewrite->out - header) - len;
    assert(len <= raw);
    if (raw < 32) {
        header[0] = (uint8_t)(0xa0 | len);
    } else if (raw < 256) {
        header[0] = 0xd9;
        header[1] = (uint8_t)len;
    } else if (raw < 65536) {
        header[0] = 0xda;
        tide_put_be16(header + 1, (uint16_t)len);
    } else {
        header[0] = 0xdb;
        tide_put_be32(header + 1, (uint32_t)len);
    }
    return true;
}

/* ---- numbers ---- */

static void put_uint(struct rewrite *rewrite, uint64_t whole)
{
    uint8_t *out = rewrite->out;

    if (whole < 0x80) {
        *out++ = (uint8_t)whole;
    } else if (whole <= UINT8_MAX) {
        *out++ = 0xcc;
        *out++ = (uint8_t)whole;
    } else if (whole <= UINT16_MAX) {
        *out++ = 0xcd;
        tide_put_be16(out, (uint16_t)whole);
        out += 2;
    } else if (whole <= UINT32_MAX) {
        *out++ = 0xce;
        tide_put_be32(out, (uint32_t)whole);
        out += 4;
    } else {
        *out++ = 0xcf;
        tide_put_be64(out, whole);
        out += 8;
    }
    rewrite->out = out;
}

/* Below zero. */
static void put_int(struct rewrite *rewrite, int64_t whole)
{
    uint8_t *out = rewrite->out;

    if (whole >= -32) {
        *out++ = (uint8_t)whole;
    } else if (whole >= INT32_MIN) {
        *out++ = 0xd2;
        tide_put_be32(out, (uint32_t)whole);
        out += 4;
    } else {
        *out++ = 0xd3;
        tide_put_be64(out, (uint64_t)whole);
        out += 8;
    }
    rewrite->out = out;
}

static void put_double(struct rewrite *rewrite, double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    *rewrite->out++ = 0xcb;
    tide_put_be64(rewrite->out, bits);
    rewrite->out += 8;
}

static void put_text(struct rewrite *rewrite, const uint8_t *text, size_t len)
{
    *rewrite->out++ = 0xdb;
    tide_put_be32(rewrite->out, (uint32_t)len);
    memcpy(rewrite->out + 4, text, len);
    rewrite->out += 4 + len;
}

/* At least one digit, from *at on. */
static bool skip_digits(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *first = *at;

    while (*at < end && **at >= '0' && **at <= '9')
        ++*at;
    return *at > first;
}

/* -? (0 | 1-9 0-9*) (. 0-9+)? (e [+-]? 0-9+)? */
static bool measure_number(const uint8_t *at, const uint8_t *end, size_t *ret_len)
{
    const uint8_t *first = at, *digits;

    at += *at == '-';
    digits = at;
    if (!skip_digits(&at, end) || (*digits == '0' && at - digits > 1))
        return false;
    if (at < end && *at == '.') {
        at++;
        if (!skip_digits(&at, end))
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        if (!skip_digits(&at, end))
            return false;
    }
    *ret_len = (size_t)(at - first);
    return true;
}

static bool take_number(struct rewrite *rewrite)
{
    const char *text = (const char *)rewrite->at;
    struct tide_number number;
    size_t len;

    if (!measure_number(rewrite->at, rewrite->end, &len))
        return false;
    if (*text == '-' && tide_number_parse(text + 1, len - 1, &number) && number.is_whole &&
        number.whole - 1 <= INT64_MAX) /* 1..2^63 */
        put_int(rewrite, (int64_t)-number.whole);
    else if (!tide_number_parse(text, len, &number))
        put_text(rewrite, rewrite->at, len);
    else if (number.is_whole)
        put_uint(rewrite, number.whole);
    else
        put_double(rewrite, number.real);
    rewrite->at += len;
    return true;
}

/* ---- containers ---- */

static bool open_container(struct rewrite *rewrite, bool is_map)
{
    if (rewrite->depth == TIDE_FRAME_DEPTH_MAX)
        return false;
    rewrite->open[rewrite->depth].header = rewrite->out;
    rewrite->open[rewrite->depth].count = 0;
    rewrite->open[rewrite->depth].is_map = is_map;
    rewrite->depth++;
    rewrite->out += CONTAINER_HEADER;
    rewrite->at++;
    return true;
}

static void close_container(struct rewrite *rewrite)
{
    rewrite->depth--;
    rewrite->open[rewrite->depth].header[0] = rewrite->open[rewrite->depth].is_map ? 0xdf : 0xdd;
    tide_put_be32(rewrite->open[rewrite->depth].header + 1, rewrite->open[rewrite->depth].count);
    rewrite->at++;
}

/* What may follow in the innermost container: its end, or another value with what comes before it
 * (a comma, a key). *ret_value: there is one. */
static bool take_between(struct rewrite *rewrite, bool *ret_value)
{
    bool is_map = rewrite->open[rewrite->depth - 1].is_map;
    uint8_t next = peek(rewrite);

    *ret_value = false;
    if (next == (is_map ? '}' : ']')) {
        close_container(rewrite);
        return true;
    }
    if (rewrite->open[rewrite->depth - 1].count > 0) {
        if (next != ',')
            return false;
        rewrite->at++;
        next = peek(rewrite);
    }
    if (is_map) {
        if (next != '"' || !take_text(rewrite) || peek(rewrite) != ':')
            return false;
        rewrite->at++;
    }
    rewrite->open[rewrite->depth - 1].count++;
    *ret_value = true;
    return true;
}

/* A scalar, or the opening bracket of a container. */
static bool take_value(struct rewrite *rewrite)
{
    uint8_t next = peek(rewrite);

    switch (next) {
    case '{':
    case '[':
        return open_container(rewrite, next == '{');
    case '"':
        return take_text(rewrite);
    case 't':
        return take_word(rewrite, "true", 0xc3);
    case 'f':
        return take_word(rewrite, "false", 0xc2);
    case 'n':
        return take_word(rewrite, "null", 0xc0);
    default:
        return (next == '-' || (next >= '0' && next <= '9')) && take_number(rewrite);
    }
}

enum tide_rc tide_json_pack(const uint8_t *text, size_t len, uint8_t **ret, size_t *ret_len)
{
    struct rewrite rewrite = {.at = text, .end = text + len};
    uint8_t *packed;
    bool value = true, sound = true;

    /* The dearest is "[1e9]": 5 bytes, and 5 + 9 as msgpack; before its end an opening bracket, 1
     * and 5. */
    packed = malloc(3 * len + (size_t)TIDE_FRAME_DEPTH_MAX * CONTAINER_HEADER);
    if (!packed)
        abort(); /* as in tide_request_fold: nothing of it is acked */
    rewrite.out = packed;
    do {
        sound = value ? take_value(&rewrite) : true;
        if (sound && rewrite.depth > 0)
            sound = take_between(&rewrite, &value);
    } while (sound && rewrite.depth > 0);
    *ret = packed;
    *ret_len = (size_t)(rewrite.out - packed);
    assert(*ret_len <= 3 * len + (size_t)rewrite.depth * CONTAINER_HEADER);
    if (sound && rewrite.at == rewrite.end)
        return TIDE_OK;
    free(packed);
    *ret = NULL;
    *ret_len = (size_t)(rewrite.at - text);
    return TIDE_MALFORMED;
}
