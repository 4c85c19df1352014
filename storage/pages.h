/* pages - LMDB's file, read with distrust.
 *
 * LMDB has no checksums and believes its pages: a flipped bit in one may crash whoever reads it
 * through the library, or hide half a table without a word. Whoever wants to know whether a file is
 * sound therefore reads it here: with plain reads, every page checked before it is used (number,
 * kind, bounds, order of the keys, and that they lie between those of the page above). The library
 * only holds the view: its reader slot keeps the writer from reusing the pages of a transaction.
 *
 * A view is short beside a writer, for a held one grows the file. When it is moved, cursors find
 * their place again by their last key.
 */
#ifndef STORAGE_PAGES_H
#define STORAGE_PAGES_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "txn.h"

#define PAGES_DEPTH_MAX 16
#define PAGES_KEY_MAX   511
#define PAGES_NONE      UINT64_MAX

/* One tree, as the page above it tells. */
struct pages_tree {
    uint16_t depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t root; /* PAGES_NONE: empty */
};

/* A page that cannot be used. from and to bound the keys that are lost with it; NULL: from the
 * first, to the last. */
struct pages_damage {
    const char *table;
    uint64_t page;
    const char *what;
    const MDB_val *from, *to;
};
typedef void pages_damaged_fn(void *arg, const struct pages_damage *damage);

struct pages {
    MDB_env *env;
    MDB_txn *txn;
    int fd;
    bool locked;   /* LMDB's lock file tells the writer of the view */
    uint32_t size; /* of a page */
    uint64_t txn_id, last_page;
    struct pages_tree free_tree, main_tree;
    struct pages_tree table[TABLE_COUNT];
    unsigned epoch;  /* rises when the view moved to another transaction */
    uint64_t loaded; /* pages read so far */
    uint64_t *seen;  /* bit by page, of counting cursors; NULL: nobody counts */
    pages_damaged_fn *tell;
    void *arg;
};

/* Opens the file for reading, beside a writer or not. TIDE_NOT_FOUND: no such file. TIDE_DAMAGED:
 * its first two pages are. count: keep account of the pages. */
enum tide_rc pages_open(const char *path, bool locked, bool count, pages_damaged_fn *tell,
                        void *arg, struct pages **ret, struct tide_err *err);
void pages_close(struct pages *pages); /* NULL is fine */

/* Lets go of the view and takes the newest. */
enum tide_rc pages_renew(struct pages *pages, struct tide_err *err);

/* How many bytes the file has. */
uint64_t pages_file_bytes(const struct pages *pages);

struct pages_level {
    uint8_t *page;
    uint64_t number;
    unsigned at, count;
};

struct pages_cursor {
    struct pages *pages;
    const char *name;
    int tree; /* enum table, or one of: */
#define PAGES_FREE (-1)
#define PAGES_MAIN (-2)
    bool counting;
    unsigned epoch;
    int depth; /* levels that are in use */
    struct pages_level level[PAGES_DEPTH_MAX];
    uint8_t last[PAGES_KEY_MAX]; /* the key it stood on last */
    size_t last_len;
    bool begun, damaged;
    MDB_val key, value; /* of its place; valid until it moves */
    uint8_t *overflow;
    size_t capacity;
    struct pages_tree counted; /* what a walk from the first to the last value met */
};

void pages_cursor_open(struct pages_cursor *cursor, struct pages *pages, int tree, const char *name,
                       bool counting);
void pages_cursor_close(struct pages_cursor *cursor);

/* The first value, and from then on the next one; false: there is none. */
bool pages_next(struct pages_cursor *cursor);

/* The first value at or above the key; false: there is none. */
bool pages_seek(struct pages_cursor *cursor, const void *key, size_t len);

/* After a walk with a counting cursor in one view: what the tree says of itself is not what was
 * met; NULL: it is. */
const char *pages_miscounted(const struct pages_cursor *cursor);

/* Walks the free list, and then tells what of the whole file is wrong: pages used twice, lost, or
 * free and in use. After every table was walked by a counting cursor in this view. */
void pages_account(struct pages *pages, uint64_t *ret_free);

#endif
