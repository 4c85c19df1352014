#include "tidemark/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void wrap_puts_the_better_noun_in_front(void **state)
{
    struct tide_err err;

    (void)state;
    tide_err_set(&err, "%s", "No space left on device");
    tide_err_wrap(&err, "map %d GiB", 64);
    tide_err_wrap(&err, "open %s", "/var/lib/tidemark");
    assert_string_equal(err.text, "open /var/lib/tidemark: map 64 GiB: No space left on device");
}

static void wrap_of_silence_adds_no_colon(void **state)
{
    struct tide_err err = {""};

    (void)state;
    tide_err_wrap(&err, "open");
    assert_string_equal(err.text, "open");
}

static void set_may_quote_the_old_text(void **state)
{
    struct tide_err err;

    (void)state;
    tide_err_set(&err, "inner");
    tide_err_set(&err, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
    tide_err_wrap(&err, "<%s>", err.text);
    assert_string_equal(err.text, "<outer (inner)>: outer (inner)");
}

static void text_stays_one_line_within_its_bound(void **state)
{
    char long_text[3 * TIDE_ERR_SIZE];
    struct tide_err err;

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    tide_err_set(&err, "a\nb\r\x1b[31m%s", long_text);
    assert_int_equal(strlen(err.text), TIDE_ERR_SIZE - 1);
    assert_memory_equal(err.text, "a b  [31mx", 10);
    tide_err_wrap(&err, "front");
    assert_int_equal(strlen(err.text), TIDE_ERR_SIZE - 1);
    assert_memory_equal(err.text, "front: a b", 10);
    for (size_t len = TIDE_ERR_SIZE - 5; len < TIDE_ERR_SIZE + 2; len++) {
        tide_err_set(&err, "tail");
        tide_err_wrap(&err, "%.*s", (int)len, long_text);
        assert_true(strlen(err.text) < TIDE_ERR_SIZE);
    }
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    tide_err_set(NULL, "%d", 1);
    tide_err_wrap(NULL, "%d", 2);
}

static void exit_codes_are_the_documented_ones(void **state)
{
    (void)state;
    assert_int_equal(tide_rc_exit(TIDE_OK), 0);
    assert_int_equal(tide_rc_exit(TIDE_DAMAGED), 1);
    assert_int_equal(tide_rc_exit(TIDE_USAGE), 2);
    assert_int_equal(tide_rc_exit(TIDE_LOCKED), 69);
    assert_int_equal(tide_rc_exit(TIDE_UNAVAILABLE), 69);
    assert_int_equal(tide_rc_exit(TIDE_DISK_FULL), 74);
    assert_int_equal(tide_rc_exit(TIDE_IO), 74);
    assert_int_equal(tide_rc_exit(TIDE_CONFIG), 78);
    for (int rc = 0; rc < TIDE_RC_COUNT; rc++) {
        assert_non_null(tide_rc_text((enum tide_rc)rc));
        assert_true((rc == TIDE_OK) == (tide_rc_exit((enum tide_rc)rc) == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrap_puts_the_better_noun_in_front),
        cmocka_unit_test(wrap_of_silence_adds_no_colon),
        cmocka_unit_test(set_may_quote_the_old_text),
        cmocka_unit_test(text_stays_one_line_within_its_bound),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(exit_codes_are_the_documented_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
