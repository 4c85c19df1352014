/* The handshake as bytes: what real clients and the servers they met said, and what is no PING. */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;

/* A session as it was recorded: HELO and PONG of the server, PING and what followed of the client.
 */
struct session {
    uint8_t server[1024], client[1024];
    size_t server_len, client_len, helo_len, ping_len;
    uint8_t nonce[TIDE_NONCE_SIZE], auth[TIDE_NONCE_SIZE];
};

static size_t load(const char *name, const char *side, uint8_t *into, size_t size)
{
    char path[512];
    size_t len;
    FILE *file;

    snprintf(path, sizeof(path), "%s/wire/%s.%s.bin", TIDE_GOLDEN, name, side);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    len = fread(into, 1, size, file);
    fclose(file);
    return len;
}

static size_t first_frame(const uint8_t *data, size_t len)
{
    struct tide_frame_scan scan;
    size_t size = 0;

    tide_frame_reset(&scan);
    assert_int_equal(tide_frame_next(&scan, data, len, TIDE_PING_MAX, &size), TIDE_OK);
    return size;
}

static struct session recorded(const char *name)
{
    struct session session = {.server_len = 0};
    const uint8_t *at;

    session.server_len = load(name, "s2c", session.server, sizeof(session.server));
    session.client_len = load(name, "c2s", session.client, sizeof(session.client));
    session.helo_len = first_frame(session.server, session.server_len);
    session.ping_len = first_frame(session.client, session.client_len);
    at = memmem(session.server, session.helo_len, "nonce\xc4\x10", 7);
    assert_non_null(at);
    memcpy(session.nonce, at + 7, TIDE_NONCE_SIZE);
    at = memmem(session.server, session.helo_len, "auth\xc4\x10", 6);
    assert_non_null(at);
    memcpy(session.auth, at + 6, TIDE_NONCE_SIZE);
    return session;
}

static struct tide_text text_of(const char *text)
{
    return (struct tide_text){text, (uint32_t)strlen(text)};
}

static struct tide_ping ping_of(const uint8_t *frame, size_t len)
{
    struct tide_ping ping;

    assert_int_equal(tide_ping_parse(tide_guard_place(&guard, frame, len), len, &ping), TIDE_OK);
    return ping;
}

static void recorded_clients_prove_key_and_password(void **state)
{
    static const char *const name[] = {"fl-auth-user", "fluentbit-auth-user"};
    const struct tide_text key = text_of("s3cr3t"), password = text_of("pw");
    const struct tide_text wrong_key = text_of("s3cr3T"), wrong_password = text_of("pW");

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        struct session session = recorded(name[i]);
        struct tide_ping ping = ping_of(session.client, session.ping_len);
        uint8_t other[TIDE_NONCE_SIZE];

        assert_int_equal(ping.user.len, 5);
        assert_memory_equal(ping.user.start, "alice", 5);
        assert_true(tide_ping_knows_key(&ping, session.nonce, &key));
        assert_false(tide_ping_knows_key(&ping, session.nonce, &wrong_key));
        assert_true(tide_ping_knows_password(&ping, session.auth, &password));
        assert_false(tide_ping_knows_password(&ping, session.auth, &wrong_password));
        /* replayed against another nonce it proves nothing */
        memcpy(other, session.nonce, sizeof(other));
        other[15] ^= 1;
        assert_false(tide_ping_knows_key(&ping, other, &key));
        memcpy(other, session.auth, sizeof(other));
        other[0] ^= 0x80;
        assert_false(tide_ping_knows_password(&ping, other, &password));
    }
}

static void our_words_are_those_the_recorded_servers_said(void **state)
{
    static const char *const name[] = {"fl-auth-user", "fluentbit-auth-user"};
    const struct tide_text key = text_of("s3cr3t"), server = text_of("srv.test");
    uint8_t out[TIDE_PONG_SIZE];
    size_t pong_len;

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        struct session session = recorded(name[i]);
        struct tide_ping ping = ping_of(session.client, session.ping_len);

        assert_int_equal(tide_helo_write(out, session.nonce, session.auth), session.helo_len);
        assert_memory_equal(out, session.server, session.helo_len);
        pong_len =
            first_frame(session.server + session.helo_len, session.server_len - session.helo_len);
        assert_int_equal(tide_pong_welcome(out, &ping, session.nonce, &server, &key), pong_len);
        assert_memory_equal(out, session.server + session.helo_len, pong_len);
    }
}

static void recorded_client_with_another_key_is_refused_in_the_same_words(void **state)
{
    const struct tide_text key = text_of("other");
    struct session session = recorded("fluentd-auth-badkey");
    struct tide_ping ping = ping_of(session.client, session.ping_len);
    uint8_t out[TIDE_PONG_SIZE];

    (void)state;
    assert_false(tide_ping_knows_key(&ping, session.nonce, &key));
    assert_int_equal(tide_pong_refuse(out, "shared_key mismatch"),
                     session.server_len - session.helo_len);
    assert_memory_equal(out, session.server + session.helo_len,
                        session.server_len - session.helo_len);
}

static void helo_without_users_has_an_empty_auth(void **state)
{
    const uint8_t nonce[TIDE_NONCE_SIZE] = "0123456789abcdef";
    struct tide_pack want = tide_pack_hex("92a448454c4f83a56e6f6e6365c41030313233343536373839616263"
                                          "646566a461757468a0a96b656570616c697665c3");
    uint8_t out[TIDE_HELO_SIZE];

    (void)state;
    assert_int_equal(tide_helo_write(out, nonce, NULL), want.len);
    assert_memory_equal(out, want.data, want.len);
    tide_pack_free(&want);
}

static void longest_names_and_reasons_fit(void **state)
{
    const uint8_t nonce[TIDE_NONCE_SIZE] = {0};
    const struct tide_text key = text_of("k");
    const struct tide_ping ping = {.salt = text_of("s")};
    uint8_t out[TIDE_PONG_SIZE];
    struct tide_text server;
    char long_text[1001];

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    server = (struct tide_text){long_text, TIDE_PONG_NAME_MAX};
    assert_true(tide_pong_welcome(out, &ping, nonce, &server, &key) <= TIDE_PONG_SIZE);
    assert_int_equal(tide_pong_refuse(out, long_text),
                     1 + 5 + 1 + 2 + TIDE_PONG_REASON_MAX + 1 + 1);
}

static void what_is_no_ping_is_malformed(void **state)
{
    static const char *const bad[] = {"null",
                                      "5",
                                      "{}",
                                      "[]",
                                      "['PING']",
                                      "['PING','h','s','d','u']",
                                      "['PING','h','s','d','u','p','x']",
                                      "['PONG','h','s','d','u','p']",
                                      "['ping','h','s','d','u','p']",
                                      "['PING',1,'s','d','u','p']",
                                      "['PING','h',null,'d','u','p']",
                                      "['PING','h','s',[],'u','p']",
                                      "['PING','h','s','d',{},'p']",
                                      "['PING','h','s','d','u',true]",
                                      "['mod.auth',[[1,{}]]]"};
    struct tide_ping ping;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tide_pack pack = tide_pack("%s", bad[i]);

        if (tide_ping_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, &ping) !=
            TIDE_MALFORMED)
            fail_msg("taken: %s", bad[i]);
        tide_pack_free(&pack);
    }
}

static void names_are_taken_up_to_their_bound(void **state)
{
    char name[TIDE_PEER_NAME_MAX + 2];
    struct tide_ping ping;

    (void)state;
    for (size_t len = TIDE_PEER_NAME_MAX; len <= TIDE_PEER_NAME_MAX + 1; len++) {
        enum tide_rc want = len <= TIDE_PEER_NAME_MAX ? TIDE_OK : TIDE_MALFORMED;
        struct tide_pack host, user;

        memset(name, 'n', len);
        name[len] = '\0';
        host = tide_pack("['PING','%s','s','d','u','p']", name);
        user = tide_pack("['PING','h','s','d','%s','p']", name);
        assert_int_equal(tide_ping_parse(host.data, host.len, &ping), want);
        assert_int_equal(tide_ping_parse(user.data, user.len, &ping), want);
        tide_pack_free(&host);
        tide_pack_free(&user);
    }
}

/* Every cut and many mutants of real PINGs: no byte beyond the frame is touched. */
static void cut_and_mutated_pings_are_read_within_their_bytes(void **state)
{
    struct session session = recorded("fluentbit-auth-user");
    const struct tide_text key = text_of("s3cr3t");
    uint64_t seed = tide_test_seed();
    struct tide_ping ping;

    (void)state;
    for (size_t len = 0; len < session.ping_len; len++)
        assert_int_equal(tide_ping_parse(tide_guard_place(&guard, session.client, len), len, &ping),
                         TIDE_MALFORMED);
    for (int round = 0; round < 5000; round++) {
        uint8_t mutant[1024];
        size_t at = tide_test_random(&seed) % session.ping_len;

        memcpy(mutant, session.client, session.ping_len);
        mutant[at] ^= (uint8_t)(1 + tide_test_random(&seed) % 255);
        if (tide_ping_parse(tide_guard_place(&guard, mutant, session.ping_len), session.ping_len,
                            &ping) == TIDE_OK &&
            tide_ping_knows_key(&ping, session.nonce, &key)) {
            /* the key's digest covers the rest: only the user's part can have changed */
            assert_memory_equal(mutant, session.client, session.ping_len - 2 - 6 - 128);
        }
    }
}

/* ---- the client's side ---- */

static struct tide_login login_of(const struct tide_ping *ping, const char *key)
{
    return (struct tide_login){.hostname = ping->hostname,
                               .salt = ping->salt,
                               .key = text_of(key),
                               .user = ping->user,
                               .password = text_of("pw")};
}

static struct tide_helo helo_of(const struct session *session)
{
    struct tide_helo helo;

    assert_int_equal(tide_helo_parse(session->server, session->helo_len, &helo), TIDE_OK);
    return helo;
}

static void our_ping_is_that_of_the_recorded_clients(void **state)
{
    static const char *const name[] = {"fl-auth-user", "fluentbit-auth-user",
                                       "fluentd-auth-badkey"};
    uint8_t out[TIDE_PING_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        struct session session = recorded(name[i]);
        struct tide_ping ping = ping_of(session.client, session.ping_len);
        struct tide_login login = login_of(&ping, "s3cr3t");
        struct tide_helo helo = helo_of(&session);

        assert_int_equal(tide_ping_write(out, &helo, &login), session.ping_len);
        assert_memory_equal(out, session.client, session.ping_len);
    }
}

static void no_user_is_said_where_none_is_asked_for(void **state)
{
    const uint8_t nonce[TIDE_NONCE_SIZE] = "0123456789abcdef";
    struct tide_login login = {.hostname = text_of("h"),
                               .salt = text_of("s"),
                               .key = text_of("k"),
                               .user = text_of("alice"),
                               .password = text_of("pw")};
    uint8_t out[TIDE_PING_MAX], helo_bytes[TIDE_HELO_SIZE];
    struct tide_helo helo;
    struct tide_ping ping;
    size_t len = tide_helo_write(helo_bytes, nonce, NULL);

    (void)state;
    assert_int_equal(tide_helo_parse(helo_bytes, len, &helo), TIDE_OK);
    assert_int_equal(helo.auth.len, 0);
    ping = ping_of(out, tide_ping_write(out, &helo, &login));
    assert_true(tide_ping_knows_key(&ping, nonce, &login.key));
    assert_int_equal(ping.user.len, 0);
    assert_int_equal(ping.password_digest.len, 0);
}

static void recorded_servers_prove_the_key_and_impostors_do_not(void **state)
{
    static const char *const name[] = {"fl-auth-user", "fluentbit-auth-user"};

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        struct session session = recorded(name[i]);
        struct tide_ping ping = ping_of(session.client, session.ping_len);
        struct tide_login login = login_of(&ping, "s3cr3t");
        struct tide_helo helo = helo_of(&session), other = helo;
        const uint8_t *frame = session.server + session.helo_len;
        size_t len = first_frame(frame, session.server_len - session.helo_len);
        struct tide_pong pong;

        assert_int_equal(tide_pong_parse(tide_guard_place(&guard, frame, len), len, &pong),
                         TIDE_OK);
        assert_true(pong.welcome);
        assert_true(tide_pong_knows_key(&pong, &helo, &login));
        other.nonce.len--;
        assert_false(tide_pong_knows_key(&pong, &other, &login)); /* of another connection */
        login.key = text_of("s3cr3T");
        assert_false(tide_pong_knows_key(&pong, &helo, &login));
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(tide_pong_parse(tide_guard_place(&guard, frame, cut), cut, &pong),
                             TIDE_MALFORMED);
    }
}

static void a_refusal_gives_its_reason(void **state)
{
    struct session session = recorded("fluentd-auth-badkey");
    struct tide_pong pong;

    (void)state;
    assert_int_equal(tide_pong_parse(session.server + session.helo_len,
                                     session.server_len - session.helo_len, &pong),
                     TIDE_OK);
    assert_false(pong.welcome);
    assert_int_equal(pong.reason.len, strlen("shared_key mismatch"));
    assert_memory_equal(pong.reason.start, "shared_key mismatch", pong.reason.len);
}

static void what_is_no_helo_or_pong_is_malformed(void **state)
{
    static const char *const bad[] = {"null",
                                      "['HELO']",
                                      "['HELO',{}]",
                                      "['HELO',{'nonce':1}]",
                                      "['HELO',{'nonce':''}]",
                                      "['HELO',{'nonce':'n'},1]",
                                      "['PING',{'nonce':'n'}]",
                                      "['HELO','nonce']",
                                      "['PONG',true,'','s']",
                                      "['PONG',1,'','s','d']",
                                      "['PONG',true,null,'s','d']",
                                      "['PONG',true,'','s','d','x']",
                                      "{'ack':'x'}"};
    struct session session = recorded("fl-auth-user");
    struct tide_helo helo;
    struct tide_pong pong;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tide_pack pack = tide_pack("%s", bad[i]);

        assert_int_equal(
            tide_helo_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, &helo),
            TIDE_MALFORMED);
        assert_int_equal(
            tide_pong_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, &pong),
            TIDE_MALFORMED);
        tide_pack_free(&pack);
    }
    for (size_t cut = 0; cut < session.helo_len; cut++)
        assert_int_equal(tide_helo_parse(tide_guard_place(&guard, session.server, cut), cut, &helo),
                         TIDE_MALFORMED);
}

static int setup(void **state)
{
    (void)state;
    tide_guard_init(&guard, TIDE_PING_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_guard_fini(&guard);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_clients_prove_key_and_password),
        cmocka_unit_test(our_words_are_those_the_recorded_servers_said),
        cmocka_unit_test(recorded_client_with_another_key_is_refused_in_the_same_words),
        cmocka_unit_test(helo_without_users_has_an_empty_auth),
        cmocka_unit_test(longest_names_and_reasons_fit),
        cmocka_unit_test(what_is_no_ping_is_malformed),
        cmocka_unit_test(names_are_taken_up_to_their_bound),
        cmocka_unit_test(cut_and_mutated_pings_are_read_within_their_bytes),
        cmocka_unit_test(our_ping_is_that_of_the_recorded_clients),
        cmocka_unit_test(no_user_is_said_where_none_is_asked_for),
        cmocka_unit_test(recorded_servers_prove_the_key_and_impostors_do_not),
        cmocka_unit_test(a_refusal_gives_its_reason),
        cmocka_unit_test(what_is_no_helo_or_pong_is_malformed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
