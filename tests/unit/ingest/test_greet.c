/* Who a greeted peer is: his name and not his address is his part of a chunk's identity. */
#include "fixture.h"

#include <openssl/evp.h>
#include <sys/stat.h>

static char folder[] = "/tmp/tidemark-greet-XXXXXX";
static char key_file[64], users_file[64];

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(key_file, sizeof(key_file), "%s/key", folder);
    snprintf(users_file, sizeof(users_file), "%s/users", folder);
    write_file(key_file, "s3cr3t\n");
    write_file(users_file, "alice:pw\nbob:pw\n");
    return 0;
}

static int cleanup(void **state)
{
    (void)state;
    unlink(key_file);
    unlink(users_file);
    return rmdir(folder);
}

/* Puts the hexadecimal SHA-512 of what is in `all`, and empties it. */
static void put_digest(struct bytes *out, struct bytes *all)
{
    uint8_t raw[64];
    char text[129];

    assert_int_equal(EVP_Digest(all->data, all->len, raw, NULL, EVP_sha512(), NULL), 1);
    for (int i = 0; i < 64; i++)
        snprintf(text + 2 * i, 3, "%02x", raw[i]);
    put_text(out, text);
    all->len = 0;
}

/* One whole value. */
static size_t hear_value(int fd, uint8_t *into, size_t room)
{
    struct tide_frame_scan scan;
    size_t len = 0, size;

    tide_frame_reset(&scan);
    do {
        assert_true(len < room);
        hear(fd, into + len++, 1);
    } while (tide_frame_next(&scan, into, len, room, &size) == TIDE_AGAIN);
    assert_int_equal(size, len);
    return len;
}

/* The 16 random bytes of a HELO that stand behind this key. */
static const uint8_t *random_of(const uint8_t *helo, size_t len, const char *key)
{
    const uint8_t *at = memmem(helo, len, key, strlen(key));

    assert_non_null(at);
    at += strlen(key);
    assert_memory_equal(at, "\xc4\x10", 2);
    return at + 2;
}

/* A connection that has shown the key. */
static int enter_as(const char *host, const char *user)
{
    uint8_t helo[TIDE_HELO_SIZE], pong[TIDE_PONG_SIZE];
    struct bytes out = {0}, proof = {0};
    int fd = dial();
    size_t len = hear_value(fd, helo, sizeof(helo));

    put_byte(&out, 0x96);
    put_text(&out, "PING");
    put_text(&out, host);
    put_text(&out, "salt");
    put(&proof, "salt", 4);
    put(&proof, host, strlen(host));
    put(&proof, random_of(helo, len, "nonce"), TIDE_NONCE_SIZE);
    put(&proof, "s3cr3t", 6);
    put_digest(&out, &proof);
    put_text(&out, user ? user : "");
    if (user) {
        put(&proof, random_of(helo, len, "auth"), TIDE_NONCE_SIZE);
        put(&proof, user, strlen(user));
        put(&proof, "pw", 2);
        put_digest(&out, &proof);
    } else {
        put_text(&out, "");
    }
    say_bytes(fd, &out);
    hear_value(fd, pong, sizeof(pong));
    assert_memory_equal(pong, "\x95\xa4PONG\xc3\xa0", 8);
    free(out.data);
    free(proof.data);
    return fd;
}

static struct tide_hash128 identity_of(const char *host, const char *user)
{
    struct tide_hash128 identity;
    int fd = enter_as(host, user);
    uint64_t before = posted();

    exchange(fd, "the-same-chunk");
    close(fd);
    wait_until(posted() > before);
    pthread_mutex_lock(&puppet.lock);
    assert_true(puppet.note[puppet.notes - 1].has_identity);
    identity = puppet.note[puppet.notes - 1].identity;
    pthread_mutex_unlock(&puppet.lock);
    return identity;
}

static bool same(struct tide_hash128 a, struct tide_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void name_is_the_peer(void **state)
{
    struct tide_ingest_cfg cfg = {0};
    struct tide_hash128 first;

    (void)state;
    strcpy(cfg.access.shared_key_file, key_file);
    serve(cfg);
    first = identity_of("one.host", NULL);
    assert_true(same(identity_of("one.host", NULL), first));
    assert_false(same(identity_of("another.host", NULL), first));
}

static void user_is_part_of_the_name(void **state)
{
    struct tide_ingest_cfg cfg = {0};
    struct tide_hash128 first;

    (void)state;
    strcpy(cfg.access.shared_key_file, key_file);
    strcpy(cfg.access.users_file, users_file);
    serve(cfg);
    first = identity_of("one.host", "alice");
    assert_true(same(identity_of("one.host", "alice"), first));
    assert_false(same(identity_of("one.host", "bob"), first));
    assert_false(same(identity_of("another.host", "alice"), first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(name_is_the_peer, teardown),
        cmocka_unit_test_teardown(user_is_part_of_the_name, teardown),
    };

    return cmocka_run_group_tests(tests, setup, cleanup);
}
