/* Parcels coming home: who is answered, with which bytes, in which order. */
#include "fixture.h"

static void acks_come_in_order_byte_for_byte(void **state)
{
    struct bytes out = {0}, want = {0};
    uint8_t *got;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){.parcels = 256});
    puppet_allow(0);
    fd = dial();
    for (int i = 0; i < 200; i++) {
        char chunk[300];

        memset(chunk, 'a' + i % 26, sizeof(chunk));
        snprintf(chunk, sizeof(chunk), "%03d", i);
        chunk[3] = '\n'; /* fluentd's ids end in one: nothing may be trimmed */
        chunk[12 + i] = '\0';
        put_message(&out, "auth", chunk);
        put_ack(&want, chunk);
    }
    say_bytes(fd, &out);
    wait_until(posted() == 200);
    assert_true(silent(fd)); /* nothing before its commit */
    for (uint64_t home_before = 0; home_before < 200; home_before += 50) {
        puppet_allow(50);
        wait_until(home() == home_before + 50);
    }
    got = malloc(want.len);
    hear(fd, got, want.len);
    assert_memory_equal(got, want.data, want.len);
    assert_true(silent(fd));
    close(fd);
    free(got);
    free(out.data);
    free(want.data);
}

/* A lone ack must arrive as a whole: one receive sees all of it. */
static void lone_ack_comes_in_one_piece(void **state)
{
    struct bytes out = {0}, want = {0};
    uint8_t got[512];
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    for (int i = 0; i < 300; i++) {
        char chunk[32];

        snprintf(chunk, sizeof(chunk), "one-piece-%d", i);
        want.len = 0;
        put_message(&out, "auth", chunk);
        put_ack(&want, chunk);
        say_bytes(fd, &out);
        assert_int_equal(recv(fd, got, sizeof(got), 0), want.len);
        assert_memory_equal(got, want.data, want.len);
    }
    close(fd);
    free(out.data);
    free(want.data);
}

static void chunk_is_echoed_as_the_type_it_had(void **state)
{
    static const struct {
        const char *value;
        size_t len;
        bool identity;
    } chunk[] = {
        {"\xc4\x09"
         "bin-chunk",
         11, true},
        {"\xce\x01\x02\x03\x04", 5, false},
        {"\xa5"
         "short",
         6, false},
        {"\xa0", 1, false},
        {"\xa8"
         "eight-by",
         9, true},
    };
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    for (size_t i = 0; i < sizeof(chunk) / sizeof(chunk[0]); i++) {
        uint8_t got[32];

        put(&out,
            "\x93\xa1t\x90\x81\xa5"
            "chunk",
            11); /* [t, [], {chunk: ...}]: no entries */
        put(&out, chunk[i].value, chunk[i].len);
        say_bytes(fd, &out);
        hear(fd, got, 5 + chunk[i].len);
        assert_memory_equal(got,
                            "\x81\xa3"
                            "ack",
                            5);
        assert_memory_equal(got + 5, chunk[i].value, chunk[i].len);
        assert_int_equal(puppet.note[i].has_identity, chunk[i].identity);
    }
    assert_true(silent(fd));
    close(fd);
    free(out.data);
}

static void nothing_is_said_to_requests_without_chunk(void **state)
{
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    put_message(&out, "auth", NULL);
    put_packed(&out, "m", 10, 2, 0, NULL);
    say_bytes(fd, &out);
    wait_until(stored() == 11 && home() == posted());
    exchange(fd, "the-first-words"); /* nothing was said before them */
    close(fd);
    free(out.data);
}

static void duplicate_is_acked_too(void **state)
{
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_set_fate(TIDE_FATE_DUPLICATE);
    fd = dial();
    exchange(fd, "seen-before");
    close(fd);
}

static void dropped_parcel_closes_its_connection_without_ack(void **state)
{
    struct bytes out = {0};
    int unlucky, other;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    unlucky = dial();
    other = dial();
    exchange(other, "other-before");
    puppet_set_fate(TIDE_FATE_DROPPED);
    put_message(&out, "auth", "unlucky-chunk");
    say_bytes(unlucky, &out);
    hear_end(unlucky);
    puppet_set_fate(TIDE_FATE_COMMITTED);
    exchange(other, "other-after");
    close(unlucky);
    close(other);
    free(out.data);
}

static void same_bytes_of_one_host_have_one_identity(void **state)
{
    int first, second;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    first = dial();
    exchange(first, "resent-chunk");
    close(first);
    second = dial(); /* a retry comes from another port */
    exchange(second, "resent-chunk");
    exchange(second, "resent-chuNk");
    assert_memory_equal(&puppet.note[0].identity, &puppet.note[1].identity,
                        sizeof(struct tide_hash128));
    assert_memory_not_equal(&puppet.note[0].identity, &puppet.note[2].identity,
                            sizeof(struct tide_hash128));
    close(second);
}

/* There are clients that send chunk ids and never read what comes back. */
static void unread_acks_are_dropped_and_the_connection_lives(void **state)
{
    static char chunk[4000];
    uint64_t dropped = tide_counted(TIDE_COUNT_ACKS_DROPPED);
    struct bytes out = {0}, want = {0};
    int64_t deadline_ms = now_ms() + DEADLINE_MS;
    uint64_t sent = 0;
    uint8_t *got;
    size_t got_len = 0, limit = 64u << 20;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    memset(chunk, 'u', sizeof(chunk) - 1);
    while (tide_counted(TIDE_COUNT_ACKS_DROPPED) - dropped < 100) {
        assert_true(now_ms() < deadline_ms);
        put_message(&out, "auth", chunk);
        say_bytes(fd, &out);
        sent++;
    }
    wait_until(stored() == sent); /* it was read all the time */

    /* It starts to read; once there is room again its acks come again. */
    put_ack(&want, "the-last-chunk");
    got = malloc(limit);
    while (got_len < want.len || memcmp(got + got_len - want.len, want.data, want.len) != 0) {
        ssize_t n = recv(fd, got + got_len, limit - got_len, MSG_DONTWAIT);

        assert_true(now_ms() < deadline_ms);
        if (n > 0) {
            got_len += (size_t)n;
        } else {
            assert_true(n < 0 && errno == EAGAIN);
            put_message(&out, "auth", "the-last-chunk"); /* until one of them is answered */
            say_bytes(fd, &out);
            poll(NULL, 0, 5);
        }
    }
    /* Whole acks only: the long ones, then short ones. */
    for (size_t at = 0; at < got_len;) {
        size_t len = 5 + 3 + (size_t)(got[at + 6] << 8 | got[at + 7]);

        assert_memory_equal(got + at,
                            "\x81\xa3"
                            "ack\xda",
                            6);
        assert_true(len == 8 + sizeof(chunk) - 1 || len == want.len);
        at += len;
        assert_true(at <= got_len);
    }
    close(fd);
    free(got);
    free(out.data);
    free(want.data);
}

/* Twice as much as may lie unread comes home together, to a client that reads. */
static void acks_that_come_home_at_once_are_not_unread(void **state)
{
    static char chunk[4000];
    uint64_t dropped = tide_counted(TIDE_COUNT_ACKS_DROPPED);
    struct tide_ingest_cfg cfg = {.max_unread_ack_bytes = 5000};
    struct bytes out = {0}, want = {0};
    uint8_t *got;
    int fd;

    (void)state;
    serve(cfg);
    fd = dial();
    memset(chunk, 'u', sizeof(chunk) - 1);
    for (int round = 0; round < 20; round++) {
        uint64_t before = posted();

        puppet_allow(0);
        want.len = 0;
        for (int i = 0; i < 10; i++) {
            put_message(&out, "auth", chunk);
            put_ack(&want, chunk);
        }
        say_bytes(fd, &out);
        wait_until(posted() == before + 10);
        puppet_allow(FOR_EVER);
        got = malloc(want.len);
        hear(fd, got, want.len);
        assert_memory_equal(got, want.data, want.len);
        free(got);
    }
    assert_int_equal(tide_counted(TIDE_COUNT_ACKS_DROPPED), dropped);
    close(fd);
    free(out.data);
    free(want.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(acks_come_in_order_byte_for_byte, teardown),
        cmocka_unit_test_teardown(lone_ack_comes_in_one_piece, teardown),
        cmocka_unit_test_teardown(chunk_is_echoed_as_the_type_it_had, teardown),
        cmocka_unit_test_teardown(nothing_is_said_to_requests_without_chunk, teardown),
        cmocka_unit_test_teardown(duplicate_is_acked_too, teardown),
        cmocka_unit_test_teardown(dropped_parcel_closes_its_connection_without_ack, teardown),
        cmocka_unit_test_teardown(same_bytes_of_one_host_have_one_identity, teardown),
        cmocka_unit_test_teardown(acks_that_come_home_at_once_are_not_unread, teardown),
        cmocka_unit_test_teardown(unread_acks_are_dropped_and_the_connection_lives, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
