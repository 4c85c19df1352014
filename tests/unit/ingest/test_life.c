/* Starting and stopping: addresses, dealing out, draining, running out of descriptors. */
#include "fixture.h"

#include <sys/resource.h>
#include "listener.h"

static void addresses_are_numbers_with_a_port(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "0.0.0.0:65535", "[::1]:24224", "[::]:0",
                                       "[::ffff:127.0.0.1]:1"};
    static const char *const bad[] = {
        "",           "127.0.0.1",   "127.0.0.1:",     ":24224",
        "::1:24224",  "[::1]",       "[::1",           "127.0.0.1:65536",
        "[::1]24224", "localhost:1", "1.2.3:80",       "1.2.3.4:-1",
        "1.2.3.4: 1", "[]:1",        "1.2.3.4:000001", "[1.2.3.4]:1"};
    struct sockaddr_storage where;
    socklen_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(tide_address_parse(good[i], &where, &len, NULL), TIDE_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tide_err err = {{0}};

        if (tide_address_parse(bad[i], &where, &len, &err) != TIDE_CONFIG)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "127.0.0.1:24224"));
    }
}

static void bound_address_is_told_and_taken_once(void **state)
{
    struct tide_ingest_cfg cfg = {.threads = 1, .parcels = 4, .max_frame_bytes = 65536};
    struct tide_ingest *second = NULL;
    struct tide_err err = {{0}};

    (void)state;
    serve((struct tide_ingest_cfg){0});
    assert_int_equal(strncmp(tide_ingest_address(ingest), "127.0.0.1:", 10), 0);
    assert_int_not_equal(atoi(tide_ingest_address(ingest) + 10), 0);
    snprintf(cfg.address, sizeof(cfg.address), "%s", tide_ingest_address(ingest));
    assert_int_equal(tide_ingest_start(&cfg, NULL, &second, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "listen on 127.0.0.1:"));
    assert_non_null(strstr(err.text, "in use"));
    assert_null(second);
}

static void impossible_settings_are_named(void **state)
{
    struct tide_ingest_cfg cfg = {.address = "127.0.0.1:0", .threads = 65, .parcels = 4};
    struct tide_ingest *never = NULL;
    struct tide_err err = {{0}};

    (void)state;
    assert_int_equal(tide_ingest_start(&cfg, NULL, &never, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, "65 threads"));
    cfg.threads = 1;
    cfg.parcels = 1;
    assert_int_equal(tide_ingest_start(&cfg, NULL, &never, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, "1 parcels"));
}

static void it_listens_on_ipv6(void **state)
{
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd;

    (void)state;
    if (probe < 0 || bind(probe, (struct sockaddr *)&loopback, sizeof(loopback)) != 0) {
        close(probe);
        print_message("no IPv6 here: skipped\n");
        skip();
    }
    close(probe);
    serve((struct tide_ingest_cfg){.address = "[::1]:0"});
    assert_int_equal(strncmp(tide_ingest_address(ingest), "[::1]:", 6), 0);
    fd = dial();
    exchange(fd, "chunk-over-ipv6");
    close(fd);
}

static void connections_are_dealt_to_all_shards(void **state)
{
    enum { PEERS = 40 };
    struct bytes out = {0};
    int fd[PEERS];

    (void)state;
    serve((struct tide_ingest_cfg){.threads = 4, .parcels = 2});
    for (int i = 0; i < PEERS; i++)
        fd[i] = dial();
    puppet_allow(0);
    for (int i = 0; i < PEERS; i++) {
        put_message(&out, "auth", "a-chunk-of-mine");
        say_bytes(fd[i], &out);
    }
    wait_until(posted() == 8); /* each of the four has filled its pool */
    puppet_allow(FOR_EVER);
    wait_until(posted() == PEERS);
    for (int i = 0; i < PEERS; i++) {
        uint8_t got[23];

        hear(fd[i], got, sizeof(got));
        close(fd[i]);
    }
    free(out.data);
}

struct stopping {
    pthread_t thread;
    int drain_ms;
    atomic_bool done;
};

static void *stop(void *arg)
{
    struct stopping *how = arg;

    tide_ingest_stop(ingest, how->drain_ms);
    atomic_store(&how->done, true);
    return NULL;
}

static void stop_waits_for_the_commit_and_acks_it(void **state)
{
    struct stopping how = {.drain_ms = DEADLINE_MS};
    struct bytes out = {0}, want = {0};
    uint8_t got[1024];
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", NULL);
    say_bytes(fd, &out);
    wait_until(posted() == 1);
    for (int i = 0; i < 10; i++) {
        char chunk[24];

        snprintf(chunk, sizeof(chunk), "drained-%d", i);
        put_message(&out, "auth", NULL); /* these wait: one loose parcel is in flight */
        put_message(&out, "auth", chunk);
        put_ack(&want, chunk);
    }
    say_bytes(fd, &out);
    wait_until(posted() == 11);
    pthread_create(&how.thread, NULL, stop, &how);
    assert_true(silent(fd));
    assert_false(atomic_load(&how.done));
    puppet_allow(FOR_EVER);
    pthread_join(how.thread, NULL);
    ingest = NULL;
    assert_int_equal(stored(), 21);
    hear(fd, got, want.len);
    assert_memory_equal(got, want.data, want.len);
    hear_end(fd);
    assert_int_equal(home(), posted());
    puppet_stop();
    close(fd);
    free(out.data);
    free(want.data);
}

static void stop_gives_up_when_the_commit_does_not_answer(void **state)
{
    struct bytes out = {0};
    int64_t start_ms;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", "never-committed");
    say_bytes(fd, &out);
    wait_until(posted() == 1);
    start_ms = now_ms();
    tide_ingest_stop(ingest, 200);
    ingest = NULL;
    assert_in_range(now_ms() - start_ms, 150, 5000);
    hear_end(fd); /* and no ack */
    puppet_allow(FOR_EVER);
    wait_until(home() == 1); /* the parcel and its home are still there for the committer */
    puppet_stop();
    close(fd);
    free(out.data);
}

static void stop_does_not_wait_for_a_peer_that_reads_no_acks(void **state)
{
    static char chunk[4000];
    struct bytes out = {0};
    int64_t start_ms;
    uint64_t dropped = tide_counted(TIDE_COUNT_ACKS_DROPPED);
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    memset(chunk, 'u', sizeof(chunk) - 1);
    while (tide_counted(TIDE_COUNT_ACKS_DROPPED) == dropped) {
        put_message(&out, "auth", chunk);
        say_bytes(fd, &out);
    }
    start_ms = now_ms();
    tide_ingest_stop(ingest, DEADLINE_MS);
    ingest = NULL;
    assert_true(now_ms() - start_ms < 5000);
    puppet_stop();
    close(fd);
    free(out.data);
}

/* More peers than descriptors: those who are in are served, the others get in when somebody leaves.
 */
static void running_out_of_descriptors_is_survived(void **state)
{
    enum { PEERS = 12, ROOM = 5 };
    struct rlimit before, tight;
    struct bytes out = {0}, want = {0};
    bool answered[PEERS] = {false};
    int fd[PEERS], top, left = PEERS;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    getrlimit(RLIMIT_NOFILE, &before);
    top = dup(0);
    close(top);
    /* Room for the peers' ends, and for some of the server's. */
    tight = (struct rlimit){.rlim_cur = (rlim_t)(top + PEERS + ROOM), .rlim_max = before.rlim_max};
    for (int i = 0; i < PEERS; i++)
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    put_ack(&want, "descriptor-chunk");
    for (int i = 0; i < PEERS; i++) {
        struct sockaddr_in where = {.sin_family = AF_INET};

        where.sin_port = htons((uint16_t)atoi(strchr(tide_ingest_address(ingest), ':') + 1));
        inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
        assert_int_equal(connect(fd[i], (struct sockaddr *)&where, sizeof(where)), 0);
        put_message(&out, "auth", "descriptor-chunk");
        say_bytes(fd[i], &out);
    }
    wait_until(posted() >= ROOM);
    while (left > 0) {
        int64_t give_up_ms = now_ms() + DEADLINE_MS;
        int left_before = left;

        while (left == left_before) {
            assert_true(now_ms() < give_up_ms);
            for (int i = 0; i < PEERS; i++) {
                uint8_t got[64];

                if (answered[i] || silent(fd[i]))
                    continue;
                hear(fd[i], got, want.len);
                assert_memory_equal(got, want.data, want.len);
                shutdown(fd[i], SHUT_WR); /* leaves: the server's end is free again */
                answered[i] = true;
                left--;
            }
            poll(NULL, 0, 1);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    free(out.data);
    free(want.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_numbers_with_a_port),
        cmocka_unit_test_teardown(bound_address_is_told_and_taken_once, teardown),
        cmocka_unit_test(impossible_settings_are_named),
        cmocka_unit_test_teardown(it_listens_on_ipv6, teardown),
        cmocka_unit_test_teardown(connections_are_dealt_to_all_shards, teardown),
        cmocka_unit_test_teardown(stop_waits_for_the_commit_and_acks_it, teardown),
        cmocka_unit_test_teardown(stop_gives_up_when_the_commit_does_not_answer, teardown),
        cmocka_unit_test_teardown(stop_does_not_wait_for_a_peer_that_reads_no_acks, teardown),
        cmocka_unit_test_teardown(running_out_of_descriptors_is_survived, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
