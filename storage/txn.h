/* txn - a sticky LMDB transaction: the first failure is remembered and everything after it does
 * nothing, so the steps of a commit read straight down. LMDB's codes are translated here and
 * nowhere else.
 */
#ifndef STORAGE_TXN_H
#define STORAGE_TXN_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

/* The tables. */
enum table {
    TABLE_META,       /* text -> identity of the store; state */
    TABLE_JOURNAL,    /* seq part -> deltas of one commit */
    TABLE_IDENTITY,   /* seq part -> chunk identities of one commit */
    TABLE_MODULE,     /* id part -> name, totals, last error */
    TABLE_ROW,        /* interval module part -> finished record */
    TABLE_CORRECTION, /* interval module seq part -> what came after it was finished */
    TABLE_EVENT_ID,   /* seq part -> event ids of one commit */
    TABLE_PRODUCER,   /* seq part -> chunks with structured ids of one commit */
    TABLE_CHUNK_RAW,  /* period module first part -> consecutive records, by enum tide_tier */
    TABLE_CHUNK_5M,
    TABLE_CHUNK_1H,
    TABLE_CHUNK_1D,
    TABLE_COUNT
};

struct txn {
    MDB_txn *mdb;
    const MDB_dbi *dbi; /* by enum table */
    enum tide_rc rc;
    int lmdb; /* the code behind rc, for text */
};

enum tide_rc tide_rc_from_lmdb(int code);

void txn_begin(struct txn *txn, MDB_env *env, const MDB_dbi *dbi, bool write);

/* Puts key -> payload followed by its CRC (over key and payload). payload may be up to
 * TIDE_VALUE_PAGE. */
void txn_put(struct txn *txn, enum table table, const void *key, size_t key_len,
             const void *payload, size_t len, unsigned flags);
void txn_delete(struct txn *txn, enum table table, const void *key, size_t key_len);

/* Splits payload into parts of at most part_max bytes, each a value of its own under key + part
 * number (the last part_digits bytes of key, big-endian, are overwritten). The first part begins
 * with the length of the whole. */
void txn_put_parts(struct txn *txn, enum table table, uint8_t *key, size_t key_len,
                   size_t part_digits, const void *payload, size_t len, size_t part_max,
                   unsigned flags);

/* How many parts txn_put_parts makes of a payload. */
uint32_t parts_of(size_t len, size_t part_max);

/* A call into LMDB that was made inside the transaction returned this code: a failure other than
 * "not there" fails the transaction. Returns whether it is sound still. */
bool txn_check(struct txn *txn, int code);

/* Commits, or aborts when a step had failed. */
enum tide_rc txn_end(struct txn *txn, struct tide_err *err);
void txn_abort(struct txn *txn);

#define TIDE_CRC_SIZE   4
#define TIDE_VALUE_LEAF 2000 /* largest value that stays in a leaf with our keys */
#define TIDE_VALUE_PAGE 4080 /* largest value that fills exactly one overflow page */

/* Checks the CRC of a value; *ret_len gets the payload's length. False: damaged. */
bool value_sound(const MDB_val *key, const MDB_val *value, size_t *ret_len);

/* A growing buffer. */
struct blob {
    uint8_t *start;
    size_t len, capacity;
};
void blob_reserve(struct blob *blob, size_t more); /* aborts when memory is out */
void blob_fini(struct blob *blob);

/* Reads the parts of one value, cursor standing on the first (key and value given), into blob;
 * leaves the cursor on the last part. TIDE_DAMAGED when a CRC fails or a part is missing. */
enum tide_rc parts_read(MDB_cursor *cursor, MDB_val *key, MDB_val *value, size_t part_digits,
                        struct blob *blob);

#endif
