/* number - texts that are numbers, strictly.
 *
 * The grammar is checked here, byte by byte and bounded; only then is a value made of it. Up to 15
 * digits with a small exponent are exact in a double, and one multiplication or division by an
 * exact power of ten rounds once, which is correct rounding. The rest goes to the C library, in the
 * "C" locale whatever the process has set.
 */
#include "number.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_DIGITS 15 /* 10^15 < 2^53 */
#define EXACT_POWER  22 /* 5^22 < 2^53, so 10^22 is a double */

static const double power_of_ten[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* text[0, len) has been checked to be a decimal number. */
static bool parse_slowly(const char *text, size_t len, double *ret)
{
    char copy[TIDE_NUMBER_TEXT_MAX + 1];
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* static in glibc: no memory */
    double real;

    if (!c_locale)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    real = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    if (real - real != 0)
        return false;
    *ret = real;
    return true;
}

bool tide_number_parse(const char *text, size_t len, struct tide_number *ret)
{
    const char *p = text, *end = text + len;
    uint64_t digits_value = 0;
    unsigned digits = 0;      /* all of them */
    unsigned significant = 0; /* without leading zeros */
    bool negative = false, exact = true, fraction = false;
    int exponent = 0;

    if (len == 0 || len > TIDE_NUMBER_TEXT_MAX)
        return false;
    if (*p == '+' || *p == '-')
        negative = *p++ == '-';
    for (; p < end; p++) {
        unsigned digit = (unsigned)(unsigned char)*p - '0';

        if (*p == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (digit > 9)
            break;
        digits++;
        if (significant > 0 || digit > 0)
            significant++;
        if (fraction)
            exponent--;
        exact = exact && !__builtin_mul_overflow(digits_value, 10, &digits_value) &&
                !__builtin_add_overflow(digits_value, digit, &digits_value);
    }
    if (digits == 0)
        return false;
    if (p < end) {
        bool minus = false;
        int given = 0;

        if (*p != 'e' && *p != 'E')
            return false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            minus = *p++ == '-';
        if (p == end)
            return false;
        for (; p < end; p++) {
            unsigned digit = (unsigned)(unsigned char)*p - '0';

            if (digit > 9)
                return false;
            if (given < 100000)
                given = given * 10 + (int)digit;
        }
        exponent += minus ? -given : given;
    }

    ret->is_whole = false;
    if (exact && significant <= EXACT_DIGITS && exponent >= -EXACT_POWER &&
        exponent <= EXACT_POWER) {
        ret->real = (double)digits_value;
        if (exponent < 0)
            ret->real /= power_of_ten[-exponent];
        else
            ret->real *= power_of_ten[exponent];
        if (negative)
            ret->real = -ret->real;
    } else if (!parse_slowly(text, len, &ret->real)) {
        return false;
    }
    if (exact && exponent == 0 && (!negative || digits_value == 0)) {
        ret->whole = digits_value;
        ret->is_whole = true;
    }
    return true;
}
