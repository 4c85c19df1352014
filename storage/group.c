/* group - see group.h.
 *
 * Facts are read in order and folded into deltas that stay in the cache; a subject remembers the
 * delta it went to last, so most events find theirs without a look-up. Histogram samples of all
 * deltas go into one array of (delta, bucket, count) that is sorted once: the sorted runs are at
 * the same time the journal's bytes and the increments of the head, and no delta needs a histogram
 * of its own.
 */
#include "group.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/hash.h"
#include "tidemark/tier.h"

#define BUCKET_BITS     11
#define OVERFLOW_DELTAS 1024u /* intervals of __overflow__ that one chunk may open besides */
#define CUSTOMS_KEPT    1024u /* sets of custom metrics whose memory outlives the group */
#define CHAIN_MAX       (2 * TIDE_INSTANCES_MAX) /* instances of a delta before they are merged */
static_assert(TIDE_HIST_BUCKETS <= 1 << BUCKET_BITS, "a bucket fits its bits");

static void *room(void *held, uint32_t *capacity, uint32_t need, size_t size)
{
    uint32_t wanted = *capacity ? *capacity : 64;

    if (need <= *capacity)
        return held;
    while (wanted < need)
        wanted *= 2;
    held = realloc(held, wanted * size);
    if (!held) {
        fprintf(stderr, "tidemark: out of memory: %zu bytes for a commit\n", wanted * size);
        abort();
    }
    *capacity = wanted;
    return held;
}

void group_init(struct group *group)
{
    memset(group, 0, sizeof(*group));
    tide_random(&group->seed, sizeof(group->seed));
    group->seed |= 1; /* odd: no two keys become one */
    tide_record_init(&group->scratch);
}

void group_fini(struct group *group)
{
    free(group->delta);
    free(group->slot);
    free(group->sample);
    free(group->sorting);
    free(group->run);
    free(group->gauges);
    free(group->fresh);
    free(group->instance);
    for (uint32_t i = 0; i < group->customs_made; i++)
        tide_customs_fini(&group->customs[i]);
    free(group->customs);
    tide_record_fini(&group->scratch);
    memset(group, 0, sizeof(*group));
}

/* ---- finding a delta ---- */

/* Senders choose the names and, by their events' times, the intervals: without the seed they could
 * choose those that share a slot. */
static uint32_t slot_hash(const struct group *group, uint32_t module, int64_t start_s)
{
    uint64_t mixed = ((uint64_t)module << 40 ^ (uint64_t)start_s) * group->seed;

    mixed = (mixed ^ mixed >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32);
}

static void place_all(struct group *group)
{
    memset(group->slot, 0, group->slots * sizeof(*group->slot));
    for (uint32_t i = 0; i < group->deltas; i++) {
        uint32_t at =
            slot_hash(group, group->delta[i].module, group->delta[i].start_s) & (group->slots - 1);

        while (group->slot[at])
            at = (at + 1) & (group->slots - 1);
        group->slot[at] = i + 1;
    }
}

/* The delta of (module, interval), or NULL. *ret_slot: where it would go. */
static struct group_delta *find_delta(struct group *group, uint32_t module, int64_t start_s,
                                      uint32_t *ret_slot)
{
    uint32_t at;

    if (group->slots < 2 * (group->deltas + 1)) {
        group->slot = room(group->slot, &group->slots, group->slots ? group->slots * 2 : 64,
                           sizeof(*group->slot));
        place_all(group);
    }
    for (at = slot_hash(group, module, start_s) & (group->slots - 1); group->slot[at];
         at = (at + 1) & (group->slots - 1)) {
        struct group_delta *delta = &group->delta[group->slot[at] - 1];

        if (delta->module == module && delta->start_s == start_s)
            return delta;
    }
    *ret_slot = at;
    return NULL;
}

static struct group_delta *add_delta(struct group *group, uint32_t module, int64_t start_s,
                                     uint32_t slot, const struct group_rules *rules)
{
    struct group_delta *delta;

    group->delta = room(group->delta, &group->delta_capacity, group->deltas + 1, sizeof(*delta));
    delta = &group->delta[group->deltas++];
    group->slot[slot] = group->deltas;
    *delta = (struct group_delta){
        .module = module, .start_s = start_s, .late = start_s < rules->sealed_upto_s};
    tide_tally_init(&delta->tally);
    if (start_s > group->newest_start_s)
        group->newest_start_s = start_s;
    return delta;
}

/* ---- one parcel ---- */

static uint32_t module_of(struct group *group, const struct group_rules *rules,
                          struct modules *modules, struct tide_subject *subject)
{
    const char *name = subject->name;
    uint32_t len = subject->len, id = subject->module;

    if (id)
        return id;
    id = modules_find(modules, name, len);
    if (!id && modules_count(modules) >= rules->max_modules) {
        name = TIDE_OVERFLOW_MODULE;
        len = sizeof(TIDE_OVERFLOW_MODULE) - 1;
        id = modules_find(modules, name, len);
    }
    if (!id)
        id = modules_add(modules, name, len);
    group->fresh =
        room(group->fresh, &group->fresh_capacity, group->freshes + 1, sizeof(*group->fresh));
    group->fresh[group->freshes++] = subject;
    subject->module = id;
    return id;
}

/* Where the events of a chunk go that has opened too many module-intervals: __overflow__ in their
 * interval; when even those are too many, the newest of them. */
static struct group_delta *overflow_delta(struct group *group, const struct group_rules *rules,
                                          struct modules *modules, int64_t start_s,
                                          uint32_t deltas_before)
{
    static const char name[] = TIDE_OVERFLOW_MODULE;
    uint32_t module = modules_find(modules, name, sizeof(name) - 1), slot;
    struct group_delta *delta;

    if (!module)
        module = modules_add(modules, name, sizeof(name) - 1);
    delta = find_delta(group, module, start_s, &slot);
    if (!delta && group->deltas - deltas_before >= TIDE_PARCEL_DELTAS + OVERFLOW_DELTAS)
        delta = &group->delta[group->overflow];
    if (!delta)
        delta = add_delta(group, module, start_s, slot, rules);
    group->overflow = (uint32_t)(delta - group->delta);
    return delta;
}

/* Too old to be stored. */
static bool is_late(int64_t start_s, const struct group_rules *rules)
{
    return (start_s + rules->interval_s) * 1000000 <= rules->now_us - rules->lateness_s * 1000000;
}

/* As delta_of_fact, for a subject that did not go to this delta last. */
static __attribute__((noinline)) struct group_delta *
seek_delta(struct group *group, struct tide_subject *subject, int64_t time_us,
           const struct group_rules *rules, struct modules *modules, uint32_t deltas_before)
{
    struct group_delta *delta;
    uint32_t module, slot;
    int64_t start_s = tide_floor_s(time_us / 1000000, rules->interval_s);

    if (is_late(start_s, rules))
        return NULL;
    module = module_of(group, rules, modules, subject);
    delta = find_delta(group, module, start_s, &slot);
    if (!delta) {
        if (group->deltas - deltas_before >= TIDE_PARCEL_DELTAS)
            return overflow_delta(group, rules, modules, start_s, deltas_before);
        delta = add_delta(group, module, start_s, slot, rules);
    }
    subject->group = group->serial;
    subject->delta = (uint32_t)(delta - group->delta);
    subject->from_us = start_s * 1000000;
    subject->to_us = subject->from_us + (int64_t)rules->interval_s * 1000000;
    return delta;
}

/* The delta of a fact; deltas_before: how many there were before its parcel. NULL: its interval is
 * late. */
static inline struct group_delta *delta_of_fact(struct group *group, struct tide_subject *subject,
                                                int64_t time_us, const struct group_rules *rules,
                                                struct modules *modules, uint32_t deltas_before)
{
    if (subject->group == group->serial && time_us >= subject->from_us && time_us < subject->to_us)
        return &group->delta[subject->delta];
    return seek_delta(group, subject, time_us, rules, modules, deltas_before);
}

static uint32_t take_gauges(struct group *group)
{
    uint32_t at = group->gauges_free;

    if (at) {
        group->gauges_free = group->gauges[at - 1].next;
        return at;
    }
    group->gauges =
        room(group->gauges, &group->gauge_capacity, group->gauge_sets + 1, sizeof(*group->gauges));
    return ++group->gauge_sets;
}

/* Merges a chain that grew long down to the instances a record keeps, so that a chunk of a million
 * instance ids is neither slow nor large. */
static void shorten_chain(struct group *group, struct group_delta *delta)
{
    uint32_t at = delta->instance_at, next;

    tide_record_reset(&group->scratch);
    tide_record_merge_instance(&group->scratch, &delta->first);
    for (; at; at = next) {
        next = group->gauges[at - 1].next;
        tide_record_merge_instance(&group->scratch, &group->gauges[at - 1].of);
        group->gauges[at - 1].next = group->gauges_free;
        group->gauges_free = at;
    }
    delta->instance_at = 0;
    delta->instances = group->scratch.instances;
    delta->first = group->scratch.instance[0];
    for (uint32_t i = 1; i < delta->instances; i++) {
        at = take_gauges(group);
        group->gauges[at - 1] =
            (struct group_gauges){.of = group->scratch.instance[i], .next = delta->instance_at};
        delta->instance_at = at;
    }
}

/* The gauges of an instance of a delta that is not its first. */
static __attribute__((noinline)) struct tide_instance *
seek_instance(struct group *group, struct group_delta *delta, uint64_t instance)
{
    uint32_t at;

    for (at = delta->instance_at; at; at = group->gauges[at - 1].next)
        if (group->gauges[at - 1].of.id == instance)
            return &group->gauges[at - 1].of;
    if (delta->instances >= CHAIN_MAX)
        shorten_chain(group, delta);
    at = take_gauges(group);
    group->gauges[at - 1] = (struct group_gauges){.of.id = instance, .next = delta->instance_at};
    delta->instance_at = at;
    delta->instances++;
    return &group->gauges[at - 1].of;
}

static inline struct tide_instance *instance_of(struct group *group, struct group_delta *delta,
                                                uint64_t instance)
{
    if (delta->instances == 0) {
        delta->instances = 1;
        delta->first.id = instance;
    }
    return delta->first.id == instance ? &delta->first : seek_instance(group, delta, instance);
}

static void fold_metric(struct group *group, struct group_delta *delta,
                        const struct tide_fact *fact)
{
    const struct tide_event *ev = &fact->ev;

    if (!delta->customs) {
        group->customs = room(group->customs, &group->customs_capacity, group->custom_sets + 1,
                              sizeof(*group->customs));
        if (group->custom_sets == group->customs_made)
            group->customs[group->customs_made++] = (struct tide_customs){0};
        group->customs[group->custom_sets].count = 0;
        delta->customs = ++group->custom_sets;
    }
    tide_customs_fold(&group->customs[delta->customs - 1], ev->metric.start, ev->metric.len,
                      ev->value, fact->time_us, ev->weight);
}

/* The newest error's text stays; of two at one moment the larger. */
static void keep_error(struct group_delta *delta, const struct tide_fact *fact)
{
    const struct tide_text *error = &fact->ev.error;

    if (delta->error_len &&
        (fact->time_us < delta->error_us ||
         (fact->time_us == delta->error_us &&
          !tide_slowest_beats(0, error->start, error->len, 0, delta->error, delta->error_len))))
        return;
    delta->error_us = fact->time_us;
    delta->error = error->start;
    delta->error_len = error->len;
}

/* A duration that may be the delta's slowest: it is not shorter than the slowest so far. */
static __attribute__((noinline)) void keep_slowest(struct group_delta *delta, uint64_t us,
                                                   const char *id, uint32_t len)
{
    if (tide_slowest_beats(us, id, len, delta->slowest_us, delta->slowest, delta->slowest_len)) {
        delta->slowest_us = us;
        delta->slowest = id;
        delta->slowest_len = len;
    }
}

/* An event whose id was counted before. One that is too late to be stored leaves no id behind. */
static bool is_resent(struct group *group, const struct tide_fact *fact,
                      const struct group_rules *rules, struct identity_set *event_ids)
{
    if (is_late(tide_floor_s(fact->time_us / 1000000, rules->interval_s), rules))
        return false;
    if (!identity_add(event_ids, fact->event_id, (uint32_t)(rules->now_us / 1000000)))
        return true;
    group->event_ids++;
    return false;
}

/* What every fact has: counts, duration, gauges, correlation id. It goes without branches on what
 * differs from one fact to the next: a sample is written in any case, and stays when there was one.
 */
static inline void fold_usual(struct group *group, struct group_delta *delta, const uint64_t *word,
                              uint64_t **sample)
{
    uint32_t bits = (uint32_t)word[2], weight = (uint32_t)(word[2] >> 32);
    uint32_t gauges = bits >> TIDE_FACT_GAUGES_SHIFT & 0xff;
    uint32_t id_len = bits >> TIDE_FACT_CORRELATION_SHIFT;
    bool operation = bits & TIDE_FACT_OPERATION;
    bool timed = operation & !!(bits & TIDE_FACT_DURATION);
    int64_t time_us = tide_fact_time_us(word);
    double duration_us;
    uint64_t us, key;

    memcpy(&duration_us, word + 3, sizeof(double));
    us = (uint64_t)(int64_t)(duration_us + 0.5) & -(uint64_t)timed;
    tide_tally_count(&delta->tally, bits & TIDE_FACT_KIND, weight, operation,
                     bits & TIDE_FACT_SUCCESS, timed, us, time_us);
    key = (uint64_t)(delta - group->delta) << BUCKET_BITS | tide_hist_bucket(duration_us);
    **sample = key << 32 | weight;
    *sample += timed;

    word += TIDE_FACT_HEAD + (bits & TIDE_FACT_EVENT_ID ? 2 : 0);
    if (gauges) {
        uint64_t id = bits & TIDE_FACT_INSTANCE ? *word++ : 0;
        struct tide_gauge_state *state = instance_of(group, delta, id)->gauge;

        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            if (gauges & 1u << gauge)
                tide_gauge_fold(&state[gauge], time_us, *word++, weight);
    }
    if ((id_len > 0) & (us >= delta->slowest_us))
        keep_slowest(delta, us, (const char *)word, id_len);
}

/* What few facts have besides. */
static __attribute__((noinline)) void fold_rare(struct group *group, struct group_delta *delta,
                                                const struct tide_fact *fact)
{
    tide_tally_rare(&delta->tally, &fact->ev, fact->time_us);
    if (fact->ev.error.len)
        keep_error(delta, fact);
    if (fact->ev.metric.len)
        fold_metric(group, delta, fact);
}

/* Deltas are met in no order and are more than the innermost cache holds: the lines of the next
 * fact's are asked for while this one is folded. A guess: the subject may have to go elsewhere. */
static inline void call_up(const struct group *group, const uint64_t *word, const uint64_t *end)
{
    const uint64_t *after = word + tide_fact_size(word);
    uintptr_t delta =
        (uintptr_t)group->delta + tide_fact_subject(word)->delta * sizeof(struct group_delta);

    for (size_t at = 0; at < offsetof(struct group_delta, module); at += 64)
        __builtin_prefetch((const void *)(delta + at), 1);
    if (after < end)
        __builtin_prefetch(tide_fact_subject(after), 1);
}

static void fold_parcel(struct group *group, const struct tide_parcel *parcel,
                        const struct group_rules *rules, struct modules *modules,
                        struct identity_set *event_ids)
{
    const uint64_t *word = parcel->word, *end = word + parcel->words, *next;
    uint32_t before = group->deltas;
    struct tide_fact fact = {0};
    uint64_t *sample;

    tide_ledger_add(&group->books, &parcel->books);
    if (parcel->chunk_len && tide_ledger_chunks_rejected(&parcel->books) == 0)
        group->books.chunks_committed++;
    group->sample = room(group->sample, &group->sample_capacity, group->samples + parcel->facts + 1,
                         sizeof(*group->sample));
    sample = group->sample + group->samples;
    for (; word < end; word = next) {
        bool rare = word[2] & TIDE_FACT_RARE;
        struct group_delta *delta;

        next = word + tide_fact_size(word);
        if (next < end)
            call_up(group, next, end);
        if (rare) {
            tide_fact_read(parcel, (uint32_t)(word - parcel->word), &fact);
            if (fact.has_event_id && is_resent(group, &fact, rules, event_ids)) {
                group->books.stored--;
                group->books.duplicate++;
                group->books.skewed -= fact.skewed;
                continue;
            }
        }
        delta = delta_of_fact(group, tide_fact_subject(word), tide_fact_time_us(word), rules,
                              modules, before);
        if (!delta) {
            group->books.stored--;
            group->books.late++;
            continue;
        }
        fold_usual(group, delta, word, &sample);
        if (rare)
            fold_rare(group, delta, &fact);
    }
    group->samples = (uint32_t)(sample - group->sample);
}

/* ---- finishing ---- */

/* Sorts the samples by (delta, bucket): least significant digit first, 11 bits a pass, as many
 * passes as the number of deltas needs. */
static void sort_samples(struct group *group)
{
    uint32_t bits = BUCKET_BITS + 1, n = group->samples;
    uint64_t *from = group->sample, *to;

    while (group->deltas >> (bits - BUCKET_BITS))
        bits++;
    group->sorting = room(group->sorting, &group->sorting_capacity, n + 1, sizeof(*group->sorting));
    to = group->sorting;
    for (uint32_t shift = 32; shift < 32 + bits; shift += 11) {
        uint32_t count[2048] = {0}, sum = 0;
        uint64_t *swap = from;

        for (uint32_t i = 0; i < n; i++)
            count[from[i] >> shift & 2047]++;
        for (uint32_t digit = 0; digit < 2048; digit++) {
            uint32_t here = count[digit];

            count[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            to[count[from[i] >> shift & 2047]++] = from[i];
        from = to;
        to = swap;
    }
    if (from != group->sample) {
        uint32_t capacity = group->sample_capacity;

        group->sorting = group->sample;
        group->sample = from;
        group->sample_capacity = group->sorting_capacity;
        group->sorting_capacity = capacity;
    }
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void make_runs(struct group *group)
{
    if (group->samples > 256)
        sort_samples(group);
    else if (group->samples > 1)
        qsort(group->sample, group->samples, sizeof(*group->sample), by_key);
    group->run = room(group->run, &group->run_capacity, group->samples + 1, sizeof(*group->run));
    group->runs = 0;
    for (uint32_t i = 0; i < group->samples;) {
        uint32_t key = (uint32_t)(group->sample[i] >> 32);
        struct group_delta *delta = &group->delta[key >> BUCKET_BITS];
        uint64_t count = 0;

        for (; i < group->samples && group->sample[i] >> 32 == key; i++)
            count += (uint32_t)group->sample[i];
        if (delta->runs == 0)
            delta->run_at = group->runs;
        delta->runs++;
        group->run[group->runs++] =
            (struct hist_run){.bucket = key & ((1u << BUCKET_BITS) - 1), .count = count};
    }
}

/* Puts the chained gauges of each delta side by side, ascending by instance. */
static void make_instances(struct group *group)
{
    group->instances = 0;
    group->instance = room(group->instance, &group->instance_capacity,
                           group->deltas + group->gauge_sets + 1, sizeof(*group->instance));
    for (uint32_t i = 0; i < group->deltas; i++) {
        struct group_delta *delta = &group->delta[i];
        uint32_t at = delta->instance_at;

        delta->instance_at = group->instances;
        if (!at) { /* nearly always */
            if (delta->instances)
                group->instance[group->instances++] = delta->first;
            continue;
        }
        tide_record_reset(&group->scratch);
        tide_record_merge_instance(&group->scratch, &delta->first);
        for (; at; at = group->gauges[at - 1].next)
            tide_record_merge_instance(&group->scratch, &group->gauges[at - 1].of);
        delta->instances = group->scratch.instances;
        memcpy(group->instance + group->instances, group->scratch.instance,
               delta->instances * sizeof(*group->instance));
        group->instances += delta->instances;
    }
}

static void reset(struct group *group, uint32_t modules)
{
    if (group->slots > 4096 && group->deltas < group->slots / 16) {
        /* after one huge group, do not clear a huge table for each small one */
        free(group->slot);
        group->slot = NULL;
        group->slots = 0;
    } else if (group->slots) {
        memset(group->slot, 0, group->slots * sizeof(*group->slot));
    }
    group->deltas = 0;
    group->samples = 0;
    group->runs = 0;
    group->gauge_sets = 0;
    group->gauges_free = 0;
    while (group->customs_made > CUSTOMS_KEPT)
        tide_customs_fini(&group->customs[--group->customs_made]);
    group->custom_sets = 0;
    group->freshes = 0;
    group->serial++;
    group->instances = 0;
    group->identities = 0;
    group->event_ids = 0;
    group->modules_before = modules;
    group->books = (struct tide_ledger){0};
    group->newest_start_s = INT64_MIN;
}

/* Whether the chunk was committed before, or its id with another payload. */
enum known { KNOWN_NOT, KNOWN_SAME, KNOWN_REUSED };

static enum known is_known(struct group *group, const struct tide_parcel *parcel,
                           const struct group_rules *rules, const struct group_known *known)
{
    uint32_t now_s = (uint32_t)(rules->now_us / 1000000);

    if (!parcel->has_identity)
        return KNOWN_NOT;
    if (parcel->has_origin) {
        struct producer_chunk chunk = {.origin = parcel->origin, .payload = parcel->identity};

        switch (producers_take(known->producers, &chunk, now_s)) {
        case PRODUCER_NEW:
            return KNOWN_NOT;
        case PRODUCER_KNOWN:
            return KNOWN_SAME;
        case PRODUCER_REUSED:
            return KNOWN_REUSED;
        }
    }
    if (!identity_add(known->chunks, parcel->identity, now_s))
        return KNOWN_SAME;
    group->identities++;
    return KNOWN_NOT;
}

size_t group_build(struct group *group, struct tide_parcel *const *parcel, size_t count,
                   enum tide_fate *fate, const struct group_rules *rules, struct modules *modules,
                   const struct group_known *known)
{
    uint64_t facts = 0, bytes = 0;
    size_t taken = 0;

    assert(count > 0);
    reset(group, modules_count(modules));
    for (; taken < count; taken++) {
        const struct tide_parcel *next = parcel[taken];

        facts += next->facts;
        bytes += next->words * sizeof(*next->word);
        if (taken && (facts > GROUP_FACTS || bytes > GROUP_BYTES || group->deltas >= GROUP_DELTAS))
            break;
        fate[taken] = TIDE_FATE_COMMITTED;
        switch (is_known(group, next, rules, known)) {
        case KNOWN_NOT:
            fold_parcel(group, next, rules, modules, known->event_ids);
            break;
        case KNOWN_SAME:
            fate[taken] = TIDE_FATE_DUPLICATE;
            group->books.received += next->books.received;
            group->books.duplicate += next->books.received;
            group->books.chunks_duplicate++;
            break;
        case KNOWN_REUSED: /* nothing of it is looked at; acked, or it would come for ever */
            fate[taken] = TIDE_FATE_REFUSED;
            group->books.chunks_rejected[TIDE_CHUNK_ID_REUSE]++;
            break;
        }
    }
    make_runs(group);
    make_instances(group);
    return taken;
}

void group_undo(struct group *group, struct modules *modules, const struct group_known *known)
{
    identity_undo(known->chunks, group->identities);
    identity_undo(known->event_ids, group->event_ids);
    producers_undo(known->producers);
    for (uint32_t i = 0; i < group->freshes; i++)
        group->fresh[i]->module = 0;
    group->freshes = 0;
    modules_truncate(modules, group->modules_before);
}
