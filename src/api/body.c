/* body - see body.h. A history answer holds more than a million numbers: printing them through
 * printf costs 200-500 ns each, through a table of two digits about 15.
 */
#include "body.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_MAX 9e15 /* integers below this are exact in a double */

void tide_body_fini(struct tide_body *body)
{
    free(body->data);
    *body = (struct tide_body){0};
}

char *tide_body_reserve(struct tide_body *body, size_t size)
{
    size_t capacity = body->capacity ? body->capacity : 1024;
    char *grown;

    if (body->failed)
        return NULL;
    if (body->capacity - body->len >= size)
        return body->data + body->len;
    while (capacity - body->len < size)
        capacity *= 2;
    grown = realloc(body->data, capacity);
    if (!grown) {
        body->failed = true;
        return NULL;
    }
    body->data = grown;
    body->capacity = capacity;
    return body->data + body->len;
}

void tide_body_add(struct tide_body *body, const void *data, size_t len)
{
    char *out = tide_body_reserve(body, len);

    if (!out)
        return;
    memcpy(out, data, len);
    body->len += len;
}

void tide_body_text(struct tide_body *body, const char *text)
{
    tide_body_add(body, text, strlen(text));
}

void tide_body_format(struct tide_body *body, const char *format, ...)
{
    va_list args, again;
    int len;
    char *out;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    out = tide_body_reserve(body, (size_t)len + 1);
    if (out) {
        vsnprintf(out, (size_t)len + 1, format, again);
        body->len += (size_t)len;
    }
    va_end(again);
}

static const char two_digits[201] = "00010203040506070809101112131415161718192021222324"
                                    "25262728293031323334353637383940414243444546474849"
                                    "50515253545556575859606162636465666768697071727374"
                                    "75767778798081828384858687888990919293949596979899";

static unsigned digits_of(uint64_t value)
{
    unsigned digits = 1;

    for (; value >= 10000; value /= 10000)
        digits += 4;
    return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

char *tide_put_uint(char *out, uint64_t value)
{
    char *end = out + digits_of(value), *at = end;

    while (value >= 100) {
        at -= 2;
        memcpy(at, two_digits + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(out, two_digits + value * 2, 2);
    else
        *out = (char)('0' + value);
    return end;
}

/* The decimals of 0 < fraction < 10^6 without trailing zeros. */
static char *put_millionths(char *out, uint32_t fraction)
{
    memcpy(out, two_digits + fraction / 10000 * 2, 2);
    memcpy(out + 2, two_digits + fraction / 100 % 100 * 2, 2);
    memcpy(out + 4, two_digits + fraction % 100 * 2, 2);
    out += 6;
    while (out[-1] == '0')
        out--;
    return out;
}

char *tide_put_real(char *out, double value, unsigned decimals)
{
    static const uint64_t power[] = {1,      10,      100,      1000,      10000,
                                     100000, 1000000, 10000000, 100000000, 1000000000};
    double scaled;
    uint64_t units, rest;

    assert(isfinite(value) && decimals < sizeof(power) / sizeof(power[0]));
    scaled = fabs(value) * (double)power[decimals];
    if (scaled >= EXACT_MAX)
        return out + snprintf(out, TIDE_NUMBER_SIZE, "%.17g", value);
    units = (uint64_t)(scaled + 0.5);
    if (value < 0 && units > 0)
        *out++ = '-';
    if (decimals == 0)
        return tide_put_uint(out, units);
    if (decimals == 6) { /* nearly all of them: the divisor is known, and so there is no division */
        out = tide_put_uint(out, units / 1000000);
        if (units % 1000000 == 0)
            return out;
        *out++ = '.';
        return put_millionths(out, (uint32_t)(units % 1000000));
    }
    out = tide_put_uint(out, units / power[decimals]);
    rest = units % power[decimals];
    if (rest == 0)
        return out;
    *out++ = '.';
    while (rest) {
        *out++ = (char)('0' + rest / power[decimals - 1]);
        rest = rest % power[decimals - 1];
        decimals--;
    }
    return out;
}

void tide_body_uint(struct tide_body *body, uint64_t value)
{
    char *out = tide_body_reserve(body, TIDE_NUMBER_SIZE);

    if (out)
        body->len += (size_t)(tide_put_uint(out, value) - out);
}

void tide_body_real(struct tide_body *body, double value, unsigned decimals)
{
    char *out = tide_body_reserve(body, TIDE_NUMBER_SIZE);

    if (out)
        body->len += (size_t)(tide_put_real(out, value, decimals) - out);
}
