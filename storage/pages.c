/* pages - see pages.h: the file as a whole, and its view. */
#include "pages.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "pages_layout.h"
#include "must.h"

#define MAGIC        0xBEEFC0DEu
#define DATA_VERSION 1
#define RENEW_TRIES  1000
#define MAP_MAX      (UINT64_C(1) << 46) /* the most that can be configured */

/* Reads whole pages; false: the file does not have them, or the disk refuses. */
bool pages_read_at(int fd, void *into, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(fd, (uint8_t *)into + done, len - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Marks pages as used; why not, or NULL. */
const char *pages_mark(struct pages *pages, uint64_t number, uint64_t count)
{
    if (!pages->seen)
        return NULL;
    for (uint64_t i = number; i < number + count; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);

        if (pages->seen[i / 64] & bit)
            return "it is used twice";
        pages->seen[i / 64] |= bit;
    }
    return NULL;
}

/* ---- meta ---- */

struct meta {
    uint32_t size;
    uint64_t last_page, txn_id, map_bytes;
    struct pages_tree free_tree, main_tree;
};

static struct pages_tree get_tree(const uint8_t *from)
{
    return (struct pages_tree){.depth = u16(from + 6),
                               .branch_pages = u64(from + 8),
                               .leaf_pages = u64(from + 16),
                               .overflow_pages = u64(from + 24),
                               .entries = u64(from + 32),
                               .root = u64(from + 40)};
}

/* Why a meta page is none, or NULL. */
static const char *get_meta(const uint8_t *page, uint64_t number, struct meta *ret)
{
    const uint8_t *meta = page + PAGE_HEAD, *trees = meta + 24;

    if (u64(page) != number || u16(page + 10) != PAGE_META)
        return "it is no meta page";
    if (u32(meta) != MAGIC || u32(meta + 4) != DATA_VERSION)
        return "its magic number or version is wrong";
    ret->map_bytes = u64(meta + 16);
    ret->size = u32(trees);
    ret->free_tree = get_tree(trees);
    ret->main_tree = get_tree(trees + TREE_SIZE);
    ret->last_page = u64(trees + 2 * TREE_SIZE);
    ret->txn_id = u64(trees + 2 * TREE_SIZE + 8);
    if (ret->size < 512 || ret->size > 65536 || (ret->size & (ret->size - 1)) != 0)
        return "its size of a page is none";
    if (u64(meta + 8) != 0 || (u16(trees + 4) & (TREE_STRANGE | MAP_FIXED_FLAG)) != 0 ||
        !(u16(trees + 4) & TREE_INTEGER) || u32(trees + TREE_SIZE) != 0 ||
        u16(trees + TREE_SIZE + 4) != 0)
        return "its flags are not ours";
    if (ret->last_page < 1 || ret->last_page >= UINT64_C(1) << 47 || ret->map_bytes > MAP_MAX ||
        ret->map_bytes / ret->size < ret->last_page + 1)
        return "its last page is beyond the map";
    if (ret->txn_id != 0 && (ret->txn_id & 1) != number)
        return "its transaction belongs to the other meta page";
    return NULL;
}

static enum tide_rc bad_meta(struct pages *pages, unsigned number, const char *what,
                             struct tide_err *err)
{
    struct pages_damage damage = {"(file)", number, what, NULL, NULL};

    tide_err_set(err, "meta page %u of the file: %s", number, what);
    pages->tell(pages->arg, &damage);
    return TIDE_DAMAGED;
}

static enum tide_rc read_meta(struct pages *pages, unsigned number, struct meta *ret,
                              struct tide_err *err)
{
    uint8_t page[256];
    const char *what;

    if (!pages_read_at(pages->fd, page, sizeof(page), (uint64_t)number * pages->size))
        return bad_meta(pages, number, "it cannot be read", err);
    what = get_meta(page, number, ret);
    if (!what && pages->size != ret->size && number == 1)
        what = "its size of a page is not that of the other";
    return what ? bad_meta(pages, number, what, err) : TIDE_OK;
}

/* Both meta pages of a file at rest or not: they are of neighbouring transactions. */
static enum tide_rc check_metas(struct pages *pages, struct tide_err *err)
{
    struct meta meta[2];
    enum tide_rc rc;

    pages->size = 4096;
    for (int tries = 0;; tries++) {
        if ((rc = read_meta(pages, 0, &meta[0], err)))
            return rc;
        pages->size = meta[0].size;
        if ((rc = read_meta(pages, 1, &meta[1], err)))
            return rc;
        if (meta[0].txn_id + 1 == meta[1].txn_id || meta[1].txn_id + 1 == meta[0].txn_id ||
            (meta[0].txn_id == 0 && meta[1].txn_id == 0))
            return TIDE_OK;
        if (tries == RENEW_TRIES) /* else a writer came between the two reads */
            return bad_meta(pages, meta[0].txn_id > meta[1].txn_id ? 1 : 0,
                            "it is not of the transaction before the other's", err);
    }
}

/* Whether transaction `id` is still the newest one that is finished: the next may be on its way to
 * the disk, but the one after that has not begun. */
static bool is_newest(struct pages *pages, uint64_t id)
{
    MDB_txn *txn;
    bool newest;

    if (mdb_txn_begin(pages->env, NULL, MDB_RDONLY, &txn))
        return false;
    newest = mdb_txn_id(txn) == id;
    mdb_txn_abort(txn);
    return newest;
}

/* Takes the meta page of the view's transaction, if nobody was writing it while it was read: it is
 * used again by the next transaction but one. Not found: the writer has gone on; take a newer view.
 */
static enum tide_rc look(struct pages *pages, bool *ret_found, struct tide_err *err)
{
    uint64_t id = mdb_txn_id(pages->txn);
    struct meta own, other;
    enum tide_rc rc;

    *ret_found = false;
    if ((rc = read_meta(pages, id & 1, &own, err)) ||
        (rc = read_meta(pages, !(id & 1), &other, err)))
        return rc;
    if (own.txn_id != id || other.txn_id > id + 1 ||
        (other.txn_id == id + 1 && !is_newest(pages, id)))
        return TIDE_OK;
    *ret_found = true;
    pages->txn_id = id;
    pages->last_page = own.last_page;
    pages->free_tree = own.free_tree;
    pages->main_tree = own.main_tree;
    return TIDE_OK;
}

/* ---- the free list, and the account of all pages ---- */

static void whole_file(struct pages *pages, uint64_t number, const char *table, const char *what)
{
    struct pages_damage damage = {table, number, what, NULL, NULL};

    pages->tell(pages->arg, &damage);
}

/* One value of the free list: how many pages, and their numbers, descending. */
static const char *take_free(struct pages *pages, const MDB_val *value, uint64_t *ret_count)
{
    const uint8_t *bytes = value->mv_data;
    uint64_t count, before = UINT64_MAX;

    if (value->mv_size < 8 || (count = u64(bytes)) > value->mv_size / 8 - 1)
        return "a list of free pages has another length than it says";
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number = u64(bytes + 8 * i);

        if (number < 2 || number > pages->last_page || number >= before)
            return "a list of free pages is out of order";
        if (pages_mark(pages, number, 1))
            return "a page is free and in use";
        before = number;
    }
    *ret_count += count;
    return NULL;
}

static void tell_nobody(void *arg, const struct pages_damage *damage)
{
    (void)arg;
    (void)damage;
}

/* The newest transaction that wrote the free list of the other meta page's tree, which is whole
 * until the next commit; 0: unknown. */
static uint64_t newest_of(struct pages *pages, const struct meta *meta)
{
    struct pages other = *pages;
    struct pages_cursor cursor;
    uint64_t newest = 0;

    other.last_page = meta->last_page;
    other.free_tree = meta->free_tree;
    other.tell = tell_nobody;
    pages_cursor_open(&cursor, &other, PAGES_FREE, "(free pages)", false);
    while (pages_next(&cursor))
        newest = u64(cursor.key.mv_data);
    pages_cursor_close(&cursor);
    return newest;
}

/* A number that was changed makes the older of two states the newest. Every transaction but the
 * first frees pages, those that it replaced, so the free list tells the number, too. */
static void check_newest(struct pages *pages, uint64_t newest)
{
    struct tide_err err;
    struct meta meta;

    if (pages->txn_id > 1 && newest != pages->txn_id)
        whole_file(pages, pages->txn_id & 1, "(file)",
                   "its meta page tells of an older state than its number says");
    if (read_meta(pages, !(pages->txn_id & 1), &meta, &err) == TIDE_OK &&
        newest_of(pages, &meta) > meta.txn_id)
        whole_file(pages, !(pages->txn_id & 1), "(file)",
                   "its meta page tells of a newer state than its number says");
}

void pages_account(struct pages *pages, uint64_t *ret_free)
{
    struct pages_cursor cursor;
    const char *what = NULL;
    uint64_t lost = 0, newest = 0;
    bool sound = true;

    *ret_free = 0;
    pages_cursor_open(&cursor, pages, PAGES_FREE, "(free pages)", true);
    while (pages_next(&cursor)) {
        newest = u64(cursor.key.mv_data);
        what = NULL;
        if (newest > pages->txn_id)
            what = "pages were freed by a transaction to come";
        else
            what = take_free(pages, &cursor.value, ret_free);
        if (what) {
            whole_file(pages, cursor.level[cursor.depth - 1].number, cursor.name, what);
            sound = false;
        }
    }
    if ((what = pages_miscounted(&cursor)))
        whole_file(pages, pages->free_tree.root, cursor.name, what);
    sound = sound && !cursor.damaged;
    pages_cursor_close(&cursor);
    if (sound)
        check_newest(pages, newest);
    for (uint64_t i = 2; sound && pages->seen && i <= pages->last_page; i++)
        if (!(pages->seen[i / 64] >> (i % 64) & 1) && lost++ == 0)
            whole_file(pages, i, "(file)", "it is neither free nor in use, and maybe others");
}

/* ---- open ---- */

/* The trees of the tables, from the tree of names. */
static void read_tables(struct pages *pages, bool counting)
{
    struct pages_cursor cursor;
    const char *what;

    for (int i = 0; i < TABLE_COUNT; i++)
        pages->table[i] = (struct pages_tree){.root = PAGES_NONE};
    pages_cursor_open(&cursor, pages, PAGES_MAIN, "(tables)", counting);
    while (pages_next(&cursor)) {
        int i = 0;

        while (i < TABLE_COUNT &&
               (strlen(schema_table_name((enum table)i)) != cursor.key.mv_size ||
                memcmp(schema_table_name((enum table)i), cursor.key.mv_data, cursor.key.mv_size)))
            i++;
        if (i == TABLE_COUNT)
            whole_file(pages, cursor.level[cursor.depth - 1].number, cursor.name,
                       "it names a table that is none of ours");
        else if (u32(cursor.value.mv_data) != 0 ||
                 u16((const uint8_t *)cursor.value.mv_data + 4) != 0)
            whole_file(pages, cursor.level[cursor.depth - 1].number,
                       schema_table_name((enum table)i), "the table is of a kind that is not ours");
        else
            pages->table[i] = get_tree(cursor.value.mv_data);
    }
    if (counting && (what = pages_miscounted(&cursor)))
        whole_file(pages, pages->main_tree.root, cursor.name, what);
    pages_cursor_close(&cursor);
}

static enum tide_rc take_view(struct pages *pages, struct tide_err *err)
{
    uint64_t before = pages->txn_id;
    bool first = pages->epoch == 0, found = false;
    enum tide_rc rc;

    for (int tries = 0; !found; tries++) {
        int code;

        if ((rc = look(pages, &found, err)))
            return rc;
        if (found)
            break;
        if (tries == RENEW_TRIES) {
            tide_err_set(err, "the file changes faster than it can be read; try again");
            return TIDE_UNAVAILABLE;
        }
        mdb_txn_reset(pages->txn);
        if ((code = mdb_txn_renew(pages->txn))) {
            tide_err_set(err, "begin reading: %s", mdb_strerror(code));
            return tide_rc_from_lmdb(code);
        }
    }
    if (!first && pages->txn_id == before)
        return TIDE_OK;
    pages->epoch++;
    if (first && pages->seen) {
        free(pages->seen);
        pages->seen = must(calloc(pages->last_page / 64 + 1, sizeof(*pages->seen)));
    } else if (!first) {
        free(pages->seen); /* the account is of one view */
        pages->seen = NULL;
    }
    read_tables(pages, first && pages->seen);
    return TIDE_OK;
}

enum tide_rc pages_renew(struct pages *pages, struct tide_err *err)
{
    int code;

    mdb_txn_reset(pages->txn);
    if ((code = mdb_txn_renew(pages->txn))) {
        tide_err_set(err, "begin reading: %s", mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    return take_view(pages, err);
}

static enum tide_rc open_view(struct pages *pages, const char *path, struct tide_err *err)
{
    int code = mdb_env_create(&pages->env);

    if (!code)
        code = mdb_env_set_maxdbs(pages->env, TABLE_COUNT);
    if (!code)
        code = mdb_env_open(pages->env, path,
                            MDB_RDONLY | MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD |
                                (pages->locked ? 0u : MDB_NOLOCK),
                            0600);
    if (!code)
        code = mdb_txn_begin(pages->env, NULL, MDB_RDONLY, &pages->txn);
    if (code == EACCES || code == EROFS || code == EPERM) {
        tide_err_set(err,
                     "open %s-lock: %s; reading a store that a daemon may have open takes the "
                     "right to write this file",
                     path, mdb_strerror(code));
        return TIDE_IO;
    }
    if (code) {
        tide_err_set(err, "open %s: %s", path, mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    return take_view(pages, err);
}

enum tide_rc pages_open(const char *path, bool locked, bool count, pages_damaged_fn *tell,
                        void *arg, struct pages **ret, struct tide_err *err)
{
    struct pages *pages = must(calloc(1, sizeof(*pages)));
    enum tide_rc rc;

    pages->locked = locked;
    pages->tell = tell;
    pages->arg = arg;
    pages->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pages->fd < 0) {
        rc = errno == ENOENT ? TIDE_NOT_FOUND : TIDE_IO;
        tide_err_set(err, "open %s: %s", path, strerror(errno));
        pages_close(pages);
        return rc;
    }
    if (count)
        pages->seen = must(calloc(1, sizeof(*pages->seen)));
    if ((rc = check_metas(pages, err)) || (rc = open_view(pages, path, err))) {
        pages_close(pages);
        return rc;
    }
    *ret = pages;
    return TIDE_OK;
}

void pages_close(struct pages *pages)
{
    if (!pages)
        return;
    if (pages->txn)
        mdb_txn_abort(pages->txn);
    if (pages->env)
        mdb_env_close(pages->env);
    if (pages->fd >= 0)
        close(pages->fd);
    free(pages->seen);
    free(pages);
}

uint64_t pages_file_bytes(const struct pages *pages)
{
    struct stat info;

    return fstat(pages->fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}
