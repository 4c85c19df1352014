/* pack - JSON text -> msgpack, through jansson and msgpack-c, neither of which the decoder under
 * test uses. */
#include "pack.h"

#include <assert.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

static unsigned nibble(char c)
{
    assert((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void write_hex(msgpack_sbuffer *out, const char *hex)
{
    for (; *hex; hex++) {
        char byte;

        if (*hex == ' ')
            continue;
        byte = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
        msgpack_sbuffer_write(out, &byte, 1);
        hex++;
    }
}

static void write_text(msgpack_sbuffer *out, msgpack_packer *packer, const char *text, size_t len)
{
    if (strncmp(text, "hex:", 4) == 0) {
        write_hex(out, text + 4);
        return;
    }
    msgpack_pack_str(packer, len);
    msgpack_pack_str_body(packer, text, len);
}

static void write_json(msgpack_sbuffer *out, msgpack_packer *packer, json_t *json)
{
    const char *key;
    json_t *item;
    size_t at;

    switch (json_typeof(json)) {
    case JSON_OBJECT:
        msgpack_pack_map(packer, json_object_size(json));
        json_object_foreach(json, key, item)
        {
            write_text(out, packer, key, strlen(key));
            write_json(out, packer, item);
        }
        break;
    case JSON_ARRAY:
        msgpack_pack_array(packer, json_array_size(json));
        json_array_foreach(json, at, item) write_json(out, packer, item);
        break;
    case JSON_STRING:
        write_text(out, packer, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(json));
        break;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(json));
        break;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        break;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        break;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        break;
    }
}

struct tide_pack tide_pack(const char *format, ...)
{
    msgpack_sbuffer out;
    msgpack_packer packer;
    json_error_t error;
    json_t *json;
    char *text;
    va_list args;
    struct tide_pack pack;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json) {
        fprintf(stderr, "%s: %s\n", text, error.text);
        abort();
    }
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    write_json(&out, &packer, json);
    json_decref(json);
    free(text);
    pack = (struct tide_pack){(uint8_t *)out.data, out.size};
    return pack;
}

struct tide_pack tide_pack_hex(const char *hex)
{
    msgpack_sbuffer out;

    msgpack_sbuffer_init(&out);
    write_hex(&out, hex);
    return (struct tide_pack){(uint8_t *)out.data, out.size};
}

void tide_pack_free(struct tide_pack *pack)
{
    free(pack->data);
    *pack = (struct tide_pack){NULL, 0};
}

struct tide_pack tide_pack_join(struct tide_pack a, struct tide_pack b)
{
    uint8_t *data = realloc(a.data, a.len + b.len + 1);

    if (!data)
        abort();
    if (b.len > 0)
        memcpy(data + a.len, b.data, b.len);
    free(b.data);
    return (struct tide_pack){data, a.len + b.len};
}

struct tide_pack tide_pack_gzip(const void *data, size_t len)
{
    z_stream stream = {0};
    struct tide_pack pack;

    if (deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    pack.len = deflateBound(&stream, (uLong)len);
    pack.data = malloc(pack.len);
    if (!pack.data)
        abort();
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = pack.data;
    stream.avail_out = (uInt)pack.len;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    pack.len = stream.total_out;
    deflateEnd(&stream);
    return pack;
}

uint64_t tide_test_seed(void)
{
    const char *given = getenv("TIDE_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
    printf("seed: TIDE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint64_t tide_test_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
