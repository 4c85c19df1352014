/* raw - the file of a store as tables of keys and payloads, whatever its schema: what migrations
 * read and write, and nobody else.
 *
 * Three things are the same in every schema, and all that is known here: tables have names, every
 * value ends in a CRC-32C over its key and payload, and the value `identity` of the table `meta`
 * begins with the number of the schema (4 bytes, big-endian) and the store's uuid (16 bytes).
 */
#ifndef TIDEMARK_RAW_H
#define TIDEMARK_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/backup.h"
#include "tidemark/err.h"

#define TIDE_RAW_KEY_MAX 511

/* Set in the number of the schema while a migration is under way: no program opens such a store. */
#define TIDE_RAW_UNDER_WAY UINT32_C(0x80000000)

struct tide_raw_head {
    uint32_t schema; /* without the bit below */
    bool under_way;  /* the migration to it was begun */
    char uuid[33];   /* hex */
    uint64_t file_bytes;
};

/* Reads the number of the schema, of a store that nobody or somebody has open. TIDE_NOT_FOUND: no
 * store is there. TIDE_DAMAGED: its number cannot be read. */
enum tide_rc tide_raw_look(const char *dir, struct tide_raw_head *ret, struct tide_err *err);

/* How many places the table of LMDB's readers has, and how many were ever taken at once since the
 * first process came. TIDE_NOT_FOUND: nobody has the store open, or had. */
enum tide_rc tide_raw_readers(const char *dir, uint32_t *ret_taken, uint32_t *ret_places,
                              struct tide_err *err);

/* Copies the file of the store in `dir`, which the caller has open for writing and in which it has
 * not begun a transaction yet, byte by byte to the
 * new directory `dest`, with a manifest; syncs it, reads it again and checks every page and every
 * checksum of it before it gets its name. When dest is such a copy already it is left as it is.
 * TIDE_DUPLICATE: something else is there. */
enum tide_rc tide_raw_backup(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                             struct tide_err *err);

struct tide_raw;

/* write: locks the directory, as a daemon does. Else what is put is forgotten, and everything is
 * as of one moment. The file must be there. */
enum tide_rc tide_raw_open(const char *dir, bool write, struct tide_raw **ret,
                           struct tide_err *err);
void tide_raw_close(struct tide_raw *raw); /* NULL is fine; gives the lock back */

/* One transaction at a time. The first failure inside is remembered, the calls after it do nothing,
 * and the end returns it. tide_raw_end commits, and the disk has it. */
enum tide_rc tide_raw_begin(struct tide_raw *raw, struct tide_err *err);
enum tide_rc tide_raw_end(struct tide_raw *raw, struct tide_err *err);
void tide_raw_abort(struct tide_raw *raw);

struct tide_raw_item {
    uint8_t key[TIDE_RAW_KEY_MAX];
    size_t key_len;
    const uint8_t *payload; /* until the next put, delete or end */
    size_t len;
};

/* The first value whose key is above item's (key_len 0: of all). TIDE_NOT_FOUND: there is none, or
 * no such table. TIDE_DAMAGED: its checksum is wrong. */
enum tide_rc tide_raw_next(struct tide_raw *raw, const char *table, struct tide_raw_item *item);

/* The value of item's key. */
enum tide_rc tide_raw_get(struct tide_raw *raw, const char *table, struct tide_raw_item *item);

void tide_raw_put(struct tide_raw *raw, const char *table, const void *key, size_t key_len,
                  const void *payload, size_t len);
void tide_raw_delete(struct tide_raw *raw, const char *table, const void *key, size_t key_len);

/* Makes the table, if it is not there. */
void tide_raw_make_table(struct tide_raw *raw, const char *table);

/* How many values a table has; 0 without it. */
uint64_t tide_raw_count(struct tide_raw *raw, const char *table);

#endif
