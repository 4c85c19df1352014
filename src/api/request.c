/* request - see request.h. The ifs in order: refusal, origin, token, path, method, parameters, the
 * endpoint.
 */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "reply.h"
#include "stats.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define PATH_SHOWN 200

#define CHALLENGE         "Bearer realm=\"tidemark\""
#define CHALLENGE_INVALID CHALLENGE ", error=\"invalid_token\""
#define CHALLENGE_SCOPE   CHALLENGE ", error=\"insufficient_scope\", scope=\"admin\""

static const char *method_name(enum evhttp_cmd_type method)
{
    switch (method) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "?";
    }
}

/* Printable and bounded, for the log and for `instance`. */
static void show_path(const char *path, char shown[PATH_SHOWN + 1])
{
    size_t len = strnlen(path, PATH_SHOWN);

    for (size_t i = 0; i < len; i++)
        shown[i] = path[i] > 0x20 && path[i] < 0x7f ? path[i] : '?';
    shown[len] = '\0';
}

/* ---- who asks ---- */

static const char *allowed_origin(const char *origins, const char *origin)
{
    size_t len;

    if (!*origins || !origin)
        return NULL;
    if (strcmp(origins, "*") == 0)
        return "*";
    len = strlen(origin);
    for (const char *at = origins; *at;) {
        size_t word = strcspn(at, " ");

        if (word == len && memcmp(at, origin, len) == 0)
            return origin;
        at += word;
        at += strspn(at, " ");
    }
    return NULL;
}

/* True if the reply is the refusal. Where a token is wanted, nothing is said without one, not even
 * whether a path exists. */
static bool turned_away(const struct tide_api_context *context, struct evhttp_request *request,
                        const struct tide_route *route, const char *shown,
                        struct tide_exchange *exchange, struct tide_reply *reply)
{
    const char *authorization;
    enum tide_scope scope;

    if (!context->tokens || (route && route->open))
        return false;
    authorization = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    scope = tide_tokens_judge(context->tokens, authorization);
    if (scope == TIDE_SCOPE_NONE) {
        exchange->challenge = authorization ? CHALLENGE_INVALID : CHALLENGE;
        tide_reply_problem(reply, 401, "unauthorized",
                           authorization ? "this token is not known here"
                                         : "a token is needed: Authorization: Bearer TOKEN",
                           shown);
        return true;
    }
    if (route && route->admin && scope < TIDE_SCOPE_ADMIN) {
        exchange->challenge = CHALLENGE_SCOPE;
        tide_reply_problem(reply, 403, "forbidden", "this needs a token of scope admin", shown);
        return true;
    }
    return false;
}

/* ---- what is asked ---- */

static void answer(const struct tide_api_context *context, struct evhttp_request *request,
                   const struct tide_route *route, const char *shown, int64_t begun_us,
                   struct tide_reply *reply)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    struct tide_params params;
    struct tide_call call = {.query = context->query, .params = &params};
    enum tide_rc rc;

    if (!route) {
        tide_reply_problem(reply, 404, "not_found", "no such path", shown);
        return;
    }
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        tide_reply_problem(reply, 405, "method_not_allowed", "only GET and HEAD are allowed",
                           shown);
        return;
    }
    call.now_us = tide_clock_wall_us();
    call.accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
    rc = tide_params_parse(query, &route->params, tide_query_window_bounds(context->query),
                           call.now_us, &params, &reply->err);
    if (rc == TIDE_OK) {
        if (!route->text)
            tide_reply_begin(reply, route->path, call.now_us);
        rc = route->serve(&call, reply);
    }
    if (rc == TIDE_OK &&
        !tide_reply_finish(reply, (double)(tide_clock_mono_us() - begun_us) / 1e3)) {
        tide_err_set(&reply->err, "out of memory");
        rc = TIDE_NO_MEMORY;
    }
    if (rc)
        tide_reply_outcome(reply, rc, shown);
}

/* The route of a path that there is now. */
static size_t find_route(const struct tide_api_context *context, const char *path)
{
    size_t index = tide_route_find(path);

    if (index < TIDE_ROUTE_COUNT && tide_routes[index]->prometheus && !context->prometheus)
        index = TIDE_ROUTE_COUNT;
    return index;
}

static bool is_preflight(struct evhttp_request *request, const struct tide_exchange *exchange)
{
    return evhttp_request_get_command(request) == EVHTTP_REQ_OPTIONS && exchange->allow_origin &&
           evhttp_find_header(evhttp_request_get_input_headers(request),
                              "Access-Control-Request-Method");
}

/* Makes the reply; returns the index of the route, for the figures. */
static size_t respond(const struct tide_api_context *context, struct evhttp_request *request,
                      const char *shown, int64_t begun_us, struct tide_exchange *exchange,
                      struct tide_reply *reply)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    size_t index = find_route(context, path);
    const struct tide_route *route = index < TIDE_ROUTE_COUNT ? tide_routes[index] : NULL;

    exchange->cors = context->cors_origins[0];
    if (exchange->cors)
        exchange->allow_origin =
            allowed_origin(context->cors_origins,
                           evhttp_find_header(evhttp_request_get_input_headers(request), "Origin"));
    exchange->preflight = is_preflight(request, exchange);
    if (exchange->preflight) /* browsers ask without the token */
        reply->status = 204;
    else if (!turned_away(context, request, route, shown, exchange, reply))
        answer(context, request, route, shown, begun_us, reply);
    return index;
}

size_t tide_request_serve(struct evhttp_request *request, const struct tide_sifted *how,
                          const void *arg)
{
    static struct tide_log_gate gate;
    const struct tide_api_context *context = arg;
    const struct tide_refusal *refusal = how->refused ? &how->refusal : NULL;
    const char *method = refusal ? "-" : method_name(evhttp_request_get_command(request));
    int64_t begun_us = tide_clock_mono_us(), us;
    struct tide_exchange exchange = {.close = how->close};
    struct tide_reply reply = {.status = 200};
    size_t index = TIDE_ROUTE_COUNT, bytes;
    char shown[PATH_SHOWN + 1];
    int status;

    if (refusal) {
        snprintf(shown, sizeof(shown), "%s", refusal->code);
        tide_reply_problem(&reply, refusal->status, refusal->code, refusal->detail, "");
    } else {
        show_path(evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)), shown);
        index = respond(context, request, shown, begun_us, &exchange, &reply);
    }
    if (reply.status == 500)
        tide_log_gated(&gate, TIDE_ERROR, "http", "%s: %s", shown, reply.err.text);
    status = tide_reply_send(&reply, request, &exchange, &bytes);
    us = tide_clock_mono_us() - begun_us;
    tide_http_note(index, status, us > 0 ? (uint64_t)us : 0);
    if (context->log_requests)
        tide_log(TIDE_INFO, "http", "%s %s %d %zu bytes %.3f ms", method, shown, status, bytes,
                 (double)us / 1e3);
    return bytes;
}
