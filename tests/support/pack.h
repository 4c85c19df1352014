/* pack - msgpack for tests, written as JSON with single quotes: {'module_id': 'auth', 'status':
 * 500}.
 *
 * What JSON cannot say is given in hexadecimal: a text or key "hex:d6ff65536500" stands for these
 * very bytes.
 */
#ifndef TIDE_TEST_PACK_H
#define TIDE_TEST_PACK_H

#include <stddef.h>
#include <stdint.h>

struct tide_pack {
    uint8_t *data;
    size_t len;
};

/* Packs what the format says; the result is freed by tide_pack_free. Aborts when it is no JSON. */
struct tide_pack tide_pack(const char *json, ...) __attribute__((format(printf, 1, 2)));
struct tide_pack tide_pack_hex(const char *hex);
void tide_pack_free(struct tide_pack *pack);

/* One after the other; frees both. */
struct tide_pack tide_pack_join(struct tide_pack a, struct tide_pack b);

/* data as one gzip member. */
struct tide_pack tide_pack_gzip(const void *data, size_t len);

/* The value of TIDE_SEED or one that differs from run to run; printed, so that a failure can be
 * replayed. */
uint64_t tide_test_seed(void);

/* The next number of a small generator. */
uint64_t tide_test_random(uint64_t *seed);

#endif
