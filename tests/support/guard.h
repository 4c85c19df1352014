/* guard - input that ends where readable memory ends: one byte read too far is a crash, with or
 * without sanitizers. */
#ifndef TIDE_TEST_GUARD_H
#define TIDE_TEST_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct tide_guard {
    uint8_t *map;
    size_t room; /* readable bytes; an unreadable page follows */
    size_t page;
};

/* Room for inputs of up to `most` bytes. */
void tide_guard_init(struct tide_guard *guard, size_t most);
void tide_guard_fini(struct tide_guard *guard);

/* Copies data so that its last byte is the last readable one; valid until the next place. */
const uint8_t *tide_guard_place(struct tide_guard *guard, const void *data, size_t len);

#endif
