/* names - a thread's own table of the module names it has met. A name is hashed and compared once
 * per event here; whoever folds the event later finds the module through the subject, without
 * looking at the name again.
 *
 * The table's thread adds; a subject belongs to the thread that commits: parcels carry it from
 * one to the other, so there is no lock.
 * Subjects live until the table is freed, which must not happen while a parcel that names one is on
 * its way.
 */
#ifndef TIDEMARK_NAMES_H
#define TIDEMARK_NAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the folding thread looks at for each event. Apart from the subject, which the committing
 * thread writes to for each group: they would take the cache line from each other. */
struct tide_memo {
    _Atomic uint64_t slowest; /* see tide_memo_tell; the committing thread's, too */
    double share;             /* of its events that are kept, 0: not looked up yet */
};

/* An operation that began in the interval at start_s and took so long is on disk, with its id: ids
 * of shorter ones will never be asked for. Start and duration share a word, so that both are of one
 * telling; the newest interval stays. */
static inline void tide_memo_tell(struct tide_memo *memo, int64_t start_s, uint64_t us)
{
    uint64_t told = atomic_load_explicit(&memo->slowest, memory_order_relaxed);
    uint64_t tell = (uint64_t)start_s << 32 | (us < UINT32_MAX ? us : UINT32_MAX);

    if (start_s >> 32 == 0 && tell > told)
        atomic_store_explicit(&memo->slowest, tell, memory_order_relaxed);
}

static inline bool tide_memo_knows_slower(const struct tide_memo *memo, int64_t time_us,
                                          uint32_t interval_s, uint64_t us)
{
    uint64_t told = atomic_load_explicit(&memo->slowest, memory_order_relaxed);
    int64_t from_us = (int64_t)(told >> 32) * 1000000;

    return us < (uint32_t)told && (uint64_t)(time_us - from_us) < (uint64_t)interval_s * 1000000;
}

/* The committing thread's, but for the name, its length and number, which never change. */
struct tide_subject {
    uint32_t len, number;
    uint32_t module; /* its id, 0: not looked up yet */
    uint32_t delta;  /* the delta it went to last, of ... */
    uint64_t group;  /* ... this group, and for times in the interval ... */
    int64_t from_us; /* ... that begins here */
    struct tide_memo *memo;
    char name[]; /* not terminated */
};

struct tide_named {
    struct tide_subject *subject;
    struct tide_memo *memo;
};

struct tide_names;

/* At most max names; any further one is taken for TIDE_OVERFLOW_MODULE. Seeded from the system. */
struct tide_names *tide_names_new(uint32_t max);
void tide_names_free(struct tide_names *names); /* NULL is fine */

/* What belongs to a name of 1..TIDE_MODULE_NAME_MAX bytes. Aborts when memory is out. */
struct tide_named tide_names_get(struct tide_names *names, const char *name, uint32_t len);

/* The name is looked for soon: a hint that makes that cheaper. */
void tide_names_call_up(const struct tide_names *names, const char *name, uint32_t len);

size_t tide_names_memory(const struct tide_names *names);

#endif
