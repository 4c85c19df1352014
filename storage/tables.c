/* tables - what each kind of value takes in the file. The names come from the file itself, so a
 * table that is new is shown without being listed here.
 */
#include "inside.h"

#include <string.h>

#include "key.h"

static enum tide_rc failed(int code, struct tide_err *err)
{
    tide_err_set(err, "sizes of the tables: %s", mdb_strerror(code));
    return tide_rc_from_lmdb(code);
}

/* What a value of a chunk takes, its place in a leaf included. */
static uint64_t weight(const MDB_val *key, const MDB_val *value, uint64_t page)
{
    uint64_t place = key->mv_size + 10; /* node header and pointer */

    return value->mv_size > TIDE_VALUE_LEAF
               ? place + 8 + (value->mv_size + 16 + page - 1) / page * page
               : place + value->mv_size;
}

/* The part of a table of chunks that is the fleet's: pages are shared out by what is in them. */
static int fleet_read(MDB_txn *txn, MDB_dbi dbi, uint64_t page, struct tide_store_table *ret)
{
    uint64_t fleet = 0, all = 0;
    MDB_cursor *cursor;
    MDB_val key, value;
    int code = mdb_cursor_open(txn, dbi, &cursor);

    if (code)
        return code;
    while (!(code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        bool of_fleet = key.mv_size == KEY_CHUNK_SIZE &&
                        tide_get_be32((const uint8_t *)key.mv_data + 8) == TIDE_FLEET;
        uint64_t takes = weight(&key, &value, page);

        all += takes;
        fleet += of_fleet ? takes : 0;
    }
    mdb_cursor_close(cursor);
    if (all)
        ret->fleet_bytes = (uint64_t)((double)ret->bytes * (double)fleet / (double)all);
    return code == MDB_NOTFOUND ? 0 : code;
}

/* The table of this name; its handle is open since the store is. */
static int table_read(MDB_txn *txn, const MDB_val *name, struct tide_store_table *ret)
{
    MDB_stat stat;
    MDB_dbi dbi;
    int code;

    if (name->mv_size >= sizeof(ret->name))
        return MDB_INCOMPATIBLE;
    *ret = (struct tide_store_table){.values = 0};
    memcpy(ret->name, name->mv_data, name->mv_size);
    ret->name[name->mv_size] = '\0';
    if ((code = mdb_dbi_open(txn, ret->name, 0, &dbi)) || (code = mdb_stat(txn, dbi, &stat)))
        return code;
    ret->values = stat.ms_entries;
    ret->bytes = (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
                 (uint64_t)stat.ms_psize;
    return strncmp(ret->name, "chunk_", 6) == 0 ? fleet_read(txn, dbi, stat.ms_psize, ret) : 0;
}

static int tables_read(MDB_txn *txn, struct tide_store_table *ret, size_t *count)
{
    MDB_cursor *cursor;
    MDB_val name, value;
    MDB_dbi main_dbi;
    int code;

    if ((code = mdb_dbi_open(txn, NULL, 0, &main_dbi)) ||
        (code = mdb_cursor_open(txn, main_dbi, &cursor)))
        return code;
    while (!(code = mdb_cursor_get(cursor, &name, &value, MDB_NEXT)))
        if ((code = *count < TIDE_STORE_TABLES ? table_read(txn, &name, &ret[(*count)++])
                                               : MDB_INCOMPATIBLE))
            break;
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

enum tide_rc tide_store_tables(struct tide_store *store,
                               struct tide_store_table ret[TIDE_STORE_TABLES], size_t *ret_count,
                               struct tide_err *err)
{
    MDB_txn *txn;
    int code = MDB_PANIC;

    *ret_count = 0;
    pthread_mutex_lock(&store->readers_lock); /* the environment stays while this is held */
    if (store->env && !(code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn))) {
        code = tables_read(txn, ret, ret_count);
        mdb_txn_abort(txn);
    }
    pthread_mutex_unlock(&store->readers_lock);
    return code ? failed(code, err) : TIDE_OK;
}
