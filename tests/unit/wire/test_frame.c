#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cursor.h"
#include "guard.h"
#include "pack.h"

#define MAX (64u << 20)

static enum tide_rc scan_whole(const void *data, size_t len, size_t max_bytes, size_t *ret_size)
{
    struct tide_frame_scan scan;

    tide_frame_reset(&scan);
    return tide_frame_next(&scan, data, len, max_bytes, ret_size);
}

/* Feeds data[0, len) byte by byte, each prefix ending at an unreadable page. */
static enum tide_rc scan_trickling(const void *data, size_t len, size_t max_bytes, size_t *ret_size)
{
    struct tide_frame_scan scan;
    struct tide_guard guard;
    enum tide_rc rc = TIDE_AGAIN;

    tide_guard_init(&guard, len);
    tide_frame_reset(&scan);
    for (size_t have = 0; have <= len && rc == TIDE_AGAIN; have++) {
        rc =
            tide_frame_next(&scan, tide_guard_place(&guard, data, have), have, max_bytes, ret_size);
        if (rc == TIDE_AGAIN) {
            assert_true(scan.need > have); /* another look is worth it only with more bytes */
            assert_true(scan.need <= max_bytes);
        }
    }
    tide_guard_fini(&guard);
    return rc;
}

static enum tide_rc scan_hex(const char *hex, size_t max_bytes, size_t *ret_size)
{
    struct tide_pack pack = tide_pack_hex(hex);
    size_t size = 0, trickled = 0;
    enum tide_rc rc = scan_whole(pack.data, pack.len, max_bytes, &size);

    assert_int_equal(scan_trickling(pack.data, pack.len, max_bytes, &trickled), rc);
    assert_int_equal(trickled, size);
    tide_pack_free(&pack);
    if (ret_size)
        *ret_size = size;
    return rc;
}

/* One value for every possible first byte, followed by bytes that are not its own. */
static void every_first_byte_has_its_size(void **state)
{
    static const struct {
        unsigned from, to;
        int size; /* of a value whose length or count field says 2; -1: 1 + the low five bits; -2:
                     fix containers */
    } row[] = {
        {0x00, 0x7f, 1},  {0x80, 0x8f, -2}, {0x90, 0x9f, -2}, {0xa0, 0xbf, -1}, {0xc0, 0xc0, 1},
        {0xc2, 0xc3, 1},  {0xc4, 0xc4, 4},  {0xc5, 0xc5, 5},  {0xc6, 0xc6, 7},  {0xc7, 0xc7, 5},
        {0xc8, 0xc8, 6},  {0xc9, 0xc9, 8},  {0xca, 0xca, 5},  {0xcb, 0xcb, 9},  {0xcc, 0xcc, 2},
        {0xcd, 0xcd, 3},  {0xce, 0xce, 5},  {0xcf, 0xcf, 9},  {0xd0, 0xd0, 2},  {0xd1, 0xd1, 3},
        {0xd2, 0xd2, 5},  {0xd3, 0xd3, 9},  {0xd4, 0xd4, 3},  {0xd5, 0xd5, 4},  {0xd6, 0xd6, 6},
        {0xd7, 0xd7, 10}, {0xd8, 0xd8, 18}, {0xd9, 0xd9, 4},  {0xda, 0xda, 5},  {0xdb, 0xdb, 7},
        {0xdc, 0xdc, 5},  {0xdd, 0xdd, 7},  {0xde, 0xde, 7},  {0xdf, 0xdf, 9},  {0xe0, 0xff, 1},
    };
    unsigned seen = 0;

    (void)state;
    for (size_t r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
        for (unsigned first = row[r].from; first <= row[r].to; first++, seen++) {
            uint8_t bytes[64];
            size_t header = 1, expected, size = 0, trickled = 0;
            struct tide_cursor cursor;

            memset(bytes, 0x01, sizeof(bytes)); /* elements are the int 1 */
            bytes[0] = (uint8_t)first;
            if (first == 0xc4 || first == 0xc7 || first == 0xd9)
                header = 2;
            else if (first == 0xc5 || first == 0xc8 || first == 0xda || first == 0xdc ||
                     first == 0xde)
                header = 3;
            else if (first == 0xc6 || first == 0xc9 || first == 0xdb || first == 0xdd ||
                     first == 0xdf)
                header = 5;
            if (header > 1) {
                memset(bytes + 1, 0, header - 1);
                bytes[header - 1] = 2;
            }
            expected = row[r].size > 0     ? (size_t)row[r].size
                       : row[r].size == -1 ? 1 + (first & 0x1f)
                                           : 1 + (first & 0x0f) * (first < 0x90 ? 2u : 1u);
            assert_int_equal(scan_whole(bytes, sizeof(bytes), MAX, &size), TIDE_OK);
            assert_int_equal(size, expected);
            assert_int_equal(scan_trickling(bytes, sizeof(bytes), MAX, &trickled), TIDE_OK);
            assert_int_equal(trickled, expected);

            /* The cursor agrees, and needs all of the bytes. */
            cursor = (struct tide_cursor){bytes, bytes + sizeof(bytes)};
            assert_true(tide_cursor_skip(&cursor));
            assert_ptr_equal(cursor.at, bytes + expected);
            for (size_t cut = 0; cut < expected; cut++) {
                cursor = (struct tide_cursor){bytes, bytes + cut};
                assert_false(tide_cursor_skip(&cursor));
            }
        }
    }
    assert_int_equal(seen, 255); /* all but 0xc1 */
}

static void unused_byte_is_malformed_wherever_it_stands(void **state)
{
    (void)state;
    assert_int_equal(scan_hex("c1", MAX, NULL), TIDE_MALFORMED);
    assert_int_equal(scan_hex("92 01 c1", MAX, NULL), TIDE_MALFORMED);
    assert_int_equal(scan_hex("81 a1 61 c1", MAX, NULL), TIDE_MALFORMED);
    assert_int_equal(scan_hex("a1 c1", MAX, NULL), TIDE_OK); /* inside a string it is content */
}

static void values_follow_each_other(void **state)
{
    struct tide_pack pack =
        tide_pack_join(tide_pack("['a',[[1,{'b':2}]],{'c':[]}]"), tide_pack("[null,{},[]]"));
    size_t first = 0, second = 0;

    (void)state;
    assert_int_equal(scan_whole(pack.data, pack.len, MAX, &first), TIDE_OK);
    assert_int_equal(scan_whole(pack.data + first, pack.len - first, MAX, &second), TIDE_OK);
    assert_int_equal(first + second, pack.len);
    tide_pack_free(&pack);
}

static void declared_giants_are_refused_by_their_header(void **state)
{
    (void)state;
    assert_int_equal(scan_hex("db ff ff ff ff", MAX, NULL), TIDE_TOO_LARGE);    /* str32 */
    assert_int_equal(scan_hex("c6 ff ff ff ff", MAX, NULL), TIDE_TOO_LARGE);    /* bin32 */
    assert_int_equal(scan_hex("c9 ff ff ff ff 00", MAX, NULL), TIDE_TOO_LARGE); /* ext32 */
    assert_int_equal(scan_hex("dd ff ff ff ff", MAX, NULL), TIDE_TOO_LARGE);    /* array32 */
    assert_int_equal(scan_hex("df ff ff ff ff", MAX, NULL), TIDE_TOO_LARGE);    /* map32 */
    assert_int_equal(scan_hex("dd 02 fa f0 80", MAX, NULL),
                     TIDE_AGAIN); /* 50 million: may still come */
    assert_int_equal(scan_hex("dd 04 00 00 00", MAX, NULL), TIDE_TOO_LARGE); /* 64 Mi: cannot */
    assert_int_equal(scan_hex("df 02 00 00 00", MAX, NULL), TIDE_TOO_LARGE); /* a pair is two */
    assert_int_equal(scan_hex("92 db 03 ff ff f0 01", MAX, NULL), TIDE_AGAIN);
}

/* Each container alone would fit; what they owe together does not. */
static void what_open_containers_owe_adds_up(void **state)
{
    (void)state;
    assert_int_equal(scan_hex("dc 00 64 dc 00 64 dc 00 64", 1000, NULL), TIDE_AGAIN);
    assert_int_equal(scan_hex("dc 00 64 dc 00 64 dc 00 64", 300, NULL), TIDE_TOO_LARGE);
    assert_int_equal(scan_hex("92 d9 50 d9", 82, NULL),
                     TIDE_TOO_LARGE); /* 80 bytes and one more value */
}

static void frame_of_exactly_the_limit_passes(void **state)
{
    struct tide_pack pack = tide_pack("['mod.auth',[[1,{'a':'0123456789'}]],{'chunk':'abcdefgh'}]");
    size_t size = 0;

    (void)state;
    assert_int_equal(scan_whole(pack.data, pack.len, pack.len, &size), TIDE_OK);
    assert_int_equal(size, pack.len);
    assert_int_equal(scan_whole(pack.data, pack.len, pack.len - 1, &size), TIDE_TOO_LARGE);
    assert_int_equal(scan_trickling(pack.data, pack.len, pack.len, &size), TIDE_OK);
    assert_int_equal(scan_trickling(pack.data, pack.len, pack.len - 1, &size), TIDE_TOO_LARGE);
    tide_pack_free(&pack);
}

static void depth_is_bounded(void **state)
{
    uint8_t bytes[200];
    size_t size = 0;

    (void)state;
    memset(bytes, 0x91, sizeof(bytes));
    bytes[TIDE_FRAME_DEPTH_MAX] = 0xc0;
    assert_int_equal(scan_whole(bytes, TIDE_FRAME_DEPTH_MAX + 1, MAX, &size), TIDE_OK);
    assert_int_equal(size, TIDE_FRAME_DEPTH_MAX + 1);
    bytes[TIDE_FRAME_DEPTH_MAX] = 0x90; /* an empty one is a container too */
    assert_int_equal(scan_whole(bytes, TIDE_FRAME_DEPTH_MAX + 1, MAX, &size), TIDE_MALFORMED);
    bytes[TIDE_FRAME_DEPTH_MAX] = 0x91;
    assert_int_equal(scan_whole(bytes, sizeof(bytes), MAX, &size), TIDE_MALFORMED);
    assert_int_equal(scan_trickling(bytes, sizeof(bytes), MAX, &size), TIDE_MALFORMED);
}

/* Elements behind a deep sibling are not deeper than it. */
static void depth_is_given_back_when_a_container_ends(void **state)
{
    uint8_t bytes[1 + 3 * (TIDE_FRAME_DEPTH_MAX + 1)];
    size_t at = 0, size = 0;

    (void)state;
    bytes[at++] = 0x93;
    for (int i = 0; i < 3; i++) {
        memset(bytes + at, 0x91, TIDE_FRAME_DEPTH_MAX - 1);
        at += TIDE_FRAME_DEPTH_MAX - 1;
        bytes[at++] = 0x01;
    }
    assert_int_equal(scan_whole(bytes, at, MAX, &size), TIDE_OK);
    assert_int_equal(size, at);
}

static void skipping_is_bounded_too(void **state)
{
    static uint8_t bytes[100000];
    struct tide_cursor cursor = {bytes, bytes + sizeof(bytes)};

    (void)state;
    memset(bytes, 0x91, sizeof(bytes));
    assert_false(tide_cursor_skip(&cursor));
}

static void need_of_a_long_string_is_its_end(void **state)
{
    struct tide_frame_scan scan;
    uint8_t bytes[] = {0x92, 0xda, 0x10, 0x00};
    size_t size;

    (void)state;
    tide_frame_reset(&scan);
    assert_int_equal(tide_frame_next(&scan, bytes, 4, MAX, &size), TIDE_AGAIN);
    assert_int_equal(scan.need, 4 + 4096 + 1);
    assert_int_equal(scan.at, 4 + 4096); /* already walked, though it has not arrived */
}

static void first_byte_says_what_a_peer_speaks(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        enum tide_speech expected = TIDE_SPEECH_FOREIGN;

        if ((first >= 0x80 && first <= 0x9f) || first == 0xc0 || (first >= 0xdc && first <= 0xdf))
            expected = TIDE_SPEECH_MSGPACK;
        else if (first == '{' || first == '[')
            expected = TIDE_SPEECH_JSON;
        else if (first == 0x16)
            expected = TIDE_SPEECH_TLS;
        else if (first != 0 && strchr("GPHDO", (int)first))
            expected = TIDE_SPEECH_HTTP;
        assert_int_equal(tide_speech_of((uint8_t)first), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_first_byte_has_its_size),
        cmocka_unit_test(unused_byte_is_malformed_wherever_it_stands),
        cmocka_unit_test(values_follow_each_other),
        cmocka_unit_test(declared_giants_are_refused_by_their_header),
        cmocka_unit_test(what_open_containers_owe_adds_up),
        cmocka_unit_test(frame_of_exactly_the_limit_passes),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(depth_is_given_back_when_a_container_ends),
        cmocka_unit_test(skipping_is_bounded_too),
        cmocka_unit_test(need_of_a_long_string_is_its_end),
        cmocka_unit_test(first_byte_says_what_a_peer_speaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
