/* snapshot - what the files that read through one share. The door has the promise.
 *
 * A snapshot pins a head generation first and begins its transaction after, so the transaction is
 * never older than the generation. What is newer in the transaction is told apart and left out:
 * rows of intervals that the generation still holds open, corrections whose seq is above its
 * commit_seq. Chunks are not versioned; so when they were changed after the generation, by its
 * commit_seq, both are taken anew.
 *
 * A walk that goes on for long lets go of its transaction and takes another: see snapshot_spent.
 */
#ifndef STORAGE_SNAPSHOT_H
#define STORAGE_SNAPSHOT_H

#include "plan.h"
#include "reader.h"

#define NOWHERE    INT64_MIN
#define SPAN_MAX_S (INT64_MAX / 1000000) /* no interval starts later */

/* How long, and for how many records, a transaction is held before it is renewed. */
#define READ_BUDGET_US      250000
#define READ_BUDGET_RECORDS 65536

/* A total that had to be summed up for this snapshot. */
struct summed {
    struct summed *next;
    struct tide_record record;
    char error[TIDE_ERROR_TEXT_MAX + 1];
};

struct tide_snapshot {
    struct tide_store *store;
    const struct head_generation *opened; /* as of the opening: names, totals, books */
    const struct head_generation *head; /* as of the transaction: open intervals; often the same */
    struct tide_snapshot_info info;
    struct reader *reader;
    struct plan_reach reach; /* of the transaction */
    uint32_t records;        /* read in this transaction */
    int64_t begun_us;        /* the transaction; monotonic */
    int64_t opened_us;       /* Unix time */
    struct tide_snapshot *before, *after;
    struct summed *summed;
    struct summed *fleet_total;
    enum tide_rc rc;     /* the first failure of a walk */
    enum tide_rc broken; /* renewing failed: there is no transaction any more */
};

int64_t snapshot_begun_us(const struct tide_snapshot *snapshot);

/* Whether the walk should renew the transaction where it can. */
bool snapshot_spent(const struct tide_snapshot *snapshot);

/* Begins the transaction anew. Cursors are lost, `reach` and `head` may be newer. A failure is in
 * snapshot->rc. */
void snapshot_renew(struct tide_snapshot *snapshot);

/* Remembers a failure that is not "not found". */
void snapshot_note(struct tide_snapshot *snapshot, int code);

/* ---- stored.c: rows, and what came late ---- */

/* The greatest interval start below before_s that has a key in the table, or NOWHERE. */
int64_t stored_below(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t before_s);

/* The first module at or above `module` that has a key in an interval; the cursor stands on its
 * first key. UINT32_MAX: none. */
uint32_t stored_module(struct tide_snapshot *snapshot, MDB_cursor *cursor, int64_t start_s,
                       uint32_t module);

/* Reads one row; false: it is not there. A damaged one is there, and empty. */
bool row_read(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
              struct tide_record *into);
/* The one that the cursor stands on. */
void row_read_here(struct tide_snapshot *snapshot, struct tide_record *into);
/* Moves on to the next module's row of the interval; UINT32_MAX: there is none. */
uint32_t row_next(struct tide_snapshot *snapshot, int64_t start_s);

/* Merges what came late for one interval into the record that covers it, of any tier; module may be
 * the fleet. True: something was merged. */
bool late_merge(struct tide_snapshot *snapshot, int64_t start_s, uint32_t module,
                enum tide_tier tier, struct tide_record *into);

/* ---- range.c ---- */

/* A stretch of a module's finished history being walked, newest first. */
struct walk {
    struct tide_snapshot *snapshot;
    uint32_t module;
    bool no_hist, merged;
    tide_walk_fn *take;
    void *arg;
    int64_t at_s;   /* what starts at or after this was given */
    int64_t late_s; /* the newest interval below at_s that something came late for, or NOWHERE */
    bool ended;     /* take said so */

    /* The caller knows what came late for this module, and wants the stretch out of one
     * transaction, spent or not. */
    bool listed;
    const int64_t *late; /* intervals, descending */
    size_t lates;
};

/* Walks down to from_s through chunks of one tier; stops early when the transaction is spent, the
 * walk has ended or failed. at_s tells. */
void walk_chunks(struct walk *walk, enum tide_tier tier, int64_t from_s);

/* Cuts from_s to what the tier keeps of the module. */
int64_t kept_start_s(const struct tide_snapshot *snapshot, uint32_t module, enum tide_tier tier,
                     int64_t from_s);

/* Cuts the span to times that there can be. False: nothing is left. */
bool span_fix(const struct tide_snapshot *snapshot, struct tide_span *span);

#endif
