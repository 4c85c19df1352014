/* draft - an event while its map is being read: what its fields said so far, and the setters, one a
 * field.
 *
 * A value is checked where it is met. The wrong type or range of a field that carries the event's
 * meaning (module, kind, time, duration, outcome, sampling) rejects the event, the first reason
 * stays; that of any other leaves the field out. The setters here take a value of the right type
 * and are inline, because the decoder lives from them melting into it; tide_draft_set takes a value
 * of any type and encoding.
 */
#ifndef TIDEMARK_WIRE_DRAFT_H
#define TIDEMARK_WIRE_DRAFT_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/event.h"
#include "tidemark/gauge.h"
#include "tidemark/ledger.h"
#include "cursor.h"
#include "keys.h"
#include "number.h"
#include "text.h"

#define TIDE_STATUS_MAX 999999

/* A value that came under another name of a field (alias.h). */
struct tide_other {
    const uint8_t *at; /* its msgpack */
    uint32_t rank;     /* of the names of one field the lowest counts */
};

/* What is known of the event before its fields are weighed against each other. */
struct tide_draft {
    int reason; /* of the rejection, -1: none yet; the first one stays */
    int kind;   /* -1: absent */
    bool unknown_kind;
    bool has_success, success;
    bool has_status;
    int32_t status;
    uint32_t bad_fields;
    uint32_t bad_metric; /* bad name or value: matters only for event "metric", as ... */
    bool has_value;      /* ... the good ones do, which wait in the event */
    bool ambiguous;      /* a duration without a unit, and no other */
    uint32_t others;     /* bit f set: other[f] was given */
    double sample_rate;  /* 0: absent */
};

static inline void tide_draft_reject(struct tide_draft *draft, enum tide_entry_reason reason)
{
    if (draft->reason < 0)
        draft->reason = (int)reason;
}

static inline void tide_draft_module(struct tide_text text, struct tide_event *ev,
                                     struct tide_draft *draft)
{
    if (tide_text_is_name(text.start, text.len))
        ev->module = text;
    else
        tide_draft_reject(draft, TIDE_ENTRY_BAD_MODULE_ID);
}

/* room: readable bytes from the text on */
static inline void tide_draft_kind(struct tide_text text, size_t room, struct tide_draft *draft)
{
    draft->kind = tide_kind_find(text.start, text.len, room);
    draft->unknown_kind = draft->kind < 0;
    if (draft->unknown_kind)
        draft->kind = TIDE_EVENT_DEBUG;
}

static inline void tide_draft_duration(double us, struct tide_event *ev, struct tide_draft *draft)
{
    if (us >= 0 && us <= (double)TIDE_DURATION_MAX_US) {
        ev->duration_us = us + 0.0; /* + 0.0: no negative zero */
        ev->has_duration = true;
    } else {
        tide_draft_reject(draft, TIDE_ENTRY_BAD_DURATION);
    }
}

static inline void tide_draft_status(const struct tide_number *status, struct tide_draft *draft)
{
    if (status->real >= 0 && status->real <= TIDE_STATUS_MAX &&
        status->real == (double)(int32_t)status->real) {
        draft->status = (int32_t)status->real;
        draft->has_status = true;
    } else {
        tide_draft_reject(draft, TIDE_ENTRY_BAD_STATUS);
    }
}

static inline void tide_draft_gauge(const struct tide_number *number, enum tide_gauge gauge,
                                    int64_t scale, struct tide_event *ev, struct tide_draft *draft)
{
    int64_t scaled;

    if (number->is_whole && number->whole <= (uint64_t)TIDE_GAUGE_VALUE_MAX &&
        !__builtin_mul_overflow((int64_t)number->whole, scale, &scaled) &&
        scaled <= TIDE_GAUGE_VALUE_MAX) {
        ev->gauge[gauge] = scaled;
    } else if (number->real >= 0 && number->real * (double)scale < (double)TIDE_GAUGE_VALUE_MAX) {
        ev->gauge[gauge] = (int64_t)(number->real * (double)scale + 0.5);
    } else {
        draft->bad_fields++;
        return;
    }
    ev->gauges |= (uint8_t)(1u << gauge);
}

static inline void tide_draft_id(struct tide_text text, struct tide_text *id)
{
    *id = text;
    if (text.len > TIDE_ID_MAX)
        id->len = (uint32_t)tide_text_cut(text.start, text.len, TIDE_ID_MAX);
}

static inline void tide_draft_success(bool truth, struct tide_draft *draft)
{
    draft->success = truth;
    draft->has_success = true;
}

/* A known field whose value has any type but nil, and any encoding. `bare`: `timestamp` sets the
 * event's time. */
void tide_draft_set(unsigned field, const struct tide_value *value, bool bare,
                    struct tide_event *ev, struct tide_draft *draft);

#endif
