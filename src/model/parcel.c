/* parcel - filling one chunk's deltas. See the door for the model.
 *
 * A delta is found by hash over (module name, interval) in an open-addressing table of indices; a
 * reset clears only the slots that were used. The texts of a delta (slowest id, last error) have a
 * fixed place in the arena from their first use on, so that a chunk of a million errors does not
 * grow it.
 */
#include "tidemark/parcel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/tier.h"
#include "memory.h"

/* What a parcel may keep when it is reset; above it everything is given back. */
#define KEEP_BYTES (256u << 10)

/* Beyond TIDE_PARCEL_DELTAS there is room for this many intervals of __overflow__; past that its
 * events are booked in the newest one. */
#define OVERFLOW_DELTAS 1024u

#define SLOTS_MIN 32u

void tide_parcel_init(struct tide_parcel *parcel)
{
    memset(parcel, 0, offsetof(struct tide_parcel, chunk));
}

void tide_parcel_fini(struct tide_parcel *parcel)
{
    free(parcel->delta);
    free(parcel->instance);
    free(parcel->sample);
    free(parcel->text);
    free(parcel->slot);
    tide_parcel_init(parcel);
}

size_t tide_parcel_memory(const struct tide_parcel *parcel)
{
    return sizeof(*parcel) + parcel->delta_capacity * sizeof(*parcel->delta) +
           parcel->instance_capacity * sizeof(*parcel->instance) +
           parcel->sample_capacity * sizeof(*parcel->sample) + parcel->text_capacity +
           parcel->slots * sizeof(*parcel->slot);
}

static void drop_deltas(struct tide_parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->deltas; i++)
        parcel->slot[parcel->delta[i].slot] = 0;
    parcel->deltas = 0;
    parcel->instances = 0;
    parcel->samples = 0;
    parcel->text_len = 0;
    parcel->overflow = 0;
}

void tide_parcel_reset(struct tide_parcel *parcel)
{
    if (tide_parcel_memory(parcel) > KEEP_BYTES) {
        tide_parcel_fini(parcel);
        return;
    }
    drop_deltas(parcel);
    parcel->next = NULL;
    parcel->books = (struct tide_ledger){0};
    parcel->has_identity = false;
    parcel->fate = TIDE_FATE_OPEN;
    parcel->home = NULL;
    parcel->owner = 0;
    parcel->chunk_len = 0;
}

bool tide_parcel_empty(const struct tide_parcel *parcel)
{
    return parcel->books.received == 0 && !parcel->has_identity && parcel->chunk_len == 0 &&
           tide_ledger_chunks_rejected(&parcel->books) == 0;
}

bool tide_parcel_full(const struct tide_parcel *parcel)
{
    return parcel->deltas >= TIDE_PARCEL_DELTAS;
}

/* ---- finding a delta ---- */

static uint32_t slot_hash(uint64_t name_hash, int64_t start_s)
{
    uint64_t mixed = (name_hash ^ (uint64_t)start_s) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t)(mixed >> 32);
}

static void grow_slots(struct tide_parcel *parcel)
{
    uint32_t slots = parcel->slots ? parcel->slots * 2 : SLOTS_MIN;

    parcel->slot = tide_must_realloc(parcel->slot, slots * sizeof(*parcel->slot));
    memset(parcel->slot, 0, slots * sizeof(*parcel->slot));
    parcel->slots = slots;
    for (uint32_t i = 0; i < parcel->deltas; i++) {
        struct tide_delta *delta = &parcel->delta[i];
        uint32_t at = slot_hash(delta->name_hash, delta->start_s) & (slots - 1);

        while (parcel->slot[at])
            at = (at + 1) & (slots - 1);
        parcel->slot[at] = i + 1;
        delta->slot = at;
    }
}

static uint32_t reserve_text(struct tide_parcel *parcel, uint32_t len)
{
    uint32_t at = parcel->text_len;

    parcel->text = tide_must_grow(parcel->text, &parcel->text_capacity, at + len, 1);
    parcel->text_len = at + len;
    return at;
}

static inline bool is_delta_of(const struct tide_parcel *parcel, const struct tide_delta *delta,
                               uint64_t name_hash, int64_t start_s, const struct tide_text *name)
{
    return delta->name_hash == name_hash && delta->start_s == start_s &&
           delta->name_len == name->len &&
           memcmp(parcel->text + delta->name_at, name->start, name->len) == 0;
}

/* Finds or makes the delta of (name, interval); NULL when it would be one too many. */
static struct tide_delta *delta_of(struct tide_parcel *parcel, uint64_t name_hash,
                                   const struct tide_text *name, int64_t start_s, uint32_t limit)
{
    struct tide_delta *delta;
    uint32_t at;

    if (parcel->slots < 2 * (parcel->deltas + 1))
        grow_slots(parcel);
    at = slot_hash(name_hash, start_s) & (parcel->slots - 1);
    while (parcel->slot[at]) {
        delta = &parcel->delta[parcel->slot[at] - 1];
        if (is_delta_of(parcel, delta, name_hash, start_s, name))
            return delta;
        at = (at + 1) & (parcel->slots - 1);
    }
    if (parcel->deltas >= limit)
        return NULL;
    parcel->delta =
        tide_must_grow(parcel->delta, &parcel->delta_capacity, parcel->deltas + 1, sizeof(*delta));
    delta = &parcel->delta[parcel->deltas++];
    parcel->slot[at] = parcel->deltas;
    memset(delta, 0, sizeof(*delta));
    tide_tally_init(&delta->tally);
    delta->slot = at;
    delta->name_hash = name_hash;
    delta->start_s = start_s;
    delta->name_len = (uint16_t)name->len;
    delta->name_at = reserve_text(parcel, name->len);
    memcpy(parcel->text + delta->name_at, name->start, name->len);
    return delta;
}

static struct tide_delta *overflow_of(struct tide_parcel *parcel,
                                      const struct tide_fold_rules *rules, int64_t start_s)
{
    static const struct tide_text name = {TIDE_OVERFLOW_MODULE, sizeof(TIDE_OVERFLOW_MODULE) - 1};
    uint64_t hash = tide_hash64(rules->name_seed, name.start, name.len);
    struct tide_delta *delta =
        delta_of(parcel, hash, &name, start_s, TIDE_PARCEL_DELTAS + OVERFLOW_DELTAS);

    if (!delta)
        return &parcel->delta[parcel->overflow - 1];
    parcel->overflow = (uint32_t)(delta - parcel->delta) + 1;
    return delta;
}

/* ---- what a delta keeps beside its tally ---- */

static void note_gauges(struct tide_parcel *parcel, struct tide_delta *delta,
                        const struct tide_fold_rules *rules, const struct tide_event *ev,
                        int64_t time_us)
{
    uint64_t id = 0;
    uint32_t at;

    if (ev->instance.len) {
        id = tide_hash64(rules->instance_seed, ev->instance.start, ev->instance.len);
        id = id == TIDE_INSTANCE_OVERFLOW || id == 0 ? 1 : id;
    }
    for (at = delta->instance; at; at = parcel->instance[at - 1].next)
        if (parcel->instance[at - 1].of.id == id)
            break;
    if (!at) {
        parcel->instance = tide_must_grow(parcel->instance, &parcel->instance_capacity,
                                          parcel->instances + 1, sizeof(*parcel->instance));
        at = ++parcel->instances;
        parcel->instance[at - 1] =
            (struct tide_delta_instance){.of.id = id, .next = delta->instance};
        delta->instance = at;
    }
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (ev->gauges & 1u << gauge)
            tide_gauge_fold(&parcel->instance[at - 1].of.gauge[gauge], time_us,
                            (uint64_t)ev->gauge[gauge], ev->weight);
}

static void note_sample(struct tide_parcel *parcel, struct tide_delta *delta,
                        const struct tide_event *ev)
{
    parcel->sample = tide_must_grow(parcel->sample, &parcel->sample_capacity, parcel->samples + 1,
                                    sizeof(*parcel->sample));
    parcel->sample[parcel->samples++] =
        (struct tide_sample){.delta = (uint32_t)(delta - parcel->delta),
                             .bucket = (uint16_t)tide_hist_bucket(ev->duration_us),
                             .count = ev->weight};
}

static void note_slowest(struct tide_parcel *parcel, struct tide_delta *delta,
                         const struct tide_event *ev)
{
    uint64_t us = (uint64_t)(ev->duration_us + 0.5);
    uint32_t len = ev->correlation.len > TIDE_ID_MAX ? TIDE_ID_MAX : ev->correlation.len;

    if (!tide_slowest_beats(us, ev->correlation.start, len, delta->slowest_us,
                            parcel->text + delta->slowest_at, delta->slowest_len))
        return;
    if (delta->slowest_len == 0)
        delta->slowest_at = reserve_text(parcel, TIDE_ID_MAX);
    delta->slowest_us = us;
    delta->slowest_len = (uint16_t)len;
    memcpy(parcel->text + delta->slowest_at, ev->correlation.start, len);
}

/* The newest error's text stays; of two at one moment the larger. */
static void note_error(struct tide_parcel *parcel, struct tide_delta *delta,
                       const struct tide_event *ev, int64_t time_us)
{
    uint32_t len = ev->error.len > TIDE_ERROR_TEXT_MAX ? TIDE_ERROR_TEXT_MAX : ev->error.len;

    if (delta->error_len) {
        if (time_us < delta->error_us)
            return;
        if (time_us == delta->error_us &&
            !tide_slowest_beats(0, ev->error.start, len, 0, parcel->text + delta->error_at,
                                delta->error_len))
            return;
    } else {
        delta->error_at = reserve_text(parcel, TIDE_ERROR_TEXT_MAX);
    }
    delta->error_us = time_us;
    delta->error_len = (uint16_t)len;
    memcpy(parcel->text + delta->error_at, ev->error.start, len);
}

/* ---- the door ---- */

void tide_parcel_fold(struct tide_parcel *parcel, const struct tide_fold_rules *rules,
                      const struct tide_event *ev, int64_t arrival_us)
{
    int64_t time_us = ev->time_us ? ev->time_us : arrival_us, start_s;
    struct tide_delta *delta;
    uint64_t hash;

    assert(ev->module.len > 0 && ev->module.len <= TIDE_MODULE_NAME_MAX && arrival_us > 0);
    parcel->books.received++;
    if (time_us < arrival_us - rules->lateness_s * 1000000) {
        parcel->books.late++;
        return;
    }
    if (time_us > arrival_us + rules->future_s * 1000000) {
        parcel->books.skewed++;
        time_us = arrival_us;
    }
    parcel->books.stored++;
    start_s = tide_floor_s(time_us / 1000000, rules->interval_s);
    hash = tide_hash64(rules->name_seed, ev->module.start, ev->module.len);
    delta = delta_of(parcel, hash, &ev->module, start_s, TIDE_PARCEL_DELTAS);
    if (!delta)
        delta = overflow_of(parcel, rules, start_s);
    delta->entries++;
    tide_tally_fold(&delta->tally, ev, time_us);
    if (ev->has_duration && tide_event_is_operation(ev)) {
        note_sample(parcel, delta, ev);
        if (ev->correlation.len)
            note_slowest(parcel, delta, ev);
    }
    if (ev->gauges)
        note_gauges(parcel, delta, rules, ev, time_us);
    if (ev->error.len)
        note_error(parcel, delta, ev, time_us);
}

void tide_parcel_reject(struct tide_parcel *parcel, enum tide_entry_reason reason)
{
    assert(reason < TIDE_ENTRY_REASON_COUNT);
    parcel->books.received++;
    parcel->books.rejected[reason]++;
}

void tide_parcel_reject_chunk(struct tide_parcel *parcel, enum tide_chunk_reason reason)
{
    assert(reason < TIDE_CHUNK_REASON_COUNT);
    drop_deltas(parcel);
    parcel->books = (struct tide_ledger){0};
    parcel->books.chunks_rejected[reason] = 1;
}
