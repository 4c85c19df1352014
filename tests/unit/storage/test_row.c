/* row: the extremes of a record survive their bytes, and bytes that break a relation which the rest
 * of the program relies on are refused. Random records and random damage are in tests/property.
 */
#include "row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"

static void check_round_trip(const struct tide_record *record, int64_t base_us)
{
    struct tide_record back;
    struct blob blob = {0};
    const uint8_t *from;

    tide_record_init(&back);
    row_encode(&blob, record, base_us);
    from = blob.start;
    assert_true(row_decode(&from, blob.start + blob.len, &back, base_us));
    assert_ptr_equal(from, blob.start + blob.len);
    assert_true(tide_record_equal(record, &back));
    tide_record_fini(&back);
    blob_fini(&blob);
}

static void an_empty_record_is_two_bytes(void **state)
{
    struct tide_record record;
    struct blob blob = {0};

    (void)state;
    tide_record_init(&record);
    row_encode(&blob, &record, 1700000000000000);
    assert_int_equal(blob.len, 2);
    check_round_trip(&record, 1700000000000000);
    blob_fini(&blob);
}

static void the_largest_record_survives(void **state)
{
    struct tide_record record;

    (void)state;
    tide_record_init(&record);
    record.tally = (struct tide_tally){.requests = UINT64_MAX,
                                       .failed = UINT64_MAX,
                                       .errors = UINT64_MAX,
                                       .plain_requests = UINT64_MAX,
                                       .samples = UINT64_MAX,
                                       .sum_us = UINT64_MAX,
                                       .min_us = 0,
                                       .max_us = UINT64_MAX,
                                       .first_us = 1,
                                       .last_us = INT64_MAX - 1,
                                       .start_us = INT64_MAX,
                                       .stop_us = 1,
                                       .health_us = INT64_MAX,
                                       .healthy = true};
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        record.tally.kind[kind] = UINT64_MAX;
    for (unsigned bucket = 0; bucket < TIDE_HIST_BUCKETS; bucket++)
        tide_hist_add(&record.hist, bucket, UINT64_MAX);
    for (uint64_t i = 0; i <= TIDE_INSTANCES_MAX; i++) {
        struct tide_instance instance = {.id = i * (UINT64_MAX / TIDE_INSTANCES_MAX)};

        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            instance.gauge[gauge] = (struct tide_gauge_state){.count = UINT64_MAX,
                                                              .time_us = INT64_MAX - (int64_t)i,
                                                              .last = UINT64_MAX,
                                                              .max = UINT64_MAX,
                                                              .sum = UINT64_MAX};
        tide_record_merge_instance(&record, &instance);
    }
    assert_int_equal(record.instances, TIDE_INSTANCES_MAX + 1);
    for (int i = 0; i <= TIDE_CUSTOMS_MAX; i++) {
        struct tide_custom custom = {.count = UINT64_MAX,
                                     .min = 1 - TIDE_METRIC_UNITS,
                                     .max = TIDE_METRIC_UNITS - 1,
                                     .last = i % 2 ? 1 - TIDE_METRIC_UNITS : TIDE_METRIC_UNITS - 1,
                                     .time_us = INT64_MAX - i,
                                     .len = TIDE_METRIC_NAME_MAX};

        custom.sum = (__int128)(i % 3 ? custom.min : custom.max) * custom.count;
        memset(custom.name, 0x80 + i, TIDE_METRIC_NAME_MAX);
        tide_customs_merge_one(&record.customs, &custom);
    }
    assert_int_equal(record.customs.count, TIDE_CUSTOMS_MAX + 1);
    record.slowest.us = UINT64_MAX;
    record.slowest.len = TIDE_ID_MAX;
    memset(record.slowest.id, 0xff, TIDE_ID_MAX);
    check_round_trip(&record, 0);
    check_round_trip(&record, 1700000000000000);
    tide_record_fini(&record);
}

static void two_records_may_follow_each_other(void **state)
{
    struct tide_record a, b;
    struct blob blob = {0};
    const uint8_t *from;

    (void)state;
    tide_record_init(&a);
    tide_record_init(&b);
    a.tally.errors = 5;
    a.tally.first_us = a.tally.last_us = 77;
    row_encode(&blob, &a, 70);
    row_encode(&blob, &b, 70);
    from = blob.start;
    assert_true(row_decode(&from, blob.start + blob.len, &b, 70));
    assert_true(tide_record_equal(&a, &b));
    assert_true(row_decode(&from, blob.start + blob.len, &b, 70));
    assert_true(tide_record_empty(&b));
    assert_ptr_equal(from, blob.start + blob.len);
    tide_record_fini(&a);
    tide_record_fini(&b);
    blob_fini(&blob);
}

/* ---- relations ---- */

struct bytes {
    uint8_t at[600];
    size_t len;
};

static void put(struct bytes *bytes, uint64_t v)
{
    bytes->len = (size_t)(tide_put_varint(bytes->at + bytes->len, v) - bytes->at);
}

static void put_be64(struct bytes *bytes, uint64_t v)
{
    tide_put_be64(bytes->at + bytes->len, v);
    bytes->len += 8;
}

static bool accepted(const struct bytes *bytes)
{
    struct tide_record record;
    const uint8_t *from = bytes->at;
    bool sound;

    tide_record_init(&record);
    sound = row_decode(&from, bytes->at + bytes->len, &record, 1000);
    if (!sound) {
        assert_ptr_equal(from, bytes->at); /* and nothing of it is left */
        assert_true(tide_record_empty(&record));
        assert_int_equal(record.tally.requests, 0);
        assert_int_equal(tide_hist_total(&record.hist), 0);
        assert_int_equal(record.instances, 0);
        assert_int_equal(record.customs.count, 0);
    }
    tide_record_fini(&record);
    return sound;
}

enum { REQUESTS = 1, SAMPLES = 8, INSTANCES = 256, SLOWEST = 512, EVENTS = 1024, CUSTOMS = 2048 };

static bool with_requests(uint64_t requests, uint64_t failed)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, REQUESTS);
    put(&bytes, 0);
    put(&bytes, requests);
    put(&bytes, failed);
    return accepted(&bytes);
}

static void more_failures_than_requests_are_refused(void **state)
{
    (void)state;
    assert_true(with_requests(5, 5));
    assert_false(with_requests(5, 6));
}

/* Ten requests with these samples. */
static bool with_samples(uint64_t min, uint64_t spread, uint64_t runs, const uint64_t *gap_count)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, REQUESTS | SAMPLES);
    put(&bytes, 0);
    put(&bytes, 10);
    put(&bytes, 0);
    put(&bytes, 100);
    put(&bytes, min);
    put(&bytes, spread);
    put(&bytes, runs);
    for (uint64_t i = 0; i < 2 * runs && i < 16; i++)
        put(&bytes, gap_count[i]);
    return accepted(&bytes);
}

static void impossible_histograms_are_refused(void **state)
{
    (void)state;
    assert_true(with_samples(1, 5, 2, (uint64_t[]){3, 1, 4, 1}));
    assert_true(with_samples(1, 5, 1, (uint64_t[]){0, 10}));
    assert_true(with_samples(1, 5, 1, (uint64_t[]){1280, 10}));
    assert_false(with_samples(1, 5, 1, (uint64_t[]){1281, 1})); /* no such bucket */
    assert_false(with_samples(1, 5, 2, (uint64_t[]){1000, 1, 281, 1}));
    assert_false(with_samples(1, 5, 2, (uint64_t[]){3, 1, 0, 1}));    /* twice the same */
    assert_false(with_samples(1, 5, 1, (uint64_t[]){3, 0}));          /* an empty run */
    assert_false(with_samples(1, 5, 1, (uint64_t[]){3, 11}));         /* more than requests */
    assert_false(with_samples(1, UINT64_MAX, 1, (uint64_t[]){3, 1})); /* max below min */
    assert_false(with_samples(1, 5, 0, NULL));
    assert_false(with_samples(1, 5, TIDE_HIST_BUCKETS + 1, (uint64_t[16]){1, 1, 1, 1, 1, 1}));
    assert_false(with_samples(1, 5, 2, (uint64_t[]){UINT64_MAX, 1, 1, 1})); /* wraps around */
}

static bool with_instances(uint64_t first_id, uint64_t second_id, uint64_t gauges, uint64_t count,
                           uint64_t last, uint64_t max)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, INSTANCES);
    put(&bytes, 0);
    put(&bytes, 2);
    put_be64(&bytes, first_id);
    put(&bytes, 0);
    put_be64(&bytes, second_id);
    put(&bytes, gauges);
    put(&bytes, count);
    put(&bytes, tide_zigzag(5));
    put(&bytes, last);
    put(&bytes, max);
    put(&bytes, max);
    return accepted(&bytes);
}

static void impossible_instances_are_refused(void **state)
{
    (void)state;
    assert_true(with_instances(0, UINT64_MAX, 1, 1, 3, 3));
    assert_false(with_instances(7, 7, 1, 1, 3, 3));
    assert_false(with_instances(8, 7, 1, 1, 3, 3));
    assert_false(with_instances(7, 8, 1u << TIDE_GAUGE_COUNT, 1, 3, 3)); /* no such gauge */
    assert_false(with_instances(7, 8, 1, 0, 3, 3));                      /* no sample */
    assert_false(with_instances(7, 8, 1, 1, 4, 3)); /* the last above the maximum */
}

static bool with_slowest(uint64_t len)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, SLOWEST);
    put(&bytes, 0);
    put(&bytes, 77);
    put(&bytes, len);
    bytes.len += len < 300 ? len : 0;
    return accepted(&bytes);
}

static void impossible_ids_are_refused(void **state)
{
    (void)state;
    assert_true(with_slowest(1));
    assert_true(with_slowest(TIDE_ID_MAX));
    assert_false(with_slowest(0));
    assert_false(with_slowest(TIDE_ID_MAX + 1));
    assert_false(with_slowest(UINT64_MAX));
}

struct custom_bytes {
    const char *name;
    uint64_t count, time, min, spread, last, low, high;
};

static void put_custom(struct bytes *bytes, const struct custom_bytes *custom)
{
    size_t len = strlen(custom->name);

    put(bytes, len);
    memcpy(bytes->at + bytes->len, custom->name, len);
    bytes->len += len;
    put(bytes, custom->count);
    put(bytes, custom->time);
    put(bytes, custom->min);
    put(bytes, custom->spread);
    if (custom->spread) {
        put(bytes, custom->last);
        put(bytes, custom->low);
        put(bytes, custom->high);
    }
}

static bool with_customs(const struct custom_bytes *a, const struct custom_bytes *b)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, CUSTOMS);
    put(&bytes, 0);
    put(&bytes, b ? 2 : 1);
    put_custom(&bytes, a);
    if (b)
        put_custom(&bytes, b);
    return accepted(&bytes);
}

static bool with_custom(struct custom_bytes custom)
{
    return with_customs(&custom, NULL);
}

static void impossible_custom_metrics_are_refused(void **state)
{
    const uint64_t most = tide_zigzag(TIDE_METRIC_UNITS - 1);
    struct custom_bytes a = {"a", 1, 2, 0, 0, 0, 0, 0}, b = {"b", 2, 2, 5, 3, 1, 6, 0},
                        overflow = {TIDE_CUSTOM_OVERFLOW, 1, 2, 0, 0, 0, 0, 0};
    struct bytes bytes = {.len = 0};

    (void)state;
    assert_true(with_custom(a));
    assert_true(with_custom(b));
    assert_true(with_customs(&a, &b));
    assert_true(with_customs(&b, &overflow));
    assert_false(with_customs(&b, &a));
    assert_false(with_customs(&a, &a)); /* twice the same */
    assert_false(with_customs(&overflow, &a));
    assert_false(with_custom((struct custom_bytes){"", 1, 2, 0, 0, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"a", 0, 2, 0, 0, 0, 0, 0}));    /* no value */
    assert_false(with_custom((struct custom_bytes){"a", 1, 1999, 0, 0, 0, 0, 0})); /* time 0 */
    assert_true(with_custom((struct custom_bytes){"a", 1, 2, most, 0, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"a", 1, 2, most, 1, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"a", 1, 2, most + 2, 0, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"a", 1, 2, UINT64_MAX, 0, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"a", 1, 2, 0, UINT64_MAX, 0, 0, 0}));
    assert_false(with_custom((struct custom_bytes){"b", 2, 2, 5, 3, 4, 6, 0})); /* last over max */
    assert_false(with_custom((struct custom_bytes){"b", 2, 2, 5, 3, 1, 7, 0})); /* sum over n max */
    assert_false(with_custom((struct custom_bytes){"b", 2, 2, 5, 3, 1, 0, 1}));
    put(&bytes, CUSTOMS);
    put(&bytes, 0);
    put(&bytes, 0);
    assert_false(accepted(&bytes)); /* none */
}

/* 65 names of which none is the overflow: one too many. */
static void more_names_than_a_record_keeps_are_refused(void **state)
{
    (void)state;
    for (unsigned names = TIDE_CUSTOMS_MAX; names <= TIDE_CUSTOMS_MAX + 1; names++) {
        struct bytes bytes = {.len = 0};

        put(&bytes, CUSTOMS);
        put(&bytes, 0);
        put(&bytes, names);
        for (unsigned i = 0; i < names; i++) {
            char name[2] = {(char)('!' + i), 0};

            put_custom(&bytes, &(struct custom_bytes){name, 1, 2, 0, 0, 0, 0, 0});
        }
        assert_int_equal(accepted(&bytes), names <= TIDE_CUSTOMS_MAX);
    }
}

static bool with_events(uint64_t first, uint64_t span)
{
    struct bytes bytes = {.len = 0};

    put(&bytes, EVENTS);
    put(&bytes, 0);
    put(&bytes, first);
    put(&bytes, span);
    return accepted(&bytes);
}

static void impossible_times_are_refused(void **state)
{
    struct bytes bytes = {.len = 0};

    (void)state;
    assert_true(with_events(tide_zigzag(-999), 5));
    assert_false(with_events(tide_zigzag(-1000), 5)); /* time 0 is none */
    assert_false(with_events(tide_zigzag(INT64_MAX), 5));
    assert_false(with_events(tide_zigzag(0), INT64_MAX));
    assert_false(with_events(tide_zigzag(0), UINT64_MAX)); /* the last before the first */
    put(&bytes, 1u << 12);                                 /* a presence bit of a later version */
    put(&bytes, 0);
    assert_false(accepted(&bytes));
    bytes.len = 0;
    put(&bytes, 0);
    put(&bytes, 1u << TIDE_EVENT_KIND_COUNT);
    assert_false(accepted(&bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_record_is_two_bytes),
        cmocka_unit_test(the_largest_record_survives),
        cmocka_unit_test(two_records_may_follow_each_other),
        cmocka_unit_test(more_failures_than_requests_are_refused),
        cmocka_unit_test(impossible_histograms_are_refused),
        cmocka_unit_test(impossible_instances_are_refused),
        cmocka_unit_test(impossible_ids_are_refused),
        cmocka_unit_test(impossible_times_are_refused),
        cmocka_unit_test(impossible_custom_metrics_are_refused),
        cmocka_unit_test(more_names_than_a_record_keeps_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
