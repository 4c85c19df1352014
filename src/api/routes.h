/* routes - the table of endpoints: path, what it takes, who serves it. One file and one row per
 * endpoint.
 *
 * A serve function turns a checked request into a reply and knows nothing of HTTP: it fills
 * reply->json inside the envelope, or reply->body for text, and returns TIDE_OK; or an outcome and
 * a text, which become problem+json.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "cursor.h"
#include "json.h"
#include "params.h"

struct tide_call {
    struct tide_query *query;
    const struct tide_params *params;
    const char *accept; /* the header, NULL: none */
    int64_t now_us;
};

/* What a serve function fills. */
struct tide_reply {
    struct tide_body body;
    struct tide_json json; /* into body, inside the envelope */
    int status;            /* 200 unless set */
    const char *type; /* NULL: application/json in the envelope; set: body holds the whole answer */
    const char *code; /* of an error */
    struct tide_err err;            /* its detail */
    size_t payload_at, payload_len; /* the part of body that is not envelope */
    bool closed;                    /* cannot change but by late events: ETag instead of no-store */
    char next_cursor[TIDE_CURSOR_TEXT_SIZE]; /* for bodies that have no room for it; "" = none */
};

struct tide_route {
    const char *path;
    const char *alias; /* NULL: none */
    const char *summary;
    struct tide_param_rules params;
    enum tide_rc (*serve)(const struct tide_call *call, struct tide_reply *reply);
    bool prometheus; /* only while prometheus.enabled */
    bool text;       /* serves text: no envelope */
    bool open;       /* needs no token: says nothing of what is watched */
    bool admin;      /* shows what others sent: wants a token of that scope */
};

#define TIDE_ROUTES(X) \
    X(summary)         \
    X(aggregated)      \
    X(module)          \
    X(modules)         \
    X(health)          \
    X(performance)     \
    X(prometheus)      \
    X(history)         \
    X(live)            \
    X(ready)           \
    X(status)          \
    X(ledger)          \
    X(rejected)        \
    X(openapi)

#define TIDE_X(name) extern const struct tide_route tide_route_##name;
TIDE_ROUTES(TIDE_X)
#undef TIDE_X

#define TIDE_X(name) TIDE_ROUTE_##name,
enum tide_route_index { TIDE_ROUTES(TIDE_X) TIDE_ROUTE_COUNT };
#undef TIDE_X

extern const struct tide_route *const tide_routes[TIDE_ROUTE_COUNT];

/* The index of a path or an alias, TIDE_ROUTE_COUNT if there is none. */
size_t tide_route_find(const char *path);

#endif
