/* Connections counted in all and per address, from any thread. */
#include "tidemark/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *address(uint32_t number)
{
    static _Thread_local uint8_t bytes[4];

    memcpy(bytes, &number, sizeof(bytes));
    return bytes;
}

static void one_past_either_bound_is_refused_and_a_leaver_makes_room(void **state)
{
    struct tide_census *census;
    struct tide_seat *seat[5], *none = NULL;

    (void)state;
    assert_int_equal(tide_census_new(5, 3, &census), TIDE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tide_census_enter(census, address(1), 4, &seat[i]), TIDE_OK);
    assert_int_equal(tide_census_enter(census, address(1), 4, &none), TIDE_LOCKED);
    for (int i = 3; i < 5; i++)
        assert_int_equal(tide_census_enter(census, address(2), 4, &seat[i]), TIDE_OK);
    assert_int_equal(tide_census_enter(census, address(3), 4, &none), TIDE_TOO_LARGE);
    assert_null(none);
    tide_census_leave(census, &seat[4]);
    assert_null(seat[4]);
    assert_int_equal(tide_census_enter(census, address(1), 4, &none), TIDE_LOCKED);
    assert_int_equal(tide_census_enter(census, address(3), 4, &seat[4]), TIDE_OK);
    for (int i = 0; i < 5; i++)
        tide_census_leave(census, &seat[i]);
    tide_census_leave(census, &none);
    tide_census_free(census);
}

static void addresses_of_other_lengths_are_others(void **state)
{
    static const uint8_t zeros[16];
    static const size_t len[] = {4, 5, 16};
    struct tide_census *census;
    struct tide_seat *seat[3], *none = NULL;

    (void)state;
    assert_int_equal(tide_census_new(0, 1, &census), TIDE_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tide_census_enter(census, zeros, len[i], &seat[i]), TIDE_OK);
        assert_int_equal(tide_census_enter(census, zeros, len[i], &none), TIDE_LOCKED);
    }
    for (int i = 0; i < 3; i++)
        tide_census_leave(census, &seat[i]);
    tide_census_free(census);
}

static void more_addresses_than_chains_are_told_apart(void **state)
{
    enum { COUNT = 20000 };
    struct tide_seat **seat = calloc(COUNT, sizeof(*seat)), *none = NULL;
    struct tide_census *census;

    (void)state;
    assert_non_null(seat);
    assert_int_equal(tide_census_new(0, 1, &census), TIDE_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(tide_census_enter(census, address(i), 4, &seat[i]), TIDE_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(tide_census_enter(census, address(i), 4, &none), TIDE_LOCKED);
    for (uint32_t i = 0; i < COUNT; i += 2)
        tide_census_leave(census, &seat[i]);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(tide_census_enter(census, address(i), 4, i % 2 ? &none : &seat[i]),
                         i % 2 ? TIDE_LOCKED : TIDE_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        tide_census_leave(census, &seat[i]);
    tide_census_free(census);
    free(seat);
}

static void *come_and_go(void *arg)
{
    struct tide_census *census = arg;

    for (uint32_t round = 0; round < 20000; round++) {
        struct tide_seat *seat[2] = {NULL, NULL};

        for (uint32_t i = 0; i < 2; i++)
            (void)tide_census_enter(census, address(round % 7 + i), 4, &seat[i]);
        for (uint32_t i = 0; i < 2; i++)
            tide_census_leave(census, &seat[i]);
    }
    return NULL;
}

static void threads_that_come_and_go_leave_nobody(void **state)
{
    struct tide_census *census;
    pthread_t thread[3];

    (void)state;
    assert_int_equal(tide_census_new(5, 2, &census), TIDE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, census), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    tide_census_free(census); /* asserts that it is empty */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_past_either_bound_is_refused_and_a_leaver_makes_room),
        cmocka_unit_test(addresses_of_other_lengths_are_others),
        cmocka_unit_test(more_addresses_than_chains_are_told_apart),
        cmocka_unit_test(threads_that_come_and_go_leave_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
