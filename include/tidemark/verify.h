/* verify - is a store what FORMAT.md says? Reads every page and every value of a store that is
 * closed, of one that a daemon has open, or of a copy, and names what is wrong: which table, which
 * key, whose module, what time.
 *
 * It changes nothing and needs nothing of the writer. Beside one it reads in views that are held
 * for a moment only; what needs one view of the whole file (books against history, the account of
 * all pages) is then checked only if nothing was committed meanwhile, and the result says so.
 */
#ifndef TIDEMARK_VERIFY_H
#define TIDEMARK_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/ledger.h"

#define TIDE_VERIFY_KEY_SIZE  80
#define TIDE_VERIFY_NAME_SIZE 132
#define TIDE_VERIFY_TABLES    12

/* One thing that is wrong. Lives for the call. */
struct tide_finding {
    const char *table;    /* "(file)" and others in brackets: not one of ours */
    const char *key;      /* hex; "" = of no one value */
    const char *module;   /* name, or "" */
    int64_t from_s, to_s; /* the time that it touches; to_s <= from_s: none, or unknown */
    uint64_t page;        /* number of the page in the file; 0 = of no one page */
    const char *what;     /* a sentence without its full stop */
};

struct tide_verify_cfg {
    const char *dir; /* of the store */
    int64_t hold_us; /* longest view; INT64_MAX: one view for all */
    void (*found)(void *arg, const struct tide_finding *finding);
    /* Called often; share of the work in 0..1. False: stop. */
    bool (*go_on)(void *arg, uint64_t done_bytes, double share);
    void *arg;
};

struct tide_verified {
    uint64_t findings;
    bool whole; /* nothing was committed meanwhile: everything was checked */
    uint32_t schema, interval_s;
    char uuid[33]; /* hex */
    uint64_t commit_seq;
    int64_t sealed_upto_s, hours_upto_s, days_upto_s;
    struct tide_ledger ledger;
    uint32_t modules;
    uint64_t values, bytes; /* of all tables, keys included */
    struct {
        const char *name;
        uint64_t values, bytes;
    } table[TIDE_VERIFY_TABLES];
    uint64_t records;      /* intervals of modules and of the fleet, in rows and chunks */
    uint64_t tier_sums;    /* records of coarser tiers that were compared with the finer one */
    uint64_t fleet_sums;   /* intervals of the fleet that were compared with the modules */
    uint64_t not_compared; /* because the other side is kept no longer, or changed meanwhile */
    uint64_t unfinished;   /* records of a seal or a fold under way: they do not count yet */
    uint64_t file_bytes, used_bytes, free_bytes; /* pages in use, and free */
    uint64_t hash[2]; /* over all values, if whole: two stores of the same content have the same */
};

/* TIDE_OK: it was read, and findings says whether it is sound. TIDE_NOT_FOUND: there is no store in
 * the directory. TIDE_DAMAGED: so badly that nothing could be read (the finding was told, too).
 * TIDE_SCHEMA: of another version. TIDE_STOPPED: go_on said so. */
enum tide_rc tide_verify(const struct tide_verify_cfg *cfg, struct tide_verified *ret,
                         struct tide_err *err);

#endif
