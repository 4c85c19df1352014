/* group - what one commit is about to make true: the parcels' facts folded per (module, interval),
 * the identities that are new, the books. Built before the transaction, merged into the head after
 * it; memory is kept from group to group.
 */
#ifndef STORAGE_GROUP_H
#define STORAGE_GROUP_H

#include <stdint.h>
#include "tidemark/ledger.h"
#include "tidemark/parcel.h"
#include "identity.h"
#include "modules.h"
#include "producer.h"
#include "row.h"

struct group_delta {
    uint32_t module;
    bool late; /* its interval was sealed before: a correction */
    int64_t start_s;
    struct tide_memo *memo; /* of a name that it is of; NULL: of no one's own */
    struct tide_tally tally;
    uint64_t slowest_us;
    const char *slowest; /* into a parcel */
    uint32_t slowest_len;
    uint32_t error_len;
    const char *error; /* into a parcel */
    int64_t error_us;
    uint32_t run_at, runs;           /* into group.run */
    uint32_t instance_at, instances; /* into group.instance */
    uint32_t customs;                /* 1 + index into group.customs, 0: none */
};

/* (module, interval) -> delta. The tag decides nearly always, without a look at the delta. */
struct group_slot {
    uint32_t tag;
    uint32_t index; /* 1 + index, 0: free */
};

/* The buckets of the delta that is being folded: counts, which of them are not 0, and which words
 * of that are not. */
struct group_buckets {
    uint64_t count[TIDE_HIST_BUCKETS];
    uint64_t used[(TIDE_HIST_BUCKETS + 63) / 64];
    uint32_t words;
};

struct group {
    uint64_t serial; /* tells the deltas that subjects remember from those of earlier groups */
    struct group_delta *delta;
    uint32_t deltas, delta_capacity;
    uint32_t overflow;       /* the newest delta of __overflow__ */
    uint64_t seed;           /* of: */
    struct group_slot *slot; /* (module, interval) */
    uint32_t slots;
    int64_t met_from_us, met_start_s; /* the interval that was met last */
    const uint64_t **fact;            /* in parcels, as they came ... */
    uint32_t *fact_delta;             /* ... and where each goes */
    const uint64_t **sorted;          /* the same by delta, those of delta i up to upto[i] */
    uint32_t *upto;
    uint32_t facts, fact_capacity, fact_delta_capacity, sorted_capacity, upto_capacity;
    struct blob journal; /* the deltas as they are journaled: written while each is at hand */
    struct group_buckets buckets;
    struct hist_run *run;
    uint32_t runs, run_capacity;
    struct tide_instance *instance;
    uint32_t instances, instance_capacity;
    struct tide_customs *customs; /* one per delta that has any */
    uint32_t custom_sets, customs_capacity, customs_made;
    struct tide_record scratch;  /* merges instances */
    uint32_t identities;         /* how many it added to the set of chunks ... */
    uint32_t event_ids;          /* ... and to that of event ids */
    struct tide_subject **fresh; /* subjects that learned their module in this group */
    uint32_t freshes, fresh_capacity;
    uint32_t modules_before; /* ids above this are new with this group */
    struct tide_ledger books;
    int64_t newest_start_s; /* of its deltas; INT64_MIN without any */
};

/* A group takes no further parcel past this many deltas, or this many facts. */
#define GROUP_DELTAS 262144u /* and one chunk's: an index has 20 bits */
#define GROUP_FACTS  (4u << 20)

/* Nor past this many bytes of facts and their texts. Facts become at most two and a half
 * times as large in the journal, and an entry of it must stay below 65 536 pages. */
#define GROUP_BYTES (96u << 20)

struct group_rules {
    int64_t now_us;
    int64_t sealed_upto_s;
    uint32_t interval_s;
    int64_t lateness_s;
    uint32_t max_modules;
};

/* What was committed before. A group adds to it. */
struct group_known {
    struct identity_set *chunks, *event_ids;
    struct producers *producers;
};

void group_init(struct group *group);
void group_fini(struct group *group);

/* Empties the group and fills it from as many of the parcels as it has room for, at least one;
 * returns how many. What is new is added to the known and to the table of modules: the caller takes
 * it back (group_undo) when the commit fails, and settles it (producers_keep) when it does not.
 * fate[i] says what parcel i will become. */
size_t group_build(struct group *group, struct tide_parcel *const *parcel, size_t count,
                   enum tide_fate *fate, const struct group_rules *rules, struct modules *modules,
                   const struct group_known *known);
void group_undo(struct group *group, struct modules *modules, const struct group_known *known);

/* group_fold.c: folds the sorted facts of a group into its deltas, and journals those. Part of
 * group_build. */
void group_fold(struct group *group);

/* Makes room for `need` things of a size in an array that grows. Aborts when memory is out. */
void *group_room(void *held, uint32_t *capacity, uint32_t need, size_t size);

static inline struct row_view group_view(const struct group *group, const struct group_delta *delta)
{
    static const struct tide_customs none;
    const struct tide_customs *customs =
        delta->customs ? &group->customs[delta->customs - 1] : &none;

    return (struct row_view){.tally = &delta->tally,
                             .run = group->run + delta->run_at,
                             .runs = delta->runs,
                             .instance = group->instance + delta->instance_at,
                             .instances = delta->instances,
                             .custom = customs->item,
                             .customs = customs->count,
                             .slowest_us = delta->slowest_us,
                             .slowest = delta->slowest,
                             .slowest_len = delta->slowest_len};
}

#endif
