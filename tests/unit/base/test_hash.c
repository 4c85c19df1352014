#include "tidemark/hash.h"
#include "hash_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct tide_hash128 of(uint64_t seed, const char *a, const char *b, const char *c)
{
    const struct tide_hash_part part[] = {{a, strlen(a)}, {b, strlen(b)}, {c, strlen(c)}};

    return tide_hash128_parts(seed, part, 3);
}

static _Bool same(struct tide_hash128 a, struct tide_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void split_of_the_same_bytes_is_another_identity(void **state)
{
    struct tide_hash_part one = {"abc", 3};

    (void)state;
    assert_true(same(of(1, "ab", "c", ""), of(1, "ab", "c", "")));
    assert_false(same(of(1, "ab", "c", ""), of(1, "a", "bc", "")));
    assert_false(same(of(1, "ab", "c", ""), of(1, "", "ab", "c")));
    assert_false(same(of(1, "abc", "", ""), of(1, "", "", "abc")));
    assert_false(same(of(1, "abc", "", ""), tide_hash128_parts(1, &one, 1)));
}

static void seed_makes_another_hash(void **state)
{
    (void)state;
    assert_false(same(of(1, "a", "b", "c"), of(2, "a", "b", "c")));
    assert_true(tide_hash64(1, "module", 6) != tide_hash64(2, "module", 6));
    assert_true(tide_hash64(1, "module", 6) == tide_hash64(1, "module", 6));
}

/* The store keeps identities and instance ids: these figures are part of its format. */
static void hashes_never_change(void **state)
{
    struct tide_hash128 sum = of(42, "peer", "tag", "chunk");

    (void)state;
    assert_true(tide_hash64(0, "", 0) == UINT64_C(0x2d06800538d394c2)); /* published for XXH3 */
    assert_true(tide_hash64(42, "mod-a", 5) == UINT64_C(0x5120035d2546505a));
    assert_true(sum.low == UINT64_C(0x368a775a4e95add3));
    assert_true(sum.high == UINT64_C(0x3001211a1708c2df));
}

static void long_parts_agree_with_themselves_at_any_alignment(void **state)
{
    static char buffer[5000 + 16];
    struct tide_hash_part part = {buffer, 5000};
    struct tide_hash128 first;

    (void)state;
    for (size_t i = 0; i < 5000; i++)
        buffer[i] = (char)(i * 31);
    first = tide_hash128_parts(7, &part, 1);
    for (size_t shift = 1; shift < 16; shift++) {
        memmove(buffer + shift, buffer + shift - 1, 5000);
        part.data = buffer + shift;
        assert_true(same(first, tide_hash128_parts(7, &part, 1)));
    }
}

static void absent_part_needs_no_pointer(void **state)
{
    const struct tide_hash_part null_part = {NULL, 0}, empty_part = {"", 0};

    (void)state;
    assert_true(same(tide_hash128_parts(1, &null_part, 1), tide_hash128_parts(1, &empty_part, 1)));
}

/* What a processor with AVX2 stored must be found again by one without. */
static void both_ways_to_hash_agree(void **state)
{
    static uint8_t data[5000];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 167 >> 3);
    for (size_t len = 0; len < sizeof(data); len += len < 600 ? 1 : 613) {
        const struct tide_hash_part part[2] = {{data, len}, {data + 7, len / 3}};
        struct tide_hash128 any = tide_hash128_parts(len, part, 2);
        struct tide_hash128 plain = tide_hash128_parts_plain(len, part, 2);

        assert_int_equal(any.low, plain.low);
        assert_int_equal(any.high, plain.high);
    }
}

static void random_fills_every_byte(void **state)
{
    uint8_t seen[64] = {0}, bytes[64];

    (void)state;
    for (int round = 0; round < 64; round++) { /* a byte stays 0 in all rounds once in 2^512 */
        tide_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof(seen); i++)
        assert_int_not_equal(seen[i], 0);
    tide_random(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_of_the_same_bytes_is_another_identity),
        cmocka_unit_test(seed_makes_another_hash),
        cmocka_unit_test(hashes_never_change),
        cmocka_unit_test(long_parts_agree_with_themselves_at_any_alignment),
        cmocka_unit_test(absent_part_needs_no_pointer),
        cmocka_unit_test(both_ways_to_hash_agree),
        cmocka_unit_test(random_fills_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
