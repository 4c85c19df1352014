/* range - one module's history, newest first, each stretch from the coarsest table that can tell.
 *
 * A range is cut twice. First as if everything were folded: that says which tier should answer
 * where, and so what is expired, whatever the background work has done so far. Then each of these
 * stretches into what does answer: chunks of that tier, finer ones where it is not complete yet,
 * rows. Both cuts are plan_newest. Open intervals come first, from memory.
 *
 * Rows lie in time order, all modules of an interval side by side. A walk of one module guesses the
 * row of the previous interval, which is there nearly always, and only when it is not asks for the
 * previous interval that has any rows.
 */
#include <assert.h>

#include "snapshot.h"

static int64_t max_s(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The newest interval below before_s that something came late for. */
static int64_t late_below(struct walk *walk, int64_t before_s)
{
    struct tide_snapshot *snapshot = walk->snapshot;

    if (!walk->listed)
        return stored_below(snapshot, snapshot->reader->correction, before_s);
    while (walk->lates && walk->late[0] >= before_s) {
        walk->late++;
        walk->lates--;
    }
    return walk->lates ? walk->late[0] : NOWHERE;
}

/* Merges what came late for [start_s, start_s + width_s), the newest that is left. */
static bool merge_late(struct walk *walk, enum tide_tier tier, int64_t start_s,
                       struct tide_record *into)
{
    bool merged = false;

    while (walk->late_s >= start_s && !walk->snapshot->rc) {
        merged |= late_merge(walk->snapshot, walk->late_s, walk->module, tier, into);
        walk->late_s = late_below(walk, walk->late_s);
    }
    return merged;
}

static void give(struct walk *walk, int64_t start_s, const struct tide_record *record,
                 unsigned flags)
{
    walk->at_s = start_s;
    walk->snapshot->records++;
    if (!walk->snapshot->rc && !tide_record_empty(record) &&
        !walk->take(walk->arg, walk->module, start_s, record, flags))
        walk->ended = true;
}

/* The clock is asked once for some records: it costs as much as one. */
static bool goes_on(const struct walk *walk, int64_t from_s)
{
    const struct tide_snapshot *snapshot = walk->snapshot;
    bool asks = walk->merged || snapshot->records % 16 == 0;

    return walk->at_s > from_s && !walk->ended && !snapshot->rc &&
           (walk->listed || !asks || !snapshot_spent(snapshot));
}

/* ---- rows ---- */

static void walk_rows(struct walk *walk, int64_t from_s)
{
    struct tide_snapshot *snapshot = walk->snapshot;
    struct tide_record *record = &snapshot->reader->record;

    while (goes_on(walk, from_s)) {
        int64_t start_s = walk->at_s - snapshot->info.interval_s;
        unsigned flags = 0;

        if (!row_read(snapshot, start_s, walk->module, record)) {
            int64_t row_s = stored_below(snapshot, snapshot->reader->row, walk->at_s);

            start_s = max_s(row_s, walk->late_s);
            if (start_s < from_s) { /* NOWHERE, too */
                walk->at_s = from_s;
                break;
            }
            if (start_s != row_s || !row_read(snapshot, start_s, walk->module, record))
                tide_record_reset(record);
        }
        if (merge_late(walk, TIDE_TIER_RAW, start_s, record))
            flags |= TIDE_PART_CORRECTED;
        give(walk, start_s, record, flags);
    }
}

/* ---- chunks ---- */

/* The chunks of one tier, from which records are taken newest first. */
struct source {
    struct walk *walk;
    struct tier_cursor *cursor;
    struct chunk_reader *chunk;
    int64_t from_s;
    int64_t period_s, period_width_s;
    bool begun, dry;
    uint32_t left;  /* rows of the chunk at hand that were not given */
    bool has_hists; /* they have their histograms */
};

/* Stands on the next older chunk; false: there is none in the range. */
static bool older_chunk(struct source *source)
{
    struct tier_cursor *cursor = source->cursor;
    struct walk *walk = source->walk;
    bool there;

    if (!source->begun) {
        source->begun = true;
        source->period_s = tide_floor_s(walk->at_s - 1, source->period_width_s);
        there = tier_newest(cursor, source->period_s, walk->module, walk->at_s);
    } else {
        there = cursor->first_s > source->from_s && tier_older(cursor, walk->module);
    }
    while (!there && source->period_s > source->from_s && !cursor->lmdb) {
        source->period_s = tier_period_below(cursor, source->period_s);
        if (source->period_s == NOWHERE ||
            source->period_s + source->period_width_s <= source->from_s)
            break;
        there = tier_newest(cursor, source->period_s, walk->module, walk->at_s);
    }
    snapshot_note(walk->snapshot, cursor->lmdb);
    return there && !cursor->lmdb;
}

/* The start of the newest record below at_s, or NOWHERE when there is none in the range. */
static int64_t newest_record(struct source *source)
{
    struct chunk_reader *chunk = source->chunk;
    struct walk *walk = source->walk;

    while (source->left == 0) {
        source->dry = source->dry || !older_chunk(source);
        if (source->dry)
            return NOWHERE;
        if (!source->cursor->sound)
            continue;
        source->has_hists = !walk->no_hist && !walk->merged;
        if (!chunk_read_fields(chunk, &source->cursor->view) ||
            (source->has_hists && !chunk_read_hists(chunk))) {
            tier_damaged(source->cursor, walk->module);
            continue;
        }
        source->left = chunk->view.count;
        while (source->left && chunk->row[source->left - 1].start_s >= walk->at_s)
            source->left--;
    }
    return chunk->row[source->left - 1].start_s >= source->from_s
               ? chunk->row[source->left - 1].start_s
               : NOWHERE;
}

/* Gives the newest row that is left, with what came late for it. */
static void give_row(struct source *source, enum tide_tier tier, bool late)
{
    struct tide_record *own = &source->walk->snapshot->reader->record;
    const struct chunk_row *row = &source->chunk->row[--source->left];
    const struct tide_record *record = &row->record; /* as it was decoded */
    unsigned flags = row->revision ? TIDE_PART_CORRECTED : 0;

    if (late) {
        tide_record_copy(own, record);
        if (merge_late(source->walk, tier, row->start_s, own))
            flags |= TIDE_PART_CORRECTED;
        record = own;
    }
    give(source->walk, row->start_s, record, flags);
}

/* Gives the rows that are left from from_s on as one record. */
static void give_sum(struct source *source, int64_t from_s)
{
    struct tide_record *own = &source->walk->snapshot->reader->record;
    const struct chunk_row *row = source->chunk->row;
    uint32_t first = source->left, last = first;
    unsigned flags = 0;

    for (; first > 0 && row[first - 1].start_s >= from_s; first--)
        flags |= row[first - 1].revision ? TIDE_PART_CORRECTED : 0;
    source->left = first;
    source->has_hists = false;
    tide_record_reset(own);
    if (!chunk_sum(source->chunk, first, last, own)) {
        tier_damaged(source->cursor, source->walk->module);
        source->left = 0;
        return;
    }
    source->walk->snapshot->records += last - first;
    give(source->walk, row[first].start_s, own, flags);
}

/* The histograms of the chunk at hand, when a sum could not do without them. */
static bool needs_hists(struct source *source)
{
    if (source->has_hists || source->walk->no_hist)
        return true;
    source->has_hists = chunk_read_hists(source->chunk);
    if (!source->has_hists) {
        tier_damaged(source->cursor, source->walk->module);
        source->left = 0;
    }
    return source->has_hists;
}

void walk_chunks(struct walk *walk, enum tide_tier tier, int64_t from_s)
{
    struct tide_snapshot *snapshot = walk->snapshot;
    struct tide_record *own = &snapshot->reader->record;
    uint32_t interval_s = snapshot->info.interval_s;
    struct source source = {.walk = walk,
                            .cursor = &snapshot->reader->tier[tier],
                            .chunk = &snapshot->reader->chunk,
                            .from_s = from_s,
                            .period_width_s = tier_period_s(tier, interval_s)};
    int64_t width_s = tier_width_s(tier, interval_s);

    while (goes_on(walk, from_s)) {
        int64_t stored_s = newest_record(&source);
        int64_t late_s = walk->late_s < from_s ? NOWHERE : tide_floor_s(walk->late_s, width_s);

        if (stored_s == NOWHERE && late_s == NOWHERE) {
            walk->at_s = from_s;
            break;
        }
        if (stored_s > late_s && walk->merged) {
            give_sum(&source, max_s(from_s, late_s + 1));
        } else if (stored_s >= late_s) {
            if (needs_hists(&source))
                give_row(&source, tier, stored_s == late_s);
        } else {
            bool merged;

            tide_record_reset(own);
            merged = merge_late(walk, tier, late_s, own);
            give(walk, late_s, own, merged ? TIDE_PART_CORRECTED : 0);
        }
    }
}

/* ---- ranges ---- */

int64_t kept_start_s(const struct tide_snapshot *snapshot, uint32_t module, enum tide_tier tier,
                     int64_t from_s)
{
    int64_t kept_s = tide_ceil_s(tide_snapshot_kept_from(snapshot, module, tier),
                                 tier_width_s(tier, snapshot->info.interval_s));

    return max_s(kept_s, from_s);
}

bool span_fix(const struct tide_snapshot *snapshot, struct tide_span *span)
{
    uint32_t interval_s = snapshot->info.interval_s;

    span->from_s = tide_ceil_s(max_s(span->from_s, 0), interval_s);
    if (span->to_s > SPAN_MAX_S)
        span->to_s = SPAN_MAX_S;
    span->to_s = tide_floor_s(span->to_s, interval_s);
    return span->from_s < span->to_s;
}

static void walk_open(struct walk *walk, const struct tide_span *span)
{
    struct tide_snapshot *snapshot = walk->snapshot;
    const struct head_generation *head = snapshot->head;

    for (uint32_t i = head->layers; i-- > 0 && !walk->ended;) {
        const struct head_layer *layer = head->layer[i];
        const struct head_node *node = head_peek(layer, walk->module);
        const struct tide_record *record;

        if (!node || layer->start_s < span->from_s || layer->start_s >= span->to_s)
            continue;
        record = &node->record;
        if (walk->module == TIDE_FLEET) {
            head_fleet(layer, &snapshot->reader->fleet);
            record = &snapshot->reader->fleet;
        }
        walk->ended = !walk->take(walk->arg, walk->module, layer->start_s, record, TIDE_PART_OPEN);
    }
}

/* Walks [from_s, at_s), which should be answered by one tier, from what there is. */
static void walk_stretch(struct walk *walk, enum tide_tier tier, int64_t from_s)
{
    struct tide_snapshot *snapshot = walk->snapshot;

    while (walk->at_s > from_s && !walk->ended && !snapshot->rc) {
        struct plan_piece piece;

        if (snapshot_spent(snapshot)) {
            snapshot_renew(snapshot);
            if (snapshot->rc)
                break;
        }
        walk->late_s = late_below(walk, walk->at_s);
        piece = plan_newest(&snapshot->reach, from_s, walk->at_s, tier);
        if (piece.rows)
            walk_rows(walk, piece.from_s);
        else
            walk_chunks(walk, piece.tier, piece.from_s);
    }
}

enum tide_rc tide_snapshot_range(struct tide_snapshot *snapshot, uint32_t module,
                                 const struct tide_span *asked, tide_walk_fn *take, void *arg)
{
    struct tide_span span = *asked;
    struct plan_reach all = {snapshot->info.interval_s, INT64_MAX, INT64_MAX};
    struct walk walk = {.snapshot = snapshot,
                        .module = module,
                        .no_hist = span.no_hist,
                        .merged = span.merged,
                        .take = take,
                        .arg = arg};
    int64_t at_s, sealed_s = snapshot->head->sealed_upto_s;

    if (snapshot->broken)
        return snapshot->broken;
    snapshot->rc = TIDE_OK;
    if (!span_fix(snapshot, &span))
        return TIDE_OK;
    walk_open(&walk, &span);
    for (at_s = span.to_s; at_s > span.from_s && !walk.ended && !snapshot->rc;) {
        struct plan_piece piece = plan_newest(&all, span.from_s, at_s, span.coarsest);
        int64_t from_s = kept_start_s(snapshot, module, piece.tier, piece.from_s);

        walk.at_s = at_s < sealed_s ? at_s : sealed_s;
        walk_stretch(&walk, piece.tier, from_s);
        at_s = piece.from_s;
    }
    return snapshot->rc;
}

enum tide_rc tide_snapshot_walk(struct tide_snapshot *snapshot, uint32_t module, int64_t from_s,
                                int64_t to_s, tide_walk_fn *take, void *arg)
{
    struct tide_span span = {.from_s = from_s, .to_s = to_s, .coarsest = TIDE_TIER_RAW};

    if (to_s < SPAN_MAX_S)
        span.to_s = tide_ceil_s(to_s, snapshot->info.interval_s);
    return tide_snapshot_range(snapshot, module, &span, take, arg);
}
