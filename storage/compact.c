/* compact - see the door. The new file grows beside the old one, is verified and compared with it,
 * and then takes its name: a crash leaves the one or the other. What LMDB keeps for readers of the
 * old file goes before: a later daemon must not believe it of the new one.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "lock.h"
#include "tidemark/backup.h"

#define PATH_SIZE 1300

static const char *const work_name = "compact.partial"; /* a directory in that of the store */

struct paths {
    char data[PATH_SIZE], data_lock[PATH_SIZE];
    char work[PATH_SIZE], copy[PATH_SIZE + 32], copy_lock[PATH_SIZE + 32];
};

static void set_paths(struct paths *paths, const char *dir)
{
    snprintf(paths->data, PATH_SIZE, "%.1100s/tidemark.mdb", dir);
    snprintf(paths->data_lock, PATH_SIZE, "%.1100s/tidemark.mdb-lock", dir);
    snprintf(paths->work, PATH_SIZE, "%.1100s/%s", dir, work_name);
    snprintf(paths->copy, sizeof(paths->copy), "%s/tidemark.mdb", paths->work);
    snprintf(paths->copy_lock, sizeof(paths->copy_lock), "%s/tidemark.mdb-lock", paths->work);
}

static void remove_work(const struct paths *paths)
{
    unlink(paths->copy);
    unlink(paths->copy_lock);
    rmdir(paths->work);
}

static enum tide_rc file_bytes(const char *path, uint64_t *ret, struct tide_err *err)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return copy_failed(err, "open", path);
    *ret = (uint64_t)info.st_size;
    return TIDE_OK;
}

static enum tide_rc swap(const struct paths *paths, const char *dir, struct tide_err *err)
{
    enum tide_rc rc;

    if (unlink(paths->data_lock) != 0 && errno != ENOENT)
        return copy_failed(err, "remove", paths->data_lock);
    if ((rc = copy_sync_dir(paths->work, err)) || (rc = copy_sync_dir(dir, err)))
        return rc;
    if (rename(paths->copy, paths->data) != 0)
        return copy_failed(err, "rename to", paths->data);
    return copy_sync_dir(dir, err);
}

static enum tide_rc compact(const struct paths *paths, const char *dir,
                            const struct tide_copy_cfg *cfg, struct tide_compacted *ret,
                            struct tide_err *err)
{
    struct copy_phase copying = {cfg, 0, 0.6, NULL, 0, 0},
                      verifying = {cfg, 0.6, 1, &copying, 0, 0};
    struct tide_verified verified;
    uint64_t hash[2];
    enum tide_rc rc;

    remove_work(paths); /* of a run that was cut short */
    if ((rc = file_bytes(paths->data, &ret->before_bytes, err)))
        return rc;
    if (mkdir(paths->work, 0700) != 0)
        return copy_failed(err, "create directory", paths->work);
    if ((rc = copy_values(paths->data, true, paths->copy, &copying, hash, err)) ||
        (rc = copy_verify(paths->work, &verifying, &verified, err)))
        return rc;
    if (hash[0] != verified.hash[0] || hash[1] != verified.hash[1]) {
        tide_err_set(err, "%s, read again, is not what was written: a failing disk or memory?",
                     paths->copy);
        return TIDE_DAMAGED;
    }
    if ((rc = file_bytes(paths->copy, &ret->after_bytes, err)))
        return rc;
    return swap(paths, dir, err);
}

enum tide_rc tide_compact(const char *dir, const struct tide_copy_cfg *cfg,
                          struct tide_compacted *ret, struct tide_err *err)
{
    struct paths paths;
    struct stat info;
    enum tide_rc rc;
    int lock_fd;

    set_paths(&paths, dir);
    if (stat(paths.data, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return copy_failed(err, "open", paths.data);
        tide_err_set(err, "%s holds no store (no file tidemark.mdb)", dir);
        return TIDE_NOT_FOUND;
    }
    *ret = (struct tide_compacted){0};
    if ((rc = lock_take(dir, &lock_fd, err)))
        return rc;
    rc = compact(&paths, dir, cfg, ret, err);
    remove_work(&paths);
    close(lock_fd);
    return rc;
}
