#include "tidemark/crc32c.h"
#include "crc32c_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void published_vectors_hold(void **state)
{
    uint8_t bytes[32];

    (void)state;
    assert_int_equal(tide_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(tide_crc32c(0, NULL, 0), 0);
    /* RFC 3720, B.4 */
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(tide_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(tide_crc32c(0, bytes, 32), 0x62a8ab43);
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(tide_crc32c(0, bytes, 32), 0x46dd794e);
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(tide_crc32c(0, bytes, 32), 0x113fdb5c);
}

static void both_paths_agree_at_every_length_and_alignment(void **state)
{
    crc32c_fn *hardware = tide_crc32c_hardware();
    uint8_t bytes[300];

    (void)state;
    if (!hardware)
        skip();
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i * 131 + 7);
    for (size_t start = 0; start < 16; start++) {
        for (size_t len = 0; len <= sizeof(bytes) - start; len++)
            assert_int_equal(hardware(0x12345678, bytes + start, len),
                             tide_crc32c_by_table(0x12345678, bytes + start, len));
    }
}

static void pieces_make_the_checksum_of_the_whole(void **state)
{
    const char text[] = "an interval has ended and its records become rows";
    const size_t len = sizeof(text) - 1;

    (void)state;
    for (size_t cut = 0; cut <= len; cut++) {
        uint32_t front = tide_crc32c(0, text, cut);

        assert_int_equal(tide_crc32c(front, text + cut, len - cut), tide_crc32c(0, text, len));
    }
}

static void any_flipped_bit_is_seen(void **state)
{
    uint8_t bytes[64] = {1, 2, 3};
    uint32_t whole = tide_crc32c(0, bytes, sizeof(bytes));

    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(tide_crc32c(0, bytes, sizeof(bytes)), whole);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(both_paths_agree_at_every_length_and_alignment),
        cmocka_unit_test(pieces_make_the_checksum_of_the_whole),
        cmocka_unit_test(any_flipped_bit_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
