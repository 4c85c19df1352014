/* points - the points of a history in the formats that clients ask for. One table names the fields
 * of a point, and every format walks it, so no two can disagree.
 *
 * Points leave oldest first. What does not exist is null (CSV: empty). Reals have six decimals at
 * most, in msgpack, too.
 */
#ifndef API_POINTS_H
#define API_POINTS_H

#include "json.h"
#include "tidemark/query.h"

/* X(enumerator, name, kind, value): what a kind's value is, see enum tide_field_kind. */
#define TIDE_FIELDS(X)                                                                        \
    X(INTERVAL_START, "interval_start", TIME, point->start_s)                                 \
    X(REQUESTS, "requests", COUNT, point->requests)                                           \
    X(SUCCESSFUL, "successful", COUNT, point->requests - point->failed)                       \
    X(FAILED, "failed", COUNT, point->failed)                                                 \
    X(ERRORS, "errors", COUNT, point->errors)                                                 \
    X(AVERAGE, "average_response_time_ms", REAL, point->mean_ms)                              \
    X(MIN, "min_response_time_ms", REAL, point->min_ms)                                       \
    X(P50, "p50_response_time_ms", REAL, point->p50_ms)                                       \
    X(P95, "p95_response_time_ms", REAL, point->p95_ms)                                       \
    X(P99, "p99_response_time_ms", REAL, point->p99_ms)                                       \
    X(MAX, "max_response_time_ms", REAL, point->max_ms)                                       \
    X(THROUGHPUT, "throughput_rps", REAL, point->throughput_rps)                              \
    X(MEMORY, "memory_usage_bytes", WHOLE, point->gauge[TIDE_GAUGE_MEMORY])                   \
    X(MEMORY_MAX, "memory_usage_bytes_max", WHOLE, point->gauge_max[TIDE_GAUGE_MEMORY])       \
    X(CPU, "cpu_usage_percent", REAL, point->gauge[TIDE_GAUGE_CPU])                           \
    X(CPU_MAX, "cpu_usage_percent_max", REAL, point->gauge_max[TIDE_GAUGE_CPU])               \
    X(GOROUTINES, "goroutines", WHOLE, point->gauge[TIDE_GAUGE_GOROUTINES])                   \
    X(DB_CONNECTIONS, "database_connections", WHOLE, point->gauge[TIDE_GAUGE_DB_CONNECTIONS]) \
    X(COMPLETE, "complete", FLAG, point->complete)                                            \
    X(CORRECTED, "corrected", FLAG, point->corrected)

#define TIDE_X(id, name, kind, value) TIDE_FIELD_##id,
enum tide_field { TIDE_FIELDS(TIDE_X) TIDE_FIELD_COUNT };
#undef TIDE_X

#define TIDE_FIELDS_PERCENTILES (1u << TIDE_FIELD_P50 | 1u << TIDE_FIELD_P95 | 1u << TIDE_FIELD_P99)

enum tide_field_kind {
    TIDE_KIND_TIME,  /* Unix seconds */
    TIDE_KIND_COUNT, /* of events, always there */
    TIDE_KIND_WHOLE, /* a gauge without decimals; NAN: does not exist */
    TIDE_KIND_REAL,  /* NAN: does not exist */
    TIDE_KIND_FLAG
};

struct tide_field_info {
    const char *name;
    enum tide_field_kind kind;
};
extern const struct tide_field_info tide_field_info[TIDE_FIELD_COUNT];

/* A count, a time or a flag of a point. */
uint64_t tide_field_count(const struct tide_point *point, unsigned field);
/* A real or a whole. */
double tide_field_real(const struct tide_point *point, unsigned field);

#define TIDE_QUANTILE_NAME_SIZE 24

/* What is shown of each point. */
struct tide_shown {
    uint32_t fields; /* bits of enum tide_field; the time is always among them */
    char quantile_name[TIDE_QUANTILES_MAX][TIDE_QUANTILE_NAME_SIZE];
    size_t quantiles;
    bool histogram;
};

/* "requests,p95_response_time_ms" -> bits; false: one of them is no field. */
bool tide_fields_parse(const char *text, uint32_t *ret_fields);

/* 0.5 -> p50, 0.999 -> p99_9 */
void tide_quantile_name(double q, char name[TIDE_QUANTILE_NAME_SIZE]);

/* "history": [{...}, ...] into the open object. */
void tide_points_json(struct tide_json *json, const struct tide_shown *shown,
                      const struct tide_history_view *view);
/* "columns": {"t": [...], ...} */
void tide_points_columns(struct tide_json *json, const struct tide_shown *shown,
                         const struct tide_history_view *view);
/* A table with a head; histograms have no place in it. */
void tide_points_csv(struct tide_body *body, const struct tide_shown *shown,
                     const struct tide_history_view *view);

/* The one map of a msgpack answer: what JSON says beside its envelope, in the same shape. */
struct tide_points_head {
    const char *module_id;
    uint32_t limit;
    const char *next_cursor; /* NULL: none */
};
void tide_points_msgpack(struct tide_body *body, const struct tide_points_head *head,
                         const struct tide_shown *shown, const struct tide_history_view *view);

#endif
