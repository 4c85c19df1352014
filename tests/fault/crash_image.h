/* What the disk may hold when the power goes, out of what recorder.h has seen: everything that a
 * sync had covered, and of the writes since then any subset, each of them whole or torn at sectors
 * of 512 bytes or pages of 4 KiB.
 *
 * Two copies of the file are kept up while the recording is walked: `cache`, what a reader sees,
 * and `disk`, what is surely there. A sync writes whole pages out of the cache. Pages that a failed
 * sync or write may have left on the disk are kept apart, in every state they may have there, until
 * a sync covers them again.
 */
#ifndef FAULT_TEST_CRASH_IMAGE_H
#define FAULT_TEST_CRASH_IMAGE_H

#include "pack.h"
#include "recorder.h"

#define IMAGE_PAGE 4096u

/* Which promises of the disk are broken on purpose. */
enum image_disk {
    DISK_HONEST,
    DISK_FORGETS_SYNCS,      /* a sync does nothing; what was written four syncs ago is there */
    DISK_FORGETS_META_WRITES /* only the write through O_DSYNC is not synced */
};

struct image_file {
    uint8_t *bytes;
    size_t len, capacity;
};

struct image_write {
    uint64_t offset;
    size_t len;
    const uint8_t *bytes;
    unsigned age; /* syncs since; DISK_FORGETS_SYNCS */
    uint8_t *own; /* bytes to be freed with it */
};

struct image_writes {
    struct image_write *write;
    size_t count, capacity;
};

enum image_name { NAME_NONE, NAME_MAYBE, NAME_SURE };

struct image_state {
    enum image_disk lies;
    struct image_file cache, disk;
    struct image_writes pending, doubtful; /* oldest first */
    enum image_name name;
    unsigned steps; /* that had returned, the opening before the first one not counted */
    bool opened;
};

static inline void image_put(struct image_file *file, uint64_t offset, const void *bytes,
                             size_t len)
{
    size_t end = (size_t)offset + len;

    if (end > file->len) {
        file->bytes = recorder_grow(file->bytes, &file->capacity, end, 1);
        memset(file->bytes + file->len, 0, end - file->len);
        file->len = end;
    }
    memcpy(file->bytes + offset, bytes, len);
}

static inline void image_push(struct image_writes *writes, struct image_write write)
{
    writes->write =
        recorder_grow(writes->write, &writes->capacity, writes->count + 1, sizeof(write));
    writes->write[writes->count++] = write;
}

static inline void image_writes_fini(struct image_writes *writes)
{
    for (size_t i = 0; i < writes->count; i++)
        free(writes->write[i].own);
    free(writes->write);
    *writes = (struct image_writes){0};
}

static inline void image_fini(struct image_state *state)
{
    image_writes_fini(&state->pending);
    image_writes_fini(&state->doubtful);
    free(state->cache.bytes);
    free(state->disk.bytes);
    *state = (struct image_state){0};
}

/* The pages that a write touches are on disk now as they are in the cache, and so no longer
 * doubtful. */
static inline void image_flush(struct image_state *state, const struct image_write *write)
{
    uint64_t from = write->offset / IMAGE_PAGE * IMAGE_PAGE;
    uint64_t to = (write->offset + write->len + IMAGE_PAGE - 1) / IMAGE_PAGE * IMAGE_PAGE;
    size_t kept = 0;

    if (to > state->cache.len)
        to = state->cache.len;
    image_put(&state->disk, from, state->cache.bytes + from, (size_t)(to - from));
    for (size_t i = 0; i < state->doubtful.count; i++) {
        struct image_write *doubt = &state->doubtful.write[i];

        if (doubt->offset >= from && doubt->offset < to)
            free(doubt->own);
        else
            state->doubtful.write[kept++] = *doubt;
    }
    state->doubtful.count = kept;
}

/* Its pages, as they are in the cache, may be on the disk. */
static inline void image_doubt(struct image_state *state, const struct image_write *write)
{
    for (uint64_t at = write->offset / IMAGE_PAGE * IMAGE_PAGE; at < write->offset + write->len;
         at += IMAGE_PAGE) {
        size_t len = state->cache.len - at < IMAGE_PAGE ? state->cache.len - at : IMAGE_PAGE;
        uint8_t *own = malloc(len);

        if (!own)
            abort();
        memcpy(own, state->cache.bytes + at, len);
        image_push(&state->doubtful,
                   (struct image_write){.offset = at, .len = len, .bytes = own, .own = own});
    }
}

static inline void image_sync(struct image_state *state)
{
    size_t kept = 0;

    for (size_t i = 0; i < state->pending.count; i++) {
        struct image_write *write = &state->pending.write[i];

        if (state->lies == DISK_FORGETS_SYNCS && ++write->age < 4) {
            state->pending.write[kept++] = *write;
            continue;
        }
        if (state->lies == DISK_FORGETS_SYNCS)
            image_put(&state->disk, write->offset, write->bytes, write->len);
        else
            image_flush(state, write);
    }
    state->pending.count = kept;
}

static inline void image_apply(struct image_state *state, const struct op *op)
{
    struct image_write write = {
        .offset = op->offset, .len = op->len, .bytes = recorder.bytes + op->data};

    switch (op->kind) {
    case OP_WRITE:
    case OP_WRITE_SYNC:
    case OP_WRITE_DOUBT:
        image_put(&state->cache, write.offset, write.bytes, write.len);
        if (op->kind == OP_WRITE_DOUBT)
            image_doubt(state, &write);
        else if (op->kind == OP_WRITE || state->lies != DISK_HONEST)
            image_push(&state->pending, write);
        else
            image_flush(state, &write);
        break;
    case OP_SYNC:
        image_sync(state);
        break;
    case OP_SYNC_FAILED:
        for (size_t i = 0; i < state->pending.count; i++)
            image_doubt(state, &state->pending.write[i]);
        state->pending.count = 0;
        break;
    case OP_RENAME:
        state->name = NAME_MAYBE;
        break;
    case OP_SYNC_DIR:
        if (state->name == NAME_MAYBE)
            state->name = NAME_SURE;
        break;
    case OP_STEP:
        state->steps += state->opened;
        state->opened = true;
        break;
    }
}

/* Writes part of a write: each unit of it is there or not. */
static inline void image_tear(struct image_file *file, const struct image_write *write, size_t unit,
                              uint64_t *seed)
{
    for (size_t at = 0; at < write->len; at += unit) {
        size_t len = write->len - at < unit ? write->len - at : unit;

        if (tide_test_random(seed) % 2)
            image_put(file, write->offset + at, write->bytes + at, len);
    }
}

static inline void image_some(struct image_file *file, const struct image_writes *writes,
                              uint64_t *seed)
{
    uint64_t share = tide_test_random(seed) % 5; /* of those that are there, in quarters */
    uint64_t torn = tide_test_random(seed) % 3;  /* none, sectors, pages */

    for (size_t i = 0; i < writes->count; i++) {
        const struct image_write *write = &writes->write[i];

        if (torn && tide_test_random(seed) % 4 == 0)
            image_tear(file, write, torn == 1 ? 512 : IMAGE_PAGE, seed);
        else if (tide_test_random(seed) % 4 < share)
            image_put(file, write->offset, write->bytes, write->len);
    }
}

/* One of the files that may be on the disk now, into *ret (its memory is reused). */
static inline void image_any(const struct image_state *state, uint64_t seed, struct image_file *ret)
{
    ret->len = 0;
    if (state->disk.len)
        image_put(ret, 0, state->disk.bytes, state->disk.len);
    image_some(ret, &state->doubtful, &seed);
    image_some(ret, &state->pending, &seed);
}

#endif
