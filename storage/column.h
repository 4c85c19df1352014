/* column - n integers of 64 bits as bytes: frame of reference, bit packed, with patches for the
 * few that do not fit. FORMAT.md "column" has the bytes. Arithmetic is modulo 2^64 throughout, so
 * any values survive, signed or not.
 */
#ifndef STORAGE_COLUMN_H
#define STORAGE_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "txn.h"

#define COLUMN_VALUES_MAX 512

/* Appends value[0, n), n <= COLUMN_VALUES_MAX; nothing for n = 0. hint: n guesses, NULL without:
 * the column then holds the differences to them if that is shorter. The shortest of the forms is
 * chosen. */
void column_encode(struct blob *to, const uint64_t *value, size_t n, const uint64_t *hint);

/* Decodes n values from [*from, end), which must have been written with the same n and hint.
 * False: damaged; value is then undefined. */
bool column_decode(const uint8_t **from, const uint8_t *end, uint64_t *ret_value, size_t n,
                   const uint64_t *hint);

#endif
