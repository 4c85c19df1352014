#include "head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Parses a copy of exactly its size; 0, or the status of the refusal. */
static int parse(const char *text, size_t len, struct tide_head *ret, char **ret_bytes)
{
    struct tide_refusal why = {0};
    char *bytes = malloc(len);
    enum tide_rc rc;

    memcpy(bytes, text, len);
    rc = tide_head_parse(bytes, len, ret, &why);
    *ret_bytes = bytes;
    if (rc == TIDE_OK)
        return 0;
    assert_int_equal(rc, TIDE_MALFORMED);
    assert_true(why.code[0] && why.detail[0]);
    return why.status;
}

static int status_of(const char *text, size_t len)
{
    struct tide_head head;
    char *bytes;
    int status = parse(text, len, &head, &bytes);

    free(bytes);
    return status;
}

#define HOST "Host: x\r\n"

static void a_head_is_taken_apart(void **state)
{
    const char *text = "PUT /a/b?c=d&e HTTP/1.1\r\nhOST: x\r\nACCEPT:text/csv\r\nAccept: no\r\n"
                       "EXPECT: 100-Continue\r\nX-Any: \x80\r\nContent-Length: \t 12 \t\r\n\r\n";
    struct tide_head head;
    char *bytes;

    (void)state;
    assert_int_equal(parse(text, strlen(text), &head, &bytes), 0);
    assert_int_equal(head.method, TIDE_PLAIN_METHOD);
    assert_string_equal(head.method_name, "PUT");
    assert_string_equal(head.path, "/a/b");
    assert_string_equal(head.query, "c=d&e");
    assert_int_equal(head.body_bytes, 12);
    assert_true(head.keep_alive && head.expects && !head.old && !head.absolute);
    free(bytes);
}

static void targets_have_three_forms(void **state)
{
    static const struct {
        const char *target, *path, *query;
    } row[] = {
        {"/", "/", NULL},
        {"/x?", "/x", ""},
        {"/x?a#b", "/x", "a"},
        {"/x#?a", "/x", NULL},
        {"//a:b", "//a:b", NULL},
        {"http://h:80/x?y", "/x", "y"},
        {"HTTPS://h", "/", NULL},
        {"http://h?y", "/", "y"},
        {"http://", "/", NULL},
        {"*", "*", NULL},
        {"/\xc3\xbc?\xc3\xbc", "/\xc3\xbc", "\xc3\xbc"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        char text[200], *bytes;
        struct tide_head head;
        int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", row[i].target);

        assert_int_equal(parse(text, (size_t)len, &head, &bytes), 0);
        assert_string_equal(head.path, row[i].path);
        if (row[i].query)
            assert_string_equal(head.query, row[i].query);
        else
            assert_null(head.query);
        free(bytes);
    }
}

static void a_connection_lives_as_version_and_header_say(void **state)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } row[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: foo, close ,bar\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_head head;
        char *bytes;

        assert_int_equal(parse(row[i].text, strlen(row[i].text), &head, &bytes), 0);
        assert_int_equal(head.keep_alive, row[i].keep_alive);
        free(bytes);
    }
}

static void what_two_programs_could_read_differently_is_refused(void **state)
{
    static const char zero[] = "GET / HTTP/1.1\r\nHost: \0\r\n\r\n";
    static const struct {
        int status;
        const char *text;
    } row[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"}, /* no Host */
        {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
        {0, "GET / HTTP/1.0\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 5\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\n"},
        {413, "GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n"},
        {413, "GET / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n"},
        {0, "GET / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n"},
        {411, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n"}, /* folded */
        {400, "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "A: b\nc: d\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: b\r\n\r\n"},
        {417, "GET / HTTP/1.1\r\n" HOST "Expect: miracles\r\n\r\n"},
        {417,
         "GET / HTTP/1.1\r\n" HOST "Expect:\t100-continue\r\n\r\n"}, /* evhttp would not trim */
        {400,
         "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n"}, /* evhttp would not read it */
        {400, "TRACE / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n"},
        {0, "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"},
        {0, "GET / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\r\n" HOST "\r\n"},
        {400, "GET x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
        {400, "GET / HTTP/1\r\n" HOST "\r\n"},
        {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
        {400, "GE\tT / HTTP/1.1\r\n" HOST "\r\n"},
        {400, " GET / HTTP/1.1\r\n" HOST "\r\n"},
        {0, "BREW / HTTP/1.1\r\n" HOST "\r\n"}, /* 405 is for later */
        {0, "CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        int status = status_of(row[i].text, strlen(row[i].text));

        if (status != row[i].status)
            fail_msg("%d instead of %d: %s", status, row[i].status, row[i].text);
    }
    assert_int_equal(status_of(zero, sizeof(zero) - 1), 400);
    assert_int_equal(status_of("\r\n\r\n", 4), 400);
}

/* A head of exactly `size` bytes, filled up in one header. */
static size_t head_of(char *text, size_t size)
{
    size_t used = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");

    memset(text + used, 'x', size - used);
    memcpy(text + size - 4, "\r\n\r\n", 4);
    return size;
}

static void each_bound_holds_and_one_more_is_refused(void **state)
{
    static char text[64 * 1024];
    struct tide_refusal why;
    size_t len;

    (void)state;
    assert_int_equal(status_of(text, head_of(text, TIDE_HEAD_BYTES_MAX)), 0);
    assert_int_equal(status_of(text, head_of(text, TIDE_HEAD_BYTES_MAX + 1)), 431);
    head_of(text, sizeof(text));
    assert_int_equal(tide_head_hopeful(text, 0, TIDE_HEAD_BYTES_MAX - 1, &why), TIDE_OK);
    assert_int_equal(tide_head_hopeful(text, 0, TIDE_HEAD_BYTES_MAX, &why), TIDE_MALFORMED);
    assert_int_equal(why.status, 431);

    for (int more = 0; more < 2; more++) {
        len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 1; i < TIDE_HEAD_LINES_MAX + more; i++)
            len += (size_t)sprintf(text + len, "A: b\r\n");
        len += (size_t)sprintf(text + len, "\r\n");
        assert_int_equal(status_of(text, len), more ? 431 : 0);

        len = (size_t)sprintf(text, "GET /");
        memset(text + len, 'a', TIDE_HEAD_TARGET_MAX);
        len += (size_t)(TIDE_HEAD_TARGET_MAX - 1 + more);
        len += (size_t)sprintf(text + len, " HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(status_of(text, len), more ? 414 : 0);

        memset(text, 'M', TIDE_HEAD_METHOD_MAX + 1);
        len = (size_t)(TIDE_HEAD_METHOD_MAX + more);
        len += (size_t)sprintf(text + len, " / HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(status_of(text, len), more ? 400 : 0);
    }
    /* the longest request line there can be is waited for, and no byte more */
    memset(text, 'a', sizeof(text));
    len = TIDE_HEAD_METHOD_MAX + 1 + TIDE_HEAD_TARGET_MAX + 11;
    assert_int_equal(tide_head_hopeful(text, 0, len - 1, &why), TIDE_OK);
    assert_int_equal(tide_head_hopeful(text, 0, len, &why), TIDE_MALFORMED);
    assert_int_equal(why.status, 414);
}

static void noise_is_refused_before_its_end(void **state)
{
    struct tide_refusal why;

    (void)state;
    assert_int_equal(tide_head_hopeful("\x16\x03\x01", 0, 3, &why), TIDE_MALFORMED);
    assert_int_equal(tide_head_hopeful("GET / HTTP/1.1\n", 0, 15, &why), TIDE_MALFORMED);
    assert_int_equal(tide_head_hopeful("GET / H\0", 7, 8, &why), TIDE_MALFORMED);
    assert_int_equal(tide_head_hopeful("GET / HTTP/1.1\r\nA: b\r\n", 14, 22, &why), TIDE_OK);
    assert_int_equal(tide_head_hopeful("", 0, 0, &why), TIDE_OK);
}

static void mutated_heads_never_crash(void **state)
{
    static const char good[] = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n"
                               "Transfer-Encoding: chunked\r\nConnection: close\r\nExpect: 100\r\n"
                               "\r\n";
    static const char splice[] = "\r\n :\t/?#%GET1\x80\x7f\x01,";
    const char *given = getenv("TIDE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    size_t taken = 0;

    (void)state;
    print_message("TIDE_SEED=%u\n", seed);
    for (int round = 0; round < 50000; round++) {
        char text[sizeof(good)];
        size_t len = sizeof(good) - 1;
        struct tide_head head;
        char *bytes;

        memcpy(text, good, sizeof(good));
        for (int n = rand_r(&seed) % 4; n >= 0; n--) {
            size_t at = (size_t)rand_r(&seed) % len;

            if (rand_r(&seed) % 3) {
                text[at] = splice[(size_t)rand_r(&seed) % (sizeof(splice) - 1)];
            } else {
                size_t drop = (size_t)rand_r(&seed) % (len - at);

                memmove(text + at, text + at + drop, len - at - drop);
                len -= drop;
            }
        }
        if (parse(text, len, &head, &bytes) == 0) {
            assert_true(head.path[0] == '/' || strcmp(head.path, "*") == 0 ||
                        strcmp(head.method_name, "CONNECT") == 0);
            assert_true(head.body_bytes <= TIDE_REQUEST_BODY_MAX);
            taken++;
        }
        free(bytes);
    }
    assert_true(taken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_taken_apart),
        cmocka_unit_test(targets_have_three_forms),
        cmocka_unit_test(a_connection_lives_as_version_and_header_say),
        cmocka_unit_test(what_two_programs_could_read_differently_is_refused),
        cmocka_unit_test(each_bound_holds_and_one_more_is_refused),
        cmocka_unit_test(noise_is_refused_before_its_end),
        cmocka_unit_test(mutated_heads_never_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
