/* folded - what a parcel's facts come to, folded by the book: one record per module and interval,
 * in order of first appearance. */
#ifndef TIDE_TEST_FOLDED_H
#define TIDE_TEST_FOLDED_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/parcel.h"
#include "tidemark/record.h"

struct tide_folded {
    char name[TIDE_MODULE_NAME_MAX + 1];
    uint32_t name_len;
    int64_t start_s;
    struct tide_record record;
};

/* Fills at most max of them; returns how many. Freed by tide_folded_free. Aborts when there are
 * more. */
size_t tide_test_fold(const struct tide_parcel *parcel, uint32_t interval_s,
                      struct tide_folded *out, size_t max);
void tide_folded_free(struct tide_folded *folded, size_t count);

#endif
