/* gauge: what folding, merging and gathering one gauge gives. */
#include "tidemark/gauge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static struct tide_gauge_state one(int64_t time_us, uint64_t value)
{
    struct tide_gauge_state state = {0};

    tide_gauge_fold(&state, time_us, value, 1);
    return state;
}

static void check(const struct tide_gauge_state *state, uint64_t count, int64_t time_us,
                  uint64_t last, uint64_t max, uint64_t sum)
{
    assert_int_equal(state->count, count);
    assert_int_equal(state->time_us, time_us);
    assert_int_equal(state->last, last);
    assert_int_equal(state->max, max);
    assert_int_equal(state->sum, sum);
}

static void the_newest_sample_is_the_last(void **state)
{
    struct tide_gauge_state gauge = one(100, 7);

    (void)state;
    tide_gauge_fold(&gauge, 50, 9, 1);
    check(&gauge, 2, 100, 7, 9, 16);
    tide_gauge_fold(&gauge, 101, 1, 1);
    check(&gauge, 3, 101, 1, 9, 17);
}

static void of_two_samples_at_one_moment_the_larger_stays(void **state)
{
    struct tide_gauge_state up = one(100, 3), down = one(100, 5), a, b;

    (void)state;
    tide_gauge_fold(&up, 100, 5, 1);
    tide_gauge_fold(&down, 100, 3, 1);
    check(&up, 2, 100, 5, 5, 8);
    assert_memory_equal(&up, &down, sizeof(up));
    a = one(100, 3);
    b = one(100, 5);
    tide_gauge_merge(&a, &b);
    check(&a, 2, 100, 5, 5, 8);
}

static void a_sample_of_zero_is_a_sample(void **state)
{
    struct tide_gauge_state gauge = one(100, 0), none = {0};

    (void)state;
    check(&gauge, 1, 100, 0, 0, 0);
    tide_gauge_merge(&gauge, &none); /* what has no sample changes nothing */
    check(&gauge, 1, 100, 0, 0, 0);
    tide_gauge_merge(&none, &gauge);
    check(&none, 1, 100, 0, 0, 0);
}

static void a_weight_counts_that_often_in_the_mean(void **state)
{
    struct tide_gauge_state gauge = {0};

    (void)state;
    tide_gauge_fold(&gauge, 1, 10, 3);
    tide_gauge_fold(&gauge, 2, 50, 1);
    check(&gauge, 4, 2, 50, 50, 80);
}

static void memory_threads_and_connections_add_over_subjects(void **state)
{
    static const enum tide_gauge additive[] = {TIDE_GAUGE_MEMORY, TIDE_GAUGE_GOROUTINES,
                                               TIDE_GAUGE_DB_CONNECTIONS};

    (void)state;
    for (size_t i = 0; i < sizeof(additive) / sizeof(additive[0]); i++) {
        struct tide_gauge_state sum = {0}, a = one(100, 7), b = one(90, 5);

        tide_gauge_fold(&b, 80, 11, 1);
        tide_gauge_gather(additive[i], &sum, &a);
        tide_gauge_gather(additive[i], &sum, &b);
        check(&sum, 3, 100, 7 + 5, 7 + 11, 7 + 5 + 11);
    }
}

static void cpu_is_a_mean_over_subjects(void **state)
{
    struct tide_gauge_state sum = {0}, a = one(100, 20000), b = one(90, 60000);

    (void)state;
    tide_gauge_gather(TIDE_GAUGE_CPU, &sum, &a);
    tide_gauge_gather(TIDE_GAUGE_CPU, &sum, &b);
    check(&sum, 2, 100, 0, 60000, 80000); /* mean = sum / count = 40 %; no last value */
}

static void gathering_nothing_changes_nothing(void **state)
{
    (void)state;
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
        struct tide_gauge_state sum = one(5, 9), before, none = {0};

        if (tide_gauge_info[gauge].gather == TIDE_GATHER_MEAN)
            sum.last = 0; /* as gathered */
        before = sum;
        tide_gauge_gather((enum tide_gauge)gauge, &sum, &none);
        assert_memory_equal(&sum, &before, sizeof(sum));
        tide_gauge_gather((enum tide_gauge)gauge, &none, &sum);
        assert_memory_equal(&none, &sum, sizeof(sum));
    }
}

static void sums_stop_at_the_top(void **state)
{
    struct tide_gauge_state gauge = {0}, other, sum;

    (void)state;
    tide_gauge_fold(&gauge, 1, TIDE_GAUGE_VALUE_MAX, 1000000);
    assert_int_equal(gauge.sum, UINT64_MAX);
    other = gauge;
    tide_gauge_merge(&gauge, &other);
    check(&gauge, 2000000, 1, TIDE_GAUGE_VALUE_MAX, TIDE_GAUGE_VALUE_MAX, UINT64_MAX);
    sum = gauge;
    for (int i = 0; i < 4; i++)
        tide_gauge_gather(TIDE_GAUGE_MEMORY, &sum, &gauge);
    assert_int_equal(sum.last, TIDE_GAUGE_VALUE_MAX * UINT64_C(5)); /* modulo 2^64 */
    assert_int_equal(sum.max, UINT64_MAX);
}

/* The newest sample of b moves back and forth, its others only add. */
static void a_late_sample_changes_what_was_gathered_as_if_it_had_come_in_time(void **state)
{
    (void)state;
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        enum tide_gauge gauge = (enum tide_gauge)g;

        for (int64_t late_us = 85; late_us < 110; late_us += 10) {
            struct tide_gauge_state a = one(100, 70), b = one(90, 50), after = b, late, sum = {0},
                                    expected = {0};

            tide_gauge_gather(gauge, &sum, &a);
            tide_gauge_gather(gauge, &sum, &b);
            late = one(late_us, 7);
            tide_gauge_merge(&after, &late);
            tide_gauge_regather(gauge, &sum, &b, &after);
            tide_gauge_gather(gauge, &expected, &a);
            tide_gauge_gather(gauge, &expected, &after);
            assert_memory_equal(&sum, &expected, sizeof(sum));
        }
    }
}

static void a_late_sample_changes_what_was_merged_over_time_as_if_it_had_come_in_time(void **state)
{
    (void)state;
    for (int of = 0; of < 2; of++) {
        struct tide_gauge_state part[2] = {one(100, 70), one(200, 50)}, after = part[of], late, sum,
                                expected;

        late = one(part[of].time_us + 5, 7);
        sum = part[0];
        tide_gauge_merge(&sum, &part[1]);
        tide_gauge_merge(&after, &late);
        tide_gauge_remerge(&sum, &part[of], &after);
        part[of] = after;
        expected = part[0];
        tide_gauge_merge(&expected, &part[1]);
        assert_memory_equal(&sum, &expected, sizeof(sum));
    }
}

static void the_table_names_the_fields_of_an_event(void **state)
{
    static const char *const field[] = {"memory_bytes", "cpu_percent", "goroutines",
                                        "db_connections"};

    (void)state;
    assert_int_equal(TIDE_GAUGE_COUNT, 4);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        assert_string_equal(tide_gauge_info[gauge].field, field[gauge]);
    assert_int_equal(tide_gauge_info[TIDE_GAUGE_CPU].scale, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_sample_is_the_last),
        cmocka_unit_test(a_late_sample_changes_what_was_gathered_as_if_it_had_come_in_time),
        cmocka_unit_test(a_late_sample_changes_what_was_merged_over_time_as_if_it_had_come_in_time),
        cmocka_unit_test(of_two_samples_at_one_moment_the_larger_stays),
        cmocka_unit_test(a_sample_of_zero_is_a_sample),
        cmocka_unit_test(a_weight_counts_that_often_in_the_mean),
        cmocka_unit_test(memory_threads_and_connections_add_over_subjects),
        cmocka_unit_test(cpu_is_a_mean_over_subjects),
        cmocka_unit_test(gathering_nothing_changes_nothing),
        cmocka_unit_test(sums_stop_at_the_top),
        cmocka_unit_test(the_table_names_the_fields_of_an_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
