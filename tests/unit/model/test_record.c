/* record: what one event does to a record, which instances keep a place, and the derived figures.
 * The laws of merge and gather are in tests/property.
 */
#include "tidemark/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "pack.h"

#define T0_US INT64_C(1700000000000000)

static struct tide_event event(enum tide_event_kind kind)
{
    return (struct tide_event){.kind = (uint8_t)kind, .weight = 1, .success = true};
}

static struct tide_event response(double us)
{
    struct tide_event ev = event(TIDE_EVENT_RESPONSE);

    ev.has_duration = true;
    ev.duration_us = us;
    return ev;
}

static void set_text(struct tide_text *text, const char *literal)
{
    *text = (struct tide_text){literal, (uint32_t)strlen(literal)};
}

/* ---- fold ---- */

static void a_response_counts_its_outcome_and_its_time(void **state)
{
    struct tide_record record;
    struct tide_event ev = response(1500.4);

    (void)state;
    tide_record_init(&record);
    assert_true(tide_record_empty(&record));
    tide_record_fold(&record, &ev, T0_US, 0);
    ev = response(2500.5);
    ev.success = false;
    tide_record_fold(&record, &ev, T0_US + 5, 0);
    assert_false(tide_record_empty(&record));
    assert_int_equal(record.tally.requests, 2);
    assert_int_equal(record.tally.failed, 1);
    assert_int_equal(record.tally.errors, 0);
    assert_int_equal(record.tally.samples, 2);
    assert_int_equal(record.tally.sum_us, 1500 + 2501); /* half up */
    assert_int_equal(record.tally.min_us, 1500);
    assert_int_equal(record.tally.max_us, 2501);
    assert_int_equal(record.tally.first_us, T0_US);
    assert_int_equal(record.tally.last_us, T0_US + 5);
    assert_true(tide_record_mean_us(&record) == 4001.0 / 2);
    assert_true(tide_record_error_rate(&record) == 0.5);
    assert_int_equal(tide_hist_total(&record.hist), 2);
    tide_record_fini(&record);
}

static void the_bucket_comes_from_the_value_as_received(void **state)
{
    struct tide_record record;
    double bound = tide_hist_upper_us(10); /* 1.24 us: rounds to 1, which is bucket 0 */
    struct tide_event ev = response(bound);

    (void)state;
    tide_record_init(&record);
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.tally.max_us, 1);
    assert_int_equal(record.hist.first, 10);
    tide_record_fini(&record);
}

static void a_weight_counts_that_often(void **state)
{
    struct tide_record record;
    struct tide_event ev = response(100);

    (void)state;
    tide_record_init(&record);
    ev.weight = 40;
    ev.success = false;
    set_text(&ev.error, "timeout");
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.tally.requests, 40);
    assert_int_equal(record.tally.failed, 40);
    assert_int_equal(record.tally.errors, 40);
    assert_int_equal(record.tally.samples, 40);
    assert_int_equal(record.tally.sum_us, 4000);
    assert_int_equal(tide_hist_total(&record.hist), 40);
    assert_int_equal(tide_record_responses(&record), 40);
    tide_record_fini(&record);
}

static void a_request_is_an_operation_when_it_has_a_duration_or_an_outcome(void **state)
{
    struct tide_record record;
    struct tide_event plain = event(TIDE_EVENT_REQUEST), timed = plain, judged = plain;

    (void)state;
    timed.has_duration = true;
    timed.duration_us = 5;
    judged.has_outcome = true;
    tide_record_init(&record);
    tide_record_fold(&record, &plain, T0_US, 0);
    assert_int_equal(record.tally.requests, 0);
    assert_int_equal(record.tally.plain_requests, 1);
    tide_record_fold(&record, &timed, T0_US, 0);
    tide_record_fold(&record, &judged, T0_US, 0);
    assert_int_equal(record.tally.requests, 2);
    assert_int_equal(record.tally.plain_requests, 1);
    assert_int_equal(record.tally.samples, 1);
    assert_int_equal(record.tally.kind[TIDE_EVENT_REQUEST], 3);
    tide_record_fini(&record);
}

static void in_flight_is_plain_requests_less_responses_and_never_negative(void **state)
{
    struct tide_record record;
    struct tide_event plain = event(TIDE_EVENT_REQUEST), done = response(5);

    (void)state;
    tide_record_init(&record);
    for (int i = 0; i < 3; i++)
        tide_record_fold(&record, &plain, T0_US, 0);
    tide_record_fold(&record, &done, T0_US, 0);
    assert_int_equal(tide_record_in_flight(&record), 2);
    for (int i = 0; i < 5; i++)
        tide_record_fold(&record, &done, T0_US, 0);
    assert_int_equal(tide_record_in_flight(&record), 0);
    tide_record_fini(&record);
}

static void a_duration_of_no_operation_is_not_a_sample(void **state)
{
    struct tide_record record;
    struct tide_event ev = event(TIDE_EVENT_PERFORMANCE);

    (void)state;
    ev.has_duration = true;
    ev.duration_us = 77;
    set_text(&ev.correlation, "c-1");
    tide_record_init(&record);
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.tally.samples, 0);
    assert_int_equal(record.tally.requests, 0);
    assert_int_equal(record.slowest.len, 0);
    assert_true(isnan(tide_record_quantile_us(&record, 0.5)));
    tide_record_fini(&record);
}

static void an_error_is_counted_with_and_without_being_an_operation(void **state)
{
    struct tide_record record;
    struct tide_event bare = event(TIDE_EVENT_ERROR), carried = event(TIDE_EVENT_METRIC);

    (void)state;
    set_text(&carried.error, "refused");
    tide_record_init(&record);
    tide_record_fold(&record, &bare, T0_US, 0);
    tide_record_fold(&record, &carried, T0_US, 0);
    assert_int_equal(record.tally.errors, 2);
    assert_int_equal(record.tally.failed, 0);
    assert_true(isnan(tide_record_error_rate(&record)));
    assert_true(isnan(tide_record_mean_us(&record)));
    tide_record_fini(&record);
}

static void unhealthy_stays_of_two_reports_at_one_moment(void **state)
{
    struct tide_tally a, b;
    struct tide_event well = event(TIDE_EVENT_HEALTH), ill, mute;

    (void)state;
    well.has_healthy = true;
    well.healthy = true;
    ill = well;
    ill.healthy = false;
    mute = well;
    mute.has_healthy = false;
    tide_tally_init(&a);
    tide_tally_init(&b);
    tide_tally_fold(&a, &well, T0_US);
    tide_tally_fold(&a, &ill, T0_US);
    tide_tally_fold(&b, &ill, T0_US);
    tide_tally_fold(&b, &well, T0_US);
    assert_false(a.healthy);
    assert_false(b.healthy);
    tide_tally_fold(&a, &well, T0_US + 1);
    assert_true(a.healthy);
    tide_tally_fold(&a, &ill, T0_US - 1); /* older: no matter */
    assert_true(a.healthy);
    tide_tally_fold(&a, &mute, T0_US + 9); /* says nothing of health */
    assert_int_equal(a.health_us, T0_US + 1);
    tide_tally_merge(&b, &a);
    assert_true(b.healthy);
}

static void a_stop_is_the_last_word_until_something_newer_comes(void **state)
{
    struct tide_tally tally;
    struct tide_event start = event(TIDE_EVENT_START), stop = event(TIDE_EVENT_STOP),
                      other = event(TIDE_EVENT_DEBUG);

    (void)state;
    tide_tally_init(&tally);
    assert_false(tide_tally_stopped(&tally));
    tide_tally_fold(&tally, &start, T0_US);
    assert_false(tide_tally_stopped(&tally));
    tide_tally_fold(&tally, &stop, T0_US + 10);
    assert_true(tide_tally_stopped(&tally));
    tide_tally_fold(&tally, &other, T0_US + 10);
    assert_true(tide_tally_stopped(&tally)); /* same moment: the stop still is the last */
    tide_tally_fold(&tally, &start, T0_US + 10);
    assert_false(tide_tally_stopped(&tally)); /* restarted at the same moment */
    tide_tally_fold(&tally, &stop, T0_US + 20);
    tide_tally_fold(&tally, &other, T0_US + 21);
    assert_false(tide_tally_stopped(&tally));
}

/* ---- the slowest ---- */

static void the_slowest_is_the_longest_then_the_larger_id(void **state)
{
    struct tide_record record;
    struct tide_event ev = response(500);

    (void)state;
    tide_record_init(&record);
    set_text(&ev.correlation, "b");
    tide_record_fold(&record, &ev, T0_US, 0);
    set_text(&ev.correlation, "a");
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.slowest.len, 1);
    assert_memory_equal(record.slowest.id, "b", 1);
    set_text(&ev.correlation, "ba"); /* as far as they go they are alike: the longer is larger */
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_memory_equal(record.slowest.id, "ba", 2);
    ev = response(9000); /* longer, but nobody can look it up */
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.slowest.us, 500);
    ev = response(501);
    set_text(&ev.correlation, "0");
    tide_record_fold(&record, &ev, T0_US, 0);
    assert_int_equal(record.slowest.us, 501);
    assert_memory_equal(record.slowest.id, "0", 1);
    tide_record_fini(&record);
}

static void an_id_of_any_bytes_is_compared_unsigned(void **state)
{
    (void)state;
    assert_true(tide_slowest_beats(5, "\xff", 1, 5, "a", 1));
    assert_false(tide_slowest_beats(5, "a", 1, 5, "\xff", 1));
    assert_false(tide_slowest_beats(5, "a", 1, 5, "a", 1)); /* the same one changes nothing */
    assert_true(tide_slowest_beats(5, "a\0b", 3, 5, "a\0a", 3));
    assert_true(tide_slowest_beats(0, "a", 1, 9, "", 0));
    assert_false(tide_slowest_beats(9, "", 0, 0, "a", 1));
}

/* ---- instances ---- */

static struct tide_instance instance(uint64_t id, int64_t time_us, uint64_t value)
{
    struct tide_instance one = {.id = id};

    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        tide_gauge_fold(&one.gauge[gauge], time_us, value, 1);
    return one;
}

static void the_64_smallest_instances_keep_their_place_in_any_order(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    enum { N = 200 };
    struct tide_instance all[2 * N];
    struct tide_record first, other;

    /* two samples of each of 200 instances, ids 10, 20, 30 ... */
    for (unsigned i = 0; i < 2 * N; i++)
        all[i] = instance(10 * (i % N + 1), (int64_t)(100 + i), i);
    tide_record_init(&first);
    tide_record_init(&other);
    for (int round = 0; round < 200; round++) {
        struct tide_record *record = round ? &other : &first;
        struct tide_gauge_state rest = {0};

        tide_record_reset(record);
        for (unsigned i = 2 * N; i-- > 1;) {
            unsigned j = (unsigned)tide_any_between(&seed, 0, i);
            struct tide_instance swap = all[i];

            all[i] = all[j];
            all[j] = swap;
        }
        for (unsigned i = 0; i < 2 * N; i++)
            tide_record_merge_instance(record, &all[i]);
        if (round) {
            assert_true(tide_record_equal(&first, &other));
            continue;
        }
        assert_int_equal(first.instances, TIDE_INSTANCES_MAX + 1);
        for (unsigned i = 0; i < TIDE_INSTANCES_MAX; i++) {
            assert_int_equal(first.instance[i].id, 10 * (i + 1));
            assert_int_equal(first.instance[i].gauge[0].count, 2);
            assert_int_equal(first.instance[i].gauge[0].last, N + i);
        }
        assert_int_equal(first.instance[TIDE_INSTANCES_MAX].id, TIDE_INSTANCE_OVERFLOW);
        for (unsigned i = TIDE_INSTANCES_MAX; i < N; i++)
            for (unsigned k = i; k < 2 * N; k += N)
                tide_gauge_fold(&rest, 100 + k, k, 1);
        assert_memory_equal(&first.instance[TIDE_INSTANCES_MAX].gauge[1], &rest, sizeof(rest));
    }
    tide_record_fini(&first);
    tide_record_fini(&other);
}

static void exactly_64_instances_need_no_overflow(void **state)
{
    struct tide_record record;
    struct tide_instance one;

    (void)state;
    tide_record_init(&record);
    for (unsigned i = 64; i > 0; i--) {
        one = instance(i, 1, i);
        tide_record_merge_instance(&record, &one);
    }
    assert_int_equal(record.instances, 64);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_MEMORY).last, 64 * 65 / 2);
    one = instance(0, 1, 1000); /* the unnamed one is the smallest of all */
    tide_record_merge_instance(&record, &one);
    assert_int_equal(record.instances, 65);
    assert_int_equal(record.instance[0].id, 0);
    assert_int_equal(record.instance[63].id, 63);
    assert_int_equal(record.instance[64].id, TIDE_INSTANCE_OVERFLOW);
    assert_int_equal(record.instance[64].gauge[0].last, 64);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_MEMORY).last, 64 * 65 / 2 + 1000);
    tide_record_fini(&record);
}

static void a_modules_gauge_is_its_instances_gathered(void **state)
{
    struct tide_record record;
    struct tide_event ev = event(TIDE_EVENT_PERFORMANCE);
    struct tide_gauge_state cpu;

    (void)state;
    tide_record_init(&record);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_MEMORY).count, 0);
    ev.gauges = 1u << TIDE_GAUGE_MEMORY | 1u << TIDE_GAUGE_CPU;
    ev.gauge[TIDE_GAUGE_MEMORY] = 100;
    ev.gauge[TIDE_GAUGE_CPU] = 30000;
    tide_record_fold(&record, &ev, T0_US, 7);
    ev.gauge[TIDE_GAUGE_MEMORY] = 80;
    ev.gauge[TIDE_GAUGE_CPU] = 50000;
    tide_record_fold(&record, &ev, T0_US + 1, 7); /* the same instance: newest wins */
    ev.gauge[TIDE_GAUGE_MEMORY] = 10;
    ev.gauge[TIDE_GAUGE_CPU] = 10000;
    tide_record_fold(&record, &ev, T0_US, 9);
    assert_int_equal(record.instances, 2);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_MEMORY).last, 90);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_MEMORY).max, 110);
    cpu = tide_record_gauge(&record, TIDE_GAUGE_CPU);
    assert_int_equal(cpu.sum / cpu.count, 30000);
    assert_int_equal(cpu.max, 50000);
    assert_int_equal(tide_record_gauge(&record, TIDE_GAUGE_GOROUTINES).count, 0);
    tide_record_fini(&record);
}

static void gathering_adds_gauges_and_merging_does_not(void **state)
{
    struct tide_record a, b, fleet;
    struct tide_instance low = instance(1, 5, 10), high = instance(2, 6, 100);

    (void)state;
    tide_record_init(&a);
    tide_record_init(&b);
    tide_record_init(&fleet);
    tide_record_merge_instance(&a, &low);
    tide_record_merge_instance(&a, &high);
    low = instance(1, 9, 3);
    tide_record_merge_instance(&b, &low);
    tide_record_gather(&fleet, &a);
    tide_record_gather(&fleet, &b);
    assert_int_equal(fleet.instances, 1);
    assert_int_equal(fleet.instance[0].id, 0);
    assert_int_equal(tide_record_gauge(&fleet, TIDE_GAUGE_MEMORY).last, 113);
    tide_record_merge(&a, &b);
    assert_int_equal(a.instances, 2);
    assert_int_equal(tide_record_gauge(&a, TIDE_GAUGE_MEMORY).last, 103);
    tide_record_fini(&a);
    tide_record_fini(&b);
    tide_record_fini(&fleet);
}

/* ---- life ---- */

static void a_reset_record_is_as_new(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct tide_record fresh;

    tide_record_init(&fresh);
    for (int i = 0; i < 200; i++) {
        struct tide_record record = tide_any_record(&seed);

        tide_record_reset(&record);
        assert_true(tide_record_empty(&record));
        assert_true(tide_record_equal(&record, &fresh));
        tide_record_fini(&record);
    }
    tide_record_fini(&fresh);
}

static void a_copy_over_anything_is_equal_and_independent(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;
    struct tide_record copy;
    struct tide_event ev = response(3);

    tide_record_init(&copy);
    for (int i = 0; i < 500; i++) {
        struct tide_record record = tide_any_record(&seed);

        tide_record_copy(&copy, &record);
        assert_true(tide_record_equal(&copy, &record));
        tide_record_fold(&copy, &ev, T0_US, 1);
        assert_false(tide_record_equal(&copy, &record));
        tide_record_fini(&record);
    }
    tide_record_fini(&copy);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_counts_its_outcome_and_its_time),
        cmocka_unit_test(the_bucket_comes_from_the_value_as_received),
        cmocka_unit_test(a_weight_counts_that_often),
        cmocka_unit_test(a_request_is_an_operation_when_it_has_a_duration_or_an_outcome),
        cmocka_unit_test(in_flight_is_plain_requests_less_responses_and_never_negative),
        cmocka_unit_test(a_duration_of_no_operation_is_not_a_sample),
        cmocka_unit_test(an_error_is_counted_with_and_without_being_an_operation),
        cmocka_unit_test(unhealthy_stays_of_two_reports_at_one_moment),
        cmocka_unit_test(a_stop_is_the_last_word_until_something_newer_comes),
        cmocka_unit_test(the_slowest_is_the_longest_then_the_larger_id),
        cmocka_unit_test(an_id_of_any_bytes_is_compared_unsigned),
        cmocka_unit_test_prestate(the_64_smallest_instances_keep_their_place_in_any_order, &seed),
        cmocka_unit_test(exactly_64_instances_need_no_overflow),
        cmocka_unit_test(a_modules_gauge_is_its_instances_gathered),
        cmocka_unit_test(gathering_adds_gauges_and_merging_does_not),
        cmocka_unit_test_prestate(a_reset_record_is_as_new, &seed),
        cmocka_unit_test_prestate(a_copy_over_anything_is_equal_and_independent, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
