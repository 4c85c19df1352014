/* quota - see quota.h. Pages in use are the file's pages less the free list, which has to be walked
 * to be counted: about 50 ns for each transaction that has freed pages nobody took yet. So it is
 * walked at most once a second or every so many transactions, and for each only when space is
 * nearly out.
 */
#include "quota.h"

#include "inside.h"
#include "reader.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define WALK_US      1000000
#define ROUND_BYTES  UINT64_C(65536) /* any page size divides it */
#define RESERVE_MIN  64              /* pages left to deleting */
#define RESERVE_MAX  4096
#define CALM_PERCENT 80 /* below this an episode is over */
#define HIGH_PERCENT 90

uint64_t quota_map_bytes(const struct tide_store *store)
{
    uint64_t bytes = store->cfg.map_bytes;

    if (store->cfg.max_bytes && store->cfg.max_bytes < bytes)
        bytes = store->cfg.max_bytes;
    return bytes - bytes % ROUND_BYTES;
}

void quota_open(struct tide_store *store)
{
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t file_bytes;

    store->quota = (struct quota){0};
    if (!store->cfg.max_bytes)
        return;
    mdb_env_info(store->env, &info);
    mdb_env_stat(store->env, &stat);
    store->quota.cap_pages = store->cfg.max_bytes / stat.ms_psize;
    file_bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    if (file_bytes > store->cfg.max_bytes)
        tide_log(TIDE_WARNING, "storage",
                 "the file has %llu bytes already, storage.max_bytes is %llu: history goes until "
                 "that much of it is free; the file itself does not shrink",
                 (unsigned long long)file_bytes, (unsigned long long)store->cfg.max_bytes);
}

static uint64_t reserve_of(const struct quota *quota)
{
    uint64_t pages = quota->cap_pages / 64;

    return pages < RESERVE_MIN ? RESERVE_MIN : pages > RESERVE_MAX ? RESERVE_MAX : pages;
}

static uint64_t room_of(const struct quota *quota)
{
    return quota->used_pages < quota->cap_pages ? quota->cap_pages - quota->used_pages : 0;
}

static bool walk_is_due(const struct tide_store *store)
{
    const struct quota *quota = &store->quota;
    uint64_t since = store->state.commit_seq - quota->walked_seq;
    int64_t now_us = tide_clock_mono_us();

    if (quota->walked_us == 0 || now_us - quota->walked_us >= WALK_US || now_us < quota->walked_us)
        return true;
    return since > 16 + quota->cap_pages / 1024 ||
           (since && room_of(quota) < 4 * reserve_of(quota));
}

static void look(struct tide_store *store)
{
    struct quota *quota = &store->quota;
    MDB_envinfo info;
    uint64_t pages, free;

    if (!walk_is_due(store))
        return;
    mdb_env_info(store->env, &info);
    pages = info.me_last_pgno + 1;
    free = free_pages(store);
    quota->used_pages = free < pages ? pages - free : 0;
    quota->walked_us = tide_clock_mono_us();
    quota->walked_seq = store->state.commit_seq;
}

bool quota_is_pressed(struct tide_store *store)
{
    struct quota *quota = &store->quota;
    bool high;

    if (quota->cap_pages == 0)
        return false;
    look(store);
    high = quota->used_pages > quota->cap_pages / 100 * HIGH_PERCENT;
    if (high && !quota->pressed) {
        quota->pressed = true;
        tide_log(TIDE_WARNING, "storage",
                 "%d %% of storage.max_bytes are in use: from now on the oldest history goes "
                 "before its time",
                 HIGH_PERCENT);
    } else if (quota->used_pages < quota->cap_pages / 100 * CALM_PERCENT) {
        quota->pressed = false;
    }
    if (!high)
        quota->bare = false;
    return high;
}

bool quota_is_short(struct tide_store *store, enum quota_use use)
{
    struct quota *quota = &store->quota;

    if (quota->cap_pages == 0)
        return false;
    look(store);
    return room_of(quota) < reserve_of(quota) / (use == QUOTA_INGEST ? 1 : 2);
}

void quota_freed(struct tide_store *store, uint64_t pages)
{
    struct quota *quota = &store->quota;

    quota->used_pages -= pages < quota->used_pages ? pages : quota->used_pages;
}
