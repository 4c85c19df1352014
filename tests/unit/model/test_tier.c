/* tier: widths and the arithmetic of intervals. */
#include "tidemark/tier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void an_interval_is_one_of_eleven_that_divide_five_minutes(void **state)
{
    int valid = 0;

    (void)state;
    for (int64_t s = -400; s <= 400; s++) {
        if (!tide_interval_valid(s))
            continue;
        valid++;
        assert_true(s > 0 && 300 % s == 0);
    }
    assert_int_equal(valid, 11);
    assert_false(tide_interval_valid(3)); /* divides, and is not on the list */
    assert_true(tide_interval_valid(30));
    assert_false(tide_interval_valid(INT64_C(1) << 32 | 30));
}

static void floor_is_the_greatest_multiple_not_above(void **state)
{
    (void)state;
    for (int64_t width = 1; width <= 300; width++)
        for (int64_t time = -900; time <= 900; time++) {
            int64_t down = tide_floor_s(time, width), up = tide_ceil_s(time, width);

            assert_true(down % width == 0 && up % width == 0);
            assert_true(down <= time && time < down + width);
            assert_true(up >= time && up - width < time);
        }
}

static void every_tier_divides_the_next(void **state)
{
    (void)state;
    assert_int_equal(tide_tier_info[TIDE_TIER_RAW].width_s, 0);
    assert_int_equal(tide_tier_info[TIDE_TIER_5M].width_s, 300);
    assert_int_equal(tide_tier_info[TIDE_TIER_1H].width_s % 300, 0);
    assert_int_equal(tide_tier_info[TIDE_TIER_1D].width_s, 24 * 3600);
    assert_string_equal(tide_tier_info[TIDE_TIER_RAW].name, "raw");
    assert_string_equal(tide_tier_info[TIDE_TIER_5M].name, "5m");
    assert_string_equal(tide_tier_info[TIDE_TIER_1H].name, "1h");
    assert_string_equal(tide_tier_info[TIDE_TIER_1D].name, "1d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_is_one_of_eleven_that_divide_five_minutes),
        cmocka_unit_test(floor_is_the_greatest_multiple_not_above),
        cmocka_unit_test(every_tier_divides_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
