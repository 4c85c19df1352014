/* GET /api/v3/metrics/history: points of one module or the fleet over a range, in the formats of
 * points.h.
 *
 * Points leave oldest first; a page holds the newest of the range, and its
 * cursor carries the range itself, so that the next page of "the last hour" is of the same hour.
 */
#include "routes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "accept.h"
#include "cursor.h"
#include "points.h"
#include "tidemark/bytes.h"
#include "tidemark/hash.h"

static enum tide_rc fix_shown(const struct tide_params *params, struct tide_shown *shown,
                              struct tide_err *err)
{
    memset(shown, 0, sizeof(*shown));
    shown->fields = (1u << TIDE_FIELD_COUNT) - 1;
    if ((params->given & TIDE_PARAM(FIELDS)) &&
        !tide_fields_parse(params->fields, &shown->fields)) {
        tide_err_set(err, "parameter fields: '%.64s' is not a list of names of a point's fields",
                     params->fields);
        return TIDE_USAGE;
    }
    shown->quantiles = params->quantiles;
    for (size_t i = 0; i < params->quantiles; i++) {
        tide_quantile_name(params->quantile[i], shown->quantile_name[i]);
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

/* What a client accepts stands for `format` where that is not given. */
static const struct accepted {
    const char *type;
    enum tide_format format;
} accepted[] = {
    {"text/csv", TIDE_FORMAT_CSV},
    {"application/msgpack", TIDE_FORMAT_MSGPACK},
    {"application/vnd.msgpack", TIDE_FORMAT_MSGPACK},
    {"application/x-msgpack", TIDE_FORMAT_MSGPACK},
};

static enum tide_format format_of(const struct tide_call *call)
{
    double best = tide_accept_quality(call->accept, "application/json");
    enum tide_format format = call->params->format;

    if (call->params->given & TIDE_PARAM(FORMAT))
        return format;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        double quality = tide_accept_quality(call->accept, accepted[i].type);

        if (quality > 0 && quality > best) {
            best = quality;
            format = accepted[i].format;
        }
    }
    return format;
}

static void write_answer(const struct tide_call *call, enum tide_format format,
                         const struct tide_shown *shown, const struct tide_history_view *view,
                         const char *next, struct tide_reply *reply)
{
    const struct tide_points_head head = {call->params->module_id, call->params->limit, next};

    if (format == TIDE_FORMAT_CSV || format == TIDE_FORMAT_MSGPACK)
        tide_body_fini(&reply->body); /* drops the envelope */
    switch (format) {
    case TIDE_FORMAT_CSV:
        tide_points_csv(&reply->body, shown, view);
        reply->type = "text/csv; charset=utf-8";
        snprintf(reply->next_cursor, sizeof(reply->next_cursor), "%s", next ? next : "");
        break;
    case TIDE_FORMAT_MSGPACK:
        tide_points_msgpack(&reply->body, &head, shown, view);
        reply->type = "application/msgpack";
        break;
    case TIDE_FORMAT_COLUMNS:
        put_head(&reply->json, call->params, view, next);
        tide_points_columns(&reply->json, shown, view);
        break;
    case TIDE_FORMAT_JSON:
        put_head(&reply->json, call->params, view, next);
        tide_points_json(&reply->json, shown, view);
        break;
    }
}

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    const struct tide_params *params = call->params;
    enum tide_format format = format_of(call);
    struct tide_history_ask ask;
    struct tide_history_view view;
    struct tide_shown shown;
    char next[TIDE_CURSOR_TEXT_SIZE] = "";
    enum tide_rc rc;

    if ((rc = fix_shown(params, &shown, &reply->err)) || (rc = fix_ask(call, &ask, &reply->err)))
        return rc;
    if (format == TIDE_FORMAT_CSV && shown.histogram) {
        tide_err_set(&reply->err,
                     "parameter histogram: csv has no room for it, take json, columns or msgpack");
        return TIDE_USAGE;
    }
    ask.no_percentiles =
        !(shown.fields & TIDE_FIELDS_PERCENTILES) && !shown.quantiles && !shown.histogram;
    rc = tide_query_history(call->query, &ask, &view, &reply->err);
    if (rc)
        return rc;
    if (view.more)
        encode_cursor(params, &view, next);
    reply->closed = view.closed;
    write_answer(call, format, &shown, &view, view.more ? next : NULL, reply);
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
