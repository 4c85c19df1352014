/* The scanner against msgpack-c: on random values, whole or damaged, both must see the same end. */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cursor.h"
#include "guard.h"
#include "pack.h"

#define MAX (1u << 20)

static struct tide_guard guard;
static uint64_t seed;

static uint64_t below(uint64_t n)
{
    return tide_test_random(&seed) % n;
}

static void pack_bytes(msgpack_packer *packer, int type, size_t len)
{
    static const char bytes[70000];

    switch (type) {
    case 0:
        msgpack_pack_str(packer, len);
        msgpack_pack_str_body(packer, bytes, len);
        break;
    case 1:
        msgpack_pack_bin(packer, len);
        msgpack_pack_bin_body(packer, bytes, len);
        break;
    default:
        msgpack_pack_ext(packer, len, (int8_t)below(256));
        msgpack_pack_ext_body(packer, bytes, len);
        break;
    }
}

/* Lengths around every change of header. */
static size_t any_len(void)
{
    static const size_t edge[] = {0, 1, 2, 4, 8, 15, 16, 17, 31, 32, 255, 256, 65535, 65536};

    return below(20) ? (size_t)below(40) : edge[below(sizeof(edge) / sizeof(edge[0]))];
}

static void pack_any(msgpack_packer *packer, unsigned depth)
{
    size_t count;

    switch (below(depth > 0 ? 14 : 10)) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        below(2) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        break;
    case 2:
        msgpack_pack_uint64(packer, tide_test_random(&seed) >> below(64));
        break;
    case 3:
        msgpack_pack_int64(packer, -(int64_t)(tide_test_random(&seed) >> (1 + below(63))));
        break;
    case 4:
        msgpack_pack_double(packer, (double)below(1000) / 7);
        break;
    case 5:
        msgpack_pack_float(packer, (float)below(1000) / 7);
        break;
    case 6:
    case 7:
    case 8:
        pack_bytes(packer, (int)below(2), any_len());
        break;
    case 9:
        pack_bytes(packer, 2, any_len());
        break;
    case 10:
    case 11:
        count = below(40) ? below(5) : any_len() % 300;
        msgpack_pack_array(packer, count);
        for (size_t i = 0; i < count; i++)
            pack_any(packer, count > 10 ? 0 : depth - 1);
        break;
    default:
        count = below(40) ? below(5) : any_len() % 300;
        msgpack_pack_map(packer, count);
        for (size_t i = 0; i < 2 * count; i++)
            pack_any(packer, count > 10 ? 0 : depth - 1);
        break;
    }
}

static enum tide_rc scan(const uint8_t *data, size_t len, size_t *ret_size)
{
    struct tide_frame_scan state;

    tide_frame_reset(&state);
    return tide_frame_next(&state, tide_guard_place(&guard, data, len), len, MAX, ret_size);
}

static void scanner_ends_where_the_library_ends(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        msgpack_unpacked unpacked;
        struct tide_cursor cursor;
        size_t end = 0, size = 0, len;

        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        pack_any(&packer, (unsigned)below(8));
        len = out.size;
        pack_any(&packer, 1); /* what follows must not matter */
        if (out.size > MAX) {
            msgpack_sbuffer_destroy(&out);
            continue;
        }

        msgpack_unpacked_init(&unpacked);
        assert_int_equal(msgpack_unpack_next(&unpacked, out.data, out.size, &end),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(end, len);
        msgpack_unpacked_destroy(&unpacked);

        assert_int_equal(scan((uint8_t *)out.data, out.size, &size), TIDE_OK);
        assert_int_equal(size, len);
        if (len > 1)
            assert_int_equal(scan((uint8_t *)out.data, len - 1, &size), TIDE_AGAIN);

        cursor.at = tide_guard_place(&guard, out.data, len);
        cursor.end = cursor.at + len;
        assert_true(tide_cursor_skip(&cursor));
        assert_ptr_equal(cursor.at, cursor.end);
        msgpack_sbuffer_destroy(&out);
    }
}

/* Random pieces, random rubbish in between: the answer depends on the bytes, not on the cuts. */
static void answer_does_not_depend_on_the_cuts(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        struct tide_frame_scan scan_state;
        size_t whole = 0, size = 0, have = 0, limit = 1 + below(400);
        enum tide_rc expected, rc;

        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        pack_any(&packer, 4);
        while (below(2)) {
            uint8_t *byte = (uint8_t *)out.data + below(out.size);

            *byte = (uint8_t)below(256);
        }
        tide_frame_reset(&scan_state);
        if (out.size > MAX)
            out.size = MAX;
        expected = tide_frame_next(&scan_state, tide_guard_place(&guard, out.data, out.size),
                                   out.size, limit, &whole);

        tide_frame_reset(&scan_state);
        rc = TIDE_AGAIN;
        while (rc == TIDE_AGAIN && have < out.size) {
            have += 1 + below(out.size - have < 50 ? out.size - have : 50);
            rc = tide_frame_next(&scan_state, tide_guard_place(&guard, out.data, have), have, limit,
                                 &size);
            if (rc == TIDE_AGAIN)
                assert_true(scan_state.need > have && scan_state.need <= limit);
        }
        assert_int_equal(rc, expected);
        if (rc == TIDE_OK)
            assert_int_equal(size, whole);
        msgpack_sbuffer_destroy(&out);
    }
}

/* Waiting for need bytes, and only then looking again, finds the frame in few looks and never waits
 * too long. */
static void need_is_a_lower_bound(void **state)
{
    (void)state;
    for (int round = 0; round < 5000; round++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        struct tide_frame_scan scan_state;
        size_t size = 0, have = 0;
        enum tide_rc rc = TIDE_AGAIN;

        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        pack_any(&packer, 5);
        if (out.size <= MAX) {
            tide_frame_reset(&scan_state);
            while (rc == TIDE_AGAIN) {
                assert_true(scan_state.need > have);
                have = scan_state.need;
                assert_true(have <= out.size);
                rc = tide_frame_next(&scan_state, tide_guard_place(&guard, out.data, have), have,
                                     MAX, &size);
            }
            assert_int_equal(rc, TIDE_OK);
            assert_int_equal(size, out.size);
        }
        msgpack_sbuffer_destroy(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanner_ends_where_the_library_ends),
        cmocka_unit_test(answer_does_not_depend_on_the_cuts),
        cmocka_unit_test(need_is_a_lower_bound),
    };
    int failed;

    seed = tide_test_seed();
    tide_guard_init(&guard, MAX);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
