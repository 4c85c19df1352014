/* txn - see txn.h. */
#include "txn.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/counter.h"
#include "tidemark/crc32c.h"
#include "key.h"

enum tide_rc tide_rc_from_lmdb(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return TIDE_OK;
    case MDB_NOTFOUND:
        return TIDE_NOT_FOUND;
    case ENOMEM:
        return TIDE_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL:
        return TIDE_DISK_FULL;
    case MDB_PANIC:
        return TIDE_IN_DOUBT;
    case MDB_READERS_FULL:
        return TIDE_UNAVAILABLE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return TIDE_DAMAGED;
    case MDB_VERSION_MISMATCH:
        return TIDE_SCHEMA;
    default:
        return TIDE_IO; /* a full disk comes as EIO, too: the caller asks statvfs */
    }
}

/* What 65 536 parts can hold: no group comes near it (group.h bounds its deltas and facts). */
#define PARTS_BYTES_MAX ((uint64_t)TIDE_VALUE_PAGE << 16)

static void note(struct txn *txn, int code)
{
    if (!txn->rc && code) {
        txn->rc = tide_rc_from_lmdb(code);
        txn->lmdb = code;
    }
}

void txn_begin(struct txn *txn, MDB_env *env, const MDB_dbi *dbi, bool write)
{
    *txn = (struct txn){.dbi = dbi};
    note(txn, mdb_txn_begin(env, NULL, write ? 0 : MDB_RDONLY, &txn->mdb));
    if (txn->rc)
        txn->mdb = NULL;
}

void txn_put(struct txn *txn, enum table table, const void *key, size_t key_len,
             const void *payload, size_t len, unsigned flags)
{
    MDB_val at = {key_len, (void *)key};
    MDB_val value = {len + TIDE_CRC_SIZE, NULL};
    uint32_t crc;

    assert(len + TIDE_CRC_SIZE <= TIDE_VALUE_PAGE);
    if (txn->rc)
        return;
    note(txn, mdb_put(txn->mdb, txn->dbi[table], &at, &value, flags | MDB_RESERVE));
    if (txn->rc)
        return;
    tide_count(TIDE_COUNT_STORE_PUT_BYTES, key_len + len + TIDE_CRC_SIZE);
    crc = tide_crc32c(tide_crc32c(0, key, key_len), payload, len);
    memcpy(value.mv_data, payload, len);
    tide_put_be32((uint8_t *)value.mv_data + len, crc);
}

void txn_delete(struct txn *txn, enum table table, const void *key, size_t key_len)
{
    MDB_val at = {key_len, (void *)key};
    int code;

    if (txn->rc)
        return;
    code = mdb_del(txn->mdb, txn->dbi[table], &at, NULL);
    if (code != MDB_NOTFOUND)
        note(txn, code);
}

static void put_part_number(uint8_t *key, size_t key_len, size_t digits, size_t part)
{
    assert(digits == 1 ? part <= UINT8_MAX : digits == 2 && part <= UINT16_MAX);
    for (size_t i = 0; i < digits; i++)
        key[key_len - 1 - i] = (uint8_t)(part >> (8 * i));
}

void txn_put_parts(struct txn *txn, enum table table, uint8_t *key, size_t key_len,
                   size_t part_digits, const void *payload, size_t len, size_t part_max,
                   unsigned flags)
{
    uint8_t value[TIDE_VALUE_PAGE];
    const uint8_t *from = payload, *end = from + len;
    size_t room = part_max - TIDE_CRC_SIZE, part = 0;
    uint8_t *to = tide_put_varint(value, len);

    do {
        size_t take = room - (size_t)(to - value);

        if (take > (size_t)(end - from))
            take = (size_t)(end - from);
        memcpy(to, from, take);
        from += take;
        to += take;
        put_part_number(key, key_len, part_digits, part++);
        txn_put(txn, table, key, key_len, value, (size_t)(to - value), flags);
        to = value;
    } while (from < end);
}

uint32_t parts_of(size_t len, size_t part_max)
{
    uint8_t header[TIDE_VARINT_MAX];
    size_t whole = len + (size_t)(tide_put_varint(header, len) - header),
           room = part_max - TIDE_CRC_SIZE;

    return (uint32_t)((whole + room - 1) / room);
}

bool txn_check(struct txn *txn, int code)
{
    if (code && code != MDB_NOTFOUND && !txn->rc) {
        txn->lmdb = code;
        txn->rc = tide_rc_from_lmdb(code);
    }
    return !txn->rc;
}

enum tide_rc txn_end(struct txn *txn, struct tide_err *err)
{
    if (!txn->rc)
        note(txn, mdb_txn_commit(txn->mdb));
    else if (txn->mdb)
        mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    if (txn->rc)
        tide_err_set(err, "%s", mdb_strerror(txn->lmdb));
    else
        tide_count(TIDE_COUNT_STORE_TRANSACTIONS, 1);
    return txn->rc;
}

void txn_abort(struct txn *txn)
{
    if (txn->mdb)
        mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
}

bool value_sound(const MDB_val *key, const MDB_val *value, size_t *ret_len)
{
    const uint8_t *bytes = value->mv_data;
    size_t len;

    /* LMDB's own pages have no checksum: a length out of one may lead past the end of the file */
    if (value->mv_size < TIDE_CRC_SIZE || value->mv_size > TIDE_VALUE_PAGE)
        return false;
    len = value->mv_size - TIDE_CRC_SIZE;
    if (tide_crc32c(tide_crc32c(0, key->mv_data, key->mv_size), bytes, len) !=
        tide_get_be32(bytes + len))
        return false;
    *ret_len = len;
    return true;
}

void blob_reserve(struct blob *blob, size_t more)
{
    size_t wanted = blob->capacity ? blob->capacity : 1024;

    if (blob->capacity - blob->len >= more)
        return;
    while (wanted - blob->len < more)
        wanted *= 2;
    blob->start = realloc(blob->start, wanted);
    if (!blob->start) {
        fprintf(stderr, "tidemark: out of memory: %zu bytes for stored values\n", wanted);
        abort();
    }
    blob->capacity = wanted;
}

void blob_fini(struct blob *blob)
{
    free(blob->start);
    *blob = (struct blob){0};
}

enum tide_rc parts_read(MDB_cursor *cursor, MDB_val *key, MDB_val *value, size_t part_digits,
                        struct blob *blob)
{
    uint8_t prefix[KEY_MAX];
    size_t prefix_len = key->mv_size - part_digits, len;
    const uint8_t *from, *end;
    uint64_t whole;
    int code;

    blob->len = 0;
    if (key->mv_size < part_digits || key->mv_size > KEY_MAX)
        return TIDE_DAMAGED; /* LMDB's node, not the value: it has no checksum of its own */
    memcpy(prefix, key->mv_data, prefix_len);
    if (!value_sound(key, value, &len))
        return TIDE_DAMAGED;
    from = value->mv_data;
    end = from + len;
    if (!tide_get_varint(&from, end, &whole) || whole > PARTS_BYTES_MAX)
        return TIDE_DAMAGED;
    for (;;) {
        blob_reserve(blob, (size_t)(end - from) + 1);
        memcpy(blob->start + blob->len, from, (size_t)(end - from));
        blob->len += (size_t)(end - from);
        if (blob->len >= whole)
            return blob->len == whole ? TIDE_OK : TIDE_DAMAGED;
        code = mdb_cursor_get(cursor, key, value, MDB_NEXT);
        if (code == MDB_NOTFOUND)
            return TIDE_DAMAGED;
        if (code)
            return tide_rc_from_lmdb(code);
        if (key->mv_size != prefix_len + part_digits ||
            memcmp(key->mv_data, prefix, prefix_len) != 0) {
            /* the next value begins here: leave it to whoever walks on */
            code = mdb_cursor_get(cursor, key, value, MDB_PREV);
            return code ? tide_rc_from_lmdb(code) : TIDE_DAMAGED;
        }
        if (!value_sound(key, value, &len))
            return TIDE_DAMAGED;
        from = value->mv_data;
        end = from + len;
    }
}
