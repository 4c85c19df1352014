/* The handshake: nobody who does not have the key is let in, whatever he sends; who has it is,
 * under any name; and nothing of a right PING can be changed, nor used on another connection.
 *
 * Input: one byte that chooses a bit, and the frame that a peer sends instead of a PING.
 */
#include "fuzz.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include "tidemark/wire.h"

/* No input can hold their digests, but by having them found. */
static const struct tide_text key = {"a key that no input knows: 6f0c41d2", 35};
static const struct tide_text password = {"nor this: 93ab77e0", 18};
static const uint8_t nonce[TIDE_NONCE_SIZE] = "sixteen bytes ..";
static const uint8_t auth[TIDE_NONCE_SIZE] = "sixteen others..";
static const uint8_t other_nonce[TIDE_NONCE_SIZE] = "another sixteen.";

/* Our own reading of the protocol's proofs. */
static void prove(const struct tide_text *part, size_t parts, char ret[TIDE_DIGEST_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t raw[TIDE_DIGEST_SIZE / 2];
    char text[TIDE_DIGEST_SIZE + 1];

    claim(context && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1);
    for (size_t i = 0; i < parts; i++)
        claim(EVP_DigestUpdate(context, part[i].start, part[i].len) == 1);
    claim(EVP_DigestFinal_ex(context, raw, NULL) == 1);
    EVP_MD_CTX_free(context);
    for (size_t i = 0; i < sizeof(raw); i++)
        snprintf(text + 2 * i, 3, "%02x", raw[i]);
    memcpy(ret, text, TIDE_DIGEST_SIZE);
}

static struct tide_text text_of(const uint8_t bytes[TIDE_NONCE_SIZE])
{
    return (struct tide_text){(const char *)bytes, TIDE_NONCE_SIZE};
}

static bool inside(const struct tide_text *text, const uint8_t *frame, size_t len)
{
    const uint8_t *start = (const uint8_t *)text->start;

    return start >= frame && start + text->len <= frame + len;
}

/* A peer of this name and salt, who has the key and the password. */
static void try_with_the_key(const struct tide_ping *named, uint8_t choice)
{
    const struct tide_text proof[] = {named->salt, named->hostname, text_of(nonce), key};
    const struct tide_text user_proof[] = {text_of(auth), named->user, password};
    char digest[TIDE_DIGEST_SIZE], user_digest[TIDE_DIGEST_SIZE];
    struct tide_ping ping = *named;
    uint8_t pong[TIDE_PONG_SIZE];
    const struct tide_text server = {"tidemark", 8};

    prove(proof, sizeof(proof) / sizeof(proof[0]), digest);
    prove(user_proof, sizeof(user_proof) / sizeof(user_proof[0]), user_digest);
    ping.key_digest = (struct tide_text){digest, sizeof(digest)};
    ping.password_digest = (struct tide_text){user_digest, sizeof(user_digest)};
    claim(tide_ping_knows_key(&ping, nonce, &key));
    claim(tide_ping_knows_password(&ping, auth, &password));
    claim(tide_pong_welcome(pong, &ping, nonce, &server, &key) <= TIDE_PONG_SIZE);
    /* heard on one connection, said on another */
    claim(!tide_ping_knows_key(&ping, other_nonce, &key));
    claim(!tide_ping_knows_password(&ping, other_nonce, &password));
    /* another bit, and fewer */
    digest[choice % TIDE_DIGEST_SIZE] ^= (char)(1 << (choice >> 5));
    user_digest[choice % TIDE_DIGEST_SIZE] ^= (char)(1 << (choice >> 5));
    claim(!tide_ping_knows_key(&ping, nonce, &key));
    claim(!tide_ping_knows_password(&ping, auth, &password));
    digest[choice % TIDE_DIGEST_SIZE] ^= (char)(1 << (choice >> 5));
    ping.key_digest.len = choice % TIDE_DIGEST_SIZE;
    claim(!tide_ping_knows_key(&ping, nonce, &key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tide_frame_scan scan;
    struct tide_ping ping;
    size_t len = 0;
    uint8_t *frame;

    if (size < 2)
        return 0;
    tide_frame_reset(&scan);
    if (tide_frame_next(&scan, data + 1, size - 1, TIDE_PING_MAX, &len) != TIDE_OK)
        return 0; /* noise: refused before anybody looks for a PING in it */
    frame = fuzz_copy(data + 1, len);
    if (tide_ping_parse(frame, len, &ping) == TIDE_OK) {
        claim(inside(&ping.hostname, frame, len) && inside(&ping.salt, frame, len) &&
              inside(&ping.key_digest, frame, len) && inside(&ping.user, frame, len) &&
              inside(&ping.password_digest, frame, len));
        claim(ping.hostname.len <= TIDE_PEER_NAME_MAX && ping.user.len <= TIDE_PEER_NAME_MAX);
        claim(!tide_ping_knows_key(&ping, nonce, &key));
        claim(!tide_ping_knows_password(&ping, auth, &password));
        try_with_the_key(&ping, data[0]);
    }
    free(frame);
    return 0;
}
