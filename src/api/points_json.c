/* points_json - points as JSON, as objects or as columns.
 *
 * A day of one module is 57 600 values, so this is the one place that does not print value by value
 * through the JSON writer: it reserves what a point or a column can take at most and writes keys,
 * whose texts are made once, and numbers straight into it.
 */
#include "points.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tidemark/clock.h"

#define S_PER_DAY 86400
#define PIECE_MAX 40 /* a key with what surrounds it */
#define VALUE_MAX 48 /* a value: a number, a time in quotes */

/* `,"requests":` in a fixed number of bytes: copying those is one or two instructions. */
struct piece {
    char text[PIECE_MAX];
    unsigned len;
};

static void piece_make(struct piece *piece, const char *name, bool first)
{
    size_t len = strlen(name);

    assert(len + 4 <= PIECE_MAX);
    *piece = (struct piece){.len = (unsigned)len + 4 - first};
    memcpy(piece->text, first ? "\"" : ",\"", 2 - first);
    memcpy(piece->text + 2 - first, name, len);
    memcpy(piece->text + 2 - first + len, "\":", 2);
}

static char *put_piece(char *out, const struct piece *piece)
{
    memcpy(out, piece->text, PIECE_MAX);
    return out + piece->len;
}

/* ---- values ---- */

/* The text of the day that was printed last: points come in order. */
struct dates {
    int64_t day;
    char text[TIDE_API_TIME_SIZE];
};

static char *put_two(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    return out + 2;
}

static char *put_time(char *out, struct dates *dates, int64_t start_s)
{
    const size_t date = sizeof("\"2026-11-23T") - 1;
    unsigned second = (unsigned)(start_s % S_PER_DAY);

    assert(start_s >= 0);
    if (start_s / S_PER_DAY != dates->day) {
        dates->day = start_s / S_PER_DAY;
        dates->text[0] = '"';
        tide_time_text(dates->text + 1, start_s * 1000000);
    }
    memcpy(out, dates->text, date);
    out = put_two(out + date, second / 3600);
    *out++ = ':';
    out = put_two(out, second / 60 % 60);
    *out++ = ':';
    out = put_two(out, second % 60);
    memcpy(out, "Z\"", 2);
    return out + 2;
}

static char *put_real(char *out, double value, unsigned decimals)
{
    if (isfinite(value))
        return tide_put_real(out, value, decimals);
    memcpy(out, "null", 4);
    return out + 4;
}

static char *put_field(char *out, struct dates *dates, const struct tide_point *point,
                       unsigned field)
{
    switch (tide_field_info[field].kind) {
    case TIDE_KIND_TIME:
        return put_time(out, dates, point->start_s);
    case TIDE_KIND_COUNT:
        return tide_put_uint(out, tide_field_count(point, field));
    case TIDE_KIND_WHOLE:
        return put_real(out, tide_field_real(point, field), 0);
    case TIDE_KIND_REAL:
        return put_real(out, tide_field_real(point, field), 6);
    case TIDE_KIND_FLAG:
        break;
    }
    if (tide_field_count(point, field)) {
        memcpy(out, "true", 4);
        return out + 4;
    }
    memcpy(out, "false", 5);
    return out + 5;
}

/* The buckets in use: upper bounds and counts, two arrays of one length. */
static void put_histogram(struct tide_json *json, const char *key, const struct tide_hist *hist)
{
    tide_json_object(json, key);
    tide_json_array(json, "upper_ms");
    for (unsigned i = 0; i < hist->len; i++)
        if (hist->count[i])
            tide_json_real(json, NULL, tide_hist_upper_us(hist->first + i) / 1e3, 6);
    tide_json_end(json);
    tide_json_array(json, "count");
    for (unsigned i = 0; i < hist->len; i++)
        if (hist->count[i])
            tide_json_uint(json, NULL, hist->count[i]);
    tide_json_end(json);
    tide_json_end(json);
}

/* ---- objects ---- */

struct layout {
    unsigned field[TIDE_FIELD_COUNT];
    struct piece piece[TIDE_FIELD_COUNT], quantile[TIDE_QUANTILES_MAX];
    unsigned fields;
    size_t point_max; /* bytes of one point without its histogram */
};

static void layout_make(struct layout *layout, const struct tide_shown *shown)
{
    layout->fields = 0;
    for (unsigned field = 0; field < TIDE_FIELD_COUNT; field++)
        if (shown->fields & 1u << field) {
            piece_make(&layout->piece[layout->fields], tide_field_info[field].name,
                       layout->fields == 0);
            layout->field[layout->fields++] = field;
        }
    for (size_t q = 0; q < shown->quantiles; q++)
        piece_make(&layout->quantile[q], shown->quantile_name[q], false);
    layout->point_max = (layout->fields + shown->quantiles) * (PIECE_MAX + VALUE_MAX);
}

static void put_point(struct tide_json *json, struct dates *dates, const struct layout *layout,
                      const struct tide_shown *shown, const struct tide_point *point)
{
    char *start, *out;

    tide_json_object(json, NULL);
    start = out = tide_body_reserve(json->body, layout->point_max);
    if (out) {
        for (unsigned i = 0; i < layout->fields; i++)
            out = put_field(put_piece(out, &layout->piece[i]), dates, point, layout->field[i]);
        for (size_t q = 0; q < shown->quantiles; q++)
            out = put_real(put_piece(out, &layout->quantile[q]), point->quantile_ms[q], 6);
        assert(out > start && (size_t)(out - start) <= layout->point_max);
        tide_json_filled(json, (size_t)(out - start));
    }
    if (shown->histogram)
        put_histogram(json, "histogram", &point->hist);
    tide_json_end(json);
}

void tide_points_json(struct tide_json *json, const struct tide_shown *shown,
                      const struct tide_history_view *view)
{
    struct dates dates = {.day = -1};
    struct layout layout;

    layout_make(&layout, shown);
    tide_json_array(json, "history");
    for (size_t n = view->points; n > 0; n--)
        put_point(json, &dates, &layout, shown, &view->point[n - 1]);
    tide_json_end(json);
}

/* ---- columns ---- */

/* Room for a column of numbers, the first of which has no comma before it. */
static char *column_begin(struct tide_json *json, const char *name, size_t points)
{
    tide_json_array(json, name);
    return tide_body_reserve(json->body, points * (VALUE_MAX + 1));
}

static void column_end(struct tide_json *json, const char *start, const char *out)
{
    if (start && out > start)
        tide_json_filled(json, (size_t)(out - start));
    tide_json_end(json);
}

static void put_starts(struct tide_json *json, const struct tide_history_view *view)
{
    char *start = column_begin(json, "t", view->points), *out = start;

    for (size_t n = view->points; out && n > 0; n--) {
        if (out > start)
            *out++ = ',';
        out = tide_put_uint(out, (uint64_t)view->point[n - 1].start_s);
    }
    column_end(json, start, out);
}

static void put_column(struct tide_json *json, const struct tide_history_view *view, unsigned field)
{
    char *start = column_begin(json, tide_field_info[field].name, view->points), *out = start;
    struct dates dates = {.day = -1};

    for (size_t n = view->points; out && n > 0; n--) {
        if (out > start)
            *out++ = ',';
        out = put_field(out, &dates, &view->point[n - 1], field);
    }
    column_end(json, start, out);
}

static void put_quantiles(struct tide_json *json, const struct tide_history_view *view,
                          const char *name, size_t q)
{
    char *start = column_begin(json, name, view->points), *out = start;

    for (size_t n = view->points; out && n > 0; n--) {
        if (out > start)
            *out++ = ',';
        out = put_real(out, view->point[n - 1].quantile_ms[q], 6);
    }
    column_end(json, start, out);
}

void tide_points_columns(struct tide_json *json, const struct tide_shown *shown,
                         const struct tide_history_view *view)
{
    tide_json_object(json, "columns");
    put_starts(json, view);
    for (unsigned field = TIDE_FIELD_INTERVAL_START + 1; field < TIDE_FIELD_COUNT; field++)
        if (shown->fields & 1u << field)
            put_column(json, view, field);
    for (size_t q = 0; q < shown->quantiles; q++)
        put_quantiles(json, view, shown->quantile_name[q], q);
    if (shown->histogram) {
        tide_json_array(json, "histogram");
        for (size_t n = view->points; n > 0; n--)
            put_histogram(json, NULL, &view->point[n - 1].hist);
        tide_json_end(json);
    }
    tide_json_end(json);
}
