/* event - one module log event as it arrived. Lives for microseconds, on a stack; its texts point
 * into the receive buffer and die with it.
 */
#ifndef TIDEMARK_EVENT_H
#define TIDEMARK_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/custom.h"
#include "tidemark/gauge.h"

/* X(enumerator, name). The order is part of the file format: append only. */
#define TIDE_EVENT_KINDS(X)       \
    X(START, "start")             \
    X(STOP, "stop")               \
    X(HEALTH, "health")           \
    X(REQUEST, "request")         \
    X(RESPONSE, "response")       \
    X(ERROR, "error")             \
    X(PERFORMANCE, "performance") \
    X(CONFIG, "config")           \
    X(METRIC, "metric")           \
    X(DEBUG, "debug")

#define TIDE_X(id, name) TIDE_EVENT_##id,
enum tide_event_kind { TIDE_EVENT_KINDS(TIDE_X) TIDE_EVENT_KIND_COUNT };
#undef TIDE_X

#define TIDE_MODULE_NAME_MAX 128 /* bytes of UTF-8, no control characters */
#define TIDE_ID_MAX          128 /* correlation, instance and event ids, bytes; longer ones are cut */
#define TIDE_ERROR_TEXT_MAX  256 /* bytes kept of an error text */
#define TIDE_DURATION_MAX_US (INT64_C(1) << 40)
#define TIDE_OVERFLOW_MODULE "__overflow__"
#define TIDE_SAMPLE_RATE_MIN 1e-6

struct tide_text {
    const char *start; /* not terminated */
    uint32_t len;      /* bytes; 0 = absent */
};

struct tide_event {
    int64_t time_us; /* Unix time; 0 = arrival */
    struct tide_text module;
    struct tide_text instance;
    struct tide_text correlation;
    struct tide_text event_id;
    struct tide_text error;  /* len 0 = not set; an error that is set but has no text: "error" */
    struct tide_text metric; /* name of a custom metric; only with event metric and a good value */
    int64_t value;           /* its value in millionths */
    uint32_t weight;         /* 1, or floor or ceil of 1 / sample_rate */
    uint8_t kind;            /* enum tide_event_kind */
    bool has_duration;
    bool has_outcome; /* success or status was given */
    bool success; /* the outcome; derived from error and status when not given; true without any */
    bool has_healthy;
    bool healthy;
    uint8_t gauges;     /* bit g set: gauge[g] was given */
    double duration_us; /* as received, not rounded: the histogram bucket comes from this */
    int64_t gauge[TIDE_GAUGE_COUNT]; /* scaled integers, see gauge.h; >= 0 */
};

const char *tide_event_kind_name(enum tide_event_kind kind);

/* The kind of a name, or -1. */
int tide_event_kind_find(const char *name, uint32_t len);

/* An operation is a response, or a request that carries a duration or an outcome. */
static inline bool tide_event_is_operation(const struct tide_event *ev)
{
    return ev->kind == TIDE_EVENT_RESPONSE ||
           (ev->kind == TIDE_EVENT_REQUEST && (ev->has_duration || ev->has_outcome));
}

#endif
