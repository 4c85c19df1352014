/* Points over a range: rounding, steps, pages. */
#include "fake_store.h"

#include <math.h>

#include "tidemark/query.h"

#define NOW_S  INT64_C(1700000115)
#define OPEN_S INT64_C(1700000100) /* divisible by 300 */
#define US     INT64_C(1000000)

static struct tide_query *query;

static int setup(void **state)
{
    struct tide_query_cfg cfg = {.window_s = 300, .grace_s = 5, .raw_s = 7 * 86400};

    (void)state;
    assert_int_equal(OPEN_S % 300, 0);
    fake_init(30);
    FAKE.sealed_upto_s = OPEN_S;
    tide_clock_fake(NOW_S * US);
    tide_thresholds_default(&cfg.health.defaults);
    assert_int_equal(tide_query_open(&cfg, NULL, &query, NULL), TIDE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_query_close(query);
    fake_fini();
    tide_clock_fake(0);
    return 0;
}

static struct tide_history_ask ask_of(const char *module, int64_t from_s, int64_t to_s,
                                      int64_t step_s)
{
    return (struct tide_history_ask){.module = module,
                                     .module_len = module ? strlen(module) : 0,
                                     .from_us = from_s * US,
                                     .to_us = to_s * US,
                                     .step_s = step_s,
                                     .before_s = INT64_MAX,
                                     .limit = 100};
}

static struct tide_history_view history(const struct tide_history_ask *ask)
{
    struct tide_history_view view;

    assert_int_equal(tide_query_history(query, ask, &view, NULL), TIDE_OK);
    return view;
}

static void range_is_rounded_outwards_to_steps(void **state)
{
    struct tide_history_ask ask = ask_of(NULL, OPEN_S - 601, OPEN_S - 299, 300);
    struct tide_history_view view;

    (void)state;
    fake_responses("m", (OPEN_S - 900) * US, 1, 0, 1000);
    fake_responses("m", (OPEN_S - 1) * US, 2, 0, 1000);
    fake_responses("m", OPEN_S * US, 4, 0, 1000); /* outside: the range is half-open */
    view = history(&ask);
    assert_int_equal(view.from_s, OPEN_S - 900);
    assert_int_equal(view.to_s, OPEN_S);
    assert_int_equal(view.points, 2);
    assert_int_equal(view.point[0].requests, 2);
    assert_int_equal(view.point[1].requests, 1);
    assert_int_equal(view.point[1].start_s, OPEN_S - 900);
    assert_false(view.more);
    tide_history_view_fini(&view);
}

static void a_point_merges_its_intervals_and_the_fleet_its_modules(void **state)
{
    struct tide_history_ask ask = ask_of(NULL, OPEN_S - 300, OPEN_S, 300);
    struct tide_history_view view;
    struct tide_point *point;

    (void)state;
    fake_responses("a", (OPEN_S - 300) * US, 3, 1, 1000);
    fake_responses("b", (OPEN_S - 100) * US, 5, 0, 9000);
    fake_gauge("a", (OPEN_S - 100) * US, TIDE_GAUGE_MEMORY, 700);
    fake_gauge("b", (OPEN_S - 100) * US, TIDE_GAUGE_MEMORY, 60);
    view = history(&ask);
    assert_int_equal(view.points, 1);
    point = &view.point[0];
    assert_int_equal(point->requests, 8);
    assert_int_equal(point->failed, 1);
    assert_true(fabs(point->mean_ms - 6) < 1e-9);
    assert_true(point->min_ms == 1 && point->max_ms == 9);
    assert_true(fabs(point->throughput_rps - 8 / 300.0) < 1e-12);
    assert_true(point->gauge[TIDE_GAUGE_MEMORY] == 760);
    assert_true(isnan(point->gauge[TIDE_GAUGE_CPU]));
    assert_true(point->complete && !point->corrected);
    tide_history_view_fini(&view);
}

static void a_point_with_an_open_interval_is_incomplete(void **state)
{
    struct tide_history_ask ask = ask_of("m", OPEN_S - 600, OPEN_S + 300, 300);
    struct tide_history_view view;

    (void)state;
    fake_responses("m", OPEN_S * US, 1, 0, 1000);
    fake_responses("m", (OPEN_S - 30) * US, 1, 0, 1000);
    fake_row(1, OPEN_S - 30)->flags = TIDE_PART_CORRECTED;
    view = history(&ask);
    assert_int_equal(view.points, 2);
    assert_false(view.point[0].complete);
    assert_false(view.point[0].corrected);
    assert_true(view.point[1].complete);
    assert_true(view.point[1].corrected);
    assert_false(view.closed);
    tide_history_view_fini(&view);
    ask.to_us = OPEN_S * US;
    view = history(&ask);
    assert_true(view.closed);
    tide_history_view_fini(&view);
}

static void a_step_that_has_not_ended_is_incomplete(void **state)
{
    struct tide_history_ask ask = ask_of("m", OPEN_S - 300, OPEN_S + 60, 600);
    struct tide_history_view view;

    (void)state;
    fake_responses("m", (OPEN_S - 300) * US, 1, 0, 1000); /* sealed, but its step goes on */
    view = history(&ask);
    assert_int_equal(view.points, 1);
    assert_false(view.point[0].complete);
    tide_history_view_fini(&view);
}

/* Its end and grace have passed, but the committer has not come to it: more may still be booked. */
static void an_interval_that_is_not_sealed_yet_is_incomplete(void **state)
{
    struct tide_history_ask ask = ask_of("m", OPEN_S - 300, OPEN_S, 30);
    struct tide_history_view view;

    (void)state;
    FAKE.sealed_upto_s = OPEN_S - 60;
    fake_responses("m", (OPEN_S - 60) * US, 1, 0, 1000);
    fake_responses("m", (OPEN_S - 90) * US, 1, 0, 1000);
    view = history(&ask);
    assert_int_equal(view.points, 2);
    assert_false(view.point[0].complete);
    assert_true(view.point[1].complete);
    assert_false(view.closed);
    tide_history_view_fini(&view);
}

static void default_step_is_the_finest_tier_within_the_limit(void **state)
{
    static const struct {
        int64_t range_s;
        uint32_t limit;
        int64_t step_s;
        const char *tier;
    } row[] = {
        {3000, 100, 30, "raw"},       {3030, 100, 300, "5m"},         {3600, 120, 30, "raw"},
        {86400 * 4, 100, 3600, "1h"}, {86400 * 30, 100, 86400, "1d"}, {86400 * 300, 3, 86400, "1d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_history_ask ask = ask_of(NULL, OPEN_S - row[i].range_s, OPEN_S, 0);
        struct tide_history_view view;

        ask.limit = row[i].limit;
        view = history(&ask);
        assert_int_equal(view.step_s, row[i].step_s);
        assert_string_equal(view.tier, row[i].tier);
        tide_history_view_fini(&view);
    }
}

static void tier_is_the_coarsest_that_divides_the_step(void **state)
{
    static const struct {
        int64_t step_s;
        const char *tier;
    } row[] = {{30, "raw"},  {60, "raw"},  {300, "5m"},   {900, "5m"},
               {3600, "1h"}, {7200, "1h"}, {86400, "1d"}, {172800, "1d"}};

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_history_ask ask = ask_of(NULL, OPEN_S - 60, OPEN_S, row[i].step_s);
        struct tide_history_view view = history(&ask);

        assert_string_equal(view.tier, row[i].tier);
        tide_history_view_fini(&view);
    }
}

static void pages_cover_every_point_exactly_once(void **state)
{
    unsigned seed = 7;
    uint64_t sent = 0;

    (void)state;
    for (int i = 0; i < 300; i++) {
        int64_t at_s = OPEN_S - rand_r(&seed) % 20000;

        fake_responses("m", at_s * US, 1, 0, 1000);
        sent++;
    }
    for (uint32_t limit = 1; limit < 60; limit += 7) {
        struct tide_history_ask ask = ask_of("m", OPEN_S - 20100, OPEN_S, 60);
        uint64_t seen = 0;
        int64_t last_s = INT64_MAX;

        ask.limit = limit;
        for (;;) {
            struct tide_history_view view = history(&ask);
            bool more = view.more;

            assert_true(view.points <= limit);
            assert_true(!more || view.points == limit);
            for (size_t i = 0; i < view.points; i++) {
                assert_true(view.point[i].start_s < last_s); /* newest first, none twice */
                last_s = view.point[i].start_s;
                seen += view.point[i].requests;
            }
            ask.before_s = view.before_s;
            tide_history_view_fini(&view);
            if (!more)
                break;
        }
        assert_int_equal(seen, sent);
    }
}

static void aggregate_is_one_point_over_the_range(void **state)
{
    struct tide_history_ask ask = ask_of("m", OPEN_S - 1215, OPEN_S, 0);
    struct tide_history_view view;

    (void)state;
    fake_responses("m", (OPEN_S - 1300) * US, 50, 0, 1000);
    fake_responses("m", (OPEN_S - 1230) * US, 1, 0, 1000);
    fake_responses("m", (OPEN_S - 600) * US, 2, 0, 1000);
    fake_responses("m", (OPEN_S - 1) * US, 4, 0, 1000);
    ask.aggregate = true;
    ask.limit = 1;
    view = history(&ask);
    assert_int_equal(view.points, 1);
    assert_int_equal(view.point[0].requests, 7);
    assert_int_equal(view.point[0].start_s, OPEN_S - 1230);
    assert_int_equal(view.step_s, 1230);
    assert_false(view.more);
    tide_history_view_fini(&view);
}

static void where_a_tier_has_expired_the_answer_is_of_the_finest_that_is_kept(void **state)
{
    enum { HOUR_S = 1699999200, DAY_S = HOUR_S / 86400 * 86400 };
    static const struct {
        int64_t from_s, step_s;
        const char *tier;
        int64_t got_from_s, got_step_s;
        enum tide_tier coarsest;
    } row[] = {
        {HOUR_S, 30, "raw", HOUR_S, 30, TIDE_TIER_RAW},
        {HOUR_S - 30, 30, "5m", HOUR_S - 300, 300, TIDE_TIER_5M},
        {HOUR_S - 30, 600, "5m", HOUR_S - 600, 600, TIDE_TIER_5M}, /* nothing had to change */
        {HOUR_S - 7200, 60, "5m", HOUR_S - 7200, 300, TIDE_TIER_5M},
        {HOUR_S - 7201, 60, "1h", HOUR_S - 10800, 3600, TIDE_TIER_1H},
        {HOUR_S - 7201, 5400, "1h", (HOUR_S - 7201) / 7200 * 7200, 7200, TIDE_TIER_1H},
        {DAY_S - 1, 30, "1d", DAY_S - 86400, 86400, TIDE_TIER_1D},
        {DAY_S - 10 * 86400, 30, "1d", DAY_S - 10 * 86400, 86400, TIDE_TIER_1D}, /* the longest */
        {HOUR_S - 30, 0, "5m", HOUR_S - 300, 300, TIDE_TIER_5M},
    };

    (void)state;
    FAKE.kept_from_s[TIDE_TIER_RAW] = HOUR_S;
    FAKE.kept_from_s[TIDE_TIER_5M] = HOUR_S - 7200;
    FAKE.kept_from_s[TIDE_TIER_1H] = DAY_S;
    FAKE.kept_from_s[TIDE_TIER_1D] = DAY_S - 86400;
    for (int aggregate = 0; aggregate < 2; aggregate++)
        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
            struct tide_history_ask ask = ask_of("m", row[i].from_s, OPEN_S - 17, row[i].step_s);
            struct tide_history_view view;

            fake_responses("m", (OPEN_S - 400) * US, 1, 0, 1000);
            ask.limit = 10000;
            ask.aggregate = aggregate;
            view = history(&ask);
            assert_string_equal(view.tier, row[i].tier);
            assert_int_equal(view.from_s, row[i].got_from_s);
            assert_int_equal(view.to_s, tide_ceil_s(OPEN_S - 17, row[i].got_step_s));
            assert_int_equal(view.step_s, aggregate ? view.to_s - view.from_s : row[i].got_step_s);
            assert_int_equal(FAKE.coarsest, aggregate ? TIDE_TIER_1D : row[i].coarsest);
            assert_int_equal(view.points, 1);
            tide_history_view_fini(&view);
        }
}

static void asked_quantiles_and_buckets_are_kept(void **state)
{
    struct tide_history_ask ask = ask_of("m", OPEN_S - 30, OPEN_S, 30);
    struct tide_history_view view;

    (void)state;
    for (int i = 1; i <= 1000; i++)
        fake_responses("m", (OPEN_S - 10) * US, 1, 0, i * 1000.0);
    ask.quantiles = 2;
    ask.quantile[0] = 0.5;
    ask.quantile[1] = 0.999;
    ask.histogram = true;
    view = history(&ask);
    assert_true(fabs(view.point[0].quantile_ms[0] / 500 - 1) < 0.011);
    assert_true(fabs(view.point[0].quantile_ms[1] / 999 - 1) < 0.011);
    assert_int_equal(tide_hist_total(&view.point[0].hist), 1000);
    tide_history_view_fini(&view);
}

static void bad_asks_are_refused_by_name(void **state)
{
    struct tide_history_ask ask = ask_of(NULL, OPEN_S, OPEN_S, 30);
    struct tide_history_view view;
    struct tide_err err = {""};

    (void)state;
    assert_int_equal(tide_query_history(query, &ask, &view, &err), TIDE_USAGE);
    assert_non_null(strstr(err.text, "from"));
    ask = ask_of(NULL, OPEN_S - 60, OPEN_S, 45);
    assert_int_equal(tide_query_history(query, &ask, &view, &err), TIDE_USAGE);
    assert_non_null(strstr(err.text, "step"));
    ask = ask_of("nobody", OPEN_S - 60, OPEN_S, 30);
    assert_int_equal(tide_query_history(query, &ask, &view, &err), TIDE_NOT_FOUND);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(range_is_rounded_outwards_to_steps),
        CASE(a_point_merges_its_intervals_and_the_fleet_its_modules),
        CASE(a_point_with_an_open_interval_is_incomplete),
        CASE(a_step_that_has_not_ended_is_incomplete),
        CASE(an_interval_that_is_not_sealed_yet_is_incomplete),
        CASE(default_step_is_the_finest_tier_within_the_limit),
        CASE(tier_is_the_coarsest_that_divides_the_step),
        CASE(pages_cover_every_point_exactly_once),
        CASE(aggregate_is_one_point_over_the_range),
        CASE(where_a_tier_has_expired_the_answer_is_of_the_finest_that_is_kept),
        CASE(asked_quantiles_and_buckets_are_kept),
        CASE(bad_asks_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
