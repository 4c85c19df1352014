/* raw - see the door. LMDB underneath, with a map that leaves a migration room to grow; the pages
 * are trusted here, for a copy of them was walked with distrust before the first change.
 */
#include "tidemark/raw.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "inside.h"
#include "lock.h"
#include "pages.h"
#include "must.h"
#include "tidemark/crc32c.h"

#define PATH_SIZE   1200
#define TABLES_MAX  32
#define MAP_GROWTH  4 /* times the file, and: */
#define MAP_LEAST   (UINT64_C(256) << 20)
#define IDENTITY    "identity"
#define HEAD_SIZE   20 /* schema and uuid */
#define VALUE_BYTES (TIDE_VALUE_PAGE - TIDE_CRC_SIZE)

struct tide_raw {
    bool write;
    int lock_fd;
    MDB_env *env;
    MDB_txn *txn;
    enum tide_rc rc; /* of the transaction */
    int lmdb;
    char dir[PATH_SIZE - 100], path[PATH_SIZE];
};

/* ---- the number ---- */

static void ignore(void *arg, const struct pages_damage *damage)
{
    (void)arg;
    (void)damage;
}

static bool get_head(struct tide_raw_head *head, const uint8_t *payload, size_t len)
{
    uint32_t schema;

    if (len < HEAD_SIZE)
        return false;
    schema = tide_get_be32(payload);
    head->under_way = (schema & TIDE_RAW_UNDER_WAY) != 0;
    head->schema = schema & ~TIDE_RAW_UNDER_WAY;
    for (int i = 0; i < 16; i++)
        snprintf(head->uuid + 2 * i, 3, "%02x", payload[4 + i]);
    return true;
}

enum tide_rc tide_raw_look(const char *dir, struct tide_raw_head *ret, struct tide_err *err)
{
    char path[PATH_SIZE];
    struct pages_cursor cursor;
    struct pages *pages;
    enum tide_rc rc;
    size_t len;

    *ret = (struct tide_raw_head){0};
    if ((rc = copy_must_hold_store(dir, err)))
        return rc;
    snprintf(path, sizeof(path), "%s/tidemark.mdb", dir);
    if ((rc = pages_open(path, copy_is_lived_in(dir), false, ignore, NULL, &pages, err)))
        return rc;
    pages_cursor_open(&cursor, pages, TABLE_META, "meta", false);
    if (!pages_seek(&cursor, IDENTITY, strlen(IDENTITY)) ||
        cursor.key.mv_size != strlen(IDENTITY) ||
        memcmp(cursor.key.mv_data, IDENTITY, strlen(IDENTITY)) != 0 ||
        !value_sound(&cursor.key, &cursor.value, &len) ||
        !get_head(ret, cursor.value.mv_data, len)) {
        tide_err_set(err, "%s: the number of its schema cannot be read; restore a backup", path);
        rc = TIDE_DAMAGED;
    }
    ret->file_bytes = pages_file_bytes(pages);
    pages_cursor_close(&cursor);
    pages_close(pages);
    return rc;
}

enum tide_rc tide_raw_readers(const char *dir, uint32_t *ret_taken, uint32_t *ret_places,
                              struct tide_err *err)
{
    char path[PATH_SIZE];
    MDB_env *env = NULL;
    MDB_envinfo info;
    enum tide_rc rc = copy_must_hold_store(dir, err);
    int code;

    if (rc)
        return rc;
    if (!copy_is_lived_in(dir))
        return TIDE_NOT_FOUND;
    snprintf(path, sizeof(path), "%s/tidemark.mdb", dir);
    code = mdb_env_create(&env);
    if (!code)
        code = mdb_env_open(env, path, MDB_RDONLY | MDB_NOSUBDIR | MDB_NOTLS, 0600);
    if (!code)
        code = mdb_env_info(env, &info);
    if (env)
        mdb_env_close(env);
    if (code) {
        tide_err_set(err, "open %s: %s", path, mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    *ret_taken = info.me_numreaders;
    *ret_places = info.me_maxreaders;
    return TIDE_OK;
}

/* ---- the file ---- */

/* With the first transaction: until then others in this process may look at the file, and LMDB
 * allows a process one environment on a file. */
static enum tide_rc open_env(struct tide_raw *raw, struct tide_err *err)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    struct stat info;
    uint64_t map_bytes;
    int code = mdb_env_create(&raw->env);

    if (!raw->write)
        flags |= MDB_RDONLY | (copy_is_lived_in(raw->dir) ? 0u : MDB_NOLOCK);
    map_bytes = stat(raw->path, &info) == 0 ? (uint64_t)info.st_size * MAP_GROWTH : 0;
    map_bytes = (map_bytes + MAP_LEAST) & ~UINT64_C(0xffff);
    if (!code && raw->write)
        code = mdb_env_set_mapsize(raw->env, map_bytes);
    if (!code)
        code = mdb_env_set_maxdbs(raw->env, TABLES_MAX);
    if (!code)
        code = mdb_env_open(raw->env, raw->path, flags, 0600);
    if (code) {
        if (raw->env)
            mdb_env_close(raw->env);
        raw->env = NULL;
        tide_err_set(err, "open %s: %s", raw->path, mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    return TIDE_OK;
}

enum tide_rc tide_raw_open(const char *dir, bool write, struct tide_raw **ret, struct tide_err *err)
{
    struct tide_raw *raw;
    enum tide_rc rc = copy_must_hold_store(dir, err);

    if (rc)
        return rc;
    raw = must(calloc(1, sizeof(*raw)));
    raw->write = write;
    raw->lock_fd = -1;
    snprintf(raw->path, sizeof(raw->path), "%s/tidemark.mdb", dir);
    snprintf(raw->dir, sizeof(raw->dir), "%s", dir);
    if (write &&
        ((rc = lock_take(dir, &raw->lock_fd, err)) || (rc = store_settle_disk(raw->path, err)))) {
        tide_raw_close(raw);
        return rc;
    }
    *ret = raw;
    return TIDE_OK;
}

void tide_raw_close(struct tide_raw *raw)
{
    if (!raw)
        return;
    tide_raw_abort(raw);
    if (raw->env)
        mdb_env_close(raw->env);
    if (raw->lock_fd >= 0)
        close(raw->lock_fd);
    free(raw);
}

/* ---- transactions ---- */

static bool note(struct tide_raw *raw, int code)
{
    if (code && !raw->rc) {
        raw->lmdb = code;
        raw->rc = tide_rc_from_lmdb(code);
    }
    return !raw->rc;
}

enum tide_rc tide_raw_begin(struct tide_raw *raw, struct tide_err *err)
{
    assert(!raw->txn);
    raw->rc = TIDE_OK;
    raw->lmdb = 0;
    if (!raw->env && (raw->rc = open_env(raw, err)))
        return raw->rc;
    if (!note(raw, mdb_txn_begin(raw->env, NULL, raw->write ? 0 : MDB_RDONLY, &raw->txn))) {
        raw->txn = NULL;
        tide_err_set(err, "begin a transaction: %s", mdb_strerror(raw->lmdb));
    }
    return raw->rc;
}

enum tide_rc tide_raw_end(struct tide_raw *raw, struct tide_err *err)
{
    struct stat info;

    assert(raw->txn);
    if (!raw->rc && raw->write) {
        note(raw, mdb_txn_commit(raw->txn));
        raw->txn = NULL;
    }
    tide_raw_abort(raw);
    if (raw->rc) {
        if (raw->rc == TIDE_IO && raw->lmdb == EIO && stat(raw->path, &info) == 0 &&
            copy_disk_is_full(raw->path))
            raw->rc = TIDE_DISK_FULL; /* LMDB tells a full disk as EIO */
        tide_err_set(err, "write %s: %s", raw->path,
                     raw->rc == TIDE_DISK_FULL ? strerror(ENOSPC)
                     : raw->lmdb               ? mdb_strerror(raw->lmdb)
                                               : tide_rc_text(raw->rc));
    }
    return raw->rc;
}

void tide_raw_abort(struct tide_raw *raw)
{
    if (raw->txn)
        mdb_txn_abort(raw->txn);
    raw->txn = NULL;
}

/* False: there is no such table, or the transaction has failed. */
static bool open_table(struct tide_raw *raw, const char *table, unsigned flags, MDB_dbi *ret)
{
    int code;

    assert(raw->txn);
    if (raw->rc)
        return false;
    code = mdb_dbi_open(raw->txn, table, raw->write ? flags : 0, ret);
    return code != MDB_NOTFOUND && note(raw, code);
}

void tide_raw_make_table(struct tide_raw *raw, const char *table)
{
    MDB_dbi dbi;

    open_table(raw, table, MDB_CREATE, &dbi);
}

uint64_t tide_raw_count(struct tide_raw *raw, const char *table)
{
    MDB_stat stat;
    MDB_dbi dbi;

    return open_table(raw, table, 0, &dbi) && note(raw, mdb_stat(raw->txn, dbi, &stat))
               ? stat.ms_entries
               : 0;
}

/* ---- values ---- */

static enum tide_rc take(struct tide_raw *raw, struct tide_raw_item *item, const MDB_val *key,
                         const MDB_val *value)
{
    if (key->mv_size > sizeof(item->key) || !value_sound(key, value, &item->len)) {
        if (!raw->rc)
            raw->rc = TIDE_DAMAGED;
        return TIDE_DAMAGED;
    }
    memmove(item->key, key->mv_data, key->mv_size);
    item->key_len = key->mv_size;
    item->payload = value->mv_data;
    return TIDE_OK;
}

enum tide_rc tide_raw_next(struct tide_raw *raw, const char *table, struct tide_raw_item *item)
{
    MDB_val key = {item->key_len, item->key}, value;
    MDB_cursor *cursor;
    MDB_dbi dbi;
    int code;

    if (!open_table(raw, table, 0, &dbi))
        return raw->rc ? raw->rc : TIDE_NOT_FOUND;
    if (!note(raw, mdb_cursor_open(raw->txn, dbi, &cursor)))
        return raw->rc;
    code = mdb_cursor_get(cursor, &key, &value, item->key_len ? MDB_SET_RANGE : MDB_FIRST);
    if (!code && item->key_len && key.mv_size == item->key_len &&
        memcmp(key.mv_data, item->key, key.mv_size) == 0)
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    mdb_cursor_close(cursor);
    if (code == MDB_NOTFOUND)
        return TIDE_NOT_FOUND;
    return note(raw, code) ? take(raw, item, &key, &value) : raw->rc;
}

enum tide_rc tide_raw_get(struct tide_raw *raw, const char *table, struct tide_raw_item *item)
{
    MDB_val key = {item->key_len, item->key}, value;
    MDB_dbi dbi;
    int code;

    if (!open_table(raw, table, 0, &dbi))
        return raw->rc ? raw->rc : TIDE_NOT_FOUND;
    code = mdb_get(raw->txn, dbi, &key, &value);
    if (code == MDB_NOTFOUND)
        return TIDE_NOT_FOUND;
    return note(raw, code) ? take(raw, item, &key, &value) : raw->rc;
}

void tide_raw_put(struct tide_raw *raw, const char *table, const void *key, size_t key_len,
                  const void *payload, size_t len)
{
    MDB_val at = {key_len, (void *)key}, value = {len + TIDE_CRC_SIZE, NULL};
    uint8_t bytes[VALUE_BYTES + TIDE_CRC_SIZE];
    MDB_dbi dbi;

    assert(len <= VALUE_BYTES);
    if (!raw->write || !open_table(raw, table, MDB_CREATE, &dbi))
        return;
    memcpy(bytes, payload, len); /* which may lie in the map, where the put moves it */
    tide_put_be32(bytes + len, tide_crc32c(tide_crc32c(0, key, key_len), payload, len));
    value.mv_data = bytes;
    note(raw, mdb_put(raw->txn, dbi, &at, &value, 0));
}

void tide_raw_delete(struct tide_raw *raw, const char *table, const void *key, size_t key_len)
{
    MDB_val at = {key_len, (void *)key};
    MDB_dbi dbi;
    int code;

    if (!raw->write || !open_table(raw, table, 0, &dbi))
        return;
    code = mdb_del(raw->txn, dbi, &at, NULL);
    if (code != MDB_NOTFOUND)
        note(raw, code);
}
