/* fold - the background work that turns rows into history: whole hours of rows into chunks of the
 * tiers raw, 5m and 1h, whole days of those into 1d, and corrections into the chunks they belong
 * to.
 */
#ifndef STORAGE_FOLD_H
#define STORAGE_FOLD_H

#include "inside.h"

#define REFOLD_AT 4096 /* values in the table of corrections */

struct fold *fold_new(void);
void fold_free(struct fold *fold); /* NULL is fine */

/* After a failure elsewhere: what was under way begins anew. */
void fold_forget(struct fold *fold);

/* One slice of whatever is due, one transaction of a few milliseconds at most. TIDE_AGAIN: there is
 * more to do at once. */
enum tide_rc store_fold(struct tide_store *store, int64_t now_us, struct tide_err *err);

/* Ends a slice that changed chunks: what it wrote counts, and snapshots from now on may see it. */
struct slices;
enum tide_rc fold_finish(struct tide_store *store, struct slices *slices,
                         const struct fold_state *next, struct tide_err *err);

/* refold.c: one slice of applying corrections to folded intervals, those of commits up to upto_seq;
 * `next` is written with it. TIDE_AGAIN: some were applied; TIDE_OK: there are none. */
struct tier_writer;
enum tide_rc store_refold(struct tide_store *store, struct tier_writer *writer,
                          const struct fold_state *next, uint64_t upto_seq, int64_t now_us,
                          struct tide_err *err);

#endif
