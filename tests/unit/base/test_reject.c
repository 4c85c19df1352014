#include "tidemark/reject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/clock.h"

static struct tide_reject list[TIDE_REJECT_RING];

static int setup(void **state)
{
    (void)state;
    tide_reject_clear();
    return 0;
}

static const struct tide_reject *noted(const void *tag, size_t tag_len, const void *excerpt,
                                       size_t excerpt_len)
{
    uint64_t total;

    tide_reject_clear();
    tide_reject_note("bad_time", "127.0.0.1:5170", tag, tag_len, excerpt, excerpt_len);
    assert_int_equal(tide_reject_list(list, &total), 1);
    assert_int_equal(total, 1);
    return &list[0];
}

static void newest_comes_first_and_only_the_last_hundred_stay(void **state)
{
    uint64_t total;
    char text[16];

    (void)state;
    assert_int_equal(tide_reject_list(list, &total), 0);
    for (int i = 0; i < 250; i++) {
        snprintf(text, sizeof(text), "%d", i);
        tide_reject_note("truncated", "peer", "t", 1, text, strlen(text));
    }
    assert_int_equal(tide_reject_list(list, &total), TIDE_REJECT_RING);
    assert_int_equal(total, 250);
    assert_string_equal(list[0].excerpt, "249");
    assert_string_equal(list[99].excerpt, "150");
    assert_string_equal(list[0].reason, "truncated");
    assert_true(llabs((long long)(list[0].time_us - tide_clock_wall_us())) < 60000000);
}

static void excerpt_shows_any_byte(void **state)
{
    (void)state;
    assert_string_equal(noted("", 0, "a\x00\x81\\\"\x7f~\n", 8)->excerpt,
                        "a\\x00\\x81\\\\\"\\x7f~\\x0a");
}

static void excerpt_is_cut_between_escapes(void **state)
{
    char bytes[TIDE_REJECT_TEXT * 2];
    const struct tide_reject *note;

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    note = noted("", 0, bytes, sizeof(bytes));
    assert_int_equal(strlen(note->excerpt), (TIDE_REJECT_TEXT - 1) / 4 * 4);
    memset(bytes, 'x', sizeof(bytes));
    note = noted("", 0, bytes, sizeof(bytes));
    assert_int_equal(strlen(note->excerpt), TIDE_REJECT_TEXT - 1);
}

static void tag_is_valid_utf8_whatever_came(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"app.\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a", "app.\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a"},
        {"a\xff", "a\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc3x", "\xef\xbf\xbdx"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
        {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* too far */
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(noted(cases[i].in, strlen(cases[i].in), "", 0)->tag, cases[i].out);
    assert_string_equal(noted("a\0b", 3, "", 0)->tag, "a\xef\xbf\xbd"
                                                      "b");
}

static void tag_is_cut_between_characters(void **state)
{
    char tag[256], *exact;
    size_t len = 0;
    const struct tide_reject *note;

    (void)state;
    tag[len++] = 'a';
    while (len + 2 < sizeof(tag)) {
        tag[len++] = '\xc3';
        tag[len++] = '\xa9';
    }
    exact = malloc(len); /* a look behind the end is the sanitizer's find */
    memcpy(exact, tag, len);
    note = noted(exact, len, exact, len);
    assert_int_equal(strlen(note->tag), 127);
    assert_memory_equal(note->tag, tag, 127);
    free(exact);
}

static void long_peer_is_cut(void **state)
{
    char peer[200];
    uint64_t total;

    (void)state;
    memset(peer, 'p', sizeof(peer) - 1);
    peer[sizeof(peer) - 1] = '\0';
    tide_reject_note("bad_time", peer, NULL, 0, NULL, 0);
    tide_reject_list(list, &total);
    assert_int_equal(strlen(list[0].peer), sizeof(list[0].peer) - 1);
}

static void *note_many(void *arg)
{
    const char *peer = arg;

    for (int i = 0; i < 2000; i++)
        tide_reject_note(peer, peer, peer, strlen(peer), peer, strlen(peer));
    return NULL;
}

static void notes_of_two_threads_never_mix(void **state)
{
    pthread_t a, b;
    uint64_t total;
    size_t count;

    (void)state;
    assert_int_equal(pthread_create(&a, NULL, note_many, (void *)"alpha"), 0);
    assert_int_equal(pthread_create(&b, NULL, note_many, (void *)"beta"), 0);
    for (int round = 0; round < 50; round++) {
        count = tide_reject_list(list, &total);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(list[i].peer, list[i].reason);
            assert_string_equal(list[i].tag, list[i].reason);
            assert_string_equal(list[i].excerpt, list[i].reason);
        }
    }
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    tide_reject_list(list, &total);
    assert_int_equal(total, 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(newest_comes_first_and_only_the_last_hundred_stay, setup),
        cmocka_unit_test_setup(excerpt_shows_any_byte, setup),
        cmocka_unit_test_setup(excerpt_is_cut_between_escapes, setup),
        cmocka_unit_test_setup(tag_is_valid_utf8_whatever_came, setup),
        cmocka_unit_test_setup(tag_is_cut_between_characters, setup),
        cmocka_unit_test_setup(long_peer_is_cut, setup),
        cmocka_unit_test_setup(notes_of_two_threads_never_mix, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
