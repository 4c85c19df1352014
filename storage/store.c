/* store - open, lock and close, and the figures. What it does about failures is in recover.c. */
#include "inside.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tidemark/clock.h"
#include "tidemark/log.h"
#include "ballast.h"
#include "expire.h"
#include "fold.h"
#include "key.h"
#include "lock.h"
#include "reader.h"

void tide_store_cfg_default(struct tide_store_cfg *cfg)
{
    *cfg = (struct tide_store_cfg){.dir = "./tidemark-data",
                                   .map_bytes = UINT64_C(1) << 40,
                                   .ballast_bytes = UINT64_C(8) << 20,
                                   .interval_s = 30,
                                   .grace_s = 5,
                                   .lateness_s = 73 * 3600,
                                   .fold_after_s = 3600,
                                   .max_modules = 100000,
                                   .dedup_window_s = 73 * 3600,
                                   .dedup_max_chunks = 4000000,
                                   .dedup_max_event_ids = 1000000,
                                   .retry_s = 30};
    tide_retention_default(cfg->retention.keep_s);
}

/* ---- marks ---- */

void marks_push(struct journal_marks *marks, struct journal_mark mark)
{
    if (marks->first + marks->count == marks->capacity) {
        if (marks->first > marks->capacity / 2) {
            memmove(marks->mark, marks->mark + marks->first, marks->count * sizeof(mark));
            marks->first = 0;
        } else {
            marks->capacity = marks->capacity ? marks->capacity * 2 : 256;
            marks->mark = realloc(marks->mark, marks->capacity * sizeof(mark));
            if (!marks->mark)
                abort();
        }
    }
    marks->mark[marks->first + marks->count++] = mark;
    marks->parts += mark.parts;
}

void marks_pop(struct journal_marks *marks)
{
    assert(marks->count > 0);
    marks->parts -= marks->mark[marks->first].parts;
    marks->first++;
    if (--marks->count == 0)
        marks->first = 0;
}

/* ---- open ---- */

static enum tide_rc make_dir(const char *dir, struct tide_err *err)
{
    struct stat info;

    if (mkdir(dir, 0700) == 0)
        return TIDE_OK;
    if (errno != EEXIST) {
        tide_err_set(err, "create directory %s: %s", dir, strerror(errno));
        return TIDE_IO;
    }
    if (stat(dir, &info) != 0) {
        tide_err_set(err, "%s: %s", dir, strerror(errno));
        return TIDE_IO;
    }
    if (!S_ISDIR(info.st_mode)) {
        tide_err_set(err, "%s is not a directory", dir);
        return TIDE_IO;
    }
    return TIDE_OK;
}

enum tide_rc store_open_env(struct tide_store *store, const char *path, struct tide_err *err)
{
    int code = mdb_env_create(&store->env);

    if (!code)
        code = mdb_env_set_mapsize(store->env, quota_map_bytes(store));
    if (!code)
        code = mdb_env_set_maxdbs(store->env, TABLE_COUNT);
    if (!code)
        code = mdb_env_set_maxreaders(store->env, READERS_MAX);
    if (!code)
        code = mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (code) {
        tide_err_set(err, "open %s: %s", path, mdb_strerror(code));
        if (store->env)
            mdb_env_close(store->env);
        store->env = NULL;
        return tide_rc_from_lmdb(code);
    }
    return TIDE_OK;
}

/* Makes the names in a directory last. One that we may not read is its owner's business. */
static enum tide_rc sync_dir(const char *dir, struct tide_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code;

    if (fd < 0 && errno == EACCES)
        return TIDE_OK;
    code = fd < 0 || (fsync(fd) != 0 && errno != EINVAL) ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (!code)
        return TIDE_OK;
    tide_err_set(err, "sync directory %s: %s", dir, strerror(code));
    return TIDE_IO;
}

#define META_BYTES (2 * 32768) /* LMDB's two meta pages, however large its pages are */

/* Makes the disk say what the page cache says, before anything is written: at every start, for the
 * process before this one may have been in doubt, too. A meta page whose write failed may be on the
 * disk all the same, while LMDB has put the old one back into the cache: were the pages of that
 * commit used again before this one reaches the disk, a power cut would leave a tree of which parts
 * are overwritten. And the new one may be in the cache only: it cannot be acked before it is on the
 * disk. A page that failed once counts as clean, so it is written again before the sync. */
enum tide_rc store_settle_disk(const char *path, struct tide_err *err)
{
    uint8_t bytes[META_BYTES];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : pread(fd, bytes, sizeof(bytes), 0);
    enum tide_rc rc = TIDE_OK;

    if (len <= 0 || pwrite(fd, bytes, (size_t)len, 0) != len || fdatasync(fd) != 0) {
        tide_err_set(err, "write the first pages of %s again: %s", path,
                     len == 0 ? "it is empty" : strerror(errno));
        rc = TIDE_IO;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* A store is born under another name, which is changed when everything is on disk: LMDB does not
 * sync the first pages it writes, and a file that has half of them could never be opened again. */
static enum tide_rc create(struct tide_store *store, struct tide_err *err)
{
    char path[sizeof(store->data_path) + 8], lock[sizeof(path) + 8];
    struct stat info;
    enum tide_rc rc;

    if (stat(store->data_path, &info) == 0 && info.st_size > 0)
        return TIDE_OK;
    snprintf(path, sizeof(path), "%s.new", store->data_path);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    unlink(path); /* of a birth that was cut short */
    if ((rc = store_open_env(store, path, err)))
        return rc;
    rc = schema_open(store, err);
    mdb_env_close(store->env);
    store->env = NULL;
    unlink(lock);
    if (!rc && rename(path, store->data_path) != 0) {
        tide_err_set(err, "rename %s: %s", path, strerror(errno));
        rc = TIDE_IO;
    }
    return rc;
}

/* The data file, with its name, for good. */
static enum tide_rc open_file(struct tide_store *store, struct tide_err *err)
{
    char parent[sizeof(store->cfg.dir) + 4];
    enum tide_rc rc;

    snprintf(parent, sizeof(parent), "%s/..", store->cfg.dir);
    if ((rc = create(store, err)) || (rc = sync_dir(store->cfg.dir, err)) ||
        (rc = sync_dir(parent, err)) || (rc = store_settle_disk(store->data_path, err)) ||
        (rc = store_open_env(store, store->data_path, err)))
        return rc;
    return schema_open(store, err);
}

static enum tide_rc replay(struct tide_store *store, struct tide_err *err)
{
    struct head_generation *draft;
    MDB_txn *txn;
    enum tide_rc rc;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (code) {
        tide_err_set(err, "begin reading: %s", mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    head_begin(store->head);
    draft = head_draft(store->head);
    draft->commit_seq = store->state.commit_seq;
    draft->sealed_upto_s = store->state.sealed_upto_s;
    draft->ledger = store->state.ledger;
    if (!(rc = replay_modules(store, txn, err)) &&
        !(rc = replay_known(store, txn, tide_clock_wall_us(), err)))
        rc = replay_journal(store, txn, err);
    head_publish(store->head);
    mdb_txn_abort(txn);
    return rc;
}

/* A producer that only repeats itself is written anew eight times a window. */
static uint32_t refresh_s(int64_t window_s)
{
    return window_s / 8 > UINT32_MAX ? UINT32_MAX : (uint32_t)(window_s / 8);
}

enum tide_rc tide_store_open(const struct tide_store_cfg *cfg, struct tide_store **ret,
                             struct tide_err *err)
{
    struct tide_store *store = calloc(1, sizeof(*store));
    struct tide_retention_rules copy;
    enum tide_rc rc;

    if (!store) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    if ((rc = tide_retention_copy(&cfg->retention, &copy, err))) {
        free(store);
        return rc;
    }
    store->cfg = *cfg;
    store->cfg.retention = copy;
    store->lock_fd = -1;
    snprintf(store->data_path, sizeof(store->data_path), "%s/tidemark.mdb", cfg->dir);
    pthread_mutex_init(&store->readers_lock, NULL);
    store->head = head_new();
    store->modules = modules_new(&store->cfg.retention);
    store->identities = identity_new(cfg->dedup_max_chunks);
    store->event_ids = identity_new(cfg->dedup_max_event_ids);
    store->producers =
        producers_new(PRODUCERS_MAX, cfg->dedup_max_chunks, refresh_s(cfg->dedup_window_s));
    store->expiry = expiry_new(store);
    group_init(&store->group);
    store->folding = fold_new();
    store->refold_at = REFOLD_AT;
    tide_record_init(&store->scratch);
    if ((rc = make_dir(cfg->dir, err)) || (rc = lock_take(cfg->dir, &store->lock_fd, err)) ||
        (rc = open_file(store, err)) || (rc = replay(store, err))) {
        if (rc != TIDE_LOCKED)
            tide_err_wrap(err, "store %s", cfg->dir);
        tide_store_close(store);
        return rc;
    }
    quota_open(store);
    ballast_open(store);
    store->checkpoint_us = tide_clock_wall_us();
    atomic_store(&store->identity_oldest_s, identity_oldest_s(store->identities));
    *ret = store;
    return TIDE_OK;
}

void tide_store_close(struct tide_store *store)
{
    if (!store)
        return;
    assert(!store->reader_first);
    readers_drop(store);
    if (store->view)
        mdb_txn_abort(store->view);
    if (store->env)
        mdb_env_close(store->env);
    head_free(store->head);
    modules_free(store->modules);
    identity_free(store->identities);
    identity_free(store->event_ids);
    producers_free(store->producers);
    expiry_free(store->expiry);
    tide_retention_fini(&store->cfg.retention);
    group_fini(&store->group);
    fold_free(store->folding);
    tide_record_fini(&store->scratch);
    blob_fini(&store->blob);
    free(store->marks.mark);
    free(store->fate);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_mutex_destroy(&store->readers_lock);
    free(store);
}

uint64_t tide_store_instance_seed(const struct tide_store *store)
{
    return store->identity.instance_seed;
}

uint64_t tide_store_identity_seed(const struct tide_store *store)
{
    return store->identity.identity_seed;
}

/* ---- figures ---- */

void tide_store_stats(struct tide_store *store, struct tide_store_stats *ret)
{
    MDB_envinfo info;
    MDB_stat page;
    struct stat file;

    *ret = (struct tide_store_stats){0};
    pthread_mutex_lock(&store->readers_lock);
    if (store->env) {
        mdb_env_info(store->env, &info);
        mdb_env_stat(store->env, &page);
        ret->used_bytes = (info.me_last_pgno + 1) * page.ms_psize;
        reader_stats(store, ret);
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (stat(store->data_path, &file) == 0)
        ret->file_bytes = (uint64_t)file.st_size;
    ret->max_bytes = store->cfg.max_bytes;
    ret->ballast_bytes = atomic_load(&store->ballast_bytes);
    ret->identities = atomic_load(&store->identity_count);
    ret->oldest_identity_us = (int64_t)atomic_load(&store->identity_oldest_s) * 1000000;
    ret->event_ids = atomic_load(&store->event_id_count);
    ret->producers = atomic_load(&store->producer_count);
    ret->failure = atomic_load(&store->failure);
    ret->identity_bound = atomic_load(&store->identity_by_count) ? "count" : "window";
}
