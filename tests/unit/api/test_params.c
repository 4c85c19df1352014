/* The query string as checked values: what is taken, what is refused, and that the refusal names
 * its parameter. */
#include "params.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NOW_US INT64_C(1700000000500000)

static const struct tide_param_rules all = {
    .allowed = (1u << TIDE_PARAM_COUNT) - 1, .limit = 100, .limit_max = 1000};

static enum tide_rc parse(const char *query, struct tide_params *params, struct tide_err *err)
{
    return tide_params_parse(query, &all, (struct tide_window_bounds){30, 604800}, NOW_US, params,
                             err);
}

static void durations_have_one_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds; /* 0: refused */
    } row[] = {{"90s", 90},
               {"5m", 300},
               {"2h", 7200},
               {"7d", 604800},
               {"36500d", 3153600000},
               {"36501d", 0},
               {"0s", 0},
               {"-5m", 0},
               {"5", 0},
               {"", 0},
               {"m", 0},
               {"5w", 0},
               {"5M", 0},
               {"1.5h", 0},
               {"5ms", 0},
               {" 5m", 0},
               {"5m ", 0},
               {"99999999999999999999d", 0},
               {"0x5m", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        int64_t seconds = 0;

        assert_int_equal(tide_param_duration(row[i].text, &seconds), row[i].seconds != 0);
        assert_int_equal(seconds, row[i].seconds);
    }
}

static void moments_are_rfc3339_unix_or_relative(void **state)
{
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } row[] = {
        {"1700000000", INT64_C(1700000000000000)},
        {"1700000000.25", INT64_C(1700000000250000)},
        {"0", 0},
        {"-24h", NOW_US - INT64_C(86400000000)},
        {"-36500d", 0},
        {"2023-11-14T22:13:20Z", INT64_C(1700000000000000)},
        {"2023-11-14T23:13:20.5+01:00", INT64_C(1700000000500000)},
        {"2023-11-14T23:13:20 01:00", INT64_C(1700000000000000)}, /* an unescaped plus */
        {"2023-11-14", -1},
        {"yesterday", -1},
        {"-24", -1},
        {"+24h", -1},
        {"1700000000.", -1},
        {"1e9", -1},
        {"99999999999999", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"", -1},
        {"NaN", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        int64_t us = -1;

        tide_param_moment(row[i].text, NOW_US, &us);
        if (us != row[i].us)
            fail_msg("'%s': %lld, expected %lld", row[i].text, (long long)us, (long long)row[i].us);
    }
}

static void good_queries_are_taken(void **state)
{
    struct tide_params params;

    (void)state;
    assert_int_equal(parse(NULL, &params, NULL), TIDE_OK);
    assert_int_equal(params.limit, 100);
    assert_int_equal(params.status, -1);
    assert_int_equal(parse("&&", &params, NULL), TIDE_OK);
    assert_int_equal(parse("module_id=a%20b+c%C3%A9&window=2h&limit=7&aggregate=true&histogram=0",
                           &params, NULL),
                     TIDE_OK);
    assert_string_equal(params.module_id, "a b c\xc3\xa9");
    assert_int_equal(params.module_len, 7);
    assert_int_equal(params.window_s, 7200);
    assert_int_equal(params.limit, 7);
    assert_true(params.aggregate && !params.histogram);
    assert_int_equal(
        parse("quantiles=0.5,0.999,1&sort=p95&status=no_data&format=csv&prefix=", &params, NULL),
        TIDE_OK);
    assert_int_equal(params.quantiles, 3);
    assert_int_equal(params.sort, TIDE_SORT_P95);
    assert_int_equal(params.status, TIDE_NO_DATA);
    assert_int_equal(params.format, TIDE_FORMAT_CSV);
}

static void bad_queries_are_refused_by_name(void **state)
{
    static const struct {
        const char *query, *named;
    } row[] = {
        {"nope=1", "nope"},
        {"Window=5m", "Window"},
        {"window=5", "window"},
        {"window=29s", "window"},
        {"window=8d", "window"},
        {"window", "window"},
        {"window=5m&window=5m", "window"},
        {"limit=0", "limit"},
        {"limit=1001", "limit"},
        {"limit=-1", "limit"},
        {"limit=+1", "limit"},
        {"limit=1e2", "limit"},
        {"limit=", "limit"},
        {"from=soon", "from"},
        {"to=later", "to"},
        {"step=1", "step"},
        {"module_id=a%00b", "module_id"},
        {"module_id=a%0Ab", "module_id"},
        {"module_id=%", "module_id"},
        {"module_id=%4", "module_id"},
        {"module_id=%zz", "module_id"},
        {"module_id=%ff", "module_id"},
        {"module_id=%C0%80", "module_id"},
        {"status=fine", "status"},
        {"sort=size", "sort"},
        {"format=xml", "format"},
        {"format=xml", "format"},
        {"quantiles=", "quantiles"},
        {"quantiles=0", "quantiles"},
        {"quantiles=1.1", "quantiles"},
        {"quantiles=0.5,", "quantiles"},
        {"quantiles=0x1p-1", "quantiles"},
        {"quantiles=nan", "quantiles"},
        {"quantiles=.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1,.1", "quantiles"},
        {"histogram=yes", "histogram"},
        {"aggregate=", "aggregate"},
        {"cursor=", "cursor"},
        {"%00=1", "parameter"},
        {"=1", "parameter"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_params params;
        struct tide_err err = {""};

        if (parse(row[i].query, &params, &err) != TIDE_USAGE)
            fail_msg("'%s' was taken", row[i].query);
        if (!strstr(err.text, row[i].named))
            fail_msg("'%s': '%s' does not name %s", row[i].query, err.text, row[i].named);
    }
}

static void a_parameter_of_another_route_is_unknown(void **state)
{
    const struct tide_param_rules rules = {.allowed = TIDE_PARAM(WINDOW)};
    struct tide_params params;
    struct tide_err err = {""};

    (void)state;
    assert_int_equal(tide_params_parse("limit=5", &rules, (struct tide_window_bounds){30, 0},
                                       NOW_US, &params, &err),
                     TIDE_USAGE);
    assert_non_null(strstr(err.text, "limit"));
    assert_int_equal(tide_params_parse("window=3650d", &rules, (struct tide_window_bounds){30, 0},
                                       NOW_US, &params, &err),
                     TIDE_OK); /* raw retention 0: for ever */
}

static void values_over_their_bound_are_refused(void **state)
{
    char query[4000] = "module_id=";
    struct tide_params params;

    (void)state;
    memset(query + 10, 'x', TIDE_MODULE_NAME_MAX);
    assert_int_equal(parse(query, &params, NULL), TIDE_OK);
    query[10 + TIDE_MODULE_NAME_MAX] = 'x';
    assert_int_equal(parse(query, &params, NULL), TIDE_USAGE);
    memset(query + 10, 'x', sizeof(query) - 11);
    assert_int_equal(parse(query, &params, NULL), TIDE_USAGE);
    memcpy(query, "fields=xxx", 10);
    assert_int_equal(parse(query, &params, NULL), TIDE_USAGE);
    memset(query, 'x', sizeof(query) - 1);
    assert_int_equal(parse(query, &params, NULL), TIDE_USAGE);
}

/* Whatever the bytes, it returns one of two outcomes and writes no further than it may. */
static void any_bytes_are_taken_or_refused(void **state)
{
    static const char *const piece[] = {
        "module_id=", "window=", "5m",  "&", "%",    "%41", "=", "-1h",
        "from=",      "limit=",  "999", "+", "\xff", "a",   ",", "quantiles=0."};
    const char *given = getenv("TIDE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 20231114;

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 20000; round++) {
        char query[200] = "";
        struct tide_params params;
        enum tide_rc rc;

        for (int i = rand_r(&seed) % 12; i > 0; i--)
            strcat(query, piece[(size_t)rand_r(&seed) % (sizeof(piece) / sizeof(piece[0]))]);
        rc = parse(query, &params, NULL);
        assert_true(rc == TIDE_OK || rc == TIDE_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_one_unit),
        cmocka_unit_test(moments_are_rfc3339_unix_or_relative),
        cmocka_unit_test(good_queries_are_taken),
        cmocka_unit_test(bad_queries_are_refused_by_name),
        cmocka_unit_test(a_parameter_of_another_route_is_unknown),
        cmocka_unit_test(values_over_their_bound_are_refused),
        cmocka_unit_test(any_bytes_are_taken_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
