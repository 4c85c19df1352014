/* migrate - a store of an older schema becomes one of this program's.
 *
 * The steps from each schema to the next are frozen code (migrations/). Before the first change the
 * file is copied and the copy verified. Then the steps work in transactions of a bounded number of
 * values, each of which also notes how far it got: killed at any moment, the next run goes on from
 * there. Until it is finished no program opens the store.
 */
#ifndef TIDEMARK_MIGRATE_H
#define TIDEMARK_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/backup.h"
#include "tidemark/err.h"

#define TIDE_MIGRATE_PATH 1200

/* A step, as people are told of it. */
struct tide_migration {
    uint32_t to;      /* from the schema before it */
    const char *name; /* as its file */
    const char *what; /* a sentence without its full stop */
};

/* All there are, ascending; *ret_count says how many. */
const struct tide_migration *tide_migrations(size_t *ret_count);

struct tide_migration_state {
    uint32_t schema;  /* of the store, or that of the migration under way */
    uint32_t program; /* this program's */
    bool under_way;
    char uuid[33];
    uint64_t file_bytes;
};

/* Looks only. TIDE_NOT_FOUND: there is no store. */
enum tide_rc tide_migrate_look(const char *dir, struct tide_migration_state *ret,
                               struct tide_err *err);

struct tide_migrate_cfg {
    const char *dir;
    const char *backup; /* directory to make; NULL: `DIR.schema-N` beside it */
    bool dry_run;       /* reads all that would be read, changes nothing */
    unsigned slice;     /* values in one transaction; 0: 4096 */
    /* Which step is going on, 0 for the backup and for verifying; may be NULL. */
    void (*begun)(void *arg, uint32_t to, const char *what);
    struct tide_copy_cfg copy; /* how to show findings and progress, and to stop */
};

struct tide_migrated {
    uint32_t from, to;
    bool resumed; /* an earlier run had begun it */
    uint64_t looked, changed, transactions;
    char backup[TIDE_MIGRATE_PATH]; /* "": none was made */
    bool verified;
};

/* TIDE_OK also when there is nothing to do (from == to). TIDE_LOCKED: a daemon has the store.
 * TIDE_SCHEMA: it is newer. TIDE_DAMAGED: so it is, or what came out, and ret->backup is to be
 * kept. TIDE_STOPPED: copy.go_on said so; the next run goes on. */
enum tide_rc tide_migrate(const struct tide_migrate_cfg *cfg, struct tide_migrated *ret,
                          struct tide_err *err);

#endif
