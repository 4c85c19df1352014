/* GET /api/v3/metrics/modules: the modules, page by page. */
#include "routes.h"

#include <string.h>

#include "cursor.h"
#include "tidemark/bytes.h"

/* A cursor of this endpoint: 'm', sort, status, the bits of the real key, the count, the name. */
#define MARK_HEAD 19

static void encode_mark(const struct tide_modules_mark *mark, char text[TIDE_CURSOR_TEXT_SIZE])
{
    uint8_t bytes[MARK_HEAD + TIDE_MODULE_NAME_MAX];
    size_t len = strlen(mark->name);
    uint64_t real;

    memcpy(&real, &mark->real, sizeof(real));
    bytes[0] = 'm';
    bytes[1] = mark->sort;
    bytes[2] = mark->status;
    tide_put_be64(bytes + 3, real);
    tide_put_be64(bytes + 11, mark->count);
    memcpy(bytes + MARK_HEAD, mark->name, len);
    tide_cursor_encode(bytes, MARK_HEAD + len, text);
}

static bool decode_mark(const char *text, struct tide_modules_mark *mark)
{
    uint8_t bytes[TIDE_CURSOR_BYTES_MAX];
    size_t len;
    uint64_t real;

    if (!tide_cursor_decode(text, bytes, &len) || len < MARK_HEAD || bytes[0] != 'm' ||
        len > MARK_HEAD + TIDE_MODULE_NAME_MAX || bytes[2] >= TIDE_STATUS_COUNT)
        return false;
    memset(mark, 0, sizeof(*mark));
    mark->sort = bytes[1];
    mark->status = bytes[2];
    real = tide_get_be64(bytes + 3);
    memcpy(&mark->real, &real, sizeof(real));
    mark->count = tide_get_be64(bytes + 11);
    memcpy(mark->name, bytes + MARK_HEAD, len - MARK_HEAD);
    return true;
}

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    const struct tide_params *params = call->params;
    struct tide_json *json = &reply->json;
    struct tide_modules_ask ask = {.status = params->status,
                                   .prefix = params->prefix,
                                   .sort = params->sort,
                                   .limit = params->limit,
                                   .window_s = params->window_s};
    struct tide_modules_mark after;
    struct tide_modules_view view;
    char next[TIDE_CURSOR_TEXT_SIZE];
    enum tide_rc rc;

    if (params->given & TIDE_PARAM(CURSOR)) {
        if (!decode_mark(params->cursor, &after) || after.sort != (uint8_t)params->sort) {
            tide_err_set(&reply->err,
                         "parameter cursor is not a next_cursor of this list in this order");
            return TIDE_USAGE;
        }
        ask.after = &after;
    }
    rc = tide_query_modules(call->query, &ask, &view, &reply->err);
    if (rc)
        return rc;
    tide_json_array(json, "modules");
    for (size_t i = 0; i < view.lines; i++) {
        const struct tide_module_line *line = &view.line[i];

        tide_json_object(json, NULL);
        tide_json_text(json, "module_id", line->name);
        tide_json_text(json, "status", tide_status_name(line->health.status));
        tide_json_share(json, "health_score", line->health.score);
        tide_json_uint(json, "total_requests", line->figures.total);
        tide_json_share(json, "error_rate", line->figures.error_rate);
        tide_json_ms(json, "p95_response_time_ms", line->figures.p95_ms);
        tide_json_share(json, "throughput_rps", line->figures.throughput_rps);
        tide_json_time(json, "last_updated", line->figures.last_us);
        tide_json_end(json);
    }
    tide_json_end(json);
    tide_json_uint(json, "count", view.count);
    if (view.more)
        encode_mark(&view.next, next);
    tide_json_text(json, "next_cursor", view.more ? next : NULL);
    tide_modules_view_fini(&view);
    return TIDE_OK;
}

const struct tide_route tide_route_modules = {
    .path = "/api/v3/metrics/modules",
    .summary = "The modules, page by page",
    .params = {.allowed = TIDE_PARAM(STATUS) | TIDE_PARAM(PREFIX) | TIDE_PARAM(SORT) |
                          TIDE_PARAM(LIMIT) | TIDE_PARAM(CURSOR) | TIDE_PARAM(WINDOW),
               .limit = 1000,
               .limit_max = 10000},
    .serve = serve,
};
