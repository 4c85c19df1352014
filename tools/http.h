/* A small HTTP/1.1 client: one GET, one answer, one connection, all within a deadline and a size.
 */
#ifndef TIDEMARK_TOOLS_HTTP_H
#define TIDEMARK_TOOLS_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include "credentials.h"
#include "tidemark/err.h"

#define TIDE_HTTP_HEAD_MAX (64 * 1024)
#define TIDE_HTTP_BODY_MAX (256 * 1024 * 1024)

struct tide_http_answer {
    int status;
    char type[128]; /* Content-Type without its parameters, lower case; "" when absent */
    char *body; /* always ends with a 0 byte that is not counted; freed by tide_http_answer_fini */
    size_t body_len;
};

/* Where a daemon answers, and what it is shown: the token, and over https what its certificate is
 * held against. */
struct tide_reach {
    const char *url;                            /* "http[s]://host[:port][/prefix]" */
    const struct tide_credentials *credentials; /* NULL: none */
};

/* GETs reach->url + path ("/api/v3/...?...").
 *
 * Bounds   the whole exchange takes at most timeout_ms; head TIDE_HTTP_HEAD_MAX, body body_max
 *          bytes
 * Returns  TIDE_OK           an answer of any status; ret belongs to the caller
 *          TIDE_USAGE        the URL is none of ours
 *          TIDE_UNAVAILABLE  nobody there, gone in the middle, or too slow
 *          TIDE_REFUSED      over https: it is not whom it should be
 *          TIDE_MALFORMED    it does not speak HTTP/1
 *          TIDE_TOO_LARGE    over a bound
 *          TIDE_STOPPED      a signal asked to stop
 */
enum tide_rc tide_http_get(const struct tide_reach *reach, const char *path, int timeout_ms,
                           size_t body_max, struct tide_http_answer *ret, struct tide_err *err);
void tide_http_answer_fini(struct tide_http_answer *answer);

/* Appends text to out, %XX for everything that is not unreserved (RFC 3986). Returns the new
 * length, at most size - 1; out stays terminated. */
size_t tide_http_escape(char *out, size_t size, const char *text);

#endif
