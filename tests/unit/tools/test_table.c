#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "spark.h"

static char *printed(const struct tide_table *table, bool colour)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    tide_table_print(table, out, colour, "\n");
    fclose(out);
    return text;
}

static void columns_align_whatever_the_script(void **state)
{
    static const char *const names[] = {"auth", "zahlungs\xc3\xbc\x62\x65rsicht",
                                        "\xe6\x94\xaf\xe6\x89\x95", /* two wide characters */
                                        "cafe\xcc\x81" /* e and a combining acute */};
    static const size_t widths[] = {4, 17, 4, 4};
    struct tide_table *table = tide_table_new();
    char *text, *line;
    size_t first_end = 0;

    (void)state;
    tide_table_column(table, "module", TIDE_LEFT, 0);
    tide_table_column(table, "n", TIDE_RIGHT, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tide_text_width(names[i]), widths[i]);
        tide_table_row(table);
        tide_table_cell(table, names[i]);
        tide_table_cell(table, i % 2 ? "7" : "1234");
    }
    text = printed(table, false);
    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t width = tide_text_width(line);

        assert_true(first_end == 0 || width == first_end); /* the last column is right-aligned */
        first_end = width;
    }
    assert_int_equal(first_end, 17 + 2 + 4);
    free(text);
    tide_table_free(table);
}

static void lines_have_no_trailing_blanks(void **state)
{
    struct tide_table *table = tide_table_new();
    char *text;

    (void)state;
    tide_table_column(table, "a", TIDE_LEFT, 0);
    tide_table_column(table, "b", TIDE_LEFT, 0);
    tide_table_column(table, "", TIDE_LEFT, 0);
    tide_table_row(table);
    tide_table_cell(table, "long cell");
    tide_table_row(table);
    tide_table_cell(table, "x");
    tide_table_cell(table, "y");
    tide_table_cell(table, "z");
    text = printed(table, false);
    assert_string_equal(text, "a          b\nlong cell\nx          y  z\n");
    free(text);
    tide_table_free(table);
}

static void a_peer_cannot_talk_to_the_terminal(void **state)
{
    char out[64];

    (void)state;
    tide_text_clean(out, sizeof out, "a\033[31mb\007\tc\x7f");
    assert_string_equal(out, "a?[31mb?\?c?");
    tide_text_clean(out, sizeof out,
                    "\xc2\x9b"
                    "2J"); /* the one-character CSI */
    assert_string_equal(out, "?2J");
    tide_text_clean(out, sizeof out,
                    "x\xe2\x80\xae"
                    "y"); /* right-to-left override */
    assert_string_equal(out, "x?y");
    tide_text_clean(out, sizeof out, "ok \xc3\xa4 \xf0\x9f\x9a\x80");
    assert_string_equal(out, "ok \xc3\xa4 \xf0\x9f\x9a\x80");
}

static void broken_utf8_costs_only_itself(void **state)
{
    char out[64];

    (void)state;
    tide_text_clean(out, sizeof out,
                    "a\xff"
                    "b\xc3");
    assert_string_equal(out, "a?b?");
    tide_text_clean(out, sizeof out,
                    "\xe2\x82z\xc0\x80\xed\xa0\x80!"); /* cut, overlong, surrogate */
    assert_string_equal(out, "?z?\?!");
    tide_text_clean(out, 4, "ab\xc3\xa4"); /* never half a character */
    assert_string_equal(out, "ab");
}

static void wide_cells_are_cut(void **state)
{
    struct tide_table *table = tide_table_new();
    char *text;

    (void)state;
    tide_table_column(table, "m", TIDE_LEFT, 5);
    tide_table_row(table);
    tide_table_cell(table, "abcdefgh");
    tide_table_row(table);
    tide_table_cell(table, "\xe6\x94\xaf\xe6\x89\x95\xe6\x94\xaf\xe6\x89\x95");
    tide_table_row(table);
    tide_table_cell(table, "abcde");
    text = printed(table, false);
    assert_string_equal(text, "m\nabcd~\n\xe6\x94\xaf\xe6\x89\x95~\nabcde\n");
    free(text);
    tide_table_free(table);
}

static void colour_does_not_move_columns(void **state)
{
    struct tide_table *table = tide_table_new();
    char *text;

    (void)state;
    tide_table_column(table, "s", TIDE_LEFT, 0);
    tide_table_column(table, "n", TIDE_RIGHT, 0);
    tide_table_row(table);
    tide_table_cell(table, "critical");
    tide_table_colour(table, tide_status_colour("critical"));
    tide_table_cell(table, "5");
    text = printed(table, true);
    assert_non_null(strstr(text, "\033[31mcritical\033[0m  5\n"));
    free(text);
    text = printed(table, false);
    assert_null(strchr(text, '\033'));
    free(text);
    tide_table_free(table);
    assert_int_equal(tide_status_colour("healthy"), TIDE_GREEN);
    assert_int_equal(tide_status_colour("what"), TIDE_PLAIN_TEXT);
}

static void a_file_gets_no_colour(void **state)
{
    FILE *file = tmpfile();

    (void)state;
    assert_false(tide_wants_colour(file));
    fclose(file);
}

static void the_locale_says_whether_bars_are_unicode(void **state)
{
    (void)state;
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setenv("LANG", "C", 1);
    assert_false(tide_wants_unicode());
    setenv("LANG", "de_DE.UTF-8", 1);
    assert_true(tide_wants_unicode());
    setenv("LC_ALL", "POSIX", 1);
    assert_false(tide_wants_unicode());
    unsetenv("LC_ALL");
}

static void figures_read_well(void **state)
{
    static const struct {
        char *(*human)(char *, double);
        double value;
        const char *text;
    } cases[] = {{tide_human_ms, .35, "350 us"},
                 {tide_human_ms, 12.34, "12.3 ms"},
                 {tide_human_ms, 999.96, "1.00 s"},
                 {tide_human_ms, 90000, "1.50 min"},
                 {tide_human_ms, 0, "0 ms"},
                 {tide_human_ms, NAN, "-"},
                 {tide_human_count, 0, "0"},
                 {tide_human_count, 123456, "123456"},
                 {tide_human_count, 1234567, "1.23 M"},
                 {tide_human_count, 999999.7, "1.00 M"},
                 {tide_human_count, NAN, "-"},
                 {tide_human_bytes, 512, "512 B"},
                 {tide_human_bytes, 1536, "1.50 KiB"},
                 {tide_human_bytes, 3e9, "2.79 GiB"},
                 {tide_human_bytes, NAN, "-"},
                 {tide_human_share, .0123, "1.23 %"},
                 {tide_human_share, 0, "0 %"},
                 {tide_human_percent, 99.99, "100 %"},
                 {tide_human_rate, 12.34, "12.3/s"},
                 {tide_human_rate, 12345, "12.3 k/s"},
                 {tide_human_score, 92.4, "92"},
                 {tide_human_score, NAN, "-"},
                 {tide_human_span, 30, "30 s"},
                 {tide_human_span, 300, "5.00 min"},
                 {tide_human_span, 86400, "1.00 d"},
                 {tide_human_span, NAN, "-"}};
    char text[TIDE_HUMAN_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(cases[i].human(text, cases[i].value), cases[i].text);
}

static void a_spark_shows_height_gaps_and_zero(void **state)
{
    static const double series[] = {0, 1, NAN, 4, 8};
    char text[TIDE_SPARK_SIZE];

    (void)state;
    assert_string_equal(tide_spark(text, series, 5, 72, true),
                        "\xe2\x96\x81\xe2\x96\x81 \xe2\x96\x84\xe2\x96\x88");
    assert_string_equal(tide_spark(text, series, 5, 72, false), "__ -#");
    assert_string_equal(tide_spark(text, series, 0, 72, false), "");
}

static void a_long_series_keeps_its_peaks(void **state)
{
    double series[1000] = {0};
    char text[TIDE_SPARK_SIZE];

    (void)state;
    series[777] = 5;
    tide_spark(text, series, 1000, 50, false);
    assert_int_equal(strlen(text), 50);
    assert_non_null(strchr(text, '#'));
    for (int i = 0; i < 1000; i++)
        series[i] = NAN;
    tide_spark(text, series, 1000, 50, false);
    assert_int_equal(strspn(text, " "), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_align_whatever_the_script),
        cmocka_unit_test(lines_have_no_trailing_blanks),
        cmocka_unit_test(a_peer_cannot_talk_to_the_terminal),
        cmocka_unit_test(broken_utf8_costs_only_itself),
        cmocka_unit_test(wide_cells_are_cut),
        cmocka_unit_test(colour_does_not_move_columns),
        cmocka_unit_test(a_file_gets_no_colour),
        cmocka_unit_test(the_locale_says_whether_bars_are_unicode),
        cmocka_unit_test(figures_read_well),
        cmocka_unit_test(a_spark_shows_height_gaps_and_zero),
        cmocka_unit_test(a_long_series_keeps_its_peaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
