/* raw_backup - see raw.h. A copy of the file as it is, free pages included: what another schema
 * means by its values is not known here, so nothing of it may change.
 */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "partial.h"
#include "tidemark/clock.h"
#include "tidemark/raw.h"

static enum tide_rc write_manifest(const char *dir, const struct tide_raw_head *head,
                                   uint64_t bytes, const char *sha256, struct tide_err *err)
{
    char path[PARTIAL_PATH + 32], text[1024], time[TIDE_TIME_TEXT_SIZE];
    enum tide_rc rc = TIDE_OK;
    int len, fd;

    partial_path(path, dir, "manifest.json");
    len = snprintf(
        text, sizeof(text),
        "{\n  \"format\": \"tidemark store before a migration\",\n"
        "  \"schema\": %" PRIu32 ",\n  \"uuid\": \"%s\",\n  \"time\": \"%s\",\n"
        "  \"file\": \"tidemark.mdb\",\n  \"bytes\": %" PRIu64 ",\n  \"sha256\": \"%s\"\n}\n",
        head->schema, head->uuid, tide_time_text(time, tide_clock_wall_us()), bytes, sha256);
    assert(len > 0 && (size_t)len < sizeof(text));
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len || fsync(fd) != 0)
        rc = copy_failed(err, "write", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum tide_rc fill(const char *dir, const struct partial *partial,
                         const struct tide_copy_cfg *cfg, struct tide_err *err)
{
    struct copy_phase copying = {cfg, 0, 0.4, NULL, 0, 0},
                      summing = {cfg, 0.4, 0.6, &copying, 0, 0},
                      walking = {cfg, 0.6, 1, &summing, 0, 0};
    char from[PARTIAL_PATH + 32], to[PARTIAL_PATH + 32];
    char sha256[TIDE_SHA256_TEXT_SIZE], again[TIDE_SHA256_TEXT_SIZE];
    struct tide_raw_head head;
    uint64_t bytes, hash[2];
    enum tide_rc rc;
    int fd;

    partial_path(from, dir, "tidemark.mdb");
    partial_path(to, partial->path, "tidemark.mdb");
    fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return copy_failed(err, "create", to);
    rc = copy_bytes(from, fd, &copying, sha256, &bytes, err);
    if (!rc && fsync(fd) != 0)
        rc = copy_failed(err, "sync", to);
    if (!rc) /* read it from the disk, if we can */
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    if (rc || (rc = copy_bytes(to, -1, &summing, again, &bytes, err)) ||
        (rc = copy_walk(to, false, &walking, hash, err)))
        return rc;
    if (strcmp(sha256, again) != 0) {
        tide_err_set(err, "%s, read again, is not what was written: a failing disk or memory?", to);
        return TIDE_DAMAGED;
    }
    if ((rc = tide_raw_look(partial->path, &head, err)))
        return rc;
    return write_manifest(partial->path, &head, bytes, sha256, err);
}

/* Whether the copy that is there is one of the store as it is: made by a run that was killed after.
 * The values tell: the first change, cut short, has written pages that belong to nothing. */
static enum tide_rc same_store(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                               struct tide_err *err)
{
    struct copy_phase one = {cfg, 0, 0.5, NULL, 0, 0}, other = {cfg, 0.5, 1, &one, 0, 0};
    char from[PARTIAL_PATH + 32], to[PARTIAL_PATH + 32];
    uint64_t own[2], its[2] = {0, 0};
    struct tide_err ignored = {""};
    enum tide_rc rc;

    partial_path(from, dir, "tidemark.mdb");
    partial_path(to, dest, "tidemark.mdb");
    if ((rc = copy_walk(from, copy_is_lived_in(dir), &one, own, err)))
        return rc;
    rc = copy_walk(to, false, &other, its, &ignored);
    if (rc == TIDE_STOPPED || (!rc && memcmp(own, its, sizeof(own)) == 0)) {
        *err = ignored;
        return rc;
    }
    tide_err_set(err, "%s is there, and is no copy of this store; move it away or name another",
                 dest);
    return TIDE_DUPLICATE;
}

enum tide_rc tide_raw_backup(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                             struct tide_err *err)
{
    struct partial partial = {.fd = -1};
    struct stat info;
    enum tide_rc rc;

    if ((rc = partial_set_names(&partial, dest, err)))
        return rc;
    if (lstat(partial.name, &info) == 0)
        return same_store(dir, partial.name, cfg, err);
    if (!(rc = partial_begin(&partial, err)) && !(rc = fill(dir, &partial, cfg, err)))
        rc = partial_end(&partial, false, err);
    partial_undo(&partial);
    return rc;
}
