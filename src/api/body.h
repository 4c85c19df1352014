/* body - the growing bytes of one answer, and numbers as text. An allocation that fails is
 * remembered and everything after it does nothing, so that a writer reads straight down; the answer
 * is then 503.
 */
#ifndef API_BODY_H
#define API_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tide_body {
    char *data;
    size_t len, capacity;
    bool failed;
};

void tide_body_fini(struct tide_body *body);

/* Room for `size` more bytes, or NULL after a failure. The caller adds what it wrote to body->len.
 */
char *tide_body_reserve(struct tide_body *body, size_t size);

void tide_body_add(struct tide_body *body, const void *data, size_t len);
void tide_body_text(struct tide_body *body, const char *text);
void tide_body_format(struct tide_body *body, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define TIDE_NUMBER_SIZE 40

/* Write a number without terminator, return its end. A real has at most `decimals` (0..9) decimals,
 * trailing zeros are left out; it must be finite. */
char *tide_put_uint(char *out, uint64_t value);
char *tide_put_real(char *out, double value, unsigned decimals);

void tide_body_uint(struct tide_body *body, uint64_t value);
void tide_body_real(struct tide_body *body, double value, unsigned decimals);

#endif
