/* transfer - history out of a store, record by record, and into one.
 *
 * Out: a store is opened for reading only, beside its daemon or without one, and all of it is seen
 * as of one moment. In: records are committed as if their events had just come, each into its own
 * interval, but as records: nothing of them is lost or made up. The books of a store count what
 * came over the wire, so what is brought in this way is not in them.
 */
#ifndef TIDEMARK_TRANSFER_H
#define TIDEMARK_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/record.h"
#include "tidemark/store.h"

/* ---- out ---- */

/* Opens the store in `dir` for reading: only tide_snapshot_* and what tells of the store itself may
 * be called. There is one snapshot in its life; until it is closed the file keeps what a daemon
 * deletes or rewrites, and grows by as much. TIDE_NOT_FOUND: there is no store. */
enum tide_rc tide_store_view(const char *dir, struct tide_store **ret, struct tide_err *err);

/* The store's name as a source of history, as 32 hex digits. */
void tide_store_uuid(const struct tide_store *store, char ret[33]);
uint32_t tide_store_interval_s(const struct tide_store *store);

/* Size of the data file. */
uint64_t tide_store_file_bytes(const struct tide_store *store);

struct tide_whole {
    int64_t from_s, to_s; /* half-open, by the start of a record; INT64_MAX: to the end */
    /* module: 0 is the fleet, only in what is kept of coarser tiers only. False: stop. */
    bool (*take)(void *arg, uint32_t module, enum tide_tier tier, int64_t start_s,
                 const struct tide_record *record, unsigned flags);
    bool (*want)(void *arg, uint32_t module); /* NULL: all */
    bool (*go_on)(void *arg, double share);   /* often; false: stop */
    void *arg;
};

/* Gives all that is kept, each stretch of a module's time once, by the finest tier that still has
 * it; coarser ones first, then oldest first, by the hour or day. TIDE_STOPPED: a callback said so.
 */
enum tide_rc tide_snapshot_whole(struct tide_snapshot *snapshot, const struct tide_whole *whole,
                                 struct tide_err *err);

/* ---- in: the committing thread, of a store that is opened for writing ---- */

struct tide_import {
    const char *module;
    uint32_t module_len;
    enum tide_tier tier;
    int64_t start_s; /* aligned to the tier */
    const struct tide_record *record;
};

struct tide_imported {
    uint64_t added;   /* records that the store did not have */
    uint64_t present; /* that it had, the same */
    uint64_t differ;  /* for whose time it had another: left as it was */
};

/* At most so many records in one call. */
#define TIDE_IMPORT_MAX 4096

/* One synced transaction of what is new of the records; *ret is added to. Two of the same module
 * and start must not be in one call. A coarser record is booked in the interval at its start. Seal
 * and upkeep are the caller's. */
enum tide_rc tide_store_import(struct tide_store *store, const struct tide_import *item,
                               size_t count, struct tide_imported *ret, struct tide_err *err);

/* What a module counted before its oldest record, and its last error; either may be missing. Of the
 * former nothing is taken when the store knows the module from as early or earlier. */
struct tide_import_life {
    const char *module;
    uint32_t module_len;
    const struct tide_record *before; /* NULL: nothing */
    const char *last_error;           /* NULL: none */
    uint32_t last_error_len;
    int64_t last_error_us;
};

/* added counts the modules of which something new was taken. */
enum tide_rc tide_store_import_lives(struct tide_store *store, const struct tide_import_life *life,
                                     size_t count, int64_t now_us, struct tide_imported *ret,
                                     struct tide_err *err);

#endif
