/* storage's door: the store on disk, its write side (one thread: the committer) and its snapshots
 * (any thread).
 *
 * No reader outside this room knows that LMDB is behind it, and no pointer into the map leaves it:
 * a walk gets decoded records that live until its callback returns. storage/FORMAT.md has the bytes
 * and the invariants.
 */
#ifndef TIDEMARK_STORE_H
#define TIDEMARK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/ledger.h"
#include "tidemark/parcel.h"
#include "tidemark/record.h"
#include "tidemark/retention.h"
#include "tidemark/tier.h"

#define TIDE_STORE_SCHEMA 2 /* a new number is a new step in migrations/ */
#define TIDE_FLEET        0u /* module id of the fleet; modules are 1, 2, ... in order of appearance */

struct tide_store_cfg {
    char dir[1024];
    uint64_t map_bytes;     /* default 1 TiB */
    uint64_t max_bytes;     /* the file grows no larger: oldest history goes early; 0: no cap */
    uint64_t ballast_bytes; /* of disk to set aside at most; default 8 MiB */
    uint32_t interval_s;    /* must agree with the store once created */
    uint64_t instance_seed; /* of a store that is created: see below; 0: a random one */
    uint32_t grace_s;
    int64_t lateness_s;
    int64_t fold_after_s; /* finished intervals move into chunks when they are so old */
    struct tide_retention_rules retention; /* lent to tide_store_open */
    uint32_t max_modules;
    int64_t dedup_window_s;
    uint64_t dedup_max_chunks;
    uint64_t dedup_max_event_ids;
    uint32_t retry_s; /* a store that cannot write, and not for lack of space, has then failed */
};

/* How writing goes. Reading goes on in all of them, and one transaction that succeeds leads back to
 * ok.
 *   full      there is no space: the last write did not happen, and is tried again for ever
 *   in_doubt  a write failed otherwise: unknown until settled; tried again for cfg.retry_s
 *   failed    that time is over: who waits for a commit is sent away */
enum tide_store_state { TIDE_STORE_OK, TIDE_STORE_FULL, TIDE_STORE_IN_DOUBT, TIDE_STORE_FAILED };
const char *
tide_store_state_name(enum tide_store_state state); /* "ok" "full" "in_doubt" "failed" */

struct tide_store;

void tide_store_cfg_default(struct tide_store_cfg *cfg);

/* Creates the directory (0700) and the store if need be, locks the directory, replays the journal.
 * TIDE_LOCKED names the process that holds it; TIDE_SCHEMA, TIDE_DAMAGED, TIDE_CONFIG (interval
 * differs) say so. */
enum tide_rc tide_store_open(const struct tide_store_cfg *cfg, struct tide_store **ret,
                             struct tide_err *err);
void tide_store_close(struct tide_store *store); /* NULL and half-open are fine */

/* The seed of instance ids, for struct tide_fold_rules. */
uint64_t tide_store_instance_seed(const struct tide_store *store);

/* The seed of chunk identities (tide_hash128_parts over peer, tag, chunk, entries) and, in struct
 * tide_fold_rules, of event ids. */
uint64_t tide_store_identity_seed(const struct tide_store *store);

/* ---- write side: the committer's thread only ---- */

/* One group in one synced transaction: as many of the parcels, oldest first, as one transaction
 * takes, at least one; *ret_taken says how many. On TIDE_OK their fates are set and the effect is
 * visible to snapshots opened from now on. On failure nothing happened, or nobody knows: fates are
 * open, call again with the same parcels, or tide_store_drop. now_us: wall clock. */
enum tide_rc tide_store_commit(struct tide_store *store, struct tide_parcel *const *parcel,
                               size_t count, int64_t now_us, size_t *ret_taken,
                               struct tide_err *err);

/* The parcels of the commit that failed last come no more. If it turns out to have happened, its
 * effect is taken from the disk, and chunks that are sent again are duplicates. */
void tide_store_drop(struct tide_store *store);

/* Finds out whether writing works again, by a transaction that changes nothing. */
enum tide_rc tide_store_probe(struct tide_store *store, struct tide_err *err);

/* Unix microseconds at which the next interval wants sealing; INT64_MAX when none is open. */
int64_t tide_store_next_seal_us(const struct tide_store *store);

/* Seals every interval whose end + grace has passed: head -> rows, totals checkpointed, journal
 * cut. */
enum tide_rc tide_store_seal(struct tide_store *store, int64_t now_us, struct tide_err *err);

/* Small upkeep between groups: expiry of identities, freeing what readers let go, mdb_reader_check
 * each minute. Returns TIDE_AGAIN when there is more to do. */
enum tide_rc tide_store_upkeep(struct tide_store *store, int64_t now_us, struct tide_err *err);

/* After a failure that left the store TIDE_STORE_FULL: deletes what is past its time, gives up old
 * history when storage.max_bytes asks for it, and cuts the journal, for some 100 ms at most; then
 * it is worth trying again. On a full disk the ballast is what it works with. */
enum tide_rc tide_store_relieve(struct tide_store *store, int64_t now_us, struct tide_err *err);

/* ---- any thread ---- */

enum tide_store_state tide_store_state(const struct tide_store *store);

struct tide_store_stats {
    uint64_t file_bytes; /* size of the data file */
    uint64_t used_bytes; /* pages in use */
    uint64_t free_pages;
    uint64_t max_bytes;         /* as configured; 0: no cap */
    uint64_t ballast_bytes;     /* of disk set aside; 0: given up, or none */
    uint64_t readers;           /* open snapshots */
    int64_t oldest_reader_us;   /* age of the oldest open snapshot, 0 without any */
    uint64_t identities;        /* chunks in the dedup set */
    int64_t oldest_identity_us; /* Unix time of the oldest, 0 without any */
    const char *identity_bound; /* which bound is active: "window" or "count" */
    uint64_t event_ids;         /* event ids remembered */
    uint64_t producers;         /* producers of structured chunk ids remembered */
    enum tide_rc failure;       /* of the last write, while the state is not ok */
};
void tide_store_stats(struct tide_store *store, struct tide_store_stats *ret);

/* What one kind of value takes in the file, its share of the tree's inner pages included. */
struct tide_store_table {
    char name[16]; /* as in storage/FORMAT.md */
    uint64_t values;
    uint64_t bytes;
    uint64_t fleet_bytes; /* of them, for chunks: what is the fleet's */
};

#define TIDE_STORE_TABLES 32 /* at least as many as there are */

/* Any thread; looks at every chunk. Fills ret as of the last transaction; *ret_count says how many.
 */
enum tide_rc tide_store_tables(struct tide_store *store,
                               struct tide_store_table ret[TIDE_STORE_TABLES], size_t *ret_count,
                               struct tide_err *err);

/* ---- snapshots: the read side ---- */

/* Everything as of one commit: the open intervals and totals pinned in memory, finished history in
 * a read transaction. Never sees half a chunk, never counts twice, never holds up the committer.
 * Used by one thread at a time.
 *
 * A read transaction that is held makes the file grow by all that is written meanwhile. So a walk
 * that has held one for 250 ms, or read 65 536 records in it, takes another and goes on from where
 * it is: nothing is given twice or left out. It goes on as of the same commit, unless history was
 * folded or corrected meanwhile: then what is still to come, which is older, is as of the newer
 * commit, with the late events that it holds. info, modules and totals stay as of the opening.
 *
 * Opening answers TIDE_UNAVAILABLE while the store is being reopened, with too many readers, or
 * while a fold has been committed but not published (a commit in doubt). */
struct tide_snapshot;

enum tide_rc tide_snapshot_open(struct tide_store *store, struct tide_snapshot **ret,
                                struct tide_err *err);
void tide_snapshot_close(struct tide_snapshot *snapshot); /* NULL is fine */

struct tide_snapshot_info {
    uint64_t commit_seq;
    int64_t sealed_upto_s; /* intervals starting before this are sealed */
    uint32_t interval_s;
    uint32_t modules; /* ids 1..modules exist */
    struct tide_ledger ledger;
};
const struct tide_snapshot_info *tide_snapshot_info(const struct tide_snapshot *snapshot);

/* What is known of a module for its whole life. Points into the snapshot: valid until it closes. */
struct tide_module {
    uint32_t id;
    const char *name; /* terminated */
    uint32_t name_len;
    const struct tide_record *total; /* since first seen; never goes back; no instance gauges */
    const char *last_error;          /* terminated; "" = none */
    int64_t last_error_us;           /* 0 = none */
};

/* TIDE_NOT_FOUND when no such module had been committed. */
enum tide_rc tide_snapshot_find(const struct tide_snapshot *snapshot, const char *name, size_t len,
                                struct tide_module *ret);
/* id in 1..modules. */
void tide_snapshot_module(const struct tide_snapshot *snapshot, uint32_t id,
                          struct tide_module *ret);

/* The fleet's lifetime totals: all modules gathered. */
const struct tide_record *tide_snapshot_fleet_total(const struct tide_snapshot *snapshot);

enum { TIDE_PART_OPEN = 1, TIDE_PART_CORRECTED = 2 };

/* One record of one module: of an interval, or of a coarser tier. Returns false to stop the walk.
 * record lives until the return. What the slowest operation was is known of open intervals and of
 * rows, not of folded history. */
typedef bool tide_walk_fn(void *arg, uint32_t module, int64_t start_s,
                          const struct tide_record *record, unsigned flags);

/* A stretch of time and how closely to look at it. */
struct tide_span {
    int64_t from_s, to_s;    /* half-open; multiples of the interval (if not: rounded inwards) */
    enum tide_tier coarsest; /* records of this tier, or finer where they would not fit in */
    bool no_hist;            /* histograms may be missing in the records: they are dear */
    bool merged;             /* for a sum: neighbours may come as one record, their merge, with the
                                start of the oldest; ranges only, and not with no_hist */
};

/* Walks one module (or TIDE_FLEET), newest first. Each record lies wholly inside the span and is of
 * the coarsest tier, up to span->coarsest, whose records do; finer where that one is not complete
 * yet, which no sum can tell: merged, the records are the same whatever is folded. What the tier
 * keeps no longer (see tide_snapshot_kept_from) is left out, deleted or not; so are empty records;
 * damaged ones are counted, logged and left out. */
enum tide_rc tide_snapshot_range(struct tide_snapshot *snapshot, uint32_t module,
                                 const struct tide_span *span, tide_walk_fn *take, void *arg);

/* The intervals themselves, over starts in [from_s, to_s): a range whose coarsest is raw. */
enum tide_rc tide_snapshot_walk(struct tide_snapshot *snapshot, uint32_t module, int64_t from_s,
                                int64_t to_s, tide_walk_fn *take, void *arg);

/* Walks all modules (not the fleet). want, if given, is asked before a record is decoded. Open
 * intervals and those not folded yet come newest first, within one by ascending module. Folded
 * history comes in stretches of days, newest first; within one by ascending module, of each the
 * newest first; and want is asked once for a module's whole stretch, with where that starts. So
 * each module by itself is seen newest first. */
typedef bool tide_want_fn(void *arg, uint32_t module, int64_t start_s);
enum tide_rc tide_snapshot_sweep_range(struct tide_snapshot *snapshot, const struct tide_span *span,
                                       tide_want_fn *want, tide_walk_fn *take, void *arg);

/* The intervals themselves: a sweep whose coarsest is raw. */
enum tide_rc tide_snapshot_sweep(struct tide_snapshot *snapshot, int64_t from_s, int64_t to_s,
                                 tide_want_fn *want, tide_walk_fn *take, void *arg);

/* Records of the tier that start before this are not kept any longer; 0: all are. As of the moment
 * the snapshot was opened. */
int64_t tide_snapshot_kept_from(const struct tide_snapshot *snapshot, uint32_t module,
                                enum tide_tier tier);

#endif
