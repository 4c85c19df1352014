/* group - see group.h.
 *
 * Facts are read in order only to find the delta each goes to: a subject remembers the one it went
 * to last, so that most need no look-up. Sorted by delta they are folded one delta after the other
 * (group_fold.c), each of which then is in the innermost cache until it is done. The other way
 * round, a fact at a time into thousands of deltas, each fact would wait for the six cache lines of
 * its own.
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

#define OVERFLOW_DELTAS 1024u /* intervals of __overflow__ that one chunk may open besides */
#define CUSTOMS_KEPT    1024u /* sets of custom metrics whose memory outlives the group */
#define AHEAD           8u    /* facts whose subjects are called up before they are needed */
#define FAR_AHEAD       768u  /* bytes before those the facts themselves are */

void *group_room(void *held, uint32_t *capacity, uint32_t need, size_t size)
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
    free(group->fact);
    free(group->fact_delta);
    free(group->sorted);
    free(group->upto);
    free(group->run);
    free(group->fresh);
    free(group->instance);
    for (uint32_t i = 0; i < group->customs_made; i++)
        tide_customs_fini(&group->customs[i]);
    free(group->customs);
    tide_record_fini(&group->scratch);
    blob_fini(&group->journal);
    memset(group, 0, sizeof(*group));
}

/* ---- finding a delta ---- */

/* Senders choose the names and, by their events' times, the intervals: without the seed they could
 * choose those that share a slot. */
static uint32_t tag_of(const struct group *group, uint32_t module, int64_t start_s)
{
    uint64_t mixed = ((uint64_t)module << 40 ^ (uint64_t)start_s) * group->seed;

    mixed = (mixed ^ mixed >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32);
}

static void place_all(struct group *group)
{
    memset(group->slot, 0, group->slots * sizeof(*group->slot));
    for (uint32_t i = 0; i < group->deltas; i++) {
        uint32_t tag = tag_of(group, group->delta[i].module, group->delta[i].start_s);
        uint32_t at = tag & (group->slots - 1);

        while (group->slot[at].index)
            at = (at + 1) & (group->slots - 1);
        group->slot[at] = (struct group_slot){tag, i + 1};
    }
}

/* The delta of (module, interval), or NULL. *ret_slot: where it would go. */
static struct group_delta *find_delta(struct group *group, uint32_t module, int64_t start_s,
                                      uint32_t *ret_slot)
{
    uint32_t tag = tag_of(group, module, start_s), at;

    if (group->slots < 2 * (group->deltas + 1)) {
        group->slot = group_room(group->slot, &group->slots, group->slots ? group->slots * 2 : 64,
                                 sizeof(*group->slot));
        place_all(group);
    }
    for (at = tag & (group->slots - 1); group->slot[at].index; at = (at + 1) & (group->slots - 1)) {
        struct group_delta *delta = &group->delta[group->slot[at].index - 1];

        if (group->slot[at].tag == tag && delta->module == module && delta->start_s == start_s)
            return delta;
    }
    *ret_slot = at;
    return NULL;
}

/* What is folded into it is set by group_fold. */
static struct group_delta *add_delta(struct group *group, uint32_t module, int64_t start_s,
                                     uint32_t slot, const struct group_rules *rules)
{
    struct group_delta *delta;

    group->delta =
        group_room(group->delta, &group->delta_capacity, group->deltas + 1, sizeof(*delta));
    group->upto =
        group_room(group->upto, &group->upto_capacity, group->deltas + 1, sizeof(*group->upto));
    delta = &group->delta[group->deltas];
    group->upto[group->deltas++] = 0;
    group->slot[slot] = (struct group_slot){tag_of(group, module, start_s), group->deltas};
    delta->module = module;
    delta->start_s = start_s;
    delta->late = start_s < rules->sealed_upto_s;
    delta->memo = NULL;
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
        group_room(group->fresh, &group->fresh_capacity, group->freshes + 1, sizeof(*group->fresh));
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

/* The beginning of the interval that time_us is in; mostly that of the fact before. */
static int64_t start_of(struct group *group, const struct group_rules *rules, int64_t time_us)
{
    if ((uint64_t)(time_us - group->met_from_us) >= (uint64_t)rules->interval_s * 1000000) {
        group->met_start_s = tide_floor_s(time_us / 1000000, rules->interval_s);
        group->met_from_us = group->met_start_s * 1000000;
    }
    return group->met_start_s;
}

/* The delta of a fact whose subject did not go to it last, NO_DELTA when its interval is too old;
 * deltas_before: how many there were before its parcel. */
#define NO_DELTA UINT32_MAX

static __attribute__((noinline)) uint32_t
seek_delta(struct group *group, struct tide_subject *subject, int64_t time_us,
           const struct group_rules *rules, struct modules *modules, uint32_t deltas_before)
{
    struct group_delta *delta;
    uint32_t module, slot;
    int64_t start_s = start_of(group, rules, time_us);

    if (is_late(start_s, rules))
        return NO_DELTA;
    module = module_of(group, rules, modules, subject);
    delta = find_delta(group, module, start_s, &slot);
    if (!delta) {
        if (group->deltas - deltas_before >= TIDE_PARCEL_DELTAS)
            return (uint32_t)(overflow_delta(group, rules, modules, start_s, deltas_before) -
                              group->delta);
        delta = add_delta(group, module, start_s, slot, rules);
    }
    delta->memo = subject->memo;
    subject->group = group->serial;
    subject->delta = (uint32_t)(delta - group->delta);
    subject->from_us = start_s * 1000000;
    return subject->delta;
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

/* Finds the delta of each fact of a parcel. Subjects are met in no order: those of the facts to
 * come are asked for ahead. */
static void sort_out(struct group *group, const struct tide_parcel *parcel,
                     const struct group_rules *rules, struct modules *modules,
                     struct identity_set *event_ids)
{
    const uint64_t *word = parcel->word, *end = word + parcel->words, *ahead = word;
    uint64_t interval_us = (uint64_t)rules->interval_s * 1000000;
    uint32_t before = group->deltas, facts = group->facts, *of;
    struct tide_fact fact = {0};
    const uint64_t **into;

    tide_ledger_add(&group->books, &parcel->books);
    if (parcel->chunk_len && tide_ledger_chunks_rejected(&parcel->books) == 0)
        group->books.chunks_committed++;
    group->fact =
        group_room(group->fact, &group->fact_capacity, facts + parcel->facts, sizeof(*group->fact));
    group->fact_delta = group_room(group->fact_delta, &group->fact_delta_capacity,
                                   facts + parcel->facts, sizeof(*group->fact_delta));
    into = group->fact;
    of = group->fact_delta;
    for (uint32_t i = 0; i < AHEAD && ahead < end; i++, ahead += tide_fact_size(ahead))
        __builtin_prefetch(tide_fact_subject(ahead), 1);
    for (; word < end; word += tide_fact_size(word)) {
        struct tide_subject *subject = tide_fact_subject(word);
        int64_t time_us = tide_fact_time_us(word);
        uint32_t delta = subject->delta;

        if (ahead < end) {
            __builtin_prefetch(tide_fact_subject(ahead), 1);
            __builtin_prefetch((const char *)ahead + FAR_AHEAD);
            __builtin_prefetch((const char *)ahead + FAR_AHEAD + 64);
            ahead += tide_fact_size(ahead);
        }
        if (word[2] & TIDE_FACT_EVENT_ID) {
            tide_fact_parse(word, &fact);
            if (is_resent(group, &fact, rules, event_ids)) {
                group->books.stored--;
                group->books.duplicate++;
                group->books.skewed -= fact.skewed;
                continue;
            }
        }
        if (subject->group != group->serial ||
            (uint64_t)(time_us - subject->from_us) >= interval_us)
            delta = seek_delta(group, subject, time_us, rules, modules, before);
        if (delta == NO_DELTA) {
            group->books.stored--;
            group->books.late++;
            continue;
        }
        into[facts] = word;
        of[facts++] = delta;
        group->upto[delta]++;
    }
    group->facts = facts;
}

/* By delta, and as they came within one. */
static void sort_facts(struct group *group)
{
    const uint64_t *const *fact = group->fact, **sorted;
    const uint32_t *of = group->fact_delta;
    uint32_t facts = group->facts, sum = 0, *upto;

    group->sorted =
        group_room(group->sorted, &group->sorted_capacity, group->facts, sizeof(*group->sorted));
    for (uint32_t i = 0; i < group->deltas; i++) {
        uint32_t here = group->upto[i];

        group->upto[i] = sum;
        sum += here;
    }
    sorted = group->sorted;
    upto = group->upto;
    for (uint32_t i = 0; i < facts; i++)
        sorted[upto[of[i]]++] = fact[i];
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
    group->facts = 0;
    group->runs = 0;
    group->met_from_us = INT64_MIN / 2; /* no time is in that interval */
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
            sort_out(group, next, rules, modules, known->event_ids);
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
    sort_facts(group);
    group_fold(group);
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
