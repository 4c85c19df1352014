#include "number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;

static bool parse(const char *text, struct tide_number *ret)
{
    return tide_number_parse((const char *)tide_guard_place(&guard, text, strlen(text)),
                             strlen(text), ret);
}

static void texts_that_are_numbers(void **state)
{
    static const struct {
        const char *text;
        double real;
        bool is_whole;
    } row[] = {
        {"0", 0, true},
        {"12", 12, true},
        {"12.5", 12.5, false},
        {"+12.5", 12.5, false},
        {"-12.5", -12.5, false},
        {"-0", 0, true},
        {".5", 0.5, false},
        {"5.", 5, true},
        {"007", 7, true},
        {"1e3", 1000, false},
        {"1E3", 1000, false},
        {"1e+3", 1000, false},
        {"2.5e-3", 0.0025, false},
        {"0.1", 0.1, false},
        {"0.000001", 1e-6, false},
        {"9007199254740993", 9007199254740992.0, true},
        {"18446744073709551615", 18446744073709551616.0, true},
        {"18446744073709551616", 18446744073709551616.0, false},
        {"123456789012345678901234567890", 123456789012345678901234567890.0, false},
        {"1e-400", 0, false},
        {"1e308", 1e308, false},
        {"3.141592653589793238462643383279", 3.141592653589793, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_number number;

        if (!parse(row[i].text, &number))
            fail_msg("%s is a number", row[i].text);
        if (number.real != row[i].real || number.is_whole != row[i].is_whole)
            fail_msg("%s: %.17g, whole %d", row[i].text, number.real, number.is_whole);
    }
}

static void texts_that_are_none(void **state)
{
    static const char *const text[] = {
        "",
        " ",
        "1 ",
        " 1",
        "1\n",
        "\t1",
        "-",
        "+",
        ".",
        "-.",
        "e5",
        ".e5",
        "1e",
        "1e+",
        "1e5.5",
        "1e5 ",
        "0x10",
        "0x1p3",
        "1,5",
        "1_000",
        "1.2.3",
        "--1",
        "+-1",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "infinity",
        "1f",
        "1d",
        "12ms",
        "true",
        "\xd9\xa1",
        "1e400",
        "-1e400",
        "1e99999999999999999999",
        "00000000000000000000000000000000000000000000000000000000000000001", /* 65 bytes */
    };
    struct tide_number number;

    (void)state;
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        if (parse(text[i], &number))
            fail_msg("'%s' is no number, read as %g", text[i], number.real);
    assert_false(tide_number_parse("1\0", 2, &number));
}

static void whole_numbers_stay_exact(void **state)
{
    struct tide_number number;

    (void)state;
    assert_true(parse("4611686018427387903", &number));
    assert_true(number.is_whole && number.whole == UINT64_C(4611686018427387903));
    assert_true(parse("18446744073709551615", &number));
    assert_true(number.is_whole && number.whole == UINT64_MAX);
}

/* Every reading is the nearest double, as the C library has it. */
static void random_decimals_read_as_by_the_library(void **state)
{
    uint64_t seed = tide_test_seed();

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[64];
        struct tide_number number;
        double expected;

        switch (tide_test_random(&seed) % 4) {
        case 0:
            snprintf(text, sizeof(text), "%.*f", (int)(tide_test_random(&seed) % 12),
                     (double)(tide_test_random(&seed) >> 20) / 1e6);
            break;
        case 1:
            snprintf(text, sizeof(text), "%.*e", (int)(tide_test_random(&seed) % 20),
                     (double)tide_test_random(&seed));
            break;
        case 2:
            snprintf(
                text, sizeof(text), "-%llu",
                (unsigned long long)(tide_test_random(&seed) >> (tide_test_random(&seed) % 64)));
            break;
        default:
            snprintf(text, sizeof(text), "%llu.%llue%d",
                     (unsigned long long)(tide_test_random(&seed) % 1000000),
                     (unsigned long long)(tide_test_random(&seed) % 1000000),
                     (int)(tide_test_random(&seed) % 80) - 40);
            break;
        }
        expected = strtod(text, NULL);
        if (!tide_number_parse(text, strlen(text), &number) || number.real != expected)
            fail_msg("%s read as %.17g, not %.17g", text, number.real, expected);
    }
}

static void values_that_are_numbers(void **state)
{
    static const struct {
        const char *hex;
        bool is_number, is_whole;
        double real;
    } row[] = {
        {"05", true, true, 5},
        {"ff", true, false, -1},
        {"cc ff", true, true, 255},
        {"cd 01 00", true, true, 256},
        {"ce 00 01 00 00", true, true, 65536},
        {"cf ff ff ff ff ff ff ff ff", true, true, 18446744073709551616.0},
        {"d0 7f", true, true, 127},
        {"d0 80", true, false, -128},
        {"d1 80 00", true, false, -32768},
        {"d2 65 53 f1 00", true, true, 1700000000},
        {"d3 80 00 00 00 00 00 00 00", true, false, -9223372036854775808.0},
        {"ca 41 48 00 00", true, false, 12.5},
        {"cb 40 29 00 00 00 00 00 00", true, false, 12.5},
        {"cb 7f f8 00 00 00 00 00 00", false, false, 0}, /* NaN */
        {"cb 7f f0 00 00 00 00 00 00", false, false, 0}, /* infinity */
        {"cb ff f0 00 00 00 00 00 00", false, false, 0},
        {"ca 7f c0 00 00", false, false, 0},
        {"a4 31 32 2e 35", true, false, 12.5},
        {"c4 02 31 32", true, true, 12},
        {"a0", false, false, 0},
        {"c0", false, false, 0},
        {"c3", false, false, 0},
        {"90", false, false, 0},
        {"80", false, false, 0},
        {"d4 01 05", false, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_pack pack = tide_pack_hex(row[i].hex);
        struct tide_cursor cursor = {pack.data, pack.data + pack.len};
        struct tide_value value = {0};
        struct tide_number number;

        assert_true(tide_cursor_read(&cursor, &value));
        if (tide_number_read(&value, &number) != row[i].is_number)
            fail_msg("%s: number or not", row[i].hex);
        if (row[i].is_number && (number.real != row[i].real || number.is_whole != row[i].is_whole))
            fail_msg("%s: %g", row[i].hex, number.real);
        tide_pack_free(&pack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_are_numbers),
        cmocka_unit_test(texts_that_are_none),
        cmocka_unit_test(whole_numbers_stay_exact),
        cmocka_unit_test(random_decimals_read_as_by_the_library),
        cmocka_unit_test(values_that_are_numbers),
    };
    int failed;

    tide_guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
