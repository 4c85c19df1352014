/* handshake - HELO, PING and PONG: both sides prove that they know the shared key without saying
 * it.
 *
 * Each proof is a SHA-512 over the key and what the other side chose at random: the server its
 * nonce, the client its salt. So a PING that was overheard is worth nothing on another connection.
 * The bytes that are hashed are raw: some clients send a salt that is no text, and nothing here
 * looks inside. Nonce and auth go out as bin, which every client takes; as str some break.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "cursor.h"

#define RAW_DIGEST_SIZE 64

/* Lower-case hexadecimal SHA-512 over the parts in order. OpenSSL fails only without memory. */
static void digest_of(const struct tide_text *part, size_t parts, char ret[TIDE_DIGEST_SIZE])
{
    static const char digit[] = "0123456789abcdef";
    uint8_t raw[RAW_DIGEST_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned size = 0;

    if (!context || EVP_DigestInit_ex(context, EVP_sha512(), NULL) != 1)
        abort();
    for (size_t i = 0; i < parts; i++)
        if (EVP_DigestUpdate(context, part[i].start, part[i].len) != 1)
            abort();
    if (EVP_DigestFinal_ex(context, raw, &size) != 1 || size != RAW_DIGEST_SIZE)
        abort();
    EVP_MD_CTX_free(context);
    for (size_t i = 0; i < RAW_DIGEST_SIZE; i++) {
        ret[2 * i] = digit[raw[i] >> 4];
        ret[2 * i + 1] = digit[raw[i] & 15];
    }
}

static bool digest_is(const struct tide_text *claimed, const struct tide_text *part, size_t parts)
{
    char digest[TIDE_DIGEST_SIZE];

    digest_of(part, parts, digest);
    return claimed->len == TIDE_DIGEST_SIZE &&
           CRYPTO_memcmp(claimed->start, digest, TIDE_DIGEST_SIZE) == 0;
}

static struct tide_text nonce_text(const uint8_t *nonce)
{
    return (struct tide_text){(const char *)nonce, TIDE_NONCE_SIZE};
}

/* ---- writing ---- */

static uint8_t *put_str(uint8_t *to, const char *text, size_t len)
{
    assert(len <= 255);
    if (len < 32) {
        *to++ = (uint8_t)(0xa0 | len);
    } else {
        *to++ = 0xd9;
        *to++ = (uint8_t)len;
    }
    memcpy(to, text, len);
    return to + len;
}

static uint8_t *put_word(uint8_t *to, const char *word)
{
    return put_str(to, word, strlen(word));
}

static uint8_t *put_nonce(uint8_t *to, const uint8_t *nonce)
{
    *to++ = 0xc4;
    *to++ = TIDE_NONCE_SIZE;
    memcpy(to, nonce, TIDE_NONCE_SIZE);
    return to + TIDE_NONCE_SIZE;
}

size_t tide_helo_write(uint8_t *out, const uint8_t *nonce, const uint8_t *auth)
{
    uint8_t *to = out;

    *to++ = 0x92;
    to = put_word(to, "HELO");
    *to++ = 0x83;
    to = put_word(to, "nonce");
    to = put_nonce(to, nonce);
    to = put_word(to, "auth");
    to = auth ? put_nonce(to, auth) : put_word(to, "");
    to = put_word(to, "keepalive");
    *to++ = 0xc3;
    assert((size_t)(to - out) <= TIDE_HELO_SIZE);
    return (size_t)(to - out);
}

size_t tide_pong_welcome(uint8_t *out, const struct tide_ping *ping, const uint8_t *nonce,
                         const struct tide_text *server, const struct tide_text *key)
{
    const struct tide_text part[] = {ping->salt, *server, nonce_text(nonce), *key};
    char digest[TIDE_DIGEST_SIZE];
    uint8_t *to = out;

    assert(server->len <= TIDE_PONG_NAME_MAX);
    digest_of(part, sizeof(part) / sizeof(part[0]), digest);
    *to++ = 0x95;
    to = put_word(to, "PONG");
    *to++ = 0xc3;
    to = put_word(to, "");
    to = put_str(to, server->start, server->len);
    to = put_str(to, digest, sizeof(digest));
    assert((size_t)(to - out) <= TIDE_PONG_SIZE);
    return (size_t)(to - out);
}

size_t tide_pong_refuse(uint8_t *out, const char *reason)
{
    size_t len = strlen(reason);
    uint8_t *to = out;

    *to++ = 0x95;
    to = put_word(to, "PONG");
    *to++ = 0xc2;
    to = put_str(to, reason, len < TIDE_PONG_REASON_MAX ? len : TIDE_PONG_REASON_MAX);
    to = put_word(to, "");
    to = put_word(to, "");
    return (size_t)(to - out);
}

/* ---- reading ---- */

static bool read_text(struct tide_cursor *cursor, size_t max, struct tide_text *ret)
{
    struct tide_value value;

    if (!tide_cursor_read(cursor, &value) || !tide_value_is_text(&value) || value.len > max)
        return false;
    *ret = tide_value_text(&value);
    return true;
}

enum tide_rc tide_ping_parse(const uint8_t *frame, size_t len, struct tide_ping *ret)
{
    struct tide_cursor cursor = {frame, frame + len};
    struct tide_value array, word;
    struct tide_ping ping;

    if (!tide_cursor_read(&cursor, &array) || array.type != TIDE_ARRAY || array.len != 6 ||
        !tide_cursor_read(&cursor, &word) || !tide_value_is(&word, "PING") ||
        !read_text(&cursor, TIDE_PEER_NAME_MAX, &ping.hostname) ||
        !read_text(&cursor, TIDE_PING_MAX, &ping.salt) ||
        !read_text(&cursor, TIDE_PING_MAX, &ping.key_digest) ||
        !read_text(&cursor, TIDE_PEER_NAME_MAX, &ping.user) ||
        !read_text(&cursor, TIDE_PING_MAX, &ping.password_digest))
        return TIDE_MALFORMED;
    *ret = ping;
    return TIDE_OK;
}

bool tide_ping_knows_key(const struct tide_ping *ping, const uint8_t *nonce,
                         const struct tide_text *key)
{
    const struct tide_text part[] = {ping->salt, ping->hostname, nonce_text(nonce), *key};

    return digest_is(&ping->key_digest, part, sizeof(part) / sizeof(part[0]));
}

bool tide_ping_knows_password(const struct tide_ping *ping, const uint8_t *auth,
                              const struct tide_text *password)
{
    const struct tide_text part[] = {nonce_text(auth), ping->user, *password};

    return digest_is(&ping->password_digest, part, sizeof(part) / sizeof(part[0]));
}

/* ---- the client's side ---- */

/* One name and its value in a HELO; what we do not know is stepped over. */
static bool read_greeting(struct tide_cursor *cursor, struct tide_helo *helo)
{
    struct tide_value name, value;

    if (!tide_cursor_read(cursor, &name) || !tide_cursor_skip_inside(cursor, &name) ||
        !tide_cursor_read(cursor, &value) || !tide_cursor_skip_inside(cursor, &value))
        return false;
    if (tide_value_is_text(&value) && tide_value_is(&name, "nonce"))
        helo->nonce = tide_value_text(&value);
    else if (tide_value_is_text(&value) && tide_value_is(&name, "auth"))
        helo->auth = tide_value_text(&value);
    return true;
}

enum tide_rc tide_helo_parse(const uint8_t *frame, size_t len, struct tide_helo *ret)
{
    struct tide_cursor cursor = {frame, frame + len};
    struct tide_helo helo = {.nonce = {"", 0}, .auth = {"", 0}};
    struct tide_value array, word, map;

    if (!tide_cursor_read(&cursor, &array) || array.type != TIDE_ARRAY || array.len != 2 ||
        !tide_cursor_read(&cursor, &word) || !tide_value_is(&word, "HELO") ||
        !tide_cursor_read(&cursor, &map) || map.type != TIDE_MAP)
        return TIDE_MALFORMED;
    for (uint32_t i = 0; i < map.len; i++)
        if (!read_greeting(&cursor, &helo))
            return TIDE_MALFORMED;
    if (helo.nonce.len == 0)
        return TIDE_MALFORMED;
    *ret = helo;
    return TIDE_OK;
}

size_t tide_ping_write(uint8_t *out, const struct tide_helo *helo, const struct tide_login *login)
{
    const struct tide_text key_part[] = {login->salt, login->hostname, helo->nonce, login->key};
    const struct tide_text user_part[] = {helo->auth, login->user, login->password};
    char digest[TIDE_DIGEST_SIZE];
    uint8_t *to = out;

    static_assert(8 + 5 * (2 + TIDE_LOGIN_NAME_MAX) <= TIDE_PING_MAX, "a PING fits");
    *to++ = 0x96;
    to = put_word(to, "PING");
    to = put_str(to, login->hostname.start, login->hostname.len);
    to = put_str(to, login->salt.start, login->salt.len);
    digest_of(key_part, sizeof(key_part) / sizeof(key_part[0]), digest);
    to = put_str(to, digest, sizeof(digest));
    if (helo->auth.len > 0) {
        to = put_str(to, login->user.start, login->user.len);
        digest_of(user_part, sizeof(user_part) / sizeof(user_part[0]), digest);
        to = put_str(to, digest, sizeof(digest));
    } else {
        to = put_word(to, "");
        to = put_word(to, "");
    }
    return (size_t)(to - out);
}

enum tide_rc tide_pong_parse(const uint8_t *frame, size_t len, struct tide_pong *ret)
{
    struct tide_cursor cursor = {frame, frame + len};
    struct tide_value array, word, welcome;
    struct tide_pong pong;

    if (!tide_cursor_read(&cursor, &array) || array.type != TIDE_ARRAY || array.len != 5 ||
        !tide_cursor_read(&cursor, &word) || !tide_value_is(&word, "PONG") ||
        !tide_cursor_read(&cursor, &welcome) || welcome.type != TIDE_BOOL ||
        !read_text(&cursor, len, &pong.reason) || !read_text(&cursor, len, &pong.server) ||
        !read_text(&cursor, len, &pong.digest))
        return TIDE_MALFORMED;
    pong.welcome = welcome.truth;
    *ret = pong;
    return TIDE_OK;
}

bool tide_pong_knows_key(const struct tide_pong *pong, const struct tide_helo *helo,
                         const struct tide_login *login)
{
    const struct tide_text part[] = {login->salt, pong->server, helo->nonce, login->key};

    return digest_is(&pong->digest, part, sizeof(part) / sizeof(part[0]));
}
