/* stats - what the HTTP side did: answers by path and status, their durations. Paths are those of
 * the table and one for all else, so the number of series is fixed.
 */
#ifndef API_STATS_H
#define API_STATS_H

#include "routes.h"
#include "tidemark/counter.h"

/* X(status, title) of every answer there is. */
#define TIDE_HTTP_CODES(X)                    \
    X(200, "OK")                              \
    X(204, "No Content")                      \
    X(304, "Not Modified")                    \
    X(400, "Bad Request")                     \
    X(401, "Unauthorized")                    \
    X(403, "Forbidden")                       \
    X(404, "Not Found")                       \
    X(405, "Method Not Allowed")              \
    X(408, "Request Timeout")                 \
    X(411, "Length Required")                 \
    X(413, "Content Too Large")               \
    X(414, "URI Too Long")                    \
    X(417, "Expectation Failed")              \
    X(431, "Request Header Fields Too Large") \
    X(500, "Internal Server Error")           \
    X(503, "Service Unavailable")             \
    X(505, "HTTP Version Not Supported")

#define TIDE_X(code, title) TIDE_HTTP_##code,
enum tide_http_code { TIDE_HTTP_CODES(TIDE_X) TIDE_HTTP_CODE_COUNT };
#undef TIDE_X

extern const int tide_http_code_value[TIDE_HTTP_CODE_COUNT];
extern atomic_ullong tide_http_requests[TIDE_ROUTE_COUNT + 1][TIDE_HTTP_CODE_COUNT];
extern struct tide_timing tide_http_timing[TIDE_ROUTE_COUNT + 1];

/* route: TIDE_ROUTE_COUNT for paths that are not in the table. status: one of TIDE_HTTP_CODES. */
void tide_http_note(size_t route, int status, uint64_t us);

/* The path label. */
const char *tide_http_path(size_t route);

#endif
