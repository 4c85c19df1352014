/* partial - see partial.h. */
#include "partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"

static const char *const files[] = {"tidemark.mdb", "tidemark.mdb-lock", "manifest.json", "lock"};

void partial_path(char path[PARTIAL_PATH + 32], const char *dir, const char *file)
{
    snprintf(path, PARTIAL_PATH + 32, "%s/%s", dir, file);
}

static void remove_files(const char *dir)
{
    char path[PARTIAL_PATH + 32];

    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        partial_path(path, dir, files[i]);
        unlink(path);
    }
}

enum tide_rc partial_set_names(struct partial *partial, const char *name, struct tide_err *err)
{
    size_t len = strlen(name);

    while (len > 1 && name[len - 1] == '/')
        len--;
    if (len == 0 || len > PARTIAL_PATH - 100) {
        tide_err_set(err, "'%s' is no name for a directory", name);
        return TIDE_USAGE;
    }
    snprintf(partial->name, sizeof(partial->name), "%.*s", (int)len, name);
    snprintf(partial->path, sizeof(partial->path), "%.*s.partial", (int)len, name);
    return TIDE_OK;
}

enum tide_rc partial_is_empty(const char *dir, bool *ret, struct tide_err *err)
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
enum tide_rc partial_begin(struct partial *partial, struct tide_err *err)
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
    if (!(rc = partial_is_empty(partial->path, &empty, err)) && !empty) {
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
void partial_undo(struct partial *partial)
{
    if (partial->fd < 0)
        return;
    remove_files(partial->path);
    rmdir(partial->path);
    close(partial->fd);
    partial->fd = -1;
}

/* Gives it its name, for good. replace: an empty directory of that name may be there. */
enum tide_rc partial_end(struct partial *partial, bool replace, struct tide_err *err)
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
