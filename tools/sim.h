/* sim - a store without a daemon around it, and a clock that goes as fast as the store can follow.
 *
 * What commit's thread does to the store is done here in the same order by the calling thread:
 * events become chunks, chunks groups, groups transactions; what is over is sealed; upkeep goes on,
 * slice by slice, until there is none left. Every step is timed, because while it lasts no commit
 * can begin. The first failure is remembered and everything after it does nothing, so a benchmark
 * reads straight down.
 */
#ifndef TIDEMARK_TOOLS_SIM_H
#define TIDEMARK_TOOLS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "laps.h"
#include "tidemark/err.h"
#include "tidemark/parcel.h"
#include "tidemark/store.h"

#define TIDE_SIM_CHUNKS 64 /* of a group */

struct tide_sim_cfg {
    struct tide_store_cfg
        store;             /* retention: for ever, or what is read back ends at the real now */
    uint32_t chunk_events; /* at most 50 000 */
    uint32_t group_events; /* committed once there are so many, or when told to */
};

/* What went in. */
struct tide_sim_books {
    uint64_t events, weighed, operations; /* the last two by weight */
    uint64_t chunks, groups;
};

struct tide_sim {
    struct tide_sim_cfg cfg;
    struct tide_store *store;
    struct tide_fold_rules rules;
    struct tide_names *names;
    struct tide_parcel *parcel; /* [TIDE_SIM_CHUNKS] */
    uint32_t parcels, waiting;  /* begun; events in them */
    int64_t now_us;
    struct tide_sim_books books;
    struct tide_laps commit, seal, upkeep;
    enum tide_rc rc;
    struct tide_err err;
};

/* Opens, or creates, the store. Whatever fails is in sim->rc. The directory stays with the caller.
 */
void tide_sim_open(struct tide_sim *sim, const struct tide_sim_cfg *cfg, int64_t now_us);
void tide_sim_close(struct tide_sim *sim); /* half-open is fine */

/* Closes and opens the store; *ret_us is how long the opening took. */
void tide_sim_reopen(struct tide_sim *sim, int64_t *ret_us);

/* One event; a tide_synth_take. Commits when the group has got its size. */
void tide_sim_take(void *sim, const struct tide_event *ev);

/* Commits what is waiting. */
void tide_sim_commit(struct tide_sim *sim);

/* Commits, sets the clock, seals what is due and does all the upkeep there is. */
void tide_sim_advance(struct tide_sim *sim, int64_t now_us);

/* Reads everything back, module by module and interval by interval, and compares it with what went
 * in, with the store's own books and with its lifetime totals. TIDE_DAMAGED in sim->rc and a
 * sentence when they differ. */
void tide_sim_audit(struct tide_sim *sim);

/* False once something failed or Ctrl-C was pressed. */
bool tide_sim_going(struct tide_sim *sim);

#endif
