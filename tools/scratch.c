/* Directories are made 0700: what is in them may be somebody's traffic. */
#include "scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "human.h"

enum tide_rc tide_scratch_make(const char *parent, char path[TIDE_SCRATCH_PATH],
                               struct tide_err *err)
{
    if (snprintf(path, TIDE_SCRATCH_PATH, "%s/tidemark-bench-XXXXXX", parent) >=
        TIDE_SCRATCH_PATH) {
        path[0] = '\0';
        tide_err_set(err, "the path of the directory is longer than %d bytes", TIDE_SCRATCH_PATH);
        return TIDE_IO;
    }
    if (!mkdtemp(path)) {
        path[0] = '\0';
        tide_err_set(err, "make a directory in %s: %s", parent, strerror(errno));
        return TIDE_IO;
    }
    return TIDE_OK;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    remove(path);
    return 0;
}

void tide_scratch_remove(const char *path)
{
    if (path[0])
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

enum tide_rc tide_scratch_room(const char *path, uint64_t bytes, struct tide_err *err)
{
    char need[TIDE_HUMAN_SIZE], have[TIDE_HUMAN_SIZE];
    struct statvfs fs;

    if (statvfs(path, &fs) != 0) {
        tide_err_set(err, "%s: %s", path, strerror(errno));
        return TIDE_IO;
    }
    if ((double)fs.f_bavail * (double)fs.f_frsize >= (double)bytes)
        return TIDE_OK;
    tide_err_set(err, "%s has %s free, and this takes up to %s: choose another directory or less",
                 path, tide_human_bytes(have, (double)fs.f_bavail * (double)fs.f_frsize),
                 tide_human_bytes(need, (double)bytes));
    return TIDE_DISK_FULL;
}
