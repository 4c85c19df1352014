/* slices - long work of the committing thread (seal, checkpoint, cutting, fold, retention), cut
 * into transactions of bounded size. Each writes the state with the next commit_seq, so that one in
 * doubt can be told from one that did not happen.
 */
#ifndef STORAGE_SLICES_H
#define STORAGE_SLICES_H

#include "inside.h"

/* A transaction that is ended and begun anew every `limit` steps. */
struct slices {
    struct tide_store *store;
    struct txn txn;
    unsigned steps, limit;
    enum tide_rc rc; /* the first failure: everything after it does nothing */
};

/* Before any of them: finds out what became of a commit that failed. One that was in doubt and did
 * happen is settled by the next commit, with its own parcels at hand; nothing else may write
 * before. TIDE_AGAIN: so it is. */
enum tide_rc may_write(struct tide_store *store, struct tide_err *err);

void slices_begin(struct slices *slices, struct tide_store *store, unsigned limit);

/* Commits with this state, its commit_seq made the next one. Failures of txn stick, too. */
enum tide_rc slices_end(struct slices *slices, const struct store_state *state,
                        struct tide_err *err);

/* One step is done. */
void slices_step(struct slices *slices, struct tide_err *err);

#endif
