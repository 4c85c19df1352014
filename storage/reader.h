/* reader - a read transaction with its cursors, and the memory to decode what they stand on.
 *
 * Beginning one takes a slot in the table that all processes of the store share, so readers are
 * kept: at most READERS_IDLE of them wait in a pool, holding nothing but their slot and their
 * memory. A waiting one pins no pages.
 */
#ifndef STORAGE_READER_H
#define STORAGE_READER_H

#include "chunk.h"
#include "inside.h"
#include "tiers.h"

#define READERS_IDLE 16

struct reader {
    struct reader *next; /* in the pool */
    MDB_txn *txn;        /* NULL: never begun */
    MDB_cursor *row, *correction;
    struct tier_cursor tier[TIDE_TIER_COUNT];
    struct tier_cursor side; /* raw, beside a walk */
    struct chunk_reader chunk, side_chunk;
    struct fold_state fold; /* as of the transaction */
    struct blob blob;
    struct tide_record record; /* the one that is given out */
    struct tide_record part;   /* one value of several */
    struct tide_record fleet;  /* an open interval's */
    struct {
        struct tide_record sum;                   /* all that came late for one module */
        struct tide_record before, after;         /* the fleet's gauges */
        struct tide_record own_before, own_after; /* and the module's */
    } late;
};

/* Takes one from the pool, or makes one. Never NULL (out of memory aborts). */
struct reader *reader_take(struct tide_store *store);

/* Begins the transaction, the first time or after reader_end. After a failure the reader is not
 * sound: it can only be put back. */
enum tide_rc reader_begin(struct reader *reader, struct tide_store *store, struct tide_err *err);

/* Lets go of what the transaction sees. */
void reader_end(struct reader *reader);

/* Back to the pool, if there is room and it is `sound`; NULL is fine. */
void reader_put(struct tide_store *store, struct reader *reader, bool sound);

/* Frees those in the pool: the environment is about to be closed. The caller holds readers_lock, or
 * is alone. */
void readers_drop(struct tide_store *store);

/* Pages of the file that hold nothing. Any thread; the environment stays open. */
uint64_t free_pages(struct tide_store *store);

/* Fills readers, oldest_reader_us and free_pages. The caller holds readers_lock, and the
 * environment is open. */
void reader_stats(struct tide_store *store, struct tide_store_stats *ret);

#endif
