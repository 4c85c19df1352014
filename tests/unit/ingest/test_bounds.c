/* What a connection may keep here, and what its requests may be: at each bound it is served, one
 * past it it is closed or its oddity counted, and the others do not notice. */
#include "fixture.h"
#include "conn.h"

/* [t, bin of len bytes: the header alone */
static void declare(int fd, uint32_t len)
{
    uint8_t header[8] = {0x92, 0xa1, 't', 0xc6};

    for (int i = 0; i < 4; i++)
        header[4 + i] = (uint8_t)(len >> (24 - 8 * i));
    say(fd, header, sizeof(header));
}

/* Sends len bytes of a larger request and waits until they are held. */
static void begin(int fd, size_t len)
{
    uint8_t *noise = malloc(len);
    uint64_t before = tide_counted(TIDE_COUNT_RECEIVED_BYTES);

    assert_non_null(noise);
    memset(noise, 0xc1, len);
    declare(fd, 100000);
    say(fd, noise, len - 8);
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - before == len);
    free(noise);
}

/* Whatever the server does next, it has dealt with everything that was received before. */
static void settle(int calm)
{
    exchange(calm, "whatever-came-before-is-done");
}

static void a_frame_of_the_limit_is_taken_and_one_byte_more_closes(void **state)
{
    enum { LIMIT = 65536, HEAD = 8 };
    uint8_t *noise = malloc(LIMIT);
    int fd;

    (void)state;
    memset(noise, 0xc1, LIMIT);
    serve((struct tide_ingest_cfg){.max_frame_bytes = LIMIT});
    for (uint32_t more = 0; more < 2; more++) {
        uint64_t before = tide_counted(TIDE_COUNT_CLOSED_TOO_LARGE);

        fd = dial();
        declare(fd, LIMIT - HEAD + more);
        if (more) {
            hear_end(fd);
        } else {
            say(fd, noise, LIMIT - HEAD);
            wait_until(rejected() == 1); /* it holds no entry */
        }
        assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_TOO_LARGE) - before, more);
        close(fd);
    }
    free(noise);
}

/* Containers in one another, in a record's field: [t, 0, {"a": [[[...]]]}] */
static void nest(int fd, unsigned depth)
{
    struct bytes out = {0};

    put(&out, "\x93\xa1t\x00\x81\xa1", 6);
    put_byte(&out, 'a');
    for (unsigned level = 2; level < depth; level++)
        put_byte(&out, 0x91);
    put_byte(&out, 0xc0);
    say_bytes(fd, &out);
    free(out.data);
}

static void requests_are_as_deep_as_configured_and_no_deeper(void **state)
{
    static const uint32_t configured[] = {4, 0}; /* 0: as deep as can be */

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const uint32_t bound = configured[i] ? configured[i] : TIDE_FRAME_DEPTH_MAX;
        uint64_t before = tide_counted(TIDE_COUNT_CLOSED_MALFORMED);
        int fd;

        serve((struct tide_ingest_cfg){.max_depth = configured[i]});
        fd = dial();
        nest(fd, bound);
        wait_until(stored() == 1);
        exchange(fd, "at-the-bound");
        assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MALFORMED) - before, 0);
        nest(fd, bound + 1);
        hear_end(fd);
        assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MALFORMED) - before, 1);
        close(fd);
        teardown(NULL);
    }
}

/* A quarter of 1 MiB is for the small ones: four of 64 KiB. The byte after that costs the peer
 * whose request began first, and no other. */
static void the_oldest_unfinished_request_makes_way_for_one_byte_too_many(void **state)
{
    enum { PEERS = 4 };
    const struct tide_ingest_cfg cfg = {.max_frame_bytes = 128 << 10, .max_input_bytes = 1 << 20};
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_MEMORY);
    uint64_t memory = tide_counted(TIDE_COUNT_INPUT_BYTES);
    int fd[PEERS], calm, last;

    (void)state;
    serve(cfg);
    calm = dial();
    for (int i = 0; i < PEERS; i++) {
        fd[i] = dial();
        begin(fd[i], TIDE_SMALL_INPUT);
    }
    settle(calm);
    assert_int_equal(tide_counted(TIDE_COUNT_INPUT_BYTES) - memory, PEERS * TIDE_SMALL_INPUT);
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MEMORY) - before, 0);
    last = dial();
    say(last, "\x93", 1);
    hear_end(fd[0]);
    settle(calm);
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MEMORY) - before, 1);
    for (int i = 1; i < PEERS; i++)
        assert_true(silent(fd[i]));
    assert_true(silent(last));
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    close(last);
    close(calm);
    wait_until(tide_counted(TIDE_COUNT_INPUT_BYTES) == memory);
}

/* Age is that of the request, not of the connection: who gets requests done is young again. */
static void who_gets_requests_done_is_not_the_oldest(void **state)
{
    enum { PEERS = 4 };
    const struct tide_ingest_cfg cfg = {.max_frame_bytes = 128 << 10, .max_input_bytes = 1 << 20};
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_MEMORY);
    struct bytes whole = {0};
    uint64_t bytes;
    uint8_t *noise;
    int fd[PEERS], last;

    (void)state;
    serve(cfg);
    put_message(&whole, "auth", NULL);
    fd[0] = dial();
    bytes = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    say(fd[0], whole.data, whole.len - 1); /* the first to begin ... */
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes == whole.len - 1);
    for (int i = 1; i < PEERS; i++) {
        fd[i] = dial();
        begin(fd[i], TIDE_SMALL_INPUT);
    }
    /* ... is done, and what it begins in the same breath is the youngest */
    bytes = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    put(&whole, "\x92\xa1t\xc6\x00\x01\x86\xa0", 8);
    say(fd[0], whole.data + whole.len - 9, 9);
    wait_until(stored() == 1 && tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes == 9);
    noise = calloc(1, TIDE_SMALL_INPUT);
    assert_non_null(noise);
    say(fd[0], noise, TIDE_SMALL_INPUT - 8);
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes == TIDE_SMALL_INPUT + 1);
    free(noise);
    last = dial();
    say(last, "\x93", 1);
    hear_end(fd[1]);
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MEMORY) - before, 1);
    assert_true(silent(fd[0]) && silent(fd[2]) && silent(fd[3]));
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    close(last);
    free(whole.data);
}

/* Hundreds of peers that each begin a large request: what they make the server hold stays within
 * the bound, whatever they send. */
static void many_begun_requests_stay_within_the_memory_for_input(void **state)
{
    enum { PEERS = 300, PIECE = 40000 };
    const size_t frame = 1 << 20, all = 8 << 20;
    uint64_t memory = tide_counted(TIDE_COUNT_INPUT_BYTES), most = 0;
    uint8_t *noise = malloc(PIECE);
    int fd[PEERS], calm;

    (void)state;
    memset(noise, 0xc1, PIECE);
    serve((struct tide_ingest_cfg){.max_frame_bytes = frame, .max_input_bytes = all});
    calm = dial();
    /* None is read before all have begun, so that each has as much to read as is read at once. */
    atomic_store(&puppet_stalled, true);
    for (int i = 0; i < PEERS; i++) {
        fd[i] = dial();
        declare(fd[i], (uint32_t)frame - 100);
    }
    for (int piece = 0; piece < 5; piece++)
        for (int i = 0; i < PEERS; i++)
            (void)send(fd[i], noise, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);
    atomic_store(&puppet_stalled, false);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < PEERS; i++) /* who was closed, or is not read, does not matter */
            (void)send(fd[i], noise, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);
        settle(calm);
        if (tide_counted(TIDE_COUNT_INPUT_BYTES) - memory > most)
            most = tide_counted(TIDE_COUNT_INPUT_BYTES) - memory;
    }
    print_message("%d peers, at most %llu KiB of %zu held\n", PEERS, (unsigned long long)most >> 10,
                  all >> 10);
    assert_in_range(most, all / 4, all);
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    close(calm);
    free(noise);
}

static void odd_tags_and_options_are_counted(void **state)
{
    uint64_t tags = tide_counted(TIDE_COUNT_BAD_TAGS),
             options = tide_counted(TIDE_COUNT_BAD_OPTIONS);
    char tag[257];
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    memset(tag, 't', sizeof(tag));
    for (size_t len = 256; len <= 257; len++) {
        struct bytes out = {0};

        put_byte(&out, 0x93);
        put_str(&out, tag, len);
        put(&out, "\x00\x80", 2);
        say_bytes(fd, &out);
        free(out.data);
    }
    say(fd, "\x93\xc0\x00\x80", 4);       /* a tag that is nil */
    say(fd, "\x94\xa1t\x00\x80\x80", 6);  /* an option with nothing in it */
    say(fd, "\x94\xa1t\x00\x80\xa1o", 7); /* an option that is a text */
    exchange(fd, "all-of-them-are-taken");
    assert_int_equal(tide_counted(TIDE_COUNT_BAD_TAGS) - tags, 2);
    assert_int_equal(tide_counted(TIDE_COUNT_BAD_OPTIONS) - options, 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_frame_of_the_limit_is_taken_and_one_byte_more_closes, teardown),
        cmocka_unit_test_teardown(requests_are_as_deep_as_configured_and_no_deeper, teardown),
        cmocka_unit_test_teardown(the_oldest_unfinished_request_makes_way_for_one_byte_too_many,
                                  teardown),
        cmocka_unit_test_teardown(who_gets_requests_done_is_not_the_oldest, teardown),
        cmocka_unit_test_teardown(many_begun_requests_stay_within_the_memory_for_input, teardown),
        cmocka_unit_test_teardown(odd_tags_and_options_are_counted, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
