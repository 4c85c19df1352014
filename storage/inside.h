/* inside - what the files of this room share of an open store. */
#ifndef STORAGE_INSIDE_H
#define STORAGE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include "tidemark/store.h"
#include "tidemark/tier.h"
#include "group.h"
#include "head.h"
#include "identity.h"
#include "journal.h"
#include "modules.h"
#include "producer.h"
#include "quota.h"
#include "txn.h"

/* Fixed when the store is created. */
struct store_identity {
    uint8_t uuid[16]; /* the store's name as a source of history */
    uint32_t interval_s;
    uint64_t instance_seed;
    uint64_t identity_seed;
};

/* Rewritten by every transaction. */
struct store_state {
    uint64_t commit_seq;
    int64_t sealed_upto_s;
    struct tide_ledger ledger;
};

/* How far history has moved from rows into chunks, and out of them. All 0 in a new store. */
struct fold_state {
    uint64_t seq;           /* commit_seq of the last transaction that changed chunks */
    int64_t hours_upto_s;   /* tiers raw, 5m and 1h hold every interval before this (a whole hour);
                               rows before it are waste, records at or after it unfinished work */
    int64_t days_upto_s;    /* tier 1d likewise (a whole day) */
    int64_t folding_upto_s; /* the hour before this is being folded, once the corrections up to
                               refold_seq are applied; not above hours_upto: none is */
    uint64_t refold_seq;
    int64_t evicted_upto_s[TIDE_TIER_COUNT]; /* given up before its time, to stay in max_bytes */
};

/* One journal entry that is still on disk. */
struct journal_mark {
    uint64_t seq;
    int64_t newest_start_s;
    uint32_t parts;
};

/* A queue of them, oldest first. */
struct journal_marks {
    struct journal_mark *mark;
    size_t first, count, capacity;
    uint64_t parts; /* in all */
};

#define READERS_MAX 1024

struct tide_store {
    struct tide_store_cfg cfg;
    struct store_identity identity;
    int lock_fd;
    MDB_env *env;
    MDB_txn *view; /* of a store that is only read: the one transaction, until a reader has it */
    bool viewed;   /* so it is, and nothing is renewed */
    MDB_dbi dbi[TABLE_COUNT];
    char data_path[1200];

    /* the committing thread's */
    struct store_state state;        /* as committed */
    struct fold_state fold;          /* as committed */
    struct identity_set *identities; /* of chunks */
    struct identity_set *event_ids;
    struct producers *producers;
    uint64_t producer_chunks; /* in the producer table */
    struct group group;
    struct fold *folding; /* the background work under way */
    unsigned fold_slice;  /* modules in one slice of it; 0: as many as are quick */
    bool refold_off;      /* the table of corrections is damaged */
    unsigned refold_at;   /* corrections are not put off when there are so many */
    struct blob blob;
    struct tide_record scratch;
    struct journal_marks marks;
    uint64_t checkpoint_seq; /* every total on disk covers the journal up to here ... */
    int64_t checkpoint_s;    /* ... for intervals before this; when it was taken: */
    int64_t checkpoint_us;
    int64_t reader_check_us;
    struct expiry *expiry;
    bool relieving; /* making room: that this works does not mean that there is any */
    char ballast_path[1200];
    uint64_t ballast_wanted; /* its size */
    int64_t ballast_us;      /* when it was looked at last */
    bool ballast_missed;     /* given up, and not whole again since; said so */
    struct quota quota;
    bool expiring;           /* identities may be out of their window ... */
    bool identities_expired; /* ... and some that left memory may still be on disk */
    bool event_ids_expired;
    enum tide_fate *fate;
    size_t fate_capacity;
    int64_t
        failing_us; /* since when writes fail, not for lack of space (monotonic); 0: they do not */
    bool unsure;    /* the last transaction failed: ask before the next */
    bool unsettled; /* reopened for reading, while the disk did not take what it has to */
    struct {
        size_t count; /* parcels of the group commit that failed last, 0: none is in doubt */
        int64_t now_us;
        uint64_t seq; /* that it would have got */
        bool dropped; /* the parcels are gone */
    } attempt;

    /* shared */
    struct head *head;
    struct modules *modules;
    _Atomic enum tide_store_state condition;
    _Atomic enum tide_rc failure;        /* why it is not ok */
    atomic_bool reopening;               /* no new readers: those inside are waited for */
    atomic_uint_least64_t ballast_bytes; /* held */
    atomic_uint_least64_t identity_count;
    atomic_uint_least32_t identity_oldest_s;
    atomic_bool identity_by_count;
    atomic_uint_least64_t event_id_count;
    atomic_uint_least32_t producer_count;

    pthread_mutex_t readers_lock; /* the open snapshots, oldest first */
    struct tide_snapshot *reader_first, *reader_last;
    struct reader *reader_idle; /* waiting for the next snapshot */
    unsigned readers_idle;
    uint64_t readers;
};

/* schema.c */
enum tide_rc schema_open(struct tide_store *store,
                         struct tide_err *err); /* creates or checks; reads the state */
/* The same for one that is only read; its interval becomes that of the configuration. */
enum tide_rc schema_read(struct tide_store *store, MDB_txn *txn, struct tide_err *err);
/* Says why a store of another schema is not opened, and what to do. */
void schema_refuse(uint32_t schema, struct tide_err *err);
void schema_put_state(struct txn *txn, const struct store_state *state);
void schema_put_fold(struct txn *txn, const struct fold_state *fold);
enum tide_rc schema_get_fold(MDB_txn *txn, MDB_dbi meta, struct fold_state *ret);
const char *schema_table_name(enum table table);
/* The payloads of table meta. False: damaged; of the identity also: *ret_schema is another one. */
bool schema_decode_state(const uint8_t *at, size_t len, struct store_state *ret);
bool schema_decode_fold(const uint8_t *at, size_t len, struct fold_state *ret);
bool schema_decode_identity(const uint8_t *value, size_t len, struct store_identity *ret,
                            uint32_t *ret_schema);

/* replay.c */
enum tide_rc replay_modules(struct tide_store *store, MDB_txn *txn, struct tide_err *err);
/* Chunks, event ids and producers. */
enum tide_rc replay_known(struct tide_store *store, MDB_txn *txn, int64_t now_us,
                          struct tide_err *err);
enum tide_rc replay_journal(struct tide_store *store, MDB_txn *txn, struct tide_err *err);
/* The one commit that is on disk and not in memory, store->state being what is on disk: all of it,
 * or nothing and a failure. */
enum tide_rc replay_commit(struct tide_store *store, struct tide_err *err);

/* totals.c: the module table's values */
void totals_put(struct txn *txn, struct blob *blob, const struct module_name *name, uint32_t id,
                const struct head_node *node, uint64_t seq, int64_t upto_s);
struct totals_read {
    const char *name;
    uint32_t name_len;
    uint64_t seq;   /* the total covers the journal up to here ... */
    int64_t upto_s; /* ... of intervals before this */
    int64_t error_us;
    const char *error;
    uint32_t error_len;
};
bool totals_decode(const struct blob *blob, struct totals_read *ret, struct tide_record *record);

/* Adds a delta's effect to the head's draft: to its open interval, or to the totals when that is
 * sealed. */
void head_take_delta(struct tide_store *store, uint32_t module, int64_t start_s,
                     const struct row_view *view, const char *error, uint32_t error_len,
                     int64_t error_us);

/* Many deltas reach nodes in no order, each a dozen cache lines that are far away: asks for those
 * of one that is to come, so that they have come when it is its turn. In steps, each some deltas
 * after the one before, since it reads what that has asked for. */
enum head_call { HEAD_CALL_PLACE, HEAD_CALL_NODE, HEAD_CALL_PARTS };
void head_call_up(const struct tide_store *store, enum head_call call, uint32_t module,
                  int64_t start_s, const struct hist_run *run, uint32_t runs);

/* forget.c: chunks, event ids and producers that are out of their window or over their count; a few
 * pages at a time. TIDE_AGAIN: there is more to do. */
enum tide_rc store_forget(struct tide_store *store, int64_t now_us, struct tide_err *err);
/* The figures of the known for other threads. */
void store_show_known(struct tide_store *store);

/* keep.c: records of the tier that start before this are kept no longer; 0: all are kept. Any
 * thread. */
int64_t keep_from_s(const struct tide_store *store, const struct fold_state *fold, uint32_t module,
                    enum tide_tier tier, int64_t now_us);
/* The same for all modules of a retention rule, and which rule is a module's. */
int64_t keep_rule_from_s(const struct tide_store *store, const struct fold_state *fold, size_t rule,
                         enum tide_tier tier, int64_t now_us);
size_t keep_rule(const struct tide_store *store, uint32_t module);

/* marks */
void marks_push(struct journal_marks *marks, struct journal_mark mark);
void marks_pop(struct journal_marks *marks);

/* Counts a damaged value and names it in the log. */
void damaged(const char *table, const MDB_val *key);

/* What a seal does in memory once state.sealed_upto_s is on disk: the intervals before it leave the
 * head. */
void seal_publish(struct tide_store *store);
/* Writes the totals that have changed, as of now. */
enum tide_rc seal_checkpoint(struct tide_store *store, int64_t now_us, struct tide_err *err);

/* store.c */
enum tide_rc store_open_env(struct tide_store *store, const char *path, struct tide_err *err);

/* Makes the disk say of a data file what the page cache says: before anything is written to it. */
enum tide_rc store_settle_disk(const char *path, struct tide_err *err);

/* recover.c */

/* After a failed transaction: makes sure that the store can be written, reopening it when LMDB
 * refuses to go on, and then store->state is what is on disk. TIDE_IN_DOUBT: not yet. */
enum tide_rc store_recover(struct tide_store *store, struct tide_err *err);

/* Turns a failed transaction into the store's condition (a full disk hides behind EIO). Returns the
 * rc to hand up. */
enum tide_rc store_failed(struct tide_store *store, enum tide_rc rc);
void store_succeeded(struct tide_store *store);
bool store_disk_is_full(const struct tide_store *store);

#endif
