/* api's door: the REST port. One evhttp thread; a table of routes, one file per endpoint. */
#ifndef TIDEMARK_API_H
#define TIDEMARK_API_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/query.h"

struct tide_api_cfg {
    char address[256]; /* "127.0.0.1:8640"; port 0: the kernel picks */
    unsigned threads;  /* 1..64 */
    bool prometheus;   /* serve /api/v3/metrics/prometheus */
    bool log_requests; /* one info line per request: method, path, status, bytes, ms */
};

struct tide_api;

enum tide_rc tide_api_start(const struct tide_api_cfg *cfg, struct tide_query *query,
                            struct tide_api **ret, struct tide_err *err);
const char *tide_api_address(const struct tide_api *api); /* as bound */
void tide_api_stop(struct tide_api *api);                 /* NULL is fine; idempotent */

#endif
