/* The whole command, with its own standard input, against a taker. */
#include "intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "taker.h"
#include "tidemark.h"
#include "tidemark/wire.h"

struct ran {
    int code;
    char out[4096], err[4096];
};

/* Points fd at a fresh temporary file; returns a copy of what it was. */
static int redirect(int fd, FILE *to)
{
    int saved = dup(fd);

    fflush(stdout);
    fflush(stderr);
    dup2(fileno(to), fd);
    return saved;
}

static void restore(int fd, int saved, FILE *from, char *text, size_t size)
{
    size_t got = 0;

    fflush(stdout);
    fflush(stderr);
    dup2(saved, fd);
    close(saved);
    if (text) {
        rewind(from);
        got = fread(text, 1, size - 1, from);
        text[got] = '\0';
    }
    fclose(from);
}

/* tidemark send --forward <taker> <words> with input[0, len) on its standard input. */
static struct ran send_input(const struct tide_taker *taker, const void *input, size_t len,
                             const char *words)
{
    char copy[512], *argv[32] = {(char *)"tidemark", (char *)"send", (char *)"--forward",
                                 (char *)(uintptr_t)tide_taker_address(taker)};
    FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
    struct ran ran;
    int argc = 4, saved[3];

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    assert_int_equal(fwrite(input, 1, len, in), len);
    fflush(in);
    lseek(fileno(in), 0, SEEK_SET);
    saved[0] = redirect(STDIN_FILENO, in);
    saved[1] = redirect(STDOUT_FILENO, out);
    saved[2] = redirect(STDERR_FILENO, err);
    ran.code = tide_tool_main(argc, argv);
    restore(STDIN_FILENO, saved[0], in, NULL, 0);
    restore(STDOUT_FILENO, saved[1], out, ran.out, sizeof ran.out);
    restore(STDERR_FILENO, saved[2], err, ran.err, sizeof ran.err);
    return ran;
}

static struct ran send_text(const struct tide_taker *taker, const char *text, const char *words)
{
    return send_input(taker, text, strlen(text), words);
}

/* Seconds of the EventTime of entry `index` in a request. */
static uint32_t entry_second(const struct tide_taken *taken, unsigned index)
{
    static const uint8_t head[] = {0x92, 0xd7, 0x00};
    const uint8_t *at = taken->bytes;

    for (;; index--) {
        at = memmem(at, taken->len - (size_t)(at - taken->bytes), head, sizeof head);
        assert_non_null(at);
        at += sizeof head;
        if (index == 0)
            return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
}

static struct tide_taker *taking(void)
{
    struct tide_taker *taker = tide_taker_new();

    tide_taker_start(taker);
    return taker;
}

static void lines_become_chunks_and_success_means_acked(void **state)
{
    struct tide_taker *taker = taking();
    struct ran ran =
        send_text(taker, "{\"module_id\":\"a\"}\n\n{\"module_id\":\"b\"}\r\n{\"x\":[1,{}]}",
                  "--chunk-events 2 --json --tag my.tag");

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_non_null(
        strstr(ran.out, "\"acked_events\": 3, \"acked_chunks\": 2, \"unacked_events\": 0"));
    assert_non_null(strstr(ran.out, "\"complete\": true"));
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 2);
    assert_non_null(memmem(taker->taken[0].bytes, taker->taken[0].len, "\xa6my.tag", 7));
    assert_non_null(memmem(taker->taken[0].bytes, taker->taken[0].len,
                           "\x81\xa9module_id\xa1"
                           "a",
                           13));
    assert_non_null(memmem(taker->taken[1].bytes, taker->taken[1].len, "\x81\xa1x\x92\x01\x80", 6));
    tide_taker_free(taker);
}

static void no_input_is_success(void **state)
{
    struct tide_taker *taker = taking();

    (void)state;
    assert_int_equal(send_text(taker, "", "").code, 0);
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 0);
    tide_taker_free(taker);
}

static void a_bad_line_stops_the_run_behind_what_was_good(void **state)
{
    struct tide_taker *taker = taking();
    struct ran ran = send_text(taker, "{\"n\":1}\n{\"n\":2}\n{\"n\":\n{\"n\":4}\n", "");

    (void)state;
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "line 3: column"));
    assert_non_null(strstr(ran.err, "2 events acked"));
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 1);
    assert_non_null(memmem(taker->taken[0].bytes, taker->taken[0].len, "\x81\xa1n\x02", 4));
    assert_null(memmem(taker->taken[0].bytes, taker->taken[0].len, "\x81\xa1n\x04", 4));
    tide_taker_free(taker);
}

static void bad_lines_may_be_skipped_and_are_counted(void **state)
{
    struct tide_taker *taker = taking();
    struct ran ran = send_text(
        taker, "{\"n\":1}\n[2]\nthree\n{\"n\":4,\"timestamp\":\"yesterday\"}\n{\"n\":5}\n",
        "--skip-bad --json");

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_non_null(strstr(ran.err, "line 2: expected a JSON object; skipped"));
    assert_non_null(strstr(ran.err, "line 3: "));
    assert_non_null(strstr(ran.err, "line 4: timestamp is no time"));
    assert_non_null(strstr(ran.out, "\"acked_events\": 2"));
    assert_non_null(strstr(ran.out, "\"bad_records\": 3"));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void with_a_producer_a_rerun_is_byte_for_byte_the_same(void **state)
{
    static const char input[] = "{\"n\":1}\n{\"n\":2,\"timestamp\":1790000000.25}\n{\"n\":3}\n";
    struct tide_taker *taker = taking();

    (void)state;
    assert_int_equal(send_text(taker, input, "--producer nightly --chunk-events 2").code, 0);
    assert_int_equal(send_text(taker, input, "--producer nightly --chunk-events 2").code, 0);
    assert_int_equal(send_text(taker, input, "--producer nightly --chunk-events 2 --epoch 1").code,
                     0);
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 6);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(taker->taken[i].chunk, taker->taken[i + 2].chunk);
        assert_int_equal(taker->taken[i].len, taker->taken[i + 2].len);
        assert_memory_equal(taker->taken[i].bytes, taker->taken[i + 2].bytes, taker->taken[i].len);
        assert_string_not_equal(taker->taken[i].chunk, taker->taken[i + 4].chunk);
    }
    assert_int_equal(entry_second(&taker->taken[0], 0), 0);
    assert_int_equal(entry_second(&taker->taken[0], 1), 1790000000);
    tide_taker_free(taker);
}

static void with_a_producer_a_cut_chunk_is_never_sent(void **state)
{
    struct tide_taker *taker = taking();
    struct ran ran = send_text(taker, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\nbad\n",
                               "--producer nightly --chunk-events 2");

    (void)state;
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "1 events not acked"));
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 1); /* a corrected line would give that seq another payload */
    tide_taker_free(taker);
}

static void times_are_read_in_every_form(void **state)
{
    static const struct {
        const char *line;
        uint32_t second;
    } cases[] = {{"{\"timestamp\":\"2026-11-23T17:15:02.5Z\"}", 1795454102},
                 {"{\"timestamp\":1795454102}", 1795454102},
                 {"{\"timestamp\":1795454102123}", 1795454102},
                 {"{\"timestamp\":\"1795454102.75\"}", 1795454102},
                 {"{\"time\":1795454102}", 1795454102},
                 {"{\"time\":\"12 ms\"}", 0},
                 {"{\"time\":5,\"timestamp\":6}", 6},
                 {"{}", 0}};
    struct tide_taker *taker = taking();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(send_text(taker, cases[i].line, "--producer p").code, 0);
    tide_taker_stop(taker);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(entry_second(&taker->taken[i], 0), cases[i].second);
    tide_taker_free(taker);
}

static void without_a_producer_an_event_is_now(void **state)
{
    struct tide_taker *taker = taking();

    (void)state;
    assert_int_equal(send_text(taker, "{}\n", "").code, 0);
    tide_taker_stop(taker);
    assert_true(entry_second(&taker->taken[0], 0) > 1700000000);
    tide_taker_free(taker);
}

static void msgpack_maps_are_taken_as_they_are(void **state)
{
    static const char input[] =
        "\x81\xa1n\x01\x82\xa9timestamp\xce\x6b\x04\x4b\x96\xa1x\xcb\x3f\xf0\0\0\0\0\0\0";
    struct tide_taker *taker = taking();

    (void)state;
    assert_int_equal(
        send_input(taker, input, sizeof input - 1, "--format msgpack --producer p").code, 0);
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 1);
    assert_non_null(
        memmem(taker->taken[0].bytes, taker->taken[0].len, input + 4, sizeof input - 5));
    assert_int_equal(entry_second(&taker->taken[0], 0), 0);
    assert_int_equal(entry_second(&taker->taken[0], 1), 0x6b044b96);
    tide_taker_free(taker);
}

static void broken_msgpack_is_said(void **state)
{
    static const struct {
        const char *input;
        size_t len;
        const char *says;
    } cases[] = {{"\x81\xa1n\x01\x05", 5, "record 2: expected a msgpack map"},
                 {"\x81\xa1n\x01\xc1", 5, "record 2: no msgpack"},
                 {"\x81\xa1n\x01\x82\xa1n", 7, "record 2: the input ends in the middle of it"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tide_taker *taker = taking();
        struct ran ran = send_input(taker, cases[i].input, cases[i].len, "--format msgpack");

        assert_int_equal(ran.code, 1);
        if (!strstr(ran.err, cases[i].says))
            fail_msg("case %zu says %s", i, ran.err);
        assert_non_null(strstr(ran.err, "1 events acked"));
        tide_taker_stop(taker);
        tide_taker_free(taker);
    }
}

static void a_long_line_is_refused_and_the_next_one_taken(void **state)
{
    size_t len = 3 * TIDE_RECORD_MAX;
    char *input = malloc(len + 64);
    struct tide_taker *taker = taking();
    struct ran ran;

    (void)state;
    assert_non_null(input);
    memset(input, ' ', len);
    memcpy(input, "{\"n\":1}\n{", 9);
    strcpy(input + len, "}\n{\"n\":3}\n");
    ran = send_text(taker, input, "--skip-bad --json");
    free(input);
    assert_int_equal(ran.code, 0);
    assert_non_null(strstr(ran.err, "line 2: longer than 1048576 bytes"));
    assert_non_null(strstr(ran.out, "\"acked_events\": 2"));
    assert_non_null(strstr(ran.out, "\"bad_records\": 1"));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void deep_records_are_refused(void **state)
{
    char input[4096] = "{\"a\":";
    struct tide_taker *taker = taking();
    struct ran ran;

    (void)state;
    memset(input + 5, '[', 100);
    memset(input + 105, ']', 100);
    strcpy(input + 205, "}\n");
    ran = send_text(taker, input, "");
    assert_int_equal(ran.code, 1);
    assert_non_null(strstr(ran.err, "line 1: nested deeper than"));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void a_lost_ack_within_a_run_is_sent_again(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct ran ran;

    (void)state;
    taker->drop_at = 1;
    tide_taker_start(taker);
    ran = send_text(taker, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", "--chunk-events 1 --json");
    assert_int_equal(ran.code, 0);
    assert_non_null(strstr(ran.out, "\"acked_events\": 3"));
    tide_taker_stop(taker);
    assert_true(taker->count >= 4);
    for (size_t i = 1; i < taker->count; i++)
        if (strcmp(taker->taken[i].chunk, taker->taken[0].chunk) == 0)
            assert_memory_equal(taker->taken[i].bytes, taker->taken[0].bytes, taker->taken[0].len);
    tide_taker_free(taker);
}

static void what_is_not_acked_is_no_success(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct ran ran;

    (void)state;
    taker->mute = true;
    tide_taker_start(taker);
    ran = send_text(taker, "{\"n\":1}\n", "--retry 0 --timeout 30ms --json");
    assert_int_equal(ran.code, 69);
    assert_non_null(strstr(ran.out, "\"unacked_events\": 1"));
    assert_non_null(strstr(ran.out, "\"complete\": false"));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_chunks_and_success_means_acked),
        cmocka_unit_test(no_input_is_success),
        cmocka_unit_test(a_bad_line_stops_the_run_behind_what_was_good),
        cmocka_unit_test(bad_lines_may_be_skipped_and_are_counted),
        cmocka_unit_test(with_a_producer_a_rerun_is_byte_for_byte_the_same),
        cmocka_unit_test(with_a_producer_a_cut_chunk_is_never_sent),
        cmocka_unit_test(times_are_read_in_every_form),
        cmocka_unit_test(without_a_producer_an_event_is_now),
        cmocka_unit_test(msgpack_maps_are_taken_as_they_are),
        cmocka_unit_test(broken_msgpack_is_said),
        cmocka_unit_test(a_long_line_is_refused_and_the_next_one_taken),
        cmocka_unit_test(deep_records_are_refused),
        cmocka_unit_test(a_lost_ack_within_a_run_is_sent_again),
        cmocka_unit_test(what_is_not_acked_is_no_success),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
