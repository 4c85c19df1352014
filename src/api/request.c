/* request - see request.h. The ifs in order: smuggling, path, method, parameters, the endpoint. */
#include "request.h"

#include <stdio.h>
#include <string.h>
#include <event2/keyvalq_struct.h>

#include "reply.h"
#include "stats.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define PATH_SHOWN 200

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

/* evhttp takes the first of several Content-Length headers; a proxy in front may take the last. */
static bool smuggles(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *first = NULL;

    for (struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next) {
        if (evutil_ascii_strcasecmp(header->key, "Content-Length") != 0)
            continue;
        if (first && strcmp(first, header->value) != 0)
            return true;
        first = header->value;
    }
    return false;
}

/* Printable and bounded, for the log and for `instance`. */
static void show_path(const char *path, char shown[PATH_SHOWN + 1])
{
    size_t len = strnlen(path, PATH_SHOWN);

    for (size_t i = 0; i < len; i++)
        shown[i] = path[i] > 0x20 && path[i] < 0x7f ? path[i] : '?';
    shown[len] = '\0';
}

static void answer(const struct tide_api_context *context, struct evhttp_request *request,
                   size_t route_index, const char *shown, int64_t begun_us,
                   struct tide_reply *reply)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    const struct tide_route *route;
    struct tide_params params;
    struct tide_call call = {.query = context->query, .params = &params};
    enum tide_rc rc;

    if (route_index == TIDE_ROUTE_COUNT) {
        tide_reply_problem(reply, 404, "not_found", "no such path", shown);
        return;
    }
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        tide_reply_problem(reply, 405, "method_not_allowed", "only GET and HEAD are allowed",
                           shown);
        return;
    }
    route = tide_routes[route_index];
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

void tide_request_serve(struct evhttp_request *request, void *arg)
{
    static struct tide_log_gate gate;
    const struct tide_api_context *context = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *method = method_name(evhttp_request_get_command(request));
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    int64_t begun_us = tide_clock_mono_us(), us;
    struct tide_reply reply = {.status = 200};
    char shown[PATH_SHOWN + 1];
    size_t route_index, bytes;
    int status;

    if (!path)
        path = "";
    show_path(path, shown);
    route_index = tide_route_find(path);
    if (route_index < TIDE_ROUTE_COUNT && tide_routes[route_index]->prometheus &&
        !context->prometheus)
        route_index = TIDE_ROUTE_COUNT;
    if (smuggles(request)) {
        tide_reply_problem(&reply, 400, "bad_request", "several different Content-Length headers",
                           shown);
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    } else {
        answer(context, request, route_index, shown, begun_us, &reply);
    }
    if (reply.status == 500)
        tide_log_gated(&gate, TIDE_ERROR, "http", "%s: %s", shown, reply.err.text);
    status = tide_reply_send(&reply, request, &bytes); /* the request is evhttp's from here on */
    us = tide_clock_mono_us() - begun_us;
    tide_http_note(route_index, status, us > 0 ? (uint64_t)us : 0);
    if (context->log_requests)
        tide_log(TIDE_INFO, "http", "%s %s %d %zu bytes %.3f ms", method, shown, status, bytes,
                 (double)us / 1e3);
}
