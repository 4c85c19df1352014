#include "inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "pack.h"

/* Unpacks from the end of readable memory. */
static enum tide_rc unpack(const void *data, size_t len, size_t max_bytes, uint8_t **ret_data,
                           size_t *ret_len)
{
    struct tide_guard guard;
    enum tide_rc rc;

    tide_guard_init(&guard, len);
    rc = tide_gzip_unpack(tide_guard_place(&guard, data, len), len, max_bytes, ret_data, ret_len);
    tide_guard_fini(&guard);
    return rc;
}

static void limit_is_exact(void **state)
{
    static const size_t size[] = {1, 100, 65535, 65536, 65537, 131072, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
        uint8_t *plain = calloc(1, size[i]), *data = NULL;
        struct tide_pack pack = tide_pack_gzip(plain, size[i]);
        size_t len = 0;

        assert_int_equal(unpack(pack.data, pack.len, size[i], &data, &len), TIDE_OK);
        assert_int_equal(len, size[i]);
        assert_memory_equal(data, plain, len);
        free(data);
        data = NULL;
        assert_int_equal(unpack(pack.data, pack.len, size[i] - 1, &data, &len), TIDE_TOO_LARGE);
        assert_null(data); /* written only on success */
        tide_pack_free(&pack);
        free(plain);
    }
}

static void limit_counts_all_members(void **state)
{
    static const uint8_t plain[600];
    struct tide_pack two =
        tide_pack_join(tide_pack_gzip(plain, sizeof(plain)), tide_pack_gzip(plain, sizeof(plain)));
    uint8_t *data;
    size_t len;

    (void)state;
    assert_int_equal(unpack(two.data, two.len, 1199, &data, &len), TIDE_TOO_LARGE);
    assert_int_equal(unpack(two.data, two.len, 1200, &data, &len), TIDE_OK);
    assert_int_equal(len, 1200);
    free(data);
    tide_pack_free(&two);
}

static void many_empty_members_are_nothing(void **state)
{
    struct tide_pack all = {NULL, 0};
    uint8_t *data;
    size_t len;

    (void)state;
    for (int i = 0; i < 1000; i++)
        all = tide_pack_join(all, tide_pack_gzip("", 0));
    assert_int_equal(unpack(all.data, all.len, 0, &data, &len), TIDE_OK);
    assert_int_equal(len, 0);
    free(data);
    tide_pack_free(&all);
}

static void nothing_else_than_gzip_is_taken(void **state)
{
    static const char *const foreign[] = {"1f",       "1f8b",     "1f8b08", "789c03000000 0001",
                                          "504b0304", "28b52ffd", "00",     "9201 80"};
    uint8_t *data;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct tide_pack pack = tide_pack_hex(foreign[i]);

        assert_int_equal(unpack(pack.data, pack.len, 1000, &data, &len), TIDE_MALFORMED);
        tide_pack_free(&pack);
    }
    assert_int_equal(unpack("", 0, 1000, &data, &len), TIDE_OK);
    assert_int_equal(len, 0);
    free(data);
}

/* Any one bit turned over: an error or, in a field that gzip does not check, the same content.
 * Never a crash. */
static void flipped_bits_never_give_other_content(void **state)
{
    static const char plain[] = "mod.auth mod.auth mod.auth request response 0123456789";
    struct tide_pack good = tide_pack_gzip(plain, sizeof(plain));

    (void)state;
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        uint8_t *data;
        size_t len;

        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (unpack(good.data, good.len, 100000, &data, &len) == TIDE_OK) {
            assert_int_equal(len, sizeof(plain));
            assert_memory_equal(data, plain, len);
            free(data);
        }
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    tide_pack_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(limit_counts_all_members),
        cmocka_unit_test(many_empty_members_are_nothing),
        cmocka_unit_test(nothing_else_than_gzip_is_taken),
        cmocka_unit_test(flipped_bits_never_give_other_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
