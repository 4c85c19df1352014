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

/* Whoever was interrupted in his buffer goes on first; nobody else reads one meanwhile. */
static void waiting_peers_hold_one_buffer_in_all(void **state)
{
    enum { PEERS = 20 };
    struct bytes out = {0};
    uint64_t bytes = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    int fd[PEERS];

    (void)state;
    serve((struct tide_ingest_cfg){.parcels = 4});
    puppet_allow(0);
    for (int i = 0; i < 40; i++)
        put_packed(&out, "m", 1, 1, 4000, "one-of-forty");
    for (int i = 0; i < PEERS; i++) {
        fd[i] = dial();
        say(fd[i], out.data, out.len);
    }
    wait_until(posted() == 4);
    for (uint64_t i = 1; i <= 30; i++) {
        puppet_allow(1);
        wait_until(posted() == 4 + i);
    }
    assert_in_range(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes, 1, 2 * out.len);
    puppet_allow(FOR_EVER);
    wait_until(posted() == 40 * PEERS);
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    free(out.data);
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
        cmocka_unit_test_teardown(waiting_peers_hold_one_buffer_in_all, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
