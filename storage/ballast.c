/* ballast - see ballast.h. Its size is a hundredth of the free space when it is made, 4 to 8 MiB,
 * twice what the largest chore writes in one transaction, but never more than a 64th of the disk. A
 * file system that cannot allocate without writing has none; neither has one so small that it would
 * not be worth it.
 */
#include "ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "inside.h"
#include "tidemark/log.h"

#define SIZE_LEAST (UINT64_C(4) << 20)
#define UNIT       (UINT64_C(64) << 10)
#define KEEP_US    60000000

struct disk {
    uint64_t free_bytes, bytes;
};

static struct disk look(const struct tide_store *store)
{
    struct statvfs fs;

    if (statvfs(store->cfg.dir, &fs) != 0)
        return (struct disk){0, 0};
    return (struct disk){(uint64_t)fs.f_bavail * fs.f_frsize, (uint64_t)fs.f_blocks * fs.f_frsize};
}

static uint64_t wanted_bytes(const struct tide_store *store, const struct disk *disk)
{
    uint64_t bytes = disk->free_bytes / 100;

    if (bytes < SIZE_LEAST)
        bytes = SIZE_LEAST;
    if (bytes > disk->bytes / 64)
        bytes = disk->bytes / 64;
    if (bytes > store->cfg.ballast_bytes)
        bytes = store->cfg.ballast_bytes;
    return bytes - bytes % UNIT;
}

static void set_held(struct tide_store *store, uint64_t bytes)
{
    atomic_store(&store->ballast_bytes, bytes);
}

/* Makes the file so large; false, and there is none: it cannot be. */
static bool make(struct tide_store *store, uint64_t bytes)
{
    int fd = open(store->ballast_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool made = fd >= 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0;
    int code = errno;

    if (fd >= 0)
        close(fd);
    if (!made) {
        unlink(store->ballast_path);
        if (code != ENOSPC)
            tide_log(TIDE_WARNING, "storage", "no ballast, %s: %s", store->ballast_path,
                     strerror(code));
    }
    set_held(store, made ? bytes : 0);
    return made;
}

void ballast_open(struct tide_store *store)
{
    struct disk disk = look(store);
    struct stat info;

    snprintf(store->ballast_path, sizeof(store->ballast_path), "%s/ballast", store->cfg.dir);
    if (stat(store->ballast_path, &info) == 0)
        set_held(store, (uint64_t)info.st_blocks * 512);
    store->ballast_wanted = wanted_bytes(store, &disk);
    ballast_keep(store, 0);
}

void ballast_give_up(struct tide_store *store)
{
    uint64_t held = atomic_load(&store->ballast_bytes);

    if (held == 0)
        return;
    if (unlink(store->ballast_path) != 0 && errno != ENOENT)
        return; /* of no use, then */
    if (!store->ballast_missed)
        tide_log(
            TIDE_WARNING, "storage",
            "the disk is full: using the ballast of %llu bytes to delete what is past its time",
            (unsigned long long)held);
    store->ballast_missed = true;
    set_held(store, 0);
}

void ballast_take_back(struct tide_store *store)
{
    struct disk disk = look(store);
    uint64_t bytes =
        disk.free_bytes < store->ballast_wanted ? disk.free_bytes : store->ballast_wanted;

    bytes -= bytes % UNIT;
    if (bytes && atomic_load(&store->ballast_bytes) == 0)
        make(store, bytes);
}

void ballast_keep(struct tide_store *store, int64_t now_us)
{
    struct disk disk;

    if (now_us && now_us - store->ballast_us < KEEP_US && now_us >= store->ballast_us)
        return;
    store->ballast_us = now_us;
    if (atomic_load(&store->ballast_bytes) >= store->ballast_wanted)
        return;
    disk = look(store);
    if (disk.free_bytes >= 2 * store->ballast_wanted && make(store, store->ballast_wanted))
        store->ballast_missed = false;
}
