/* custom - a module's own metrics: what it reports by name with `event: metric`.
 *
 * Values are integers in millionths, so that sums are exact and every combination is commutative
 * and associative. A record keeps the 64 smallest names; all others are merged under one name.
 * Which those are depends on the set of names alone, not on the order in which they came.
 */
#ifndef TIDEMARK_CUSTOM_H
#define TIDEMARK_CUSTOM_H

#include <stdbool.h>
#include <stdint.h>

#define TIDE_METRIC_NAME_MAX 128     /* bytes, by the rule of module names */
#define TIDE_METRIC_SCALE    1000000 /* a value of 1 */
#define TIDE_METRIC_MAX      9e12    /* values lie strictly between minus this and this */
#define TIDE_METRIC_UNITS    (INT64_C(9000000000000) * TIDE_METRIC_SCALE) /* the same, scaled */

#define TIDE_CUSTOMS_MAX     64 /* names of their own */
#define TIDE_CUSTOM_OVERFLOW "__overflow__"

struct tide_custom {
    __int128 sum;   /* exact: |value| < 2^63 and fewer than 2^64 of them */
    uint64_t count; /* > 0; a sampled event counts as often as it weighs */
    int64_t min, max;
    int64_t last;    /* the newest; of two at one moment the larger ... */
    int64_t time_us; /* ... and its time */
    uint16_t len;
    char name[TIDE_METRIC_NAME_MAX];
};

/* Those of one record: ascending by name, at most TIDE_CUSTOMS_MAX, then the overflow, if any. All
 * zero is empty. */
struct tide_customs {
    struct tide_custom *item;
    uint16_t count, capacity;
};

void tide_customs_fini(struct tide_customs *customs);
void tide_customs_copy(struct tide_customs *into, const struct tide_customs *from);

/* One value; name[0, len) of 1..TIDE_METRIC_NAME_MAX bytes. */
void tide_customs_fold(struct tide_customs *into, const char *name, uint32_t len, int64_t value,
                       int64_t time_us, uint32_t weight);
void tide_customs_merge_one(struct tide_customs *into, const struct tide_custom *from);
void tide_customs_merge(struct tide_customs *into, const struct tide_customs *from);
bool tide_customs_equal(const struct tide_customs *a, const struct tide_customs *b);

/* Order within a record: by bytes, the overflow after all others. */
int tide_custom_order(const char *a, uint32_t a_len, const char *b, uint32_t b_len);

#endif
