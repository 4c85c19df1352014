/* The writes of a store to its data file, on their way through the test: included once in a
 * program, it defines the calls that LMDB makes and passes them on to the system. It keeps their
 * order and their bytes and which of them a sync had covered when it returned, and can make one
 * fail, so that crash_image.h can say what a disk may hold at any moment.
 *
 * A write that fails has reached the page cache and, perhaps, the disk. After a sync that fails the
 * kernel takes the pages for written: whether they are on the disk stays unknown until they are
 * written again.
 */
#ifndef FAULT_TEST_RECORDER_H
#define FAULT_TEST_RECORDER_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op_kind {
    OP_WRITE,       /* into the page cache */
    OP_WRITE_SYNC,  /* through O_DSYNC: on disk when it returned */
    OP_WRITE_DOUBT, /* the same, but it returned a failure */
    OP_SYNC,
    OP_SYNC_FAILED,
    OP_RENAME,   /* the file got its name ... */
    OP_SYNC_DIR, /* ... for good */
    OP_STEP      /* the opening (the first one), or a step of the life had returned */
};

struct op {
    enum op_kind kind;
    uint64_t offset;
    size_t len, data; /* in recorder.bytes */
};

static struct {
    bool on;
    char dir[1100]; /* of the store */
    char file[1200];
    struct op *op;
    size_t ops, op_capacity;
    uint8_t *bytes;
    size_t len, capacity;
    uint64_t calls;      /* writes and syncs so far */
    uint64_t fail_at;    /* of these, from here on ... */
    unsigned fail_count; /* ... so many fail */
    bool fail_only_meta; /* among writes through O_DSYNC */
    uint64_t failed;
} recorder;

static inline void *recorder_grow(void *start, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return start;
    while (*capacity < needed)
        *capacity = *capacity ? *capacity * 2 : 4096;
    start = realloc(start, *capacity * size);
    if (!start)
        abort();
    return start;
}

static inline void recorder_add(enum op_kind kind, uint64_t offset, const struct iovec *part,
                                int parts, size_t len)
{
    struct op op = {.kind = kind, .offset = offset, .len = len, .data = recorder.len};

    recorder.op = recorder_grow(recorder.op, &recorder.op_capacity, recorder.ops + 1, sizeof(op));
    recorder.bytes = recorder_grow(recorder.bytes, &recorder.capacity, recorder.len + len, 1);
    for (int i = 0; i < parts && len; i++) {
        size_t take = part[i].iov_len < len ? part[i].iov_len : len;

        memcpy(recorder.bytes + recorder.len, part[i].iov_base, take);
        recorder.len += take;
        len -= take;
    }
    recorder.op[recorder.ops++] = op;
}

/* Records what happens to the data file of the store in dir from now on. */
static inline void recorder_begin(const char *dir)
{
    free(recorder.op);
    free(recorder.bytes);
    memset(&recorder, 0, sizeof(recorder));
    snprintf(recorder.dir, sizeof(recorder.dir), "%s", dir);
    snprintf(recorder.file, sizeof(recorder.file), "%s/tidemark.mdb", dir);
    recorder.on = true;
}

static inline void recorder_step(unsigned steps)
{
    (void)steps;
    recorder_add(OP_STEP, 0, NULL, 0, 0);
}

/* 1: the data file (under its own name or the one it is born with), 2: the directory, 0: neither.
 */
static inline int recorder_knows(int fd)
{
    char link[64], path[1300];
    ssize_t len;

    if (!recorder.on)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    if (len < 0)
        return 0;
    path[len] = '\0';
    if (strcmp(path, recorder.dir) == 0)
        return 2;
    if (len > 5 && strcmp(path + len - 5, "-lock") == 0)
        return 0;
    len = (ssize_t)strlen(recorder.file);
    return strncmp(path, recorder.file, (size_t)len) == 0 && (!path[len] || path[len] == '.');
}

static inline void *recorder_next(const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);

    if (!next)
        __builtin_trap();
    return next;
}

static inline bool recorder_fails(bool meta)
{
    if (recorder.fail_only_meta && !meta)
        return false;
    recorder.calls++;
    if (!recorder.fail_at || recorder.calls < recorder.fail_at ||
        recorder.calls >= recorder.fail_at + recorder.fail_count)
        return false;
    recorder.failed++;
    errno = EIO;
    return true;
}

static inline ssize_t recorder_wrote(int fd, off_t offset, const struct iovec *part, int parts,
                                     ssize_t wrote)
{
    bool synced = fcntl(fd, F_GETFL) & O_DSYNC, fails;

    if (wrote <= 0)
        return wrote;
    fails = recorder_fails(synced);
    recorder_add(synced ? fails ? OP_WRITE_DOUBT : OP_WRITE_SYNC : OP_WRITE, (uint64_t)offset, part,
                 parts, (size_t)wrote);
    return fails ? -1 : wrote;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);
    struct iovec part = {(void *)(uintptr_t)data, len};
    ssize_t wrote;

    if (!next)
        *(void **)&next = recorder_next("pwrite");
    wrote = next(fd, data, len, offset);
    return recorder_knows(fd) == 1 ? recorder_wrote(fd, offset, &part, 1, wrote) : wrote;
}

ssize_t writev(int fd, const struct iovec *part, int parts)
{
    static ssize_t (*next)(int, const struct iovec *, int);
    bool ours = recorder_knows(fd) == 1;
    off_t offset = ours ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t wrote;

    if (!next)
        *(void **)&next = recorder_next("writev");
    wrote = next(fd, part, parts);
    return ours ? recorder_wrote(fd, offset, part, parts, wrote) : wrote;
}

static inline int recorder_synced(int fd, int code)
{
    int what = recorder_knows(fd);

    if (!what || code)
        return code;
    if (what == 2) {
        recorder_add(OP_SYNC_DIR, 0, NULL, 0, 0);
        return 0;
    }
    if (recorder_fails(false)) {
        recorder_add(OP_SYNC_FAILED, 0, NULL, 0, 0);
        return -1;
    }
    recorder_add(OP_SYNC, 0, NULL, 0, 0);
    return 0;
}

int fdatasync(int fd)
{
    static int (*next)(int);

    if (!next)
        *(void **)&next = recorder_next("fdatasync");
    return recorder_synced(fd, next(fd));
}

int fsync(int fd)
{
    static int (*next)(int);

    if (!next)
        *(void **)&next = recorder_next("fsync");
    return recorder_synced(fd, next(fd));
}

int rename(const char *from, const char *to)
{
    static int (*next)(const char *, const char *);
    int code;

    if (!next)
        *(void **)&next = recorder_next("rename");
    code = next(from, to);
    if (!code && recorder.on && strcmp(to, recorder.file) == 0)
        recorder_add(OP_RENAME, 0, NULL, 0, 0);
    return code;
}

/* What a store must not do to its data file, for nothing here would know of it. */
int ftruncate(int fd, off_t len)
{
    static int (*next)(int, off_t);

    if (!next)
        *(void **)&next = recorder_next("ftruncate");
    if (recorder_knows(fd) == 1)
        __builtin_trap();
    return next(fd, len);
}

#endif
