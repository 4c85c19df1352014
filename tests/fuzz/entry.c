/* The decoder of records. Where it says that a record ends there msgpack-c says so; and the same
 * record, unpacked by msgpack-c and packed again with every header as wide as it can be, is the
 * same event. So the fast ways through the decoder agree with the slow one, and that with a
 * library.
 *
 * Input: one byte (bare mode or not), a map, anything.
 */
#include "fuzz.h"

#include <msgpack.h>
#include <stdbool.h>
#include "tidemark/bytes.h"
#include "tidemark/counter.h"
#include "tidemark/wire.h"

#define SLACK 64 /* more than any look ahead */

struct outcome {
    enum tide_rc rc;
    struct tide_event ev;
    size_t used;
    int reason;
    uint64_t bad_fields, unknown_events;
};

static const struct tide_text tag = {"mod.auth", 8};

/* The texts of the event point into map. */
static void decode(const uint8_t *map, size_t len, bool bare, struct outcome *ret)
{
    const uint64_t bad = tide_counted(TIDE_COUNT_BAD_FIELDS),
                   unknown = tide_counted(TIDE_COUNT_UNKNOWN_EVENTS);

    memset(ret, 0, sizeof(*ret));
    ret->ev.time_us = 1;
    ret->reason = -2;
    ret->rc = tide_entry_decode(map, len, &tag, bare, &ret->ev, &ret->used, &ret->reason);
    ret->bad_fields = tide_counted(TIDE_COUNT_BAD_FIELDS) - bad;
    ret->unknown_events = tide_counted(TIDE_COUNT_UNKNOWN_EVENTS) - unknown;
    claim(ret->rc == TIDE_OK || ret->rc == TIDE_MALFORMED);
}

/* ---- the record again, in other words ---- */

struct out {
    uint8_t *data;
    size_t len, capacity;
};

static void put(struct out *out, const void *data, size_t len)
{
    if (out->len + len > out->capacity) {
        out->capacity = 2 * (out->len + len);
        out->data = realloc(out->data, out->capacity);
        if (!out->data)
            abort();
    }
    if (len)
        memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_head(struct out *out, uint8_t first, uint64_t value, size_t bytes)
{
    uint8_t head[9] = {first};

    tide_put_be64(head + 1, value << (64 - 8 * bytes));
    put(out, head, 1 + bytes);
}

static void widen(struct out *out, const msgpack_object *object)
{
    uint64_t bits;
    uint8_t type;

    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        put(out, "\xc0", 1);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        put(out, object->via.boolean ? "\xc3" : "\xc2", 1);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        put_head(out, 0xcf, object->via.u64, 8);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        put_head(out, 0xd3, (uint64_t)object->via.i64, 8);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        memcpy(&bits, &object->via.f64, sizeof(bits));
        put_head(out, 0xcb, bits, 8);
        break;
    case MSGPACK_OBJECT_STR:
        put_head(out, 0xdb, object->via.str.size, 4);
        put(out, object->via.str.ptr, object->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        put_head(out, 0xc6, object->via.bin.size, 4);
        put(out, object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_EXT:
        type = (uint8_t)object->via.ext.type;
        put_head(out, 0xc9, object->via.ext.size, 4);
        put(out, &type, 1);
        put(out, object->via.ext.ptr, object->via.ext.size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        put_head(out, 0xdd, object->via.array.size, 4);
        for (uint32_t i = 0; i < object->via.array.size; i++)
            widen(out, &object->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        put_head(out, 0xdf, object->via.map.size, 4);
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            widen(out, &object->via.map.ptr[i].key);
            widen(out, &object->via.map.ptr[i].val);
        }
        break;
    default:
        claim(object->type == MSGPACK_OBJECT_MAP); /* there are no others */
    }
}

/* ---- the same event ---- */

static void same_text(const struct tide_text *a, const struct tide_text *b)
{
    claim(a->len == b->len && (a->len == 0 || memcmp(a->start, b->start, a->len) == 0));
}

static void same(const struct outcome *a, const struct outcome *b)
{
    const struct tide_event *x = &a->ev, *y = &b->ev;

    claim(a->rc == b->rc && a->reason == b->reason);
    if (a->rc || a->reason >= 0)
        return;
    claim(a->bad_fields == b->bad_fields && a->unknown_events == b->unknown_events);
    same_text(&x->module, &y->module);
    same_text(&x->instance, &y->instance);
    same_text(&x->correlation, &y->correlation);
    same_text(&x->event_id, &y->event_id);
    same_text(&x->error, &y->error);
    same_text(&x->metric, &y->metric);
    claim(x->time_us == y->time_us && x->kind == y->kind);
    claim(x->has_duration == y->has_duration && x->has_outcome == y->has_outcome);
    claim(!x->has_duration || x->duration_us == y->duration_us);
    claim(x->success == y->success && x->has_healthy == y->has_healthy);
    claim(!x->has_healthy || x->healthy == y->healthy);
    claim(x->metric.len == 0 || x->value == y->value);
    claim(x->gauges == y->gauges);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        claim(!(x->gauges & 1u << gauge) || x->gauge[gauge] == y->gauge[gauge]);
    /* a fraction of an event is rounded by the bytes it came in */
    claim(x->weight == y->weight || x->weight == y->weight + 1 || y->weight == x->weight + 1);
}

/* What any event is, however it came about. */
static void sound(const struct outcome *outcome)
{
    const struct tide_event *ev = &outcome->ev;

    claim(outcome->reason >= -1 && outcome->reason < TIDE_ENTRY_REASON_COUNT);
    if (outcome->reason >= 0)
        return;
    claim(ev->module.len >= 1 && ev->module.len <= TIDE_MODULE_NAME_MAX);
    claim(ev->instance.len <= TIDE_ID_MAX && ev->correlation.len <= TIDE_ID_MAX &&
          ev->event_id.len <= TIDE_ID_MAX && ev->metric.len <= TIDE_METRIC_NAME_MAX);
    claim(ev->kind < TIDE_EVENT_KIND_COUNT && ev->weight >= 1 && ev->weight <= 1000000);
    claim(!ev->has_duration || (ev->duration_us >= 0 && ev->duration_us <= 0x1p40));
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        claim(!(ev->gauges & 1u << gauge) ||
              (ev->gauge[gauge] >= 0 && ev->gauge[gauge] <= TIDE_GAUGE_VALUE_MAX));
}

/* The map is whole, as the scanner sees it. */
static void compare(const uint8_t *map, size_t size, bool bare, const struct outcome *exact)
{
    uint8_t *longer = fuzz_copy(map, size);
    struct out wide = {0};
    struct outcome other;
    msgpack_unpacked unpacked;
    msgpack_unpack_return theirs;
    size_t end = 0;

    longer = realloc(longer, size + SLACK);
    if (!longer)
        abort();
    for (int junk = 0; junk < 2; junk++) { /* what follows does not matter */
        memset(longer + size, junk ? 0xc1 : 'd', SLACK);
        decode(longer, size + SLACK, bare, &other);
        same(exact, &other);
        claim(other.used == exact->used && other.ev.weight == exact->ev.weight);
    }
    free(longer);

    msgpack_unpacked_init(&unpacked);
    theirs = msgpack_unpack_next(&unpacked, (const char *)map, size, &end);
    if (theirs == MSGPACK_UNPACK_SUCCESS) {
        uint8_t *copy;

        claim(exact->rc == TIDE_OK && exact->used == end && end == size);
        widen(&wide, &unpacked.data);
        copy = fuzz_copy(wide.data, wide.len);
        decode(copy, wide.len, bare, &other);
        same(exact, &other);
        claim(other.used == wide.len);
        free(copy);
        free(wide.data);
    } else {
        claim(theirs == MSGPACK_UNPACK_NOMEM_ERROR); /* too deep for it */
    }
    msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tide_frame_scan scan;
    struct outcome whole, exact;
    size_t frame = 0;
    bool bare;
    uint8_t *copy;
    enum tide_rc rc;

    if (size < 2)
        return 0;
    bare = data[0] & 1;
    copy = fuzz_copy(++data, --size);
    decode(copy, size, bare, &whole);
    if (whole.rc == TIDE_OK) {
        claim(whole.used > 0 && whole.used <= size);
        sound(&whole);
    }
    tide_frame_reset(&scan);
    rc = tide_frame_next(&scan, copy, size, size + 1, &frame);
    if (whole.rc == TIDE_OK) /* a record within its own depth may be too deep for a request */
        claim((rc == TIDE_OK && frame == whole.used) || rc == TIDE_MALFORMED);
    if (rc == TIDE_OK && ((copy[0] & 0xf0) == 0x80 || copy[0] == 0xde || copy[0] == 0xdf)) {
        uint8_t *map = fuzz_copy(data, frame);

        claim(whole.rc == TIDE_OK);
        decode(map, frame, bare, &exact);
        same(&whole, &exact);
        compare(map, frame, bare, &exact);
        free(map);
    }
    free(copy);
    return 0;
}
