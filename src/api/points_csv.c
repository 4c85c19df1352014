/* points_csv - points as RFC 4180 has it. Needs no quoting: names are ours, values are numbers,
 * times and flags. */
#include "points.h"

#include <math.h>

static void put_real(struct tide_body *body, double value, unsigned decimals)
{
    if (isfinite(value))
        tide_body_real(body, value, decimals);
}

static void put_field(struct tide_body *body, const struct tide_point *point, unsigned field)
{
    char text[TIDE_API_TIME_SIZE];

    switch (tide_field_info[field].kind) {
    case TIDE_KIND_TIME:
        tide_body_text(body, tide_api_time(text, point->start_s * 1000000));
        break;
    case TIDE_KIND_COUNT:
        tide_body_uint(body, tide_field_count(point, field));
        break;
    case TIDE_KIND_WHOLE:
        put_real(body, tide_field_real(point, field), 0);
        break;
    case TIDE_KIND_REAL:
        put_real(body, tide_field_real(point, field), 6);
        break;
    case TIDE_KIND_FLAG:
        tide_body_text(body, tide_field_count(point, field) ? "true" : "false");
        break;
    }
}

void tide_points_csv(struct tide_body *body, const struct tide_shown *shown,
                     const struct tide_history_view *view)
{
    tide_body_text(body, tide_field_info[TIDE_FIELD_INTERVAL_START].name);
    for (unsigned field = TIDE_FIELD_INTERVAL_START + 1; field < TIDE_FIELD_COUNT; field++)
        if (shown->fields & 1u << field)
            tide_body_format(body, ",%s", tide_field_info[field].name);
    for (size_t q = 0; q < shown->quantiles; q++)
        tide_body_format(body, ",%s", shown->quantile_name[q]);
    tide_body_text(body, "\r\n");
    for (size_t n = view->points; n > 0; n--) {
        const struct tide_point *point = &view->point[n - 1];

        put_field(body, point, TIDE_FIELD_INTERVAL_START);
        for (unsigned field = TIDE_FIELD_INTERVAL_START + 1; field < TIDE_FIELD_COUNT; field++)
            if (shown->fields & 1u << field) {
                tide_body_add(body, ",", 1);
                put_field(body, point, field);
            }
        for (size_t q = 0; q < shown->quantiles; q++) {
            tide_body_add(body, ",", 1);
            put_real(body, point->quantile_ms[q], 6);
        }
        tide_body_text(body, "\r\n");
    }
}
