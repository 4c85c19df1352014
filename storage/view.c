/* view - a store opened for reading only, see transfer.h. What a daemon has in memory is made out
 * of the file in the same way as at its start: totals and open intervals, from the journal. All of
 * it, and later the one snapshot, come from one read transaction, so nothing moves underneath.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "copy.h"
#include "expire.h"
#include "fold.h"
#include "inside.h"
#include "must.h"
#include "reader.h"
#include "tidemark/clock.h"
#include "tidemark/transfer.h"

/* *ret_whole: all tables are there. If not, its schema may be another one, and will tell. */
static enum tide_rc open_env(struct tide_store *store, bool *ret_whole, struct tide_err *err)
{
    int code = mdb_env_create(&store->env);

    if (!code)
        code = mdb_env_set_maxdbs(store->env, TABLE_COUNT);
    if (!code)
        code = mdb_env_open(store->env, store->data_path,
                            MDB_RDONLY | MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD |
                                (copy_is_lived_in(store->cfg.dir) ? 0u : MDB_NOLOCK),
                            0600);
    if (!code)
        code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->view);
    for (int i = 0; i < TABLE_COUNT && !code; i++)
        code = mdb_dbi_open(store->view, schema_table_name((enum table)i), 0, &store->dbi[i]);
    *ret_whole = !code;
    if (!code || code == MDB_NOTFOUND)
        return TIDE_OK;
    tide_err_set(err, "open %s: %s", store->data_path, mdb_strerror(code));
    return tide_rc_from_lmdb(code);
}

static enum tide_rc replay(struct tide_store *store, struct tide_err *err)
{
    struct head_generation *draft;
    enum tide_rc rc;

    head_begin(store->head);
    draft = head_draft(store->head);
    draft->commit_seq = store->state.commit_seq;
    draft->sealed_upto_s = store->state.sealed_upto_s;
    draft->ledger = store->state.ledger;
    if (!(rc = replay_modules(store, store->view, err)))
        rc = replay_journal(store, store->view, err);
    head_publish(store->head);
    return rc;
}

enum tide_rc tide_store_view(const char *dir, struct tide_store **ret, struct tide_err *err)
{
    struct tide_store *store;
    enum tide_rc rc = copy_must_hold_store(dir, err);
    bool whole = false;

    if (rc)
        return rc;
    store = must(calloc(1, sizeof(*store)));
    tide_store_cfg_default(&store->cfg);
    memset(store->cfg.retention.keep_s, 0, sizeof(store->cfg.retention.keep_s)); /* all there is */
    snprintf(store->cfg.dir, sizeof(store->cfg.dir), "%s", dir);
    store->lock_fd = -1;
    store->viewed = true;
    snprintf(store->data_path, sizeof(store->data_path), "%s/tidemark.mdb", dir);
    pthread_mutex_init(&store->readers_lock, NULL);
    store->head = head_new();
    store->modules = modules_new(&store->cfg.retention);
    store->identities = identity_new(1);
    store->event_ids = identity_new(1);
    store->producers = producers_new(1, 1, 1);
    store->expiry = expiry_new(store);
    group_init(&store->group);
    store->folding = fold_new();
    tide_record_init(&store->scratch);
    if (!(rc = open_env(store, &whole, err)) && !(rc = schema_read(store, store->view, err)) &&
        !whole) {
        tide_err_set(err, "a table is missing; restore a backup");
        rc = TIDE_DAMAGED;
    }
    if (rc || (rc = replay(store, err))) {
        tide_err_wrap(err, "store %s", dir);
        tide_store_close(store);
        return rc;
    }
    *ret = store;
    return TIDE_OK;
}

void tide_store_uuid(const struct tide_store *store, char ret[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(ret + 2 * i, 3, "%02x", store->identity.uuid[i]);
}

uint32_t tide_store_interval_s(const struct tide_store *store)
{
    return store->identity.interval_s;
}

uint64_t tide_store_file_bytes(const struct tide_store *store)
{
    struct stat info;

    return stat(store->data_path, &info) == 0 ? (uint64_t)info.st_size : 0;
}
