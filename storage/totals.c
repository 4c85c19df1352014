/* totals - a module's name and lifetime figures as stored (table module), and how a delta reaches
 * the head.
 *
 * A total on disk covers the intervals before upto_s, from the journal up to seq; what came later
 * is replayed on top. So the checkpoint of many modules may be cut into several transactions, and a
 * crash between two of them neither loses nor doubles anything.
 */
#include "inside.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "key.h"

void totals_put(struct txn *txn, struct blob *blob, const struct module_name *name, uint32_t id,
                const struct head_node *node, uint64_t seq, int64_t upto_s)
{
    const struct head_error *error = node ? node->error : NULL;
    uint8_t key[KEY_MODULE_SIZE], *to;

    blob->len = 0;
    blob_reserve(blob, name->len + 5 * TIDE_VARINT_MAX + (error ? error->len : 0));
    to = tide_put_varint(blob->start, name->len);
    memcpy(to, name->text, name->len);
    to = tide_put_varint(to + name->len, seq);
    to = tide_put_varint(to, (uint64_t)upto_s);
    to = tide_put_varint(to, error ? error->len : 0);
    if (error) {
        to = tide_put_varint(to, (uint64_t)error->time_us);
        memcpy(to, error->text, error->len);
        to += error->len;
    }
    blob->len = (size_t)(to - blob->start);
    if (node) {
        row_encode(blob, &node->record, 0);
    } else {
        struct tide_record empty;

        tide_record_init(&empty);
        row_encode(blob, &empty, 0);
    }
    key_module(key, id);
    txn_put_parts(txn, TABLE_MODULE, key, sizeof(key), 1, blob->start, blob->len, TIDE_VALUE_LEAF,
                  0);
}

bool totals_decode(const struct blob *blob, struct totals_read *ret, struct tide_record *record)
{
    const uint8_t *at = blob->start, *end = at + blob->len;
    uint64_t name_len, seq, upto_s, error_len, error_us = 0;

    if (!tide_get_varint(&at, end, &name_len) || name_len == 0 || name_len > TIDE_MODULE_NAME_MAX ||
        name_len > (uint64_t)(end - at))
        return false;
    ret->name = (const char *)at;
    ret->name_len = (uint32_t)name_len;
    at += name_len;
    if (!tide_get_varint(&at, end, &seq) || !tide_get_varint(&at, end, &upto_s) ||
        !tide_get_varint(&at, end, &error_len) || upto_s > INT64_MAX ||
        error_len > TIDE_ERROR_TEXT_MAX)
        return false;
    if (error_len && (!tide_get_varint(&at, end, &error_us) || error_us > INT64_MAX ||
                      error_len > (uint64_t)(end - at)))
        return false;
    ret->seq = seq;
    ret->upto_s = (int64_t)upto_s;
    ret->error_us = (int64_t)error_us;
    ret->error = (const char *)at;
    ret->error_len = (uint32_t)error_len;
    at += error_len;
    return row_decode(&at, end, record, 0) && at == end;
}

static void merge_view(struct tide_record *into, const struct row_view *view, bool detail)
{
    tide_tally_merge(&into->tally, view->tally);
    for (uint32_t i = 0; i < view->runs; i++)
        tide_hist_add(&into->hist, view->run[i].bucket, view->run[i].count);
    if (!detail)
        return;
    for (uint32_t i = 0; i < view->instances; i++)
        tide_record_merge_instance(into, &view->instance[i]);
    for (uint32_t i = 0; i < view->customs; i++)
        tide_customs_merge_one(&into->customs, &view->custom[i]);
    tide_record_merge_slowest(into, view->slowest_us, view->slowest, view->slowest_len);
}

/* Inline: a function that does nothing but this has no effect in the compiler's eyes, and a call of
 * it is dropped. */
static inline __attribute__((always_inline)) void call_up_range(const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch((const char *)from + at, 1);
}

static inline __attribute__((always_inline)) void
call_up_parts(const struct tide_record *record, const struct hist_run *run, uint32_t runs)
{
    call_up_range(record->instance, sizeof(*record->instance));
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t at = run[i].bucket - record->hist.first;

        if (at < record->hist.len)
            __builtin_prefetch(&record->hist.count[at], 1);
    }
}

void head_call_up(const struct tide_store *store, enum head_call call, uint32_t module,
                  int64_t start_s, const struct hist_run *run, uint32_t runs)
{
    struct head_node *const *place = head_find_place(store->head, start_s, module);

    if (!place)
        return;
    if (call == HEAD_CALL_PLACE)
        __builtin_prefetch(place);
    else if (!*place)
        return;
    else if (call == HEAD_CALL_NODE)
        call_up_range(*place, offsetof(struct head_node, record.slowest.id) + 32);
    else
        call_up_parts(&(*place)->record, run, runs);
}

void head_take_delta(struct tide_store *store, uint32_t module, int64_t start_s,
                     const struct row_view *view, const char *error, uint32_t error_len,
                     int64_t error_us)
{
    bool open = start_s >= head_draft(store->head)->sealed_upto_s;
    struct head_node *node =
        open ? head_touch(store->head, start_s, module) : head_touch_total(store->head, module);
    struct head_node *fleet = open ? head_touch(store->head, start_s, TIDE_FLEET)
                                   : head_touch_total(store->head, TIDE_FLEET);

    assert(module != TIDE_FLEET);
    node->dirty = true;
    merge_view(&node->record, view, open);
    if (error_len)
        head_node_error(node, error_us, error, error_len);
    merge_view(&fleet->record, view, false);
    if (open)
        tide_record_merge_slowest(&fleet->record, view->slowest_us, view->slowest,
                                  view->slowest_len);
}
