/* customs - the custom metrics of n records as columns: every name once, then what each has to say
 * over time. FORMAT.md "custom metrics" has the bytes. Exact for whatever a record can hold, sums
 * of 128 bits included; a metric that sends one value an interval costs little more than the value.
 */
#ifndef STORAGE_CUSTOMS_H
#define STORAGE_CUSTOMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/custom.h"
#include "txn.h"

/* What the first metric of each record is compared with. */
struct customs_base {
    const uint64_t *events;   /* metric events of the record */
    const int64_t *newest_us; /* its newest event */
};

/* Appends the metrics of of[0, n), n <= COLUMN_VALUES_MAX; at least one record has some. */
void customs_encode(struct blob *to, const struct tide_customs *const *of, size_t n,
                    const struct customs_base *base);

/* Decoded metrics. Kept from one decoding to the next for its memory. */
struct customs {
    struct tide_custom *item; /* record by record, ascending by name within one */
    size_t item_capacity;

    /* while decoding */
    struct customs_name *name;
    struct customs_place *place; /* name by name: the records that have it */
    size_t name_capacity, places, place_capacity;
};

void customs_init(struct customs *customs);
void customs_fini(struct customs *customs);

/* Decodes what customs_encode wrote for n records from [*from, end). ret_of[i]: those of record i,
 * lent by `into`. False: damaged; ret_of then means nothing. Memory: at most 65 items a record. */
bool customs_decode(const uint8_t **from, const uint8_t *end, size_t n,
                    const struct customs_base *base, struct customs *into,
                    struct tide_customs *ret_of);

#endif
