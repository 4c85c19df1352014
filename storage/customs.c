/* customs - see customs.h and FORMAT.md "custom metrics".
 *
 * First the list: each name with the number of its values in every record, 0 where a record has
 * none. Then, name by name, the columns. All values of an interval alike (one value, most often):
 * the minimum says it all. Two different ones: the newest is one of them and the sum is both. Only
 * what is left needs columns of its own.
 */
#include "customs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "column.h"
#include "must.h"
#include "tidemark/bytes.h"

/* Columns of one name; the numbers are bits of its mask. */
enum {
    CUSTOM_TIME,
    CUSTOM_MIN,
    CUSTOM_SPREAD, /* maximum - minimum */
    CUSTOM_WHERE,  /* which the newest value is */
    CUSTOM_LAST,   /* newest - minimum, when it is neither end */
    CUSTOM_SUM,    /* sum - count * newest, the low 64 bits ... */
    CUSTOM_HIGH,   /* ... and what the sign of those does not tell of the rest */
    CUSTOM_COLUMNS,
    CUSTOM_PAIRS = CUSTOM_COLUMNS /* two values that differ: their sum is minimum + maximum */
};

enum { WHERE_MAX, WHERE_MIN, WHERE_BETWEEN };

/* The value's high half as the sign of its low half would have it. */
static uint64_t sign_of(uint64_t low)
{
    return low >> 63 ? UINT64_MAX : 0;
}

/* ---- encoding ---- */

struct columns {
    const struct tide_customs *const *of;
    size_t n;
    const struct tide_custom *found[COLUMN_VALUES_MAX]; /* the name at hand, NULL where missing */
    int64_t time_us[COLUMN_VALUES_MAX];                 /* of the metric before it in the record */
    uint64_t value[COLUMN_VALUES_MAX], low[COLUMN_VALUES_MAX], high[COLUMN_VALUES_MAX];
};

/* Finds the smallest name that is still to come; next[i] is the next one of record i. False: that
 * was the last. */
static bool find_next(struct columns *columns, uint16_t *next)
{
    const struct tide_custom *least = NULL;

    for (size_t i = 0; i < columns->n; i++) {
        const struct tide_customs *customs = columns->of[i];
        const struct tide_custom *item;
        int order;

        columns->found[i] = NULL;
        if (next[i] == customs->count)
            continue;
        item = &customs->item[next[i]];
        order = least ? tide_custom_order(item->name, item->len, least->name, least->len) : -1;
        if (order < 0) {
            memset(columns->found, 0, i * sizeof(columns->found[0]));
            least = item;
        }
        if (order <= 0)
            columns->found[i] = item;
    }
    for (size_t i = 0; i < columns->n; i++)
        next[i] = (uint16_t)(next[i] + (columns->found[i] != NULL));
    return least != NULL;
}

static void put_name(struct blob *to, const struct tide_custom *custom)
{
    uint8_t *at;

    blob_reserve(to, TIDE_VARINT_MAX + custom->len);
    at = tide_put_varint(to->start + to->len, custom->len);
    memcpy(at, custom->name, custom->len);
    to->len = (size_t)(at - to->start) + custom->len;
}

static void put_column(struct blob *to, unsigned column, const uint64_t *value, size_t m,
                       uint8_t *mask)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < m; i++)
        bits |= value[i];
    if (bits == 0)
        return;
    *mask |= (uint8_t)(1u << column);
    column_encode(to, value, m, NULL);
}

/* Where and, in between, how far up the newest value is. */
static void put_newest(struct blob *to, struct columns *columns, uint8_t *mask)
{
    size_t m = 0, between = 0;

    for (size_t i = 0; i < columns->n; i++) {
        const struct tide_custom *custom = columns->found[i];

        if (!custom || custom->min == custom->max)
            continue;
        columns->value[m] = custom->last == custom->max   ? WHERE_MAX
                            : custom->last == custom->min ? WHERE_MIN
                                                          : WHERE_BETWEEN;
        if (columns->value[m++] == WHERE_BETWEEN)
            columns->low[between++] = (uint64_t)custom->last - (uint64_t)custom->min;
    }
    put_column(to, CUSTOM_WHERE, columns->value, m, mask);
    put_column(to, CUSTOM_LAST, columns->low, between, mask);
}

static bool is_pair(const struct tide_custom *custom)
{
    return custom->count == 2 && custom->min != custom->max;
}

static void put_sums(struct blob *to, struct columns *columns, uint8_t *mask)
{
    bool pairs = true;
    size_t m = 0;

    for (size_t i = 0; i < columns->n; i++) {
        const struct tide_custom *custom = columns->found[i];

        if (custom && is_pair(custom))
            pairs &= custom->sum == (__int128)custom->min + custom->max;
    }
    *mask |= (uint8_t)((unsigned)pairs << CUSTOM_PAIRS);
    for (size_t i = 0; i < columns->n; i++) {
        const struct tide_custom *custom = columns->found[i];
        unsigned __int128 rest;

        if (!custom || custom->min == custom->max || (pairs && is_pair(custom)))
            continue;
        rest = (unsigned __int128)custom->sum -
               (unsigned __int128)((__int128)custom->last * custom->count);
        columns->low[m] = (uint64_t)rest;
        columns->high[m++] = (uint64_t)(rest >> 64) - sign_of((uint64_t)rest);
    }
    put_column(to, CUSTOM_SUM, columns->low, m, mask);
    put_column(to, CUSTOM_HIGH, columns->high, m, mask);
}

/* The columns of the name that was found. */
static void put_figures(struct blob *to, struct columns *columns)
{
    size_t at = to->len, m = 0;
    uint8_t mask = 0;

    blob_reserve(to, 1);
    to->len++;
    for (size_t i = 0; i < columns->n; i++) {
        const struct tide_custom *custom = columns->found[i];

        if (!custom)
            continue;
        columns->value[m] = (uint64_t)columns->time_us[i] - (uint64_t)custom->time_us;
        columns->low[m] = (uint64_t)custom->min;
        columns->high[m++] = (uint64_t)custom->max - (uint64_t)custom->min;
        columns->time_us[i] = custom->time_us;
    }
    put_column(to, CUSTOM_TIME, columns->value, m, &mask);
    put_column(to, CUSTOM_MIN, columns->low, m, &mask);
    put_column(to, CUSTOM_SPREAD, columns->high, m, &mask);
    if (mask & 1u << CUSTOM_SPREAD) {
        put_newest(to, columns, &mask);
        put_sums(to, columns, &mask);
    }
    to->start[at] = mask;
}

void customs_encode(struct blob *to, const struct tide_customs *const *of, size_t n,
                    const struct customs_base *base)
{
    struct columns *columns = must(malloc(sizeof(*columns)));
    uint16_t next[COLUMN_VALUES_MAX] = {0};
    uint64_t names = 0, *count = columns->value, *before = columns->low, *swap;

    assert(n > 0 && n <= COLUMN_VALUES_MAX);
    columns->of = of;
    columns->n = n;
    while (find_next(columns, next))
        names++;
    assert(names > 0);
    blob_reserve(to, TIDE_VARINT_MAX);
    to->len = (size_t)(tide_put_varint(to->start + to->len, names) - to->start);

    memset(next, 0, sizeof(next));
    memcpy(before, base->events, n * sizeof(*before));
    while (find_next(columns, next)) {
        const struct tide_custom *named = NULL;

        for (size_t i = 0; i < n; i++) {
            const struct tide_custom *custom = columns->found[i];

            named = custom ? custom : named;
            assert(!custom || custom->count > 0);
            count[i] = custom ? custom->count : 0;
        }
        put_name(to, named);
        column_encode(to, count, n, before);
        swap = before;
        before = count;
        count = swap;
    }
    memset(next, 0, sizeof(next));
    memcpy(columns->time_us, base->newest_us, n * sizeof(columns->time_us[0]));
    while (find_next(columns, next))
        put_figures(to, columns);
    free(columns);
}

/* ---- decoding ---- */

/* One entry of the list of names. */
struct customs_name {
    const uint8_t *text; /* in the payload */
    size_t places;       /* that many records have it */
    uint16_t len;
};

/* One record that has it. */
struct customs_place {
    uint64_t count;
    uint32_t record;
};

void customs_init(struct customs *customs)
{
    *customs = (struct customs){0};
}

void customs_fini(struct customs *customs)
{
    free(customs->item);
    free(customs->name);
    free(customs->place);
    *customs = (struct customs){0};
}

static bool is_overflow(const struct customs_name *name)
{
    return name->len == sizeof(TIDE_CUSTOM_OVERFLOW) - 1 &&
           memcmp(name->text, TIDE_CUSTOM_OVERFLOW, name->len) == 0;
}

/* Reads one entry of the list: the name and how many values each record has. */
static bool get_name(const uint8_t **from, const uint8_t *end, size_t n, const uint64_t *before,
                     uint64_t *ret_count, struct customs_name *name, struct customs *into,
                     struct tide_customs *of)
{
    bool overflow;
    uint64_t len;

    if (!tide_get_varint(from, end, &len) || len == 0 || len > TIDE_METRIC_NAME_MAX ||
        len > (size_t)(end - *from))
        return false;
    name->text = *from;
    name->len = (uint16_t)len;
    name->places = 0;
    overflow = is_overflow(name);
    *from += len;
    if (!column_decode(from, end, ret_count, n, before))
        return false;
    if (into->places + n > into->place_capacity) {
        into->place_capacity = (into->places + n) * 2;
        into->place = must(realloc(into->place, into->place_capacity * sizeof(*into->place)));
    }
    for (uint32_t i = 0; i < n; i++) {
        if (ret_count[i] == 0)
            continue;
        if (++of[i].count > TIDE_CUSTOMS_MAX + overflow)
            return false;
        into->place[into->places++] = (struct customs_place){ret_count[i], i};
        name->places++;
    }
    return name->places != 0;
}

static bool get_names(const uint8_t **from, const uint8_t *end, size_t n, const uint64_t *events,
                      size_t names, struct customs *into, struct tide_customs *of)
{
    uint64_t counts[2][COLUMN_VALUES_MAX];
    const uint64_t *before = events;

    into->places = 0;
    for (size_t i = 0; i < n; i++)
        of[i] = (struct tide_customs){0};
    for (size_t k = 0; k < names; k++) {
        struct customs_name *name = &into->name[k];

        if (!get_name(from, end, n, before, counts[k & 1], name, into, of) ||
            (k > 0 && tide_custom_order((const char *)name[-1].text, name[-1].len,
                                        (const char *)name->text, name->len) >= 0))
            return false;
        before = counts[k & 1];
    }
    return true;
}

/* The columns of one name, being read. */
struct reading {
    const uint8_t *at, *end;
    unsigned mask;
    bool bad;
    uint64_t value[CUSTOM_COLUMNS][COLUMN_VALUES_MAX];
};

static const uint64_t zeros[COLUMN_VALUES_MAX];

/* m values of a column, zeros when it is absent. */
static const uint64_t *get_column(struct reading *reading, unsigned column, size_t m)
{
    if (!(reading->mask & 1u << column) || reading->bad)
        return zeros;
    /* A column of nobody's values has no place in the mask. */
    reading->bad |=
        m == 0 || !column_decode(&reading->at, reading->end, reading->value[column], m, NULL);
    return reading->bad ? zeros : reading->value[column];
}

/* Whether minimum, maximum and count allow these. */
static bool possible(const struct tide_custom *custom, uint64_t spread)
{
    unsigned __int128 above =
        (unsigned __int128)custom->sum - (unsigned __int128)((__int128)custom->min * custom->count);

    return custom->time_us > 0 && custom->min > -TIDE_METRIC_UNITS &&
           custom->min < TIDE_METRIC_UNITS &&
           spread < (uint64_t)TIDE_METRIC_UNITS - (uint64_t)custom->min &&
           (uint64_t)custom->last - (uint64_t)custom->min <= spread &&
           above <= (unsigned __int128)spread * custom->count;
}

/* Newest values and sums of the m items whose values differ, the latter as they are told. */
static void get_rest(struct reading *reading, struct tide_custom *const *item, size_t m)
{
    bool pairs = reading->mask & 1u << CUSTOM_PAIRS;
    const uint64_t *where = get_column(reading, CUSTOM_WHERE, m), *last, *low, *high;
    size_t between = 0, told = 0;

    for (size_t i = 0; i < m; i++) {
        between += where[i] == WHERE_BETWEEN;
        told += !(pairs && is_pair(item[i]));
        reading->bad |= where[i] > WHERE_BETWEEN;
    }
    last = get_column(reading, CUSTOM_LAST, between);
    low = get_column(reading, CUSTOM_SUM, told);
    high = get_column(reading, CUSTOM_HIGH, told);
    for (size_t i = 0; i < m && !reading->bad; i++) {
        struct tide_custom *custom = item[i];

        custom->last = where[i] == WHERE_MAX   ? custom->max
                       : where[i] == WHERE_MIN ? custom->min
                                               : (int64_t)((uint64_t)custom->min + *last++);
        if (pairs && is_pair(custom)) {
            custom->sum = (__int128)custom->min + custom->max;
        } else {
            unsigned __int128 rest = (unsigned __int128)(*high++ + sign_of(*low)) << 64 | *low;

            low++;
            custom->sum =
                (__int128)(rest + (unsigned __int128)((__int128)custom->last * custom->count));
        }
        reading->bad |= (where[i] == WHERE_BETWEEN &&
                         (custom->last == custom->min || custom->last == custom->max)) ||
                        !possible(custom, (uint64_t)custom->max - (uint64_t)custom->min);
    }
}

/* The figures of one name; the next item of each record is of[record].item[filled[record]]. */
static void get_figures(struct reading *reading, const struct customs_name *name,
                        const struct customs_place *place, int64_t *time_us, uint16_t *filled,
                        const struct tide_customs *of)
{
    const uint64_t *early, *min, *spread;
    struct tide_custom *differing[COLUMN_VALUES_MAX];
    size_t m = name->places, differ = 0;

    if (reading->at == reading->end) {
        reading->bad = true;
        return;
    }
    reading->mask = *reading->at++;
    early = get_column(reading, CUSTOM_TIME, m);
    min = get_column(reading, CUSTOM_MIN, m);
    spread = get_column(reading, CUSTOM_SPREAD, m);
    for (size_t i = 0; i < m && !reading->bad; i++) {
        uint32_t record = place[i].record;
        struct tide_custom *custom = &of[record].item[filled[record]++];

        custom->len = name->len;
        memcpy(custom->name, name->text, name->len);
        custom->count = place[i].count;
        custom->time_us = (int64_t)((uint64_t)time_us[record] - early[i]);
        time_us[record] = custom->time_us;
        custom->min = (int64_t)min[i];
        custom->max = (int64_t)(min[i] + spread[i]);
        custom->last = custom->min;
        custom->sum = (__int128)((unsigned __int128)((__int128)custom->min * custom->count));
        reading->bad |= !possible(custom, spread[i]);
        if (spread[i])
            differing[differ++] = custom;
    }
    if (differ)
        get_rest(reading, differing, differ);
    else
        reading->bad |= reading->mask >> CUSTOM_SPREAD != 0;
}

bool customs_decode(const uint8_t **from, const uint8_t *end, size_t n,
                    const struct customs_base *base, struct customs *into,
                    struct tide_customs *ret_of)
{
    int64_t time_us[COLUMN_VALUES_MAX];
    uint16_t filled[COLUMN_VALUES_MAX] = {0};
    const struct customs_place *place;
    struct tide_custom *item;
    struct reading reading;
    uint64_t names;

    /* Every name takes five bytes at least. */
    if (!tide_get_varint(from, end, &names) || names == 0 || names > (size_t)(end - *from) / 5)
        return false;
    if (names > into->name_capacity) {
        into->name = must(realloc(into->name, names * sizeof(*into->name)));
        into->name_capacity = names;
    }
    if (!get_names(from, end, n, base->events, names, into, ret_of))
        return false;
    if (into->places > into->item_capacity) {
        into->item = must(realloc(into->item, into->places * sizeof(*into->item)));
        into->item_capacity = into->places;
    }
    item = into->item;
    for (size_t i = 0; i < n; i++) {
        ret_of[i].item = ret_of[i].count ? item : NULL;
        item += ret_of[i].count;
    }
    memcpy(time_us, base->newest_us, n * sizeof(time_us[0]));
    reading.at = *from;
    reading.end = end;
    reading.bad = false;
    place = into->place;
    for (size_t k = 0; k < names && !reading.bad; k++) {
        get_figures(&reading, &into->name[k], place, time_us, filled, ret_of);
        place += into->name[k].places;
    }
    *from = reading.at;
    return !reading.bad;
}
