/* Back-pressure: what stops reading, what does not, and that it goes on afterwards. */
#include "fixture.h"

static uint64_t stalls(void)
{
    return tide_counted(TIDE_COUNT_INGEST_STALLS);
}

/* Sends `count` chunks named PREFIX-i; want gets their acks. */
static void say_chunks(int fd, const char *prefix, int count, struct bytes *want)
{
    struct bytes out = {0};

    for (int i = 0; i < count; i++) {
        char chunk[40];

        snprintf(chunk, sizeof(chunk), "%s-chunk-%d", prefix, i);
        put_message(&out, prefix, chunk);
        put_ack(want, chunk);
    }
    say_bytes(fd, &out);
    free(out.data);
}

static void hear_bytes(int fd, const struct bytes *want)
{
    uint8_t *got = malloc(want->len);

    hear(fd, got, want->len);
    assert_memory_equal(got, want->data, want->len);
    free(got);
}

static void exhausted_pool_stops_reading_and_resumes(void **state)
{
    struct bytes want[3] = {{0}};
    uint64_t before = stalls();
    int fd[3];

    (void)state;
    serve((struct tide_ingest_cfg){.parcels = 4});
    puppet_allow(0);
    for (int i = 0; i < 3; i++) {
        char prefix[] = {(char)('a' + i), '\0'};

        fd[i] = dial();
        say_chunks(fd[i], prefix, 50, &want[i]);
        wait_until(stalls() > before);
    }
    assert_int_equal(posted(), 4);
    assert_int_equal(stalls() - before, 1);
    puppet_allow(1);
    wait_until(posted() == 5);
    puppet_allow(FOR_EVER);
    for (int i = 0; i < 3; i++) {
        hear_bytes(fd[i], &want[i]);
        close(fd[i]);
        free(want[i].data);
    }
    assert_int_equal(posted(), 150);
}

static void stalled_commit_stops_reading(void **state)
{
    struct bytes want = {0};
    uint64_t before = stalls();
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    exchange(fd, "chunk-before-the-stall");
    atomic_store(&puppet_stalled, true);
    say_chunks(fd, "s", 3, &want);
    wait_until(stalls() == before + 1);
    assert_int_equal(posted(), 1);
    atomic_store(&puppet_stalled, false); /* nothing of ours is in flight: nobody wakes us */
    hear_bytes(fd, &want);
    close(fd);
    free(want.data);
}

static void loose_requests_are_posted_at_once_when_idle(void **state)
{
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    for (uint64_t i = 1; i <= 20; i++) {
        put_message(&out, "auth", NULL);
        say_bytes(fd, &out);
        wait_until(stored() == i && home() == posted()); /* no second request pushes it out */
    }
    close(fd);
    free(out.data);
}

static void one_loose_parcel_is_in_flight(void **state)
{
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    for (int i = 0; i < 100; i++) {
        put_message(&out, "auth", NULL);
        say_bytes(fd, &out);
        if (i == 0)
            wait_until(posted() == 1);
    }
    put_message(&out, "auth", "behind-the-loose-ones");
    say_bytes(fd, &out);
    wait_until(posted() == 2);
    assert_int_equal(stored(), 2); /* the first loose one, the chunk; 99 are folded and wait */
    puppet_allow(FOR_EVER);
    wait_until(stored() == 101);
    assert_int_equal(posted(), 3);
    close(fd);
    free(out.data);
}

static void full_loose_parcel_stops_reading_while_one_is_in_flight(void **state)
{
    struct bytes out = {0};
    uint64_t before = stalls();
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", NULL);
    say_bytes(fd, &out);
    wait_until(posted() == 1);
    put_packed(&out, "m", 20000, 20000, 0, NULL);
    put_packed(&out, "n", 20000, 20000, 0, NULL);
    put_packed(&out, "m", 20000, 20000, 0, NULL);
    put_message(&out, "auth", NULL);
    say_bytes(fd, &out);
    wait_until(stalls() == before + 1);
    assert_int_equal(posted(), 1);
    puppet_allow(FOR_EVER);
    wait_until(stored() == 60002);
    close(fd);
    free(out.data);
}

static void large_request_without_chunk_travels_alone(void **state)
{
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", NULL);
    say_bytes(fd, &out);
    wait_until(posted() == 1);
    put_packed(&out, "m", 100, 5, 1200000, NULL);
    say_bytes(fd, &out);
    wait_until(posted() == 2 && stored() == 101);
    close(fd);
    free(out.data);
}

struct flood {
    int fd;
    atomic_bool stop;
};

static void *flood(void *arg)
{
    struct flood *how = arg;
    struct bytes out = {0};

    for (int i = 0; i < 2000; i++)
        put_message(&out, "flood", NULL);
    while (!atomic_load(&how->stop))
        say(how->fd, out.data, out.len);
    free(out.data);
    return NULL;
}

static void flooding_peers_do_not_starve_another(void **state)
{
    struct flood how[3] = {0};
    pthread_t thread[3];
    int64_t worst_ms = 0;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    for (int i = 0; i < 3; i++) {
        how[i].fd = dial();
        pthread_create(&thread[i], NULL, flood, &how[i]);
    }
    fd = dial();
    for (int i = 0; i < 30; i++) {
        char chunk[32];
        int64_t start_ms = now_ms();

        snprintf(chunk, sizeof(chunk), "calm-chunk-%d", i);
        exchange(fd, chunk);
        if (now_ms() - start_ms > worst_ms)
            worst_ms = now_ms() - start_ms;
    }
    for (int i = 0; i < 3; i++)
        atomic_store(&how[i].stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        close(how[i].fd);
    }
    close(fd);
    /* Starved, it would have run into the client's deadline. */
    print_message("worst round trip beside three floods: %lld ms\n", (long long)worst_ms);
}

/* [t, bin of len bytes: the header alone */
static void declare(int fd, uint32_t len)
{
    uint8_t header[8] = {0x92, 0xa1, 't', 0xc6};

    for (int i = 0; i < 4; i++)
        header[4 + i] = (uint8_t)(len >> (24 - 8 * i));
    say(fd, header, sizeof(header));
}

/* Ten peers announce 16 MiB each, which is more than the shard's budget. All get through, and small
 * requests do not notice. */
static void large_frames_wait_for_memory_and_get_it(void **state)
{
    enum { PEERS = 10 };
    const uint32_t len = (16u << 20) - 64;
    static uint8_t noise[1 << 20]; /* no entries: acked, and booked as one that is truncated */
    uint64_t before;
    uint32_t sent[PEERS];
    int fd[PEERS], calm, left = PEERS;
    int64_t deadline_ms;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    calm = dial();
    exchange(calm, "calm-chunk-before");
    memset(noise, 0xc1, sizeof(noise));
    before = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    for (int i = 0; i < PEERS; i++) {
        fd[i] = dial();
        declare(fd[i], len);
    }
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - before == 8 * PEERS);
    for (int i = 0; i < PEERS; i++) {
        sent[i] = 1000; /* now each asks for its 16 MiB, and not all get it */
        say(fd[i], noise, sent[i]);
    }
    exchange(calm, "calm-chunk-between");
    deadline_ms = now_ms() + 3 * DEADLINE_MS;
    while (left > 0) {
        assert_true(now_ms() < deadline_ms);
        for (int i = 0; i < PEERS; i++) {
            size_t part = len - sent[i] < sizeof(noise) ? len - sent[i] : sizeof(noise);
            ssize_t n = part ? send(fd[i], noise, part, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

            assert_true(n >= 0 || errno == EAGAIN);
            if (n > 0 && (sent[i] += (uint32_t)n) == len)
                left--;
        }
    }
    wait_until(posted() == 2 + PEERS);
    exchange(calm, "calm-chunk-after");
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    close(calm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(exhausted_pool_stops_reading_and_resumes, teardown),
        cmocka_unit_test_teardown(stalled_commit_stops_reading, teardown),
        cmocka_unit_test_teardown(loose_requests_are_posted_at_once_when_idle, teardown),
        cmocka_unit_test_teardown(one_loose_parcel_is_in_flight, teardown),
        cmocka_unit_test_teardown(full_loose_parcel_stops_reading_while_one_is_in_flight, teardown),
        cmocka_unit_test_teardown(large_request_without_chunk_travels_alone, teardown),
        cmocka_unit_test_teardown(flooding_peers_do_not_starve_another, teardown),
        cmocka_unit_test_teardown(large_frames_wait_for_memory_and_get_it, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
