/* recover - the condition of the store, and finding out what happened after a failure.
 *
 * A transaction whose data could not be written did not happen. One whose meta page could not be
 * written is in doubt, and LMDB refuses everything from then on, reading, too. So after any failure
 * the next writer first asks whether the environment still takes transactions. If not, it is closed
 * and opened anew as soon as no reader is in it: at once for reading, and once more when the disk
 * has taken what is in doubt (store_settle_disk); then commit_seq tells what had happened.
 *
 * Whoever waits for a commit is kept while that can be hoped for: for ever when only space is
 * missing, else for cfg.retry_s. Then the store has failed and its parcels are dropped. A commit
 * that was in doubt by then may have happened all the same; that is taken from the disk (replay.c),
 * like all that was acked before a restart, and what is sent again is a duplicate.
 */
#include "inside.h"

#include <sys/statvfs.h>

#include "fold.h"
#include "reader.h"
#include "slices.h"
#include "tidemark/clock.h"
#include "tidemark/log.h"

#define FULL_BYTES (UINT64_C(1) << 20) /* less is no space */

/* ---- condition ---- */

const char *tide_store_state_name(enum tide_store_state state)
{
    static const char *const name[] = {"ok", "full", "in_doubt", "failed"};

    return name[state];
}

enum tide_store_state tide_store_state(const struct tide_store *store)
{
    return atomic_load(&store->condition);
}

bool store_disk_is_full(const struct tide_store *store)
{
    struct statvfs fs;

    return statvfs(store->cfg.dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < FULL_BYTES;
}

/* Lack of space is known and settled. Anything else is in doubt, and failed once it lasts. */
static enum tide_store_state judge(struct tide_store *store, enum tide_rc rc)
{
    int64_t now_us = tide_clock_mono_us();

    if (rc == TIDE_DISK_FULL) {
        store->failing_us = 0;
        return TIDE_STORE_FULL;
    }
    if (store->failing_us == 0) {
        store->failing_us = now_us;
        return TIDE_STORE_IN_DOUBT;
    }
    return now_us - store->failing_us < store->cfg.retry_s * INT64_C(1000000) ? TIDE_STORE_IN_DOUBT
                                                                              : TIDE_STORE_FAILED;
}

enum tide_rc store_failed(struct tide_store *store, enum tide_rc rc)
{
    enum tide_store_state condition;

    store->unsure = true;
    if (rc == TIDE_IO && store_disk_is_full(store))
        rc = TIDE_DISK_FULL;
    condition = judge(store, rc);
    atomic_store(&store->failure, rc);
    if (atomic_exchange(&store->condition, condition) == condition)
        return rc;
    if (condition == TIDE_STORE_FAILED)
        tide_log(
            TIDE_ERROR, "storage",
            "store is failed: %s, for more than %u s (storage.retry_s); it is tried again until "
            "a write succeeds",
            tide_rc_text(rc), store->cfg.retry_s);
    else
        tide_log(TIDE_ERROR, "storage", "store is %s: %s; nothing is acked until a write succeeds",
                 tide_store_state_name(condition), tide_rc_text(rc));
    return rc;
}

void store_succeeded(struct tide_store *store)
{
    enum tide_store_state before;

    if (store->relieving)
        return;
    store->failing_us = 0;
    before = atomic_exchange(&store->condition, TIDE_STORE_OK);
    if (before == TIDE_STORE_OK)
        return;
    atomic_store(&store->failure, TIDE_OK);
    tide_log(TIDE_INFO, "storage", "store is ok again, was %s", tide_store_state_name(before));
}

/* ---- after a failure ---- */

/* Closes and opens the environment; not while a reader is in it. */
static enum tide_rc reopen(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc;

    pthread_mutex_lock(&store->readers_lock);
    atomic_store(&store->reopening, store->readers > 0);
    if (store->readers) {
        tide_err_set(
            err, "the last commit is in doubt; waiting for %llu readers to finish before reopening",
            (unsigned long long)store->readers);
        rc = TIDE_IN_DOUBT;
    } else {
        readers_drop(store);
        if (store->env)
            mdb_env_close(store->env);
        store->env = NULL;
        if ((rc = store_open_env(store, store->data_path, err)) == TIDE_OK &&
            (rc = schema_open(store, err))) {
            mdb_env_close(store->env); /* its tables are not open: of no use */
            store->env = NULL;
        }
    }
    pthread_mutex_unlock(&store->readers_lock);
    return rc;
}

/* Makes sure that the next transaction may be written and that store->state is what is on disk. */
static enum tide_rc find_out(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc settled;

    if (store->env && !store->unsettled) {
        MDB_txn *txn;
        int code = mdb_txn_begin(store->env, NULL, 0, &txn);

        if (!code)
            mdb_txn_abort(txn);
        if (code != MDB_PANIC) {
            if (code)
                tide_err_set(err, "%s", mdb_strerror(code));
            return tide_rc_from_lmdb(code);
        }
    }
    settled = store_settle_disk(store->data_path, err);
    if (settled && store->unsettled && store->env)
        return TIDE_IN_DOUBT; /* as it was, and reading works */
    if (reopen(store, err))
        return TIDE_IN_DOUBT;
    store->unsettled = settled != TIDE_OK;
    if (settled)
        return TIDE_IN_DOUBT;
    tide_log(TIDE_WARNING, "storage",
             "reopened the store after a commit in doubt: commit_seq is %llu",
             (unsigned long long)store->state.commit_seq);
    if (store->state.sealed_upto_s > head_current(store->head)->sealed_upto_s)
        seal_publish(store); /* it was the end of a seal, and it had happened */
    fold_forget(store->folding);
    if (!store->attempt.count) { /* a slice of the fold may have happened */
        head_begin(store->head);
        head_draft(store->head)->commit_seq = store->state.commit_seq;
        head_publish(store->head);
    }
    return TIDE_OK;
}

/* The parcels of the last attempt are gone: what it did is on disk or nowhere. */
static enum tide_rc settle_dropped(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc;

    if (store->state.commit_seq == store->attempt.seq) {
        if ((rc = replay_commit(store, err)))
            return rc;
        tide_log(TIDE_WARNING, "storage",
                 "a commit whose %zu chunks were dropped had happened: they count, and are known "
                 "when they are sent again",
                 store->attempt.count);
    }
    store->attempt.count = 0;
    store->attempt.dropped = false;
    return TIDE_OK;
}

enum tide_rc store_recover(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc;

    if (store->unsure && (rc = find_out(store, err)))
        return rc;
    store->unsure = false;
    return store->attempt.dropped ? settle_dropped(store, err) : TIDE_OK;
}

void tide_store_drop(struct tide_store *store)
{
    store->attempt.dropped = store->attempt.count > 0;
}

enum tide_rc tide_store_probe(struct tide_store *store, struct tide_err *err)
{
    struct slices slices;
    enum tide_rc rc;

    if ((rc = may_write(store, err)))
        return rc;
    slices_begin(&slices, store, UINT32_MAX);
    return slices_end(&slices, &store->state, err);
}
