#include "packer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"

/* What we wrote, read back by the reference. */
static msgpack_object unpacked(msgpack_unpacked *hold, const struct tide_packer *packer)
{
    size_t off = 0;

    msgpack_unpacked_init(hold);
    assert_int_equal(msgpack_unpack_next(hold, (const char *)packer->bytes, packer->len, &off),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(off, packer->len);
    return hold->data;
}

static void integers_come_back_and_are_short(void **state)
{
    uint64_t seed = tide_test_seed();
    struct tide_packer packer = {NULL, 0, 0};
    static const int64_t edges[] = {
        0,   127, 128,  255,  256,    65535,  65536,     UINT32_MAX, INT64_MAX,  -1,
        -32, -33, -128, -129, -32768, -32769, INT32_MIN, INT64_MIN,  4294967296, -2147483649};

    (void)state;
    for (int i = 0; i < 2000; i++) {
        int64_t value = i < (int)(sizeof edges / sizeof *edges)
                            ? edges[i]
                            : (int64_t)tide_test_random(&seed) >> (tide_test_random(&seed) % 64);
        msgpack_sbuffer reference;
        msgpack_packer reference_packer;
        msgpack_unpacked hold;
        msgpack_object object;

        packer.len = 0;
        tide_packer_int(&packer, value);
        object = unpacked(&hold, &packer);
        if (value >= 0)
            assert_true(object.type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
                        object.via.u64 == (uint64_t)value);
        else
            assert_true(object.type == MSGPACK_OBJECT_NEGATIVE_INTEGER && object.via.i64 == value);
        msgpack_unpacked_destroy(&hold);
        msgpack_sbuffer_init(&reference);
        msgpack_packer_init(&reference_packer, &reference, msgpack_sbuffer_write);
        msgpack_pack_int64(&reference_packer, value);
        assert_int_equal(packer.len, reference.size);
        assert_memory_equal(packer.bytes, reference.data, packer.len);
        msgpack_sbuffer_destroy(&reference);
    }
    tide_packer_fini(&packer);
}

static void every_length_of_text_and_container_comes_back(void **state)
{
    static const uint32_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    char *text = calloc(1, 70000);

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct tide_packer packer = {NULL, 0, 0};
        const char *found;
        size_t found_len, used;
        msgpack_unpacked hold;
        msgpack_object object;

        tide_packer_str(&packer, text, lengths[i]);
        object = unpacked(&hold, &packer);
        assert_int_equal(object.type, MSGPACK_OBJECT_STR);
        assert_int_equal(object.via.str.size, lengths[i]);
        msgpack_unpacked_destroy(&hold);
        assert_true(tide_read_text(packer.bytes, packer.len, &found, &found_len, &used));
        assert_int_equal(found_len, lengths[i]);
        assert_int_equal(used, packer.len);
        if (packer.len > 1)
            assert_false(tide_read_text(packer.bytes, packer.len - 1, &found, &found_len, &used));

        packer.len = 0;
        tide_packer_array(&packer, lengths[i]);
        for (uint32_t k = 0; k < lengths[i]; k++)
            tide_packer_nil(&packer);
        object = unpacked(&hold, &packer);
        assert_int_equal(object.via.array.size, lengths[i]);
        msgpack_unpacked_destroy(&hold);

        packer.len = 0;
        tide_packer_map(&packer, lengths[i]);
        assert_true(tide_is_map(packer.bytes[0]));
        for (uint32_t k = 0; k < 2 * lengths[i]; k++)
            tide_packer_bool(&packer, k % 2);
        object = unpacked(&hold, &packer);
        assert_int_equal(object.via.map.size, lengths[i]);
        msgpack_unpacked_destroy(&hold);
        tide_packer_fini(&packer);
    }
    free(text);
}

static void an_event_time_is_a_fixed_extension(void **state)
{
    struct tide_packer packer = {NULL, 0, 0};

    (void)state;
    tide_packer_event_time(&packer, 0x01020304, 0x05060708);
    assert_int_equal(packer.len, 10);
    assert_memory_equal(packer.bytes, "\xd7\x00\x01\x02\x03\x04\x05\x06\x07\x08", 10);
    tide_packer_fini(&packer);
}

static void json_keeps_its_types_and_order(void **state)
{
    json_error_t where;
    json_t *value = json_loads("{\"b\":[1,-1,1.5,true,false,null],\"a\":{\"\":\"x\\u0000y\"}}",
                               JSON_ALLOW_NUL, &where);
    static const char expected[] = "\x82\xa1"
                                   "b\x96\x01\xff\xcb\x3f\xf8\0\0\0\0\0\0\xc3\xc2\xc0\xa1"
                                   "a\x81\xa0\xa3x\0y";
    struct tide_packer packer = {NULL, 0, 0};
    struct tide_err err;

    (void)state;
    assert_int_equal(tide_packer_json(&packer, value, &err), TIDE_OK);
    assert_int_equal(packer.len, sizeof expected - 1);
    assert_memory_equal(packer.bytes, expected, packer.len);
    json_decref(value);
    tide_packer_fini(&packer);
}

static void a_field_is_found_behind_anything(void **state)
{
    struct tide_pack map = tide_pack(
        "{'a': [1, {'time': 1}], 'b': {'time': 2}, 'time': 3.5, 'i': -7, 't': 'x', 'n': null}");
    struct tide_scalar value;

    (void)state;
    assert_true(tide_map_find(map.data, map.len, "time", &value));
    assert_int_equal(value.kind, TIDE_SCALAR_NUMBER);
    assert_true(value.number == 3.5);
    assert_true(tide_map_find(map.data, map.len, "i", &value));
    assert_true(value.number == -7);
    assert_true(tide_map_find(map.data, map.len, "t", &value));
    assert_int_equal(value.kind, TIDE_SCALAR_TEXT);
    assert_int_equal(value.len, 1);
    assert_true(tide_map_find(map.data, map.len, "n", &value));
    assert_int_equal(value.kind, TIDE_SCALAR_OTHER);
    assert_false(tide_map_find(map.data, map.len, "tim", &value));
    assert_false(tide_map_find(map.data, map.len, "", &value));
    for (size_t cut = 1; cut < map.len; cut++) /* never beyond the end, whatever is missing */
        tide_map_find(map.data, cut, "none", &value);
    tide_pack_free(&map);
}

static void every_number_can_be_read(void **state)
{
    static const struct {
        const char *hex;
        double number;
    } cases[] = {{"81a16e05", 5},
                 {"81a16ee0", -32},
                 {"81a16eccff", 255},
                 {"81a16ecd0100", 256},
                 {"81a16ece00010000", 65536},
                 {"81a16ecf0000000100000000", 4294967296.0},
                 {"81a16ed080", -128},
                 {"81a16ed18000", -32768},
                 {"81a16ed280000000", -2147483648.0},
                 {"81a16ed3ffffffffffffffff", -1},
                 {"81a16eca3fc00000", 1.5},
                 {"81a16ecb3ff8000000000000", 1.5}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tide_pack map = tide_pack_hex(cases[i].hex);
        struct tide_scalar value;

        assert_true(tide_map_find(map.data, map.len, "n", &value));
        assert_int_equal(value.kind, TIDE_SCALAR_NUMBER);
        assert_true(value.number == cases[i].number);
        tide_pack_free(&map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_back_and_are_short),
        cmocka_unit_test(every_length_of_text_and_container_comes_back),
        cmocka_unit_test(an_event_time_is_a_fixed_extension),
        cmocka_unit_test(json_keeps_its_types_and_order),
        cmocka_unit_test(a_field_is_found_behind_anything),
        cmocka_unit_test(every_number_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
