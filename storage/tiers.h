/* tiers - the tables of chunks, one a tier. A tier's history is cut into periods; within one a
 * module's records are a few chunks, each but the last as full as a page allows. Keys are (period,
 * module, first interval), so a fold appends and retention takes periods from the front.
 *
 * Writing is: append the records of a finished stretch (again after a crash: what an unfinished
 * fold left is replaced), and change single records that late events belong to.
 */
#ifndef STORAGE_TIERS_H
#define STORAGE_TIERS_H

#include "chunk.h"
#include "inside.h"
#include "tidemark/tier.h"

#define TIER_TABLE(tier) ((enum table)(TABLE_CHUNK_RAW + (int)(tier)))

/* Width of a tier's records, and of its periods: a multiple of an hour (the day tier: of a day),
 * about one page of a busy module. */
int64_t tier_width_s(enum tide_tier tier, uint32_t interval_s);
int64_t tier_period_s(enum tide_tier tier, uint32_t interval_s);

/* How far a tier is complete. */
int64_t tier_upto_s(const struct fold_state *fold, enum tide_tier tier);

/* ---- reading: any transaction ---- */

/* Walks the chunks of one module in one period. The cursor belongs to the tier's table. */
struct tier_cursor {
    MDB_cursor *mdb;
    enum tide_tier tier;
    uint32_t width_s;
    struct blob blob; /* the chunk's payload */
    struct chunk_view view;
    int64_t first_s; /* of the chunk, by its key */
    bool sound;      /* of the chunk it stands on: view may be read */
    int lmdb;        /* code of a failure that is not damage; 0 else */
};

enum tide_rc tier_cursor_open(struct tier_cursor *cursor, MDB_txn *txn, const MDB_dbi *dbi,
                              enum tide_tier tier, uint32_t interval_s);
void tier_cursor_close(struct tier_cursor *cursor); /* all zero is fine */

/* Stands on the newest chunk of (period, module) whose first interval starts before before_s;
 * false: there is none. A damaged chunk is stood on, counted, logged, and not sound. */
bool tier_newest(struct tier_cursor *cursor, int64_t period_s, uint32_t module, int64_t before_s);
/* The one before it in the same period. */
bool tier_older(struct tier_cursor *cursor, uint32_t module);

/* Counts the chunk it stands on as damaged, and names it in the log: its header was sound, but what
 * follows is not. */
void tier_damaged(const struct tier_cursor *cursor, uint32_t module);

/* The period of the newest chunk (of any module) in a period that starts before before_s, or
 * INT64_MIN. */
int64_t tier_period_below(struct tier_cursor *cursor, int64_t before_s);
/* Stands on the first chunk of the first module at or above `module` in the period; returns that
 * module, UINT32_MAX when there is none. The view is not read. */
uint32_t tier_module_from(struct tier_cursor *cursor, int64_t period_s, uint32_t module);

/* ---- writing: the committing thread ---- */

/* Works on one write transaction; keeps its memory between them. */
struct tier_writer {
    struct chunk_reader reader;
    struct tide_record **pool; /* [pooled], the first `entries` in use */
    size_t pooled;
    struct chunk_entry *entry; /* the records being written, ascending */
    size_t entries, capacity;
    struct blob blob;
};

void tier_writer_init(struct tier_writer *writer);
void tier_writer_fini(struct tier_writer *writer);

/* Makes the records [0, count), ascending by start, none empty, all of one period and at or after
 * from_s, what the tier holds of the module from from_s to the end of that period. Failures stick
 * to txn. */
void tier_append(struct tier_writer *writer, struct txn *txn, uint32_t interval_s,
                 enum tide_tier tier, uint32_t module, int64_t from_s,
                 const struct chunk_entry *entry, size_t count);

/* What late events do to one record. */
struct tier_edit {
    int64_t start_s;                 /* of the tier's interval */
    uint32_t corrections;            /* how many: the revision rises by that */
    const struct tide_record *merge; /* merged in; for the fleet all but its gauges */
    /* the fleet's gauges: in the finer record this was, and is; NULL for a module */
    const struct tide_record *before, *after;
};

/* Applies the edits, ascending by start (several may have one start), all of one period; makes
 * records that are not there. */
void tier_apply(struct tier_writer *writer, struct txn *txn, uint32_t interval_s,
                enum tide_tier tier, uint32_t module, const struct tier_edit *edit, size_t count);

#endif
