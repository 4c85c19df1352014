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
    int32_t status;
    uint32_t bad_fields;
    uint32_t bad_metric; /* bad name or value: matters only for event "metric" */
    double sample_rate;  /* 0: absent */
};

static void reject(struct draft *draft, enum tide_entry_reason reason)
{
    if (draft->reason < 0)
        draft->reason = (int)reason;
}

/* ---- setters: the value has the right type, is its content usable? ---- */

static void set_module(struct tide_text text, struct tide_event *ev, struct draft *draft)
{
    if (tide_text_is_name(text.start, text.len))
        ev->module = text;
    else
        reject(draft, TIDE_ENTRY_BAD_MODULE_ID);
}

static void set_kind(struct tide_text text, struct draft *draft)
{
    draft->kind = tide_kind_find(text.start, text.len);
    draft->unknown_kind = draft->kind < 0;
    if (draft->unknown_kind)
        draft->kind = TIDE_EVENT_DEBUG;
}

static void set_duration(const struct tide_number *ms, struct tide_event *ev, struct draft *draft)
{
    if (ms->real >= 0 && ms->real * 1000 <= (double)TIDE_DURATION_MAX_US) {
        ev->duration_us = ms->real * 1000 + 0.0; /* + 0.0: no negative zero */
        ev->has_duration = true;
    } else {
        reject(draft, TIDE_ENTRY_BAD_DURATION);
    }
}

static void set_status(const struct tide_number *status, struct draft *draft)
{
    if (status->real >= 0 && status->real <= STATUS_MAX &&
        status->real == (double)(int32_t)status->real) {
        draft->status = (int32_t)status->real;
        draft->has_status = true;
    } else {
        reject(draft, TIDE_ENTRY_BAD_STATUS);
    }
}

static void set_gauge(const struct tide_number *number, enum tide_gauge gauge,
                      struct tide_event *ev, struct draft *draft)
{
    const int64_t scale = tide_gauge_info[gauge].scale;
    int64_t scaled;

    if (number->is_whole && number->whole <= (uint64_t)(TIDE_GAUGE_VALUE_MAX / scale)) {
        scaled = (int64_t)number->whole * scale;
    } else if (number->real >= 0 && number->real * (double)scale < (double)TIDE_GAUGE_VALUE_MAX) {
        scaled = (int64_t)(number->real * (double)scale + 0.5);
    } else {
        draft->bad_fields++;
        return;
    }
    ev->gauge[gauge] = scaled;
    ev->gauges |= (uint8_t)(1u << gauge);
}

static void set_id(struct tide_text text, struct tide_text *id)
{
    *id = text;
    if (text.len > TIDE_ID_MAX)
        id->len = (uint32_t)tide_text_cut(text.start, text.len, TIDE_ID_MAX);
}

static void set_success(bool truth, struct draft *draft)
{
    draft->success = truth;
    draft->has_success = true;
}

/* ---- a field whose value has any type and encoding ---- */

static struct tide_text *id_of(unsigned field, struct tide_event *ev)
{
    return field == TIDE_FIELD_CORRELATION ? &ev->correlation
           : field == TIDE_FIELD_INSTANCE  ? &ev->instance
                                           : &ev->event_id;
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

static __attribute__((noinline)) void set_field(unsigned field, const struct tide_value *value,
                                                bool bare, struct tide_event *ev,
                                                struct draft *draft)
{
    struct tide_number number;

    switch (field) {
    case TIDE_FIELD_MODULE:
        if (tide_value_is_text(value))
            set_module(tide_value_text(value), ev, draft);
        else
            reject(draft, TIDE_ENTRY_BAD_MODULE_ID);
        break;
    case TIDE_FIELD_EVENT:
        if (tide_value_is_text(value))
            set_kind(tide_value_text(value), draft);
        else
            reject(draft, TIDE_ENTRY_BAD_EVENT);
        break;
    case TIDE_FIELD_TIMESTAMP:
        if (bare && !tide_moment_read_field(value, &ev->time_us))
            reject(draft, TIDE_ENTRY_BAD_TIME);
        break;
    case TIDE_FIELD_SUCCESS:
        if (value->type == TIDE_BOOL)
            set_success(value->truth, draft);
        else
            reject(draft, TIDE_ENTRY_BAD_SUCCESS);
        break;
    case TIDE_FIELD_DURATION:
        if (tide_number_read(value, &number))
            set_duration(&number, ev, draft);
        else
            reject(draft, TIDE_ENTRY_BAD_DURATION);
        break;
    case TIDE_FIELD_STATUS:
        if (tide_number_read(value, &number))
            set_status(&number, draft);
        else
            reject(draft, TIDE_ENTRY_BAD_STATUS);
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
    case TIDE_FIELD_INSTANCE:
    case TIDE_FIELD_EVENT_ID:
        if (tide_value_is_text(value))
            set_id(tide_value_text(value), id_of(field, ev));
        else
            draft->bad_fields++;
        break;
    case TIDE_FIELD_SAMPLE_RATE:
        if (tide_number_read(value, &number) && number.real >= TIDE_SAMPLE_RATE_MIN &&
            number.real <= 1)
            draft->sample_rate = number.real;
        else
            reject(draft, TIDE_ENTRY_BAD_SAMPLE_RATE);
        break;
    case TIDE_FIELD_NAME:
        draft->bad_metric += !tide_value_is_text(value);
        break;
    case TIDE_FIELD_VALUE:
        draft->bad_metric +=
            !(tide_number_read(value, &number) && __builtin_fabs(number.real) < METRIC_VALUE_MAX);
        break;
    default:
        if (tide_number_read(value, &number))
            set_gauge(&number, (enum tide_gauge)(field - TIDE_FIELD_GAUGE), ev, draft);
        else
            draft->bad_fields++;
        break;
    }
}

/* ---- the encodings that real clients use for a field, without the detour over a tide_value ----
 */

/* True: the field was set and the cursor stands behind its value. False: nothing happened. */
static inline bool set_field_fast(unsigned field, struct tide_cursor *cursor, struct tide_event *ev,
                                  struct draft *draft)
{
    struct tide_text text;
    struct tide_number number;
    bool truth;

    switch (field) {
    case TIDE_FIELD_MODULE:
        if (!tide_cursor_read_short(cursor, &text))
            return false;
        set_module(text, ev, draft);
        return true;
    case TIDE_FIELD_EVENT:
        if (!tide_cursor_read_short(cursor, &text))
            return false;
        set_kind(text, draft);
        return true;
    case TIDE_FIELD_CORRELATION:
        if (!tide_cursor_read_short(cursor, &text))
            return false;
        set_id(text, &ev->correlation);
        return true;
    case TIDE_FIELD_INSTANCE:
        if (!tide_cursor_read_short(cursor, &text))
            return false;
        set_id(text, &ev->instance);
        return true;
    case TIDE_FIELD_SUCCESS:
        if (!tide_cursor_read_truth(cursor, &truth))
            return false;
        set_success(truth, draft);
        return true;
    case TIDE_FIELD_DURATION:
        if (!tide_cursor_read_double(cursor, &number.real))
            return false;
        set_duration(&number, ev, draft);
        return true;
    case TIDE_FIELD_STATUS:
        if (!tide_number_read_whole(cursor, &number))
            return false;
        set_status(&number, draft);
        return true;
    default:
        if (field < TIDE_FIELD_GAUGE)
            return false;
        if (!tide_number_read_whole(cursor, &number)) {
            if (!tide_cursor_read_double(cursor, &number.real))
                return false;
            number.is_whole = false;
        }
        set_gauge(&number, (enum tide_gauge)(field - TIDE_FIELD_GAUGE), ev, draft);
        return true;
    }
}

/* One key and its value in any encoding. Returns where they end, NULL when they are not
 * well-formed. The cursor comes and goes by value: the caller's stays in registers, which is worth
 * a third of the whole decoding. */
static __attribute__((noinline)) const uint8_t *
read_pair(struct tide_cursor cursor, bool bare, struct tide_event *ev, struct draft *draft)
{
    struct tide_value key, value;
    unsigned field = TIDE_FIELD_UNKNOWN;

    if (!tide_cursor_read(&cursor, &key) || !tide_cursor_skip_inside(&cursor, &key))
        return NULL;
    if (tide_value_is_text(&key))
        field = tide_field_find((const char *)key.data, key.len);
    if (!tide_cursor_read(&cursor, &value))
        return NULL;
    if (field != TIDE_FIELD_UNKNOWN && value.type != TIDE_NIL)
        set_field(field, &value, bare, ev, draft);
    return tide_cursor_skip_inside(&cursor, &value) ? cursor.at : NULL;
}

/* The usual case of it. False: nothing happened. */
static inline bool read_pair_fast(struct tide_cursor *cursor, struct tide_event *ev,
                                  struct draft *draft)
{
    struct tide_cursor here = *cursor;
    struct tide_text key;
    unsigned field;

    if (!tide_cursor_read_short(&here, &key))
        return false;
    field = tide_field_find(key.start, key.len);
    if (field == TIDE_FIELD_UNKNOWN ? !tide_cursor_skip_scalar(&here)
                                    : !set_field_fast(field, &here, ev, draft))
        return false;
    *cursor = here;
    return true;
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
    struct tide_cursor head = {map, map + len}, cursor;
    struct draft draft = {.reason = -1, .kind = -1};
    struct tide_value record;
    size_t size;

    static_assert(TIDE_GAUGE_COUNT <= 8, "tide_event.gauges is one byte");
    if (!tide_cursor_read(&head, &record) || record.type != TIDE_MAP)
        return TIDE_MALFORMED;
    cursor = head;
    *ev = (struct tide_event){.time_us = ev->time_us, .weight = 1};
    for (uint32_t i = 0; i < record.len; i++) {
        if (read_pair_fast(&cursor, ev, &draft))
            continue;
        cursor.at = read_pair(cursor, bare, ev, &draft);
        if (!cursor.at)
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
