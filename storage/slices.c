/* slices - see slices.h. */
#include "slices.h"

void slices_begin(struct slices *slices, struct tide_store *store, unsigned limit)
{
    *slices = (struct slices){.store = store, .limit = limit};
    txn_begin(&slices->txn, store->env, store->dbi, true);
}

enum tide_rc slices_end(struct slices *slices, const struct store_state *state,
                        struct tide_err *err)
{
    struct tide_store *store = slices->store;
    struct store_state next = *state;

    if (slices->rc)
        return slices->rc;
    next.commit_seq = store->state.commit_seq + 1;
    schema_put_state(&slices->txn, &next);
    slices->rc = txn_end(&slices->txn, err);
    if (slices->rc)
        return store_failed(store, slices->rc);
    store->state = next;
    store_succeeded(store);
    return TIDE_OK;
}

void slices_step(struct slices *slices, struct tide_err *err)
{
    if (slices->rc || ++slices->steps < slices->limit)
        return;
    slices->steps = 0;
    if (!slices_end(slices, &slices->store->state, err))
        txn_begin(&slices->txn, slices->store->env, slices->store->dbi, true);
}

enum tide_rc may_write(struct tide_store *store, struct tide_err *err)
{
    enum tide_rc rc = store_recover(store, err);

    if (rc)
        return store_failed(store, rc);
    if (store->attempt.count && store->state.commit_seq == store->attempt.seq) {
        tide_err_set(err, "a commit that was in doubt has happened; it is finished first");
        return TIDE_AGAIN;
    }
    store->attempt.count = 0; /* it did not happen: its number is free */
    return TIDE_OK;
}
