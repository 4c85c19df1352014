/* query's door: questions over a snapshot -> views. See the structs; one file per question in src/query/. */
#ifndef TIDEMARK_QUERY_H
#define TIDEMARK_QUERY_H

#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/health.h"
#include "tidemark/store.h"

struct tide_query_cfg {
    uint32_t window_s;   /* aggregation.window_s: what "current" means */
    int64_t raw_s;       /* retention.raw_s, the longest window; 0 = for ever */
    struct tide_health_rules health; /* copied */
};

struct tide_query;

enum tide_rc tide_query_open(const struct tide_query_cfg *cfg, struct tide_store *store, struct tide_query **ret,
                             struct tide_err *err);
void tide_query_close(struct tide_query *query); /* NULL is fine */

#endif
