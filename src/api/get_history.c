/* GET /api/v3/metrics/history: points of one module or the fleet over a range.
 *
 * One table names the fields of a point; JSON objects, columns and CSV all walk it, so the three
 * formats cannot disagree. Points leave oldest first; a page holds the newest of the range, and its
 * cursor carries the range itself, so that the next page of "the last hour" is of the same hour.
 */
#include "routes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "accept.h"
#include "cursor.h"
#include "tidemark/bytes.h"
#include "tidemark/hash.h"

/* X(enumerator, name, kind, value) */
#define FIELDS(X)                                                                             \
    X(INTERVAL_START, "interval_start", TIME, (double)point->start_s)                         \
    X(REQUESTS, "requests", WHOLE, (double)point->requests)                                   \
    X(SUCCESSFUL, "successful", WHOLE, (double)(point->requests - point->failed))             \
    X(FAILED, "failed", WHOLE, (double)point->failed)                                         \
    X(ERRORS, "errors", WHOLE, (double)point->errors)                                         \
    X(AVERAGE, "average_response_time_ms", REAL, point->mean_ms)                              \
    X(MIN, "min_response_time_ms", REAL, point->min_ms)                                       \
    X(P50, "p50_response_time_ms", REAL, point->p50_ms)                                       \
    X(P95, "p95_response_time_ms", REAL, point->p95_ms)                                       \
    X(P99, "p99_response_time_ms", REAL, point->p99_ms)                                       \
    X(MAX, "max_response_time_ms", REAL, point->max_ms)                                       \
    X(THROUGHPUT, "throughput_rps", REAL, point->throughput_rps)                              \
    X(MEMORY, "memory_usage_bytes", WHOLE, point->gauge[TIDE_GAUGE_MEMORY])                   \
    X(MEMORY_MAX, "memory_usage_bytes_max", WHOLE, point->gauge_max[TIDE_GAUGE_MEMORY])       \
    X(CPU, "cpu_usage_percent", REAL, point->gauge[TIDE_GAUGE_CPU])                           \
    X(CPU_MAX, "cpu_usage_percent_max", REAL, point->gauge_max[TIDE_GAUGE_CPU])               \
    X(GOROUTINES, "goroutines", WHOLE, point->gauge[TIDE_GAUGE_GOROUTINES])                   \
    X(DB_CONNECTIONS, "database_connections", WHOLE, point->gauge[TIDE_GAUGE_DB_CONNECTIONS]) \
    X(COMPLETE, "complete", FLAG, point->complete)                                            \
    X(CORRECTED, "corrected", FLAG, point->corrected)

#define TIDE_X(id, name, kind, value) FIELD_##id,
enum field { FIELDS(TIDE_X) FIELD_COUNT };
#undef TIDE_X

enum field_kind { KIND_WHOLE, KIND_REAL, KIND_FLAG, KIND_TIME };

static const struct {
    const char *name;
    enum field_kind kind;
} field_info[FIELD_COUNT] = {
#define TIDE_X(id, name, kind, value) {name, KIND_##kind},
    FIELDS(TIDE_X)
#undef TIDE_X
};

/* NAN: does not exist. Counts beyond 2^53 do not occur in one point. */
static double field_value(const struct tide_point *point, unsigned field)
{
    switch (field) {
#define TIDE_X(id, name, kind, value) \
    case FIELD_##id:                  \
        return value;
        FIELDS(TIDE_X)
#undef TIDE_X
    default:
        assert(0 && "no such field");
        return NAN;
    }
}

static unsigned decimals_of(unsigned field)
{
    return field_info[field].kind == KIND_REAL ? 6 : 0;
}

/* ---- what is shown of a point ---- */

#define QUANTILE_NAME_SIZE 24

struct shown {
    uint32_t fields; /* bits of enum field */
    char quantile_name[TIDE_QUANTILES_MAX][QUANTILE_NAME_SIZE];
    size_t quantiles;
    bool histogram;
};

/* "requests,p95_response_time_ms" -> bits; the time of a point is always shown. */
static bool parse_fields(const char *text, uint32_t *ret_fields)
{
    uint32_t fields = 1u << FIELD_INTERVAL_START;

    static_assert(FIELD_COUNT <= 32, "one bit each");
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned i;

        for (i = 0; i < FIELD_COUNT; i++)
            if (strlen(field_info[i].name) == len && memcmp(field_info[i].name, text, len) == 0)
                break;
        if (i == FIELD_COUNT)
            return false;
        fields |= 1u << i;
        if (!text[len])
            break;
        text += len + 1;
    }
    *ret_fields = fields;
    return true;
}

/* 0.5 -> p50, 0.999 -> p99_9 */
static void name_quantile(double q, char name[QUANTILE_NAME_SIZE])
{
    char *dot;

    snprintf(name, QUANTILE_NAME_SIZE, "p%.12g", q * 100);
    dot = strchr(name, '.');
    if (dot)
        *dot = '_';
}

static enum tide_rc fix_shown(const struct tide_params *params, struct shown *shown,
                              struct tide_err *err)
{
    memset(shown, 0, sizeof(*shown));
    shown->fields = (1u << FIELD_COUNT) - 1;
    if ((params->given & TIDE_PARAM(FIELDS)) && !parse_fields(params->fields, &shown->fields)) {
        tide_err_set(err, "parameter fields: '%.64s' is not a list of names of a point's fields",
                     params->fields);
        return TIDE_USAGE;
    }
    shown->quantiles = params->quantiles;
    for (size_t i = 0; i < params->quantiles; i++) {
        name_quantile(params->quantile[i], shown->quantile_name[i]);
        for (size_t k = 0; k < i; k++)
            if (strcmp(shown->quantile_name[i], shown->quantile_name[k]) == 0) {
                tide_err_set(err, "parameter quantiles: %g is given twice", params->quantile[i]);
                return TIDE_USAGE;
            }
    }
    shown->histogram = params->histogram;
    return TIDE_OK;
}

/* ---- cursor: 'h', before, from, to, step, whose ---- */

#define CURSOR_SIZE 41

static uint64_t whose(const struct tide_params *params)
{
    return tide_hash64(0, params->module_id, params->module_len) ^ params->aggregate;
}

static void encode_cursor(const struct tide_params *params, const struct tide_history_view *view,
                          char text[TIDE_CURSOR_TEXT_SIZE])
{
    uint8_t bytes[CURSOR_SIZE];

    bytes[0] = 'h';
    tide_put_be64(bytes + 1, (uint64_t)view->before_s);
    tide_put_be64(bytes + 9, (uint64_t)view->from_s);
    tide_put_be64(bytes + 17, (uint64_t)view->to_s);
    tide_put_be64(bytes + 25, (uint64_t)view->step_s);
    tide_put_be64(bytes + 33, whose(params));
    tide_cursor_encode(bytes, sizeof(bytes), text);
}

static bool decode_cursor(const struct tide_params *params, struct tide_history_ask *ask)
{
    const uint64_t far_s = UINT64_C(1) << 40; /* beyond any date; microseconds of it still fit */
    uint8_t bytes[TIDE_CURSOR_BYTES_MAX];
    size_t len;
    uint64_t before_s, from_s, to_s, step_s;

    if (!tide_cursor_decode(params->cursor, bytes, &len) || len != CURSOR_SIZE || bytes[0] != 'h' ||
        tide_get_be64(bytes + 33) != whose(params))
        return false;
    before_s = tide_get_be64(bytes + 1);
    from_s = tide_get_be64(bytes + 9);
    to_s = tide_get_be64(bytes + 17);
    step_s = tide_get_be64(bytes + 25);
    if (before_s > far_s || to_s > far_s || from_s >= to_s || step_s == 0 || step_s > far_s)
        return false;
    ask->before_s = (int64_t)before_s;
    ask->from_us = (int64_t)from_s * 1000000;
    ask->to_us = (int64_t)to_s * 1000000;
    ask->step_s = (int64_t)step_s;
    return true;
}

/* ---- the formats ---- */

static void put_value(struct tide_json *json, const char *key, const struct tide_point *point,
                      unsigned field)
{
    double value = field_value(point, field);

    if (field_info[field].kind == KIND_FLAG)
        tide_json_flag(json, key, value != 0);
    else if (field_info[field].kind == KIND_TIME && point->start_s == 0)
        tide_json_text(json, key, "1970-01-01T00:00:00Z");
    else if (field_info[field].kind == KIND_TIME)
        tide_json_time(json, key, point->start_s * 1000000);
    else
        tide_json_real(json, key, value, decimals_of(field));
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

static void put_points(struct tide_json *json, const struct shown *shown,
                       const struct tide_history_view *view)
{
    tide_json_array(json, "history");
    for (size_t n = view->points; n > 0; n--) {
        const struct tide_point *point = &view->point[n - 1];

        tide_json_object(json, NULL);
        for (unsigned field = 0; field < FIELD_COUNT; field++)
            if (shown->fields & 1u << field)
                put_value(json, field_info[field].name, point, field);
        for (size_t q = 0; q < shown->quantiles; q++)
            tide_json_ms(json, shown->quantile_name[q], point->quantile_ms[q]);
        if (shown->histogram)
            put_histogram(json, "histogram", &point->hist);
        tide_json_end(json);
    }
    tide_json_end(json);
}

static void put_columns(struct tide_json *json, const struct shown *shown,
                        const struct tide_history_view *view)
{
    tide_json_object(json, "columns");
    tide_json_array(json, "t");
    for (size_t n = view->points; n > 0; n--)
        tide_json_int(json, NULL, view->point[n - 1].start_s);
    tide_json_end(json);
    for (unsigned field = FIELD_INTERVAL_START + 1; field < FIELD_COUNT; field++) {
        if (!(shown->fields & 1u << field))
            continue;
        tide_json_array(json, field_info[field].name);
        for (size_t n = view->points; n > 0; n--)
            put_value(json, NULL, &view->point[n - 1], field);
        tide_json_end(json);
    }
    for (size_t q = 0; q < shown->quantiles; q++) {
        tide_json_array(json, shown->quantile_name[q]);
        for (size_t n = view->points; n > 0; n--)
            tide_json_ms(json, NULL, view->point[n - 1].quantile_ms[q]);
        tide_json_end(json);
    }
    if (shown->histogram) {
        tide_json_array(json, "histogram");
        for (size_t n = view->points; n > 0; n--)
            put_histogram(json, NULL, &view->point[n - 1].hist);
        tide_json_end(json);
    }
    tide_json_end(json);
}

static void csv_real(struct tide_body *body, double value, unsigned decimals)
{
    if (isfinite(value))
        tide_body_real(body, value, decimals);
}

/* Needs no quoting: names are ours, values are numbers, times and flags. What does not exist is
 * empty. */
static void put_csv(struct tide_body *body, const struct shown *shown,
                    const struct tide_history_view *view)
{
    tide_body_text(body, field_info[FIELD_INTERVAL_START].name);
    for (unsigned field = FIELD_INTERVAL_START + 1; field < FIELD_COUNT; field++)
        if (shown->fields & 1u << field)
            tide_body_format(body, ",%s", field_info[field].name);
    for (size_t q = 0; q < shown->quantiles; q++)
        tide_body_format(body, ",%s", shown->quantile_name[q]);
    tide_body_text(body, "\r\n");
    for (size_t n = view->points; n > 0; n--) {
        const struct tide_point *point = &view->point[n - 1];
        char text[TIDE_API_TIME_SIZE];

        tide_body_text(body, tide_api_time(text, point->start_s * 1000000));
        for (unsigned field = FIELD_INTERVAL_START + 1; field < FIELD_COUNT; field++) {
            if (!(shown->fields & 1u << field))
                continue;
            tide_body_add(body, ",", 1);
            if (field_info[field].kind == KIND_FLAG)
                tide_body_text(body, field_value(point, field) != 0 ? "true" : "false");
            else
                csv_real(body, field_value(point, field), decimals_of(field));
        }
        for (size_t q = 0; q < shown->quantiles; q++) {
            tide_body_add(body, ",", 1);
            csv_real(body, point->quantile_ms[q], 6);
        }
        tide_body_text(body, "\r\n");
    }
}

static void put_head(struct tide_json *json, const struct tide_params *params,
                     const struct tide_history_view *view, const char *next_cursor)
{
    char text[TIDE_API_TIME_SIZE];

    tide_json_text(json, "module_id", params->module_id);
    tide_json_text(json, "from", tide_api_time(text, view->from_s * 1000000));
    tide_json_text(json, "to", tide_api_time(text, view->to_s * 1000000));
    tide_json_int(json, "step_s", view->step_s);
    tide_json_text(json, "tier", view->tier);
    tide_json_uint(json, "limit", params->limit);
    tide_json_share(json, "percentile_relative_error", TIDE_HIST_RELATIVE_ERROR);
    tide_json_text(json, "next_cursor", next_cursor);
}

/* ---- the request ---- */

#define DEFAULT_RANGE_US INT64_C(3600000000)

static enum tide_rc fix_ask(const struct tide_call *call, struct tide_history_ask *ask,
                            struct tide_err *err)
{
    const struct tide_params *params = call->params;

    *ask = (struct tide_history_ask){.module = params->module_len ? params->module_id : NULL,
                                     .module_len = params->module_len,
                                     .to_us = call->now_us,
                                     .step_s = params->step_s,
                                     .before_s = INT64_MAX,
                                     .limit = params->limit,
                                     .aggregate = params->aggregate,
                                     .histogram = params->histogram,
                                     .quantiles = params->quantiles};
    memcpy(ask->quantile, params->quantile, sizeof(ask->quantile));
    if (params->given & TIDE_PARAM(CURSOR)) {
        if (!decode_cursor(params, ask)) {
            tide_err_set(err, "parameter cursor is not a next_cursor of this history");
            return TIDE_USAGE;
        }
        return TIDE_OK;
    }
    if (params->given & TIDE_PARAM(TO))
        ask->to_us = params->to_us;
    ask->from_us = ask->to_us > DEFAULT_RANGE_US ? ask->to_us - DEFAULT_RANGE_US : 0;
    if (params->given & TIDE_PARAM(FROM))
        ask->from_us = params->from_us;
    return TIDE_OK;
}

static enum tide_format format_of(const struct tide_call *call)
{
    if (!(call->params->given & TIDE_PARAM(FORMAT)) &&
        tide_accept_prefers(call->accept, "text/csv", "application/json"))
        return TIDE_FORMAT_CSV;
    return call->params->format;
}

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    const struct tide_params *params = call->params;
    enum tide_format format = format_of(call);
    struct tide_history_ask ask;
    struct tide_history_view view;
    struct shown shown;
    char next[TIDE_CURSOR_TEXT_SIZE] = "";
    enum tide_rc rc;

    if ((rc = fix_shown(params, &shown, &reply->err)) || (rc = fix_ask(call, &ask, &reply->err)))
        return rc;
    if (format == TIDE_FORMAT_CSV && shown.histogram) {
        tide_err_set(&reply->err,
                     "parameter histogram: csv has no room for it, take json or columns");
        return TIDE_USAGE;
    }
    rc = tide_query_history(call->query, &ask, &view, &reply->err);
    if (rc)
        return rc;
    if (view.more)
        encode_cursor(params, &view, next);
    reply->closed = view.closed;
    if (format == TIDE_FORMAT_CSV) {
        tide_body_fini(&reply->body); /* drops the envelope */
        put_csv(&reply->body, &shown, &view);
        reply->type = "text/csv; charset=utf-8";
        memcpy(reply->next_cursor, next, sizeof(next));
    } else {
        put_head(&reply->json, params, &view, view.more ? next : NULL);
        if (format == TIDE_FORMAT_COLUMNS)
            put_columns(&reply->json, &shown, &view);
        else
            put_points(&reply->json, &shown, &view);
    }
    tide_history_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_history = {
    .path = "/api/v3/metrics/history",
    .summary = "Points of one module or the fleet over a range",
    .params = {.allowed = TIDE_PARAM(MODULE_ID) | TIDE_PARAM(FROM) | TIDE_PARAM(TO) |
                          TIDE_PARAM(STEP) | TIDE_PARAM(LIMIT) | TIDE_PARAM(CURSOR) |
                          TIDE_PARAM(FIELDS) | TIDE_PARAM(FORMAT) | TIDE_PARAM(QUANTILES) |
                          TIDE_PARAM(HISTOGRAM) | TIDE_PARAM(AGGREGATE),
               .limit = TIDE_HISTORY_LIMIT,
               .limit_max = TIDE_HISTORY_LIMIT_MAX},
    .serve = serve,
};
