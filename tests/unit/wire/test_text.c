#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include "guard.h"

static struct tide_guard guard;

static bool is_name(const char *text, size_t len)
{
    return tide_text_is_name((const char *)tide_guard_place(&guard, text, len), len);
}

static void names_are_clean_and_of_bounded_length(void **state)
{
    char text[200];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(is_name(text, 0));
    for (size_t len = 1; len <= 128; len++)
        assert_true(is_name(text, len));
    assert_false(is_name(text, 129));
    assert_true(is_name("a b~ .-_/:", 10));
    assert_true(is_name("m\xc3\xb6"
                        "dul",
                        6));
    assert_true(is_name("\xe4\xb8\xad\xe6\x96\x87", 6));
    assert_true(is_name("\xf0\x9f\x8c\x8a", 4));
    assert_true(is_name("\xc2\xa0", 2)); /* the first after C1 */
}

/* Wherever the bad byte stands, however long the name: the fast look sees every byte. */
static void control_characters_are_seen_at_every_place(void **state)
{
    static const char *const bad[] = {"\x01",     "\x1f", "\n",   "\x7f", "\xc2\x80",
                                      "\xc2\x9f", "\xff", "\x80", "\xc3"};
    char text[64];

    (void)state;
    for (size_t b = 0; b < sizeof(bad) / sizeof(bad[0]); b++) {
        size_t size = strlen(bad[b]);

        for (size_t len = size; len <= 40; len++) {
            for (size_t at = 0; at + size <= len; at++) {
                memset(text, '~', sizeof(text));
                memcpy(text + at, bad[b], size);
                if (is_name(text, len))
                    fail_msg("bad %zu at %zu of %zu", b, at, len);
            }
        }
    }
    assert_false(is_name("a\0b", 3));
}

static void utf8_is_taken_strictly(void **state)
{
    static const char *const bad[] = {
        "\xc0\xaf",         "\xc1\xbf",
        "\xe0\x80\xaf",     "\xe0\x9f\xbf",
        "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",     "\xed\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xe4\xb8",         "\xf0\x9f\x8c",
        "\xc3\x28",         "\xfe",
        "\xe4\xb8\x28",
    };
    static const char *const good[] = {"\xdf\xbf",        "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xee\x80\x80",    "\xef\xbf\xbf", "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(is_name(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(is_name(good[i], strlen(good[i])));
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    assert_int_equal(tide_text_cut("abcdef", 6, 6), 6);
    assert_int_equal(tide_text_cut("abcdef", 6, 4), 4);
    assert_int_equal(tide_text_cut("ab\xc3\xb6z", 5, 3), 2);
    assert_int_equal(tide_text_cut("ab\xc3\xb6z", 5, 4), 4);
    assert_int_equal(tide_text_cut("a\xe4\xb8\xadz", 5, 3), 1);
    assert_int_equal(tide_text_cut("\xf0\x9f\x8c\x8azz", 6, 3), 0);
    assert_int_equal(tide_text_cut("\x80\x80\x80\x80\x80\x80", 6, 5),
                     5); /* no UTF-8: cut anywhere */
    assert_int_equal(tide_text_cut("\x80\x80\x80", 3, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_clean_and_of_bounded_length),
        cmocka_unit_test(control_characters_are_seen_at_every_place),
        cmocka_unit_test(utf8_is_taken_strictly),
        cmocka_unit_test(a_cut_never_splits_a_character),
    };
    int failed;

    tide_guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
