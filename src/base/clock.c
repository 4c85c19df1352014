/* The only clock_gettime of the program, and RFC 3339 both ways.
 *
 * Calendar arithmetic is done here in integers: libc's gmtime takes the time zone lock, and a
 * history answer formats a hundred thousand times. Years are counted from March, so that the leap
 * day is a year's last one.
 */
#include "tidemark/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define US_PER_S  INT64_C(1000000)
#define S_PER_DAY INT64_C(86400)

static atomic_llong fake_us; /* 0: the clocks are real */

static int64_t read_us(clockid_t clock)
{
    struct timespec now;
    int64_t fake = atomic_load_explicit(&fake_us, memory_order_relaxed);
    int failed;

    if (fake)
        return fake;
    failed = clock_gettime(clock, &now);
    assert(!failed);
    (void)failed;
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t tide_clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t tide_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t tide_clock_cpu_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

void tide_clock_fake(int64_t wall_us)
{
    atomic_store_explicit(&fake_us, wall_us, memory_order_relaxed);
}

/* Days before March 1st of `year`, counted from March 1st of year 0. year >= 0. */
static int64_t days_before(int64_t year)
{
    return 365 * year + year / 4 - year / 100 + year / 400;
}

#define CYCLE_YEARS 400 /* the calendar repeats; added so that nothing is negative below */
#define CYCLE_DAYS  INT64_C(146097)
#define EPOCH_DAYS  INT64_C(719468) /* March 1st, 0000 to January 1st, 1970 */

/* Days from March 1st to the first of the month that is `m` months later: 31 30 31 30 31 | 31 30 31
 * 30 31 | 31. */
static int64_t days_into(int64_t m)
{
    return (153 * m + 2) / 5;
}

/* Days since 1970-01-01. year 0..9999, month 1..12. */
static int64_t day_number(int64_t year, int64_t month, int64_t day)
{
    int64_t march_year = CYCLE_YEARS + year - (month <= 2);

    return days_before(march_year) + days_into((month + 9) % 12) + day - 1 - CYCLE_DAYS -
           EPOCH_DAYS;
}

static void calendar_day(int64_t number, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
    int64_t days = number + EPOCH_DAYS + CYCLE_DAYS;
    int64_t year = days * CYCLE_YEARS / CYCLE_DAYS; /* off by at most one */
    int64_t m;

    while (days_before(year) > days)
        year--;
    while (days_before(year + 1) <= days)
        year++;
    days -= days_before(year);
    m = (5 * days + 2) / 153;
    *ret_day = days - days_into(m) + 1;
    *ret_month = (m + 2) % 12 + 1;
    *ret_year = year - CYCLE_YEARS + (*ret_month <= 2);
}

/* The last `digits` decimal digits of value, and what follows them. */
static char *put_digits(char *at, int64_t value, int digits, char follows)
{
    at[digits] = follows;
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + digits + 1;
}

/* No snprintf: every answer has a time, and a fifth of a small one was spent on it. */
char *tide_time_text(char text[TIDE_TIME_TEXT_SIZE], int64_t wall_us)
{
    const int64_t first = day_number(0, 1, 1) * S_PER_DAY * US_PER_S;
    const int64_t last = day_number(9999, 12, 31) * S_PER_DAY * US_PER_S + S_PER_DAY * US_PER_S - 1;
    int64_t days, rest, year, month, day;
    char *at = text;

    if (wall_us < first)
        wall_us = first;
    if (wall_us > last)
        wall_us = last;
    days = wall_us / (S_PER_DAY * US_PER_S);
    rest = wall_us % (S_PER_DAY * US_PER_S);
    if (rest < 0) {
        days--;
        rest += S_PER_DAY * US_PER_S;
    }
    calendar_day(days, &year, &month, &day);
    rest /= 1000; /* ms of the day */
    at = put_digits(at, year, 4, '-');
    at = put_digits(at, month, 2, '-');
    at = put_digits(at, day, 2, 'T');
    at = put_digits(at, rest / 3600000, 2, ':');
    at = put_digits(at, rest / 60000 % 60, 2, ':');
    at = put_digits(at, rest / 1000 % 60, 2, '.');
    at = put_digits(at, rest % 1000, 3, 'Z');
    *at = '\0';
    return text;
}

/* What is left to read of a text. */
struct cursor {
    const char *at, *end;
};

static _Bool take_number(struct cursor *cursor, int digits, int64_t min, int64_t max, int64_t *ret)
{
    int64_t value = 0;

    if (cursor->end - cursor->at < digits)
        return 0;
    for (; digits; digits--, cursor->at++) {
        if (*cursor->at < '0' || *cursor->at > '9')
            return 0;
        value = value * 10 + (*cursor->at - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static _Bool take_one_of(struct cursor *cursor, char a, char b, char c)
{
    if (cursor->at == cursor->end)
        return 0;
    if (*cursor->at != a && *cursor->at != b && *cursor->at != c)
        return 0;
    cursor->at++;
    return 1;
}

static _Bool take_char(struct cursor *cursor, char wanted)
{
    return take_one_of(cursor, wanted, wanted, wanted);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    _Bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

/* Digits beyond microseconds are read and dropped. */
static _Bool take_fraction(struct cursor *cursor, int64_t *ret_us)
{
    int64_t unit = US_PER_S / 10, us = 0;
    const char *start;

    *ret_us = 0;
    if (!take_char(cursor, '.'))
        return 1;
    for (start = cursor->at; cursor->at < cursor->end; cursor->at++, unit /= 10) {
        if (*cursor->at < '0' || *cursor->at > '9')
            break;
        us += unit * (*cursor->at - '0');
    }
    *ret_us = us;
    return cursor->at > start;
}

static _Bool take_offset(struct cursor *cursor, int64_t *ret_s)
{
    int64_t hour, minute;
    _Bool west;

    *ret_s = 0;
    if (take_one_of(cursor, 'Z', 'z', 'z'))
        return 1;
    if (cursor->at == cursor->end)
        return 0;
    west = *cursor->at == '-';
    if (!take_one_of(cursor, '+', '-', '-') || !take_number(cursor, 2, 0, 23, &hour) ||
        !take_char(cursor, ':') || !take_number(cursor, 2, 0, 59, &minute))
        return 0;
    *ret_s = (hour * 3600 + minute * 60) * (west ? -1 : 1);
    return 1;
}

_Bool tide_time_parse(const char *text, size_t len, int64_t *ret_wall_us)
{
    struct cursor in = {text, text + len};
    int64_t year, month, day, hour, minute, second, us, offset_s;

    /* second 60 is a leap second; it is the same instant as the next minute's first */
    if (!take_number(&in, 4, 0, 9999, &year) || !take_char(&in, '-') ||
        !take_number(&in, 2, 1, 12, &month) || !take_char(&in, '-') ||
        !take_number(&in, 2, 1, 31, &day) || !take_one_of(&in, 'T', 't', ' ') ||
        !take_number(&in, 2, 0, 23, &hour) || !take_char(&in, ':') ||
        !take_number(&in, 2, 0, 59, &minute) || !take_char(&in, ':') ||
        !take_number(&in, 2, 0, 60, &second) || !take_fraction(&in, &us) ||
        !take_offset(&in, &offset_s) || in.at != in.end)
        return 0;
    if (day > days_in_month(year, month))
        return 0;
    *ret_wall_us =
        (day_number(year, month, day) * S_PER_DAY + hour * 3600 + minute * 60 + second - offset_s) *
            US_PER_S +
        us;
    return 1;
}
