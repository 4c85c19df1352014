#include "tidemark/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tidemark/clock.h"

#define MINUTE_US INT64_C(60000000)
#define START_US  INT64_C(1795454102120000) /* 2026-11-23T17:15:02.120Z */

static char output[1 << 16];
static int saved_stderr, capture[2];

static void begin_capture(void)
{
    saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(pipe(capture), 0);
    dup2(capture[1], STDERR_FILENO);
    close(capture[1]);
}

/* What was logged since begin_capture, terminated. */
static const char *end_capture(void)
{
    size_t len = 0;
    ssize_t n;

    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    while ((n = read(capture[0], output + len, sizeof(output) - 1 - len)) > 0)
        len += (size_t)n;
    close(capture[0]);
    output[len] = '\0';
    return output;
}

static int setup(void **state)
{
    (void)state;
    tide_clock_fake(START_US);
    tide_log_set_level(TIDE_INFO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_clock_fake(0);
    return 0;
}

static void line_says_when_how_bad_where_and_what(void **state)
{
    (void)state;
    begin_capture();
    tide_log(TIDE_WARNING, "ingest", "peer %s closed", "127.0.0.1:5170");
    assert_string_equal(end_capture(),
                        "2026-11-23T17:15:02.120Z warning ingest: peer 127.0.0.1:5170 closed\n");
}

static void level_decides_what_is_dropped(void **state)
{
    (void)state;
    begin_capture();
    tide_log(TIDE_DEBUG, "x", "quiet");
    tide_log_set_level(TIDE_DEBUG);
    tide_log(TIDE_DEBUG, "x", "loud");
    tide_log_set_level(TIDE_ERROR);
    tide_log(TIDE_WARNING, "x", "quiet");
    tide_log(TIDE_ERROR, "x", "bad");
    assert_string_equal(end_capture(), "2026-11-23T17:15:02.120Z debug x: loud\n"
                                       "2026-11-23T17:15:02.120Z error x: bad\n");
}

static void bytes_from_outside_cannot_forge_a_line(void **state)
{
    (void)state;
    begin_capture();
    tide_log(TIDE_INFO, "x", "%s", "a\n2026-11-23 error x: b\x1b[2J");
    assert_string_equal(end_capture(),
                        "2026-11-23T17:15:02.120Z info x: a 2026-11-23 error x: b [2J\n");
}

static void endless_text_is_cut_to_one_line(void **state)
{
    char text[10000];

    (void)state;
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    begin_capture();
    tide_log(TIDE_INFO, "x", "%s", text);
    end_capture();
    assert_true(strlen(output) < 2048);
    assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1);
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void gate_holds_a_flood_and_counts_it_into_the_next_minute(void **state)
{
    static struct tide_log_gate gate;

    (void)state;
    begin_capture();
    for (int i = 0; i < 1000; i++)
        tide_log_gated(&gate, TIDE_INFO, "x", "flood");
    assert_int_equal(lines_of(end_capture()), TIDE_LOG_BURST);
    assert_null(strstr(output, "held back"));

    tide_clock_fake(START_US + MINUTE_US);
    begin_capture();
    tide_log_gated(&gate, TIDE_INFO, "x", "drop");
    tide_log_gated(&gate, TIDE_INFO, "x", "drop");
    assert_string_equal(
        end_capture(), "2026-11-23T17:16:02.120Z info x: drop (990 more like this were held back)\n"
                       "2026-11-23T17:16:02.120Z info x: drop\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_says_when_how_bad_where_and_what, setup, teardown),
        cmocka_unit_test_setup_teardown(level_decides_what_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_from_outside_cannot_forge_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(endless_text_is_cut_to_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(gate_holds_a_flood_and_counts_it_into_the_next_minute,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
