/* entry - one record map -> one tide_event.
 *
 * One pass over the map, in the order the client wrote it. A value is checked where it is met: the
 * wrong type or range of a field that carries the event's meaning (module, kind, time, duration,
 * outcome, sampling) rejects the event, that of any other leaves the field out. The walk goes on
 * after a rejection, because the next entry begins where this map ends. nil is "absent" everywhere;
 * of a key given twice the last usable value counts.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include "tidemark/counter.h"
#include "tidemark/ledger.h"
#include "cursor.h"
#include "keys.h"
#include "moment.h"
#include "number.h"
#include "text.h"

#define STATUS_MAX       999999
#define STATUS_FAILED    500
#define METRIC_VALUE_MAX 9e12
#define SAMPLE_HASH_SEED UINT64_C(0x74696465736d706c) /* fixed: a resend must weigh the same */

/* What is known of the event before its fields are weighed against each other. */
struct draft {
    int reason; /* of the rejection, -1: none yet; the first one stays */
    int kind;   /* -1: absent */
    bool unknown_kind;
    bool has_success, success;
    bool has_status;
    uint32_t status;
    uint32_t bad_fields;
    uint32_t bad_metric; /* bad name or value: matters only for event "metric" */
    double sample_rate;  /* 0: absent */
};

static void reject(struct draft *draft, enum tide_entry_reason reason)
{
    if (draft->reason < 0)
        draft->reason = (int)reason;
}

static void set_kind(const struct tide_value *value, struct draft *draft)
{
    if (!tide_value_is_text(value)) {
        reject(draft, TIDE_ENTRY_BAD_EVENT);
        return;
    }
    draft->kind = tide_kind_find(value->data, value->len);
    draft->unknown_kind = draft->kind < 0;
    if (draft->unknown_kind)
        draft->kind = TIDE_EVENT_DEBUG;
}

static void set_duration(const struct tide_value *value, struct tide_event *ev, struct draft *draft)
{
    struct tide_number ms;

    if (tide_number_read(value, &ms) && ms.real >= 0 &&
        ms.real * 1000 <= (double)TIDE_DURATION_MAX_US) {
        ev->duration_us = ms.real * 1000 + 0.0; /* + 0.0: no negative zero */
        ev->has_duration = true;
    } else {
        reject(draft, TIDE_ENTRY_BAD_DURATION);
    }
}

static void set_status(const struct tide_value *value, struct draft *draft)
{
    struct tide_number status;

    if (tide_number_read(value, &status) && status.real >= 0 && status.real <= STATUS_MAX &&
        status.real == (double)(uint32_t)status.real) {
        draft->status = (uint32_t)status.real;
        draft->has_status = true;
    } else {
        reject(draft, TIDE_ENTRY_BAD_STATUS);
    }
}

/* Anything but an empty text or false says that there was an error, even when it is no text that
 * could be kept. */
static void set_error(const struct tide_value *value, struct tide_event *ev)
{
    if (tide_value_is_text(value))
        ev->error = tide_value_text(value);
    else if (value->type == TIDE_BOOL && !value->truth)
        ev->error = (struct tide_text){NULL, 0};
    else
        ev->error = (struct tide_text){"error", 5};
}

static void set_gauge(const struct tide_value *value, enum tide_gauge gauge, struct tide_event *ev,
                      struct draft *draft)
{
    const int64_t scale = tide_gauge_info[gauge].scale;
    struct tide_number number;

    if (!tide_number_read(value, &number) || !(number.real >= 0)) {
        draft->bad_fields++;
    } else if (number.is_whole && number.whole <= (uint64_t)(TIDE_GAUGE_VALUE_MAX / scale)) {
        ev->gauge[gauge] = (int64_t)number.whole * scale;
        ev->gauges |= (uint8_t)(1u << gauge);
    } else if (number.real * (double)scale <= (double)TIDE_GAUGE_VALUE_MAX) {
        ev->gauge[gauge] = (int64_t)(number.real * (double)scale + 0.5);
        ev->gauges |= (uint8_t)(1u << gauge);
    } else {
        draft->bad_fields++;
    }
}

static void set_id(const struct tide_value *value, struct tide_text *id, struct draft *draft)
{
    if (!tide_value_is_text(value)) {
        draft->bad_fields++;
        return;
    }
    *id = tide_value_text(value);
    if (id->len > TIDE_ID_MAX)
        id->len = (uint32_t)tide_text_cut(id->start, id->len, TIDE_ID_MAX);
}

static void set_sample_rate(const struct tide_value *value, struct draft *draft)
{
    struct tide_number rate;

    if (tide_number_read(value, &rate) && rate.real >= TIDE_SAMPLE_RATE_MIN && rate.real <= 1)
        draft->sample_rate = rate.real;
    else
        reject(draft, TIDE_ENTRY_BAD_SAMPLE_RATE);
}

static void set_field(unsigned field, const struct tide_value *value, bool bare,
                      struct tide_event *ev, struct draft *draft)
{
    struct tide_number number;

    switch (field) {
    case TIDE_FIELD_MODULE:
        if (tide_value_is_text(value) && tide_text_is_name((const char *)value->data, value->len))
            ev->module = tide_value_text(value);
        else
            reject(draft, TIDE_ENTRY_BAD_MODULE_ID);
        break;
    case TIDE_FIELD_EVENT:
        set_kind(value, draft);
        break;
    case TIDE_FIELD_TIMESTAMP:
        if (bare && !tide_moment_read_field(value, &ev->time_us))
            reject(draft, TIDE_ENTRY_BAD_TIME);
        break;
    case TIDE_FIELD_SUCCESS:
        if (value->type == TIDE_BOOL) {
            draft->success = value->truth;
            draft->has_success = true;
        } else {
            reject(draft, TIDE_ENTRY_BAD_SUCCESS);
        }
        break;
    case TIDE_FIELD_DURATION:
        set_duration(value, ev, draft);
        break;
    case TIDE_FIELD_STATUS:
        set_status(value, draft);
        break;
    case TIDE_FIELD_ERROR:
        set_error(value, ev);
        break;
    case TIDE_FIELD_HEALTHY:
        if (value->type == TIDE_BOOL) {
            ev->healthy = value->truth;
            ev->has_healthy = true;
        } else {
            draft->bad_fields++;
        }
        break;
    case TIDE_FIELD_CORRELATION:
        set_id(value, &ev->correlation, draft);
        break;
    case TIDE_FIELD_INSTANCE:
        set_id(value, &ev->instance, draft);
        break;
    case TIDE_FIELD_EVENT_ID:
        set_id(value, &ev->event_id, draft);
        break;
    case TIDE_FIELD_SAMPLE_RATE:
        set_sample_rate(value, draft);
        break;
    case TIDE_FIELD_NAME:
        draft->bad_metric += !tide_value_is_text(value);
        break;
    case TIDE_FIELD_VALUE:
        draft->bad_metric +=
            !(tide_number_read(value, &number) && __builtin_fabs(number.real) < METRIC_VALUE_MAX);
        break;
    default:
        set_gauge(value, (enum tide_gauge)(field - TIDE_FIELD_GAUGE), ev, draft);
        break;
    }
}

/* The last part of the tag, when it is a usable name. */
static bool module_of_tag(const struct tide_text *tag, struct tide_text *ret)
{
    const char *dot = tag->len > 0 ? memrchr(tag->start, '.', tag->len) : NULL;
    const char *start = dot ? dot + 1 : tag->start;
    uint32_t len = tag->len - (uint32_t)(start - tag->start);

    if (!tide_text_is_name(start, len))
        return false;
    *ret = (struct tide_text){start, len};
    return true;
}

/* floor or ceil of 1 / rate, chosen by a hash of the entry so that the mean over many is 1 / rate,
 * and so that the same entry sent again weighs the same. */
static uint32_t weight_of(double rate, const struct tide_event *ev, const uint8_t *map, size_t size)
{
    double wanted = 1 / rate;
    uint32_t floor = (uint32_t)wanted;
    uint64_t hash = tide_hash64(SAMPLE_HASH_SEED ^ (uint64_t)ev->time_us, map, size);
    double dice = (double)(hash >> 11) * 0x1p-53; /* [0, 1) */

    return floor + (dice < wanted - floor);
}

/* Weighs the fields against each other: defaults, the outcome, the weight. */
static void conclude(const struct tide_text *tag, const uint8_t *map, size_t size,
                     struct tide_event *ev, struct draft *draft)
{
    if (ev->module.len == 0 && draft->reason < 0 && !module_of_tag(tag, &ev->module))
        reject(draft, TIDE_ENTRY_NO_MODULE);
    ev->has_outcome = draft->has_success || draft->has_status;
    ev->success =
        draft->has_success ? draft->success : ev->error.len == 0 && draft->status < STATUS_FAILED;
    if (draft->kind < 0) {
        if (ev->has_duration || ev->has_outcome)
            draft->kind = TIDE_EVENT_RESPONSE;
        else
            draft->kind = ev->error.len > 0 ? TIDE_EVENT_ERROR : TIDE_EVENT_DEBUG;
    }
    ev->kind = (uint8_t)draft->kind;
    if (draft->sample_rate > 0)
        ev->weight = weight_of(draft->sample_rate, ev, map, size);
}

enum tide_rc tide_entry_decode(const uint8_t *map, size_t len, const struct tide_text *tag,
                               bool bare, struct tide_event *ev, size_t *ret_used, int *ret_reason)
{
    struct tide_cursor cursor = {map, map + len};
    struct draft draft = {.reason = -1, .kind = -1};
    struct tide_value record;
    size_t size;

    static_assert(TIDE_GAUGE_COUNT <= 8, "tide_event.gauges is one byte");
    if (!tide_cursor_read(&cursor, &record) || record.type != TIDE_MAP)
        return TIDE_MALFORMED;
    *ev = (struct tide_event){.time_us = ev->time_us, .weight = 1};
    for (uint32_t i = 0; i < record.len; i++) {
        struct tide_value key, value;
        unsigned field = TIDE_FIELD_UNKNOWN;

        if (!tide_cursor_read(&cursor, &key))
            return TIDE_MALFORMED;
        if (tide_value_is_text(&key))
            field = tide_field_find(key.data, key.len);
        else if (!tide_cursor_skip_inside(&cursor, &key))
            return TIDE_MALFORMED;
        if (!tide_cursor_read(&cursor, &value))
            return TIDE_MALFORMED;
        if (field != TIDE_FIELD_UNKNOWN && value.type != TIDE_NIL)
            set_field(field, &value, bare, ev, &draft);
        if (!tide_cursor_skip_inside(&cursor, &value))
            return TIDE_MALFORMED;
    }
    size = (size_t)(cursor.at - map);
    conclude(tag, map, size, ev, &draft);
    if (draft.reason < 0) {
        uint32_t bad_fields =
            draft.bad_fields + (ev->kind == TIDE_EVENT_METRIC ? draft.bad_metric : 0);

        if (bad_fields > 0)
            tide_count(TIDE_COUNT_BAD_FIELDS, bad_fields);
        if (draft.unknown_kind)
            tide_count(TIDE_COUNT_UNKNOWN_EVENTS, 1);
    }
    *ret_used = size;
    *ret_reason = draft.reason;
    return TIDE_OK;
}
