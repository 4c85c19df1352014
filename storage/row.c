/* row - see row.h and FORMAT.md "record".
 *
 * A varint of presence bits, then only what is there. Decoding checks every relation that the rest
 * of the program takes for granted (counts add up, buckets ascend, minima below maxima): a value
 * that passes its CRC but not these was written by a bug, and is as little served as a flipped bit.
 */
#include "row.h"

#include <assert.h>
#include <string.h>

#include "tidemark/bytes.h"

enum {
    HAS_REQUESTS = 1 << 0,
    HAS_ERRORS = 1 << 1,
    HAS_PLAIN = 1 << 2,
    HAS_SAMPLES = 1 << 3,
    HAS_START = 1 << 4,
    HAS_STOP = 1 << 5,
    HAS_HEALTH = 1 << 6,
    IS_HEALTHY = 1 << 7,
    HAS_INSTANCES = 1 << 8,
    HAS_SLOWEST = 1 << 9,
    HAS_EVENTS = 1 << 10,
    HAS_CUSTOMS = 1 << 11,
    KNOWN_BITS = (1 << 12) - 1
};

static unsigned presence(const struct row_view *view)
{
    const struct tide_tally *tally = view->tally;

    return (tally->requests ? HAS_REQUESTS : 0u) | (tally->errors ? HAS_ERRORS : 0u) |
           (tally->plain_requests ? HAS_PLAIN : 0u) | (tally->samples ? HAS_SAMPLES : 0u) |
           (tally->start_us ? HAS_START : 0u) | (tally->stop_us ? HAS_STOP : 0u) |
           (tally->health_us ? HAS_HEALTH : 0u) |
           (tally->health_us && tally->healthy ? IS_HEALTHY : 0u) |
           (view->instances ? HAS_INSTANCES : 0u) | (view->slowest_len ? HAS_SLOWEST : 0u) |
           (tally->first_us != INT64_MAX ? HAS_EVENTS : 0u) | (view->customs ? HAS_CUSTOMS : 0u);
}

static uint8_t *put_time(uint8_t *to, int64_t us, int64_t base_us)
{
    return tide_put_varint_roomy(to, tide_zigzag(us - base_us));
}

static uint8_t *put_instance(uint8_t *to, const struct tide_instance *instance, int64_t base_us)
{
    unsigned bits = 0;

    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        bits |= instance->gauge[gauge].count ? 1u << gauge : 0;
    tide_put_be64(to, instance->id);
    to = tide_put_varint_roomy(to + 8, bits);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
        const struct tide_gauge_state *state = &instance->gauge[gauge];

        if (!state->count)
            continue;
        to = tide_put_varint_roomy(to, state->count);
        to = put_time(to, state->time_us, base_us);
        to = tide_put_varint_roomy(to, state->last);
        to = tide_put_varint_roomy(to, state->max);
        to = tide_put_varint_roomy(to, state->sum);
    }
    return to;
}

/* The newest value and the sum are told from the minimum up; when all values are the same there is
 * nothing to tell. */
static uint8_t *put_custom(uint8_t *to, const struct tide_custom *custom, int64_t base_us)
{
    uint64_t spread = (uint64_t)custom->max - (uint64_t)custom->min;
    unsigned __int128 above =
        (unsigned __int128)custom->sum - (unsigned __int128)((__int128)custom->min * custom->count);

    to = tide_put_varint_roomy(to, custom->len);
    memcpy(to, custom->name, custom->len);
    to = tide_put_varint_roomy(to + custom->len, custom->count);
    to = put_time(to, custom->time_us, base_us);
    to = tide_put_varint_roomy(to, tide_zigzag(custom->min));
    to = tide_put_varint_roomy(to, spread);
    if (spread) {
        to = tide_put_varint_roomy(to, (uint64_t)custom->last - (uint64_t)custom->min);
        to = tide_put_varint_roomy(to, (uint64_t)above);
        to = tide_put_varint_roomy(to, (uint64_t)(above >> 64));
    }
    return to;
}

/* Upper bounds of what the parts take. */
#define FIXED_MAX    (TIDE_VARINT_MAX * (24 + TIDE_EVENT_KIND_COUNT))
#define INSTANCE_MAX (8 + TIDE_VARINT_MAX * (1 + 5 * TIDE_GAUGE_COUNT))
#define CUSTOM_MAX   (TIDE_METRIC_NAME_MAX + TIDE_VARINT_MAX * 8)

void row_encode_view(struct blob *blob, const struct row_view *view, int64_t base_us)
{
    const struct tide_tally *tally = view->tally;
    unsigned bits = presence(view), kinds = 0;
    uint8_t *to;

    assert((tally->samples == 0) == (view->runs == 0));
    blob_reserve(blob, FIXED_MAX + view->runs * 2 * TIDE_VARINT_MAX +
                           view->instances * INSTANCE_MAX + view->slowest_len +
                           view->customs * CUSTOM_MAX);
    to = tide_put_varint_roomy(blob->start + blob->len, bits);
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        kinds |= tally->kind[kind] ? 1u << kind : 0;
    to = tide_put_varint_roomy(to, kinds);
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        if (tally->kind[kind])
            to = tide_put_varint_roomy(to, tally->kind[kind]);
    if (bits & HAS_EVENTS) {
        to = put_time(to, tally->first_us, base_us);
        to = tide_put_varint_roomy(to, (uint64_t)(tally->last_us - tally->first_us));
    }
    if (bits & HAS_REQUESTS) {
        to = tide_put_varint_roomy(to, tally->requests);
        to = tide_put_varint_roomy(to, tally->failed);
    }
    if (bits & HAS_ERRORS)
        to = tide_put_varint_roomy(to, tally->errors);
    if (bits & HAS_PLAIN)
        to = tide_put_varint_roomy(to, tally->plain_requests);
    if (bits & HAS_START)
        to = put_time(to, tally->start_us, base_us);
    if (bits & HAS_STOP)
        to = put_time(to, tally->stop_us, base_us);
    if (bits & HAS_HEALTH)
        to = put_time(to, tally->health_us, base_us);
    if (bits & HAS_SAMPLES) {
        uint32_t before = 0;

        to = tide_put_varint_roomy(to, tally->sum_us);
        to = tide_put_varint_roomy(to, tally->min_us);
        to = tide_put_varint_roomy(to, tally->max_us - tally->min_us);
        to = tide_put_varint_roomy(to, view->runs);
        for (uint32_t i = 0; i < view->runs; i++) {
            to = tide_put_varint_roomy(to, view->run[i].bucket - before);
            to = tide_put_varint_roomy(to, view->run[i].count);
            before = view->run[i].bucket;
        }
    }
    if (bits & HAS_INSTANCES) {
        to = tide_put_varint_roomy(to, view->instances);
        for (uint32_t i = 0; i < view->instances; i++)
            to = put_instance(to, &view->instance[i], base_us);
    }
    if (bits & HAS_SLOWEST) {
        to = tide_put_varint_roomy(to, view->slowest_us);
        to = tide_put_varint_roomy(to, view->slowest_len);
        memcpy(to, view->slowest, view->slowest_len);
        to += view->slowest_len;
    }
    if (bits & HAS_CUSTOMS) {
        to = tide_put_varint_roomy(to, view->customs);
        for (uint32_t i = 0; i < view->customs; i++)
            to = put_custom(to, &view->custom[i], base_us);
    }
    blob->len = (size_t)(to - blob->start);
    assert(blob->len <= blob->capacity);
}

struct row_view row_view_of(const struct tide_record *record,
                            struct hist_run run[TIDE_HIST_BUCKETS])
{
    struct row_view view = {.tally = &record->tally,
                            .run = run,
                            .instance = record->instance,
                            .instances = record->instances,
                            .custom = record->customs.item,
                            .customs = record->customs.count,
                            .slowest_us = record->slowest.us,
                            .slowest = record->slowest.id,
                            .slowest_len = record->slowest.len};

    for (unsigned i = 0; i < record->hist.len; i++)
        if (record->hist.count[i])
            run[view.runs++] = (struct hist_run){record->hist.first + i, record->hist.count[i]};
    return view;
}

void row_encode(struct blob *blob, const struct tide_record *record, int64_t base_us)
{
    struct hist_run run[TIDE_HIST_BUCKETS];
    struct row_view view = row_view_of(record, run);

    row_encode_view(blob, &view, base_us);
}

/* ---- decoding ---- */

struct reader {
    const uint8_t *at, *end;
    int64_t base_us;
    bool bad;
};

static uint64_t get(struct reader *reader)
{
    uint64_t v = 0;

    if (!reader->bad && !tide_get_varint(&reader->at, reader->end, &v))
        reader->bad = true;
    return reader->bad ? 0 : v;
}

static int64_t get_time(struct reader *reader)
{
    int64_t us;

    if (__builtin_add_overflow(reader->base_us, tide_unzigzag(get(reader)), &us) || us <= 0)
        reader->bad = true;
    return reader->bad ? 0 : us;
}

static void check(struct reader *reader, bool holds)
{
    if (!holds)
        reader->bad = true;
}

static void get_samples(struct reader *reader, struct tide_record *into)
{
    uint64_t spread, runs;
    uint64_t bucket = 0;

    into->tally.sum_us = get(reader);
    into->tally.min_us = get(reader);
    spread = get(reader);
    check(reader, !__builtin_add_overflow(into->tally.min_us, spread, &into->tally.max_us));
    runs = get(reader);
    check(reader, runs > 0 && runs <= TIDE_HIST_BUCKETS);
    for (uint64_t i = 0; i < runs && !reader->bad; i++) {
        uint64_t gap = get(reader), count = get(reader);

        bucket += gap;
        check(reader, gap < TIDE_HIST_BUCKETS && bucket < TIDE_HIST_BUCKETS &&
                          (gap > 0 || i == 0) && count > 0);
        if (reader->bad)
            return;
        tide_hist_add(&into->hist, (unsigned)bucket, count);
        into->tally.samples = tide_add_sat(into->tally.samples, count);
    }
}

static void get_instance(struct reader *reader, struct tide_record *into, uint64_t *before,
                         bool first)
{
    struct tide_instance instance = {0};
    uint64_t bits;

    if (reader->bad || reader->end - reader->at < 8) {
        reader->bad = true;
        return;
    }
    instance.id = tide_get_be64(reader->at);
    reader->at += 8;
    check(reader, first || instance.id > *before);
    *before = instance.id;
    bits = get(reader);
    check(reader, bits < 1u << TIDE_GAUGE_COUNT);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT && !reader->bad; gauge++) {
        struct tide_gauge_state *state = &instance.gauge[gauge];

        if (!(bits & 1u << gauge))
            continue;
        state->count = get(reader);
        state->time_us = get_time(reader);
        state->last = get(reader);
        state->max = get(reader);
        state->sum = get(reader);
        check(reader, state->count > 0 && state->last <= state->max);
    }
    if (!reader->bad)
        tide_record_merge_instance(into, &instance);
}

static void get_slowest(struct reader *reader, struct tide_record *into)
{
    uint64_t us = get(reader), len = get(reader);

    check(reader, len > 0 && len <= TIDE_ID_MAX && len <= (uint64_t)(reader->end - reader->at));
    if (reader->bad)
        return;
    tide_record_merge_slowest(into, us, (const char *)reader->at, (uint32_t)len);
    reader->at += len;
}

/* before: the one read last, a len of 0 at first. */
static void get_custom(struct reader *reader, struct tide_record *into, struct tide_custom *before)
{
    struct tide_custom custom;
    uint64_t len = get(reader), spread, last = 0, low = 0, high = 0;
    unsigned __int128 above;

    check(reader,
          len > 0 && len <= TIDE_METRIC_NAME_MAX && len <= (uint64_t)(reader->end - reader->at));
    if (reader->bad)
        return;
    custom.len = (uint16_t)len;
    memcpy(custom.name, reader->at, len);
    reader->at += len;
    check(reader, before->len == 0 ||
                      tide_custom_order(before->name, before->len, custom.name, custom.len) < 0);
    custom.count = get(reader);
    custom.time_us = get_time(reader);
    custom.min = tide_unzigzag(get(reader));
    spread = get(reader);
    if (spread) {
        last = get(reader);
        low = get(reader);
        high = get(reader);
    }
    above = (unsigned __int128)high << 64 | low;
    check(reader, custom.count > 0 && custom.min > -TIDE_METRIC_UNITS &&
                      custom.min < TIDE_METRIC_UNITS &&
                      spread < (uint64_t)TIDE_METRIC_UNITS - (uint64_t)custom.min &&
                      last <= spread && above <= (unsigned __int128)spread * custom.count);
    if (reader->bad)
        return;
    custom.max = (int64_t)((uint64_t)custom.min + spread);
    custom.last = (int64_t)((uint64_t)custom.min + last);
    custom.sum = (__int128)((unsigned __int128)((__int128)custom.min * custom.count) + above);
    tide_customs_merge_one(&into->customs, &custom);
    before->len = custom.len;
    memcpy(before->name, custom.name, len);
}

static void get_customs(struct reader *reader, struct tide_record *into)
{
    struct tide_custom before = {.len = 0};
    uint64_t count = get(reader);

    check(reader, count > 0 && count <= TIDE_CUSTOMS_MAX + 1);
    for (uint64_t i = 0; i < count && !reader->bad; i++)
        get_custom(reader, into, &before);
    check(reader, count <= TIDE_CUSTOMS_MAX || /* the 65th is the overflow */
                      tide_custom_order(before.name, before.len, TIDE_CUSTOM_OVERFLOW,
                                        sizeof(TIDE_CUSTOM_OVERFLOW) - 1) == 0);
}

bool row_decode(const uint8_t **from, const uint8_t *end, struct tide_record *into, int64_t base_us)
{
    struct reader reader = {.at = *from, .end = end, .base_us = base_us};
    struct tide_tally *tally = &into->tally;
    uint64_t bits, kinds;

    tide_record_reset(into);
    bits = get(&reader);
    kinds = get(&reader);
    check(&reader, bits <= KNOWN_BITS && kinds < 1u << TIDE_EVENT_KIND_COUNT);
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        if (kinds & 1u << kind)
            tally->kind[kind] = get(&reader);
    if (bits & HAS_EVENTS) {
        tally->first_us = get_time(&reader);
        check(&reader, !__builtin_add_overflow(tally->first_us, get(&reader), &tally->last_us));
    }
    if (bits & HAS_REQUESTS) {
        tally->requests = get(&reader);
        tally->failed = get(&reader);
    }
    if (bits & HAS_ERRORS)
        tally->errors = get(&reader);
    if (bits & HAS_PLAIN)
        tally->plain_requests = get(&reader);
    if (bits & HAS_START)
        tally->start_us = get_time(&reader);
    if (bits & HAS_STOP)
        tally->stop_us = get_time(&reader);
    if (bits & HAS_HEALTH) {
        tally->health_us = get_time(&reader);
        tally->healthy = bits & IS_HEALTHY;
    }
    if (bits & HAS_SAMPLES)
        get_samples(&reader, into);
    if (bits & HAS_INSTANCES) {
        uint64_t count = get(&reader), before = 0;

        check(&reader, count > 0 && count <= TIDE_INSTANCES_MAX + 1);
        for (uint64_t i = 0; i < count && !reader.bad; i++)
            get_instance(&reader, into, &before, i == 0);
    }
    if (bits & HAS_SLOWEST)
        get_slowest(&reader, into);
    if (bits & HAS_CUSTOMS)
        get_customs(&reader, into);
    check(&reader, tally->failed <= tally->requests && tally->samples <= tally->requests);
    if (reader.bad) {
        tide_record_reset(into);
        return false;
    }
    *from = reader.at;
    return true;
}
