/* verify - what its files share: the view at hand, what is known of each module, and how a finding
 * is told.
 *
 *   verify.c          the order of things, views, findings
 *   verify_tables.c   every value of every table, by itself and among its neighbours
 *   verify_sums.c     values against each other: tiers, fleet, totals, books
 */
#ifndef STORAGE_VERIFY_H
#define STORAGE_VERIFY_H

#include "chunk.h"
#include "inside.h"
#include "pages.h"
#include "tidemark/verify.h"

#define HOUR_NONE UINT32_MAX

/* What is known of a module, [0] the fleet. Counts are of events. */
struct verify_module {
    uint64_t total_seq; /* the total covers the journal up to here ... */
    int64_t upto_s;     /* ... of intervals before this */
    int64_t first_us;   /* its oldest event */
    uint64_t total;     /* by the module table */
    uint64_t behind;    /* in the journal, of sealed intervals, not in the total yet */
    uint64_t open;      /* in the journal, of open intervals */
    uint64_t history;   /* in rows, corrections and chunks, each counted once */
    int64_t history_s;  /* start of the oldest of these; INT64_MAX: none */
    uint32_t oldest_h[TIDE_TIER_COUNT]; /* period of its oldest chunk, in hours; HOUR_NONE */
    bool known;
};

/* Two sides of one stretch of time that must be the same: the sum of the finer records and the
 * coarser one, or the sum of the modules' and the fleet's. */
struct verify_sum {
    int64_t start_s;
    struct tide_record parts, whole;
    uint64_t parts_revision; /* the sum of theirs */
    uint64_t whole_revision;
    bool has_parts, has_whole;
};

struct verify_sums {
    struct verify_sum *sum; /* ascending by start: [count] in use of [made] initialised ones */
    size_t count, made;
};

/* The fleet of one period, while its chunks or rows pass by. */
struct verify_fleet {
    struct verify_sums sums;
    int64_t period_s;
    uint64_t fold_seq; /* when the period began */
    bool begun;
    bool spoiled;  /* a value of it could not be read */
    uint64_t *met; /* bit by module that is in it */
    size_t met_words;
};

struct verify {
    const struct tide_verify_cfg *cfg;
    struct tide_verified *result;
    struct tide_err *err;
    enum tide_rc rc; /* the first failure: everything after it does nothing */
    struct pages *pages;
    int64_t taken_us; /* the view */
    unsigned calls;
    bool moved; /* the view, since the beginning */
    bool naming;

    struct store_identity identity;
    struct store_state state; /* of the view */
    struct fold_state fold;

    struct verify_module *module; /* [modules + 1] */
    uint32_t modules;
    size_t capacity;
    uint64_t *name_hash; /* [modules] */
    uint64_t damage;     /* findings that say that something cannot be read */
    uint64_t *told;      /* pages that a finding named: [told_count] */
    size_t told_count;

    struct blob blob;
    struct tide_record record, merged;
    struct chunk_reader reader;
    struct verify_fleet fleet;
    uint64_t pages_expected;
    struct pages_cursor names; /* for the names in findings */
};

/* May move the view, stop, and show progress. False: stop. Nothing that points into a page survives
 * it when the view moves. */
bool verify_breathe(struct verify *verify);

/* Tells a finding. key: NULL, or of the table. from_s, to_s: see the door. */
void verify_found(struct verify *verify, const char *table, const MDB_val *key, uint32_t module,
                  int64_t from_s, int64_t to_s, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* The same for a value of a table: module and time are read from its key. */
void verify_found_value(struct verify *verify, enum table table, const MDB_val *key,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

#define VERIFY_NO_MODULE UINT32_MAX

/* NULL when the id is beyond those that the module table had. */
struct verify_module *verify_module(struct verify *verify, uint32_t id);
void verify_module_add(struct verify *verify, uint32_t id);

uint64_t verify_events(const struct tide_record *record);

/* verify_tables.c */
/* The order in which tables are read: each needs those before it. */
extern const enum table verify_order[TABLE_COUNT];
/* Takes one more value into a hash over all. */
void verify_hash(uint64_t hash[2], enum table table, const MDB_val *key, const MDB_val *value);
void verify_table(struct verify *verify, enum table table);

/* verify_sums.c */
void verify_fleet_begin(struct verify *verify, int64_t period_s);
void verify_fleet_add(struct verify *verify, uint32_t module, int64_t start_s, uint32_t revision,
                      const struct tide_record *record);
/* Compares what was added since the beginning. tier: its name; -1: rows. */
void verify_fleet_end(struct verify *verify, int tier);
void verify_fleet_fini(struct verify_fleet *fleet);
void verify_tiers(struct verify *verify, enum tide_tier coarse);
void verify_totals(struct verify *verify);

#endif
