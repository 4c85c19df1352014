/* fold_step - what the steps of the fold share: where each of them is, and the memory they work in.
 *
 * How far a step is stands in memory only: its last transaction makes it count, readers ignore what
 * it wrote before that, and after a crash it begins anew and replaces what it had written with the
 * same bytes. That an hour has begun, and which corrections came before, stands on disk.
 */
#ifndef STORAGE_FOLD_STEP_H
#define STORAGE_FOLD_STEP_H

#include "fold.h"
#include "tiers.h"

#define HOUR_S 3600
#define DAY_S  86400

enum step { STEP_NONE, STEP_HOUR, STEP_DAY };

/* One interval of an hour: a cursor that goes through its modules. */
struct lane {
    MDB_cursor *cursor;
    int64_t start_s;
    uint32_t module; /* it stands on; UINT32_MAX: past the last */
};

struct fold {
    struct tier_writer writer;
    struct tide_record *record; /* of the module at hand: [records], all initialised */
    struct chunk_entry *entry;  /* [records] */
    size_t records;
    struct tide_record merged;
    struct blob blob;
    struct lane *lane; /* [lanes] */
    size_t lanes;

    enum step step;
    int64_t from_s;      /* of the step */
    uint64_t refold_seq; /* of an hour: see struct fold_state */
    uint32_t next;       /* its first module that is not done ... */
    int64_t part_s;      /* ... and of whose hour this much is; `merged` is the merge of that */
    int64_t width_s;     /* of its next part */
    bool rows_wasted;    /* rows before hours_upto may be there */
};

/* Whether a slice that began at begin_us and did so many modules takes one more. */
bool fold_goes_on(const struct tide_store *store, unsigned done, int64_t begin_us);

/* Room for `count` records of one module. */
void fold_make_room(struct fold *fold, size_t count);

/* One slice each. TIDE_AGAIN: that went well. The steps end themselves; fold_rows clears
 * rows_wasted. */
enum tide_rc fold_hour(struct tide_store *store, struct tide_err *err);
enum tide_rc fold_day(struct tide_store *store, struct tide_err *err);
enum tide_rc fold_rows(struct tide_store *store, struct tide_err *err);

#endif
