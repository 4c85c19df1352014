/* custom: what folding and merging a module's own metrics gives, and which names are kept. */
#include "tidemark/custom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "pack.h"

static void fold(struct tide_customs *into, const char *name, int64_t value, int64_t time_us,
                 uint32_t weight)
{
    tide_customs_fold(into, name, (uint32_t)strlen(name), value, time_us, weight);
}

static void check(const struct tide_customs *customs, unsigned at, const char *name, uint64_t count,
                  int64_t sum, int64_t min, int64_t max, int64_t last)
{
    const struct tide_custom *custom = &customs->item[at];

    assert_true(at < customs->count);
    assert_int_equal(custom->len, strlen(name));
    assert_memory_equal(custom->name, name, custom->len);
    assert_int_equal(custom->count, count);
    assert_true(custom->sum == sum);
    assert_int_equal(custom->min, min);
    assert_int_equal(custom->max, max);
    assert_int_equal(custom->last, last);
}

static void each_name_has_its_own_figures_and_names_ascend(void **state)
{
    struct tide_customs customs = {0};

    (void)state;
    fold(&customs, "queue", 5, 100, 1);
    fold(&customs, "orders", -7, 100, 1);
    fold(&customs, "queue", -2, 200, 1);
    fold(&customs, "queues", 1, 50, 1);
    fold(&customs, "queue", 9, 150, 1);
    assert_int_equal(customs.count, 3);
    check(&customs, 0, "orders", 1, -7, -7, -7, -7);
    check(&customs, 1, "queue", 3, 12, -2, 9, -2);
    check(&customs, 2, "queues", 1, 1, 1, 1, 1);
    tide_customs_fini(&customs);
}

static void of_two_values_at_one_moment_the_larger_is_the_last(void **state)
{
    struct tide_customs up = {0}, down = {0};

    (void)state;
    fold(&up, "q", -3, 100, 1);
    fold(&up, "q", -2, 100, 1);
    fold(&down, "q", -2, 100, 1);
    fold(&down, "q", -3, 100, 1);
    check(&up, 0, "q", 2, -5, -3, -2, -2);
    assert_true(tide_customs_equal(&up, &down));
    tide_customs_fini(&up);
    tide_customs_fini(&down);
}

static void a_weighted_value_counts_as_often_as_it_weighs(void **state)
{
    struct tide_customs customs = {0};

    (void)state;
    fold(&customs, "q", -5, 100, 10);
    fold(&customs, "q", 3, 50, 2);
    check(&customs, 0, "q", 12, -44, -5, 3, -5);
    tide_customs_fini(&customs);
}

static void sums_beyond_64_bits_are_exact(void **state)
{
    struct tide_customs customs = {0};
    __int128 most = (__int128)(TIDE_METRIC_UNITS - 1) * UINT32_MAX;

    (void)state;
    for (int i = 0; i < 1000; i++)
        fold(&customs, "q", TIDE_METRIC_UNITS - 1, 100, UINT32_MAX);
    assert_true(customs.item[0].sum == most * 1000);
    for (int i = 0; i < 2000; i++)
        fold(&customs, "q", 1 - TIDE_METRIC_UNITS, 100, UINT32_MAX);
    assert_true(customs.item[0].sum == -most * 1000);
    tide_customs_fini(&customs);
}

static void the_64_smallest_names_are_kept_and_the_rest_is_merged(void **state)
{
    struct tide_customs up = {0}, down = {0};
    char name[8];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%02d", i);
        fold(&up, name, i, 100 + i, 1);
        snprintf(name, sizeof(name), "n%02d", 99 - i);
        fold(&down, name, 99 - i, 100 + 99 - i, 1);
    }
    fold(&up, "n63", 1000, 100, 1);
    fold(&down, "n63", 1000, 100, 1);
    fold(&up, "n64", 1, 90, 1); /* has no place of its own any more */
    fold(&down, "n64", 1, 90, 1);
    assert_true(tide_customs_equal(&up, &down));
    assert_int_equal(up.count, TIDE_CUSTOMS_MAX + 1);
    check(&up, 0, "n00", 1, 0, 0, 0, 0);
    check(&up, 63, "n63", 2, 1063, 63, 1000, 63);
    check(&up, 64, TIDE_CUSTOM_OVERFLOW, 37, (64 + 99) * 18 + 1, 1, 99, 99);
    tide_customs_fini(&up);
    tide_customs_fini(&down);
}

/* The name of the overflow is a name like any other to those who send it, but it takes no place and
 * comes last. */
static void the_overflow_may_be_sent_by_name(void **state)
{
    struct tide_customs customs = {0};
    char name[8];

    (void)state;
    fold(&customs, TIDE_CUSTOM_OVERFLOW, 7, 100, 1);
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof(name), "n%02d", i);
        fold(&customs, name, i, 100, 1);
    }
    assert_int_equal(customs.count, 65);
    check(&customs, 64, TIDE_CUSTOM_OVERFLOW, 1, 7, 7, 7, 7);
    fold(&customs, "a", 1, 100, 1);
    assert_int_equal(customs.count, 65);
    check(&customs, 0, "a", 1, 1, 1, 1, 1);
    check(&customs, 64, TIDE_CUSTOM_OVERFLOW, 2, 70, 7, 63, 63);
    tide_customs_fini(&customs);
}

/* Any split of the values into any number of sets, merged in any order, equals folding them all. */
static void neither_order_nor_grouping_can_be_seen(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (int round = 0; round < 300; round++) {
        struct tide_customs whole = {0}, part[4] = {{0}};
        int names = round % 2 ? 5 : 100, values = (int)(tide_test_random(&seed) % 400);

        for (int i = 0; i < values; i++) {
            uint32_t weight = (uint32_t)(tide_test_random(&seed) % 3 + 1);
            int64_t value = (int64_t)(tide_test_random(&seed) % 9) - 4;
            int64_t time_us = (int64_t)(tide_test_random(&seed) % 3) + 1;
            char name[20];

            snprintf(name, sizeof(name), "n%d", (int)(tide_test_random(&seed) % (uint64_t)names));
            if (tide_test_random(&seed) % 20 == 0)
                strcpy(name, TIDE_CUSTOM_OVERFLOW);
            fold(&whole, name, value, time_us, weight);
            fold(&part[tide_test_random(&seed) % 4], name, value, time_us, weight);
        }
        if (round % 3) {
            tide_customs_merge(&part[3], &part[1]);
            tide_customs_merge(&part[0], &part[2]);
            tide_customs_merge(&part[0], &part[3]);
        } else {
            for (int i = 1; i < 4; i++)
                tide_customs_merge(&part[0], &part[i]);
        }
        assert_true(tide_customs_equal(&whole, &part[0]));
        tide_customs_copy(&part[1], &whole);
        assert_true(tide_customs_equal(&whole, &part[1]));
        tide_customs_fini(&whole);
        for (int i = 0; i < 4; i++)
            tide_customs_fini(&part[i]);
    }
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_has_its_own_figures_and_names_ascend),
        cmocka_unit_test(of_two_values_at_one_moment_the_larger_is_the_last),
        cmocka_unit_test(a_weighted_value_counts_as_often_as_it_weighs),
        cmocka_unit_test(sums_beyond_64_bits_are_exact),
        cmocka_unit_test(the_64_smallest_names_are_kept_and_the_rest_is_merged),
        cmocka_unit_test(the_overflow_may_be_sent_by_name),
        cmocka_unit_test_prestate(neither_order_nor_grouping_can_be_seen, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
