/* hist: which bucket a duration falls into, what a quantile says, and how the span of counts grows.
 * The oracle is long double log2, whose 64 bits of mantissa separate any two neighbouring doubles.
 */
#include "tidemark/hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "pack.h"

static unsigned exact_bucket(double us)
{
    unsigned bucket;

    if (!(us > 1.0))
        return 0;
    bucket = (unsigned)ceill(TIDE_HIST_SUB * log2l((long double)us));
    return bucket < TIDE_HIST_BUCKETS ? bucket : TIDE_HIST_BUCKETS - 1;
}

static void a_bucket_holds_its_upper_bound_and_nothing_above(void **state)
{
    (void)state;
    for (unsigned bucket = 0; bucket < TIDE_HIST_BUCKETS; bucket++) {
        double upper = tide_hist_upper_us(bucket);
        unsigned next = bucket + 1 < TIDE_HIST_BUCKETS ? bucket + 1 : bucket;

        assert_int_equal(tide_hist_bucket(upper), bucket);
        assert_int_equal(tide_hist_bucket(nextafter(upper, 0)), bucket);
        assert_int_equal(tide_hist_bucket(nextafter(upper, INFINITY)), next);
    }
}

static void bounds_are_the_nearest_doubles_of_powers_of_two_to_the_32nds(void **state)
{
    (void)state;
    for (unsigned bucket = 0; bucket < TIDE_HIST_BUCKETS; bucket++) {
        double exact = (double)exp2l((long double)bucket / TIDE_HIST_SUB);

        assert_true(tide_hist_upper_us(bucket) == exact);
        assert_true(tide_hist_lower_us(bucket) == (bucket ? tide_hist_upper_us(bucket - 1) : 0));
    }
}

static void a_power_of_two_ends_its_octave(void **state)
{
    (void)state;
    for (unsigned octave = 0; octave <= TIDE_HIST_OCTAVES; octave++) {
        assert_int_equal(tide_hist_bucket(ldexp(1, (int)octave)), octave * TIDE_HIST_SUB);
        assert_true(tide_hist_upper_us(octave * TIDE_HIST_SUB) == ldexp(1, (int)octave));
    }
}

static void a_microsecond_and_less_is_bucket_zero(void **state)
{
    static const double tiny[] = {0, -0.0, 4.9e-324, 1e-9, 0.25, 0.999999, 1.0};

    (void)state;
    for (size_t i = 0; i < sizeof(tiny) / sizeof(tiny[0]); i++)
        assert_int_equal(tide_hist_bucket(tiny[i]), 0);
    assert_int_equal(tide_hist_bucket(nextafter(1.0, 2)), 1);
    assert_int_equal(tide_hist_bucket(NAN), 0); /* never in a record, and yet no wild index */
}

static void beyond_2_to_the_40_everything_is_in_the_last_bucket(void **state)
{
    (void)state;
    assert_int_equal(TIDE_HIST_BUCKETS - 1, 1280);
    assert_int_equal(tide_hist_bucket(0x1p40), 1280);
    assert_int_equal(tide_hist_bucket(nextafter(0x1p40, INFINITY)), 1280);
    assert_int_equal(tide_hist_bucket(1e300), 1280);
    assert_int_equal(tide_hist_bucket(INFINITY), 1280);
    assert_int_equal(tide_hist_bucket(nextafter(0x1p40, 0)), 1280);
}

static void every_value_is_where_its_logarithm_says(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (int i = 0; i < 1000000; i++) {
        uint64_t bits = tide_test_random(&seed);
        double value;

        /* a random mantissa in a random octave, a little past both ends */
        bits = (bits & UINT64_C(0xfffffffffffff)) | (1023 - 2 + bits % 44) << 52;
        memcpy(&value, &bits, sizeof(value));
        if (tide_hist_bucket(value) != exact_bucket(value))
            fail_msg("%a: bucket %u instead of %u", value, tide_hist_bucket(value),
                     exact_bucket(value));
    }
}

static void the_neighbours_of_every_bound_are_where_their_logarithm_says(void **state)
{
    (void)state;
    for (unsigned bucket = 1; bucket < TIDE_HIST_BUCKETS; bucket++) {
        double below = tide_hist_upper_us(bucket), above = below;

        for (int i = 0; i < 20; i++) {
            below = nextafter(below, 0);
            above = nextafter(above, INFINITY);
            assert_int_equal(tide_hist_bucket(below), exact_bucket(below));
            assert_int_equal(tide_hist_bucket(above), exact_bucket(above));
        }
    }
}

static void the_middle_of_a_bucket_is_within_the_stated_error_of_its_ends(void **state)
{
    (void)state;
    for (unsigned bucket = 1; bucket < TIDE_HIST_BUCKETS; bucket++) {
        struct tide_hist hist;
        double lower = tide_hist_lower_us(bucket), upper = tide_hist_upper_us(bucket), middle;

        tide_hist_init(&hist);
        tide_hist_add(&hist, bucket, 1);
        middle = tide_hist_quantile_us(&hist, 0.5, 0, (uint64_t)1 << 41);
        assert_true(middle >= lower && middle <= upper);
        assert_true(middle - lower <= TIDE_HIST_RELATIVE_ERROR * lower);
        assert_true(upper - middle <= TIDE_HIST_RELATIVE_ERROR * upper);
        tide_hist_fini(&hist);
    }
}

/* ---- quantiles ---- */

/* A histogram of n values, one in each of the buckets 100, 110, 120 ... */
static void ladder(struct tide_hist *hist, unsigned n)
{
    tide_hist_init(hist);
    for (unsigned i = 0; i < n; i++)
        tide_hist_add(hist, 100 + 10 * i, 1);
}

static unsigned rung(const struct tide_hist *hist, double q)
{
    double us = tide_hist_quantile_us(hist, q, 1, UINT64_C(1) << 40);

    return (tide_hist_bucket(us) - 100) / 10 + 1;
}

static void a_quantile_is_the_nearest_rank(void **state)
{
    struct tide_hist hist;

    (void)state;
    ladder(&hist, 100);
    for (unsigned percent = 1; percent <= 100; percent++)
        assert_int_equal(rung(&hist, percent / 100.0), percent);
    assert_int_equal(rung(&hist, 0.07), 7);
    assert_int_equal(rung(&hist, 0.0701), 8);
    assert_int_equal(rung(&hist, 0.999), 100);
    assert_int_equal(rung(&hist, 1e-9), 1);
    tide_hist_fini(&hist);
    for (unsigned n = 1; n <= 100; n++) {
        ladder(&hist, n);
        for (unsigned permille = 1; permille <= 1000; permille++)
            assert_int_equal(rung(&hist, permille / 1000.0), (permille * n + 999) / 1000);
        tide_hist_fini(&hist);
    }
}

static void a_quantile_of_nothing_is_no_number(void **state)
{
    struct tide_hist hist;

    (void)state;
    tide_hist_init(&hist);
    assert_true(isnan(tide_hist_quantile_us(&hist, 0.5, UINT64_MAX, 0)));
    tide_hist_add(&hist, 5, 0);
    assert_true(isnan(tide_hist_quantile_us(&hist, 0.5, UINT64_MAX, 0)));
    tide_hist_fini(&hist);
}

static void an_estimate_stays_between_the_extremes(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;

    for (int round = 0; round < 3000; round++) {
        int n = (int)tide_any_between(&seed, 1, 20);
        uint64_t min_us = UINT64_MAX, max_us = 0;
        struct tide_hist hist;
        double before = 0;

        tide_hist_init(&hist);
        for (int i = 0; i < n; i++) {
            double us = exp2((double)tide_any_between(&seed, -200, 4000) / 100);
            uint64_t rounded = (uint64_t)(us + 0.5);

            tide_hist_add(&hist, tide_hist_bucket(us), 1);
            min_us = rounded < min_us ? rounded : min_us;
            max_us = rounded > max_us ? rounded : max_us;
        }
        for (int permille = 1; permille <= 1000; permille += 27) {
            double us = tide_hist_quantile_us(&hist, permille / 1000.0, min_us, max_us);

            assert_true(us >= 0 && us >= (double)min_us - 0.5 && us <= (double)max_us + 0.5);
            assert_true(us >= before);
            before = us;
        }
        tide_hist_fini(&hist);
    }
}

static void several_quantiles_are_each_as_if_it_were_alone(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 3;

    for (int round = 0; round < 300; round++) {
        struct tide_hist hist;
        double q[5], us[5];

        tide_hist_init(&hist);
        for (int i = (int)tide_any_between(&seed, 0, 30); i > 0; i--)
            tide_hist_add(&hist, (unsigned)tide_any_between(&seed, 0, TIDE_HIST_BUCKETS - 1),
                          (uint64_t)tide_any_between(&seed, 1, round % 2 ? INT64_MAX : 1000));
        for (int i = 0; i < 5; i++)
            q[i] = (double)tide_any_between(&seed, 1, 10000) / 10000;
        tide_hist_quantiles_us(&hist, q, 5, 0, UINT64_C(1) << 40, us);
        for (int i = 0; i < 5; i++) {
            double alone = tide_hist_quantile_us(&hist, q[i], 0, UINT64_C(1) << 40);

            assert_true(alone == us[i] || (isnan(alone) && isnan(us[i])));
        }
        tide_hist_fini(&hist);
    }
}

static void a_billion_weighted_samples_do_not_move_a_rank(void **state)
{
    struct tide_hist hist;

    (void)state;
    tide_hist_init(&hist);
    tide_hist_add(&hist, 200, 950000000);
    tide_hist_add(&hist, 400, 49000000);
    tide_hist_add(&hist, 600, 1000000);
    assert_int_equal(tide_hist_bucket(tide_hist_quantile_us(&hist, 0.95, 1, 1u << 30)), 200);
    assert_int_equal(tide_hist_bucket(tide_hist_quantile_us(&hist, 0.9500001, 1, 1u << 30)), 400);
    assert_int_equal(tide_hist_bucket(tide_hist_quantile_us(&hist, 0.999, 1, 1u << 30)), 400);
    assert_int_equal(tide_hist_bucket(tide_hist_quantile_us(&hist, 0.9990001, 1, 1u << 30)), 600);
    tide_hist_fini(&hist);
}

/* ---- the span ---- */

static void check_against(const struct tide_hist *hist, const uint64_t *naive)
{
    uint64_t total = 0;

    assert_true(hist->len <= hist->capacity || hist->len == 0);
    assert_true((unsigned)hist->first + hist->len <= TIDE_HIST_BUCKETS);
    for (unsigned bucket = 0; bucket < TIDE_HIST_BUCKETS; bucket++) {
        uint64_t held = bucket >= hist->first && bucket - hist->first < hist->len
                            ? hist->count[bucket - hist->first]
                            : 0;

        assert_int_equal(held, naive[bucket]);
        total += naive[bucket];
    }
    assert_int_equal(tide_hist_total(hist), total);
}

static void the_span_grows_both_ways_and_loses_nothing(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 2;
    static uint64_t naive[TIDE_HIST_BUCKETS], other[TIDE_HIST_BUCKETS];
    struct tide_hist hist, from;

    tide_hist_init(&hist);
    tide_hist_init(&from);
    for (int round = 0; round < 300; round++) {
        int middle = (int)tide_any_between(&seed, 0, TIDE_HIST_BUCKETS - 1);
        int adds = (int)tide_any_between(&seed, 1, 60);

        tide_hist_reset(&hist);
        memset(naive, 0, sizeof(naive));
        for (int i = 0; i < adds; i++) {
            int64_t bucket = middle + tide_any_between(&seed, -40, 40);
            uint64_t n = (uint64_t)tide_any_between(&seed, 0, 5);

            bucket = bucket < 0 ? 0 : bucket >= TIDE_HIST_BUCKETS ? TIDE_HIST_BUCKETS - 1 : bucket;
            tide_hist_add(&hist, (unsigned)bucket, n);
            naive[bucket] += n;
        }
        check_against(&hist, naive);
        tide_hist_reset(&from);
        memset(other, 0, sizeof(other));
        for (int i = 0; i < 5; i++) {
            unsigned bucket = (unsigned)tide_any_between(&seed, 0, TIDE_HIST_BUCKETS - 1);

            tide_hist_add(&from, bucket, 3);
            other[bucket] += 3;
        }
        tide_hist_merge(&hist, &from);
        for (unsigned bucket = 0; bucket < TIDE_HIST_BUCKETS; bucket++)
            naive[bucket] += other[bucket];
        check_against(&hist, naive);
        check_against(&from, other);
        tide_hist_copy(&from, &hist);
        check_against(&from, naive);
        assert_true(tide_hist_equal(&from, &hist));
    }
    tide_hist_fini(&hist);
    tide_hist_fini(&from);
}

static void the_whole_range_fits_one_span(void **state)
{
    static uint64_t naive[TIDE_HIST_BUCKETS];
    struct tide_hist hist;

    (void)state;
    tide_hist_init(&hist);
    for (unsigned i = 0; i < TIDE_HIST_BUCKETS; i++) { /* from both ends to the middle */
        unsigned bucket = i % 2 ? TIDE_HIST_BUCKETS - 1 - i / 2 : i / 2;

        tide_hist_add(&hist, bucket, i + 1);
        naive[bucket] = i + 1;
    }
    check_against(&hist, naive);
    assert_int_equal(hist.capacity, TIDE_HIST_BUCKETS);
    tide_hist_fini(&hist);
}

static void equality_is_of_counts_and_not_of_spans(void **state)
{
    struct tide_hist wide, narrow;

    (void)state;
    tide_hist_init(&wide);
    tide_hist_init(&narrow);
    assert_true(tide_hist_equal(&wide, &narrow));
    tide_hist_add(&wide, 40, 1);
    assert_false(tide_hist_equal(&wide, &narrow));
    assert_false(tide_hist_equal(&narrow, &wide));
    tide_hist_add(&narrow, 41, 1);
    assert_false(tide_hist_equal(&wide, &narrow));
    tide_hist_add(&narrow, 40, 1);
    tide_hist_add(&wide, 41, 1);
    assert_true(tide_hist_equal(&wide, &narrow));
    tide_hist_reset(&wide);
    tide_hist_add(&wide, 41, 1); /* the old memory must not shine through */
    tide_hist_add(&wide, 39, 1);
    assert_int_equal(tide_hist_total(&wide), 2);
    tide_hist_fini(&wide);
    tide_hist_fini(&narrow);
}

static void counts_stop_at_the_top(void **state)
{
    struct tide_hist hist;

    (void)state;
    tide_hist_init(&hist);
    tide_hist_add(&hist, 7, UINT64_MAX - 1);
    tide_hist_add(&hist, 7, 5);
    assert_int_equal(hist.count[7 - hist.first], UINT64_MAX);
    tide_hist_add(&hist, 9, 5);
    assert_int_equal(tide_hist_total(&hist), UINT64_MAX);
    assert_true(tide_hist_quantile_us(&hist, 1, 1, 5) >= 0.5);
    tide_hist_fini(&hist);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_holds_its_upper_bound_and_nothing_above),
        cmocka_unit_test(bounds_are_the_nearest_doubles_of_powers_of_two_to_the_32nds),
        cmocka_unit_test(a_power_of_two_ends_its_octave),
        cmocka_unit_test(a_microsecond_and_less_is_bucket_zero),
        cmocka_unit_test(beyond_2_to_the_40_everything_is_in_the_last_bucket),
        cmocka_unit_test_prestate(every_value_is_where_its_logarithm_says, &seed),
        cmocka_unit_test(the_neighbours_of_every_bound_are_where_their_logarithm_says),
        cmocka_unit_test(the_middle_of_a_bucket_is_within_the_stated_error_of_its_ends),
        cmocka_unit_test(a_quantile_is_the_nearest_rank),
        cmocka_unit_test(a_quantile_of_nothing_is_no_number),
        cmocka_unit_test_prestate(an_estimate_stays_between_the_extremes, &seed),
        cmocka_unit_test_prestate(several_quantiles_are_each_as_if_it_were_alone, &seed),
        cmocka_unit_test(a_billion_weighted_samples_do_not_move_a_rank),
        cmocka_unit_test_prestate(the_span_grows_both_ways_and_loses_nothing, &seed),
        cmocka_unit_test(the_whole_range_fits_one_span),
        cmocka_unit_test(equality_is_of_counts_and_not_of_spans),
        cmocka_unit_test(counts_stop_at_the_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
