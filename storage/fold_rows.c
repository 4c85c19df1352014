/* fold_rows - rows of folded hours are waste: nobody reads them. They lie at the front of their
 * table and are deleted there.
 */
#include "fold_step.h"

#include "key.h"
#include "slices.h"

#define SLICE_ROWS  4096         /* rows deleted by one transaction, ... */
#define SLICE_BYTES (160 * 4096) /* ... of so many bytes: fewer than 256 pages */

enum tide_rc fold_rows(struct tide_store *store, struct tide_err *err)
{
    struct slices slices;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    size_t bytes = 0;
    unsigned rows = 0;
    bool more = false;
    enum tide_rc rc;
    int code;

    slices_begin(&slices, store, UINT32_MAX);
    code = slices.txn.rc ? MDB_NOTFOUND
                         : mdb_cursor_open(slices.txn.mdb, slices.txn.dbi[TABLE_ROW], &cursor);
    while (!code) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (code || key.mv_size < 8 || key_start_s(key.mv_data) >= store->fold.hours_upto_s)
            break;
        if (rows == SLICE_ROWS || bytes > SLICE_BYTES) {
            more = true;
            break;
        }
        rows++;
        bytes += key.mv_size + value.mv_size + 10;
        code = mdb_cursor_del(cursor, 0);
    }
    txn_check(&slices.txn, code);
    if (cursor)
        mdb_cursor_close(cursor);
    if ((rc = slices_end(&slices, &store->state, err)))
        return rc;
    store->folding->rows_wasted = more;
    return TIDE_AGAIN;
}
