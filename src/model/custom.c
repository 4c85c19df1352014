/* custom - fold and merge of a module's own metrics. See the door for the model. */
#include "tidemark/custom.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define OVERFLOW_LEN (sizeof(TIDE_CUSTOM_OVERFLOW) - 1)

static bool is_overflow(const char *name, uint32_t len)
{
    return len == OVERFLOW_LEN && memcmp(name, TIDE_CUSTOM_OVERFLOW, OVERFLOW_LEN) == 0;
}

int tide_custom_order(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    if (order == 0)
        order = (a_len > b_len) - (a_len < b_len);
    if (order == 0)
        return 0;
    if (is_overflow(a, a_len))
        return 1;
    return is_overflow(b, b_len) ? -1 : order;
}

/* Wraps where the exact sum cannot be: with as many values as a count can hold it never does. */
static __int128 add(__int128 a, __int128 b)
{
    return (__int128)((unsigned __int128)a + (unsigned __int128)b);
}

static void combine(struct tide_custom *into, const struct tide_custom *from)
{
    into->sum = add(into->sum, from->sum);
    into->count += from->count;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    if (from->time_us > into->time_us ||
        (from->time_us == into->time_us && from->last > into->last)) {
        into->last = from->last;
        into->time_us = from->time_us;
    }
}

/* First index whose name is not below name; *ret_there: it is that name. */
static unsigned place_of(const struct tide_customs *customs, const char *name, uint32_t len,
                         bool *ret_there)
{
    unsigned low = 0, high = customs->count;

    *ret_there = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct tide_custom *item = &customs->item[middle];
        int order = tide_custom_order(item->name, item->len, name, len);

        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
            *ret_there = *ret_there || order == 0;
        }
    }
    return low;
}

static bool has_overflow(const struct tide_customs *customs)
{
    return customs->count && is_overflow(customs->item[customs->count - 1].name,
                                         customs->item[customs->count - 1].len);
}

static void insert(struct tide_customs *customs, unsigned at, const struct tide_custom *from,
                   const char *name, uint32_t len)
{
    struct tide_custom *item;

    if (customs->count == customs->capacity) {
        unsigned capacity = customs->capacity ? customs->capacity * 2u : 1;

        customs->item = tide_must_realloc(customs->item, capacity * sizeof(*customs->item));
        customs->capacity = (uint16_t)capacity;
    }
    item = customs->item + at;
    memmove(item + 1, item, (customs->count - at) * sizeof(*item));
    customs->count++;
    memcpy(item, from, offsetof(struct tide_custom, len));
    item->len = (uint16_t)len;
    memcpy(item->name, name, len);
}

/* The figures of `from` under the given name. */
static void merge_as(struct tide_customs *into, const struct tide_custom *from, const char *name,
                     uint32_t len)
{
    bool there;
    unsigned at = place_of(into, name, len, &there), own;
    struct tide_custom last;

    if (there) {
        combine(&into->item[at], from);
        return;
    }
    own = into->count - has_overflow(into);
    if (at >= TIDE_CUSTOMS_MAX && !is_overflow(name, len)) {
        merge_as(into, from, TIDE_CUSTOM_OVERFLOW, OVERFLOW_LEN);
        return;
    }
    if (own < TIDE_CUSTOMS_MAX || is_overflow(name, len)) {
        insert(into, at, from, name, len);
        return;
    }
    last = into->item[own - 1];
    memmove(into->item + own - 1, into->item + own, (into->count - own) * sizeof(*into->item));
    into->count--;
    insert(into, at, from, name, len);
    merge_as(into, &last, TIDE_CUSTOM_OVERFLOW, OVERFLOW_LEN);
}

void tide_customs_fold(struct tide_customs *into, const char *name, uint32_t len, int64_t value,
                       int64_t time_us, uint32_t weight)
{
    struct tide_custom one;

    assert(len > 0 && len <= TIDE_METRIC_NAME_MAX && weight > 0 && time_us > 0);
    assert(value > -TIDE_METRIC_UNITS && value < TIDE_METRIC_UNITS);
    one.sum = (__int128)value * weight;
    one.count = weight;
    one.min = one.max = one.last = value;
    one.time_us = time_us;
    merge_as(into, &one, name, len);
}

void tide_customs_merge_one(struct tide_customs *into, const struct tide_custom *from)
{
    merge_as(into, from, from->name, from->len);
}

void tide_customs_merge(struct tide_customs *into, const struct tide_customs *from)
{
    for (unsigned i = 0; i < from->count; i++)
        tide_customs_merge_one(into, &from->item[i]);
}

void tide_customs_fini(struct tide_customs *customs)
{
    free(customs->item);
    *customs = (struct tide_customs){0};
}

void tide_customs_copy(struct tide_customs *into, const struct tide_customs *from)
{
    if (from->count > into->capacity) {
        into->item = tide_must_realloc(into->item, from->count * sizeof(*into->item));
        into->capacity = from->count;
    }
    if (from->count)
        memcpy(into->item, from->item, from->count * sizeof(*into->item));
    into->count = from->count;
}

bool tide_customs_equal(const struct tide_customs *a, const struct tide_customs *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        const struct tide_custom *x = &a->item[i], *y = &b->item[i];

        if (x->sum != y->sum || x->count != y->count || x->min != y->min || x->max != y->max ||
            x->last != y->last || x->time_us != y->time_us || x->len != y->len ||
            memcmp(x->name, y->name, x->len) != 0)
            return false;
    }
    return true;
}
