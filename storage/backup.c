/* backup - see the door: backup and restore. Both work in a partial directory (partial.h) that gets
 * its name when everything in it is on disk and was read again.
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
#include "partial.h"
#include "tidemark/clock.h"

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
    char path[PARTIAL_PATH + 32], text[1024], begun[TIDE_TIME_TEXT_SIZE],
        sealed[TIDE_TIME_TEXT_SIZE];
    enum tide_rc rc = TIDE_OK;
    int len, fd;

    partial_path(path, dir, "manifest.json");
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
    char from[PARTIAL_PATH + 32], to[PARTIAL_PATH + 32];
    struct tide_verified verified;
    uint64_t hash[2];
    enum tide_rc rc;

    partial_path(from, dir, "tidemark.mdb");
    partial_path(to, partial->path, "tidemark.mdb");
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

enum tide_rc tide_backup(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                         struct tide_manifest *ret, struct tide_err *err)
{
    struct tide_manifest manifest = {0};
    struct partial partial = {.fd = -1};
    struct stat info;
    enum tide_rc rc;

    if ((rc = partial_set_names(&partial, dest, err)) || (rc = copy_must_hold_store(dir, err)))
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
    char path[PARTIAL_PATH + 32];
    enum tide_rc rc;
    bool empty;
    int fd;

    if ((rc = partial_is_empty(dir, &empty, err)) || empty)
        return rc;
    partial_path(path, dir, "lock");
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
    char path[PARTIAL_PATH + 32];
    enum tide_rc rc = TIDE_OK;
    int fd;

    partial_path(path, dir, "lock");
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
    char to[PARTIAL_PATH + 32], sha256[TIDE_SHA256_TEXT_SIZE];
    uint64_t bytes;
    enum tide_rc rc;
    int fd;

    partial_path(to, partial->path, "tidemark.mdb");
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
    char from[PARTIAL_PATH + 32];
    enum tide_rc rc;

    partial_path(from, src, "tidemark.mdb");
    if ((rc = partial_set_names(&partial, dir, err)) || (rc = copy_must_hold_store(src, err)) ||
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
