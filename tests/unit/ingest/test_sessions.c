/* Whole sessions of real clients with the servers they met, word for word: HELO, PING, PONG,
 * requests and acks. The recorded server's nonce and name are given to ours, so that the recorded
 * PING proves the key here, too, and every byte that we answer can be compared with what was
 * recorded.
 */
#include "fixture.h"

#include <sys/random.h>
#include <sys/stat.h>

#define SESSION_SIZE 1024
#define BATCH        150 /* connections at a time */

static char folder[] = "/tmp/tidemark-sessions-XXXXXX";
static char key_file[64], other_file[64], users_file[64];

/* ---- chance and the machine's name, as they were ---- */

static struct {
    uint8_t nonce[TIDE_NONCE_SIZE], auth[TIDE_NONCE_SIZE];
    unsigned drawn; /* nonce and auth in turns: there is one shard */
} recorded;

/* Stands before libc's: what our server draws in a handshake is what the recorded one drew. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    static uint8_t next;

    (void)flags;
    if (len == TIDE_NONCE_SIZE)
        memcpy(out, recorded.drawn++ % 2 ? recorded.auth : recorded.nonce, len);
    else
        for (size_t i = 0; i < len; i++)
            ((uint8_t *)out)[i] = next++;
    return (ssize_t)len;
}

int gethostname(char *name, size_t size)
{
    snprintf(name, size, "srv.test");
    return 0;
}

/* ---- sessions ---- */

struct session {
    const char *name;
    uint8_t client[SESSION_SIZE], server[SESSION_SIZE];
    size_t client_len, server_len, helo_len;
    bool refused;
    uint64_t events;
};

static size_t load(const char *name, const char *side, uint8_t *into)
{
    char path[512];
    size_t len;
    FILE *file;

    snprintf(path, sizeof(path), "%s/wire/%s.%s.bin", TIDE_GOLDEN, name, side);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    len = fread(into, 1, SESSION_SIZE, file);
    fclose(file);
    assert_true(len > 0 && len < SESSION_SIZE);
    return len;
}

static void take_random(const struct session *session, const char *key, uint8_t *into)
{
    const uint8_t *at = memmem(session->server, session->helo_len, key, strlen(key));

    assert_non_null(at);
    memcpy(into, at + strlen(key), TIDE_NONCE_SIZE);
}

/* Reads the session and makes our server the one it was with. */
static struct session restage(const char *name, uint64_t events)
{
    struct tide_ingest_cfg cfg = {.max_connections = 2 * BATCH};
    struct session session = {.name = name, .events = events, .refused = events == 0};
    struct tide_frame_scan scan;

    session.client_len = load(name, "c2s", session.client);
    session.server_len = load(name, "s2c", session.server);
    tide_frame_reset(&scan);
    assert_int_equal(
        tide_frame_next(&scan, session.server, session.server_len, SESSION_SIZE, &session.helo_len),
        TIDE_OK);
    take_random(&session, "nonce\xc4\x10", recorded.nonce);
    take_random(&session, "auth\xc4\x10", recorded.auth);
    recorded.drawn = 0;
    snprintf(cfg.access.shared_key_file, sizeof(cfg.access.shared_key_file), "%s",
             session.refused ? other_file : key_file);
    snprintf(cfg.access.users_file, sizeof(cfg.access.users_file), "%s", users_file);
    serve(cfg);
    return session;
}

static void hear_exactly(const struct session *session, int fd, size_t from, size_t to)
{
    uint8_t heard[SESSION_SIZE];

    hear(fd, heard, to - from);
    if (memcmp(heard, session->server + from, to - from) != 0)
        fail_msg("%s: bytes %zu to %zu of the answer differ", session->name, from, to);
}

static int enter(const struct session *session)
{
    int fd = dial();

    hear_exactly(session, fd, 0, session->helo_len);
    return fd;
}

/* Says client[from, to), and returns once the server has read it. */
static void say_part(const struct session *session, int fd, size_t from, size_t to)
{
    uint64_t before = tide_counted(TIDE_COUNT_RECEIVED_BYTES);

    say(fd, session->client + from, to - from);
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) == before + to - from);
}

/* The rest of what was recorded, and nothing behind it. */
static void leave(const struct session *session, int fd)
{
    hear_exactly(session, fd, session->helo_len, session->server_len);
    if (!session->refused)
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
    hear_end(fd);
    close(fd);
}

static void whole(const struct session *session)
{
    int fd = enter(session);

    say_part(session, fd, 0, session->client_len);
    leave(session, fd);
}

static void byte_by_byte(const struct session *session)
{
    int fd = enter(session);

    for (size_t at = 0; at < session->client_len; at++)
        say_part(session, fd, at, at + 1);
    leave(session, fd);
}

/* Many at a time: a refusal takes its second. */
static void cut_at_every_offset(const struct session *session)
{
    for (size_t first = 1; first < session->client_len; first += BATCH) {
        size_t last = first + BATCH < session->client_len ? first + BATCH : session->client_len;
        int fd[BATCH];

        for (size_t cut = first; cut < last; cut++) {
            fd[cut - first] = enter(session);
            say_part(session, fd[cut - first], 0, cut);
        }
        for (size_t cut = first; cut < last; cut++)
            say_part(session, fd[cut - first], cut, session->client_len);
        for (size_t cut = first; cut < last; cut++)
            leave(session, fd[cut - first]);
    }
}

/* Feeds in all three ways; each counts the same events and the same handshake. */
static void play(const char *name, uint64_t events)
{
    uint64_t good = tide_counted(TIDE_COUNT_HANDSHAKES),
             bad = tide_counted(TIDE_COUNT_HANDSHAKES_KEY), feeds;
    struct session session = restage(name, events);

    feeds = 2 + session.client_len - 1;
    whole(&session);
    byte_by_byte(&session);
    cut_at_every_offset(&session);
    assert_int_equal(stored(), events * feeds);
    assert_int_equal(rejected(), 0);
    assert_int_equal(tide_counted(TIDE_COUNT_HANDSHAKES) - good, session.refused ? 0 : feeds);
    assert_int_equal(tide_counted(TIDE_COUNT_HANDSHAKES_KEY) - bad, session.refused ? feeds : 0);
}

static void npm_fluent_logger_is_let_in_and_acked_in_the_recorded_words(void **state)
{
    (void)state;
    play("fl-auth-user", 3);
}

static void fluent_bit_is_let_in_and_acked_in_the_recorded_words(void **state)
{
    (void)state;
    play("fluentbit-auth-user", 1);
}

static void fluentd_with_another_key_is_refused_in_the_recorded_words(void **state)
{
    (void)state;
    play("fluentd-auth-badkey", 0);
}

/* The same PING, once its nonce is gone. */
static void a_recorded_ping_is_worth_nothing_under_another_nonce(void **state)
{
    struct session session = restage("fluentbit-auth-user", 1);
    uint64_t bad = tide_counted(TIDE_COUNT_HANDSHAKES_KEY);
    uint8_t helo[TIDE_HELO_SIZE], pong[TIDE_PONG_SIZE];
    size_t len = tide_pong_refuse(pong, "shared_key mismatch");
    uint8_t heard[TIDE_PONG_SIZE];
    int fd;

    (void)state;
    whole(&session);
    recorded.nonce[15] ^= 1;
    fd = dial();
    hear(fd, helo, session.helo_len);
    say(fd, session.client, session.client_len);
    hear(fd, heard, len);
    assert_memory_equal(heard, pong, len);
    hear_end(fd);
    close(fd);
    assert_int_equal(tide_counted(TIDE_COUNT_HANDSHAKES_KEY), bad + 1);
    assert_int_equal(stored(), 1);
}

/* ---- files ---- */

static void write_file(char path[64], const char *name, const char *text)
{
    FILE *file;

    snprintf(path, 64, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file(key_file, "key", "s3cr3t\n");
    write_file(other_file, "other", "other\n");
    write_file(users_file, "users", "alice:pw\n");
    return 0;
}

static int cleanup(void **state)
{
    (void)state;
    unlink(key_file);
    unlink(other_file);
    unlink(users_file);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(npm_fluent_logger_is_let_in_and_acked_in_the_recorded_words,
                                  teardown),
        cmocka_unit_test_teardown(fluent_bit_is_let_in_and_acked_in_the_recorded_words, teardown),
        cmocka_unit_test_teardown(fluentd_with_another_key_is_refused_in_the_recorded_words,
                                  teardown),
        cmocka_unit_test_teardown(a_recorded_ping_is_worth_nothing_under_another_nonce, teardown),
    };

    return cmocka_run_group_tests(tests, setup, cleanup);
}
