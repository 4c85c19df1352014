/* The one writing thread: gathers waiting parcels, commits them in one transaction, sends them
 * home.
 *
 * Self-clocking: the next group starts when the last fsync returns, so an idle server commits a
 * single chunk at once and a busy one commits thousands together. Between groups it does the
 * store's chores (sealing).
 */
#ifndef TIDEMARK_COMMIT_H
#define TIDEMARK_COMMIT_H

#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/parcel.h"
#include "tidemark/store.h"

struct tide_commit_cfg {
    uint32_t capacity;      /* parcels that can be in flight: the sum of the shards' pools */
    uint32_t gather_max_ms; /* cap on gathering one group under load */
};

struct tide_commit;

enum tide_rc tide_commit_start(const struct tide_commit_cfg *cfg, struct tide_store *store,
                               struct tide_commit **ret, struct tide_err *err);

/* Hands a parcel over. It comes back through parcel->home with its fate set, in the order of
 * posting per poster. */
void tide_commit_post(struct tide_commit *commit, struct tide_parcel *parcel);

/* True while a failed commit is being retried, or the store has failed: shards stop reading. */
_Bool tide_commit_stalled(const struct tide_commit *commit);

/* Commits what is waiting (unless the store is failing), ends the thread. Nobody may post any more.
 * NULL is fine. */
void tide_commit_stop(struct tide_commit *commit);

#endif
