/* reply - see reply.h.
 *
 * What evhttp leaves to its users is done here: a type on every answer, Content-Length on HEAD
 * without the body, errors as an ordinary reply (evhttp_send_error closes the connection).
 */
#include "reply.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <zlib.h>

#include "accept.h"
#include "stats.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"

#define GZIP_MIN  1024 /* bytes; below it the saving is less than a packet */
#define ETAG_SIZE 24

static const char *title_of(int status)
{
    switch (status) {
#define TIDE_X(code, title) \
    case code:              \
        return title;
        TIDE_HTTP_CODES(TIDE_X)
#undef TIDE_X
    default:
        assert(0 && "a status without a title");
        return "";
    }
}

/* ---- envelope and problems ---- */

void tide_reply_begin(struct tide_reply *reply, const char *endpoint, int64_t now_us)
{
    tide_json_init(&reply->json, &reply->body);
    tide_json_object(&reply->json, NULL);
    tide_json_text(&reply->json, "endpoint", endpoint);
    tide_json_time(&reply->json, "timestamp", now_us);
    reply->payload_at = reply->body.len;
}

bool tide_reply_finish(struct tide_reply *reply, double duration_ms)
{
    if (!reply->type) {
        reply->payload_len = reply->body.len - reply->payload_at;
        tide_json_ms(&reply->json, "duration_ms", duration_ms);
        tide_json_end(&reply->json);
        assert(reply->json.depth == 0);
        tide_body_add(&reply->body, "\n", 1);
        reply->type = "application/json";
    } else {
        reply->payload_at = 0;
        reply->payload_len = reply->body.len;
    }
    return !reply->body.failed;
}

void tide_reply_problem(struct tide_reply *reply, int status, const char *code, const char *detail,
                        const char *instance)
{
    struct tide_json *json = &reply->json;

    tide_body_fini(&reply->body);
    tide_json_init(json, &reply->body);
    tide_json_object(json, NULL);
    tide_json_text(json, "type", "about:blank");
    tide_json_text(json, "title", title_of(status));
    tide_json_int(json, "status", status);
    tide_json_text(json, "detail", detail);
    tide_json_text(json, "instance", instance);
    tide_json_text(json, "code", code);
    tide_json_end(json);
    tide_body_add(&reply->body, "\n", 1);
    reply->status = status;
    reply->type = "application/problem+json";
    reply->closed = false;
    reply->next_cursor[0] = '\0';
}

void tide_reply_outcome(struct tide_reply *reply, enum tide_rc rc, const char *instance)
{
    const char *text = reply->err.text[0] ? reply->err.text : tide_rc_text(rc);

    switch (rc) {
    case TIDE_USAGE:
        tide_reply_problem(reply, 400, reply->code ? reply->code : "bad_parameter", text, instance);
        break;
    case TIDE_NOT_FOUND:
        tide_reply_problem(reply, 404, "module_not_found", "Module not found", instance);
        break;
    case TIDE_NO_MEMORY:
    case TIDE_UNAVAILABLE:
    case TIDE_AGAIN:
    case TIDE_STOPPED:
        tide_reply_problem(reply, 503, "unavailable", text, instance);
        break;
    default:
        tide_reply_problem(reply, 500, "internal", text, instance);
        break;
    }
}

/* ---- gzip ---- */

/* Replaces the body by its gzip form; leaves it alone when that fails or is no smaller. */
static bool compress_body(struct tide_body *body)
{
    struct tide_body packed = {0};
    z_stream stream = {0};
    bool done = false;
    char *out;

    if (body->len > UINT32_MAX / 2 ||
        deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    out = tide_body_reserve(&packed, body->len);
    if (out) {
        stream.next_in = (unsigned char *)body->data;
        stream.avail_in = (unsigned)body->len;
        stream.next_out = (unsigned char *)out;
        stream.avail_out = (unsigned)body->len;
        done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        packed.len = body->len - stream.avail_out;
    }
    deflateEnd(&stream);
    if (!done) {
        tide_body_fini(&packed);
        return false;
    }
    tide_body_fini(body);
    *body = packed;
    return true;
}

/* ---- headers ---- */

/* Weak comparison with a list of entity tags, RFC 9110 section 13.1.2. */
static bool etag_matches(const char *list, const char *etag)
{
    while (list && *list) {
        size_t len;

        list += strspn(list, " \t,");
        len = strcspn(list, ", \t");
        if (len == 1 && *list == '*')
            return true;
        /* W/"x" and "x" are the same here */
        if (len > 2 && strncmp(list, "W/", 2) == 0) {
            if (len == strlen(etag) && strncmp(list, etag, len) == 0)
                return true;
        } else if (len == strlen(etag) - 2 && strncmp(list, etag + 2, len) == 0) {
            return true;
        }
        list += len;
    }
    return false;
}

/* Of the payload alone: the envelope carries the time of the answer. */
static void make_etag(const struct tide_reply *reply, char etag[ETAG_SIZE])
{
    snprintf(etag, ETAG_SIZE, "W/\"%016llx\"",
             (unsigned long long)tide_hash64(1, reply->body.data + reply->payload_at,
                                             reply->payload_len));
}

#define NO_STORE                                                                 \
    "\r\nCache-Control: no-cache, no-store, must-revalidate\r\nPragma: no-cache" \
    "\r\nExpires: 0"

/* The value of Date with what follows it on every answer, made anew once a second in each thread.
 */
static const char *date_lines(bool cors, bool stored)
{
    static _Thread_local char text[2][2][256];
    static _Thread_local time_t written = -1;
    time_t now = (time_t)(tide_clock_wall_us() / 1000000);
    char date[40];
    struct tm parts;

    if (now == written)
        return text[cors][stored];
    gmtime_r(&now, &parts);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts); /* locale is C */
    for (int i = 0; i < 4; i++)
        snprintf(text[i / 2][i % 2], sizeof(text[0][0]),
                 "%s\r\nX-Content-Type-Options: nosniff\r\nVary: Accept, Accept-Encoding%s%s", date,
                 i / 2 ? ", Origin" : "", i % 2 ? "" : NO_STORE);
    written = now;
    return text[cors][stored];
}

/* Several lines in one of evhttp's entries. It would not add them itself, for fear of strangers'
 * text; an entry for each costs a tenth of a small answer. */
static void add_lines(struct evkeyvalq *headers, const char *name, const char *value)
{
    struct evkeyval *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return;
    entry->key = strdup(name);
    entry->value = strdup(value);
    if (entry->key && entry->value) {
        TAILQ_INSERT_TAIL(headers, entry, next);
        return;
    }
    free(entry->key);
    free(entry->value);
    free(entry);
}

static void free_body(const void *data, size_t len, void *arg)
{
    (void)len;
    (void)arg;
    free((void *)data);
}

/* Hands the bytes to evhttp without copying them. */
static struct evbuffer *lend_body(struct tide_body *body)
{
    struct evbuffer *buffer = evbuffer_new();

    if (buffer && evbuffer_add_reference(buffer, body->data, body->len, free_body, NULL) == 0) {
        *body = (struct tide_body){0};
        return buffer;
    }
    if (buffer)
        evbuffer_free(buffer);
    return NULL;
}

static void add_cors_headers(struct evkeyvalq *headers, const struct tide_exchange *exchange)
{
    if (!exchange->allow_origin)
        return;
    evhttp_add_header(headers, "Access-Control-Allow-Origin", exchange->allow_origin);
    if (exchange->preflight) {
        evhttp_add_header(headers, "Access-Control-Allow-Methods", "GET, HEAD");
        evhttp_add_header(headers, "Access-Control-Allow-Headers", "Authorization");
        evhttp_add_header(headers, "Access-Control-Max-Age", "600");
    } else {
        evhttp_add_header(headers, "Access-Control-Expose-Headers", "ETag, X-Next-Cursor");
    }
}

static void add_headers(struct evkeyvalq *headers, const struct tide_reply *reply, int status,
                        const struct tide_exchange *exchange, const char *etag)
{
    add_lines(headers, "Date", date_lines(exchange->cors, etag));
    if (etag) {
        evhttp_add_header(headers, "ETag", etag);
        evhttp_add_header(headers, "Cache-Control", "private, no-cache");
    }
    add_cors_headers(headers, exchange);
    if (exchange->challenge)
        evhttp_add_header(headers, "WWW-Authenticate", exchange->challenge);
    if (status == 405)
        evhttp_add_header(headers, "Allow", "GET, HEAD");
    if (status == 503)
        evhttp_add_header(headers, "Retry-After", "1");
    if (exchange->close)
        evhttp_add_header(headers, "Connection", "close");
    if (status != 304 && status != 204) {
        evhttp_add_header(headers, "Content-Type", reply->type);
        if (reply->next_cursor[0])
            evhttp_add_header(headers, "X-Next-Cursor", reply->next_cursor);
    }
}

/* The body and what is said of it; NULL: there is none to send. */
static struct evbuffer *take_body(struct tide_reply *reply, struct evhttp_request *request,
                                  int *status, size_t *ret_bytes)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);
    const char *accepted =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Accept-Encoding");
    struct evbuffer *buffer;
    char length[24];
    size_t bytes;

    if (reply->body.len > GZIP_MIN && tide_accept_gzip(accepted) && compress_body(&reply->body))
        evhttp_add_header(out, "Content-Encoding", "gzip");
    bytes = reply->body.len;
    snprintf(length, sizeof(length), "%zu", bytes);
    evhttp_add_header(out, "Content-Length", length);
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
        return NULL;
    buffer = lend_body(&reply->body);
    if (buffer) {
        *ret_bytes = bytes;
        return buffer;
    }
    /* No memory for a buffer header: the length is promised, so the connection must go. */
    evhttp_remove_header(out, "Content-Length");
    evhttp_add_header(out, "Content-Length", "0");
    evhttp_add_header(out, "Connection", "close");
    *status = 503;
    return NULL;
}

int tide_reply_send(struct tide_reply *reply, struct evhttp_request *request,
                    const struct tide_exchange *exchange, size_t *ret_bytes)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(request);
    struct evbuffer *buffer = NULL;
    char etag[ETAG_SIZE] = "";
    int status = reply->status;

    if (reply->closed && status == 200) {
        make_etag(reply, etag);
        if (etag_matches(evhttp_find_header(in, "If-None-Match"), etag))
            status = 304;
    }
    *ret_bytes = 0;
    add_headers(evhttp_request_get_output_headers(request), reply, status, exchange,
                etag[0] ? etag : NULL);
    if (status != 304 && status != 204)
        buffer = take_body(reply, request, &status, ret_bytes);
    evhttp_send_reply(request, status, title_of(status), buffer);
    if (buffer)
        evbuffer_free(buffer);
    tide_body_fini(&reply->body);
    return status;
}
