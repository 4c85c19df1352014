/* The laws of records: neither the order nor the grouping of anything can be seen in a result. */
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
#include "row.h"

static struct tide_record copy_of(const struct tide_record *from)
{
    struct tide_record copy;

    tide_record_init(&copy);
    tide_record_copy(&copy, from);
    return copy;
}

typedef void combine_fn(struct tide_record *into, const struct tide_record *from);

static void check_order(uint64_t seed, combine_fn *combine)
{
    for (int round = 0; round < 2000; round++) {
        struct tide_record a = tide_any_record(&seed), b = tide_any_record(&seed), ab, ba;

        tide_record_init(&ab);
        tide_record_init(&ba);
        combine(&ab, &a);
        combine(&ab, &b);
        combine(&ba, &b);
        combine(&ba, &a);
        assert_true(tide_record_equal(&ab, &ba));
        tide_record_fini(&a);
        tide_record_fini(&b);
        tide_record_fini(&ab);
        tide_record_fini(&ba);
    }
}

static void merge_order_does_not_matter(void **state)
{
    check_order(*(uint64_t *)*state, tide_record_merge);
}

static void gather_order_does_not_matter(void **state)
{
    check_order(*(uint64_t *)*state, tide_record_gather);
}

/* The one subject whose record grows is not looked at again: only what it was and what it is. */
static void gathered_gauges_follow_a_late_merge(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 7;

    for (int round = 0; round < 2000; round++) {
        struct tide_record a = tide_any_record(&seed), b = tide_any_record(&seed),
                           late = tide_any_record(&seed), after = copy_of(&b), sum, expected;

        if (b.instances + late.instances > TIDE_INSTANCES_MAX) /* the overflow joins instances */
            late.instances = 0;
        tide_record_init(&sum);
        tide_record_init(&expected);
        tide_record_gather_gauges(&sum, &a);
        tide_record_gather_gauges(&sum, &b);
        tide_record_merge(&after, &late);
        tide_record_regather_gauges(&sum, &b, &after);
        tide_record_gather_gauges(&expected, &a);
        tide_record_gather_gauges(&expected, &after);
        assert_true(tide_record_equal(&sum, &expected));
        tide_record_fini(&a);
        tide_record_fini(&b);
        tide_record_fini(&late);
        tide_record_fini(&after);
        tide_record_fini(&sum);
        tide_record_fini(&expected);
    }
}

static void merge_grouping_does_not_matter(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;

    for (int round = 0; round < 2000; round++) {
        struct tide_record a = tide_any_record(&seed), b = tide_any_record(&seed),
                           c = tide_any_record(&seed);
        struct tide_record left = copy_of(&a), right = copy_of(&b);

        tide_record_merge(&left, &b);
        tide_record_merge(&left, &c);
        tide_record_merge(&right, &c);
        tide_record_merge(&right, &a);
        assert_true(tide_record_equal(&left, &right));
        tide_record_fini(&a);
        tide_record_fini(&b);
        tide_record_fini(&c);
        tide_record_fini(&left);
        tide_record_fini(&right);
    }
}

static void an_empty_record_changes_nothing(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 2;

    for (int round = 0; round < 1000; round++) {
        struct tide_record a = tide_any_record(&seed), merged = copy_of(&a), empty;

        tide_record_init(&empty);
        tide_record_merge(&merged, &empty);
        assert_true(tide_record_equal(&merged, &a));
        tide_record_merge(&empty, &a);
        assert_true(tide_record_equal(&empty, &a));
        tide_record_fini(&a);
        tide_record_fini(&merged);
        tide_record_fini(&empty);
    }
}

/* Folding events one by one equals merging records of any split of them, in any order. */
static void fold_is_merge_of_single_events(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 3;

    for (int round = 0; round < 500; round++) {
        struct tide_record whole, part[3];
        int events = (int)tide_any_between(&seed, 1, 200);

        tide_record_init(&whole);
        for (int i = 0; i < 3; i++)
            tide_record_init(&part[i]);
        for (int i = 0; i < events; i++) {
            struct tide_event ev = tide_any_event(&seed);
            int64_t time_us = 1700000000000000 + tide_any_between(&seed, 0, 5);
            uint64_t instance = (uint64_t)tide_any_between(&seed, 0, 150);

            tide_record_fold(&whole, &ev, time_us, instance);
            tide_record_fold(&part[tide_any_between(&seed, 0, 2)], &ev, time_us, instance);
        }
        tide_record_merge(&part[2], &part[0]);
        tide_record_merge(&part[2], &part[1]);
        assert_true(tide_record_equal(&whole, &part[2]));
        tide_record_fini(&whole);
        for (int i = 0; i < 3; i++)
            tide_record_fini(&part[i]);
    }
}

static void a_stored_record_reads_back_the_same(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 4;
    struct tide_record back;
    struct blob blob = {0};

    tide_record_init(&back);
    for (int round = 0; round < 3000; round++) {
        struct tide_record a = tide_any_record(&seed);
        int64_t base_us = tide_any_between(&seed, 0, 1) ? 1700000000000000 : 0;
        const uint8_t *from;

        blob.len = 0;
        row_encode(&blob, &a, base_us);
        from = blob.start;
        assert_true(row_decode(&from, blob.start + blob.len, &back, base_us));
        assert_ptr_equal(from, blob.start + blob.len);
        assert_true(tide_record_equal(&a, &back));
        tide_record_fini(&a);
    }
    tide_record_fini(&back);
    blob_fini(&blob);
}

/* Whatever the bytes, decoding neither crashes nor reads past the end; a cut record is never
 * accepted whole. */
static void a_damaged_record_is_refused_or_harmless(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 5;
    struct tide_record back;
    struct blob blob = {0};

    tide_record_init(&back);
    for (int round = 0; round < 3000; round++) {
        struct tide_record a = tide_any_record(&seed);
        uint8_t *exact;
        const uint8_t *from;
        size_t cut;

        blob.len = 0;
        row_encode(&blob, &a, 0);
        cut = (size_t)tide_any_between(&seed, 0, (int64_t)blob.len - 1);
        exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, blob.start, cut);
        from = exact;
        assert_false(row_decode(&from, exact + cut, &back, 0));
        assert_true(tide_record_empty(&back));
        free(exact);
        blob.start[tide_any_between(&seed, 0, (int64_t)blob.len - 1)] ^=
            (uint8_t)tide_any_between(&seed, 1, 255);
        from = blob.start;
        if (row_decode(&from, blob.start + blob.len, &back, 0))
            assert_true(from <= blob.start + blob.len);
        tide_record_fini(&a);
    }
    tide_record_fini(&back);
    blob_fini(&blob);
}

/* Bucket by bucket, over any grouping: the histogram's quantile is within 1.1 % of the exact
 * nearest-rank value. */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void every_quantile_is_within_its_bound(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 6;
    static double value[5000];

    for (int round = 0; round < 200; round++) {
        int n = (int)tide_any_between(&seed, 1, 5000);
        struct tide_record record;

        tide_record_init(&record);
        for (int i = 0; i < n; i++) {
            struct tide_event ev = {
                .kind = TIDE_EVENT_RESPONSE, .weight = 1, .has_duration = true, .success = true};

            value[i] = exp2((double)tide_any_between(&seed, 0, 3999) / 100) *
                       (1 + (double)tide_any_between(&seed, 0, 1000) * 1e-6);
            ev.duration_us = value[i];
            tide_record_fold(&record, &ev, 1700000000000000 + i, 0);
        }
        qsort(value, (size_t)n, sizeof(value[0]), by_value);
        for (int q = 1; q <= 1000; q += 37) {
            int rank = (q * n + 999) / 1000;
            double got = tide_record_quantile_us(&record, q / 1000.0), exact = value[rank - 1];

            if (fabs(got - exact) > TIDE_HIST_RELATIVE_ERROR * exact)
                fail_msg("q %d of %d samples: %g instead of %g", q, n, got, exact);
        }
        tide_record_fini(&record);
    }
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(merge_order_does_not_matter, &seed),
        cmocka_unit_test_prestate(gather_order_does_not_matter, &seed),
        cmocka_unit_test_prestate(merge_grouping_does_not_matter, &seed),
        cmocka_unit_test_prestate(gathered_gauges_follow_a_late_merge, &seed),
        cmocka_unit_test_prestate(an_empty_record_changes_nothing, &seed),
        cmocka_unit_test_prestate(fold_is_merge_of_single_events, &seed),
        cmocka_unit_test_prestate(a_stored_record_reads_back_the_same, &seed),
        cmocka_unit_test_prestate(a_damaged_record_is_refused_or_harmless, &seed),
        cmocka_unit_test_prestate(every_quantile_is_within_its_bound, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
