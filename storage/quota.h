/* quota - storage.max_bytes: how much of it is in use, and from when on history goes early.
 *
 * The cap itself is the size of LMDB's map, which no write can pass. Two bounds lie before it: from
 * 90 % on the oldest history is given up, and the last pages are left to that, because deleting
 * from a copy-on-write tree takes pages, too.
 */
#ifndef STORAGE_QUOTA_H
#define STORAGE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct tide_store;

struct quota {
    uint64_t cap_pages;  /* 0: there is no cap */
    uint64_t used_pages; /* as last reckoned */
    int64_t walked_us;   /* when that was (monotonic), ... */
    uint64_t walked_seq; /* ... and after which transaction */
    bool pressed;        /* said so in the log */
    bool bare;           /* nothing is left to give up; said so, too */
};

/* The map's size of a store with this configuration. */
uint64_t quota_map_bytes(const struct tide_store *store);

/* Once the environment is open. */
void quota_open(struct tide_store *store);

/* Over 90 %: history has to go. */
bool quota_is_pressed(struct tide_store *store);

/* What may be left to writers: nothing but deleting goes on beyond QUOTA_WORK. */
enum quota_use { QUOTA_INGEST, QUOTA_WORK /* of seal and fold, which lead to deleting */ };
bool quota_is_short(struct tide_store *store, enum quota_use use);

/* Pages were freed by a transaction. */
void quota_freed(struct tide_store *store, uint64_t pages);

#endif
