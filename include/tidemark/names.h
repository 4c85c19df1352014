/* names - a thread's own table of the module names it has met. A name is hashed and compared once
 * per event here; whoever folds the event later finds the module through the subject, without
 * looking at the name again.
 *
 * The table's thread adds; name and len never change afterwards. What is below them belongs
 * to the thread that commits: parcels carry a subject from one to the other, so there is no lock.
 * Subjects live until the table is freed, which must not happen while a parcel that names one is on
 * its way.
 */
#ifndef TIDEMARK_NAMES_H
#define TIDEMARK_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct tide_subject {
    double share; /* the folding thread's: of its events that are kept, 0: not looked up yet */
    uint32_t len;

    /* the committing thread's */
    uint32_t module; /* its id, 0: not looked up yet */
    uint32_t delta;  /* the delta it went to last, of ... */
    uint64_t group;  /* ... this group, and for times in the interval ... */
    int64_t from_us; /* ... that begins here */

    char name[]; /* not terminated */
};

struct tide_names;

/* At most max names; any further one is taken for TIDE_OVERFLOW_MODULE. Seeded from the system. */
struct tide_names *tide_names_new(uint32_t max);
void tide_names_free(struct tide_names *names); /* NULL is fine */

/* The subject of a name of 1..TIDE_MODULE_NAME_MAX bytes. Aborts when memory is out. */
struct tide_subject *tide_names_get(struct tide_names *names, const char *name, uint32_t len);

/* The name is looked for soon: a hint that makes that cheaper. */
void tide_names_call_up(const struct tide_names *names, const char *name, uint32_t len);

size_t tide_names_memory(const struct tide_names *names);

#endif
