/* Numbers, texts, cursors and what clients accept. */
#include "accept.h"
#include "cursor.h"
#include "json.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

static const char *real_text(double value, unsigned decimals)
{
    static char text[TIDE_NUMBER_SIZE + 1];

    *tide_put_real(text, value, decimals) = '\0';
    return text;
}

static void reals_print_their_shortest_decimal(void **state)
{
    (void)state;
    assert_string_equal(real_text(0, 6), "0");
    assert_string_equal(real_text(-0.0, 6), "0");
    assert_string_equal(real_text(100, 6), "100");
    assert_string_equal(real_text(0.05, 6), "0.05");
    assert_string_equal(real_text(0.000001, 6), "0.000001");
    assert_string_equal(real_text(0.0000004, 6), "0");
    assert_string_equal(real_text(-0.0000004, 6), "0");
    assert_string_equal(real_text(-1.5, 3), "-1.5");
    assert_string_equal(real_text(117.7645, 6), "117.7645");
    assert_string_equal(real_text(0.9999999, 6), "1");
    assert_string_equal(real_text(1099511627.776, 6), "1099511627.776");
    assert_string_equal(real_text(4503599627370496.0, 0), "4503599627370496");
    assert_true(strtod(real_text(1.5e300, 6), NULL) == 1.5e300);
    assert_true(strtod(real_text(18446744073709551615.0, 0), NULL) == 18446744073709551615.0);
}

static void printed_reals_read_back_within_their_decimals(void **state)
{
    unsigned seed = 11;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        double value =
            ((double)rand_r(&seed) + (double)rand_r(&seed) / 1e6) / (1 + rand_r(&seed) % 1000000);

        assert_true(fabs(strtod(real_text(value, 6), NULL) - value) <=
                    0.50001e-6 + value * DBL_EPSILON);
    }
}

static void integers_print_all_their_digits(void **state)
{
    uint64_t value = 1;

    (void)state;
    for (int i = 0; i < 64; i++, value = value << 1 | (uint64_t)(i & 1)) {
        char mine[TIDE_NUMBER_SIZE], libc[32];

        *tide_put_uint(mine, value) = '\0';
        snprintf(libc, sizeof(libc), "%llu", (unsigned long long)value);
        assert_string_equal(mine, libc);
    }
}

static void millionths_print_all_their_digits_and_no_more(void **state)
{
    static const struct {
        __int128 value;
        const char *shown;
    } row[] = {
        {0, "0"},
        {1, "0.000001"},
        {-1, "-0.000001"},
        {1000000, "1"},
        {-12500000, "-12.5"},
        {100000000, "100"},
        {999999, "0.999999"},
        {INT64_C(8999999999999999999), "8999999999999.999999"},
        {(__int128)INT64_C(-9000000000000000000) * 1000000000, "-9000000000000000000000"},
        {(__int128)INT64_MAX * INT64_MAX, "85070591730234615847396907784232.501249"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_body body = {0};
        struct tide_json json;

        tide_json_init(&json, &body);
        tide_json_millionths(&json, NULL, row[i].value);
        assert_int_equal(body.len, strlen(row[i].shown));
        assert_memory_equal(body.data, row[i].shown, body.len);
        tide_body_fini(&body);
    }
}

static void text_from_outside_becomes_valid_json(void **state)
{
    static const struct {
        const char *text, *shown;
    } row[] = {
        {"plain", "plain"},
        {"q\"b\\n\n\t\x01\x7f", "q\"b\\n\n\t\x01\x7f"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"a\xff\xfe", "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_body body = {0};
        struct tide_json json;
        json_t *read;

        tide_json_init(&json, &body);
        tide_json_object(&json, NULL);
        tide_json_text(&json, "t", row[i].text);
        tide_json_text(&json, "none", NULL);
        tide_json_real(&json, "nan", NAN, 6);
        tide_json_real(&json, "inf", INFINITY, 6);
        tide_json_time(&json, "never", 0);
        tide_json_int(&json, "low", INT64_MIN);
        tide_json_end(&json);
        read = json_loadb(body.data, body.len, 0, NULL);
        assert_non_null(read);
        assert_string_equal(json_string_value(json_object_get(read, "t")), row[i].shown);
        assert_true(json_is_null(json_object_get(read, "none")));
        assert_true(json_is_null(json_object_get(read, "nan")));
        assert_true(json_is_null(json_object_get(read, "inf")));
        assert_true(json_is_null(json_object_get(read, "never")));
        assert_true(json_integer_value(json_object_get(read, "low")) == INT64_MIN);
        json_decref(read);
        tide_body_fini(&body);
    }
}

static void times_are_rfc3339_without_an_empty_fraction(void **state)
{
    char text[TIDE_API_TIME_SIZE];

    (void)state;
    assert_string_equal(tide_api_time(text, INT64_C(1700000000000000)), "2023-11-14T22:13:20Z");
    assert_string_equal(tide_api_time(text, INT64_C(1700000000120000)), "2023-11-14T22:13:20.120Z");
}

static void cursors_come_back_and_damage_is_seen(void **state)
{
    unsigned seed = 5;

    (void)state;
    for (size_t len = 0; len <= TIDE_CURSOR_BYTES_MAX; len++) {
        uint8_t bytes[TIDE_CURSOR_BYTES_MAX], back[TIDE_CURSOR_BYTES_MAX];
        char text[TIDE_CURSOR_TEXT_SIZE];
        size_t back_len, at;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        tide_cursor_encode(bytes, len, text);
        assert_int_equal(
            strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            strlen(text));
        assert_true(tide_cursor_decode(text, back, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        at = (size_t)rand_r(&seed) % (strlen(text) - 1); /* the last one may hold spare bits */
        text[at] = text[at] == 'A' ? 'B' : 'A';
        assert_false(tide_cursor_decode(text, back, &back_len));
    }
    {
        uint8_t back[TIDE_CURSOR_BYTES_MAX];
        size_t len;
        char long_text[1000];

        memset(long_text, 'A', sizeof(long_text) - 1);
        long_text[sizeof(long_text) - 1] = '\0';
        assert_false(tide_cursor_decode(long_text, back, &len));
        assert_false(tide_cursor_decode("a b", back, &len));
        assert_false(tide_cursor_decode("", back, &len));
    }
}

static void accept_headers_are_weighed(void **state)
{
    (void)state;
    assert_true(tide_accept_gzip("gzip"));
    assert_true(tide_accept_gzip("deflate, GZIP;q=0.5"));
    assert_true(tide_accept_gzip("*"));
    assert_false(tide_accept_gzip("gzip;q=0"));
    assert_false(tide_accept_gzip("gzip; q=0.000, *"));
    assert_false(tide_accept_gzip("identity"));
    assert_false(tide_accept_gzip("notgzip"));
    assert_false(tide_accept_gzip(NULL));
    assert_true(
        tide_accept_prefers("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5",
                            "application/openmetrics-text", "text/plain"));
    assert_false(tide_accept_prefers("text/plain;version=0.0.4;q=1,*/*;q=0.1",
                                     "application/openmetrics-text", "text/plain"));
    assert_false(tide_accept_prefers(NULL, "text/csv", "application/json"));
    assert_true(tide_accept_prefers("text/csv", "text/csv", "application/json"));
    assert_true(tide_accept_quality("a;q=0.25;x=1 , a;q=0.5", "a") == 0.5);
    assert_true(tide_accept_quality(",,;q=1, a;q", "a") == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reals_print_their_shortest_decimal),
        cmocka_unit_test(printed_reals_read_back_within_their_decimals),
        cmocka_unit_test(integers_print_all_their_digits),
        cmocka_unit_test(millionths_print_all_their_digits_and_no_more),
        cmocka_unit_test(text_from_outside_becomes_valid_json),
        cmocka_unit_test(times_are_rfc3339_without_an_empty_fraction),
        cmocka_unit_test(cursors_come_back_and_damage_is_seen),
        cmocka_unit_test(accept_headers_are_weighed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
