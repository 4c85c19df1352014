/* keys - from the name of a field to its number, on the hot path: the length picks a handful of
 * candidates, a comparison of constant size settles it. Gauges and event kinds come from their
 * tables, so that a new row there is known here.
 */
#ifndef TIDEMARK_WIRE_KEYS_H
#define TIDEMARK_WIRE_KEYS_H

#include <stdint.h>
#include <string.h>
#include "tidemark/event.h"
#include "tidemark/gauge.h"

enum tide_field {
    TIDE_FIELD_UNKNOWN,
    TIDE_FIELD_MODULE,
    TIDE_FIELD_EVENT,
    TIDE_FIELD_TIMESTAMP,
    TIDE_FIELD_SUCCESS,
    TIDE_FIELD_DURATION,
    TIDE_FIELD_STATUS,
    TIDE_FIELD_ERROR,
    TIDE_FIELD_HEALTHY,
    TIDE_FIELD_CORRELATION,
    TIDE_FIELD_INSTANCE,
    TIDE_FIELD_EVENT_ID,
    TIDE_FIELD_SAMPLE_RATE,
    TIDE_FIELD_NAME,
    TIDE_FIELD_VALUE,
    TIDE_FIELD_AMBIGUOUS, /* no field of ours: a duration without a unit (alias.h) */
    TIDE_FIELD_GAUGE      /* + enum tide_gauge */
};

#define TIDE_KEY_IS(text) (len == sizeof(text) - 1 && memcmp(key, text, sizeof(text) - 1) == 0)

/* The field of a canonical name; TIDE_FIELD_GAUGE + g for gauge g. */
static inline unsigned tide_field_find(const char *key, uint32_t len)
{
    switch (len) {
    case 4:
        if (TIDE_KEY_IS("name"))
            return TIDE_FIELD_NAME;
        break;
    case 5:
        if (TIDE_KEY_IS("event"))
            return TIDE_FIELD_EVENT;
        if (TIDE_KEY_IS("error"))
            return TIDE_FIELD_ERROR;
        if (TIDE_KEY_IS("value"))
            return TIDE_FIELD_VALUE;
        break;
    case 6:
        if (TIDE_KEY_IS("status"))
            return TIDE_FIELD_STATUS;
        break;
    case 7:
        if (TIDE_KEY_IS("success"))
            return TIDE_FIELD_SUCCESS;
        if (TIDE_KEY_IS("healthy"))
            return TIDE_FIELD_HEALTHY;
        break;
    case 8:
        if (TIDE_KEY_IS("event_id"))
            return TIDE_FIELD_EVENT_ID;
        break;
    case 9:
        if (TIDE_KEY_IS("module_id"))
            return TIDE_FIELD_MODULE;
        if (TIDE_KEY_IS("timestamp"))
            return TIDE_FIELD_TIMESTAMP;
        break;
    case 11:
        if (TIDE_KEY_IS("duration_ms"))
            return TIDE_FIELD_DURATION;
        if (TIDE_KEY_IS("instance_id"))
            return TIDE_FIELD_INSTANCE;
        if (TIDE_KEY_IS("sample_rate"))
            return TIDE_FIELD_SAMPLE_RATE;
        break;
    case 14:
        if (TIDE_KEY_IS("correlation_id"))
            return TIDE_FIELD_CORRELATION;
        break;
    default:
        break;
    }
#define TIDE_X(id, field, scale, gather) \
    if (TIDE_KEY_IS(field))              \
        return TIDE_FIELD_GAUGE + TIDE_GAUGE_##id;
    TIDE_GAUGES(TIDE_X)
#undef TIDE_X
    return TIDE_FIELD_UNKNOWN;
}

/* As tide_kind_find, by comparing with one name after the other. */
static __attribute__((noinline, unused)) int tide_kind_find_slow(const char *key, uint32_t len)
{
#define TIDE_X(id, name)   \
    if (TIDE_KEY_IS(name)) \
        return TIDE_EVENT_##id;
    TIDE_EVENT_KINDS(TIDE_X)
#undef TIDE_X
    if (TIDE_KEY_IS("module_start"))
        return TIDE_EVENT_START;
    if (TIDE_KEY_IS("module_stop") || TIDE_KEY_IS("shutdown"))
        return TIDE_EVENT_STOP;
    if (TIDE_KEY_IS("exception"))
        return TIDE_EVENT_ERROR;
    if (TIDE_KEY_IS("heartbeat"))
        return TIDE_EVENT_HEALTH;
    if (TIDE_KEY_IS("config_change"))
        return TIDE_EVENT_CONFIG;
    return -1;
}

/* The kind of an event by its name or by a name that other producers use for it; -1: unknown.
 *
 * The kind differs from event to event, so comparisons in a row are guessed wrong more often than
 * not. Length and first letter tell the names apart: they pick the only candidate, and one
 * comparison, which nearly always holds, settles it. `room`: readable bytes from key on. A row of
 * the table of kinds that is missing here only costs time. */
#define TIDE_KIND_ROOM             16
#define TIDE_KIND_SLOT(first, len) (((unsigned)(first)*5 + (len)) & 31)

static inline int tide_kind_find(const char *key, uint32_t len, size_t room)
{
    static const uint8_t candidate[32] = {
        [TIDE_KIND_SLOT('s', 5)] = TIDE_EVENT_START,
        [TIDE_KIND_SLOT('s', 4)] = TIDE_EVENT_STOP,
        [TIDE_KIND_SLOT('h', 6)] = TIDE_EVENT_HEALTH,
        [TIDE_KIND_SLOT('r', 7)] = TIDE_EVENT_REQUEST,
        [TIDE_KIND_SLOT('r', 8)] = TIDE_EVENT_RESPONSE,
        [TIDE_KIND_SLOT('e', 5)] = TIDE_EVENT_ERROR,
        [TIDE_KIND_SLOT('p', 11)] = TIDE_EVENT_PERFORMANCE,
        [TIDE_KIND_SLOT('c', 6)] = TIDE_EVENT_CONFIG,
        [TIDE_KIND_SLOT('m', 6)] = TIDE_EVENT_METRIC,
        [TIDE_KIND_SLOT('d', 5)] = TIDE_EVENT_DEBUG,
    };
    static const struct {
        char text[TIDE_KIND_ROOM];
        uint64_t len;
    } name[TIDE_EVENT_KIND_COUNT] = {
#define TIDE_X(id, text) {text, sizeof(text) - 1},
        TIDE_EVENT_KINDS(TIDE_X)
#undef TIDE_X
    };
    /* The first len bytes of a word pair, as a mask: read `len` bytes before the middle. */
    static const uint64_t ones[4] = {UINT64_MAX, UINT64_MAX, 0, 0};
    uint64_t given[2], expected[2], mask[2];
    unsigned kind;

    if (room < TIDE_KIND_ROOM || len > TIDE_KIND_ROOM)
        return tide_kind_find_slow(key, len);
    kind = candidate[TIDE_KIND_SLOT((unsigned char)key[0], len)];
    memcpy(given, key, sizeof(given));
    memcpy(expected, name[kind].text, sizeof(expected));
    memcpy(mask, (const char *)ones + TIDE_KIND_ROOM - len, sizeof(mask));
    if (((((given[0] ^ expected[0]) & mask[0]) | ((given[1] ^ expected[1]) & mask[1])) |
         (name[kind].len ^ len)) == 0)
        return (int)kind;
    return tide_kind_find_slow(key, len);
}

#endif
