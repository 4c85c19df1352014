#include "compose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tidemark/api.h"
#include "tidemark/ingest.h"
#include "tidemark/log.h"

static char home[64];

static int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/tidemark-test-compose-XXXXXX");
    return mkdtemp(home) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    tide_log_set_level(TIDE_INFO);
    return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct tide_config test_config(void)
{
    struct tide_config config;

    tide_option_defaults(&config);
    snprintf(config.data_dir, sizeof(config.data_dir), "%s/store", home);
    strcpy(config.forward, "127.0.0.1:0");
    strcpy(config.http, "127.0.0.1:0");
    config.ingest_threads = 2;
    return config;
}

static void rooms_start_serve_and_stop_again_and_again(void **state)
{
    struct tide_config config = test_config();

    (void)state;
    for (int round = 0; round < 3; round++) {
        struct tide_rooms rooms = {0};
        struct tide_err err = {""};

        if (tide_rooms_start(&config, &rooms, &err))
            fail_msg("%s", err.text);
        assert_memory_equal(tide_ingest_address(rooms.ingest), "127.0.0.1:", 10);
        assert_memory_equal(tide_api_address(rooms.api), "127.0.0.1:", 10);
        assert_string_not_equal(tide_ingest_address(rooms.ingest), "127.0.0.1:0");
        tide_rooms_stop(&rooms);
        assert_null(rooms.store);
    }
}

/* A socket of our own on a port that the rooms will want. */
static int taken_port(char *address, size_t size)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    snprintf(address, size, "127.0.0.1:%d", ntohs(in.sin_port));
    return fd;
}

static void start_that_fails_half_way_can_be_stopped_and_tried_again(void **state)
{
    struct tide_config config = test_config();
    struct tide_rooms rooms = {0};
    struct tide_err err = {""};
    int fd;

    (void)state;
    fd = taken_port(config.http, sizeof(config.http)); /* the last room fails */
    assert_int_not_equal(tide_rooms_start(&config, &rooms, &err), TIDE_OK);
    assert_non_null(strstr(err.text, config.http));
    tide_rooms_stop(&rooms);

    strcpy(config.forward, config.http); /* one in the middle */
    assert_int_not_equal(tide_rooms_start(&config, &rooms, &err), TIDE_OK);
    assert_non_null(strstr(err.text, config.forward));
    tide_rooms_stop(&rooms);
    close(fd);

    config = test_config();
    config.interval_s = 10; /* the first: the store was made with 30 */
    assert_int_equal(tide_rooms_start(&config, &rooms, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, "interval"));
    tide_rooms_stop(&rooms);

    config.interval_s = 30;
    assert_int_equal(tide_rooms_start(&config, &rooms, &err), TIDE_OK);
    tide_rooms_stop(&rooms);
    tide_rooms_stop(&rooms); /* nothing left to stop */
}

static void second_daemon_on_one_store_is_told_who_has_it(void **state)
{
    struct tide_config config = test_config();
    struct tide_rooms first = {0}, second = {0};
    struct tide_err err = {""};
    char pid[16];

    (void)state;
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_int_equal(tide_rooms_start(&config, &first, &err), TIDE_OK);
    assert_int_equal(tide_rooms_start(&config, &second, &err), TIDE_LOCKED);
    assert_non_null(strstr(err.text, pid));
    tide_rooms_stop(&second);
    tide_rooms_stop(&first);
}

static void reload_is_heard_by_those_who_can(void **state)
{
    struct tide_config config = test_config();
    struct tide_rooms rooms = {0};
    struct tide_err err = {""};

    (void)state;
    assert_int_equal(tide_rooms_start(&config, &rooms, &err), TIDE_OK);
    config.log_level = TIDE_ERROR;
    config.health.rule = calloc(1, sizeof(*config.health.rule));
    config.health.rules = 1;
    strcpy(config.health.rule[0].glob, "*");
    assert_int_equal(tide_rooms_reload(&rooms, &config, &err), TIDE_OK);
    free(config.health.rule); /* the rooms have copied it */
    tide_rooms_stop(&rooms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rooms_start_serve_and_stop_again_and_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(start_that_fails_half_way_can_be_stopped_and_tried_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(second_daemon_on_one_store_is_told_who_has_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reload_is_heard_by_those_who_can, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
