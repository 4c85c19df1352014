#include "tidemark/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t parsed(const char *text)
{
    int64_t us = INT64_MIN;

    return tide_time_parse(text, strlen(text), &us) ? us : INT64_MIN;
}

static void known_instants_are_written(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } known[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782399999999, "2000-02-28T23:59:59.999Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"},
        {951868800000000, "2000-03-01T00:00:00.000Z"},
        {1795454102120000, "2026-11-23T17:15:02.120Z"},
        {4107542400000000, "2100-03-01T00:00:00.000Z"},
        {4107456000000000, "2100-02-28T00:00:00.000Z"},
        {-62167219200000000, "0000-01-01T00:00:00.000Z"},
        {253402300799999000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char text[TIDE_TIME_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_string_equal(tide_time_text(text, known[i].us), known[i].text);
}

static void every_day_agrees_with_libc_and_reads_back(void **state)
{
    char text[TIDE_TIME_TEXT_SIZE], expected[96];

    (void)state;
    /* all days of years 0000..9999, each at another time of day */
    for (int64_t day = -719528; day <= 2932896; day++) {
        int64_t second = day * 86400 + (day * 7919 % 86400 + 86400) % 86400;
        time_t when = (time_t)second;
        struct tm tm;

        if (day % 7 && day > 60000) /* and every seventh one of the far future */
            continue;
        gmtime_r(&when, &tm);
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.007Z",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_string_equal(tide_time_text(text, second * 1000000 + 7000), expected);
        assert_true(parsed(text) == second * 1000000 + 7000);
    }
}

static void every_spelling_of_rfc_3339_is_read(void **state)
{
    const int64_t at = 1795454102000000;

    (void)state;
    assert_true(parsed("2026-11-23T17:15:02Z") == at);
    assert_true(parsed("2026-11-23t17:15:02z") == at);
    assert_true(parsed("2026-11-23 17:15:02Z") == at);
    assert_true(parsed("2026-11-23T17:15:02+00:00") == at);
    assert_true(parsed("2026-11-23T17:15:02-00:00") == at);
    assert_true(parsed("2026-11-23T18:15:02+01:00") == at);
    assert_true(parsed("2026-11-23T07:45:02-09:30") == at);
    assert_true(parsed("2026-11-24T00:00:02+06:45") == at);
    assert_true(parsed("2026-11-23T17:15:02.1Z") == at + 100000);
    assert_true(parsed("2026-11-23T17:15:02.120Z") == at + 120000);
    assert_true(parsed("2026-11-23T17:15:02.000001Z") == at + 1);
    assert_true(parsed("2026-11-23T17:15:02.000001999999999999Z") == at + 1);
    assert_true(parsed("2016-12-31T23:59:60Z") == parsed("2017-01-01T00:00:00Z"));
    assert_true(parsed("1969-12-31T23:59:59.5Z") == -500000);
}

static void what_is_no_instant_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T17:15:02",
        "2026-11-23T17:15Z",
        "2026-11-23T17:15:02.Z",
        "2026-11-23T17:15:02,1Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T23:60:00Z",
        "2026-11-23T23:00:61Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "26-11-23T17:15:02Z",
        "+2026-11-23T17:15:02Z",
        "-026-11-23T17:15:02Z",
        " 2026-11-23T17:15:02Z",
        "2026-11-23T17:15:02Z ",
        "2026-11-23T17:15:02ZZ",
        "2026-11-23T17:15:02+1:00",
        "2026-11-23T17:15:02+0100",
        "2026-11-23T17:15:02+24:00",
        "2026-11-23T17:15:02+01:60",
        "2026-11-23T17:15:02+01",
        "2026-1a-23T17:15:02Z",
        "2026/11/23T17:15:02Z",
        "1795454102",
    };
    int64_t untouched = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (tide_time_parse(bad[i], strlen(bad[i]), &untouched))
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(untouched, 42);
}

static void no_cut_of_an_instant_is_one_and_nothing_behind_it_is_read(void **state)
{
    const char whole[] = "2026-11-23T17:15:02.120+01:00";
    int64_t us;

    (void)state;
    for (size_t len = 0; len < strlen(whole); len++) {
        char *cut = malloc(len ? len : 1); /* a read past the end is the sanitizer's find */

        memcpy(cut, whole, len);
        assert_false(tide_time_parse(cut, len, &us));
        free(cut);
    }
    assert_true(tide_time_parse(whole, strlen(whole), &us));
}

static void a_fake_clock_freezes_every_clock(void **state)
{
    int64_t wall, mono, cpu;

    (void)state;
    tide_clock_fake(123456789);
    assert_int_equal(tide_clock_wall_us(), 123456789);
    assert_int_equal(tide_clock_mono_us(), 123456789);
    assert_int_equal(tide_clock_cpu_us(), 123456789);
    tide_clock_fake(0);
    cpu = tide_clock_cpu_us();
    wall = tide_clock_wall_us();
    mono = tide_clock_mono_us();
    assert_true(wall > INT64_C(1700000000000000));
    assert_true(tide_clock_mono_us() >= mono);
    while (tide_clock_cpu_us() == cpu)
        assert_true(tide_clock_mono_us() < mono + 60 * INT64_C(1000000)); /* busy: it must move */
    assert_true(llabs((long long)(wall / 1000000 - (int64_t)time(NULL))) <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_instants_are_written),
        cmocka_unit_test(every_day_agrees_with_libc_and_reads_back),
        cmocka_unit_test(every_spelling_of_rfc_3339_is_read),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(no_cut_of_an_instant_is_one_and_nothing_behind_it_is_read),
        cmocka_unit_test(a_fake_clock_freezes_every_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
