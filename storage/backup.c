/* backup - see the door: backup and restore. Both work in a directory of another name beside the
 * wanted one, `NAME.partial`, that is locked while they do; it gets its name when everything in it
 * is on disk and was read again.
 */
#include "tidemark/backup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "lock.h"
#include "tidemark/clock.h"

#define PATH_SIZE 1200

/* The directory that is being made. */
struct partial {
    char path[PATH_SIZE]; /* under its other name */
    char name[PATH_SIZE]; /* that it will have */
    int fd;               /* -1: it is not ours */
};

static const char *const files[] = {"tidemark.mdb", "tidemark.mdb-lock", "manifest.json", "lock"};

static void path_in(char path[PATH_SIZE + 32], const char *dir, const char *file)
{
    snprintf(path, PATH_SIZE + 32, "%s/%s", dir, file);
}

static void remove_files(const char *dir)
{
    char path[PATH_SIZE + 32];

    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        path_in(path, dir, files[i]);
        unlink(path);
    }
}

static enum tide_rc set_names(struct partial *partial, const char *name, struct tide_err *err)
{
    size_t len = strlen(name);

    while (len > 1 && name[len - 1] == '/')
        len--;
    if (len == 0 || len > PATH_SIZE - 100) {
        tide_err_set(err, "'%s' is no name for a directory", name);
        return TIDE_USAGE;
    }
    snprintf(partial->name, sizeof(partial->name), "%.*s", (int)len, name);
    snprintf(partial->path, sizeof(partial->path), "%.*s.partial", (int)len, name);
    return TIDE_OK;
}

static enum tide_rc is_empty(const char *dir, bool *ret, struct tide_err *err)
{
    struct dirent *entry;
    DIR *listing = opendir(dir);

    *ret = true;
    if (!listing && errno == ENOENT)
        return TIDE_OK;
    if (!listing)
        return copy_failed(err, "open directory", dir);
    while ((entry = readdir(listing)))
        *ret = *ret && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(listing);
    return TIDE_OK;
}

/* Makes and locks it; what an attempt that was cut short left there is removed. */
static enum tide_rc partial_begin(struct partial *partial, struct tide_err *err)
{
    struct stat held, named;
    enum tide_rc rc;
    bool empty;
    int fd;

    if (mkdir(partial->path, 0700) != 0 && errno != EEXIST)
        return copy_failed(err, "create directory", partial->path);
    fd = open(partial->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return copy_failed(err, "open directory", partial->path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &held) != 0 ||
        stat(partial->path, &named) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev) { /* it may just have got its name */
        tide_err_set(err, "%s is being made by another process", partial->name);
        close(fd);
        return TIDE_LOCKED;
    }
    remove_files(partial->path);
    if (!(rc = is_empty(partial->path, &empty, err)) && !empty) {
        tide_err_set(err, "%s holds files that are not ours; move it away", partial->path);
        rc = TIDE_DUPLICATE;
    }
    if (rc)
        close(fd);
    else
        partial->fd = fd;
    return rc;
}

/* Nothing is left of it. */
static void partial_undo(struct partial *partial)
{
    if (partial->fd < 0)
        return;
    remove_files(partial->path);
    rmdir(partial->path);
    close(partial->fd);
    partial->fd = -1;
}

/* Gives it its name, for good. replace: an empty directory of that name may be there. */
static enum tide_rc partial_end(struct partial *partial, bool replace, struct tide_err *err)
{
    enum tide_rc rc = copy_sync_dir(partial->path, err);
    int code;

    if (rc)
        return rc;
    code =
        renameat2(AT_FDCWD, partial->path, AT_FDCWD, partial->name, replace ? 0 : RENAME_NOREPLACE);
    if (code != 0 && errno == EINVAL) /* a file system that does not know the flag */
        code = rename(partial->path, partial->name);
    if (code != 0 && (errno == EEXIST || errno == ENOTEMPTY)) {
        tide_err_set(err, "%s came into being meanwhile; it was left alone", partial->name);
        return TIDE_DUPLICATE;
    }
    if (code != 0)
        return copy_failed(err, "rename to", partial->name);
    close(partial->fd);
    partial->fd = -1;
    return copy_sync_parent(partial->name, err);
}

/* ---- the manifest ---- */

static void fill_manifest(struct tide_manifest *manifest, const struct tide_verified *v)
{
    manifest->schema = v->schema;
    memcpy(manifest->uuid, v->uuid, sizeof(manifest->uuid));
    manifest->commit_seq = v->commit_seq;
    manifest->sealed_upto_s = v->sealed_upto_s;
    manifest->modules = v->modules;
    manifest->values = v->values;
    manifest->records = v->records;
    manifest->received = v->ledger.received;
    manifest->stored = v->ledger.stored;
}

static enum tide_rc write_manifest(const char *dir, const struct tide_manifest *manifest,
                                   struct tide_err *err)
{
    char path[PATH_SIZE + 32], text[1024], begun[TIDE_TIME_TEXT_SIZE], sealed[TIDE_TIME_TEXT_SIZE];
    enum tide_rc rc = TIDE_OK;
    int len, fd;

    path_in(path, dir, "manifest.json");
    len = snprintf(
        text, sizeof(text),
        "{\n  \"format\": \"tidemark backup\",\n  \"schema\": %" PRIu32 ",\n  \"uuid\": \"%s\",\n"
        "  \"commit_seq\": %" PRIu64 ",\n  \"time\": \"%s\",\n  \"sealed_upto\": \"%s\",\n"
        "  \"modules\": %" PRIu32 ",\n  \"records\": %" PRIu64 ",\n  \"values\": %" PRIu64 ",\n"
        "  \"received\": %" PRIu64 ",\n  \"stored\": %" PRIu64 ",\n  \"file\": \"tidemark.mdb\",\n"
        "  \"bytes\": %" PRIu64 ",\n  \"sha256\": \"%s\"\n}\n",
        manifest->schema, manifest->uuid, manifest->commit_seq,
        tide_time_text(begun, manifest->time_us),
        tide_time_text(sealed, manifest->sealed_upto_s * 1000000), manifest->modules,
        manifest->records, manifest->values, manifest->received, manifest->stored,
        manifest->file_bytes, manifest->sha256);
    assert(len > 0 && (size_t)len < sizeof(text));
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len || fsync(fd) != 0)
        rc = copy_failed(err, "write", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- backup ---- */

static enum tide_rc same_values(const uint64_t a[2], const uint64_t b[2], const char *path,
                                struct tide_err *err)
{
    if (a[0] == b[0] && a[1] == b[1])
        return TIDE_OK;
    tide_err_set(err, "%s, read again, is not what was written: a failing disk or memory?", path);
    return TIDE_DAMAGED;
}

static enum tide_rc fill_backup(const char *dir, const struct partial *partial,
                                const struct tide_copy_cfg *cfg, struct tide_manifest *manifest,
                                struct tide_err *err)
{
    struct copy_phase copying = {cfg, 0, 0.6, NULL, 0, 0},
                      verifying = {cfg, 0.6, 0.95, &copying, 0, 0},
                      summing = {cfg, 0.95, 1, &verifying, 0, 0};
    char from[PATH_SIZE + 32], to[PATH_SIZE + 32];
    struct tide_verified verified;
    uint64_t hash[2];
    enum tide_rc rc;

    path_in(from, dir, "tidemark.mdb");
    path_in(to, partial->path, "tidemark.mdb");
    manifest->time_us = tide_clock_wall_us();
    if ((rc = copy_values(from, copy_is_lived_in(dir), to, &copying, hash, err)) ||
        (rc = copy_verify(partial->path, &verifying, &verified, err)) ||
        (rc = same_values(hash, verified.hash, to, err)))
        return rc;
    fill_manifest(manifest, &verified);
    if ((rc = copy_bytes(to, -1, &summing, manifest->sha256, &manifest->file_bytes, err)))
        return rc;
    return write_manifest(partial->path, manifest, err);
}

/* Whether there is a store to copy. */
static enum tide_rc must_hold_store(const char *dir, struct tide_err *err)
{
    char path[PATH_SIZE + 32];
    struct stat info;

    path_in(path, dir, "tidemark.mdb");
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

enum tide_rc tide_backup(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                         struct tide_manifest *ret, struct tide_err *err)
{
    struct tide_manifest manifest = {0};
    struct partial partial = {.fd = -1};
    struct stat info;
    enum tide_rc rc;

    if ((rc = set_names(&partial, dest, err)) || (rc = must_hold_store(dir, err)))
        return rc;
    if (lstat(partial.name, &info) == 0) {
        tide_err_set(err, "%s is there already; choose another name", partial.name);
        return TIDE_DUPLICATE;
    }
    if (!(rc = partial_begin(&partial, err)) &&
        !(rc = fill_backup(dir, &partial, cfg, &manifest, err)))
        rc = partial_end(&partial, false, err);
    partial_undo(&partial);
    if (!rc)
        *ret = manifest;
    return rc;
}

/* ---- restore ---- */

/* The directory may become a store: it is not there, or empty. */
static enum tide_rc must_be_free(const char *dir, struct tide_err *err)
{
    char path[PATH_SIZE + 32];
    enum tide_rc rc;
    bool empty;
    int fd;

    if ((rc = is_empty(dir, &empty, err)) || empty)
        return rc;
    path_in(path, dir, "lock");
    if (access(path, F_OK) == 0) { /* say who lives there, rather than that somebody does */
        if ((rc = lock_take(dir, &fd, err)) == TIDE_LOCKED)
            return rc;
        if (!rc)
            close(fd);
    }
    tide_err_set(err, "%s is not empty; restore never overwrites: choose another directory", dir);
    return TIDE_DUPLICATE;
}

static enum tide_rc check_manifest(const struct tide_manifest *told,
                                   const struct tide_manifest *found, struct tide_err *err)
{
    const char *what = NULL;

    if (!told)
        return TIDE_OK;
    if (told->file_bytes != found->file_bytes || strcmp(told->sha256, found->sha256) != 0)
        what = "bytes or checksum";
    else if (told->schema != found->schema)
        what = "schema";
    else if (strcmp(told->uuid, found->uuid) != 0)
        what = "uuid";
    else if (told->commit_seq != found->commit_seq)
        what = "commit_seq";
    else if (told->values != found->values || told->stored != found->stored)
        what = "counts";
    if (!what)
        return TIDE_OK;
    tide_err_set(err, "tidemark.mdb is not the one that manifest.json describes: another %s", what);
    return TIDE_DAMAGED;
}

/* An empty file, on disk. */
static enum tide_rc make_lock_file(const char *dir, struct tide_err *err)
{
    char path[PATH_SIZE + 32];
    enum tide_rc rc = TIDE_OK;
    int fd;

    path_in(path, dir, "lock");
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fsync(fd) != 0)
        rc = copy_failed(err, "create", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum tide_rc fill_store(const char *from, const struct partial *partial,
                               const struct copy_phase *verified,
                               const struct tide_manifest *manifest, struct tide_err *err)
{
    const struct tide_copy_cfg *cfg = verified->cfg;
    struct copy_phase copying = {cfg, 0.5, 0.9, verified, 0, 0},
                      summing = {cfg, 0.9, 1, &copying, 0, 0};
    char to[PATH_SIZE + 32], sha256[TIDE_SHA256_TEXT_SIZE];
    uint64_t bytes;
    enum tide_rc rc;
    int fd;

    path_in(to, partial->path, "tidemark.mdb");
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return copy_failed(err, "create", to);
    rc = copy_bytes(from, fd, &copying, sha256, &bytes, err);
    if (!rc && fsync(fd) != 0)
        rc = copy_failed(err, "sync", to);
    if (!rc) /* read it from the disk, if we can */
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    if (!rc && strcmp(sha256, manifest->sha256) == 0)
        rc = copy_bytes(to, -1, &summing, sha256, &bytes, err);
    if (!rc && strcmp(sha256, manifest->sha256) != 0) {
        tide_err_set(err, "%s changed while it was copied, or the disk fails", from);
        rc = TIDE_DAMAGED;
    }
    return rc ? rc : make_lock_file(partial->path, err);
}

enum tide_rc tide_restore(const char *src, const struct tide_manifest *manifest, const char *dir,
                          const struct tide_copy_cfg *cfg, struct tide_manifest *ret,
                          struct tide_err *err)
{
    struct copy_phase summing = {cfg, 0, 0.1, NULL, 0, 0},
                      verifying = {cfg, 0.1, 0.5, &summing, 0, 0};
    struct tide_manifest found = {.time_us = manifest ? manifest->time_us : 0};
    struct partial partial = {.fd = -1};
    struct tide_verified verified;
    char from[PATH_SIZE + 32];
    enum tide_rc rc;

    path_in(from, src, "tidemark.mdb");
    if ((rc = set_names(&partial, dir, err)) || (rc = must_hold_store(src, err)) ||
        (rc = must_be_free(partial.name, err)) ||
        (rc = copy_bytes(from, -1, &summing, found.sha256, &found.file_bytes, err)) ||
        (rc = copy_verify(src, &verifying, &verified, err)))
        return rc;
    if (!verified.whole) {
        tide_err_set(err, "%s is in use by a daemon; make a backup of it", src);
        return TIDE_LOCKED;
    }
    fill_manifest(&found, &verified);
    if ((rc = check_manifest(manifest, &found, err)))
        return rc;
    if (!(rc = partial_begin(&partial, err)) &&
        !(rc = fill_store(from, &partial, &verifying, &found, err)))
        rc = partial_end(&partial, true, err);
    partial_undo(&partial);
    if (!rc)
        *ret = found;
    return rc;
}
