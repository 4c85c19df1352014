/* The encoder always picks the shortest form. The reader never trusts a length: it is given values
 * whose end the frame scanner has already found, and still checks.
 */
#include "packer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/wire.h"

static uint8_t *grow(struct tide_packer *pack, size_t more)
{
    uint8_t *at;

    if (pack->capacity - pack->len < more) {
        size_t capacity = pack->capacity ? pack->capacity : 256;

        while (capacity - pack->len < more)
            capacity *= 2;
        pack->bytes = realloc(pack->bytes, capacity);
        if (!pack->bytes)
            abort();
        pack->capacity = capacity;
    }
    at = pack->bytes + pack->len;
    pack->len += more;
    return at;
}

/* A first byte and `size` big-endian bytes of value. */
static void put(struct tide_packer *pack, uint8_t first, uint64_t value, unsigned size)
{
    uint8_t *at = grow(pack, 1 + size);

    *at++ = first;
    for (unsigned i = size; i-- > 0;)
        *at++ = (uint8_t)(value >> (8 * i));
}

void tide_packer_array(struct tide_packer *pack, uint32_t count)
{
    if (count < 16)
        put(pack, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put(pack, 0xdc, count, 2);
    else
        put(pack, 0xdd, count, 4);
}

void tide_packer_map(struct tide_packer *pack, uint32_t pairs)
{
    if (pairs < 16)
        put(pack, (uint8_t)(0x80 | pairs), 0, 0);
    else if (pairs <= UINT16_MAX)
        put(pack, 0xde, pairs, 2);
    else
        put(pack, 0xdf, pairs, 4);
}

void tide_packer_str(struct tide_packer *pack, const void *text, size_t len)
{
    assert(len <= UINT32_MAX);
    if (len < 32)
        put(pack, (uint8_t)(0xa0 | len), 0, 0);
    else if (len <= UINT8_MAX)
        put(pack, 0xd9, len, 1);
    else if (len <= UINT16_MAX)
        put(pack, 0xda, len, 2);
    else
        put(pack, 0xdb, len, 4);
    if (len)
        memcpy(grow(pack, len), text, len);
}

void tide_packer_text(struct tide_packer *pack, const char *text)
{
    tide_packer_str(pack, text, strlen(text));
}

void tide_packer_int(struct tide_packer *pack, int64_t value)
{
    uint64_t bits = (uint64_t)value;

    if (value >= 0) {
        if (value < 128)
            put(pack, (uint8_t)value, 0, 0);
        else if (value <= UINT8_MAX)
            put(pack, 0xcc, bits, 1);
        else if (value <= UINT16_MAX)
            put(pack, 0xcd, bits, 2);
        else if (value <= UINT32_MAX)
            put(pack, 0xce, bits, 4);
        else
            put(pack, 0xcf, bits, 8);
    } else if (value >= -32) {
        put(pack, (uint8_t)value, 0, 0);
    } else if (value >= INT8_MIN) {
        put(pack, 0xd0, bits, 1);
    } else if (value >= INT16_MIN) {
        put(pack, 0xd1, bits, 2);
    } else if (value >= INT32_MIN) {
        put(pack, 0xd2, bits, 4);
    } else {
        put(pack, 0xd3, bits, 8);
    }
}

void tide_packer_double(struct tide_packer *pack, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put(pack, 0xcb, bits, 8);
}

void tide_packer_bool(struct tide_packer *pack, bool value)
{
    put(pack, value ? 0xc3 : 0xc2, 0, 0);
}

void tide_packer_nil(struct tide_packer *pack)
{
    put(pack, 0xc0, 0, 0);
}

void tide_packer_event_time(struct tide_packer *pack, uint32_t seconds, uint32_t nanoseconds)
{
    put(pack, 0xd7, 0, 1);
    put(pack, (uint8_t)(seconds >> 24), seconds & 0xffffff, 3);
    put(pack, (uint8_t)(nanoseconds >> 24), nanoseconds & 0xffffff, 3);
}

void tide_packer_fini(struct tide_packer *pack)
{
    free(pack->bytes);
    *pack = (struct tide_packer){NULL, 0, 0};
}

static enum tide_rc pack_json(struct tide_packer *pack, const json_t *value, unsigned depth,
                              struct tide_err *err)
{
    json_t *mutable =
        (json_t *)(uintptr_t)value; /* jansson's iterators want it so; nothing is changed */
    enum tide_rc rc = TIDE_OK;
    const char *key;
    json_t *child;
    size_t i, key_len;

    if (depth > TIDE_PACK_DEPTH_MAX) {
        tide_err_set(err, "nested deeper than %d", TIDE_PACK_DEPTH_MAX);
        return TIDE_TOO_LARGE;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        tide_packer_map(pack, (uint32_t)json_object_size(value));
        for (void *at = json_object_iter(mutable); at && rc == TIDE_OK;
             at = json_object_iter_next(mutable, at)) {
            key = json_object_iter_key(at);
            key_len = strlen(key); /* jansson refuses NUL in keys */
            tide_packer_str(pack, key, key_len);
            rc = pack_json(pack, json_object_iter_value(at), depth + 1, err);
        }
        break;
    case JSON_ARRAY:
        tide_packer_array(pack, (uint32_t)json_array_size(value));
        json_array_foreach(mutable, i, child)
        {
            rc = pack_json(pack, child, depth + 1, err);
            if (rc != TIDE_OK)
                break;
        }
        break;
    case JSON_STRING:
        tide_packer_str(pack, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        tide_packer_int(pack, json_integer_value(value));
        break;
    case JSON_REAL:
        tide_packer_double(pack, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        tide_packer_bool(pack, json_is_true(value));
        break;
    case JSON_NULL:
        tide_packer_nil(pack);
        break;
    }
    return rc;
}

enum tide_rc tide_packer_json(struct tide_packer *pack, const json_t *value, struct tide_err *err)
{
    return pack_json(pack, value, 1, err);
}

static uint64_t big_endian(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    while (size--)
        value = value << 8 | *bytes++;
    return value;
}

bool tide_read_text(const uint8_t *bytes, size_t len, const char **ret_text, size_t *ret_len,
                    size_t *ret_used)
{
    size_t head = 1, size;

    if (len == 0)
        return false;
    if ((bytes[0] & 0xe0) == 0xa0) {
        size = bytes[0] & 31;
    } else {
        switch (bytes[0]) {
        case 0xc4:
        case 0xd9:
            head = 2;
            break;
        case 0xc5:
        case 0xda:
            head = 3;
            break;
        case 0xc6:
        case 0xdb:
            head = 5;
            break;
        default:
            return false;
        }
        if (len < head)
            return false;
        size = (size_t)big_endian(bytes + 1, (unsigned)head - 1);
    }
    if (len - head < size)
        return false;
    *ret_text = (const char *)bytes + head;
    *ret_len = size;
    *ret_used = head + size;
    return true;
}

static bool read_number(const uint8_t *bytes, size_t len, double *ret)
{
    static const uint8_t size[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* ca .. d3 */
    uint64_t raw;
    float single;

    if (bytes[0] < 0x80 || bytes[0] >= 0xe0) {
        *ret = (int8_t)bytes[0];
        return true;
    }
    if (bytes[0] < 0xca || bytes[0] > 0xd3 || len < 1u + size[bytes[0] - 0xca])
        return false;
    raw = big_endian(bytes + 1, size[bytes[0] - 0xca]);
    switch (bytes[0]) {
    case 0xca: {
        uint32_t half = (uint32_t)raw;
        memcpy(&single, &half, sizeof single);
        *ret = (double)single;
        break;
    }
    case 0xcb:
        memcpy(ret, &raw, sizeof *ret);
        break;
    case 0xd0:
        *ret = (int8_t)raw;
        break;
    case 0xd1:
        *ret = (int16_t)raw;
        break;
    case 0xd2:
        *ret = (int32_t)raw;
        break;
    case 0xd3:
        *ret = (double)(int64_t)raw;
        break;
    default:
        *ret = (double)raw;
        break;
    }
    return true;
}

bool tide_is_map(uint8_t first)
{
    return (first & 0xf0) == 0x80 || first == 0xde || first == 0xdf;
}

/* Bytes of the whole value at bytes[0, len), or 0. */
static size_t value_size(const uint8_t *bytes, size_t len)
{
    struct tide_frame_scan scan;
    size_t size;

    tide_frame_reset(&scan);
    return len && tide_frame_next(&scan, bytes, len, len, &size) == TIDE_OK ? size : 0;
}

bool tide_map_find(const uint8_t *map, size_t len, const char *key, struct tide_scalar *ret)
{
    size_t at = map[0] == 0xde ? 3 : map[0] == 0xdf ? 5 : 1, wanted = strlen(key);
    uint64_t pairs = at == 1 ? map[0] & 15u : len < at ? 0 : big_endian(map + 1, (unsigned)at - 1);

    for (; pairs > 0; pairs--) {
        const char *name = NULL;
        size_t name_len = 0, used, key_size = at < len ? value_size(map + at, len - at) : 0;
        size_t size;
        bool found;

        if (key_size == 0)
            return false;
        found = tide_read_text(map + at, key_size, &name, &name_len, &used) && name_len == wanted &&
                memcmp(name, key, wanted) == 0;
        at += key_size;
        size = at < len ? value_size(map + at, len - at) : 0;
        if (size == 0)
            return false;
        if (found) {
            *ret = (struct tide_scalar){.kind = TIDE_SCALAR_OTHER};
            if (tide_read_text(map + at, size, &ret->text, &ret->len, &used))
                ret->kind = TIDE_SCALAR_TEXT;
            else if (read_number(map + at, size, &ret->number))
                ret->kind = TIDE_SCALAR_NUMBER;
            return true;
        }
        at += size;
    }
    return false;
}
