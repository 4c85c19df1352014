/* health: every number of the verdict at the edges where it changes. */
#include "tidemark/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "any.h"
#include "pack.h"

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static struct tide_health_input nothing_wrong(void)
{
    struct tide_health_input input = {.has_data = true};

    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
        input.value[signal] = NAN;
    return input;
}

static struct tide_verdict judge(const struct tide_health_input *input)
{
    struct tide_thresholds thresholds;
    struct tide_verdict verdict;

    tide_thresholds_default(&thresholds);
    tide_health_judge(&thresholds, input, &verdict);
    return verdict;
}

static struct tide_verdict judge_one(enum tide_signal signal, double value)
{
    struct tide_health_input input = nothing_wrong();

    input.value[signal] = value;
    return judge(&input);
}

/* ---- severity ---- */

static void severity_rises_from_half_the_warning_over_warning_to_critical(void **state)
{
    struct tide_threshold at = {.warning = 2000, .critical = 5000};

    (void)state;
    assert_true(tide_health_severity(TIDE_SIGNAL_P95, 0, &at) == 0);
    assert_true(tide_health_severity(TIDE_SIGNAL_P95, 1000, &at) == 0);
    assert_true(tide_health_severity(TIDE_SIGNAL_P95, 1000.1, &at) > 0);
    assert_true(near(tide_health_severity(TIDE_SIGNAL_P95, 1500, &at), 0.25));
    assert_true(near(tide_health_severity(TIDE_SIGNAL_P95, 2000, &at), 0.5));
    assert_true(near(tide_health_severity(TIDE_SIGNAL_P95, 3500, &at), 0.75));
    assert_true(tide_health_severity(TIDE_SIGNAL_P95, 5000, &at) == 1);
    assert_true(tide_health_severity(TIDE_SIGNAL_P95, 1e12, &at) == 1);
}

static void of_throughput_less_is_worse(void **state)
{
    struct tide_threshold at = {.warning = 100, .critical = 40};

    (void)state;
    assert_true(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 1e9, &at) == 0);
    assert_true(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 200, &at) == 0);
    assert_true(near(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 150, &at), 0.25));
    assert_true(near(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 100, &at), 0.5));
    assert_true(near(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 70, &at), 0.75));
    assert_true(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 40, &at) == 1);
    assert_true(tide_health_severity(TIDE_SIGNAL_THROUGHPUT, 0, &at) == 1);
}

static void severity_never_falls_as_things_get_worse(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (int round = 0; round < 2000; round++) {
        double warning = (double)tide_any_between(&seed, 0, 1000);
        double critical = warning + (double)tide_any_between(&seed, 1, 1000), before = 0;
        struct tide_threshold at = {warning, critical};

        for (int value = 0; value <= 2200; value += 11) {
            double severity = tide_health_severity(TIDE_SIGNAL_CPU, value, &at);

            assert_true(severity >= before && severity <= 1);
            before = severity;
        }
        at = (struct tide_threshold){critical, warning};
        before = 1;
        for (int value = 0; value <= 5000; value += 23) {
            double severity = tide_health_severity(TIDE_SIGNAL_THROUGHPUT, value, &at);

            assert_true(severity <= before && severity >= 0);
            before = severity;
        }
    }
}

static void a_signal_without_value_or_threshold_is_not_at_fault(void **state)
{
    struct tide_threshold off = {NAN, NAN}, on = {1, 2};

    (void)state;
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        assert_true(tide_health_severity((enum tide_signal)signal, 1e300, &off) == 0);
        assert_true(tide_health_severity((enum tide_signal)signal, NAN, &on) == 0);
    }
}

/* ---- one module ---- */

static void the_defaults_are_those_of_the_contract(void **state)
{
    static const struct {
        const char *name;
        double weight, warning, critical;
    } expected[TIDE_SIGNAL_COUNT] = {
        {"error_rate", 50, 0.05, 0.10}, {"p95_response_time_ms", 30, 2000, 5000},
        {"cpu_percent", 10, 80, 95},    {"goroutines", 10, 1000, 2000},
        {"memory_bytes", 0, NAN, NAN},  {"throughput_rps", 0, NAN, NAN}};
    struct tide_thresholds thresholds;
    double weights = 0;

    (void)state;
    tide_thresholds_default(&thresholds);
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        const struct tide_threshold *at = &thresholds.signal[signal];

        assert_string_equal(tide_signal_info[signal].name, expected[signal].name);
        assert_true(tide_signal_info[signal].weight == expected[signal].weight);
        assert_true(at->warning == expected[signal].warning ||
                    (isnan(at->warning) && isnan(expected[signal].warning)));
        assert_true(at->critical == expected[signal].critical ||
                    (isnan(at->critical) && isnan(expected[signal].critical)));
        weights += tide_signal_info[signal].weight;
    }
    assert_true(weights == 100);
    assert_int_equal(tide_thresholds_check(&thresholds, NULL), TIDE_OK);
}

static void status_turns_at_the_threshold_itself(void **state)
{
    (void)state;
    assert_int_equal(judge_one(TIDE_SIGNAL_ERROR_RATE, 0.0499).status, TIDE_HEALTHY);
    assert_int_equal(judge_one(TIDE_SIGNAL_ERROR_RATE, 0.05).status, TIDE_DEGRADED);
    assert_int_equal(judge_one(TIDE_SIGNAL_ERROR_RATE, 0.0999).status, TIDE_DEGRADED);
    assert_int_equal(judge_one(TIDE_SIGNAL_ERROR_RATE, 0.10).status, TIDE_CRITICAL);
    assert_int_equal(judge_one(TIDE_SIGNAL_CPU, 80).status, TIDE_DEGRADED);
    assert_int_equal(judge_one(TIDE_SIGNAL_CPU, 95).status, TIDE_CRITICAL);
    assert_int_equal(judge_one(TIDE_SIGNAL_GOROUTINES, 2000).status, TIDE_CRITICAL);
    assert_int_equal(judge_one(TIDE_SIGNAL_MEMORY, 1e15).status, TIDE_HEALTHY); /* off */
}

static void a_signal_without_weight_changes_the_status_and_not_the_score(void **state)
{
    struct tide_thresholds thresholds;
    struct tide_health_input input = nothing_wrong();
    struct tide_verdict verdict;

    (void)state;
    tide_thresholds_default(&thresholds);
    thresholds.signal[TIDE_SIGNAL_THROUGHPUT] = (struct tide_threshold){10, 5};
    input.value[TIDE_SIGNAL_THROUGHPUT] = 5;
    tide_health_judge(&thresholds, &input, &verdict);
    assert_int_equal(verdict.status, TIDE_CRITICAL);
    assert_true(verdict.score == 100);
    assert_int_equal(verdict.reasons, 0);
}

static void the_score_is_100_less_the_penalties_largest_first(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;

    for (int round = 0; round < 5000; round++) {
        struct tide_health_input input = nothing_wrong();
        struct tide_verdict verdict;
        double sum = 0;

        input.self_unhealthy = tide_any_between(&seed, 0, 3) == 0;
        if (tide_any_between(&seed, 0, 3))
            input.value[TIDE_SIGNAL_ERROR_RATE] = (double)tide_any_between(&seed, 0, 150) / 1000;
        if (tide_any_between(&seed, 0, 3))
            input.value[TIDE_SIGNAL_P95] = (double)tide_any_between(&seed, 0, 6000);
        if (tide_any_between(&seed, 0, 3))
            input.value[TIDE_SIGNAL_CPU] = (double)tide_any_between(&seed, 0, 100);
        if (tide_any_between(&seed, 0, 3))
            input.value[TIDE_SIGNAL_GOROUTINES] = (double)tide_any_between(&seed, 0, 3000);
        verdict = judge(&input);
        for (size_t i = 0; i < verdict.reasons; i++) {
            assert_true(verdict.reason[i].penalty > 0);
            assert_true(i == 0 || verdict.reason[i].penalty <= verdict.reason[i - 1].penalty);
            sum += verdict.reason[i].penalty;
        }
        assert_true(near(verdict.score, 100 - sum));
        assert_true(verdict.score >= 0 && verdict.score <= 100);
        if (input.self_unhealthy) {
            assert_true(verdict.score <= 40);
            assert_int_equal(verdict.status, TIDE_CRITICAL);
        }
    }
}

static void everything_at_its_worst_scores_nothing(void **state)
{
    struct tide_health_input input = nothing_wrong();
    struct tide_verdict verdict;

    (void)state;
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
        input.value[signal] = 1e12;
    verdict = judge(&input);
    assert_int_equal(verdict.status, TIDE_CRITICAL);
    assert_true(verdict.score == 0);
    assert_int_equal(verdict.reasons, 4);
    assert_string_equal(verdict.reason[0].signal, "error_rate");
    assert_true(verdict.reason[0].warning == 0.05 && verdict.reason[0].critical == 0.10);
    assert_string_equal(verdict.reason[1].signal, "p95_response_time_ms");
}

static void saying_unhealthy_caps_the_score_at_40_by_a_reason(void **state)
{
    struct tide_health_input input = nothing_wrong();
    struct tide_verdict verdict;

    (void)state;
    input.self_unhealthy = true;
    verdict = judge(&input);
    assert_int_equal(verdict.status, TIDE_CRITICAL);
    assert_true(verdict.score == 40);
    assert_int_equal(verdict.reasons, 1);
    assert_string_equal(verdict.reason[0].signal, "self_reported");
    assert_true(verdict.reason[0].penalty == 60);
    assert_true(isnan(verdict.reason[0].value) && isnan(verdict.reason[0].warning));

    input.value[TIDE_SIGNAL_ERROR_RATE] = 0.05; /* 25 of the missing 60 have their own reason */
    verdict = judge(&input);
    assert_true(near(verdict.score, 40));
    assert_int_equal(verdict.reasons, 2);
    assert_string_equal(verdict.reason[0].signal, "self_reported");
    assert_true(near(verdict.reason[0].penalty, 35));

    input.value[TIDE_SIGNAL_ERROR_RATE] = 0.5; /* below the cap of its own */
    input.value[TIDE_SIGNAL_P95] = 5000;
    verdict = judge(&input);
    assert_true(near(verdict.score, 20));
    assert_int_equal(verdict.reasons, 2);
}

static void no_data_has_no_score_whatever_else_is_said(void **state)
{
    struct tide_health_input input = nothing_wrong();
    struct tide_verdict verdict;

    (void)state;
    input.value[TIDE_SIGNAL_ERROR_RATE] = 1;
    input.self_unhealthy = true;
    input.stopped = true;
    verdict = judge(&input);
    assert_int_equal(verdict.status, TIDE_NO_DATA);
    assert_true(isnan(verdict.score));
    assert_int_equal(verdict.reasons, 0);
    input.stopped = false;
    input.has_data = false;
    verdict = judge(&input);
    assert_int_equal(verdict.status, TIDE_NO_DATA);
    assert_true(isnan(verdict.score));
}

/* ---- overall ---- */

static enum tide_status overall(size_t healthy, size_t degraded, size_t critical, double error_rate)
{
    struct tide_thresholds defaults;

    tide_thresholds_default(&defaults);
    return tide_health_overall(healthy, degraded, critical, error_rate, &defaults);
}

static void a_quarter_of_critical_modules_is_critical(void **state)
{
    (void)state;
    assert_int_equal(overall(3, 0, 1, 0), TIDE_CRITICAL);
    assert_int_equal(overall(4, 0, 1, 0), TIDE_DEGRADED);
    assert_int_equal(overall(2, 2, 1, 0), TIDE_DEGRADED);
    assert_int_equal(overall(74, 0, 25, 0), TIDE_CRITICAL);
    assert_int_equal(overall(76, 0, 25, 0), TIDE_DEGRADED);
    assert_int_equal(overall(0, 0, 1, 0), TIDE_CRITICAL);
}

static void overall_follows_the_error_rate_and_the_worst_module(void **state)
{
    (void)state;
    assert_int_equal(overall(10, 0, 0, NAN), TIDE_HEALTHY);
    assert_int_equal(overall(10, 0, 0, 0.0999), TIDE_HEALTHY);
    assert_int_equal(overall(10, 0, 0, 0.10), TIDE_CRITICAL);
    assert_int_equal(overall(10, 1, 0, 0), TIDE_DEGRADED);
    assert_int_equal(overall(0, 0, 0, NAN), TIDE_NO_DATA);
    assert_int_equal(overall(0, 0, 0, 1), TIDE_NO_DATA);
}

/* ---- configuration ---- */

static void check_refused(enum tide_signal signal, double warning, double critical,
                          const char *message)
{
    struct tide_thresholds thresholds;
    struct tide_err err = {""};

    tide_thresholds_default(&thresholds);
    thresholds.signal[signal] = (struct tide_threshold){warning, critical};
    assert_int_equal(tide_thresholds_check(&thresholds, &err), TIDE_CONFIG);
    assert_string_equal(err.text, message);
}

static void thresholds_that_make_no_sense_are_refused_by_name(void **state)
{
    struct tide_thresholds thresholds;

    (void)state;
    check_refused(TIDE_SIGNAL_ERROR_RATE, 0.1, 0.1,
                  "error_rate: critical (0.1) must lie above warning (0.1)");
    check_refused(TIDE_SIGNAL_P95, 5000, 2000,
                  "p95_response_time_ms: critical (2000) must lie above warning (5000)");
    check_refused(TIDE_SIGNAL_THROUGHPUT, 5, 10,
                  "throughput_rps: critical (10) must lie below warning (5)");
    check_refused(TIDE_SIGNAL_MEMORY, 5, NAN,
                  "memory_bytes: set both warning and critical, or neither");
    check_refused(TIDE_SIGNAL_CPU, NAN, 95,
                  "cpu_percent: set both warning and critical, or neither");
    check_refused(TIDE_SIGNAL_CPU, -1, 95, "cpu_percent: a threshold must not be negative");
    tide_thresholds_default(&thresholds);
    thresholds.signal[TIDE_SIGNAL_CPU] = (struct tide_threshold){NAN, NAN};
    thresholds.signal[TIDE_SIGNAL_THROUGHPUT] = (struct tide_threshold){10, 5};
    assert_int_equal(tide_thresholds_check(&thresholds, NULL), TIDE_OK);
}

static void the_first_glob_that_matches_decides(void **state)
{
    struct tide_health_rule rule[2] = {{.glob = "db-*"}, {.glob = "*"}};
    struct tide_health_rules rules = {.rule = rule, .rules = 2};
    struct tide_thresholds got;

    (void)state;
    tide_thresholds_default(&rules.defaults);
    rule[0].thresholds.signal[TIDE_SIGNAL_CPU] = (struct tide_threshold){50, 60};
    rule[0].set[TIDE_SIGNAL_CPU] = true;
    rule[1].thresholds.signal[TIDE_SIGNAL_CPU] = (struct tide_threshold){1, 2};
    rule[1].set[TIDE_SIGNAL_CPU] = true;
    rule[1].thresholds.signal[TIDE_SIGNAL_P95] = (struct tide_threshold){3, 4};
    rule[1].set[TIDE_SIGNAL_P95] = true;

    got = tide_health_thresholds(&rules, "db-main");
    assert_true(got.signal[TIDE_SIGNAL_CPU].warning == 50);
    assert_true(got.signal[TIDE_SIGNAL_P95].warning == 2000); /* unset: the default's, not the
                                                                 next rule's */
    got = tide_health_thresholds(&rules, "web");
    assert_true(got.signal[TIDE_SIGNAL_CPU].critical == 2);
    assert_true(got.signal[TIDE_SIGNAL_P95].warning == 3);
    rules.rules = 1;
    got = tide_health_thresholds(&rules, "web/db-1");
    assert_true(got.signal[TIDE_SIGNAL_CPU].warning == 80);
    rules.rules = 0;
    rules.rule = NULL;
    got = tide_health_thresholds(&rules, "db-main");
    assert_true(got.signal[TIDE_SIGNAL_CPU].warning == 80);
}

static void names_are_found_in_both_spellings(void **state)
{
    (void)state;
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++)
        assert_int_equal(tide_signal_find(tide_signal_info[signal].name), signal);
    assert_int_equal(tide_signal_find("p95"), TIDE_SIGNAL_P95);
    assert_int_equal(tide_signal_find("cpu"), TIDE_SIGNAL_CPU);
    assert_int_equal(tide_signal_find("memory"), TIDE_SIGNAL_MEMORY);
    assert_int_equal(tide_signal_find("throughput"), TIDE_SIGNAL_THROUGHPUT);
    assert_int_equal(tide_signal_find("p99"), -1);
    assert_int_equal(tide_signal_find(""), -1);
    for (int status = 0; status < TIDE_STATUS_COUNT; status++)
        assert_int_equal(tide_status_find(tide_status_name((enum tide_status)status)), status);
    assert_int_equal(tide_status_find("Healthy"), -1);
    assert_string_equal(tide_status_name(TIDE_NO_DATA), "no_data");
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(severity_rises_from_half_the_warning_over_warning_to_critical),
        cmocka_unit_test(of_throughput_less_is_worse),
        cmocka_unit_test_prestate(severity_never_falls_as_things_get_worse, &seed),
        cmocka_unit_test(a_signal_without_value_or_threshold_is_not_at_fault),
        cmocka_unit_test(the_defaults_are_those_of_the_contract),
        cmocka_unit_test(status_turns_at_the_threshold_itself),
        cmocka_unit_test(a_signal_without_weight_changes_the_status_and_not_the_score),
        cmocka_unit_test_prestate(the_score_is_100_less_the_penalties_largest_first, &seed),
        cmocka_unit_test(everything_at_its_worst_scores_nothing),
        cmocka_unit_test(saying_unhealthy_caps_the_score_at_40_by_a_reason),
        cmocka_unit_test(no_data_has_no_score_whatever_else_is_said),
        cmocka_unit_test(a_quarter_of_critical_modules_is_critical),
        cmocka_unit_test(overall_follows_the_error_rate_and_the_worst_module),
        cmocka_unit_test(thresholds_that_make_no_sense_are_refused_by_name),
        cmocka_unit_test(the_first_glob_that_matches_decides),
        cmocka_unit_test(names_are_found_in_both_spellings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
