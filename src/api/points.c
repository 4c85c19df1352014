/* points - the fields of a point, and what a client may say about them. See points.h. */
#include "points.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct tide_field_info tide_field_info[TIDE_FIELD_COUNT] = {
#define TIDE_X(id, name, kind, value) {name, TIDE_KIND_##kind},
    TIDE_FIELDS(TIDE_X)
#undef TIDE_X
};

#define TAKE_COUNT(value) return (uint64_t)(value);
#define TAKE_TIME(value)  return (uint64_t)(value);
#define TAKE_FLAG(value)  return value;
#define TAKE_WHOLE(value) break;
#define TAKE_REAL(value)  break;

uint64_t tide_field_count(const struct tide_point *point, unsigned field)
{
    switch (field) {
#define TIDE_X(id, name, kind, value) \
    case TIDE_FIELD_##id:             \
        TAKE_##kind(value)
        TIDE_FIELDS(TIDE_X)
#undef TIDE_X
    }
    assert(0 && "no count");
    return 0;
}

#undef TAKE_COUNT
#undef TAKE_TIME
#undef TAKE_FLAG
#undef TAKE_WHOLE
#undef TAKE_REAL
#define TAKE_COUNT(value) break;
#define TAKE_TIME(value)  break;
#define TAKE_FLAG(value)  break;
#define TAKE_WHOLE(value) return value;
#define TAKE_REAL(value)  return value;

double tide_field_real(const struct tide_point *point, unsigned field)
{
    switch (field) {
#define TIDE_X(id, name, kind, value) \
    case TIDE_FIELD_##id:             \
        TAKE_##kind(value)
        TIDE_FIELDS(TIDE_X)
#undef TIDE_X
    }
    assert(0 && "no real");
    return (double)NAN;
}

bool tide_fields_parse(const char *text, uint32_t *ret_fields)
{
    uint32_t fields = 1u << TIDE_FIELD_INTERVAL_START;

    static_assert(TIDE_FIELD_COUNT <= 32, "one bit each");
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned i;

        for (i = 0; i < TIDE_FIELD_COUNT; i++)
            if (strlen(tide_field_info[i].name) == len &&
                memcmp(tide_field_info[i].name, text, len) == 0)
                break;
        if (i == TIDE_FIELD_COUNT)
            return false;
        fields |= 1u << i;
        if (!text[len])
            break;
        text += len + 1;
    }
    *ret_fields = fields;
    return true;
}

void tide_quantile_name(double q, char name[TIDE_QUANTILE_NAME_SIZE])
{
    char *dot;

    snprintf(name, TIDE_QUANTILE_NAME_SIZE, "p%.12g", q * 100);
    dot = strchr(name, '.');
    if (dot)
        *dot = '_';
}
