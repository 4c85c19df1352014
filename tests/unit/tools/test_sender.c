#include "sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "packer.h"
#include "taker.h"
#include "tidemark/wire.h"

static struct tide_sender *opened(const struct tide_taker *taker, uint32_t window, uint32_t retries,
                                  int timeout_ms)
{
    struct tide_sender_cfg cfg = {.address = tide_taker_address(taker),
                                  .window = window,
                                  .retries = retries,
                                  .timeout_ms = timeout_ms,
                                  .quiet = true};
    struct tide_sender *sender;
    struct tide_err err = {""};

    if (tide_sender_open(&cfg, &sender, &err) != TIDE_OK)
        fail_msg("%s", err.text);
    return sender;
}

/* Puts chunk number seq of three events. */
static void put(struct tide_sender *sender, const char producer[33], uint64_t seq)
{
    struct tide_forward_writer *writer = tide_forward_writer_new();
    struct tide_packer packer = {NULL, 0, 0};
    char id[TIDE_CHUNK_TEXT_SIZE];
    const void *frame;
    size_t len;

    tide_packer_map(&packer, 2);
    tide_packer_text(&packer, "module_id");
    tide_packer_text(&packer, "m");
    tide_packer_text(&packer, "value");
    tide_packer_int(&packer, (int64_t)seq);
    for (int i = 0; i < 3; i++)
        tide_forward_writer_add(writer, 1000000 * i, packer.bytes, packer.len);
    tide_chunk_text(id, producer, 0, seq);
    frame = tide_forward_writer_finish(writer, "t", id, &len);
    tide_sender_put(sender, frame, len, id, 3);
    tide_packer_fini(&packer);
    tide_forward_writer_free(writer);
}

static void sent(struct tide_sender *sender, unsigned chunks)
{
    char producer[33];
    struct tide_err err = {""};

    tide_producer_random(producer);
    for (unsigned seq = 0; seq < chunks; seq++) {
        while (!tide_sender_room(sender))
            if (tide_sender_step(sender, -1, -1, NULL, &err) != TIDE_OK)
                fail_msg("%s", err.text);
        put(sender, producer, seq);
    }
    if (tide_sender_drain(sender, 1, &err) != TIDE_OK)
        fail_msg("%s", err.text);
}

static void everything_is_acked_in_order(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_sender *sender;

    (void)state;
    tide_taker_start(taker);
    sender = opened(taker, 4, 3, 5000);
    sent(sender, 50);
    assert_int_equal(tide_sender_waiting(sender), 0);
    assert_int_equal(tide_sender_counts(sender)->acked_chunks, 50);
    assert_int_equal(tide_sender_counts(sender)->acked_entries, 150);
    assert_int_equal(tide_sender_counts(sender)->resent, 0);
    assert_int_equal(tide_sender_counts(sender)->lost, 0);
    assert_true(tide_sender_connected(sender));
    tide_sender_close(sender);
    tide_taker_stop(taker);
    assert_int_equal(taker->count, 50);
    for (size_t i = 0; i < 50; i++) {
        char end[16];

        snprintf(end, sizeof end, ":0:%zu", i);
        assert_non_null(strstr(taker->taken[i].chunk, end));
        assert_int_equal(strncmp(taker->taken[i].chunk, "v1:", 3), 0);
    }
    tide_taker_free(taker);
}

/* Every chunk that was sent twice was sent with the same bytes; every chunk came. */
static void check_resends(const struct tide_taker *taker, size_t chunks, size_t least_resent)
{
    size_t seen = 0, resent = 0;

    for (size_t i = 0; i < taker->count; i++) {
        bool again = false;

        for (size_t k = 0; k < i && !again; k++) {
            if (strcmp(taker->taken[i].chunk, taker->taken[k].chunk) != 0)
                continue;
            again = true;
            assert_int_equal(taker->taken[i].len, taker->taken[k].len);
            assert_memory_equal(taker->taken[i].bytes, taker->taken[k].bytes, taker->taken[i].len);
            assert_true(taker->taken[i].nth > taker->taken[k].nth);
        }
        seen += !again;
        resent += again;
    }
    assert_int_equal(seen, chunks);
    assert_true(resent >= least_resent);
}

static void a_lost_ack_brings_the_same_bytes_again(void **state)
{
    (void)state;
    for (unsigned window = 1; window <= 5; window++) {
        for (unsigned drop_at = 1; drop_at <= 4; drop_at++) {
            struct tide_taker *taker = tide_taker_new();
            struct tide_sender *sender;

            taker->drop_at = drop_at;
            taker->lost_ack = drop_at % 2;
            tide_taker_start(taker);
            sender = opened(taker, window, 3, 5000);
            sent(sender, 20);
            assert_int_equal(tide_sender_counts(sender)->acked_chunks, 20);
            assert_true(tide_sender_counts(sender)->lost >= 1);
            assert_true(tide_sender_counts(sender)->resent >= 1);
            tide_sender_close(sender);
            tide_taker_stop(taker);
            check_resends(taker, 20, 1);
            tide_taker_free(taker);
        }
    }
}

static void a_mute_server_is_given_up(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_err err = {""};
    struct tide_sender *sender;
    char producer[33];

    (void)state;
    taker->mute = true;
    tide_taker_start(taker);
    sender = opened(taker, 2, 2, 40);
    tide_producer_random(producer);
    put(sender, producer, 0);
    assert_int_equal(tide_sender_drain(sender, 1, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "no ack in time"));
    assert_non_null(strstr(err.text, "1 chunks are not acked, given up after 3 tries"));
    assert_int_equal(tide_sender_waiting(sender), 1);
    tide_sender_close(sender);
    tide_taker_stop(taker);
    check_resends(taker, 1, 2);
    tide_taker_free(taker);
}

static void nonsense_is_not_taken_for_an_ack(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\x81\xa3nak\xa1x",
                                          "\xc1", "\x92\xa4HELO\x80", "\x81\xa3\x61\x63k\x2a"};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct tide_taker *taker = tide_taker_new();
        struct tide_err err = {""};
        struct tide_sender *sender;
        char producer[33];

        taker->nonsense = answers[i];
        tide_taker_start(taker);
        sender = opened(taker, 1, 0, 5000);
        tide_producer_random(producer);
        put(sender, producer, 0);
        assert_int_equal(tide_sender_drain(sender, 1, &err), TIDE_UNAVAILABLE);
        assert_int_equal(tide_sender_counts(sender)->acked_chunks, 0);
        tide_sender_close(sender);
        tide_taker_stop(taker);
        tide_taker_free(taker);
    }
}

static void an_ack_of_another_chunk_is_not_ours(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_err err = {""};
    struct tide_sender *sender;
    char producer[33];

    (void)state;
    taker->nonsense = "\x81\xa3"
                      "ack\xa5other";
    tide_taker_start(taker);
    sender = opened(taker, 1, 0, 60);
    tide_producer_random(producer);
    put(sender, producer, 0);
    assert_int_equal(tide_sender_drain(sender, 1, &err), TIDE_UNAVAILABLE);
    assert_int_equal(tide_sender_counts(sender)->acked_chunks, 0);
    tide_sender_close(sender);
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void nobody_there_is_said_at_once(void **state)
{
    struct tide_sender_cfg cfg = {
        .address = "127.0.0.1:1", .window = 1, .retries = 100, .timeout_ms = 1000};
    struct tide_sender *sender;
    struct tide_err err = {""};

    (void)state;
    assert_int_equal(tide_sender_open(&cfg, &sender, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "start tidemarkd"));
    cfg.address = "nonsense";
    assert_int_equal(tide_sender_open(&cfg, &sender, &err), TIDE_USAGE);
}

static void another_descriptor_wakes_the_step(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_sender *sender;
    struct tide_err err = {""};
    bool ready;
    int ends[2];

    (void)state;
    tide_taker_start(taker);
    sender = opened(taker, 1, 0, 5000);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(tide_sender_step(sender, ends[0], 10, &ready, &err), TIDE_OK);
    assert_false(ready);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(tide_sender_step(sender, ends[0], -1, &ready, &err), TIDE_OK);
    assert_true(ready);
    close(ends[0]);
    close(ends[1]);
    tide_sender_close(sender);
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void producers_are_32_hex_digits(void **state)
{
    char a[33], b[33];

    (void)state;
    tide_producer_random(a);
    tide_producer_random(b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
    tide_producer_from("nightly", a);
    tide_producer_from("nightly", b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_equal(a, b);
    tide_producer_from("nightlz", b);
    assert_string_not_equal(a, b);
    tide_producer_from("0123456789abcdef0123456789abcdef", a);
    assert_string_equal(a, "0123456789abcdef0123456789abcdef");
}

static void a_producers_name_means_the_same_for_ever(void **state)
{
    char producer[33];

    (void)state;
    tide_producer_from("nightly-import", producer);
    assert_string_equal(producer, "23e6a309d370d6330ba469a52a2bdaa2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_acked_in_order),
        cmocka_unit_test(a_lost_ack_brings_the_same_bytes_again),
        cmocka_unit_test(a_mute_server_is_given_up),
        cmocka_unit_test(nonsense_is_not_taken_for_an_ack),
        cmocka_unit_test(an_ack_of_another_chunk_is_not_ours),
        cmocka_unit_test(nobody_there_is_said_at_once),
        cmocka_unit_test(another_descriptor_wakes_the_step),
        cmocka_unit_test(producers_are_32_hex_digits),
        cmocka_unit_test(a_producers_name_means_the_same_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
