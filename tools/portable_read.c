/* portable_read - rows of text as records again; see portable.h. Everything comes from outside:
 * what is not a record that the store could have made itself is refused, with the column and the
 * reason.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "portable.h"
#include "tidemark/event.h"

/* ---- cells ---- */

static bool u64_of(const json_t *value, uint64_t *ret)
{
    const char *text;
    char *end;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret = (uint64_t)json_integer_value(value);
        return true;
    }
    text = json_string_value(value);
    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return !errno && !*end;
}

static bool i64_of(const json_t *value, int64_t *ret)
{
    *ret = json_integer_value(value);
    return json_is_integer(value);
}

static bool wide_of(const json_t *value, __int128 *ret)
{
    const char *text = json_string_value(value);
    bool minus = text && text[0] == '-';
    unsigned __int128 sum = 0;

    if (!text || !*(text += minus) || strlen(text) > 38)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        sum = sum * 10 + (unsigned)(*text - '0');
    }
    *ret = minus ? -(__int128)sum : (__int128)sum;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int tide_row_string(const json_t *value, char *text, size_t size)
{
    const json_t *hex = json_object_get(value, "hex");
    const char *from = json_string_value(hex ? hex : value);
    size_t len = json_string_length(hex ? hex : value);

    if (!from || (hex ? len / 2 : len) > size || (hex && len % 2))
        return -1;
    if (!hex) {
        memcpy(text, from, len);
        return (int)len;
    }
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_digit(from[2 * i]), low = hex_digit(from[2 * i + 1]);

        if (high < 0 || low < 0)
            return -1;
        text[i] = (char)(high << 4 | low);
    }
    return (int)(len / 2);
}

bool tide_row_number(const json_t *row, enum tide_column column, uint64_t fallback, uint64_t *ret)
{
    const json_t *value = json_object_get(row, tide_column_name(column));

    *ret = fallback;
    return !value || u64_of(value, ret);
}

/* ---- CSV ---- */

/* The next cell of a line, unquoted, into text; NULL: a quote is open at its end. */
static const char *csv_next(const char *at, const char *end, char *text, size_t *ret_len)
{
    size_t len = 0;
    bool quoted = at < end && *at == '"';

    at += quoted;
    while (at < end && (quoted || *at != ',')) {
        if (quoted && *at == '"') {
            at++;
            if (at == end || *at != '"') {
                quoted = false;
                continue;
            }
        }
        text[len++] = *at++;
    }
    *ret_len = len;
    return quoted ? NULL : at;
}

static json_t *csv_value(size_t column, const char *text, size_t len)
{
    return column <= TIDE_COLUMN_START ? json_stringn(text, len)
                                       : json_loadb(text, len, JSON_DECODE_ANY, NULL);
}

static int column_of(const char *name)
{
    for (int i = 0; i < TIDE_COLUMN_COUNT; i++)
        if (name && strcmp(tide_column_name((enum tide_column)i), name) == 0)
            return i;
    return -1;
}

static json_t *csv_parse(const char *line, size_t len, const json_t *heads, struct tide_err *err)
{
    const char *at = line, *end = line + len;
    char *text = malloc(len + 1);
    json_t *row = json_object();
    size_t cells = json_array_size(heads);
    bool sound = text && row;

    for (size_t i = 0; i < cells && sound; i++) {
        const char *head = json_string_value(json_array_get(heads, i));
        size_t cell = 0;

        at = csv_next(at, end, text, &cell);
        sound = at && (i + 1 < cells ? at < end && *at == ',' : at == end);
        if (sound && cell &&
            json_object_set_new(row, head, csv_value((size_t)column_of(head), text, cell))) {
            tide_err_set(err, "column %s: not a value: %.60s", head, text);
            json_decref(row);
            free(text);
            return NULL;
        }
        at = at ? at + 1 : at;
    }
    free(text);
    if (sound)
        return row;
    tide_err_set(err, "not a line of %zu cells, as its heads promise", cells);
    json_decref(row);
    return NULL;
}

json_t *tide_heads_parse(const char *line, size_t len, struct tide_err *err)
{
    const char *at = line, *end = line + len;
    json_t *heads = json_array();
    char name[64];

    while (at && at <= end) {
        size_t cell = 0;

        if (at < end && (*at == '"' || ((size_t)(end - at) >= sizeof(name) &&
                                        !memchr(at, ',', sizeof(name) - 1))))
            break;
        at = csv_next(at, end, name, &cell);
        name[cell] = '\0';
        if (!at || column_of(name) < 0)
            break;
        json_array_append_new(heads, json_string(name));
        if (at++ == end)
            return heads;
    }
    tide_err_set(err, "neither JSON nor the heads of a CSV file that 'tidemark export' made");
    json_decref(heads);
    return NULL;
}

json_t *tide_row_parse(const char *line, size_t len, const json_t *heads, struct tide_err *err)
{
    json_error_t error;
    json_t *row;

    if (heads)
        return csv_parse(line, len, heads, err);
    row = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (row && json_is_object(row))
        return row;
    tide_err_set(err, "column %d: %s", row ? 1 : error.column, row ? "not an object" : error.text);
    json_decref(row);
    return NULL;
}

/* ---- records ---- */

struct parsing {
    const json_t *row;
    struct tide_record *into;
    int64_t from_us, to_us; /* that its times must lie in */
    const char *bad;        /* the column that is wrong */
};

static void check(struct parsing *parsing, bool holds, enum tide_column column)
{
    if (!holds && !parsing->bad)
        parsing->bad = tide_column_name(column);
}

static uint64_t number(struct parsing *parsing, enum tide_column column, uint64_t fallback)
{
    uint64_t value;

    check(parsing, tide_row_number(parsing->row, column, fallback, &value), column);
    return value;
}

static bool is_inside(const struct parsing *parsing, int64_t us)
{
    return us >= parsing->from_us && us < parsing->to_us;
}

/* The time of something newest; 0: there was none. */
static int64_t moment(struct parsing *parsing, enum tide_column column)
{
    uint64_t value = number(parsing, column, 0);

    check(parsing, value == 0 || (value <= INT64_MAX && is_inside(parsing, (int64_t)value)),
          column);
    return (int64_t)value;
}

static void get_events(struct parsing *parsing, struct tide_tally *tally)
{
    const json_t *events = json_object_get(parsing->row, "events");
    uint64_t sum = 0, count;
    size_t known = 0;

    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        const json_t *value =
            json_object_get(events, tide_event_kind_name((enum tide_event_kind)kind));

        if (!value)
            continue;
        known++;
        check(parsing, u64_of(value, &count) && count > 0, TIDE_COLUMN_EVENTS);
        if (parsing->bad)
            return;
        tally->kind[kind] = count;
        sum = tide_add_sat(sum, count);
    }
    check(parsing, sum > 0 && known == json_object_size(events), TIDE_COLUMN_EVENTS);
}

static void get_histogram(struct parsing *parsing, struct tide_record *into)
{
    const json_t *list = json_object_get(parsing->row, "histogram"), *pair;
    uint64_t bucket, count, before = 0;
    size_t i;

    check(parsing, !list || json_is_array(list), TIDE_COLUMN_HISTOGRAM);
    json_array_foreach((json_t *)list, i, pair)
    {
        bool sound = u64_of(json_array_get(pair, 0), &bucket) &&
                     u64_of(json_array_get(pair, 1), &count) && count > 0 &&
                     bucket < TIDE_HIST_BUCKETS && (i == 0 || bucket > before);

        check(parsing, sound, TIDE_COLUMN_HISTOGRAM);
        if (!sound)
            return;
        before = bucket;
        tide_hist_add(&into->hist, (unsigned)bucket, count);
        into->tally.samples = tide_add_sat(into->tally.samples, count);
    }
}

static bool get_gauge(const struct parsing *parsing, const json_t *list,
                      struct tide_gauge_state *gauge)
{
    return json_array_size(list) == 5 && u64_of(json_array_get(list, 0), &gauge->count) &&
           i64_of(json_array_get(list, 1), &gauge->time_us) &&
           u64_of(json_array_get(list, 2), &gauge->last) &&
           u64_of(json_array_get(list, 3), &gauge->max) &&
           u64_of(json_array_get(list, 4), &gauge->sum) && gauge->count > 0 &&
           is_inside(parsing, gauge->time_us) && gauge->max <= TIDE_GAUGE_VALUE_MAX &&
           gauge->last <= gauge->max && gauge->sum >= gauge->max;
}

static bool get_instance(const struct parsing *parsing, const json_t *object,
                         struct tide_instance *instance)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    size_t gauges = 0;
    char *end;

    if (!id || strlen(id) != 16)
        return false;
    instance->id = strtoull(id, &end, 16);
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        const json_t *list = json_object_get(object, tide_gauge_info[g].field);

        if (list && !get_gauge(parsing, list, &instance->gauge[g]))
            return false;
        gauges += list != NULL;
    }
    return !*end && gauges > 0 && json_object_size(object) == gauges + 1;
}

static void get_instances(struct parsing *parsing, struct tide_record *into)
{
    const json_t *list = json_object_get(parsing->row, "instances"), *object;
    uint64_t before = 0;
    size_t i;

    check(parsing,
          !list || (json_is_array(list) && json_array_size(list) <= TIDE_INSTANCES_MAX + 1),
          TIDE_COLUMN_INSTANCES);
    json_array_foreach((json_t *)list, i, object)
    {
        struct tide_instance instance = {0};
        bool sound = !parsing->bad && get_instance(parsing, object, &instance) &&
                     (i == 0 || instance.id > before) &&
                     (i < TIDE_INSTANCES_MAX || instance.id == TIDE_INSTANCE_OVERFLOW);

        check(parsing, sound, TIDE_COLUMN_INSTANCES);
        if (!sound)
            return;
        before = instance.id;
        tide_record_merge_instance(into, &instance);
    }
}

static void get_slowest(struct parsing *parsing, struct tide_record *into)
{
    const json_t *object = json_object_get(parsing->row, "slowest");
    char id[TIDE_ID_MAX];
    uint64_t us = 0;
    int len;

    if (!object)
        return;
    len = tide_row_string(json_object_get(object, "id"), id, sizeof(id));
    check(parsing,
          len > 0 && u64_of(json_object_get(object, "us"), &us) && us <= into->tally.max_us &&
              into->tally.samples,
          TIDE_COLUMN_SLOWEST);
    if (!parsing->bad)
        tide_record_merge_slowest(into, us, id, (uint32_t)len);
}

static bool get_custom(const struct parsing *parsing, const json_t *list,
                       struct tide_custom *custom)
{
    int len = tide_row_string(json_array_get(list, 0), custom->name, sizeof(custom->name));

    custom->len = (uint16_t)len;
    return json_array_size(list) == 7 && len > 0 &&
           u64_of(json_array_get(list, 1), &custom->count) &&
           i64_of(json_array_get(list, 2), &custom->time_us) &&
           i64_of(json_array_get(list, 3), &custom->min) &&
           i64_of(json_array_get(list, 4), &custom->max) &&
           i64_of(json_array_get(list, 5), &custom->last) &&
           wide_of(json_array_get(list, 6), &custom->sum) && custom->count > 0 &&
           custom->count <= INT64_MAX && is_inside(parsing, custom->time_us) &&
           custom->min > -TIDE_METRIC_UNITS && custom->max < TIDE_METRIC_UNITS &&
           custom->min <= custom->last && custom->last <= custom->max &&
           custom->sum >= (__int128)custom->min * (__int128)custom->count &&
           custom->sum <= (__int128)custom->max * (__int128)custom->count;
}

static void get_customs(struct parsing *parsing, struct tide_record *into)
{
    const json_t *list = json_object_get(parsing->row, "custom"), *one;
    struct tide_custom before = {.len = 0};
    size_t i;

    check(parsing, !list || (json_is_array(list) && json_array_size(list) <= TIDE_CUSTOMS_MAX + 1),
          TIDE_COLUMN_CUSTOM);
    json_array_foreach((json_t *)list, i, one)
    {
        struct tide_custom custom;
        bool sound =
            !parsing->bad && get_custom(parsing, one, &custom) &&
            (i == 0 || tide_custom_order(before.name, before.len, custom.name, custom.len) < 0);

        check(parsing, sound, TIDE_COLUMN_CUSTOM);
        if (!sound)
            return;
        before = custom;
        tide_customs_merge_one(&into->customs, &custom);
    }
}

static void get_tally(struct parsing *parsing, struct tide_tally *tally)
{
    get_events(parsing, tally);
    tally->first_us = moment(parsing, TIDE_COLUMN_FIRST_US);
    tally->last_us = moment(parsing, TIDE_COLUMN_LAST_US);
    check(parsing, tally->first_us > 0 && tally->first_us <= tally->last_us, TIDE_COLUMN_FIRST_US);
    tally->requests = number(parsing, TIDE_COLUMN_REQUESTS, 0);
    tally->failed = number(parsing, TIDE_COLUMN_FAILED, 0);
    check(parsing, tally->failed <= tally->requests, TIDE_COLUMN_FAILED);
    tally->errors = number(parsing, TIDE_COLUMN_ERRORS, 0);
    tally->plain_requests = number(parsing, TIDE_COLUMN_PLAIN_REQUESTS, 0);
    tally->start_us = moment(parsing, TIDE_COLUMN_START_US);
    tally->stop_us = moment(parsing, TIDE_COLUMN_STOP_US);
    tally->health_us = moment(parsing, TIDE_COLUMN_HEALTH_US);
    tally->healthy = json_is_true(json_object_get(parsing->row, "healthy"));
    check(parsing, tally->health_us || !tally->healthy, TIDE_COLUMN_HEALTHY);
}

static void get_durations(struct parsing *parsing, struct tide_tally *tally)
{
    uint64_t max_us = number(parsing, TIDE_COLUMN_MAX_US, 0),
             min_us = number(parsing, TIDE_COLUMN_MIN_US, UINT64_MAX);

    tally->sum_us = number(parsing, TIDE_COLUMN_SUM_US, 0);
    check(parsing, tally->samples <= tally->requests, TIDE_COLUMN_HISTOGRAM);
    if (tally->samples)
        check(parsing,
              min_us <= max_us && max_us <= (uint64_t)TIDE_DURATION_MAX_US &&
                  tally->sum_us >= max_us,
              TIDE_COLUMN_MAX_US);
    else
        check(parsing, max_us == 0 && min_us == UINT64_MAX && tally->sum_us == 0,
              TIDE_COLUMN_MAX_US);
    tally->min_us = min_us;
    tally->max_us = max_us;
}

bool tide_row_record(const json_t *row, int64_t start_s, int64_t width_s, struct tide_record *into,
                     struct tide_err *err)
{
    struct parsing parsing = {.row = row,
                              .into = into,
                              .from_us = width_s ? start_s * 1000000 : 1,
                              .to_us = width_s ? (start_s + width_s) * 1000000 : INT64_MAX};

    tide_record_reset(into);
    get_tally(&parsing, &into->tally);
    get_histogram(&parsing, into);
    get_durations(&parsing, &into->tally);
    get_instances(&parsing, into);
    get_slowest(&parsing, into);
    get_customs(&parsing, into);
    if (!parsing.bad)
        return true;
    tide_err_set(err, "%s is wrong, or does not go with the rest", parsing.bad);
    return false;
}
