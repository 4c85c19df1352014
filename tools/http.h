/* A small HTTP/1.1 client: one GET, one answer, one connection, all within a deadline and a size.
 */
#ifndef TIDEMARK_TOOLS_HTTP_H
#define TIDEMARK_TOOLS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

#define TIDE_HTTP_REQUEST_MAX 8192
#define TIDE_HTTP_HEAD_MAX    (64 * 1024)
#define TIDE_HTTP_BODY_MAX    (256 * 1024 * 1024)

struct tide_http_answer {
    int status;
    char type[128]; /* Content-Type without its parameters, lower case; "" when absent */
    char *body; /* always ends with a 0 byte that is not counted; freed by tide_http_answer_fini */
    size_t body_len;
};

/* The two halves of a GET, for who keeps the connection: connects to the url, with what pass.h
 * holds; and writes the request for `path`, which asks to close the connection afterwards or not.
 * TIDE_USAGE: it is too long. */
struct tide_channel;
enum tide_rc tide_http_connect(const char *url, int64_t deadline_us, struct tide_channel **ret,
                               struct tide_err *err);
enum tide_rc tide_http_request(const char *url, const char *path, bool close,
                               char text[TIDE_HTTP_REQUEST_MAX], size_t *ret_len,
                               struct tide_err *err);

/* All of these bytes. TIDE_UNAVAILABLE: they were not taken in time; TIDE_STOPPED. */
enum tide_rc tide_http_send(struct tide_channel *channel, const char *text, size_t len,
                            int64_t deadline_us, struct tide_err *err);

/* Some bytes more into data[0, room); *ret_len 0: the daemon is done. */
enum tide_rc tide_http_receive(struct tide_channel *channel, char *data, size_t room,
                               int64_t deadline_us, size_t *ret_len, struct tide_err *err);

/* GETs url ("http[s]://host[:port][/prefix]") + path ("/api/v3/...?...").
 *
 * Bounds   the whole exchange takes at most timeout_ms; head TIDE_HTTP_HEAD_MAX, body body_max
 * bytes Returns  TIDE_OK           an answer of any status; ret belongs to the caller TIDE_USAGE
 * the URL is none of ours TIDE_UNAVAILABLE  nobody there, gone in the middle, or too slow
 *          TIDE_MALFORMED    it does not speak HTTP/1
 *          TIDE_TOO_LARGE    over a bound
 *          TIDE_STOPPED      a signal asked to stop
 */
enum tide_rc tide_http_get(const char *url, const char *path, int timeout_ms, size_t body_max,
                           struct tide_http_answer *ret, struct tide_err *err);
void tide_http_answer_fini(struct tide_http_answer *answer);

/* Appends text to out, %XX for everything that is not unreserved (RFC 3986). Returns the new
 * length, at most size - 1; out stays terminated. */
size_t tide_http_escape(char *out, size_t size, const char *text);

#endif
