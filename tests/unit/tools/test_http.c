#include "http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "peer.h"
#include "tidemark/clock.h"

/* What the peer plays: the answer, in pieces of `piece` bytes (0: at once); then it closes, or
 * hangs. */
struct script {
    const char *answer;
    size_t len, piece;
    bool hang;
    char request[2048];
};

static void play(int fd, unsigned nth, void *context)
{
    struct script *script = context;
    char byte;

    (void)nth;
    tide_peer_read_until(fd, script->request, sizeof script->request, "\r\n\r\n");
    for (size_t at = 0; at < script->len;) {
        size_t step =
            script->piece && script->piece < script->len - at ? script->piece : script->len - at;

        tide_peer_write(fd, script->answer + at, step);
        at += step;
    }
    if (script->hang && read(fd, &byte, 1) < 0)
        return; /* until the client gives up */
}

static enum tide_rc get(struct script *script, int timeout_ms, size_t body_max,
                        struct tide_http_answer *ret, struct tide_err *err)
{
    struct tide_peer *peer = tide_peer_start(play, script);
    enum tide_rc rc;

    err->text[0] = '\0';
    if (script->len == 0)
        script->len = strlen(script->answer);
    rc = tide_http_get(tide_peer_url(peer), "/api/x?y=1", timeout_ms, body_max, ret, err);
    tide_peer_stop(peer);
    return rc;
}

static void whole_answers_are_read_however_they_are_cut(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: "
        "5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ncontent-type: application/json\r\n\r\n"
        "2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-type:application/json\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Content-Length: 5\r\n\r\nhello",
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (size_t piece = 0; piece < 4; piece++) {
            struct script script = {.answer = answers[i], .piece = piece};
            struct tide_http_answer answer;
            struct tide_err err;

            if (get(&script, 10000, 1000, &answer, &err) != TIDE_OK)
                fail_msg("answer %zu by %zu: %s", i, piece, err.text);
            assert_int_equal(answer.status, 200);
            assert_int_equal(answer.body_len, 5);
            assert_string_equal(answer.body, "hello");
            assert_string_equal(answer.type, "application/json");
            assert_non_null(strstr(script.request, "GET /api/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
            assert_non_null(strstr(script.request, "Connection: close\r\n"));
            tide_http_answer_fini(&answer);
        }
    }
}

static void the_status_is_handed_up(void **state)
{
    struct script script = {.answer =
                                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"};
    struct script empty = {.answer = "HTTP/1.1 204 No Content\r\n\r\n", .hang = true};
    struct tide_http_answer answer;
    struct tide_err err;

    (void)state;
    assert_int_equal(get(&script, 10000, 100, &answer, &err), TIDE_OK);
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.body, "{}");
    tide_http_answer_fini(&answer);
    assert_int_equal(get(&empty, 10000, 100, &answer, &err), TIDE_OK);
    assert_int_equal(answer.status, 204);
    assert_int_equal(answer.body_len, 0);
    tide_http_answer_fini(&answer);
}

static void malformed_answers_are_refused(void **state)
{
    static const struct {
        const char *answer;
        enum tide_rc rc;
    } cases[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", TIDE_MALFORMED},
        {"\x16\x03\x01", TIDE_MALFORMED},
        {"HTTP/2 200\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 xx\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 900 What\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
         TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n", TIDE_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", TIDE_TOO_LARGE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", TIDE_TOO_LARGE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", TIDE_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha", TIDE_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nContent-Le", TIDE_UNAVAILABLE},
        {"", TIDE_UNAVAILABLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script script = {.answer = cases[i].answer};
        struct tide_http_answer answer;
        struct tide_err err;
        enum tide_rc rc = get(&script, 10000, 1000, &answer, &err);

        if (rc != cases[i].rc)
            fail_msg("case %zu: %s (%s)", i, tide_rc_text(rc), err.text);
        assert_true(err.text[0] != '\0');
    }
}

static void a_huge_answer_is_cut_off(void **state)
{
    static char huge[200000];
    struct script body = {.answer = huge, .len = sizeof huge},
                  head = {.answer = huge, .len = sizeof huge};
    static const char start[] = "HTTP/1.1 200 OK\r\n\r\n", field[] = "HTTP/1.1 200 OK\r\nX: ";
    struct tide_http_answer answer;
    struct tide_err err;

    (void)state;
    memset(huge, 'x', sizeof huge);
    memcpy(huge, start, strlen(start));
    assert_int_equal(get(&body, 10000, 100000, &answer, &err), TIDE_TOO_LARGE);
    memset(huge, 'x', sizeof huge);
    memcpy(huge, field, strlen(field));
    assert_int_equal(get(&head, 10000, 1000000, &answer, &err), TIDE_TOO_LARGE);
}

static void a_slow_answer_is_given_up(void **state)
{
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct script script = {.answer = answers[i], .hang = true};
        int64_t start_us = tide_clock_mono_us();
        struct tide_http_answer answer;
        struct tide_err err;

        assert_int_equal(get(&script, 150, 1000, &answer, &err), TIDE_UNAVAILABLE);
        assert_true(tide_clock_mono_us() - start_us >= 150000);
        assert_true(tide_clock_mono_us() - start_us < 5000000);
        assert_non_null(strstr(err.text, "in time"));
    }
}

static void urls_are_checked(void **state)
{
    static const char *const bad[] = {"",
                                      "127.0.0.1:8640",
                                      "ftp://127.0.0.1:8640",
                                      "http://",
                                      "http://user@host",
                                      "http://host:port",
                                      "http://host:123456",
                                      "http://[::1",
                                      "http://host/a b",
                                      "http://host/?q",
                                      "http://host\r\nX: y"};
    struct tide_http_answer answer;
    struct tide_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum tide_rc rc = tide_http_get(bad[i], "/", 1000, 1000, &answer, &err);

        if (rc != TIDE_USAGE && !(rc == TIDE_UNAVAILABLE && strchr(bad[i], '\n')))
            fail_msg("'%s': %s", bad[i], tide_rc_text(rc));
    }
    assert_int_equal(tide_http_get("http://127.0.0.1:1", "/", 1000, 1000, &answer, &err),
                     TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "refused"));
}

static void a_prefix_goes_in_front(void **state)
{
    struct script script = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct tide_peer *peer = tide_peer_start(play, &script);
    struct tide_http_answer answer;
    struct tide_err err;
    char url[128];

    (void)state;
    script.len = strlen(script.answer);
    snprintf(url, sizeof url, "%s/behind/proxy//", tide_peer_url(peer));
    assert_int_equal(tide_http_get(url, "/api", 5000, 1000, &answer, &err), TIDE_OK);
    tide_http_answer_fini(&answer);
    tide_peer_stop(peer);
    assert_non_null(strstr(script.request, "GET /behind/proxy/api HTTP/1.1\r\n"));
}

static void addresses_are_split(void **state)
{
    static const struct {
        const char *address, *host, *port;
    } cases[] = {{"127.0.0.1:24224", "127.0.0.1", "24224"},
                 {"[::1]:1", "::1", "1"},
                 {"host.example:80", "host.example", "80"},
                 {"::1:80", NULL, NULL},
                 {"host", NULL, NULL},
                 {":80", NULL, NULL},
                 {"host:", NULL, NULL},
                 {"host:http", NULL, NULL},
                 {"[]:80", NULL, NULL},
                 {"[::1:80", NULL, NULL}};
    char host[TIDE_HOST_SIZE], port[TIDE_PORT_SIZE];
    struct tide_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum tide_rc rc = tide_net_split(cases[i].address, host, port, &err);

        assert_int_equal(rc, cases[i].host ? TIDE_OK : TIDE_USAGE);
        if (rc == TIDE_OK) {
            assert_string_equal(host, cases[i].host);
            assert_string_equal(port, cases[i].port);
        }
    }
}

static void a_wait_ends_at_its_deadline(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(tide_net_wait(ends[0], POLLIN, tide_clock_mono_us() + 20000), TIDE_AGAIN);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(tide_net_wait(ends[0], POLLIN, tide_clock_mono_us() + 20000), TIDE_OK);
    close(ends[0]);
    close(ends[1]);
}

static void a_parameter_is_escaped(void **state)
{
    char path[40] = "/a?x=";

    (void)state;
    tide_http_escape(path, sizeof path, "a b&c=\xc3\xa4/~");
    assert_string_equal(path, "/a?x=a%20b%26c%3D%C3%A4%2F~");
    tide_http_escape(path, sizeof path, "&&&&&&&&&&&&&&&&&&&&&&&&&");
    assert_true(strlen(path) < sizeof path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers_are_read_however_they_are_cut),
        cmocka_unit_test(the_status_is_handed_up),
        cmocka_unit_test(malformed_answers_are_refused),
        cmocka_unit_test(a_huge_answer_is_cut_off),
        cmocka_unit_test(a_slow_answer_is_given_up),
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(a_prefix_goes_in_front),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(a_parameter_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
