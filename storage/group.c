/* group - see group.h.
 *
 * Histogram samples of all deltas go into one array of (delta, bucket, count) that is radix-sorted
 * once: the sorted runs are at the same time the journal's bytes and the increments of the head,
 * and no delta needs a histogram of its own.
 */
#include "group.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"

#define BUCKET_BITS 11
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
    tide_record_init(&group->scratch);
}

void group_fini(struct group *group)
{
    free(group->delta);
    free(group->slot);
    free(group->sample);
    free(group->sorting);
    free(group->run);
    free(group->link);
    free(group->instance);
    free(group->identity);
    tide_record_fini(&group->scratch);
    memset(group, 0, sizeof(*group));
}

/* ---- finding a delta ---- */

static uint32_t slot_hash(uint32_t module, int64_t start_s)
{
    uint64_t mixed = ((uint64_t)module << 40 ^ (uint64_t)start_s) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t)(mixed >> 32);
}

static void place_all(struct group *group)
{
    memset(group->slot, 0, group->slots * sizeof(*group->slot));
    for (uint32_t i = 0; i < group->deltas; i++) {
        uint32_t at =
            slot_hash(group->delta[i].module, group->delta[i].start_s) & (group->slots - 1);

        while (group->slot[at])
            at = (at + 1) & (group->slots - 1);
        group->slot[at] = i + 1;
    }
}

static struct group_delta *delta_of(struct group *group, uint32_t module, int64_t start_s)
{
    struct group_delta *delta;
    uint32_t at;

    if (group->slots < 2 * (group->deltas + 1)) {
        group->slot = room(group->slot, &group->slots, group->slots ? group->slots * 2 : 64,
                           sizeof(*group->slot));
        place_all(group);
    }
    at = slot_hash(module, start_s) & (group->slots - 1);
    while (group->slot[at]) {
        delta = &group->delta[group->slot[at] - 1];
        if (delta->module == module && delta->start_s == start_s)
            return delta;
        at = (at + 1) & (group->slots - 1);
    }
    group->delta = room(group->delta, &group->delta_capacity, group->deltas + 1, sizeof(*delta));
    delta = &group->delta[group->deltas++];
    group->slot[at] = group->deltas;
    *delta = (struct group_delta){.module = module, .start_s = start_s};
    tide_tally_init(&delta->tally);
    return delta;
}

/* ---- one parcel ---- */

static uint32_t module_of(const struct group_rules *rules, struct modules *modules,
                          const char *name, uint32_t len)
{
    uint32_t id = modules_find(modules, name, len);

    if (id)
        return id;
    if (modules_count(modules) < rules->max_modules)
        return modules_add(modules, name, len);
    name = TIDE_OVERFLOW_MODULE;
    len = sizeof(TIDE_OVERFLOW_MODULE) - 1;
    id = modules_find(modules, name, len);
    return id ? id : modules_add(modules, name, len);
}

static void merge_texts(struct group_delta *into, const struct tide_parcel *parcel,
                        const struct tide_delta *from)
{
    const char *slowest = parcel->text + from->slowest_at, *error = parcel->text + from->error_at;

    if (tide_slowest_beats(from->slowest_us, slowest, from->slowest_len, into->slowest_us,
                           into->slowest, into->slowest_len)) {
        into->slowest_us = from->slowest_us;
        into->slowest = slowest;
        into->slowest_len = from->slowest_len;
    }
    if (from->error_len &&
        (into->error_len == 0 || from->error_us > into->error_us ||
         (from->error_us == into->error_us &&
          tide_slowest_beats(0, error, from->error_len, 0, into->error, into->error_len)))) {
        into->error_us = from->error_us;
        into->error = error;
        into->error_len = from->error_len;
    }
}

/* Merges one delta; returns its place in the group, or UINT32_MAX when all of it is late. */
static uint32_t merge_delta(struct group *group, const struct tide_parcel *parcel,
                            const struct tide_delta *from, const struct group_rules *rules,
                            struct modules *modules)
{
    struct group_delta *into;

    if ((from->start_s + rules->interval_s) * 1000000 <=
        rules->now_us - rules->lateness_s * 1000000) {
        group->books.stored -= from->entries;
        group->books.late += from->entries;
        return UINT32_MAX;
    }
    into = delta_of(group, module_of(rules, modules, tide_delta_name(parcel, from), from->name_len),
                    from->start_s);
    into->late = from->start_s < rules->sealed_upto_s;
    if (from->start_s > group->newest_start_s)
        group->newest_start_s = from->start_s;
    tide_tally_merge(&into->tally, &from->tally);
    merge_texts(into, parcel, from);
    for (uint32_t at = from->instance; at; at = parcel->instance[at - 1].next) {
        group->link =
            room(group->link, &group->link_capacity, group->links + 1, sizeof(*group->link));
        group->link[group->links++] =
            (struct group_link){.of = &parcel->instance[at - 1].of, .next = into->instance_at};
        into->instance_at = group->links;
        into->instances++;
    }
    return (uint32_t)(into - group->delta);
}

static void merge_parcel(struct group *group, const struct tide_parcel *parcel, uint32_t *place,
                         const struct group_rules *rules, struct modules *modules)
{
    tide_ledger_add(&group->books, &parcel->books);
    if (parcel->chunk_len && tide_ledger_chunks_rejected(&parcel->books) == 0)
        group->books.chunks_committed++;
    for (uint32_t i = 0; i < parcel->deltas; i++)
        place[i] = merge_delta(group, parcel, &parcel->delta[i], rules, modules);
    group->sample = room(group->sample, &group->sample_capacity,
                         group->samples + parcel->samples + 1, sizeof(*group->sample));
    for (uint32_t i = 0; i < parcel->samples; i++) {
        const struct tide_sample *sample = &parcel->sample[i];

        if (place[sample->delta] != UINT32_MAX)
            group->sample[group->samples++] =
                (uint64_t)(place[sample->delta] << BUCKET_BITS | sample->bucket) << 32 |
                sample->count;
    }
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

/* Merges the chained gauges of each delta into ascending instances. */
static void make_instances(struct group *group)
{
    group->instances = 0;
    for (uint32_t i = 0; i < group->deltas; i++) {
        struct group_delta *delta = &group->delta[i];
        uint32_t link = delta->instance_at;

        delta->instance_at = group->instances;
        if (!link)
            continue;
        tide_record_reset(&group->scratch);
        for (; link; link = group->link[link - 1].next)
            tide_record_merge_instance(&group->scratch, group->link[link - 1].of);
        delta->instances = group->scratch.instances;
        group->instance = room(group->instance, &group->instance_capacity,
                               group->instances + delta->instances, sizeof(*group->instance));
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
    group->links = 0;
    group->instances = 0;
    group->identities = 0;
    group->modules_before = modules;
    group->books = (struct tide_ledger){0};
    group->newest_start_s = INT64_MIN;
}

static bool is_known(struct group *group, const struct tide_parcel *parcel,
                     const struct group_rules *rules, struct identity_set *identities)
{
    if (!parcel->has_identity)
        return false;
    if (!identity_add(identities, parcel->identity, (uint32_t)(rules->now_us / 1000000)))
        return true;
    group->identity = room(group->identity, &group->identity_capacity, group->identities + 1,
                           sizeof(*group->identity));
    group->identity[group->identities++] = parcel->identity;
    return false;
}

void group_build(struct group *group, struct tide_parcel *const *parcel, size_t count,
                 enum tide_fate *fate, const struct group_rules *rules, struct modules *modules,
                 struct identity_set *identities)
{
    uint32_t *place = NULL, place_capacity = 0;

    reset(group, modules_count(modules));
    for (size_t i = 0; i < count; i++) {
        if (is_known(group, parcel[i], rules, identities)) {
            fate[i] = TIDE_FATE_DUPLICATE;
            group->books.received += parcel[i]->books.received;
            group->books.duplicate += parcel[i]->books.received;
            group->books.chunks_duplicate++;
            continue;
        }
        fate[i] = TIDE_FATE_COMMITTED;
        place = room(place, &place_capacity, parcel[i]->deltas + 1, sizeof(*place));
        merge_parcel(group, parcel[i], place, rules, modules);
    }
    free(place);
    make_runs(group);
    make_instances(group);
}

void group_undo(struct group *group, struct modules *modules, struct identity_set *identities)
{
    identity_undo(identities, group->identities);
    modules_truncate(modules, group->modules_before);
}
