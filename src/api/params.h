/* params - the query string of a request as checked values. Strict: a name the route does not know,
 * a name given twice, a value that does not parse or is out of range is TIDE_USAGE, and the text
 * names the parameter and what was expected.
 */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/query.h"

/* X(enumerator, name, help) */
#define TIDE_PARAMS(X)                                                             \
    X(MODULE_ID, "module_id", "name of a module")                                  \
    X(WINDOW, "window", "duration that all figures cover: 90s 5m 2h 7d")           \
    X(FROM, "from", "begin: RFC 3339, Unix seconds, or relative as -24h")          \
    X(TO, "to", "end (exclusive): RFC 3339, Unix seconds, or relative as -1h")     \
    X(STEP, "step", "width of a point, a multiple of the interval: 30s 5m 1h 1d")  \
    X(LIMIT, "limit", "how many at most")                                          \
    X(CURSOR, "cursor", "next_cursor of the page before")                          \
    X(FIELDS, "fields", "names of fields, separated by commas")                    \
    X(FORMAT, "format", "json, columns, csv or msgpack")                           \
    X(QUANTILES, "quantiles", "up to 16 quantiles in (0, 1], separated by commas") \
    X(HISTOGRAM, "histogram", "true: with the buckets of each point")              \
    X(AGGREGATE, "aggregate", "true: one point over the whole range")              \
    X(STATUS, "status", "healthy, degraded, critical or no_data")                  \
    X(PREFIX, "prefix", "what the name begins with")                               \
    X(SORT, "sort", "name, trouble, requests or p95")

#define TIDE_X(id, name, help) TIDE_PARAM_##id,
enum tide_param { TIDE_PARAMS(TIDE_X) TIDE_PARAM_COUNT };
#undef TIDE_X

#define TIDE_PARAM(id) (1u << TIDE_PARAM_##id)

struct tide_param_info {
    const char *name, *help;
};
extern const struct tide_param_info tide_param_info[TIDE_PARAM_COUNT];

enum tide_format { TIDE_FORMAT_JSON, TIDE_FORMAT_COLUMNS, TIDE_FORMAT_CSV, TIDE_FORMAT_MSGPACK };

#define TIDE_PARAM_TEXT_MAX 1024 /* bytes of one decoded value */

struct tide_params {
    uint32_t given; /* TIDE_PARAM() bits */
    char module_id[TIDE_MODULE_NAME_MAX + 1];
    size_t module_len;
    uint32_t window_s; /* 0: not given */
    int64_t from_us, to_us;
    int64_t step_s;
    uint32_t limit;
    char cursor[TIDE_PARAM_TEXT_MAX + 1];
    char fields[TIDE_PARAM_TEXT_MAX + 1];
    enum tide_format format;
    double quantile[TIDE_QUANTILES_MAX];
    size_t quantiles;
    bool histogram, aggregate;
    int status; /* -1: not given */
    char prefix[TIDE_MODULE_NAME_MAX + 1];
    enum tide_sort sort;
};

/* What a route takes. */
struct tide_param_rules {
    uint32_t allowed;          /* TIDE_PARAM() bits */
    uint32_t limit, limit_max; /* default and bound of `limit` */
};

/* Parses query (NULL or "": none), which is the part of the URI after the question mark. now_us is
 * what relative times are relative to. */
enum tide_rc tide_params_parse(const char *query, const struct tide_param_rules *rules,
                               struct tide_window_bounds window, int64_t now_us,
                               struct tide_params *ret, struct tide_err *err);

/* 90s 5m 2h 7d -> seconds, 1 s .. 100 years. */
bool tide_param_duration(const char *text, int64_t *ret_s);

/* RFC 3339, Unix seconds with or without a fraction, or -duration; 1970 .. 9999. */
bool tide_param_moment(const char *text, int64_t now_us, int64_t *ret_us);

#endif
