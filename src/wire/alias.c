/* alias - the table of other producers' names, and the values that came under them. */
#include "alias.h"

#include <string.h>

/* What has to be done to a value before it is one of ours. */
enum form {
    FORM_AS_OURS,
    FORM_MICROSECONDS,
    FORM_NANOSECONDS,
    FORM_SECONDS,
    FORM_SHARE,     /* of a processor: 1 is 100 % */
    FORM_OUTCOME,   /* success, failure, unknown */
    FORM_SLASHED,   /* a name with a slash before it */
    FORM_KIND,      /* a kind of event, or a word of the producer's own: then it says nothing */
    FORM_STATE,     /* healthy, degraded, critical */
    FORM_OBJECT,    /* a map: there is an error, whatever is in it */
    FORM_AMBIGUOUS, /* a duration in nobody knows what */
};

/* X(slot, name, field, form): of the names of one field the first in the table counts. The slot is
 * tide_alias_hash of the name; unit.wire.alias says so when it is wrong. */
#define ALIASES(X)                                                         \
    /* OpenTelemetry and ECS; plain loggers; Docker's driver */            \
    X(186, "service.name", MODULE, AS_OURS)                                \
    X(225, "module", MODULE, AS_OURS)                                      \
    X(11, "container_name", MODULE, SLASHED)                               \
    /* OpenTelemetry's log events; plain loggers */                        \
    X(169, "event.name", EVENT, KIND)                                      \
    X(85, "event_name", EVENT, KIND)                                       \
    X(58, "event_type", EVENT, KIND)                                       \
    X(68, "type", EVENT, KIND)                                             \
    /* ECS; pino and Go's slog */                                          \
    X(163, "@timestamp", TIMESTAMP, AS_OURS)                               \
    X(211, "time", TIMESTAMP, AS_OURS)                                     \
    /* ECS */                                                              \
    X(89, "event.outcome", SUCCESS, OUTCOME)                               \
    /* plain loggers; ECS; OpenTelemetry; pino-http */                     \
    X(140, "duration_us", DURATION, MICROSECONDS)                          \
    X(62, "duration_ns", DURATION, NANOSECONDS)                            \
    X(156, "event.duration", DURATION, NANOSECONDS)                        \
    X(207, "http.server.request.duration", DURATION, SECONDS)              \
    X(177, "responseTime", DURATION, AS_OURS)                              \
    X(57, "duration", AMBIGUOUS, AMBIGUOUS)                                \
    X(53, "latency", AMBIGUOUS, AMBIGUOUS)                                 \
    /* ECS and OpenTelemetry; older OpenTelemetry; pino-http; express */   \
    X(103, "http.response.status_code", STATUS, AS_OURS)                   \
    X(232, "http.status_code", STATUS, AS_OURS)                            \
    X(118, "res.statusCode", STATUS, AS_OURS)                              \
    X(50, "statusCode", STATUS, AS_OURS)                                   \
    /* ECS and OpenTelemetry; OpenTelemetry; pino */                       \
    X(41, "error.message", ERROR, AS_OURS)                                 \
    X(231, "error.type", ERROR, AS_OURS)                                   \
    X(69, "exception.message", ERROR, AS_OURS)                             \
    X(227, "err.message", ERROR, AS_OURS)                                  \
    /* plain loggers */                                                    \
    X(178, "status_text", HEALTHY, STATE)                                  \
    X(127, "health", HEALTHY, STATE)                                       \
    /* OpenTelemetry; ECS; plain loggers; ECS; pino-http */                \
    X(135, "trace_id", CORRELATION, AS_OURS)                               \
    X(148, "trace.id", CORRELATION, AS_OURS)                               \
    X(48, "request_id", CORRELATION, AS_OURS)                              \
    X(129, "http.request.id", CORRELATION, AS_OURS)                        \
    X(66, "req.id", CORRELATION, AS_OURS)                                  \
    /* OpenTelemetry; ECS and OpenTelemetry; pino; Docker's driver */      \
    X(27, "service.instance.id", INSTANCE, AS_OURS)                        \
    X(146, "host.name", INSTANCE, AS_OURS)                                 \
    X(51, "hostname", INSTANCE, AS_OURS)                                   \
    X(111, "container_id", INSTANCE, AS_OURS)                              \
    /* ECS */                                                              \
    X(65, "event.id", EVENT_ID, AS_OURS)                                   \
    /* OpenTelemetry's process, JVM, Go and database client metrics */     \
    X(88, "process.memory.usage", GAUGE + TIDE_GAUGE_MEMORY, AS_OURS)      \
    X(36, "jvm.memory.used", GAUGE + TIDE_GAUGE_MEMORY, AS_OURS)           \
    X(31, "go.memory.used", GAUGE + TIDE_GAUGE_MEMORY, AS_OURS)            \
    X(42, "process.cpu.utilization", GAUGE + TIDE_GAUGE_CPU, SHARE)        \
    X(143, "threads", GAUGE + TIDE_GAUGE_GOROUTINES, AS_OURS)              \
    X(137, "process.thread.count", GAUGE + TIDE_GAUGE_GOROUTINES, AS_OURS) \
    X(29, "jvm.thread.count", GAUGE + TIDE_GAUGE_GOROUTINES, AS_OURS)      \
    X(75, "go.goroutine.count", GAUGE + TIDE_GAUGE_GOROUTINES, AS_OURS)    \
    X(45, "db.client.connection.count", GAUGE + TIDE_GAUGE_DB_CONNECTIONS, AS_OURS)

#define TIDE_X(slot, name, field, form) ROW_##slot,
enum { ALIASES(TIDE_X) ROWS };
#undef TIDE_X

struct row {
    const char *name; /* NULL: no key says it */
    uint8_t len, field, form;
};

static const struct row table[] = {
#define TIDE_X(slot, name, field, form) {name, sizeof(name) - 1, TIDE_FIELD_##field, FORM_##form},
    ALIASES(TIDE_X)
#undef TIDE_X
        /* A map under `error`: what its message or type says comes first. */
        [ROWS] = {NULL, 0, TIDE_FIELD_ERROR, FORM_OBJECT},
};

const uint8_t tide_alias_slot[TIDE_ALIAS_SLOTS] = {
#define TIDE_X(slot, name, field, form) [slot] = ROW_##slot + 1,
    ALIASES(TIDE_X)
#undef TIDE_X
};

#define NAME_MAX_LEN 28 /* of the table: a longer path is none of it */

unsigned tide_alias_find(const char *key, uint32_t len)
{
    unsigned found = len >= TIDE_ALIAS_LEN_MIN ? tide_alias_slot[tide_alias_hash(key, len)] : 0;

    if (found == 0 || table[found - 1].len != len || memcmp(table[found - 1].name, key, len) != 0)
        return 0;
    return found;
}

/* ---- values that wait ---- */

static void note(const struct row *row, bool nested, const uint8_t *at, struct tide_draft *draft,
                 struct tide_other other[TIDE_OTHERS])
{
    uint32_t rank = 2 * (uint32_t)(row - table) + nested, bit = UINT32_C(1) << row->field;

    static_assert(TIDE_OTHERS <= 32, "tide_draft.others has a bit for each");
    if ((draft->others & bit) && other[row->field].rank < rank)
        return;
    other[row->field] = (struct tide_other){at, rank};
    draft->others |= bit;
}

void tide_alias_note(const char *key, uint32_t len, const uint8_t *at, struct tide_draft *draft,
                     struct tide_other other[TIDE_OTHERS])
{
    unsigned found = tide_alias_find(key, len);

    if (found > 0)
        note(&table[found - 1], false, at, draft, other);
}

/* ---- names as paths of maps ---- */

bool tide_alias_is_object(const char *key, uint32_t len)
{
    switch (len) {
    case 2:
        return TIDE_KEY_IS("db") || TIDE_KEY_IS("go");
    case 3:
        return TIDE_KEY_IS("req") || TIDE_KEY_IS("res") || TIDE_KEY_IS("err") || TIDE_KEY_IS("jvm");
    case 4:
        return TIDE_KEY_IS("http") || TIDE_KEY_IS("host");
    case 5:
        return TIDE_KEY_IS("event") || TIDE_KEY_IS("error") || TIDE_KEY_IS("trace");
    case 7:
        return TIDE_KEY_IS("service") || TIDE_KEY_IS("process");
    case 9:
        return TIDE_KEY_IS("exception");
    default:
        return false;
    }
}

/* Some name of the table goes on behind it with a dot. */
static bool is_prefix(const char *path, size_t len)
{
    for (size_t i = 0; i < ROWS; i++)
        if (table[i].len > len && table[i].name[len] == '.' &&
            memcmp(table[i].name, path, len) == 0)
            return true;
    return false;
}

/* path[0, len) with room for NAME_MAX_LEN bytes leads to the map whose pairs the cursor stands at.
 * Each level is a proper beginning of a name in the table, so there are three at most. */
static bool walk(struct tide_cursor *cursor, uint32_t pairs, char *path, size_t len,
                 struct tide_draft *draft, struct tide_other other[TIDE_OTHERS])
{
    while (pairs-- > 0) {
        struct tide_value key, value;
        const uint8_t *at;
        size_t longer;
        unsigned found;

        if (!tide_cursor_read(cursor, &key) || !tide_cursor_skip_inside(cursor, &key))
            return false;
        at = cursor->at;
        if (!tide_cursor_read(cursor, &value))
            return false;
        if (tide_value_is_text(&key) && key.len < NAME_MAX_LEN - len && value.type != TIDE_NIL) {
            path[len] = '.';
            memcpy(path + len + 1, key.data, key.len);
            longer = len + 1 + key.len;
            if (value.type == TIDE_MAP && is_prefix(path, longer)) {
                if (!walk(cursor, value.len, path, longer, draft, other))
                    return false;
                continue;
            }
            found = tide_alias_find(path, (uint32_t)longer);
            if (found > 0)
                note(&table[found - 1], true, at, draft, other);
        }
        if (!tide_cursor_skip_inside(cursor, &value))
            return false;
    }
    return true;
}

const uint8_t *tide_alias_open(const struct tide_value *key, struct tide_cursor cursor,
                               uint32_t pairs, struct tide_draft *draft,
                               struct tide_other other[TIDE_OTHERS])
{
    char path[NAME_MAX_LEN];

    memcpy(path, key->data, key->len); /* it is one of tide_alias_is_object */
    if (tide_value_is(key, "error"))
        note(&table[ROWS], true, key->data, draft, other);
    return walk(&cursor, pairs, path, key->len, draft, other) ? cursor.at : NULL;
}

/* ---- what has waited is used ---- */

static bool is_absent(unsigned field, const struct tide_event *ev, const struct tide_draft *draft)
{
    switch (field) {
    case TIDE_FIELD_MODULE:
        return ev->module.len == 0;
    case TIDE_FIELD_EVENT:
        return draft->kind < 0;
    case TIDE_FIELD_TIMESTAMP:
        return ev->time_us == 0;
    case TIDE_FIELD_SUCCESS:
        return !draft->has_success;
    case TIDE_FIELD_DURATION:
    case TIDE_FIELD_AMBIGUOUS:
        return !ev->has_duration;
    case TIDE_FIELD_STATUS:
        return !draft->has_status;
    case TIDE_FIELD_ERROR:
        return ev->error.len == 0;
    case TIDE_FIELD_HEALTHY:
        return !ev->has_healthy;
    case TIDE_FIELD_CORRELATION:
        return ev->correlation.len == 0;
    case TIDE_FIELD_INSTANCE:
        return ev->instance.len == 0;
    case TIDE_FIELD_EVENT_ID:
        return ev->event_id.len == 0;
    default:
        return !(ev->gauges & 1u << (field - TIDE_FIELD_GAUGE));
    }
}

static void use_duration(const struct tide_value *value, double us_per_unit, struct tide_event *ev,
                         struct tide_draft *draft)
{
    struct tide_number number;

    if (tide_number_read(value, &number))
        tide_draft_duration(number.real * us_per_unit, ev, draft);
    else
        tide_draft_reject(draft, TIDE_ENTRY_BAD_DURATION);
}

static void use_outcome(const struct tide_value *value, struct tide_draft *draft)
{
    if (tide_value_is(value, "success") || tide_value_is(value, "failure"))
        tide_draft_success(tide_value_is(value, "success"), draft);
    else if (!tide_value_is(value, "unknown"))
        tide_draft_reject(draft, TIDE_ENTRY_BAD_SUCCESS);
}

/* `type` and its like are words that producers use for things of their own. */
static void use_kind(const struct tide_value *value, struct tide_draft *draft)
{
    if (!tide_value_is_text(value)) {
        draft->bad_fields++;
        return;
    }
    draft->kind = tide_kind_find((const char *)value->data, value->len, 0);
    draft->unknown_kind = draft->kind < 0;
}

static void use_state(const struct tide_value *value, struct tide_event *ev,
                      struct tide_draft *draft)
{
    ev->healthy = tide_value_is(value, "healthy");
    ev->has_healthy =
        ev->healthy || tide_value_is(value, "degraded") || tide_value_is(value, "critical");
    draft->bad_fields += !ev->has_healthy;
}

static void use_share(const struct tide_value *value, enum tide_gauge gauge, struct tide_event *ev,
                      struct tide_draft *draft)
{
    struct tide_number number;

    if (!tide_number_read(value, &number)) {
        draft->bad_fields++;
        return;
    }
    number.real *= 100;
    number.is_whole = false;
    tide_draft_gauge(&number, gauge, tide_gauge_info[gauge].scale, ev, draft);
}

static void use_slashed(struct tide_value *value, struct tide_event *ev, struct tide_draft *draft)
{
    if (tide_value_is_text(value) && value->len > 0 && value->data[0] == '/') {
        value->data++;
        value->len--;
    }
    tide_draft_set(TIDE_FIELD_MODULE, value, false, ev, draft);
}

static void use(const struct row *row, struct tide_value *value, bool bare, struct tide_event *ev,
                struct tide_draft *draft)
{
    switch ((enum form)row->form) {
    case FORM_AS_OURS:
        tide_draft_set(row->field, value, bare, ev, draft);
        break;
    case FORM_MICROSECONDS:
        use_duration(value, 1, ev, draft);
        break;
    case FORM_NANOSECONDS:
        use_duration(value, 1e-3, ev, draft);
        break;
    case FORM_SECONDS:
        use_duration(value, 1e6, ev, draft);
        break;
    case FORM_SHARE:
        use_share(value, (enum tide_gauge)(row->field - TIDE_FIELD_GAUGE), ev, draft);
        break;
    case FORM_OUTCOME:
        use_outcome(value, draft);
        break;
    case FORM_SLASHED:
        use_slashed(value, ev, draft);
        break;
    case FORM_KIND:
        use_kind(value, draft);
        break;
    case FORM_STATE:
        use_state(value, ev, draft);
        break;
    case FORM_OBJECT:
        ev->error = (struct tide_text){"error", 5};
        break;
    case FORM_AMBIGUOUS:
        draft->ambiguous = true;
        break;
    }
}

void tide_alias_settle(const struct tide_other other[TIDE_OTHERS], const uint8_t *end, bool bare,
                       struct tide_event *ev, struct tide_draft *draft)
{
    for (uint32_t left = draft->others; left != 0; left &= left - 1) {
        unsigned field = (unsigned)__builtin_ctz(left);
        struct tide_cursor cursor = {other[field].at, end};
        struct tide_value value;

        if (draft->reason >= 0)
            return;
        /* It was read once, so it can be read. */
        if (is_absent(field, ev, draft) && tide_cursor_read(&cursor, &value))
            use(&table[other[field].rank / 2], &value, bare, ev, draft);
    }
}
