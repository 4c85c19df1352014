/* What "current" means, how a module is judged, and how modules add up to the fleet. */
#include "fake_store.h"

#include <math.h>

#include "tidemark/query.h"

#define NOW_S  INT64_C(1700000015) /* 15 s into an interval of 30 */
#define NOW_US (NOW_S * 1000000)
#define OPEN_S INT64_C(1700000010) /* the interval that is open */
#define AGO(s) ((OPEN_S - (s)) * 1000000 + 1000000)

#define assert_near(a, b, within) assert_true(fabs((a) - (b)) <= (within))

static struct tide_query *query;

static void open_query(uint32_t window_s, uint32_t grace_s)
{
    struct tide_query_cfg cfg = {.window_s = window_s, .grace_s = grace_s, .raw_s = 7 * 86400};

    tide_thresholds_default(&cfg.health.defaults);
    assert_int_equal(tide_query_open(&cfg, NULL, &query, NULL), TIDE_OK);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(OPEN_S % 30, 0);
    fake_init(30);
    FAKE.sealed_upto_s = OPEN_S;
    tide_clock_fake(NOW_US);
    open_query(300, 5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_query_close(query);
    query = NULL;
    fake_fini();
    tide_clock_fake(0);
    return 0;
}

static struct tide_module_view module_of(const char *name, uint32_t window_s)
{
    struct tide_module_view view;

    assert_int_equal(tide_query_module(query, name, strlen(name), window_s, &view, NULL), TIDE_OK);
    return view;
}

static struct tide_fleet_view fleet(uint32_t window_s)
{
    struct tide_fleet_view view;

    assert_int_equal(tide_query_summary(query, window_s, &view, NULL), TIDE_OK);
    return view;
}

static double penalties(const struct tide_judgement *health)
{
    double sum = 0;

    for (size_t i = 0; i < health->reasons; i++)
        sum += health->reason[i].penalty;
    return sum;
}

static void window_covers_whole_intervals_and_the_open_one(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_responses("m", NOW_US, 1, 0, 1000);     /* open */
    fake_responses("m", AGO(300), 10, 0, 1000);  /* floor(now - 300) is 300 s before the open one */
    fake_responses("m", AGO(330), 100, 0, 1000); /* not covered */
    view = module_of("m", 0);
    assert_int_equal(view.figures.window_requests, 11);
    assert_int_equal(view.figures.total, 111);
    assert_int_equal(view.figures.window_s, 300);
    tide_module_view_fini(&view);
}

static void an_interval_in_its_grace_is_covered(void **state)
{
    struct tide_module_view view;

    (void)state;
    tide_query_close(query);
    open_query(30, 90);
    fake_responses("m", AGO(60), 3, 0, 1000); /* ended 45 s ago, open for another 45 */
    fake_responses("m", AGO(120), 50, 0, 1000);
    view = module_of("m", 0);
    assert_int_equal(view.figures.window_requests, 3);
    tide_module_view_fini(&view);
}

static void with_window_everything_covers_it(void **state)
{
    struct tide_module_view life, window;
    struct tide_event error = {.kind = TIDE_EVENT_ERROR, .error = {"x", 1}};

    (void)state;
    fake_event("m", AGO(600), &error);
    fake_responses("m", AGO(600), 40, 20, 9000);
    fake_responses("m", AGO(0), 20, 1, 1000);
    life = module_of("m", 0);
    window = module_of("m", 60);
    assert_int_equal(life.figures.total, 60);
    assert_int_equal(life.figures.failed, 21);
    assert_int_equal(life.figures.errors, 1);
    assert_int_equal(life.figures.window_requests, 20);
    assert_near(life.figures.error_rate, 0.05, 1e-12);
    assert_int_equal(window.figures.total, 20);
    assert_int_equal(window.figures.failed, 1);
    assert_int_equal(window.figures.errors, 0);
    assert_int_equal(window.figures.window_s, 60);
    tide_module_view_fini(&life);
    tide_module_view_fini(&window);
}

static void nothing_in_the_window_is_nan_not_zero(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_responses("m", AGO(1200), 5, 0, 1000);
    view = module_of("m", 0);
    assert_int_equal(view.figures.window_requests, 0);
    assert_true(isnan(view.figures.error_rate) && isnan(view.figures.success_rate));
    assert_true(isnan(view.figures.mean_ms) && isnan(view.figures.p95_ms));
    assert_true(isnan(view.figures.min_ms) && isnan(view.figures.max_ms));
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
        assert_true(isnan(view.figures.gauge[g]));
    assert_true(view.figures.throughput_rps == 0);
    tide_module_view_fini(&view);
}

static void judged_window_doubles_until_ten_requests(void **state)
{
    static const struct {
        unsigned here, at_500, at_1000, at_2000, at_3500;
        uint32_t judged_s;
    } row[] = {
        {10, 0, 0, 0, 0, 300},  {9, 1, 0, 0, 0, 600},   {9, 0, 1, 0, 0, 1200},
        {0, 10, 99, 0, 0, 600}, {1, 1, 1, 7, 50, 2400}, {1, 1, 1, 1, 1, 3600},
        {0, 0, 0, 0, 20, 3600}, {0, 0, 0, 0, 0, 3600},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_module_view view;

        teardown(NULL);
        setup(NULL);
        fake_module("m");
        fake_responses("m", AGO(0), row[i].here, 0, 1000);
        fake_responses("m", AGO(500), row[i].at_500, 0, 1000);
        fake_responses("m", AGO(1000), row[i].at_1000, 0, 1000);
        fake_responses("m", AGO(2000), row[i].at_2000, 0, 1000);
        fake_responses("m", AGO(3500), row[i].at_3500, 0, 1000);
        view = module_of("m", 0);
        assert_int_equal(view.health.judged_window_s, row[i].judged_s);
        assert_int_equal(view.figures.window_requests, row[i].here);
        tide_module_view_fini(&view);
    }
}

/* The sweep over all modules must give what the walk over one gives. */
static void sweep_and_walk_judge_alike(void **state)
{
    unsigned seed = 42;
    struct tide_modules_ask ask = {.status = -1, .sort = TIDE_SORT_TROUBLE, .limit = 1000};
    struct tide_modules_view list;

    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%u", (unsigned)rand_r(&seed) % 40);
        fake_responses(name, AGO(rand_r(&seed) % 4000), (unsigned)rand_r(&seed) % 4,
                       (unsigned)rand_r(&seed) % 3, rand_r(&seed) % 100000);
    }
    assert_int_equal(tide_query_modules(query, &ask, &list, NULL), TIDE_OK);
    assert_int_equal(list.lines, FAKE.modules);
    for (size_t i = 0; i < list.lines; i++) {
        struct tide_module_view one = module_of(list.line[i].name, 0);

        assert_int_equal(one.health.judged_window_s, list.line[i].health.judged_window_s);
        assert_int_equal(one.health.status, list.line[i].health.status);
        assert_int_equal(one.figures.window_requests, list.line[i].figures.window_requests);
        assert_true(one.health.score == list.line[i].health.score ||
                    (isnan(one.health.score) && isnan(list.line[i].health.score)));
        tide_module_view_fini(&one);
    }
    tide_modules_view_fini(&list);
}

static void a_module_with_enough_is_not_decoded_further_back(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    for (int i = 0; i < 100; i++) {
        fake_responses("busy", AGO(30 * i), 10, 0, 1000);
        fake_responses("quiet", AGO(30 * i), i == 0, 0, 1000);
    }
    FAKE.decoded = 0;
    view = fleet(0);
    /* busy: the 11 intervals of the window; quiet: one */
    assert_int_equal(FAKE.decoded, 11 + 1);
    tide_fleet_view_fini(&view);
}

static void thresholds_at_the_edge_are_over(void **state)
{
    static const struct {
        unsigned requests, failed;
        enum tide_status status;
        double score;
    } row[] = {
        {1000, 49, TIDE_HEALTHY, 76}, {100, 5, TIDE_DEGRADED, 75},  {1000, 99, TIDE_DEGRADED, 50.5},
        {100, 10, TIDE_CRITICAL, 50}, {100, 60, TIDE_CRITICAL, 50}, {1000, 25, TIDE_HEALTHY, 100},
        {1000, 26, TIDE_HEALTHY, 99},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_module_view view;

        teardown(NULL);
        setup(NULL);
        fake_responses("m", AGO(0), row[i].requests, row[i].failed, 1000);
        view = module_of("m", 0);
        assert_int_equal(view.health.status, row[i].status);
        assert_near(view.health.score, row[i].score, 1e-9);
        assert_near(100 - penalties(&view.health), view.health.score, 1e-9);
        assert_int_equal(view.health.reasons, row[i].score < 100);
        tide_module_view_fini(&view);
    }
}

static void p95_exactly_at_the_threshold_is_over(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_responses("m", AGO(0), 100, 0, 2000000);
    view = module_of("m", 0);
    assert_near(view.figures.p95_ms, 2000, 0.0006);
    /* the estimate is held within half a microsecond of the only value, on either side */
    assert_int_equal(view.health.status, TIDE_DEGRADED);
    assert_near(view.health.score, 85, 1e-3);
    tide_module_view_fini(&view);
    fake_responses("n", AGO(0), 100, 0, 5000000);
    view = module_of("n", 0);
    assert_int_equal(view.health.status, TIDE_CRITICAL);
    assert_near(view.health.score, 70, 1e-9);
    tide_module_view_fini(&view);
}

static void a_self_report_caps_the_score_at_forty(void **state)
{
    struct tide_event sad = {.kind = TIDE_EVENT_HEALTH, .has_healthy = true, .healthy = false};
    struct tide_event glad = {.kind = TIDE_EVENT_HEALTH, .has_healthy = true, .healthy = true};
    struct tide_module_view view;

    (void)state;
    fake_responses("m", AGO(0), 1000, 33, 1000);
    fake_event("m", AGO(0) + 1, &sad);
    view = module_of("m", 0);
    assert_int_equal(view.health.status, TIDE_CRITICAL);
    assert_true(view.health.score == 40);
    assert_int_equal(view.health.reasons, 2);
    assert_near(penalties(&view.health), 60, 1e-9);
    tide_module_view_fini(&view);
    fake_event("m", AGO(0) + 2, &glad);
    view = module_of("m", 0);
    assert_int_equal(view.health.status, TIDE_HEALTHY);
    tide_module_view_fini(&view);
}

static void a_stop_as_the_last_word_is_no_data(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_responses("m", AGO(0), 50, 50, 1000);
    fake_kind("m", AGO(0) + 5, TIDE_EVENT_STOP);
    view = module_of("m", 0);
    assert_int_equal(view.health.status, TIDE_NO_DATA);
    assert_true(isnan(view.health.score));
    assert_int_equal(view.health.reasons, 0);
    tide_module_view_fini(&view);
    fake_kind("m", AGO(0) + 6, TIDE_EVENT_START);
    view = module_of("m", 0);
    assert_int_equal(view.health.status, TIDE_CRITICAL);
    tide_module_view_fini(&view);
}

static void data_within_the_hour_is_judged_and_older_is_no_data(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_kind("hour", AGO(3600), TIDE_EVENT_DEBUG);
    fake_kind("older", AGO(3630), TIDE_EVENT_DEBUG);
    view = module_of("hour", 0);
    assert_int_equal(view.health.status, TIDE_HEALTHY);
    tide_module_view_fini(&view);
    view = module_of("older", 0);
    assert_int_equal(view.health.status, TIDE_NO_DATA);
    tide_module_view_fini(&view);
}

static void overall_score_is_weighted_by_window_requests(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    fake_responses("good", AGO(0), 300, 0, 1000);   /* 100 */
    fake_responses("bad", AGO(0), 100, 10, 1000);   /* 50 */
    fake_kind("idle", AGO(0), TIDE_EVENT_DEBUG);    /* 100, weight 1 */
    fake_kind("gone", AGO(9000), TIDE_EVENT_DEBUG); /* no_data: no part */
    view = fleet(0);
    assert_near(view.score, (300 * 100 + 100 * 50 + 100) / 401.0, 1e-9);
    assert_int_equal(view.modules, 4);
    assert_int_equal(view.active, 3);
    assert_int_equal(view.by_status[TIDE_HEALTHY], 2);
    assert_int_equal(view.by_status[TIDE_CRITICAL], 1);
    assert_int_equal(view.by_status[TIDE_NO_DATA], 1);
    assert_int_equal(view.overall, TIDE_CRITICAL); /* one of three */
    assert_int_equal(view.figures.window_requests, 400);
    tide_fleet_view_fini(&view);
}

static void overall_is_critical_from_a_quarter_on(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    fake_responses("bad", AGO(0), 10, 10, 1000);
    fake_responses("a", AGO(0), 1000, 0, 1000);
    fake_responses("b", AGO(0), 10, 0, 1000);
    fake_responses("c", AGO(0), 10, 0, 1000);
    view = fleet(0);
    assert_int_equal(view.overall, TIDE_CRITICAL);
    tide_fleet_view_fini(&view);
    fake_responses("d", AGO(0), 10, 0, 1000);
    view = fleet(0);
    assert_int_equal(view.overall, TIDE_DEGRADED);
    tide_fleet_view_fini(&view);
}

static void an_empty_store_has_no_data(void **state)
{
    struct tide_fleet_view view = fleet(0);

    (void)state;
    assert_int_equal(view.overall, TIDE_NO_DATA);
    assert_true(isnan(view.score) && isnan(view.figures.error_rate));
    assert_int_equal(view.figures.last_us, 0);
    tide_fleet_view_fini(&view);
}

static void fleet_gauges_are_gathered_over_modules(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    fake_gauge("a", AGO(60), TIDE_GAUGE_MEMORY, 1000);
    fake_gauge("a", AGO(0), TIDE_GAUGE_MEMORY, 300); /* the newest of a */
    fake_gauge("b", AGO(120), TIDE_GAUGE_MEMORY, 50);
    fake_gauge("a", AGO(0), TIDE_GAUGE_CPU, 10000);
    fake_gauge("a", AGO(0), TIDE_GAUGE_CPU, 20000);
    fake_gauge("b", AGO(0), TIDE_GAUGE_CPU, 90000);
    view = fleet(0);
    assert_true(view.figures.gauge[TIDE_GAUGE_MEMORY] == 350);
    assert_near(view.figures.gauge[TIDE_GAUGE_CPU], 40, 1e-9);
    assert_true(isnan(view.figures.gauge[TIDE_GAUGE_GOROUTINES]));
    tide_fleet_view_fini(&view);
}

static void answers_of_one_module_do_not_hide_requests_of_another(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    for (int i = 0; i < 5; i++)
        fake_kind("hangs", AGO(0), TIDE_EVENT_REQUEST);
    fake_responses("answers", AGO(0), 50, 0, 1000);
    view = fleet(0);
    assert_int_equal(view.figures.in_flight, 5);
    tide_fleet_view_fini(&view);
}

static void rate_counts_from_the_first_event_when_that_is_later(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_responses("young", AGO(60), 74, 0, 1000);
    view = module_of("young", 0);
    /* first seen 59 s before the open interval began, which is 5 s old */
    assert_near(view.figures.throughput_rps, 74 / (59.0 + 5.0), 1e-9);
    tide_module_view_fini(&view);
    fake_responses("old", AGO(9000), 1, 0, 1000);
    fake_responses("old", AGO(0), 305, 0, 1000);
    view = module_of("old", 0);
    assert_near(view.figures.throughput_rps, 1.0, 1e-9);
    tide_module_view_fini(&view);
    fake_responses("new", NOW_US, 60, 0, 1000); /* at least one interval */
    view = module_of("new", 0);
    assert_near(view.figures.throughput_rps, 2.0, 1e-9);
    tide_module_view_fini(&view);
}

static void the_first_start_is_no_restart(void **state)
{
    struct tide_module_view view;

    (void)state;
    fake_kind("m", AGO(9000), TIDE_EVENT_START);
    view = module_of("m", 0);
    assert_int_equal(view.restarts, 0);
    tide_module_view_fini(&view);
    fake_kind("m", AGO(0), TIDE_EVENT_START);
    fake_kind("m", AGO(0) + 9, TIDE_EVENT_START);
    view = module_of("m", 0);
    assert_int_equal(view.restarts, 2);
    tide_module_view_fini(&view);
    view = module_of("m", 60);
    assert_int_equal(view.restarts, 2);
    tide_module_view_fini(&view);
}

static void reloaded_thresholds_are_used(void **state)
{
    struct tide_health_rule rule = {.glob = "m*"};
    struct tide_health_rules rules = {.rule = &rule, .rules = 1};
    struct tide_module_view view;

    (void)state;
    fake_responses("m1", AGO(0), 100, 4, 1000);
    fake_responses("other", AGO(0), 100, 4, 1000);
    tide_thresholds_default(&rules.defaults);
    rule.set[TIDE_SIGNAL_ERROR_RATE] = true;
    rule.thresholds.signal[TIDE_SIGNAL_ERROR_RATE] = (struct tide_threshold){0.01, 0.02};
    assert_int_equal(tide_query_reload_health(query, &rules, NULL), TIDE_OK);
    memset(&rule, 0, sizeof(rule)); /* it was copied */
    view = module_of("m1", 0);
    assert_int_equal(view.health.status, TIDE_CRITICAL);
    assert_near(view.health.reason[0].critical, 0.02, 1e-12);
    tide_module_view_fini(&view);
    view = module_of("other", 0);
    assert_int_equal(view.health.status, TIDE_HEALTHY);
    tide_module_view_fini(&view);
}

static void troubled_modules_come_worst_first(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    fake_responses("fine", AGO(0), 100, 0, 1000);
    fake_responses("degraded", AGO(0), 100, 6, 1000);
    fake_responses("critical", AGO(0), 100, 10, 1000);
    fake_responses("worst", AGO(0), 100, 20, 9000000);
    assert_int_equal(tide_query_health(query, 0, &view, NULL), TIDE_OK);
    assert_int_equal(view.lines, 3);
    assert_string_equal(view.line[0].name, "worst");
    assert_string_equal(view.line[1].name, "critical");
    assert_string_equal(view.line[2].name, "degraded");
    tide_fleet_view_fini(&view);
}

static void slowest_modules_are_the_ten_largest_p95(void **state)
{
    struct tide_fleet_view view;

    (void)state;
    for (int i = 0; i < 25; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%02d", i * 7 % 25);
        fake_responses(name, AGO(0), 3, 0, 1000.0 * (1 + i * 7 % 25));
    }
    fake_kind("without", AGO(0), TIDE_EVENT_DEBUG);
    assert_int_equal(tide_query_performance(query, 0, &view, NULL), TIDE_OK);
    assert_int_equal(view.lines, TIDE_SLOWEST_MODULES);
    for (int i = 0; i < TIDE_SLOWEST_MODULES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%02d", 24 - i);
        assert_string_equal(view.line[i].name, name);
    }
    tide_fleet_view_fini(&view);
}

static void exported_buckets_count_exactly(void **state)
{
    struct tide_series_view view;

    (void)state;
    fake_responses("m", AGO(0), 3, 0, 1024);   /* at a bound: inside */
    fake_responses("m", AGO(0), 5, 0, 1024.5); /* just beyond */
    fake_responses("m", AGO(0), 7, 1, 1e9);    /* beyond all */
    fake_responses("m", AGO(0), 1, 0, 0.25);
    assert_int_equal(tide_query_series(query, &view, NULL), TIDE_OK);
    assert_int_equal(view.count, 1);
    assert_int_equal(view.series[0].le[0], 1);
    assert_int_equal(view.series[0].le[10 - TIDE_SERIES_LE_FIRST], 4);
    assert_int_equal(view.series[0].le[11 - TIDE_SERIES_LE_FIRST], 9);
    assert_int_equal(view.series[0].le[TIDE_SERIES_LES - 1], 9);
    assert_int_equal(view.series[0].samples, 16);
    tide_series_view_fini(&view);
}

static void a_refused_snapshot_is_told(void **state)
{
    struct tide_fleet_view view;
    struct tide_err err = {""};

    (void)state;
    FAKE.open_rc = TIDE_IO;
    assert_int_equal(tide_query_summary(query, 0, &view, &err), TIDE_IO);
    assert_non_null(strstr(err.text, "refused"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(window_covers_whole_intervals_and_the_open_one),
        CASE(an_interval_in_its_grace_is_covered),
        CASE(with_window_everything_covers_it),
        CASE(nothing_in_the_window_is_nan_not_zero),
        CASE(judged_window_doubles_until_ten_requests),
        CASE(sweep_and_walk_judge_alike),
        CASE(a_module_with_enough_is_not_decoded_further_back),
        CASE(thresholds_at_the_edge_are_over),
        CASE(p95_exactly_at_the_threshold_is_over),
        CASE(a_self_report_caps_the_score_at_forty),
        CASE(a_stop_as_the_last_word_is_no_data),
        CASE(data_within_the_hour_is_judged_and_older_is_no_data),
        CASE(overall_score_is_weighted_by_window_requests),
        CASE(overall_is_critical_from_a_quarter_on),
        CASE(an_empty_store_has_no_data),
        CASE(fleet_gauges_are_gathered_over_modules),
        CASE(answers_of_one_module_do_not_hide_requests_of_another),
        CASE(rate_counts_from_the_first_event_when_that_is_later),
        CASE(the_first_start_is_no_restart),
        CASE(reloaded_thresholds_are_used),
        CASE(troubled_modules_come_worst_first),
        CASE(slowest_modules_are_the_ten_largest_p95),
        CASE(exported_buckets_count_exactly),
        CASE(a_refused_snapshot_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
