/* The decoder against a slow reading of the same record: random records, packed by msgpack-c in any
 * encoding it has, decoded by us and read again from the msgpack_object tree by a plain list of
 * rules. Both must agree on every field.
 */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/ledger.h"
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;
static uint64_t seed;

static uint64_t below(uint64_t n)
{
    return tide_test_random(&seed) % n;
}

/* ---- writing ---- */

static const char *const field[] = {
    "module_id",      "event",        "success",     "duration_ms", "status",      "error",
    "healthy",        "memory_bytes", "cpu_percent", "goroutines",  "threads",     "db_connections",
    "correlation_id", "instance_id",  "event_id",    "name",        "value",       "sample_rate",
    "timestamp",      "message",      "other",       "module_ix",   "duration_us", "memory_bytez",
    "event_ie",       "module",       "hostname",    "trace_id",    "statusCode"};
#define FIELDS (sizeof(field) / sizeof(field[0]))

static void pack_text(msgpack_packer *packer, const char *text)
{
    size_t len = strlen(text);

    if (below(8) == 0) {
        msgpack_pack_bin(packer, len);
        msgpack_pack_bin_body(packer, text, len);
    } else {
        msgpack_pack_str(packer, len);
        msgpack_pack_str_body(packer, text, len);
    }
}

static void pack_number(msgpack_packer *packer)
{
    static const double odd[] = {0,      -0.0, 0.5,  1e-6, 1,    200,   500,
                                 999999, 1e6,  1e12, 9e12, 1e19, 1e300, -1};
    char text[64];
    double real = odd[below(sizeof(odd) / sizeof(odd[0]))];

    switch (below(8)) {
    case 0:
        msgpack_pack_uint64(packer, tide_test_random(&seed) >> below(64));
        break;
    case 1:
        msgpack_pack_int64(packer, -(int64_t)below(1000));
        break;
    case 2:
        msgpack_pack_double(packer, real);
        break;
    case 3:
        msgpack_pack_float(packer, (float)below(100000) / 8);
        break;
    case 4:
        snprintf(text, sizeof(text), "%g", real);
        pack_text(packer, text);
        break;
    case 5:
        msgpack_pack_double(packer, (double)below(1000000) / 1000);
        break;
    case 6:
        msgpack_pack_double(packer, below(2) ? (double)NAN : (double)INFINITY);
        break;
    default:
        msgpack_pack_int(packer, (int)below(600));
        break;
    }
}

static void pack_value(msgpack_packer *packer, size_t of)
{
    static const char *const kind[] = {"start",     "stop",        "health", "request", "response",
                                       "error",     "performance", "config", "metric",  "debug",
                                       "exception", "unknown",     ""};
    char text[400];

    if (below(12) == 0) { /* another type */
        switch (below(5)) {
        case 0:
            msgpack_pack_nil(packer);
            return;
        case 1:
            below(2) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
            return;
        case 2:
            msgpack_pack_array(packer, 2);
            msgpack_pack_int(packer, 1);
            msgpack_pack_map(packer, 0);
            return;
        case 3:
            msgpack_pack_ext(packer, 8, 0);
            msgpack_pack_ext_body(packer, "12345678", 8);
            return;
        default:
            pack_number(packer);
            return;
        }
    }
    switch (of) {
    case 1:
        pack_text(packer, kind[below(sizeof(kind) / sizeof(kind[0]))]);
        break;
    case 2:
    case 6:
        below(2) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        break;
    case 0:
    case 5:
    case 12:
    case 13:
    case 14:
    case 15:
    case 19:
    case 25:
    case 26:
    case 27: {
        size_t len = below(10) ? below(40) : below(300);

        for (size_t i = 0; i < len; i++)
            text[i] = (char)(below(100) ? 'a' + (int)below(26) : 1 + (int)below(255));
        text[len] = '\0';
        pack_text(packer, text);
        break;
    }
    default:
        pack_number(packer);
        break;
    }
}

/* ---- reading slowly ---- */

static bool is_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN;
}

static bool text_equals(const msgpack_object *object, const char *text)
{
    return is_text(object) && object->via.str.size == strlen(text) &&
           memcmp(object->via.str.ptr, text, object->via.str.size) == 0;
}

/* The value that counts: the last one under this name that is not nil. */
static const msgpack_object *find(const msgpack_object *map, const char *name)
{
    const msgpack_object *found = NULL;

    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (text_equals(&map->via.map.ptr[i].key, name) &&
            map->via.map.ptr[i].val.type != MSGPACK_OBJECT_NIL)
            found = &map->via.map.ptr[i].val;
    return found;
}

/* Texts here come from printf("%g"), so strtod may be trusted with them when all characters are a
 * number's. */
static bool number_of(const msgpack_object *object, double *ret)
{
    char text[400], *end;

    switch (object->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        *ret = (double)object->via.u64;
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *ret = (double)object->via.i64;
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *ret = object->via.f64;
        return isfinite(*ret);
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        if (object->via.str.size == 0 || object->via.str.size > 64)
            return false;
        memcpy(text, object->via.str.ptr, object->via.str.size);
        text[object->via.str.size] = '\0';
        if (strlen(text) != object->via.str.size ||
            strspn(text, "0123456789+-.eE") != object->via.str.size)
            return false;
        *ret = strtod(text, &end);
        return *end == '\0' && end != text && isfinite(*ret);
    default:
        return false;
    }
}

static bool name_is_usable(const msgpack_object *object)
{
    const uint8_t *text = (const uint8_t *)object->via.str.ptr;

    if (!is_text(object) || object->via.str.size == 0 ||
        object->via.str.size > TIDE_MODULE_NAME_MAX)
        return false;
    for (uint32_t i = 0; i < object->via.str.size; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return false;
    for (uint32_t i = 0; i < object->via.str.size;
         i++) { /* only two-byte characters can come out of the writer */
        if (text[i] < 0x80)
            continue;
        if (i + 1 < object->via.str.size && text[i] >= 0xc2 && text[i] <= 0xdf &&
            (text[i + 1] & 0xc0) == 0x80 && !(text[i] == 0xc2 && text[i + 1] < 0xa0))
            i++;
        else
            return false;
    }
    return true;
}

/* The value that counts under our name or, when that is absent, under another's. */
static const msgpack_object *find_either(const msgpack_object *map, const char *ours,
                                         const char *theirs)
{
    const msgpack_object *found = find(map, ours);

    return found ? found : find(map, theirs);
}

/* Every reason a record deserves, as bits: which one is booked depends on the order of its keys. */
static unsigned reasons_of(const msgpack_object *map, bool bare)
{
    const msgpack_object *other;
    unsigned reasons = 0;
    double given;

    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *key = &map->via.map.ptr[i].key, *value = &map->via.map.ptr[i].val;
        double number = 0;
        bool is_number = number_of(value, &number);

        if (value->type == MSGPACK_OBJECT_NIL)
            continue;
        if (text_equals(key, "module_id") && !name_is_usable(value))
            reasons |= 1u << TIDE_ENTRY_BAD_MODULE_ID;
        if (text_equals(key, "event") && !is_text(value))
            reasons |= 1u << TIDE_ENTRY_BAD_EVENT;
        if (text_equals(key, "success") && value->type != MSGPACK_OBJECT_BOOLEAN)
            reasons |= 1u << TIDE_ENTRY_BAD_SUCCESS;
        if (text_equals(key, "duration_ms") &&
            !(is_number && number >= 0 && number * 1000 <= 0x1p40))
            reasons |= 1u << TIDE_ENTRY_BAD_DURATION;
        if (text_equals(key, "status") &&
            !(is_number && number >= 0 && number <= 999999 && floor(number) == number))
            reasons |= 1u << TIDE_ENTRY_BAD_STATUS;
        if (text_equals(key, "sample_rate") && !(is_number && number >= 1e-6 && number <= 1))
            reasons |= 1u << TIDE_ENTRY_BAD_SAMPLE_RATE;
        if (bare && text_equals(key, "timestamp"))
            reasons |= 1u << TIDE_ENTRY_BAD_TIME; /* possibly: test_moment has the rules */
    }
    other = find(map, "module");
    if (other && !find(map, "module_id") && !name_is_usable(other))
        reasons |= 1u << TIDE_ENTRY_BAD_MODULE_ID;
    other = find(map, "duration_us");
    if (other && !find(map, "duration_ms") &&
        !(number_of(other, &given) && given >= 0 && given <= 0x1p40))
        reasons |= 1u << TIDE_ENTRY_BAD_DURATION;
    other = find(map, "statusCode");
    if (other && !find(map, "status") &&
        !(number_of(other, &given) && given >= 0 && given <= 999999 && floor(given) == given))
        reasons |= 1u << TIDE_ENTRY_BAD_STATUS;
    return reasons;
}

static void same_text(const struct tide_text *text, const msgpack_object *object, const char *what)
{
    uint32_t len = object && is_text(object) ? object->via.str.size : 0;

    if (len <= TIDE_ID_MAX ? text->len != len
                           : text->len > TIDE_ID_MAX || text->len < TIDE_ID_MAX - 3)
        fail_msg("%s: %u bytes of %u", what, text->len, len);
    if (text->len > 0)
        assert_memory_equal(text->start, object->via.str.ptr, text->len);
}

/* The last value of an optional text field that has the right type; without one, what another name
 * says. */
static const msgpack_object *find_text(const msgpack_object *map, const char *name,
                                       const char *other)
{
    const msgpack_object *found = NULL;

    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (text_equals(&map->via.map.ptr[i].key, name) && is_text(&map->via.map.ptr[i].val))
            found = &map->via.map.ptr[i].val;
    if ((!found || found->via.str.size == 0) && other)
        found = find(map, other);
    return found;
}

static void check_gauge(const msgpack_object *map, const struct tide_event *ev,
                        enum tide_gauge gauge)
{
    const double scale = tide_gauge_info[gauge].scale;
    bool given = false;
    double last = 0;

    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *key = &map->via.map.ptr[i].key;
        double number;

        if (!text_equals(key, tide_gauge_info[gauge].field))
            continue;
        if (number_of(&map->via.map.ptr[i].val, &number) && number >= 0 &&
            number * scale < 0x1p62) {
            given = true;
            last = number;
        }
    }
    if (!given && gauge == TIDE_GAUGE_GOROUTINES) {
        const msgpack_object *other = find(map, "threads");

        given = other && number_of(other, &last) && last >= 0 && last * scale < 0x1p62;
    }
    assert_int_equal((ev->gauges >> gauge) & 1, given);
    if (given) /* to within the rounding of a double */
        assert_true(fabs((double)ev->gauge[gauge] - last * scale) <= 0.5 + last * scale * 1e-15);
}

static void check_event(const msgpack_object *map, const struct tide_event *ev)
{
    const msgpack_object *object;
    bool has_error, has_outcome;
    double number, status = 0;
    int kind = -1;

    object = find_either(map, "module_id", "module");
    if (object)
        same_text(&ev->module, object, "module");
    else
        assert_memory_equal(ev->module.start, "auth", 4);
    same_text(&ev->correlation, find_text(map, "correlation_id", "trace_id"), "correlation");
    same_text(&ev->instance, find_text(map, "instance_id", "hostname"), "instance");
    same_text(&ev->event_id, find_text(map, "event_id", NULL), "event id");

    object = find_either(map, "duration_ms", "duration_us");
    assert_int_equal(ev->has_duration, object != NULL);
    if (object && number_of(object, &number))
        assert_true(ev->duration_us == number * (find(map, "duration_ms") ? 1000 : 1));

    object = find(map, "error");
    has_error = object && !(is_text(object) && object->via.str.size == 0) &&
                !(object->type == MSGPACK_OBJECT_BOOLEAN && !object->via.boolean);
    assert_int_equal(ev->error.len > 0, has_error);
    object = find_either(map, "status", "statusCode");
    if (object)
        assert_true(number_of(object, &status));
    has_outcome = object || find(map, "success");
    assert_int_equal(ev->has_outcome, has_outcome);
    object = find(map, "success");
    assert_int_equal(ev->success, object ? object->via.boolean : !has_error && status < 500);

    object = find(map, "event");
    if (object) {
        kind = tide_event_kind_find(object->via.str.ptr, object->via.str.size);
        if (kind < 0)
            kind = text_equals(object, "exception") ? TIDE_EVENT_ERROR : TIDE_EVENT_DEBUG;
    } else if (ev->has_duration || has_outcome) {
        kind = TIDE_EVENT_RESPONSE;
    } else {
        kind = has_error ? TIDE_EVENT_ERROR : TIDE_EVENT_DEBUG;
    }
    assert_int_equal(ev->kind, kind);

    for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
        check_gauge(map, ev, (enum tide_gauge)g);
    object = find(map, "sample_rate");
    if (object && number_of(object, &number))
        assert_true(ev->weight == floor(1 / number) || ev->weight == ceil(1 / number));
    else
        assert_int_equal(ev->weight, 1);
}

static void decoder_agrees_with_a_slow_reading(void **state)
{
    const struct tide_text tag = {"mod.auth", 8};
    unsigned good = 0, rejected = 0;

    (void)state;
    for (int round = 0; round < 60000; round++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        msgpack_unpacked unpacked;
        struct tide_event ev = {.time_us = 1};
        size_t fields = below(12), used = 0, end = 0;
        unsigned reasons;
        int reason = -2;

        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        msgpack_pack_map(&packer, fields);
        for (size_t i = 0; i < fields; i++) {
            size_t of = below(FIELDS);

            if (below(50) == 0)
                msgpack_pack_int(&packer, (int)below(1000));
            else
                pack_text(&packer, field[of]);
            pack_value(&packer, of);
        }
        msgpack_unpacked_init(&unpacked);
        assert_int_equal(msgpack_unpack_next(&unpacked, out.data, out.size, &end),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(tide_entry_decode(tide_guard_place(&guard, out.data, out.size), out.size,
                                           &tag, false, &ev, &used, &reason),
                         TIDE_OK);
        assert_int_equal(used, out.size);
        reasons = reasons_of(&unpacked.data, false);
        if (reasons != 0) {
            if (reason < 0 || !(reasons & 1u << reason))
                fail_msg("round %d: reason %d, expected one of %x", round, reason, reasons);
            rejected++;
        } else {
            assert_int_equal(reason, -1);
            check_event(&unpacked.data, &ev);
            good++;
        }
        msgpack_unpacked_destroy(&unpacked);
        msgpack_sbuffer_destroy(&out);
    }
    assert_true(good > 5000 && rejected > 5000); /* both sides were exercised */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_agrees_with_a_slow_reading),
    };
    int failed;

    seed = tide_test_seed();
    tide_guard_init(&guard, 1 << 16);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
