/* record - fold, merge, gather, and the figures derived from a record. See the door for the model.
 *
 * Ties are broken by value everywhere: the newest gauge sample, then the larger; the slowest
 * operation, then the larger id; of two self reports at one moment "unhealthy" stays. So every
 * combination is a maximum, a minimum or a sum.
 */
#include "tidemark/record.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "memory.h"

/* ---- the fixed part ---- */

void tide_tally_init(struct tide_tally *tally)
{
    *tally = (struct tide_tally){.min_us = UINT64_MAX, .first_us = INT64_MAX};
}

void tide_tally_hear(struct tide_tally *tally, int64_t time_us, bool healthy)
{
    if (time_us > tally->health_us) {
        tally->health_us = time_us;
        tally->healthy = healthy;
    } else if (time_us == tally->health_us && time_us != 0) {
        tally->healthy = tally->healthy && healthy;
    }
}

void tide_tally_rare(struct tide_tally *tally, const struct tide_event *ev, int64_t time_us)
{
    if (ev->error.len && ev->kind != TIDE_EVENT_ERROR)
        tally->errors += ev->weight;
    if (ev->kind == TIDE_EVENT_START && time_us > tally->start_us)
        tally->start_us = time_us;
    if (ev->kind == TIDE_EVENT_STOP && time_us > tally->stop_us)
        tally->stop_us = time_us;
    if (ev->kind == TIDE_EVENT_HEALTH && ev->has_healthy)
        tide_tally_hear(tally, time_us, ev->healthy);
}

void tide_tally_merge(struct tide_tally *into, const struct tide_tally *from)
{
    into->requests += from->requests;
    into->failed += from->failed;
    into->errors += from->errors;
    into->plain_requests += from->plain_requests;
    for (int i = 0; i < TIDE_EVENT_KIND_COUNT; i++)
        into->kind[i] += from->kind[i];
    into->samples += from->samples;
    into->sum_us = tide_add_sat(into->sum_us, from->sum_us);
    if (from->min_us < into->min_us)
        into->min_us = from->min_us;
    if (from->max_us > into->max_us)
        into->max_us = from->max_us;
    if (from->first_us < into->first_us)
        into->first_us = from->first_us;
    if (from->last_us > into->last_us)
        into->last_us = from->last_us;
    if (from->start_us > into->start_us)
        into->start_us = from->start_us;
    if (from->stop_us > into->stop_us)
        into->stop_us = from->stop_us;
    tide_tally_hear(into, from->health_us, from->healthy);
}

bool tide_tally_stopped(const struct tide_tally *tally)
{
    return tally->stop_us != 0 && tally->stop_us >= tally->last_us &&
           tally->start_us < tally->stop_us;
}

/* ---- the slowest operation ---- */

bool tide_slowest_beats(uint64_t candidate_us, const char *candidate_id, uint32_t candidate_len,
                        uint64_t held_us, const char *held_id, uint32_t held_len)
{
    uint32_t shared = candidate_len < held_len ? candidate_len : held_len;
    int order;

    if (candidate_len == 0 || held_len == 0)
        return candidate_len != 0;
    if (candidate_us != held_us)
        return candidate_us > held_us;
    order = memcmp(candidate_id, held_id, shared);
    return order ? order > 0 : candidate_len > held_len;
}

void tide_record_merge_slowest(struct tide_record *into, uint64_t us, const char *id, uint32_t len)
{
    assert(len <= TIDE_ID_MAX);
    if (!tide_slowest_beats(us, id, len, into->slowest.us, into->slowest.id, into->slowest.len))
        return;
    into->slowest.us = us;
    into->slowest.len = (uint16_t)len;
    memcpy(into->slowest.id, id, len);
}

/* ---- instances ---- */

static void merge_gauges(struct tide_instance *into, const struct tide_instance *from)
{
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        tide_gauge_merge(&into->gauge[gauge], &from->gauge[gauge]);
}

unsigned tide_record_instance_place(const struct tide_record *record, uint64_t id)
{
    unsigned low = 0, high = record->instances;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (record->instance[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_overflow(const struct tide_record *record)
{
    return record->instances &&
           record->instance[record->instances - 1].id == TIDE_INSTANCE_OVERFLOW;
}

static struct tide_instance *insert_instance(struct tide_record *record, unsigned at, uint64_t id)
{
    if (record->instances == record->instance_capacity) {
        unsigned capacity = record->instance_capacity ? record->instance_capacity * 2u : 1;

        record->instance =
            tide_must_realloc(record->instance, capacity * sizeof(*record->instance));
        record->instance_capacity = (uint16_t)capacity;
    }
    memmove(record->instance + at + 1, record->instance + at,
            (record->instances - at) * sizeof(*record->instance));
    record->instances++;
    record->instance[at] = (struct tide_instance){.id = id};
    return &record->instance[at];
}

/* The 64 smallest ids have a place of their own, the merge of all others is the overflow instance:
 * which ids those are depends on the set alone, not on the order in which they came. */
void tide_record_merge_instance(struct tide_record *into, const struct tide_instance *from)
{
    unsigned at = tide_record_instance_place(into, from->id), own;
    struct tide_instance last;

    if (at < into->instances && into->instance[at].id == from->id) {
        merge_gauges(&into->instance[at], from);
        return;
    }
    merge_gauges(insert_instance(into, at, from->id), from);
    own = into->instances - has_overflow(into);
    if (own <= TIDE_INSTANCES_MAX)
        return;
    last = into->instance[own - 1];
    memmove(into->instance + own - 1, into->instance + own,
            (into->instances - own) * sizeof(*into->instance));
    into->instances--;
    last.id = TIDE_INSTANCE_OVERFLOW;
    if (has_overflow(into))
        merge_gauges(&into->instance[into->instances - 1], &last);
    else
        merge_gauges(insert_instance(into, into->instances, last.id), &last);
}

struct tide_gauge_state tide_record_gauge(const struct tide_record *record, enum tide_gauge gauge)
{
    struct tide_gauge_state sum = {0};

    for (unsigned i = 0; i < record->instances; i++)
        tide_gauge_gather(gauge, &sum, &record->instance[i].gauge[gauge]);
    return sum;
}

/* ---- whole records ---- */

void tide_record_init(struct tide_record *record)
{
    memset(record, 0, offsetof(struct tide_record, slowest.id));
    tide_tally_init(&record->tally);
}

void tide_record_fini(struct tide_record *record)
{
    tide_hist_fini(&record->hist);
    free(record->instance);
    record->instance = NULL;
    record->instances = 0;
    record->instance_capacity = 0;
    tide_customs_fini(&record->customs);
}

void tide_record_reset(struct tide_record *record)
{
    tide_tally_init(&record->tally);
    tide_hist_reset(&record->hist);
    record->instances = 0;
    record->customs.count = 0;
    record->slowest.us = 0;
    record->slowest.len = 0;
}

static void copy_slowest(struct tide_slowest *into, const struct tide_slowest *from)
{
    into->us = from->us;
    into->len = from->len;
    memcpy(into->id, from->id, from->len);
}

void tide_record_copy(struct tide_record *into, const struct tide_record *from)
{
    into->tally = from->tally;
    tide_hist_copy(&into->hist, &from->hist);
    if (from->instances > into->instance_capacity) {
        into->instance =
            tide_must_realloc(into->instance, from->instances * sizeof(*into->instance));
        into->instance_capacity = from->instances;
    }
    if (from->instances)
        memcpy(into->instance, from->instance, from->instances * sizeof(*into->instance));
    into->instances = from->instances;
    tide_customs_copy(&into->customs, &from->customs);
    copy_slowest(&into->slowest, &from->slowest);
}

void tide_record_fold(struct tide_record *record, const struct tide_event *ev, int64_t time_us,
                      uint64_t instance_id)
{
    tide_tally_fold(&record->tally, ev, time_us);
    if (ev->has_duration && tide_event_is_operation(ev)) {
        tide_hist_add(&record->hist, tide_hist_bucket(ev->duration_us), ev->weight);
        if (ev->correlation.len)
            tide_record_merge_slowest(record, (uint64_t)(ev->duration_us + 0.5),
                                      ev->correlation.start, ev->correlation.len);
    }
    if (ev->gauges) {
        struct tide_instance instance = {.id = instance_id};

        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            if (ev->gauges & 1u << gauge)
                tide_gauge_fold(&instance.gauge[gauge], time_us, (uint64_t)ev->gauge[gauge],
                                ev->weight);
        tide_record_merge_instance(record, &instance);
    }
    if (ev->metric.len)
        tide_customs_fold(&record->customs, ev->metric.start, ev->metric.len, ev->value, time_us,
                          ev->weight);
}

void tide_record_merge(struct tide_record *into, const struct tide_record *from)
{
    tide_tally_merge(&into->tally, &from->tally);
    tide_hist_merge(&into->hist, &from->hist);
    for (unsigned i = 0; i < from->instances; i++)
        tide_record_merge_instance(into, &from->instance[i]);
    tide_customs_merge(&into->customs, &from->customs);
    tide_record_merge_slowest(into, from->slowest.us, from->slowest.id, from->slowest.len);
}

/* The one instance of a gathered record. */
static struct tide_instance *gathered(struct tide_record *into)
{
    if (into->instances == 0)
        insert_instance(into, 0, 0);
    assert(into->instances == 1 && into->instance[0].id == 0);
    return &into->instance[0];
}

void tide_record_gather_gauges(struct tide_record *into, const struct tide_record *from)
{
    struct tide_instance *sum;

    if (from->instances == 0)
        return;
    sum = gathered(into);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
        struct tide_gauge_state one = tide_record_gauge(from, (enum tide_gauge)gauge);

        tide_gauge_gather((enum tide_gauge)gauge, &sum->gauge[gauge], &one);
    }
}

void tide_record_regather_gauges(struct tide_record *into, const struct tide_record *before,
                                 const struct tide_record *after)
{
    if (after->instances == 0)
        return;
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        enum tide_gauge gauge = (enum tide_gauge)g;
        struct tide_gauge_state old = tide_record_gauge(before, gauge),
                                new = tide_record_gauge(after, gauge);

        tide_gauge_regather(gauge, &gathered(into)->gauge[g], &old, &new);
    }
}

void tide_record_remerge_gauges(struct tide_record *into, const struct tide_record *before,
                                const struct tide_record *after)
{
    static const struct tide_instance none;

    if (after->instances == 0)
        return;
    assert(after->instances == 1 && before->instances <= 1);
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
        tide_gauge_remerge(&gathered(into)->gauge[g],
                           before->instances ? &before->instance[0].gauge[g] : &none.gauge[g],
                           &after->instance[0].gauge[g]);
}

void tide_record_gather(struct tide_record *into, const struct tide_record *from)
{
    tide_tally_merge(&into->tally, &from->tally);
    tide_hist_merge(&into->hist, &from->hist);
    tide_record_merge_slowest(into, from->slowest.us, from->slowest.id, from->slowest.len);
    tide_record_gather_gauges(into, from);
}

static bool tally_equal(const struct tide_tally *a, const struct tide_tally *b)
{
    return a->requests == b->requests && a->failed == b->failed && a->errors == b->errors &&
           a->plain_requests == b->plain_requests &&
           memcmp(a->kind, b->kind, sizeof(a->kind)) == 0 && a->samples == b->samples &&
           a->sum_us == b->sum_us && a->min_us == b->min_us && a->max_us == b->max_us &&
           a->first_us == b->first_us && a->last_us == b->last_us && a->start_us == b->start_us &&
           a->stop_us == b->stop_us && a->health_us == b->health_us && a->healthy == b->healthy;
}

static bool gauge_equal(const struct tide_gauge_state *a, const struct tide_gauge_state *b)
{
    return a->count == b->count && a->time_us == b->time_us && a->last == b->last &&
           a->max == b->max && a->sum == b->sum;
}

bool tide_record_equal(const struct tide_record *a, const struct tide_record *b)
{
    if (!tally_equal(&a->tally, &b->tally) || !tide_hist_equal(&a->hist, &b->hist) ||
        !tide_customs_equal(&a->customs, &b->customs) || a->instances != b->instances ||
        a->slowest.us != b->slowest.us || a->slowest.len != b->slowest.len ||
        memcmp(a->slowest.id, b->slowest.id, a->slowest.len) != 0)
        return false;
    for (unsigned i = 0; i < a->instances; i++) {
        if (a->instance[i].id != b->instance[i].id)
            return false;
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            if (!gauge_equal(&a->instance[i].gauge[gauge], &b->instance[i].gauge[gauge]))
                return false;
    }
    return true;
}

bool tide_record_empty(const struct tide_record *record)
{
    return record->tally.first_us == INT64_MAX;
}

/* ---- derived figures ---- */

double tide_record_mean_us(const struct tide_record *record)
{
    if (record->tally.samples == 0)
        return NAN;
    return (double)record->tally.sum_us / (double)record->tally.samples;
}

void tide_record_quantiles_us(const struct tide_record *record, const double *q, size_t count,
                              double *ret_us)
{
    tide_hist_quantiles_us(&record->hist, q, count, record->tally.min_us, record->tally.max_us,
                           ret_us);
}

double tide_record_quantile_us(const struct tide_record *record, double q)
{
    return tide_hist_quantile_us(&record->hist, q, record->tally.min_us, record->tally.max_us);
}

double tide_record_error_rate(const struct tide_record *record)
{
    if (record->tally.requests == 0)
        return NAN;
    return (double)record->tally.failed / (double)record->tally.requests;
}

uint64_t tide_record_responses(const struct tide_record *record)
{
    return record->tally.kind[TIDE_EVENT_RESPONSE];
}

uint64_t tide_record_in_flight(const struct tide_record *record)
{
    uint64_t responses = tide_record_responses(record);

    return record->tally.plain_requests > responses ? record->tally.plain_requests - responses : 0;
}
