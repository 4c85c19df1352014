/* api's door: the REST port. evhttp in some threads, a table of routes, one file per endpoint. */
#ifndef TIDEMARK_API_H
#define TIDEMARK_API_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/query.h"

struct tide_tls;

struct tide_api_cfg {
    char address[256]; /* "127.0.0.1:8640"; port 0: the kernel picks */
    unsigned threads;  /* 1..64 */
    bool prometheus;   /* serve /api/v3/metrics/prometheus */
    bool log_requests; /* one info line per request: method, path, status, bytes, ms */
    unsigned max_connections, max_connections_per_address; /* over all threads; at least 1 */
    unsigned request_timeout_s; /* for a whole request, from its first byte; at least 1 */
    uint64_t max_waiting_bytes; /* of answers that are not taken yet, in all; at least 1 */
    char tokens_file[1024];     /* "": nobody has to prove who he is */
    char cors_origins[1024];    /* blank-separated; "*": all; "": none */
    struct tide_tls *tls;       /* NULL: plain; must outlive the api */
};

struct tide_api;

enum tide_rc tide_api_start(const struct tide_api_cfg *cfg, struct tide_query *query,
                            struct tide_api **ret, struct tide_err *err);
const char *tide_api_address(const struct tide_api *api); /* as bound */

/* Reads tokens_file again, if there is one; after a failure the old tokens are still good. */
enum tide_rc tide_api_reload(struct tide_api *api, struct tide_err *err);

/* Could this be a tokens_file? TIDE_CONFIG: err names file, line and what was expected. */
enum tide_rc tide_api_check_tokens(const char *file, struct tide_err *err);

void tide_api_stop(struct tide_api *api); /* NULL is fine; idempotent */

#endif
