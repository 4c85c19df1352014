/* seal - what happens to an interval when it is over, and the small upkeep around it.
 *
 *   rows        every module's record, and the fleet's (module 0), appended in time order, in
 * slices sealed_upto raised in the last transaction; until then readers ignore the rows and a crash
 * writes them again totals      the interval joins the lifetime totals in memory; on disk they
 * follow every CHECKPOINT_US journal     entries that rows and totals both cover are cut from the
 * front, a few pages at a time
 *
 * Nothing else is committed between the slices of one seal: one thread does both.
 */
#include "inside.h"

#include <assert.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tidemark/tier.h"
#include "ballast.h"
#include "expire.h"
#include "fold.h"
#include "key.h"
#include "slices.h"

#define SLICE_VALUES     8192     /* values written by one transaction: about 1 000 dirty pages */
#define SLICE_DELETES    256      /* pages freed by one transaction */
#define CHECKPOINT_US    60000000 /* totals go to disk this often ... */
#define CHECKPOINT_PARTS 4096     /* ... or when the journal has this many values (16 MiB) */
#define READER_CHECK_US  60000000
#define RELIEF_US        100000
#define RELIEF_SLICES    64

/* ---- rows ---- */

static void put_row(struct slices *slices, int64_t start_s, uint32_t module,
                    const struct tide_record *record, struct tide_err *err)
{
    struct blob *blob = &slices->store->blob;
    uint8_t key[KEY_ROW_SIZE];

    if (slices->rc)
        return;
    blob->len = 0;
    row_encode(blob, record, start_s * 1000000);
    key_row(key, start_s, module);
    txn_put_parts(&slices->txn, TABLE_ROW, key, sizeof(key), 1, blob->start, blob->len,
                  TIDE_VALUE_LEAF, 0);
    slices_step(slices, err);
}

static void put_layer(struct slices *slices, const struct head_layer *layer, struct tide_err *err)
{
    struct tide_record *fleet = &slices->store->scratch;

    head_fleet(layer, fleet);
    put_row(slices, layer->start_s, TIDE_FLEET, fleet, err);
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (uint32_t i = 0; i < HEAD_PAGE_NODES; i++) {
            const struct head_node *node = layer->page[p]->node[i];
            uint32_t module = p * HEAD_PAGE_NODES + i;

            if (node && module != TIDE_FLEET)
                put_row(slices, layer->start_s, module, &node->record, err);
        }
    }
}

/* ---- totals ---- */

static void join_totals(struct tide_store *store, const struct head_layer *layer)
{
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (uint32_t i = 0; i < HEAD_PAGE_NODES; i++) {
            const struct head_node *node = layer->page[p]->node[i];
            struct head_node *total;

            if (!node)
                continue;
            total = head_touch_total(store->head, p * HEAD_PAGE_NODES + i);
            total->dirty = true;
            tide_tally_merge(&total->record.tally, &node->record.tally);
            tide_hist_merge(&total->record.hist, &node->record.hist);
            if (node->error)
                head_node_error(total, node->error->time_us, node->error->text, node->error->len);
        }
    }
}

enum tide_rc seal_checkpoint(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    uint64_t seq = head_current(store->head)->commit_seq;
    int64_t upto_s = store->state.sealed_upto_s;
    uint32_t modules = modules_count(store->modules);
    struct slices slices;
    enum tide_rc rc;

    slices_begin(&slices, store, SLICE_VALUES);
    for (uint32_t id = 1; id <= modules && !slices.rc; id++) {
        const struct head_node *node = head_peek(head_current(store->head)->totals, id);

        if (!node || !node->dirty)
            continue;
        totals_put(&slices.txn, &store->blob, modules_name(store->modules, id), id, node, seq,
                   upto_s);
        slices_step(&slices, err);
    }
    if ((rc = slices_end(&slices, &store->state, err)))
        return rc;
    store->checkpoint_seq = seq;
    store->checkpoint_s = upto_s;
    store->checkpoint_us = now_us;
    head_begin(store->head);
    head_draft(store->head)->commit_seq = store->state.commit_seq;
    for (uint32_t id = 1; id <= modules; id++) {
        const struct head_node *node = head_peek(head_draft(store->head)->totals, id);

        if (node && node->dirty)
            head_touch_total(store->head, id)->dirty = false;
    }
    head_publish(store->head);
    return TIDE_OK;
}

/* ---- seal ---- */

static int64_t due_s(const struct tide_store *store, int64_t now_us)
{
    return tide_floor_s(now_us / 1000000 - store->cfg.grace_s, store->cfg.interval_s);
}

int64_t tide_store_next_seal_us(const struct tide_store *store)
{
    const struct head_generation *current = head_current(store->head);

    if (current->layers == 0)
        return INT64_MAX;
    return (current->layer[0]->start_s + store->cfg.interval_s + store->cfg.grace_s) * 1000000;
}

static enum tide_rc write_rows(struct tide_store *store, int64_t upto_s, struct tide_err *err)
{
    const struct head_generation *current = head_current(store->head);
    struct store_state next;
    struct slices slices;

    slices_begin(&slices, store, SLICE_VALUES);
    for (uint32_t i = 0; i < current->layers && current->layer[i]->start_s < upto_s; i++)
        put_layer(&slices, current->layer[i], err);
    next = store->state;
    next.sealed_upto_s = upto_s;
    return slices_end(&slices, &next, err);
}

void seal_publish(struct tide_store *store)
{
    struct head_generation *draft;

    head_begin(store->head);
    draft = head_draft(store->head);
    for (uint32_t i = 0; i < draft->layers && draft->layer[i]->start_s < store->state.sealed_upto_s;
         i++) {
        join_totals(store, draft->layer[i]);
        tide_count(TIDE_COUNT_SEALS, 1);
    }
    head_drop_layers(store->head, store->state.sealed_upto_s);
    draft->commit_seq = store->state.commit_seq;
    draft->sealed_upto_s = store->state.sealed_upto_s;
    head_publish(store->head);
}

enum tide_rc tide_store_seal(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    const struct head_generation *current;
    int64_t before_s = due_s(store, now_us), upto_s;
    uint32_t due = 0;
    enum tide_rc rc;

    if (now_us < tide_store_next_seal_us(store))
        return TIDE_OK;
    if ((rc = may_write(store, err)))
        return rc;
    if (quota_is_short(store, QUOTA_WORK)) {
        tide_err_set(err, "storage.max_bytes is reached");
        return store_failed(store, TIDE_DISK_FULL);
    }
    current = head_current(store->head);
    while (due < current->layers && current->layer[due]->start_s < before_s)
        due++;
    if (due == 0)
        return TIDE_OK;
    upto_s = current->layer[due - 1]->start_s + store->cfg.interval_s;
    assert(upto_s > store->state.sealed_upto_s);
    if ((rc = write_rows(store, upto_s, err)))
        return rc;
    seal_publish(store);
    return TIDE_OK;
}

/* ---- upkeep ---- */

/* Rows and totals on disk cover the oldest journal entry. */
static bool front_is_covered(const struct tide_store *store)
{
    const struct journal_marks *marks = &store->marks;

    return marks->count && marks->mark[marks->first].seq <= store->checkpoint_seq &&
           marks->mark[marks->first].newest_start_s < store->checkpoint_s;
}

/* A checkpoint would make it so, and the last one is long enough ago or the journal long enough. */
static bool checkpoint_is_due(const struct tide_store *store, int64_t now_us)
{
    const struct journal_marks *marks = &store->marks;

    return marks->count && marks->mark[marks->first].newest_start_s < store->state.sealed_upto_s &&
           (now_us - store->checkpoint_us >= CHECKPOINT_US || now_us < store->checkpoint_us ||
            marks->parts >= CHECKPOINT_PARTS);
}

static enum tide_rc cut_journal(struct tide_store *store, struct tide_err *err)
{
    struct slices slices;
    uint32_t deletes = 0;
    size_t cut = 0;
    enum tide_rc rc;

    slices_begin(&slices, store, UINT32_MAX);
    while (cut < store->marks.count) {
        const struct journal_mark *mark = &store->marks.mark[store->marks.first + cut];

        if (mark->seq > store->checkpoint_seq || mark->newest_start_s >= store->checkpoint_s ||
            (deletes && deletes + mark->parts > SLICE_DELETES))
            break;
        for (uint32_t part = 0; part < mark->parts; part++) {
            uint8_t key[KEY_JOURNAL_SIZE];

            key_journal(key, mark->seq, part);
            txn_delete(&slices.txn, TABLE_JOURNAL, key, sizeof(key));
        }
        deletes += mark->parts;
        cut++;
    }
    if ((rc = slices_end(&slices, &store->state, err)))
        return rc;
    while (cut--)
        marks_pop(&store->marks);
    return front_is_covered(store) ? TIDE_AGAIN : TIDE_OK;
}

static enum tide_rc chores(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    enum tide_rc rc;

    if ((rc = may_write(store, err)))
        return rc;
    if (now_us - store->reader_check_us >= READER_CHECK_US || now_us < store->reader_check_us) {
        int dead = 0;

        store->reader_check_us = now_us;
        store->expiring = true;
        if (mdb_reader_check(store->env, &dead) == 0 && dead)
            tide_log(TIDE_WARNING, "storage", "freed %d reader slots of dead processes", dead);
    }
    ballast_keep(store, now_us);
    if (store->expiring) {
        if ((rc = store_forget(store, now_us, err)))
            return rc;
        store->expiring = false;
    }
    if ((rc = store_expire(store, now_us, err)))
        return rc;
    if (!front_is_covered(store) && checkpoint_is_due(store, now_us)) {
        rc = seal_checkpoint(store, now_us, err);
        return rc ? rc : TIDE_AGAIN; /* one chore at a time: commits wait for it */
    }
    if (front_is_covered(store)) {
        rc = cut_journal(store, err);
        return rc ? rc : TIDE_AGAIN;
    }
    if (quota_is_pressed(store) && (rc = store_expire(store, now_us, err)))
        return rc;
    if (!quota_is_short(store, QUOTA_WORK) && (rc = store_fold(store, now_us, err)))
        return rc;
    return store_expire(store, now_us, err);
}

/* Chores that only look for something to do fail without a word on the store's condition. But
 * whoever learns that a commit is in doubt, the next writer has to know. */
enum tide_rc tide_store_upkeep(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    enum tide_rc rc = chores(store, now_us, err);

    return rc == TIDE_IN_DOUBT ? store_failed(store, rc) : rc;
}

/* ---- relief ---- */

static enum tide_rc make_room(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    int64_t until_us = tide_clock_mono_us() + RELIEF_US;
    enum tide_rc rc = TIDE_AGAIN;

    for (int i = 0; rc == TIDE_AGAIN && i < RELIEF_SLICES && tide_clock_mono_us() < until_us; i++)
        rc = store_expire(store, now_us, err);
    if (rc && rc != TIDE_AGAIN)
        return rc;
    for (int i = 0; front_is_covered(store) && i < RELIEF_SLICES; i++)
        if ((rc = cut_journal(store, err)) && rc != TIDE_AGAIN)
            return rc;
    return TIDE_OK;
}

enum tide_rc tide_store_relieve(struct tide_store *store, int64_t now_us, struct tide_err *err)
{
    enum tide_rc rc;

    if ((rc = may_write(store, err)))
        return rc;
    store->relieving = true;
    if (store_disk_is_full(store))
        ballast_give_up(store);
    rc = make_room(store, now_us, err);
    ballast_take_back(store);
    store->relieving = false;
    return rc == TIDE_IN_DOUBT ? store_failed(store, rc) : rc;
}
