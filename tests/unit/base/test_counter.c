#include "tidemark/counter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void counters_go_up_and_gauges_both_ways(void **state)
{
    (void)state;
    tide_count(TIDE_COUNT_COMMITS, 3);
    tide_count(TIDE_COUNT_COMMITS, 4);
    assert_int_equal(tide_counted(TIDE_COUNT_COMMITS), 7);
    tide_count(TIDE_COUNT_CONNECTIONS_OPEN, 2);
    tide_uncount(TIDE_COUNT_CONNECTIONS_OPEN, 1);
    assert_int_equal(tide_counted(TIDE_COUNT_CONNECTIONS_OPEN), 1);
}

static void every_counter_has_a_name_a_type_and_a_help_text(void **state)
{
    (void)state;
    for (int i = 0; i < TIDE_COUNTER_COUNT; i++) {
        const struct tide_counter_info *info = &tide_counter_info[i];

        assert_memory_equal(info->name, "tidemark_", 9);
        assert_true(!strcmp(info->type, "counter") || !strcmp(info->type, "gauge"));
        /* promtool's rule: counters end in _total and nothing else does */
        assert_int_equal(strstr(info->name, "_total") != NULL, !strcmp(info->type, "counter"));
        assert_true(strlen(info->help) > 10);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(info->name, tide_counter_info[k].name);
    }
}

static void duration_goes_into_the_first_bucket_that_holds_it(void **state)
{
    struct tide_timing timing = {0};

    (void)state;
    for (int i = 1; i < TIDE_TIMING_BOUNDS; i++)
        assert_true(tide_timing_bound_us[i - 1] < tide_timing_bound_us[i]);
    tide_timing_add(&timing, 0);
    tide_timing_add(&timing, tide_timing_bound_us[0]);
    tide_timing_add(&timing, tide_timing_bound_us[0] + 1);
    tide_timing_add(&timing, tide_timing_bound_us[TIDE_TIMING_BOUNDS - 1] + 1);
    assert_int_equal(timing.bucket[0], 2);
    assert_int_equal(timing.bucket[1], 1);
    assert_int_equal(timing.bucket[TIDE_TIMING_BOUNDS], 1);
    assert_int_equal(timing.count, 4);
    assert_int_equal(timing.sum_us, 2 * tide_timing_bound_us[0] + 2 +
                                        tide_timing_bound_us[TIDE_TIMING_BOUNDS - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_go_up_and_gauges_both_ways),
        cmocka_unit_test(every_counter_has_a_name_a_type_and_a_help_text),
        cmocka_unit_test(duration_goes_into_the_first_bucket_that_holds_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
