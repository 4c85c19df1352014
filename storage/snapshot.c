/* snapshot - opening one, keeping its transaction young, and what is known of whole modules. See
 * snapshot.h for how its two halves are kept together.
 */
#include "snapshot.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"

/* The time between a fold's commit and its publication is a few microseconds, unless the thread is
 * stopped there or the commit is in doubt. */
#define SETTLE_TRIES 10000

/* ---- the list of readers ---- */

/* Oldest transaction first. The caller holds the lock. */
static void link_last(struct tide_store *store, struct tide_snapshot *snapshot)
{
    snapshot->before = store->reader_last;
    snapshot->after = NULL;
    if (store->reader_last)
        store->reader_last->after = snapshot;
    else
        store->reader_first = snapshot;
    store->reader_last = snapshot;
    snapshot->begun_us = tide_clock_mono_us();
}

static void unlink_it(struct tide_store *store, struct tide_snapshot *snapshot)
{
    if (snapshot->before)
        snapshot->before->after = snapshot->after;
    else
        store->reader_first = snapshot->after;
    if (snapshot->after)
        snapshot->after->before = snapshot->before;
    else
        store->reader_last = snapshot->before;
}

static void enlist(struct tide_snapshot *snapshot)
{
    struct tide_store *store = snapshot->store;

    pthread_mutex_lock(&store->readers_lock);
    link_last(store, snapshot);
    store->readers++;
    pthread_mutex_unlock(&store->readers_lock);
}

static void delist(struct tide_snapshot *snapshot)
{
    struct tide_store *store = snapshot->store;

    pthread_mutex_lock(&store->readers_lock);
    unlink_it(store, snapshot);
    store->readers--;
    pthread_mutex_unlock(&store->readers_lock);
}

/* It holds nothing for a moment: from now on it is the youngest. */
static void rejuvenate(struct tide_snapshot *snapshot)
{
    struct tide_store *store = snapshot->store;

    pthread_mutex_lock(&store->readers_lock);
    unlink_it(store, snapshot);
    link_last(store, snapshot);
    pthread_mutex_unlock(&store->readers_lock);
}

int64_t snapshot_begun_us(const struct tide_snapshot *snapshot)
{
    return snapshot->begun_us;
}

/* ---- open and close ---- */

/* What of history is folded, as the generation and the transaction both say. */
static void set_reach(struct tide_snapshot *snapshot)
{
    const struct fold_state *fold = &snapshot->reader->fold;
    struct plan_reach *reach = &snapshot->reach;
    int64_t sealed_s = snapshot->head->sealed_upto_s;

    reach->interval_s = snapshot->store->identity.interval_s;
    reach->hours_upto_s =
        tide_floor_s(fold->hours_upto_s < sealed_s ? fold->hours_upto_s : sealed_s,
                     tide_tier_info[TIDE_TIER_1H].width_s);
    reach->days_upto_s = tide_floor_s(fold->days_upto_s < reach->hours_upto_s ? fold->days_upto_s
                                                                              : reach->hours_upto_s,
                                      tide_tier_info[TIDE_TIER_1D].width_s);
}

/* Pins a generation and begins the transaction, until the chunks are not newer than the
 * generation. `held`: a generation that is pinned already, taken if it still goes; or NULL. */
static enum tide_rc settle(struct tide_snapshot *snapshot, const struct head_generation *held,
                           struct tide_err *err)
{
    struct tide_store *store = snapshot->store;

    for (unsigned tries = 0; tries < SETTLE_TRIES; tries++) {
        const struct head_generation *pinned = head_pin(store->head);
        enum tide_rc rc = reader_begin(snapshot->reader, store, err);
        uint64_t changed_seq = snapshot->reader->fold.seq;

        if (rc == TIDE_OK && held && changed_seq <= held->commit_seq) {
            head_unpin(store->head, pinned);
            snapshot->head = held;
        } else if (rc == TIDE_OK && changed_seq <= pinned->commit_seq) {
            snapshot->head = pinned;
        } else {
            head_unpin(store->head, pinned);
            if (rc)
                return rc;
            reader_end(snapshot->reader);
            sched_yield();
            continue;
        }
        snapshot->records = 0;
        set_reach(snapshot);
        return TIDE_OK;
    }
    tide_err_set(err, "history is being rewritten");
    return TIDE_UNAVAILABLE;
}

enum tide_rc tide_snapshot_open(struct tide_store *store, struct tide_snapshot **ret,
                                struct tide_err *err)
{
    struct tide_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    enum tide_rc rc = TIDE_UNAVAILABLE;

    if (!snapshot) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    snapshot->store = store;
    enlist(snapshot); /* from here on nobody reopens the environment */
    if (store->env && !atomic_load(&store->reopening)) {
        snapshot->reader = reader_take(store);
        rc = settle(snapshot, NULL, err);
    } else {
        tide_err_set(err, "the store is being reopened after a commit in doubt");
    }
    if (rc) {
        snapshot->broken = rc;
        tide_snapshot_close(snapshot);
        return rc;
    }
    snapshot->opened = snapshot->head;
    snapshot->opened_us = tide_clock_wall_us();
    snapshot->info = (struct tide_snapshot_info){.commit_seq = snapshot->opened->commit_seq,
                                                 .sealed_upto_s = snapshot->opened->sealed_upto_s,
                                                 .interval_s = store->identity.interval_s,
                                                 .modules = snapshot->opened->modules,
                                                 .ledger = snapshot->opened->ledger};
    *ret = snapshot;
    return TIDE_OK;
}

void tide_snapshot_close(struct tide_snapshot *snapshot)
{
    if (!snapshot)
        return;
    reader_put(snapshot->store, snapshot->reader, !snapshot->broken);
    delist(snapshot);
    if (snapshot->head && snapshot->head != snapshot->opened)
        head_unpin(snapshot->store->head, snapshot->head);
    if (snapshot->opened)
        head_unpin(snapshot->store->head, snapshot->opened);
    while (snapshot->summed) {
        struct summed *summed = snapshot->summed;

        snapshot->summed = summed->next;
        tide_record_fini(&summed->record);
        free(summed);
    }
    free(snapshot);
}

const struct tide_snapshot_info *tide_snapshot_info(const struct tide_snapshot *snapshot)
{
    return &snapshot->info;
}

/* ---- the budget ---- */

bool snapshot_spent(const struct tide_snapshot *snapshot)
{
    if (snapshot->store->viewed)
        return false;
    return snapshot->records >= READ_BUDGET_RECORDS ||
           tide_clock_mono_us() - snapshot->begun_us >= READ_BUDGET_US;
}

void snapshot_renew(struct tide_snapshot *snapshot)
{
    const struct head_generation *held = snapshot->head;
    struct tide_err err;
    enum tide_rc rc;

    reader_end(snapshot->reader);
    rejuvenate(snapshot);
    rc = settle(snapshot, held, &err);
    if (held != snapshot->head && held != snapshot->opened)
        head_unpin(snapshot->store->head, held);
    if (rc)
        snapshot->broken = snapshot->rc = rc;
}

void snapshot_note(struct tide_snapshot *snapshot, int code)
{
    if (code && code != MDB_NOTFOUND && !snapshot->rc)
        snapshot->rc = tide_rc_from_lmdb(code);
}

int64_t tide_snapshot_kept_from(const struct tide_snapshot *snapshot, uint32_t module,
                                enum tide_tier tier)
{
    return keep_from_s(snapshot->store, &snapshot->reader->fold, module, tier, snapshot->opened_us);
}

/* ---- modules and totals ---- */

static bool is_open_anywhere(const struct head_generation *generation, uint32_t module)
{
    for (uint32_t i = 0; i < generation->layers; i++)
        if (head_peek(generation->layer[i], module))
            return true;
    return false;
}

static void add_node(struct summed *summed, const struct head_node *node, int64_t *error_us)
{
    if (!node)
        return;
    tide_tally_merge(&summed->record.tally, &node->record.tally);
    tide_hist_merge(&summed->record.hist, &node->record.hist);
    if (node->error && node->error->time_us >= *error_us) {
        *error_us = node->error->time_us;
        memcpy(summed->error, node->error->text, node->error->len);
        summed->error[node->error->len] = '\0';
    }
}

/* The total before sealed_upto plus the open intervals. */
static struct summed *sum_up(struct tide_snapshot *snapshot, uint32_t module, int64_t *ret_error_us)
{
    const struct head_generation *generation = snapshot->opened;
    struct summed *summed = calloc(1, sizeof(*summed));

    if (!summed)
        abort();
    tide_record_init(&summed->record);
    summed->next = snapshot->summed;
    snapshot->summed = summed;
    *ret_error_us = 0;
    add_node(summed, head_peek(generation->totals, module), ret_error_us);
    for (uint32_t i = 0; i < generation->layers; i++)
        add_node(summed, head_peek(generation->layer[i], module), ret_error_us);
    return summed;
}

void tide_snapshot_module(const struct tide_snapshot *snapshot, uint32_t id,
                          struct tide_module *ret)
{
    const struct module_name *name = modules_name(snapshot->store->modules, id);
    const struct head_node *total = head_peek(snapshot->opened->totals, id);

    assert(id >= 1 && id <= snapshot->info.modules);
    *ret =
        (struct tide_module){.id = id, .name = name->text, .name_len = name->len, .last_error = ""};
    if (total && !total->error && !is_open_anywhere(snapshot->opened, id)) {
        ret->total = &total->record; /* nothing to add: lend the pinned one */
    } else {
        struct summed *summed = sum_up((struct tide_snapshot *)snapshot, id, &ret->last_error_us);

        ret->total = &summed->record;
        ret->last_error = summed->error;
    }
}

enum tide_rc tide_snapshot_find(const struct tide_snapshot *snapshot, const char *name, size_t len,
                                struct tide_module *ret)
{
    uint32_t id = modules_find(snapshot->store->modules, name, len);

    if (id == 0 || id > snapshot->info.modules)
        return TIDE_NOT_FOUND;
    tide_snapshot_module(snapshot, id, ret);
    return TIDE_OK;
}

const struct tide_record *tide_snapshot_fleet_total(const struct tide_snapshot *snapshot)
{
    struct tide_snapshot *own = (struct tide_snapshot *)snapshot;
    int64_t error_us;

    if (!own->fleet_total)
        own->fleet_total = sum_up(own, TIDE_FLEET, &error_us);
    return &own->fleet_total->record;
}
