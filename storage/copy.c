/* copy - see copy.h.
 *
 * Values are appended to the new file in transactions of a MiB, each synced as it goes, so that
 * the disk's queue is never long and the commits of a daemon beside it do not wait behind ours. The
 * new file needs no care while it grows: until it is whole nobody knows its name.
 */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"
#include "partial.h"
#include "tidemark/clock.h"
#include "verify.h"

#define STEP_BYTES (UINT64_C(1) << 20)
#define NAP_US     50000

enum tide_rc copy_failed(struct tide_err *err, const char *what, const char *path)
{
    int code = errno;

    tide_err_set(err, "%s %s: %s", what, path, strerror(code));
    return code == ENOSPC || code == EDQUOT ? TIDE_DISK_FULL : TIDE_IO;
}

enum tide_rc copy_sync_dir(const char *path, struct tide_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum tide_rc rc = TIDE_OK;

    if (fd < 0 || fsync(fd) != 0)
        rc = copy_failed(err, "sync directory", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

enum tide_rc copy_sync_parent(const char *path, struct tide_err *err)
{
    char parent[1200];
    char *slash;

    snprintf(parent, sizeof(parent), "%s", path);
    slash = strrchr(parent, '/');
    if (!slash)
        return copy_sync_dir(".", err);
    slash[slash == parent] = '\0';
    return copy_sync_dir(parent, err);
}

enum tide_rc copy_must_hold_store(const char *dir, struct tide_err *err)
{
    char path[PARTIAL_PATH + 32];
    struct stat info;

    partial_path(path, dir, "tidemark.mdb");
    if (stat(path, &info) == 0)
        return TIDE_OK;
    if (errno != ENOENT && errno != ENOTDIR)
        return copy_failed(err, "open", path);
    if (stat(dir, &info) != 0)
        tide_err_set(err, "%s: %s", dir, strerror(errno));
    else
        tide_err_set(err, "%s holds no store (no file tidemark.mdb)", dir);
    return TIDE_NOT_FOUND;
}

bool copy_is_lived_in(const char *dir)
{
    char path[1200];

    snprintf(path, sizeof(path), "%s/lock", dir);
    if (access(path, F_OK) == 0)
        return true;
    snprintf(path, sizeof(path), "%s/tidemark.mdb-lock", dir);
    return access(path, F_OK) == 0;
}

bool copy_disk_is_full(const char *path)
{
    struct statvfs fs;

    return statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < 2 * STEP_BYTES;
}

bool copy_go_on(void *arg, uint64_t done_bytes, double share)
{
    struct copy_phase *phase = arg;
    const struct tide_copy_cfg *cfg = phase->cfg;

    phase->done = done_bytes;
    for (const struct copy_phase *before = phase->before; before; before = before->before)
        done_bytes += before->done;
    return !cfg->go_on ||
           cfg->go_on(cfg->arg, done_bytes, phase->from + share * (phase->to - phase->from));
}

void copy_found(void *arg, const struct tide_finding *finding)
{
    struct copy_phase *phase = arg;

    phase->found++;
    phase->cfg->found(phase->cfg->arg, finding);
}

/* ---- values ---- */

struct copy {
    struct copy_phase *phase;
    struct pages *pages;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi[TABLE_COUNT];
    const char *to;
    uint64_t file_bytes; /* of the source, when it was begun */
    uint64_t expected_bytes, done_bytes, step_bytes;
    uint64_t *hash;
    int64_t begin_us;
    struct tide_err *err;
};

static void page_damaged(void *arg, const struct pages_damage *damage)
{
    struct copy *copy = arg;
    char what[200];
    struct tide_finding finding = {
        .table = damage->table, .key = "", .module = "", .page = damage->page, .what = what};

    snprintf(what, sizeof(what), "page %llu of the file cannot be used: %s",
             (unsigned long long)damage->page, damage->what);
    copy_found(copy->phase, &finding);
}

static enum tide_rc refused(struct copy *copy, int code)
{
    if (code == EIO && copy_disk_is_full(copy->to)) /* as which LMDB tells it */
        code = ENOSPC;
    tide_err_set(copy->err, "write %s: %s", copy->to, mdb_strerror(code));
    return tide_rc_from_lmdb(code);
}

/* Waits until the rate allows more. */
static bool pace(struct copy *copy)
{
    uint64_t rate = copy->phase->cfg->rate_bytes;
    double share =
        copy->expected_bytes ? (double)copy->done_bytes / (double)copy->expected_bytes : 1;

    for (;;) {
        int64_t due_us, wait_us;
        struct timespec nap;

        if (!copy_go_on(copy->phase, copy->done_bytes, share < 1 ? share : 1))
            return false;
        if (rate == 0)
            return true;
        due_us = (int64_t)((double)copy->done_bytes / (double)rate * 1e6);
        wait_us = copy->begin_us + due_us - tide_clock_mono_us();
        if (wait_us <= 0)
            return true;
        nap.tv_sec = 0;
        nap.tv_nsec = (wait_us < NAP_US ? wait_us : NAP_US) * 1000;
        nanosleep(&nap, NULL);
    }
}

/* Ends one transaction of the new file, and begins the next. */
static enum tide_rc step(struct copy *copy)
{
    uint64_t now_bytes = pages_file_bytes(copy->pages);
    int code = mdb_txn_commit(copy->txn);

    copy->txn = NULL;
    copy->step_bytes = 0;
    if (!code)
        code = mdb_env_sync(copy->env, 1);
    if (code)
        return refused(copy, code);
    if (now_bytes > copy->file_bytes + copy->phase->cfg->growth_bytes) {
        tide_err_set(copy->err,
                     "gave up: the store grew by %llu MiB while it was read; try again at a "
                     "quieter time, or allow it more growth or a higher rate",
                     (unsigned long long)((now_bytes - copy->file_bytes) >> 20));
        return TIDE_TOO_LARGE;
    }
    if (!pace(copy)) {
        tide_err_set(copy->err, "stopped");
        return TIDE_STOPPED;
    }
    if ((code = mdb_txn_begin(copy->env, NULL, 0, &copy->txn))) {
        copy->txn = NULL;
        return refused(copy, code);
    }
    return TIDE_OK;
}

static enum tide_rc damaged_value(struct copy *copy, enum table table, const MDB_val *key)
{
    char hex[2 * PAGES_KEY_MAX + 1] = "";
    struct tide_finding finding = {.table = schema_table_name(table),
                                   .key = hex,
                                   .module = "",
                                   .what = "its checksum is wrong"};

    for (size_t i = 0; i < key->mv_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)key->mv_data)[i]);
    copy_found(copy->phase, &finding);
    return TIDE_DAMAGED;
}

static enum tide_rc copy_table(struct copy *copy, enum table table)
{
    struct pages_cursor cursor;
    enum tide_rc rc = TIDE_OK;

    pages_cursor_open(&cursor, copy->pages, (int)table, schema_table_name(table), false);
    while (!rc && pages_next(&cursor)) {
        uint64_t bytes = cursor.key.mv_size + cursor.value.mv_size;
        size_t len;
        int code;

        if (!value_sound(&cursor.key, &cursor.value, &len)) {
            rc = damaged_value(copy, table, &cursor.key);
            break;
        }
        verify_hash(copy->hash, table, &cursor.key, &cursor.value);
        code = mdb_put(copy->txn, copy->dbi[table], &cursor.key, &cursor.value, MDB_APPEND);
        if (code) {
            rc = refused(copy, code);
            break;
        }
        copy->done_bytes += bytes;
        copy->step_bytes += bytes;
        if (copy->step_bytes >= STEP_BYTES)
            rc = step(copy);
    }
    if (cursor.damaged && !rc)
        rc = TIDE_DAMAGED;
    pages_cursor_close(&cursor);
    return rc;
}

static void expect_bytes(struct copy *copy)
{
    for (int i = 0; i < TABLE_COUNT; i++) {
        const struct pages_tree *tree = &copy->pages->table[i];

        copy->expected_bytes += (tree->leaf_pages + tree->overflow_pages) * copy->pages->size;
    }
}

static enum tide_rc make_env(struct copy *copy)
{
    uint64_t map_bytes = 2 * copy->expected_bytes + (UINT64_C(64) << 20);
    int code = mdb_env_create(&copy->env);

    map_bytes += copy->pages->size - map_bytes % copy->pages->size;
    if (!code)
        code = mdb_env_set_mapsize(copy->env, map_bytes);
    if (!code)
        code = mdb_env_set_maxdbs(copy->env, TABLE_COUNT);
    if (!code)
        code =
            mdb_env_open(copy->env, copy->to,
                         MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (!code)
        code = mdb_txn_begin(copy->env, NULL, 0, &copy->txn);
    for (int i = 0; i < TABLE_COUNT && !code; i++)
        code = mdb_dbi_open(copy->txn, schema_table_name((enum table)i), MDB_CREATE, &copy->dbi[i]);
    return code ? refused(copy, code) : TIDE_OK;
}

enum tide_rc copy_values(const char *from, bool locked, const char *to, struct copy_phase *phase,
                         uint64_t ret_hash[2], struct tide_err *err)
{
    struct copy copy = {
        .phase = phase, .to = to, .hash = ret_hash, .begin_us = tide_clock_mono_us(), .err = err};
    enum tide_rc rc;

    ret_hash[0] = ret_hash[1] = 0;
    if ((rc = pages_open(from, locked, false, page_damaged, &copy, &copy.pages, err)))
        return rc;
    copy.file_bytes = pages_file_bytes(copy.pages);
    expect_bytes(&copy);
    rc = phase->found ? TIDE_DAMAGED : make_env(&copy);
    for (int i = 0; i < TABLE_COUNT && !rc; i++)
        rc = copy_table(&copy, verify_order[i]);
    if (!rc && !(rc = step(&copy))) {
        mdb_txn_abort(copy.txn);
        copy.txn = NULL;
    }
    if (copy.txn)
        mdb_txn_abort(copy.txn);
    if (copy.env)
        mdb_env_close(copy.env);
    pages_close(copy.pages);
    if (rc == TIDE_DAMAGED)
        tide_err_set(err, "%s is damaged; 'tidemark verify' tells all of it", from);
    return rc;
}

/* ---- walked ---- */

static void walk_damaged(void *arg, const struct pages_damage *damage)
{
    struct copy copy = {.phase = arg};

    page_damaged(&copy, damage);
}

static enum tide_rc walk_table(struct pages *pages, enum table table, struct copy_phase *phase,
                               uint64_t hash[2], struct tide_err *err)
{
    struct copy copy = {.phase = phase};
    struct pages_cursor cursor;
    enum tide_rc rc = TIDE_OK;
    uint64_t values = 0;
    const char *what;
    size_t len;

    pages_cursor_open(&cursor, pages, (int)table, schema_table_name(table), true);
    while (!rc && pages_next(&cursor)) {
        double share = (double)pages->loaded / (double)(pages->last_page + 1);

        if (!value_sound(&cursor.key, &cursor.value, &len))
            damaged_value(&copy, table, &cursor.key);
        verify_hash(hash, table, &cursor.key, &cursor.value);
        if (++values % 256 == 0 &&
            !copy_go_on(phase, pages->loaded * pages->size, share < 1 ? share : 1)) {
            tide_err_set(err, "stopped");
            rc = TIDE_STOPPED;
        }
    }
    if (!rc && (what = pages_miscounted(&cursor)))
        walk_damaged(phase, &(struct pages_damage){schema_table_name(table),
                                                   pages->table[table].root, what, NULL, NULL});
    pages_cursor_close(&cursor);
    return rc;
}

enum tide_rc copy_walk(const char *path, bool locked, struct copy_phase *phase,
                       uint64_t ret_hash[2], struct tide_err *err)
{
    struct pages *pages;
    uint64_t free_pages;
    enum tide_rc rc;

    ret_hash[0] = ret_hash[1] = 0;
    if ((rc = pages_open(path, locked, true, walk_damaged, phase, &pages, err)))
        return rc;
    for (int i = 0; i < TABLE_COUNT && !rc; i++)
        rc = walk_table(pages, (enum table)i, phase, ret_hash, err);
    if (!rc && !phase->found)
        pages_account(pages, &free_pages);
    pages_close(pages);
    if (!rc && phase->found) {
        tide_err_set(err, "%s is damaged: %llu places", path, (unsigned long long)phase->found);
        rc = TIDE_DAMAGED;
    }
    return rc;
}

/* ---- verified ---- */

enum tide_rc copy_verify(const char *dir, struct copy_phase *phase, struct tide_verified *ret,
                         struct tide_err *err)
{
    struct tide_verify_cfg cfg = {
        .dir = dir, .hold_us = INT64_MAX, .found = copy_found, .go_on = copy_go_on, .arg = phase};
    enum tide_rc rc = tide_verify(&cfg, ret, err);

    if (!rc && ret->findings) {
        tide_err_set(err, "%s is damaged; 'tidemark verify' tells all of it", dir);
        rc = TIDE_DAMAGED;
    }
    return rc;
}

/* ---- bytes ---- */

static enum tide_rc write_all(int fd, const uint8_t *from, size_t len)
{
    while (len) {
        ssize_t done = write(fd, from, len);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return TIDE_IO;
        from += done;
        len -= (size_t)done;
    }
    return TIDE_OK;
}

enum tide_rc copy_bytes(const char *from, int to_fd, struct copy_phase *phase,
                        char ret_sha256[TIDE_SHA256_TEXT_SIZE], uint64_t *ret_bytes,
                        struct tide_err *err)
{
    struct tide_sha256 sha;
    uint8_t *buffer = malloc(STEP_BYTES);
    uint64_t done = 0;
    enum tide_rc rc = TIDE_OK;
    struct stat info;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (!buffer)
        abort();
    tide_sha256_init(&sha);
    if (fd < 0 || fstat(fd, &info) != 0)
        rc = copy_failed(err, "open", from);
    while (!rc && (got = read(fd, buffer, STEP_BYTES)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = copy_failed(err, "read", from);
            break;
        }
        tide_sha256_add(&sha, buffer, (size_t)got);
        if (to_fd >= 0 && write_all(to_fd, buffer, (size_t)got))
            rc = copy_failed(err, "write the copy of", from);
        done += (uint64_t)got;
        if (!rc &&
            !copy_go_on(phase, done, info.st_size > 0 ? (double)done / (double)info.st_size : 1)) {
            tide_err_set(err, "stopped");
            rc = TIDE_STOPPED;
        }
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
    tide_sha256_text(&sha, ret_sha256);
    *ret_bytes = done;
    return rc;
}
