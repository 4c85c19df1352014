/* entry - one record map -> one tide_event.
 *
 * One pass over the map, in the order the client wrote it. A value is checked where it is met
 * (draft.h); what came under another producer's name for a field waits until the end (alias.h). The
 * walk goes on after a rejection, because the next entry begins where this map ends. nil is
 * "absent" everywhere; of a key given twice the last usable value counts.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include "tidemark/bytes.h"
#include "tidemark/counter.h"
#include "alias.h"
#include "draft.h"

#define STATUS_FAILED    500
#define SAMPLE_HASH_SEED UINT64_C(0x74696465736d706c) /* fixed: a resend must weigh the same */

/* One key and its value in any encoding. Returns where they end, NULL when they are not
 * well-formed. The cursor comes and goes by value: the caller's stays in registers, which is worth
 * a third of the whole decoding. */
static __attribute__((noinline)) const uint8_t *read_pair(struct tide_cursor cursor, bool bare,
                                                          struct tide_event *ev,
                                                          struct tide_draft *draft,
                                                          struct tide_other *other)
{
    struct tide_value key, value;
    const uint8_t *at;
    unsigned field;

    if (!tide_cursor_read(&cursor, &key) || !tide_cursor_skip_inside(&cursor, &key))
        return NULL;
    at = cursor.at;
    if (!tide_cursor_read(&cursor, &value))
        return NULL;
    if (value.type != TIDE_NIL && tide_value_is_text(&key)) {
        const char *name = (const char *)key.data;

        if (value.type == TIDE_MAP && value.len > 0 && tide_alias_is_object(name, key.len))
            return tide_alias_open(&key, cursor, value.len, draft, other);
        if ((field = tide_field_find(name, key.len)) != TIDE_FIELD_UNKNOWN)
            tide_draft_set(field, &value, bare, ev, draft);
        else
            tide_alias_note(name, key.len, at, draft, other);
    }
    return tide_cursor_skip_inside(&cursor, &value) ? cursor.at : NULL;
}

/* ---- the encodings that real clients use, without the detour over a tide_value ----
 *
 * One look at the bytes left covers a whole pair: a key of at most 31 bytes with its header, and
 * after it the header of a text or all of a number. Only the content of a text is checked by
 * itself. Each reader returns where its value ends, NULL for any other encoding; then the pair is
 * read again by read_pair, which knows them all. */

#define PAIR_ROOM (1 + 31 + 9)

static inline const uint8_t *take_text(const uint8_t *at, const uint8_t *end, struct tide_text *ret)
{
    size_t len = at[0] & 0x1f;

    if ((at[0] & 0xe0) == 0xa0) {
        at += 1;
    } else if (at[0] == 0xd9) {
        len = at[1];
        at += 2;
    } else {
        return NULL;
    }
    if ((size_t)(end - at) < len)
        return NULL;
    *ret = (struct tide_text){(const char *)at, (uint32_t)len};
    return at + len;
}

static inline const uint8_t *take_truth(const uint8_t *at, bool *ret)
{
    if ((at[0] & 0xfe) != 0xc2)
        return NULL;
    *ret = at[0] & 1;
    return at + 1;
}

static inline const uint8_t *take_double(const uint8_t *at, struct tide_number *ret)
{
    uint64_t bits;

    if (at[0] != 0xcb)
        return NULL;
    bits = tide_get_be64(at + 1);
    memcpy(&ret->real, &bits, sizeof(bits));
    ret->is_whole = false;
    return at + 9;
}

/* What was just read is a whole number below 2^32. Its width changes from event to event, which no
 * branch can foresee: so there is none, but for the one that asks whether it is such a number. */
static inline const uint8_t *take_whole32(const uint8_t *at, uint32_t *ret)
{
    /* cc, cd, ce, and the number that is its own header */
    static const uint8_t size[] = {2, 3, 5, 1};
    static const uint8_t shift[] = {56, 48, 32, 56};
    uint8_t above = (uint8_t)(at[0] - 0xcc);
    bool bare = at[0] < 0x80;
    unsigned form = bare ? 3 : above;

    if (!(bare | (above < 3)))
        return NULL;
    *ret = (uint32_t)(tide_get_be64(at + !bare) >> shift[form]);
    return at + size[form];
}

static inline const uint8_t *take_whole(const uint8_t *at, struct tide_number *ret)
{
    uint32_t whole;
    const uint8_t *end = take_whole32(at, &whole);

    if (!end)
        return NULL;
    ret->whole = whole;
    ret->real = (double)whole;
    ret->is_whole = true;
    return end;
}

static inline const uint8_t *take_number(const uint8_t *at, struct tide_number *ret)
{
    const uint8_t *end = take_double(at, ret);

    return end ? end : take_whole(at, ret);
}

/* A scale above 1 stands for decimals: the number then is a double more often than not. */
static inline const uint8_t *take_gauge(const uint8_t *at, enum tide_gauge gauge, int64_t scale,
                                        struct tide_event *ev, struct tide_draft *draft)
{
    struct tide_number number;
    const uint8_t *end = NULL;
    uint32_t whole;

    if (scale == 1 && (end = take_whole32(at, &whole))) {
        ev->gauge[gauge] = whole;
        ev->gauges |= (uint8_t)(1u << gauge);
        return end;
    }
    end = take_number(at, &number);
    if (end)
        tide_draft_gauge(&number, gauge, scale, ev, draft);
    return end;
}

/* Where a scalar or a short text ends that nobody looks at. */
static inline const uint8_t *step_over(const uint8_t *at, const uint8_t *end)
{
    size_t size = tide_value_size[at[0]];

    if (at[0] == 0xd9)
        size = 2 + (size_t)at[1];
    return size > 0 && size <= (size_t)(end - at) ? at + size : NULL;
}

/* Reads one pair and moves the cursor behind it. False: nothing happened. */
static inline bool read_pair_fast(struct tide_cursor *cursor, struct tide_event *ev,
                                  struct tide_draft *draft, struct tide_other *other)
{
    const uint8_t *at = cursor->at, *end = cursor->end, *next;
    struct tide_text text;
    struct tide_number number;
    const char *key;
    uint32_t len;
    bool truth;

    if (tide_cursor_left(cursor) < PAIR_ROOM || (at[0] & 0xe0) != 0xa0)
        return false;
    key = (const char *)at + 1;
    len = at[0] & 0x1f;
    at += 1 + len;
    switch (tide_field_find(key, len)) {
    case TIDE_FIELD_MODULE:
        if (!(at = take_text(at, end, &text)))
            return false;
        tide_draft_module(text, ev, draft);
        break;
    case TIDE_FIELD_EVENT:
        if (!(at = take_text(at, end, &text)))
            return false;
        tide_draft_kind(text, (size_t)(end - (const uint8_t *)text.start), draft);
        break;
    case TIDE_FIELD_CORRELATION:
        if (!(at = take_text(at, end, &text)))
            return false;
        tide_draft_id(text, &ev->correlation);
        break;
    case TIDE_FIELD_INSTANCE:
        if (!(at = take_text(at, end, &text)))
            return false;
        tide_draft_id(text, &ev->instance);
        break;
    case TIDE_FIELD_SUCCESS:
        if (!(at = take_truth(at, &truth)))
            return false;
        tide_draft_success(truth, draft);
        break;
    case TIDE_FIELD_DURATION:
        if (!(at = take_number(at, &number)))
            return false;
        tide_draft_duration(number.real * 1000, ev, draft);
        break;
    case TIDE_FIELD_STATUS:
        if (!(at = take_whole(at, &number)))
            return false;
        tide_draft_status(&number, draft);
        break;
#define TIDE_X(id, field, scale, gather)                               \
    case TIDE_FIELD_GAUGE + TIDE_GAUGE_##id:                           \
        if (!(at = take_gauge(at, TIDE_GAUGE_##id, scale, ev, draft))) \
            return false;                                              \
        break;
        TIDE_GAUGES(TIDE_X)
#undef TIDE_X
    case TIDE_FIELD_UNKNOWN:
        if (!(next = step_over(at, end)))
            return false;
        if (tide_alias_is_likely(key, len) && *at != 0xc0)
            tide_alias_note(key, len, at, draft, other);
        at = next;
        break;
    default:
        return false;
    }
    cursor->at = at;
    return true;
}

/* ---- the usual order ----
 *
 * Most clients write the fields in the order in which they are documented. A chain of comparisons
 * follows them there: each key is compared whole, header and all, with what is expected, and when
 * it is that its length is a constant and not something to be loaded and added first. So the reads
 * of one pair need not wait for those of the pair before (measured: half the cycles of decoding).
 * A field that is absent costs one comparison. */

/* at[0, size) is the key with its header; both have room for a word. Two words, which may overlap,
 * are one comparison; what lies behind a shorter key is masked. */
static inline bool same_key(const uint8_t *at, const void *key, size_t size)
{
    if (size < 8)
        return (tide_load8(at) ^ tide_load8(key)) << (64 - 8 * size) == 0;
    return ((tide_load8(at) ^ tide_load8(key)) |
            (tide_load8(at + size - 8) ^ tide_load8((const uint8_t *)key + size - 8))) == 0;
}

/* Reads the pairs from the cursor on that come in the usual order, at most `left`; returns how many
 * are left. */
static inline __attribute__((always_inline)) uint32_t read_usual(struct tide_cursor *cursor,
                                                                 uint32_t left,
                                                                 struct tide_event *ev,
                                                                 struct tide_draft *draft)
{
    const uint8_t *at = cursor->at, *end = cursor->end, *value, *next;
    const uint8_t *last; /* where a pair may begin at the latest */
    struct tide_text text;
    struct tide_number number;
    bool truth;

    if (tide_cursor_left(cursor) < PAIR_ROOM)
        return left;
    last = end - PAIR_ROOM;
#define FIELD(key, take, set)                                     \
    {                                                             \
        static const struct {                                     \
            uint8_t head;                                         \
            char text[sizeof(key) < 8 ? 7 : sizeof(key) - 1];     \
        } expected = {0xa0 | (sizeof(key) - 1), key};             \
                                                                  \
        if (at <= last && same_key(at, &expected, sizeof(key))) { \
            value = at + sizeof(key);                             \
            if (!(next = take))                                   \
                goto out;                                         \
            set;                                                  \
            at = next;                                            \
            if (--left == 0)                                      \
                goto out;                                         \
        }                                                         \
    }
    FIELD("module_id", take_text(value, end, &text), tide_draft_module(text, ev, draft))
    FIELD("event", take_text(value, end, &text),
          tide_draft_kind(text, (size_t)(end - (const uint8_t *)text.start), draft))
    FIELD("success", take_truth(value, &truth), tide_draft_success(truth, draft))
    FIELD("duration_ms", take_number(value, &number),
          tide_draft_duration(number.real * 1000, ev, draft))
    FIELD("success", take_truth(value, &truth), tide_draft_success(truth, draft))
#define TIDE_X(id, field, scale, gather) \
    FIELD(field, take_gauge(value, TIDE_GAUGE_##id, scale, ev, draft), (void)0)
    TIDE_GAUGES(TIDE_X)
#undef TIDE_X
    FIELD("correlation_id", take_text(value, end, &text), tide_draft_id(text, &ev->correlation))
#undef FIELD
out:
    cursor->at = at;
    return left;
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
                     struct tide_event *ev, struct tide_draft *draft)
{
    if (ev->module.len == 0 && draft->reason < 0 && !module_of_tag(tag, &ev->module))
        tide_draft_reject(draft, TIDE_ENTRY_NO_MODULE);
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
    if (draft->kind != TIDE_EVENT_METRIC || !draft->has_value)
        ev->metric.len = 0;
    if (draft->sample_rate > 0)
        ev->weight = weight_of(draft->sample_rate, ev, map, size);
}

/* What was left out of an event that is kept. */
static __attribute__((noinline)) void count_oddities(const struct tide_event *ev,
                                                     const struct tide_draft *draft)
{
    uint32_t bad_fields =
        draft->bad_fields + (ev->kind == TIDE_EVENT_METRIC ? draft->bad_metric : 0);

    if (draft->reason >= 0)
        return;
    if (bad_fields > 0)
        tide_count(TIDE_COUNT_BAD_FIELDS, bad_fields);
    if (draft->unknown_kind)
        tide_count(TIDE_COUNT_UNKNOWN_EVENTS, 1);
    if (draft->ambiguous)
        tide_count(TIDE_COUNT_AMBIGUOUS_DURATIONS, 1);
}

/* Absent everything, but for the time. Field by field: zeroing the whole struct takes a string
 * instruction (15 ns an event). A text counts only where its length says so, and gauge[] only where
 * `gauges` does. */
static inline void begin_event(struct tide_event *ev)
{
    ev->module.len = 0;
    ev->instance.len = 0;
    ev->correlation.len = 0;
    ev->event_id.len = 0;
    ev->error.len = 0;
    ev->metric.len = 0;
    ev->value = 0;
    ev->weight = 1;
    ev->kind = 0;
    ev->has_duration = false;
    ev->has_outcome = false;
    ev->success = false;
    ev->has_healthy = false;
    ev->healthy = false;
    ev->gauges = 0;
    ev->duration_us = 0;
}

/* Fields of the sender's own may come before the usual order begins. A record in another order is
 * not asked again and again. */
static inline bool usual_begins(const struct tide_cursor *cursor)
{
    return tide_cursor_left(cursor) >= PAIR_ROOM &&
           tide_load8(cursor->at) == tide_load8("\xa9module_");
}

/* The pairs from the first on that is not in the usual order: any order, any field, any encoding.
 * Returns where they end, NULL when they are not well-formed. */
static __attribute__((noinline)) const uint8_t *read_rest(struct tide_cursor cursor, uint32_t pairs,
                                                          bool bare, struct tide_event *ev,
                                                          struct tide_draft *draft)
{
    struct tide_other other[TIDE_OTHERS]; /* set where draft->others says so */

    for (; pairs > 0; pairs--) {
        if (usual_begins(&cursor) && (pairs = read_usual(&cursor, pairs, ev, draft)) == 0)
            break;
        if (!read_pair_fast(&cursor, ev, draft, other)) {
            cursor.at = read_pair(cursor, bare, ev, draft, other);
            if (!cursor.at)
                return NULL;
        }
    }
    if (draft->others != 0)
        tide_alias_settle(other, cursor.at, bare, ev, draft);
    return cursor.at;
}

enum tide_rc tide_entry_decode(const uint8_t *map, size_t len, const struct tide_text *tag,
                               bool bare, struct tide_event *ev, size_t *ret_used, int *ret_reason)
{
    struct tide_cursor head = {map, map + len}, cursor;
    struct tide_draft draft = {.reason = -1, .kind = -1};
    struct tide_value record;
    uint32_t left;
    size_t size;

    static_assert(TIDE_GAUGE_COUNT <= 8, "tide_event.gauges is one byte");
    if (!tide_cursor_read(&head, &record) || record.type != TIDE_MAP)
        return TIDE_MALFORMED;
    cursor = head;
    begin_event(ev);
    left = record.len > 0 ? read_usual(&cursor, record.len, ev, &draft) : 0;
    if (left > 0 && !(cursor.at = read_rest(cursor, left, bare, ev, &draft)))
        return TIDE_MALFORMED;
    size = (size_t)(cursor.at - map);
    conclude(tag, map, size, ev, &draft);
    if (draft.bad_fields | draft.bad_metric | draft.unknown_kind | draft.ambiguous)
        count_oddities(ev, &draft);
    *ret_used = size;
    *ret_reason = draft.reason;
    return TIDE_OK;
}
