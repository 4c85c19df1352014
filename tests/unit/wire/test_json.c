/* JSON requests: where they end, and what they are as msgpack. */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;
static uint64_t seed;

static uint64_t below(uint64_t n)
{
    return tide_test_random(&seed) % n;
}

/* ---- the end ---- */

static enum tide_rc next(const char *text, size_t len, size_t max, size_t *ret_size)
{
    struct tide_frame_scan scan;

    tide_frame_reset(&scan);
    return tide_json_next(&scan, tide_guard_place(&guard, text, len), len, max,
                          TIDE_FRAME_DEPTH_MAX, ret_size);
}

static const char *const whole[] = {
    "[]",
    "{}",
    "[[],{},[[]]]",
    "[\"]\",\"}\",\"[\"]",
    "{\"a\\\"]\":\"\\\\\"}",
    "[\"\\\\\\\"]\"]",
    "[\n 1 ,\t2 ]",
    "{\"a\":{\"b\":[1,2,{\"c\":\"d]}\"}]}}",
};
#define WHOLE (sizeof(whole) / sizeof(whole[0]))

static void values_end_where_their_brackets_balance(void **state)
{
    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        char text[100];
        size_t len = strlen(whole[i]), size = 0;

        memcpy(text, whole[i], len);
        memcpy(text + len, "][}{\"", 5);
        for (size_t behind = 0; behind <= 5; behind++) {
            assert_int_equal(next(text, len + behind, 100, &size), TIDE_OK);
            assert_int_equal(size, len);
        }
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(next(text, cut, 100, &size), TIDE_AGAIN);
    }
}

/* Any pieces: the scan goes on where it was, and asks for no byte that it does not need. */
static void any_cut_gives_the_same_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < WHOLE; i++)
        for (int round = 0; round < 50; round++) {
            const size_t len = strlen(whole[i]);
            struct tide_frame_scan scan;
            size_t size = 0, there = 0;
            enum tide_rc rc = TIDE_AGAIN;

            tide_frame_reset(&scan);
            while (rc == TIDE_AGAIN) {
                assert_true(scan.need > there && scan.need <= len);
                there += 1 + below(len - there);
                rc = tide_json_next(&scan, tide_guard_place(&guard, whole[i], there), there, len,
                                    TIDE_FRAME_DEPTH_MAX, &size);
            }
            assert_int_equal(rc, TIDE_OK);
            assert_int_equal(size, len);
            assert_int_equal(there, len);
            assert_true(scan.at == 0 && scan.depth == 0 && !scan.in_text && !scan.escaped);
        }
}

static void size_is_bounded(void **state)
{
    size_t size;

    (void)state;
    assert_int_equal(next("[1,2]", 5, 5, &size), TIDE_OK);
    assert_int_equal(next("[1,2]", 5, 4, &size), TIDE_TOO_LARGE);
    assert_int_equal(next("[1,2,", 5, 5, &size), TIDE_TOO_LARGE);
    assert_int_equal(next("[1,2,", 5, 6, &size), TIDE_AGAIN);
    assert_int_equal(next("[\"xxxxxxx", 9, 9, &size), TIDE_TOO_LARGE);
    assert_int_equal(next("[\"xxxxxxx", 9, 10, &size), TIDE_AGAIN);
}

static void depth_is_bounded(void **state)
{
    char text[2 * TIDE_FRAME_DEPTH_MAX + 2];
    const size_t most = TIDE_FRAME_DEPTH_MAX;
    uint8_t *packed;
    size_t size;

    (void)state;
    memset(text, '[', most + 1);
    memset(text + most + 1, ']', most + 1);
    assert_int_equal(next(text + 1, 2 * most, 1000, &size), TIDE_OK);
    assert_int_equal(tide_json_pack((uint8_t *)text + 1, 2 * most, &packed, &size), TIDE_OK);
    free(packed);
    assert_int_equal(next(text, 2 * most + 2, 1000, &size), TIDE_MALFORMED);
    assert_int_equal(next(text, most + 1, 1000, &size), TIDE_MALFORMED);
    assert_int_equal(tide_json_pack((uint8_t *)text, 2 * most + 2, &packed, &size), TIDE_MALFORMED);
}

static void a_bracket_closes_its_own_kind(void **state)
{
    static const char *const text[] = {"[}", "{]", "[{]", "{\"a\":[}", "[[]}", "[\"]\"}"};
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        assert_int_equal(next(text[i], strlen(text[i]), 100, &size), TIDE_MALFORMED);
}

/* ---- as msgpack ---- */

/* The text is the same value as the msgpack in `want`. */
static void is_packed_as(const char *text, size_t len, const uint8_t *want, size_t want_len)
{
    msgpack_unpacked ours, theirs;
    size_t packed_len, at = 0;
    uint8_t *packed;

    if (tide_json_pack(tide_guard_place(&guard, text, len), len, &packed, &packed_len) != TIDE_OK)
        fail_msg("%.*s: malformed at byte %zu", (int)len, text, packed_len);
    msgpack_unpacked_init(&ours);
    msgpack_unpacked_init(&theirs);
    assert_int_equal(msgpack_unpack_next(&ours, (char *)packed, packed_len, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, packed_len);
    at = 0;
    assert_int_equal(msgpack_unpack_next(&theirs, (const char *)want, want_len, &at),
                     MSGPACK_UNPACK_SUCCESS);
    if (!msgpack_object_equal(ours.data, theirs.data))
        fail_msg("%.*s", (int)len, text);
    msgpack_unpacked_destroy(&ours);
    msgpack_unpacked_destroy(&theirs);
    free(packed);
}

static void check(const char *text, const char *hex)
{
    struct tide_pack want = tide_pack_hex(hex);

    is_packed_as(text, strlen(text), want.data, want.len);
    tide_pack_free(&want);
}

static void every_scalar_has_its_msgpack(void **state)
{
    (void)state;
    check("[]", "90");
    check("{}", "80");
    check(" [ ]", "90");
    check("[-9223372036854775808,-9007199254740993]", "92 d38000000000000000 d3ffdfffffffffffff");
    check("[-9223372036854775809,-4.0]", "92 cbc3e0000000000000 cbc010000000000000");
    check("[null,true,false]", "93 c0 c3 c2");
    check("[0,-0,1,127,128,255,256]", "97 00 00 01 7f cc80 ccff cd0100");
    check("[65535,65536,4294967295,4294967296]",
          "94 cdffff ce00010000 ceffffffff cf0000000100000000");
    check("[18446744073709551615,18446744073709551616]",
          "92 cfffffffffffffffff cb43f0000000000000");
    check("[-1,-32,-33,-2147483648,-2147483649,-9007199254740992]",
          "96 ff e0 d0df d280000000 d3ffffffff7fffffff d3ffe0000000000000");
    check("[1.5,1e2,1E+2,25e-1,-0.5]",
          "95 cb3ff8000000000000 cb4059000000000000 cb4059000000000000 cb4004000000000000 "
          "cbbfe0000000000000");
    check("[1e999]", "91 a531653939 39");
    check("[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "93 a0 a161 a8225c2f080c0a0d09");
    check("[\"\\u0000\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"]", "91 ab 00 41 c3a9 e282ac f09f9880");
    check("[\"\\ud83d\"]", "91 a3efbfbd");
    check("[\"\\ude00x\\ud83d\\u0041\"]", "91 a8 efbfbd 78 efbfbd 41");
    check("[\"\\ud83d\\ud83d\\ude00\"]", "91 a7 efbfbd f09f9880");
    check("[\"\xff\x7f\"]", "91 a2ff7f");
    check("{\"a\":{\"b\":[]},\"\":1}", "82 a161 81 a162 90 a0 01");
    check("{ \"a\" : 1 ,\n\"a\" : 2 }", "82 a161 01 a161 02");
}

/* The length with escapes chooses the header, the length without goes into it. */
static void texts_of_every_length_are_whole(void **state)
{
    static const size_t lens[] = {30, 31, 32, 33, 255, 256, 257, 65535, 65536, 65537};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        for (int escaped = 0; escaped < 2; escaped++) {
            size_t len = lens[i], used = 0, text_len = 0, packed_len, at = 0;
            char *text = malloc(2 * len + 16);
            msgpack_unpacked ours;
            uint8_t *packed;

            text[text_len++] = '[';
            text[text_len++] = '"';
            for (; used < len; used++) {
                if (escaped && used % 3 == 0)
                    text[text_len++] = '\\';
                text[text_len++] = escaped && used % 3 == 0 ? 'n' : 'x';
            }
            text[text_len++] = '"';
            text[text_len++] = ']';
            assert_int_equal(tide_json_pack((uint8_t *)text, text_len, &packed, &packed_len),
                             TIDE_OK);
            msgpack_unpacked_init(&ours);
            assert_int_equal(msgpack_unpack_next(&ours, (char *)packed, packed_len, &at),
                             MSGPACK_UNPACK_SUCCESS);
            assert_int_equal(at, packed_len);
            assert_int_equal(ours.data.via.array.ptr[0].via.str.size, len);
            msgpack_unpacked_destroy(&ours);
            free(packed);
            free(text);
        }
}

static void what_is_no_json_is_malformed_and_says_where(void **state)
{
    static const struct {
        const char *text;
        size_t at;
    } row[] = {
        {"[1,]", 3},        {"[,1]", 1},       {"[1 2]", 3}, {"[1}", 2},       {"{\"a\"}", 4},
        {"{\"a\":}", 5},    {"{\"a\":1,}", 7}, {"{1:2}", 1}, {"{a:1}", 1},     {"{'a':1}", 1},
        {"[01]", 1},        {"[1.]", 1},       {"[.5]", 1},  {"[+1]", 1},      {"[-]", 1},
        {"[1e]", 1},        {"[1e+]", 1},      {"[0x1]", 2}, {"[NaN]", 1},     {"[Infinity]", 1},
        {"[tru]", 1},       {"[truee]", 5},    {"[nul", 1},  {"[\"\\x\"]", 4}, {"[\"\\u12g4\"]", 7},
        {"[\"\\u12\"]", 7}, {"[\"a\tb\"]", 4}, {"[\"a", 2},  {"[\"\\\"]", 2},  {"[1]x", 3},
        {"[1],", 3},        {"[/*1*/]", 1},    {"", 0},      {" ", 1},         {"1]", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        size_t len = strlen(row[i].text), at = 99;
        uint8_t *packed;

        if (tide_json_pack(tide_guard_place(&guard, row[i].text, len), len, &packed, &at) !=
                TIDE_MALFORMED ||
            at != row[i].at)
            fail_msg("%s: at %zu, not %zu", row[i].text, at, row[i].at);
        assert_null(packed);
    }
}

/* What grows most: the room that was taken for it is enough (a sanitizer sees it when not). */
static void no_text_grows_more_than_threefold(void **state)
{
    static const char *const unit[] = {"[]",          "{}",        "[0e0]", "1e9",
                                       "-2147483649", "-1",        "[-1]",  "\"\"",
                                       "{\"\":1e9}",  "[[[1e9]]]", "1e999"};

    (void)state;
    for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
        for (size_t count = 1; count < 40; count += 13) {
            char text[1000] = "[";
            uint8_t *packed;
            size_t len;

            for (size_t n = 0; n < count; n++)
                strcat(strcat(text, n ? "," : ""), unit[i]);
            strcat(text, "]");
            assert_int_equal(tide_json_pack((uint8_t *)text, strlen(text), &packed, &len), TIDE_OK);
            assert_true(len <= 3 * strlen(text) + 5);
            free(packed);
        }
}

/* ---- against jansson and msgpack-c ---- */

static json_t *grow(unsigned depth)
{
    char text[400];
    size_t len = below(8) ? below(20) : below(300), at = 0;
    json_t *json;

    switch (below(depth > 5 ? 6 : 8)) {
    case 0:
        return json_integer((json_int_t)(tide_test_random(&seed) >> below(64)));
    case 1:
        return json_integer(-(json_int_t)(tide_test_random(&seed) >> (11 + below(53))));
    case 2:
        return json_real((double)(int64_t)tide_test_random(&seed) / (double)(1 + below(1000)));
    case 3:
        return below(2) ? json_boolean(below(2)) : json_null();
    case 4:
    case 5:
        while (at < len)
            switch (below(20)) {
            case 0:
                text[at++] = (char)(1 + below(31));
                break;
            case 1:
                text[at++] = "\"\\/"[below(3)];
                break;
            case 2:
                memcpy(text + at, "\xf0\x9f\x98\x80", 4);
                at += 4;
                break;
            case 3:
                memcpy(text + at, "\xc3\xa9", 2);
                at += 2;
                break;
            default:
                text[at++] = (char)(' ' + below(95));
                break;
            }
        return json_stringn(text, at);
    case 6:
        json = json_array();
        for (uint64_t n = below(20); n > 0; n--)
            json_array_append_new(json, grow(depth + 1));
        return json;
    default:
        json = json_object();
        for (uint64_t n = below(20); n > 0; n--) {
            char key[24];

            snprintf(key, sizeof(key), "k%llu", (unsigned long long)below(1000));
            json_object_set_new(json, key, grow(depth + 1));
        }
        return json;
    }
}

/* ' is " for tide_pack, so no text here has one. */
static void no_quotes(char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            *text = '.';
}

static void any_json_is_the_same_value_as_msgpack(void **state)
{
    (void)state;
    for (int round = 0; round < 1500; round++) {
        static const size_t layout[] = {0, JSON_COMPACT, JSON_INDENT(3), JSON_ENSURE_ASCII,
                                        JSON_ESCAPE_SLASH};
        json_t *json = json_array();
        struct tide_pack want;
        char *text;
        size_t size;

        json_array_append_new(json, grow(0));
        text = json_dumps(json, layout[below(5)]);
        no_quotes(text);
        want = tide_pack("%s", text);
        assert_int_equal(next(text, strlen(text), strlen(text), &size), TIDE_OK);
        assert_int_equal(size, strlen(text));
        is_packed_as(text, strlen(text), want.data, want.len);
        tide_pack_free(&want);
        free(text);
        json_decref(json);
    }
}

/* Bytes that are nearly JSON: an answer, and nothing read or written where it must not be. */
static void mutants_are_judged(void **state)
{
    static const char from[] = "[\"tag\",1700000000,{\"module_id\":\"a\\u00e9\\ud83d\\ude00\","
                               "\"duration_ms\":12.5e0,\"ok\":true,\"x\":[1,-2,null,{}]},"
                               "{\"chunk\":\"abcdefgh\"}]";
    static const char alphabet[] = "[]{}\",:\\u09.eE+-tfn \n\x01\xff";

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof(from)];
        size_t len = sizeof(from) - 1, size;
        uint8_t *packed;

        memcpy(text, from, sizeof(from));
        for (uint64_t n = 1 + below(3); n > 0; n--)
            text[1 + below(len - 1)] = alphabet[below(sizeof(alphabet) - 1)];
        if (below(4) == 0)
            len = 1 + below(len);
        if (next(text, len, len, &size) != TIDE_OK)
            continue;
        if (tide_json_pack(tide_guard_place(&guard, text, size), size, &packed, &len) == TIDE_OK) {
            msgpack_unpacked value;
            size_t at = 0;

            msgpack_unpacked_init(&value);
            assert_int_equal(msgpack_unpack_next(&value, (char *)packed, len, &at),
                             MSGPACK_UNPACK_SUCCESS);
            assert_int_equal(at, len);
            msgpack_unpacked_destroy(&value);
            free(packed);
        }
    }
}

/* ---- acks ---- */

static void ack_of_json_says_the_same_chunk(void **state)
{
    static const struct {
        const char *hex, *ack;
    } row[] = {
        {"a8 6162636465666768", "{\"ack\":\"abcdefgh\"}"},
        {"d902 610a", "{\"ack\":\"a\\u000a\"}"},
        {"a4 225c1fc3", "{\"ack\":\"\\\"\\\\\\u001f\xc3\"}"},
        {"a0", "{\"ack\":\"\"}"},
        {"cfffffffffffffffff", "{\"ack\":18446744073709551615}"},
        {"d38000000000000000", "{\"ack\":-9223372036854775808}"},
        {"07", "{\"ack\":7}"},
    };
    uint8_t *chunk = malloc(TIDE_PARCEL_CHUNK_MAX), *out;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_pack value = tide_pack_hex(row[i].hex);

        out = malloc(TIDE_ACK_JSON_SIZE(value.len));
        len = tide_reply_ack_json(out, value.data, value.len);
        assert_int_equal(len, strlen(row[i].ack));
        assert_memory_equal(out, row[i].ack, len);
        free(out);
        tide_pack_free(&value);
    }
    memset(chunk, 1, TIDE_PARCEL_CHUNK_MAX); /* each byte takes six */
    memcpy(chunk, "\xda\x0f\xfd", 3);
    out = malloc(TIDE_ACK_JSON_SIZE(TIDE_PARCEL_CHUNK_MAX));
    len = tide_reply_ack_json(out, chunk, TIDE_PARCEL_CHUNK_MAX);
    assert_int_equal(len, strlen("{\"ack\":\"\"}") + 6 * (TIDE_PARCEL_CHUNK_MAX - 3));
    free(out);
    free(chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_end_where_their_brackets_balance),
        cmocka_unit_test(any_cut_gives_the_same_end),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_bracket_closes_its_own_kind),
        cmocka_unit_test(every_scalar_has_its_msgpack),
        cmocka_unit_test(texts_of_every_length_are_whole),
        cmocka_unit_test(what_is_no_json_is_malformed_and_says_where),
        cmocka_unit_test(no_text_grows_more_than_threefold),
        cmocka_unit_test(any_json_is_the_same_value_as_msgpack),
        cmocka_unit_test(mutants_are_judged),
        cmocka_unit_test(ack_of_json_says_the_same_chunk),
    };
    int failed;

    seed = tide_test_seed();
    tide_guard_init(&guard, 1 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
