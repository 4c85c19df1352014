/* group_fold - the sorted facts of a group -> its deltas.
 *
 * One delta at a time. Its histogram is a board of counts with a map of those that are not zero:
 * read off in order when the delta is done, the counts are the runs that the journal writes and the
 * head adds, and no delta needs a histogram of its own. Gauges lie where they will stay, those of
 * one delta side by side at the end of the array. The bytes for the journal are written while the
 * delta and the texts in its facts are still in the cache.
 */
#include "group.h"

#include <assert.h>
#include <string.h>

#include "journal.h"

#define AHEAD         6u                       /* facts that are called up before they are needed */
#define INSTANCES_MAX (2 * TIDE_INSTANCES_MAX) /* of a delta before they are merged */

/* ---- instances ---- */

/* Merges the instances of a delta, whose array ends with them: ascending, and no more than a record
 * keeps. */
static void merge_instances(struct group *group, struct group_delta *delta)
{
    struct tide_instance *instance = group->instance + delta->instance_at;

    tide_record_reset(&group->scratch);
    for (uint32_t i = 0; i < delta->instances; i++)
        tide_record_merge_instance(&group->scratch, &instance[i]);
    delta->instances = group->scratch.instances;
    memcpy(instance, group->scratch.instance, delta->instances * sizeof(*instance));
    group->instances = delta->instance_at + delta->instances;
}

/* The gauges of an instance of a delta that did not have the gauges before. Many are merged now and
 * then, so that a chunk of a million instance ids is neither slow nor large. */
static __attribute__((noinline)) struct tide_instance *
seek_instance(struct group *group, struct group_delta *delta, uint64_t id)
{
    struct tide_instance *instance = group->instance + delta->instance_at;

    for (uint32_t i = 0; i < delta->instances; i++)
        if (instance[i].id == id)
            return &instance[i];
    if (delta->instances >= INSTANCES_MAX)
        merge_instances(group, delta);
    group->instance = group_room(group->instance, &group->instance_capacity, group->instances + 1,
                                 sizeof(*group->instance));
    delta->instances++;
    instance = &group->instance[group->instances++];
    *instance = (struct tide_instance){.id = id};
    return instance;
}

/* ---- what few facts have ---- */

static void fold_metric(struct group *group, struct group_delta *delta,
                        const struct tide_fact *fact)
{
    const struct tide_event *ev = &fact->ev;

    if (!delta->customs) {
        group->customs = group_room(group->customs, &group->customs_capacity,
                                    group->custom_sets + 1, sizeof(*group->customs));
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

static __attribute__((noinline)) void fold_rare(struct group *group, struct group_delta *delta,
                                                const uint64_t *word)
{
    struct tide_fact fact;

    tide_fact_parse(word, &fact);
    tide_tally_rare(&delta->tally, &fact.ev, fact.time_us);
    if (fact.ev.error.len)
        keep_error(delta, &fact);
    if (fact.ev.metric.len)
        fold_metric(group, delta, &fact);
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

/* ---- what every fact has ---- */

static inline void count_bucket(struct group_buckets *buckets, unsigned bucket, uint64_t weight,
                                bool timed)
{
    buckets->count[bucket] += weight & -(uint64_t)timed;
    buckets->used[bucket / 64] |= (uint64_t)timed << bucket % 64;
    buckets->words |= (uint32_t)timed << bucket / 64;
}

/* Counts, duration, gauges, correlation id; without branches on what differs from one fact to the
 * next. *at: the instance that the fact before was of, NULL without any. */
static inline void fold_usual(struct group *group, struct group_delta *delta, const uint64_t *word,
                              struct tide_instance **at)
{
    uint32_t bits = (uint32_t)word[2], weight = (uint32_t)(word[2] >> 32);
    uint32_t gauges = bits >> TIDE_FACT_GAUGES_SHIFT & 0xff;
    uint32_t id_len = bits >> TIDE_FACT_CORRELATION_SHIFT;
    bool operation = bits & TIDE_FACT_OPERATION;
    bool timed = operation & !!(bits & TIDE_FACT_DURATION);
    bool narrow = word[1] & TIDE_FACT_NARROW;
    int64_t time_us = tide_fact_time_us(word);
    double duration_us;
    uint64_t us;

    memcpy(&duration_us, word + 3, sizeof(double));
    us = (uint64_t)(int64_t)(duration_us + 0.5) & -(uint64_t)timed;
    tide_tally_count(&delta->tally, bits & TIDE_FACT_KIND, weight, operation,
                     bits & TIDE_FACT_SUCCESS, timed, us, time_us);
    count_bucket(&group->buckets, tide_hist_bucket(duration_us), weight, timed);

    word += TIDE_FACT_HEAD + (bits & TIDE_FACT_EVENT_ID ? 2 : 0);
    if (gauges) {
        uint64_t id = bits & TIDE_FACT_INSTANCE ? *word++ : 0;
        struct tide_instance *instance = *at;

        if (!instance || instance->id != id)
            *at = instance = seek_instance(group, delta, id);
        if (narrow) {
            for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
                tide_gauge_fold(&instance->gauge[gauge], time_us, tide_fact_narrow(word, gauge),
                                weight);
            word += TIDE_FACT_NARROW_WORDS;
        } else {
            for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
                if (gauges & 1u << gauge)
                    tide_gauge_fold(&instance->gauge[gauge], time_us, *word++, weight);
        }
    }
    if ((id_len > 0) & (us >= delta->slowest_us))
        keep_slowest(delta, us, (const char *)word, id_len);
}

/* ---- one delta ---- */

static void begin(struct group *group, struct group_delta *delta)
{
    tide_tally_init(&delta->tally);
    delta->slowest_us = 0;
    delta->slowest = NULL;
    delta->slowest_len = 0;
    delta->error_len = 0;
    delta->error = NULL;
    delta->error_us = 0;
    delta->run_at = group->runs;
    delta->instance_at = group->instances;
    delta->instances = 0;
    delta->customs = 0;
}

/* Reads the runs off the board, which is empty afterwards. */
static void take_runs(struct group *group, struct group_delta *delta)
{
    struct group_buckets *buckets = &group->buckets;
    uint32_t words = buckets->words;
    struct hist_run *run = group->run + group->runs;

    for (; words; words &= words - 1) {
        uint32_t word = (uint32_t)__builtin_ctz(words);
        uint64_t used = buckets->used[word];

        for (; used; used &= used - 1) {
            uint32_t bucket = word * 64 + (uint32_t)__builtin_ctzll(used);

            *run++ = (struct hist_run){.bucket = bucket, .count = buckets->count[bucket]};
            buckets->count[bucket] = 0;
        }
        buckets->used[word] = 0;
    }
    buckets->words = 0;
    delta->runs = (uint32_t)(run - group->run) - delta->run_at;
    group->runs += delta->runs;
}

/* A fact lies in two cache lines, or three; who is asked for too many is not slower. */
static inline void call_up(const uint64_t *word)
{
    __builtin_prefetch(word);
    __builtin_prefetch(word + 8);
}

void group_fold(struct group *group)
{
    const uint64_t **sorted = group->sorted;
    uint32_t at = 0, facts = group->facts;

    static_assert(TIDE_HIST_BUCKETS <= 32 * 64, "the map's words have a bit each");
    group->runs = 0;
    group->instances = 0;
    journal_begin(&group->journal, group->deltas);
    group->run = group_room(group->run, &group->run_capacity, facts, sizeof(*group->run));
    for (uint32_t i = 0; i < group->deltas; i++) {
        struct group_delta *delta = &group->delta[i];
        struct tide_instance *instance = NULL;

        begin(group, delta);
        for (; at < group->upto[i]; at++) {
            if (at + AHEAD < facts)
                call_up(sorted[at + AHEAD]);
            fold_usual(group, delta, sorted[at], &instance);
            if (sorted[at][2] & TIDE_FACT_RARE)
                fold_rare(group, delta, sorted[at]);
        }
        take_runs(group, delta);
        if (delta->instances > 1)
            merge_instances(group, delta);
        journal_add(&group->journal, group, delta);
    }
}
