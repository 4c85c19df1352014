/* moment - the moment of an entry, from any of the forms that clients send. */
#ifndef TIDEMARK_WIRE_MOMENT_H
#define TIDEMARK_WIRE_MOMENT_H

#include <stdbool.h>
#include <stdint.h>
#include "cursor.h"

#define TIDE_MOMENT_SECONDS_MAX \
    UINT32_MAX /* year 2106: what EventTime can say; later is taken for milliseconds */
#define TIDE_MOMENT_MILLIS_MIN 100000000000 /* a `timestamp` above 10^11 is in milliseconds */

/* Seconds and nanoseconds -> *ret_us, 0 = arrival. False: out of range. */
static inline bool tide_moment_make(uint64_t seconds, uint32_t nanoseconds, int64_t *ret_us)
{
    if (seconds > TIDE_MOMENT_SECONDS_MAX || nanoseconds >= 1000000000)
        return false;
    *ret_us = (int64_t)seconds * 1000000 + nanoseconds / 1000;
    return true;
}

/* The protocol's time: EventTime (ext 0), msgpack timestamp (ext -1), integer or float seconds; nil
 * and 0 are arrival (*ret_us = 0). The value is no container. False: none of these, negative, or
 * out of range. */
bool tide_moment_read_slow(const struct tide_value *value, int64_t *ret_us);

static inline bool tide_moment_read(const struct tide_value *value, int64_t *ret_us)
{
    if (value->type == TIDE_EXT && value->ext == 0 && value->len == 8)
        return tide_moment_make(tide_get_be32(value->data), tide_get_be32(value->data + 4), ret_us);
    return tide_moment_read_slow(value, ret_us);
}

/* Field `timestamp` of a bare map: as above, and seconds as text, RFC 3339, and milliseconds. */
bool tide_moment_read_field(const struct tide_value *value, int64_t *ret_us);

#endif
