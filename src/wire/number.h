/* number - what may count as a number in a record: any msgpack number, or a text that is one and
 * nothing else. */
#ifndef TIDEMARK_WIRE_NUMBER_H
#define TIDEMARK_WIRE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cursor.h"

#define TIDE_NUMBER_TEXT_MAX 64 /* bytes of a number written as text */

struct tide_number {
    double real;    /* finite */
    uint64_t whole; /* exact, when is_whole */
    bool is_whole;  /* an integer in [0, 2^64) */
};

/* Reads text[0, len): [+-] digits [. digits] [e [+-] digits], with a digit on at least one side of
 * the point. No blanks, no hexadecimal, no names, nothing after it. False: it is no number, or too
 * large for a double. */
bool tide_number_parse(const char *text, size_t len, struct tide_number *ret);

/* The number in a value; false for other types, for NaN and for infinity. */
static inline bool tide_number_read(const struct tide_value *value, struct tide_number *ret)
{
    switch (value->type) {
    case TIDE_UINT:
        ret->real = (double)value->whole;
        ret->whole = value->whole;
        ret->is_whole = true;
        return true;
    case TIDE_INT:
        ret->real = (double)value->minus;
        ret->is_whole = false;
        return true;
    case TIDE_FLOAT:
        ret->real = value->real;
        ret->is_whole = false;
        return value->real - value->real == 0; /* neither NaN nor infinite */
    case TIDE_STR:
    case TIDE_BIN:
        return tide_number_parse((const char *)value->data, value->len, ret);
    default:
        return false;
    }
}

#endif
