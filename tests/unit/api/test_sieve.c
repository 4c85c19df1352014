/* What evhttp gets to see, whatever comes and however it is cut. */
#include "sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GET  "GET / HTTP/1.1\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\n\r\n"

struct shown {
    const char *text; /* what evhttp reads for it */
    int status;       /* of the refusal; 0: none */
    bool close;
};

/* Requests in a row, and what becomes of each. */
static const struct {
    const char *text;
    struct shown shown;
} row[] = {
    {"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", {"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", 0, false}},
    {"\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
     {"HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n", 0, false}},
    {"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /",
     {"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /", 0, false}},
    {"BREW /d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /", {GET, 405, false}},
    {"GET //h/e HTTP/1.1\r\nHost: x\r\n\r\n", {GET, 404, false}},
    {"HEAD //h/e HTTP/1.1\r\nHost: x\r\n\r\n", {HEAD, 404, false}},
    {"GET http://h/f?g HTTP/1.1\r\nHost: x\r\n\r\n",
     {"GET /f?g HTTP/1.1\r\nHost: x\r\n\r\n", 0, false}},
    {"DELETE https://h?g HTTP/1.1\r\nHost: x\r\n\r\n",
     {"DELETE /?g HTTP/1.1\r\nHost: x\r\n\r\n", 0, false}},
    {"GET /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     {"GET /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, false}},
    {"GET /i HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n",
     {"GET /i HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n", 0, true}},
};

#define ROWS (sizeof(row) / sizeof(row[0]))

static unsigned seed_get(void)
{
    const char *given = getenv("TIDE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

    print_message("TIDE_SEED=%u\n", seed);
    return seed;
}

/* Takes what evhttp would read of one request: all that was expected, no byte more. */
static void expect(struct evbuffer *input, const struct tide_sifted *sifted,
                   const struct shown *shown)
{
    const size_t len = strlen(shown->text);
    char got[256] = "";

    assert_true(evbuffer_get_length(input) >= len);
    evbuffer_remove(input, got, len);
    assert_string_equal(got, shown->text);
    assert_int_equal(sifted->refused ? sifted->refusal.status : 0, shown->status);
    assert_int_equal(sifted->close, shown->close);
}

static void requests_come_out_one_by_one_however_they_are_cut(void **state)
{
    unsigned seed = seed_get();
    char all[4096] = "";
    size_t len;

    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        strcat(all, row[i].text);
    len = strlen(all);
    for (int round = 0; round < 3000; round++) {
        struct evbuffer *input = evbuffer_new();
        struct tide_sieve sieve = {0};
        const int piece_max = 1 + rand_r(&seed) % 200;
        size_t at = 0, seen = 0;

        while (at < len) {
            size_t piece = 1 + (size_t)(rand_r(&seed) % piece_max);
            struct tide_sifted sifted;

            if (piece > len - at)
                piece = len - at;
            evbuffer_add(input, all + at, piece);
            at += piece;
            while (tide_sieve_look(&sieve, input, &sifted) == TIDE_OK) {
                assert_true(seen < ROWS);
                expect(input, &sifted, &row[seen].shown);
                seen++;
            }
            assert_int_equal(evbuffer_get_length(input), 0);
        }
        assert_int_equal(seen, ROWS);
        assert_int_equal(sieve.held_len, 0);
        tide_sieve_fini(&sieve);
        evbuffer_free(input);
    }
}

static void what_is_refused_takes_everything_behind_it_along(void **state)
{
    static const struct {
        const char *text;
        struct shown shown;
    } bad[] = {
        {"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", {GET, 400, true}},
        {"HEAD /a HTTP/1.1\r\n\r\nrest", {HEAD, 400, true}},
        {"BREW /a HTTP/1.0\r\n\r\nrest", {GET, 405, true}},
        {"GET /a HTTP/1.1\nHost: x\n\n", {GET, 400, true}},
        {"\x16\x03\x01", {GET, 400, true}},
        {"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         {GET, 411, true}},
        {"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", {GET, 413, true}},
        {"BREW /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
         {GET, 405, true}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct evbuffer *input = evbuffer_new();
        struct tide_sieve sieve = {0};
        struct tide_sifted sifted;

        evbuffer_add(input, bad[i].text, strlen(bad[i].text));
        assert_int_equal(tide_sieve_look(&sieve, input, &sifted), TIDE_OK);
        expect(input, &sifted, &bad[i].shown);
        assert_int_equal(evbuffer_get_length(input), 0);
        tide_sieve_fini(&sieve);
        evbuffer_free(input);
    }
}

static void who_waits_for_a_go_ahead_is_let_through_without_his_body(void **state)
{
    static const char head[] =
        "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    struct evbuffer *input = evbuffer_new();
    struct tide_sieve sieve = {0};
    struct tide_sifted sifted;

    (void)state;
    evbuffer_add(input, head, strlen(head));
    assert_int_equal(tide_sieve_look(&sieve, input, &sifted), TIDE_OK);
    assert_true(sifted.unfinished && !sifted.refused);
    expect(input, &sifted, &(struct shown){head, 0, false});
    tide_sieve_fini(&sieve);
    evbuffer_free(input);
}

static void what_is_held_is_bounded(void **state)
{
    static char noise[64 * 1024];
    struct evbuffer *input = evbuffer_new();
    struct tide_sieve sieve = {0};
    struct tide_sifted sifted;
    size_t sent = (size_t)sprintf(noise, "GET / HTTP/1.1\r\nX: ");

    (void)state;
    memset(noise + sent, 'x', sizeof(noise) - sent);
    for (sent = 0; sent < sizeof(noise); sent += 512) {
        evbuffer_add(input, noise + sent, 512);
        if (tide_sieve_look(&sieve, input, &sifted) == TIDE_OK)
            break;
        assert_true(sieve.held_size <= 3 * TIDE_HEAD_BYTES_MAX);
    }
    assert_int_equal(sifted.refusal.status, 431);
    assert_true(sent < TIDE_HEAD_BYTES_MAX + 512);
    assert_int_equal(sieve.held_len, 0);
    evbuffer_free(input);
}

static void a_request_that_is_late_is_refused_half_as_it_is(void **state)
{
    static const struct tide_refusal late = {408, "request_timeout", "late"};
    struct evbuffer *input = evbuffer_new();
    struct tide_sieve sieve = {0};
    struct tide_sifted sifted;

    (void)state;
    evbuffer_add(input, "HEAD /a", 7);
    assert_int_equal(tide_sieve_look(&sieve, input, &sifted), TIDE_AGAIN);
    assert_int_equal(evbuffer_get_length(input), 0);
    assert_int_equal(tide_sieve_refuse(&sieve, input, &late, &sifted), TIDE_OK);
    expect(input, &sifted, &(struct shown){HEAD, 408, true});
    assert_int_equal(evbuffer_get_length(input), 0);
    evbuffer_free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_out_one_by_one_however_they_are_cut),
        cmocka_unit_test(what_is_refused_takes_everything_behind_it_along),
        cmocka_unit_test(who_waits_for_a_go_ahead_is_let_through_without_his_body),
        cmocka_unit_test(what_is_held_is_bounded),
        cmocka_unit_test(a_request_that_is_late_is_refused_half_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
