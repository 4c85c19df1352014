/* json - see json.h. */
#include "json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tidemark/clock.h"

void tide_json_init(struct tide_json *json, struct tide_body *body)
{
    memset(json, 0, sizeof(*json));
    json->body = body;
}

size_t tide_utf8_step(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t need;

    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    need = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, surrogates, beyond U+10FFFF */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return need;
}

/* How many bytes at the beginning of text mean themselves in a JSON string. */
static size_t plain_run(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && (unsigned char)text[n] >= 0x20 && (unsigned char)text[n] < 0x7f &&
           text[n] != '"' && text[n] != '\\')
        n++;
    return n;
}

static void put_string(struct tide_body *body, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char *start = tide_body_reserve(body, len * 6 + 2), *out = start;

    if (!out)
        return;
    *out++ = '"';
    while (len > 0) {
        size_t step = plain_run(text, len);
        unsigned char byte = (unsigned char)*text;

        if (step > 0) {
            memcpy(out, text, step);
            out += step;
        } else if ((step = tide_utf8_step(text, len)) == 0) {
            memcpy(out, "\xef\xbf\xbd", 3);
            out += 3;
            step = 1;
        } else if (byte == '"' || byte == '\\') {
            *out++ = '\\';
            *out++ = (char)byte;
        } else if (byte < 0x20 || byte == 0x7f) {
            memcpy(out, "\\u00", 4);
            out[4] = hex[byte >> 4];
            out[5] = hex[byte & 15];
            out += 6;
        } else {
            memcpy(out, text, step);
            out += step;
        }
        text += step;
        len -= step;
    }
    *out++ = '"';
    body->len += (size_t)(out - start);
}

/* The comma before a value, and its key. */
static void begin(struct tide_json *json, const char *key)
{
    struct tide_body *body = json->body;

    if (json->depth > 0) {
        bool *filled = &json->filled[json->depth - 1];

        assert((key != NULL) == (json->closer[json->depth - 1] == '}'));
        if (*filled)
            tide_body_add(body, ",", 1);
        *filled = true;
    }
    if (key) {
        put_string(body, key, strlen(key));
        tide_body_add(body, ":", 1);
    }
}

static void nest(struct tide_json *json, const char *key, const char *opener, char closer)
{
    begin(json, key);
    assert(json->depth < TIDE_JSON_DEPTH_MAX);
    json->closer[json->depth] = closer;
    json->filled[json->depth] = false;
    json->depth++;
    tide_body_add(json->body, opener, 1);
}

void tide_json_object(struct tide_json *json, const char *key)
{
    nest(json, key, "{", '}');
}

void tide_json_array(struct tide_json *json, const char *key)
{
    nest(json, key, "[", ']');
}

void tide_json_end(struct tide_json *json)
{
    assert(json->depth > 0);
    json->depth--;
    tide_body_add(json->body, &json->closer[json->depth], 1);
}

void tide_json_filled(struct tide_json *json, size_t len)
{
    assert(json->depth > 0 && !json->filled[json->depth - 1]);
    json->filled[json->depth - 1] = true;
    json->body->len += len;
}

void tide_json_null(struct tide_json *json, const char *key)
{
    begin(json, key);
    tide_body_add(json->body, "null", 4);
}

void tide_json_flag(struct tide_json *json, const char *key, bool value)
{
    begin(json, key);
    tide_body_text(json->body, value ? "true" : "false");
}

void tide_json_uint(struct tide_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    tide_body_uint(json->body, value);
}

void tide_json_int(struct tide_json *json, const char *key, int64_t value)
{
    begin(json, key);
    if (value < 0)
        tide_body_add(json->body, "-", 1);
    tide_body_uint(json->body, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void tide_json_real(struct tide_json *json, const char *key, double value, unsigned decimals)
{
    if (!isfinite(value)) {
        tide_json_null(json, key);
        return;
    }
    begin(json, key);
    tide_body_real(json->body, value, decimals);
}

/* All digits, and no more: a sum may have more of them than a double tells apart. */
void tide_json_millionths(struct tide_json *json, const char *key, __int128 value)
{
    unsigned __int128 left = value < 0 ? 0 - (unsigned __int128)value : (unsigned __int128)value;
    char text[48], *end = text + sizeof(text), *at = end;
    bool fraction = false;

    for (int digit = 0; digit < 7 || left; digit++) {
        char c = (char)('0' + (int)(left % 10));

        left /= 10;
        if (digit == 6 && fraction)
            *--at = '.';
        fraction = fraction || (digit < 6 && c != '0');
        if (digit >= 6 || fraction)
            *--at = c;
    }
    if (value < 0)
        *--at = '-';
    begin(json, key);
    tide_body_add(json->body, at, (size_t)(end - at));
}

void tide_json_bytes(struct tide_json *json, const char *key, const char *text, size_t len)
{
    begin(json, key);
    put_string(json->body, text, len);
}

void tide_json_text(struct tide_json *json, const char *key, const char *text)
{
    if (text)
        tide_json_bytes(json, key, text, strlen(text));
    else
        tide_json_null(json, key);
}

const char *tide_api_time(char text[TIDE_API_TIME_SIZE], int64_t wall_us)
{
    char *dot;

    static_assert(TIDE_API_TIME_SIZE >= TIDE_TIME_TEXT_SIZE, "room for a time");
    tide_time_text(text, wall_us);
    dot = strstr(text, ".000Z");
    if (dot)
        memcpy(dot, "Z", 2);
    return text;
}

void tide_json_time(struct tide_json *json, const char *key, int64_t wall_us)
{
    char text[TIDE_API_TIME_SIZE];

    if (wall_us == 0)
        tide_json_null(json, key);
    else
        tide_json_text(json, key, tide_api_time(text, wall_us));
}
