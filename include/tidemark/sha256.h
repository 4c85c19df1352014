/* SHA-256 (FIPS 180-4): the checksum of a backup, one that anybody's tools can check. */
#ifndef TIDEMARK_SHA256_H
#define TIDEMARK_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define TIDE_SHA256_TEXT_SIZE 65

struct tide_sha256 {
    uint32_t state[8];
    uint64_t len; /* bytes so far */
    uint8_t block[64];
};

void tide_sha256_init(struct tide_sha256 *sha);
void tide_sha256_add(struct tide_sha256 *sha, const void *data, size_t len);

/* Ends it: 64 hex digits. Returns text. */
char *tide_sha256_text(struct tide_sha256 *sha, char text[TIDE_SHA256_TEXT_SIZE]);

#endif
