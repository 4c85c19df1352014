/* moment - seconds in many coats. Integers stay integers; a float is rounded to the microsecond
 * once. */
#include "moment.h"

#include "number.h"
#include "tidemark/clock.h"

/* msgpack's own timestamp: 4 bytes of seconds, or 30 bits of nanoseconds and 34 of seconds, or 4
 * and 8 bytes. */
static bool read_timestamp(const struct tide_value *value, int64_t *ret_us)
{
    uint64_t packed;

    switch (value->len) {
    case 4:
        return tide_moment_make(tide_get_be32(value->data), 0, ret_us);
    case 8:
        packed = tide_get_be64(value->data);
        return tide_moment_make(packed & 0x3ffffffff, (uint32_t)(packed >> 34), ret_us);
    case 12: /* negative seconds become huge ones, which are out of range as well */
        return tide_moment_make(tide_get_be64(value->data + 4), tide_get_be32(value->data), ret_us);
    default:
        return false;
    }
}

static bool read_seconds(double seconds, int64_t *ret_us)
{
    if (!(seconds >= 0 && seconds <= TIDE_MOMENT_SECONDS_MAX))
        return false;
    *ret_us = (int64_t)(seconds * 1e6 + 0.5);
    return true;
}

bool tide_moment_read_slow(const struct tide_value *value, int64_t *ret_us)
{
    switch (value->type) {
    case TIDE_NIL:
        *ret_us = 0;
        return true;
    case TIDE_UINT:
        return tide_moment_make(value->whole, 0, ret_us);
    case TIDE_FLOAT:
        return read_seconds(value->real, ret_us);
    case TIDE_EXT:
        if (value->ext == 0 && value->len == 8)
            return tide_moment_make(tide_get_be32(value->data), tide_get_be32(value->data + 4),
                                    ret_us);
        return value->ext == -1 && read_timestamp(value, ret_us);
    default:
        return false;
    }
}

bool tide_moment_read_field(const struct tide_value *value, int64_t *ret_us)
{
    struct tide_number number;
    int64_t us;

    if (value->type == TIDE_NIL || value->type == TIDE_EXT)
        return tide_moment_read_slow(value, ret_us);
    if (tide_number_read(value, &number)) {
        if (number.real > TIDE_MOMENT_MILLIS_MIN)
            return read_seconds(number.real / 1000, ret_us);
        return read_seconds(number.real, ret_us);
    }
    if (!tide_value_is_text(value) ||
        !tide_time_parse((const char *)value->data, value->len, &us) || us < 0 ||
        us > (int64_t)TIDE_MOMENT_SECONDS_MAX * 1000000)
        return false;
    *ret_us = us;
    return true;
}
