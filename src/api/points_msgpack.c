/* points_msgpack - points as one msgpack map, packed by msgpack-c into the body. */
#include "points.h"

#include <math.h>
#include <string.h>

#include <msgpack.h>

static int write_body(void *arg, const char *data, size_t len)
{
    tide_body_add(arg, data, len);
    return 0; /* a failure is remembered by the body */
}

static void put_text(msgpack_packer *packer, const char *text)
{
    size_t len = strlen(text);

    msgpack_pack_str(packer, len);
    msgpack_pack_str_body(packer, text, len);
}

static void put_time(msgpack_packer *packer, int64_t start_s)
{
    char text[TIDE_API_TIME_SIZE];

    put_text(packer, tide_api_time(text, start_s * 1000000));
}

/* With the decimals that JSON shows, so that a value is the same whatever it came in. */
static void put_real(msgpack_packer *packer, double value)
{
    if (!isfinite(value))
        msgpack_pack_nil(packer);
    else if (fabs(value) < 1e9)
        msgpack_pack_double(packer, round(value * 1e6) / 1e6);
    else
        msgpack_pack_double(packer, value);
}

static void put_whole(msgpack_packer *packer, double value)
{
    if (isfinite(value) && value >= 0 && value < 0x1p63)
        msgpack_pack_uint64(packer, (uint64_t)(value + 0.5));
    else
        put_real(packer, value);
}

static void put_field(msgpack_packer *packer, const struct tide_point *point, unsigned field)
{
    switch (tide_field_info[field].kind) {
    case TIDE_KIND_TIME:
        put_time(packer, point->start_s);
        break;
    case TIDE_KIND_COUNT:
        msgpack_pack_uint64(packer, tide_field_count(point, field));
        break;
    case TIDE_KIND_WHOLE:
        put_whole(packer, tide_field_real(point, field));
        break;
    case TIDE_KIND_REAL:
        put_real(packer, tide_field_real(point, field));
        break;
    case TIDE_KIND_FLAG:
        if (tide_field_count(point, field))
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        break;
    }
}

static void put_histogram(msgpack_packer *packer, const struct tide_hist *hist)
{
    size_t used = 0;

    for (unsigned i = 0; i < hist->len; i++)
        used += hist->count[i] != 0;
    msgpack_pack_map(packer, 2);
    put_text(packer, "upper_ms");
    msgpack_pack_array(packer, used);
    for (unsigned i = 0; i < hist->len; i++)
        if (hist->count[i])
            put_real(packer, tide_hist_upper_us(hist->first + i) / 1e3);
    put_text(packer, "count");
    msgpack_pack_array(packer, used);
    for (unsigned i = 0; i < hist->len; i++)
        if (hist->count[i])
            msgpack_pack_uint64(packer, hist->count[i]);
}

static void put_point(msgpack_packer *packer, const struct tide_shown *shown,
                      const struct tide_point *point)
{
    msgpack_pack_map(packer, (size_t)__builtin_popcount(shown->fields) + shown->quantiles +
                                 shown->histogram);
    for (unsigned field = 0; field < TIDE_FIELD_COUNT; field++)
        if (shown->fields & 1u << field) {
            put_text(packer, tide_field_info[field].name);
            put_field(packer, point, field);
        }
    for (size_t q = 0; q < shown->quantiles; q++) {
        put_text(packer, shown->quantile_name[q]);
        put_real(packer, point->quantile_ms[q]);
    }
    if (shown->histogram) {
        put_text(packer, "histogram");
        put_histogram(packer, &point->hist);
    }
}

void tide_points_msgpack(struct tide_body *body, const struct tide_points_head *head,
                         const struct tide_shown *shown, const struct tide_history_view *view)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, body, write_body);
    msgpack_pack_map(&packer, 9);
    put_text(&packer, "module_id");
    put_text(&packer, head->module_id);
    put_text(&packer, "from");
    put_time(&packer, view->from_s);
    put_text(&packer, "to");
    put_time(&packer, view->to_s);
    put_text(&packer, "step_s");
    msgpack_pack_int64(&packer, view->step_s);
    put_text(&packer, "tier");
    put_text(&packer, view->tier);
    put_text(&packer, "limit");
    msgpack_pack_uint32(&packer, head->limit);
    put_text(&packer, "percentile_relative_error");
    put_real(&packer, TIDE_HIST_RELATIVE_ERROR);
    put_text(&packer, "next_cursor");
    if (head->next_cursor)
        put_text(&packer, head->next_cursor);
    else
        msgpack_pack_nil(&packer);
    put_text(&packer, "history");
    msgpack_pack_array(&packer, view->points);
    for (size_t n = view->points; n > 0; n--)
        put_point(&packer, shown, &view->point[n - 1]);
}
