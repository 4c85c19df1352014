/* head - the head of one HTTP/1 request, judged before evhttp may parse it. Pure: no I/O, no clock.
 *
 * Strict where leniency lets two programs on a path disagree about where a request ends: lines end
 * in CRLF, one Host, at most one Content-Length of digits, no blank before a colon, no folded
 * lines, no control characters. What is refused gets a status and a sentence.
 */
#ifndef API_HEAD_H
#define API_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

#define TIDE_HEAD_BYTES_MAX   16384 /* of a head with its empty line */
#define TIDE_HEAD_LINES_MAX   100   /* header lines */
#define TIDE_HEAD_TARGET_MAX  8192
#define TIDE_HEAD_METHOD_MAX  32
#define TIDE_REQUEST_BODY_MAX (64 * 1024)

/* TIDE_STRANGE_METHOD: one that evhttp does not know, or would treat as a proxy. */
enum tide_method { TIDE_PLAIN_METHOD, TIDE_BODILESS_METHOD, TIDE_STRANGE_METHOD };

/* Texts point into the bytes that were parsed; NULL: there is none. */
struct tide_head {
    enum tide_method method;
    const char *method_name;
    const char *path, *query; /* query: what stands behind the question mark */
    bool absolute;            /* the target began with scheme and host */
    bool old;                 /* HTTP/1.0 */
    bool keep_alive;
    bool expects; /* 100-continue */
    uint64_t body_bytes;
};

struct tide_refusal {
    int status;
    const char *code, *detail; /* static */
};

/* Parses bytes[0, len), a whole head that ends in its empty line, in place. TIDE_MALFORMED: *why
 * says what to answer before closing. */
enum tide_rc tide_head_parse(char *bytes, size_t len, struct tide_head *ret,
                             struct tide_refusal *why);

/* Can bytes[0, len) still become a head? Looks at what stands from `from` on; the bytes before were
 * looked at. For heads that are not complete, so that noise is refused at once. */
enum tide_rc tide_head_hopeful(const char *bytes, size_t from, size_t len,
                               struct tide_refusal *why);

#endif
