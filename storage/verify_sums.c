/* verify_sums - values against each other: a coarser record is the merge of its finer ones, the
 * fleet's is the merge of the modules', a module's total is its history, and the books know of
 * every event.
 *
 * Retention takes either side away, module by module and chunk by chunk, and it is the daemon's
 * configuration that says when; so a side that is missing, or less, is no finding when it can have
 * expired: nothing of that module is left from before. Late events change the tiers that are still
 * kept, and only these; their number is the revision.
 */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "tiers.h"
#include "must.h"

static unsigned long long ull(uint64_t v)
{
    return v;
}

/* ---- sums ---- */

/* The sum of a stretch, made empty the first time. */
static struct verify_sum *sum_at(struct verify_sums *sums, int64_t start_s)
{
    size_t low = 0, high = sums->count;
    struct verify_sum spare;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (sums->sum[middle].start_s < start_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < sums->count && sums->sum[low].start_s == start_s)
        return &sums->sum[low];
    if (sums->count == sums->made) {
        size_t grown = sums->made ? 2 * sums->made : 64;

        sums->sum = must(realloc(sums->sum, grown * sizeof(*sums->sum)));
        for (; sums->made < grown; sums->made++) {
            tide_record_init(&sums->sum[sums->made].parts);
            tide_record_init(&sums->sum[sums->made].whole);
        }
    }
    spare = sums->sum[sums->count];
    memmove(&sums->sum[low + 1], &sums->sum[low], (sums->count - low) * sizeof(spare));
    sums->count++;
    tide_record_reset(&spare.parts);
    tide_record_reset(&spare.whole);
    spare.start_s = start_s;
    spare.parts_revision = spare.whole_revision = 0;
    spare.has_parts = spare.has_whole = false;
    sums->sum[low] = spare;
    return &sums->sum[low];
}

static void sums_fini(struct verify_sums *sums)
{
    for (size_t i = 0; i < sums->made; i++) {
        tide_record_fini(&sums->sum[i].parts);
        tide_record_fini(&sums->sum[i].whole);
    }
    free(sums->sum);
    *sums = (struct verify_sums){0};
}

static void merge_counts(struct tide_record *into, const struct tide_record *from)
{
    tide_tally_merge(&into->tally, &from->tally);
    tide_hist_merge(&into->hist, &from->hist);
}

/* Equal in counts and histogram. What else they hold is lost. */
static bool same_counts(struct tide_record *a, struct tide_record *b)
{
    a->instances = b->instances = 0;
    a->customs.count = b->customs.count = 0;
    a->slowest.len = b->slowest.len = 0;
    a->slowest.us = b->slowest.us = 0;
    return tide_record_equal(a, b);
}

static bool has_more(const struct tide_record *a, const struct tide_record *b)
{
    return verify_events(a) > verify_events(b);
}

/* ---- the fleet ---- */

void verify_fleet_begin(struct verify *verify, int64_t period_s)
{
    struct verify_fleet *fleet = &verify->fleet;
    size_t words = verify->modules / 64 + 1;

    if (fleet->met_words < words) {
        fleet->met = must(realloc(fleet->met, words * sizeof(*fleet->met)));
        fleet->met_words = words;
    }
    memset(fleet->met, 0, fleet->met_words * sizeof(*fleet->met));
    fleet->sums.count = 0;
    fleet->period_s = period_s;
    fleet->fold_seq = verify->fold.seq;
    fleet->begun = period_s != INT64_MIN;
    fleet->spoiled = false;
}

void verify_fleet_add(struct verify *verify, uint32_t module, int64_t start_s, uint32_t revision,
                      const struct tide_record *record)
{
    struct verify_fleet *fleet = &verify->fleet;
    struct verify_sum *sum = sum_at(&fleet->sums, start_s);

    if (module == TIDE_FLEET) {
        sum->has_whole = true;
        sum->whole_revision = revision;
        merge_counts(&sum->whole, record);
        return;
    }
    sum->has_parts = true;
    sum->parts_revision += revision;
    merge_counts(&sum->parts, record);
    if (module / 64 < fleet->met_words)
        fleet->met[module / 64] |= UINT64_C(1) << (module % 64);
}

/* Whether some module may have lost what it had in the period: nothing of it is left from before,
 * and it was there before. */
static bool may_have_expired(const struct verify *verify, enum tide_tier tier)
{
    const struct verify_fleet *fleet = &verify->fleet;
    int64_t end_s = fleet->period_s + tier_period_s(tier, verify->identity.interval_s);

    for (uint32_t id = 1; id <= verify->modules; id++) {
        const struct verify_module *module = &verify->module[id];
        bool met = fleet->met[id / 64] >> (id % 64) & 1;
        uint32_t oldest_h = module->oldest_h[tier];

        if (!module->known)
            continue;
        if (!met && oldest_h == HOUR_NONE && module->first_us / 1000000 < end_s)
            return true;
        if (met && oldest_h == fleet->period_s / 3600 &&
            module->first_us / 1000000 < fleet->period_s)
            return true;
    }
    return false;
}

static bool fleet_is_excused(const struct verify *verify, int tier, const struct verify_sum *sum)
{
    if (tier < 0)
        return false; /* rows are written all at once */
    if (sum->start_s < verify->fold.evicted_upto_s[tier])
        return true;
    if (!sum->has_whole)
        return verify->module[TIDE_FLEET].oldest_h[tier] == HOUR_NONE ||
               verify->module[TIDE_FLEET].oldest_h[tier] >= verify->fleet.period_s / 3600;
    if (has_more(&sum->parts, &sum->whole))
        return false;
    return sum->whole_revision > sum->parts_revision ||
           may_have_expired(verify, (enum tide_tier)tier);
}

void verify_fleet_end(struct verify *verify, int tier)
{
    struct verify_fleet *fleet = &verify->fleet;
    bool changed = tier < 0 ? fleet->period_s < verify->fold.hours_upto_s
                            : fleet->fold_seq != verify->fold.seq;
    int64_t width_s =
        tier_width_s(tier < 0 ? TIDE_TIER_RAW : (enum tide_tier)tier, verify->identity.interval_s);

    if (!fleet->begun || verify->rc)
        return;
    fleet->begun = false;
    if (fleet->spoiled || changed) {
        verify->result->not_compared += fleet->sums.count;
        return;
    }
    for (size_t i = 0; i < fleet->sums.count; i++) {
        struct verify_sum *sum = &fleet->sums.sum[i];

        if (sum->has_whole && same_counts(&sum->parts, &sum->whole))
            verify->result->fleet_sums++;
        else if (fleet_is_excused(verify, tier, sum))
            verify->result->not_compared++;
        else
            verify_found(verify, schema_table_name(tier < 0 ? TABLE_ROW : TIER_TABLE(tier)), NULL,
                         TIDE_FLEET, sum->start_s, sum->start_s + width_s,
                         "the fleet has %llu events, its modules together %llu, or they differ "
                         "otherwise",
                         ull(verify_events(&sum->whole)), ull(verify_events(&sum->parts)));
    }
}

void verify_fleet_fini(struct verify_fleet *fleet)
{
    sums_fini(&fleet->sums);
    free(fleet->met);
    *fleet = (struct verify_fleet){0};
}

/* ---- tiers ---- */

/* A cursor that goes through the modules of one period. */
struct lane {
    struct pages_cursor cursor;
    enum tide_tier tier;
    int64_t period_s;
    uint32_t module; /* it stands on; UINT32_MAX: past the last */
};

struct tiers {
    struct verify *verify;
    enum tide_tier coarse, fine;
    int64_t width_s, period_s; /* of the coarse tier */
    struct lane lane[128];     /* [0] of the coarse tier, the others of the fine one */
    size_t lanes;
    struct verify_sums sums; /* of one module in the period */
    bool spoiled;            /* a value of it could not be read: it was told */
};

static void lane_look(struct lane *lane, bool found)
{
    const MDB_val *key = &lane->cursor.key;

    lane->module = UINT32_MAX;
    if (found && key->mv_size == KEY_CHUNK_SIZE && key_start_s(key->mv_data) == lane->period_s)
        lane->module = key_row_module(key->mv_data);
}

static void lane_seek(struct lane *lane, uint32_t module)
{
    uint8_t key[KEY_CHUNK_SIZE];

    key_chunk(key, lane->period_s, module, lane->period_s);
    lane_look(lane, pages_seek(&lane->cursor, key, 12));
}

/* Joins the parts of the value that the lane stands on, and goes on to the next. False: it is not
 * whole. */
static bool lane_take(struct lane *lane, struct blob *blob)
{
    uint8_t first[KEY_CHUNK_SIZE];
    uint64_t whole = UINT64_MAX;
    unsigned part = 0;
    bool sound = true;

    memcpy(first, lane->cursor.key.mv_data, sizeof(first));
    blob->len = 0;
    do {
        const MDB_val *key = &lane->cursor.key, *value = &lane->cursor.value;
        const uint8_t *from = value->mv_data, *end;
        size_t len = 0;

        if (!value_sound(key, value, &len) ||
            ((const uint8_t *)key->mv_data)[KEY_CHUNK_SIZE - 1] != part)
            sound = false;
        end = from + len;
        if (sound && part == 0)
            sound = tide_get_varint(&from, end, &whole);
        if (sound) {
            blob_reserve(blob, (size_t)(end - from) + 1);
            memcpy(blob->start + blob->len, from, (size_t)(end - from));
            blob->len += (size_t)(end - from);
        }
        part++;
        lane_look(lane, pages_next(&lane->cursor));
    } while (lane->module != UINT32_MAX &&
             memcmp(lane->cursor.key.mv_data, first, sizeof(first) - 1) == 0);
    return sound && blob->len == whole;
}

/* Adds what the lane has of the module. */
static void lane_add(struct tiers *tiers, struct lane *lane, uint32_t module)
{
    struct verify *verify = tiers->verify;
    bool whole = lane->tier == tiers->coarse;

    while (lane->module == module) {
        struct chunk_view view;

        if (!lane_take(lane, &verify->blob) ||
            !chunk_open(verify->blob.start, verify->blob.len, &view) ||
            view.width_s != tier_width_s(lane->tier, verify->identity.interval_s) ||
            !chunk_read_fields(&verify->reader, &view) || !chunk_read_hists(&verify->reader)) {
            tiers->spoiled = true;
            continue;
        }
        for (uint32_t i = 0; i < view.count; i++) {
            const struct chunk_row *row = &verify->reader.row[i];
            struct verify_sum *sum;

            if (row->start_s >= tier_upto_s(&verify->fold, tiers->coarse))
                continue;
            sum = sum_at(&tiers->sums, tide_floor_s(row->start_s, tiers->width_s));
            chunk_record(&verify->reader, i, &verify->record);
            if (whole) {
                sum->has_whole = true;
                sum->whole_revision = row->revision;
                tide_record_merge(&sum->whole, &verify->record);
            } else {
                sum->has_parts = true;
                sum->parts_revision += row->revision;
                tide_record_merge(&sum->parts, &verify->record);
            }
        }
    }
}

/* Whether everything of the module before this has gone from the tier. */
static bool is_before_oldest(const struct verify *verify, uint32_t id, enum tide_tier tier,
                             int64_t start_s)
{
    int64_t period_s = tide_floor_s(start_s, tier_period_s(tier, verify->identity.interval_s));

    if (verify->moved || id > verify->modules)
        return true; /* what is oldest may have changed */
    return verify->module[id].oldest_h[tier] == HOUR_NONE ||
           period_s / 3600 < verify->module[id].oldest_h[tier];
}

static bool is_oldest(const struct verify *verify, uint32_t id, enum tide_tier tier,
                      int64_t start_s)
{
    int64_t period_s = tide_floor_s(start_s, tier_period_s(tier, verify->identity.interval_s));

    return verify->moved || id > verify->modules ||
           period_s / 3600 == verify->module[id].oldest_h[tier];
}

static bool is_excused(const struct tiers *tiers, uint32_t module, const struct verify_sum *sum)
{
    const struct verify *verify = tiers->verify;

    if (sum->start_s < verify->fold.evicted_upto_s[tiers->coarse] ||
        sum->start_s < verify->fold.evicted_upto_s[tiers->fine])
        return true;
    if (!sum->has_parts)
        return sum->whole_revision > 0 || /* made, or made anew, when the finer one was gone */
               is_before_oldest(verify, module, tiers->fine, sum->start_s);
    if (!sum->has_whole)
        return is_before_oldest(verify, module, tiers->coarse, sum->start_s);
    if (has_more(&sum->parts, &sum->whole))
        return false;
    return sum->whole_revision > sum->parts_revision || /* the finer one was kept no longer */
           (is_oldest(verify, module, tiers->fine, sum->start_s) &&
            sum->parts.tally.first_us > sum->whole.tally.first_us);
}

static void compare(struct tiers *tiers, uint32_t module)
{
    struct verify *verify = tiers->verify;

    for (size_t i = 0; i < tiers->sums.count; i++) {
        struct verify_sum *sum = &tiers->sums.sum[i];
        /* the fleet's gauges follow late events by differences, see FORMAT.md */
        bool counts_only = module == TIDE_FLEET && (sum->whole_revision || sum->parts_revision);
        bool same = sum->has_parts && sum->has_whole &&
                    (counts_only ? same_counts(&sum->parts, &sum->whole)
                                 : tide_record_equal(&sum->parts, &sum->whole));

        if (same)
            verify->result->tier_sums++;
        else if (tiers->spoiled || is_excused(tiers, module, sum))
            verify->result->not_compared++;
        else
            verify_found(verify, schema_table_name(TIER_TABLE(tiers->coarse)), NULL, module,
                         sum->start_s, sum->start_s + tiers->width_s,
                         "its record of tier %s (%llu events) is not the merge of those of tier %s "
                         "(%llu events)",
                         tide_tier_info[tiers->coarse].name, ull(verify_events(&sum->whole)),
                         tide_tier_info[tiers->fine].name, ull(verify_events(&sum->parts)));
    }
}

static void compare_period(struct tiers *tiers, int64_t period_s)
{
    struct verify *verify = tiers->verify;
    int64_t fine_s = tier_period_s(tiers->fine, verify->identity.interval_s);
    uint32_t module = 0;

    for (size_t i = 0; i < tiers->lanes; i++)
        tiers->lane[i].period_s = i == 0 ? period_s : period_s + (int64_t)(i - 1) * fine_s;
    while (verify_breathe(verify)) {
        uint32_t least = UINT32_MAX;

        for (size_t i = 0; i < tiers->lanes; i++) {
            lane_seek(&tiers->lane[i], module);
            if (tiers->lane[i].module < least)
                least = tiers->lane[i].module;
        }
        if (least == UINT32_MAX)
            return;
        tiers->sums.count = 0;
        tiers->spoiled = false;
        for (size_t i = 0; i < tiers->lanes; i++)
            lane_add(tiers, &tiers->lane[i], least);
        compare(tiers, least);
        module = least + 1;
    }
}

/* The period of the first chunk at or after from_s; INT64_MAX: there is none. */
static int64_t first_period(struct lane *lane, int64_t from_s, int64_t period_s)
{
    uint8_t key[8];

    tide_put_be64(key, (uint64_t)from_s);
    if (!pages_seek(&lane->cursor, key, sizeof(key)) || lane->cursor.key.mv_size < sizeof(key) ||
        key_start_s(lane->cursor.key.mv_data) < from_s ||
        key_start_s(lane->cursor.key.mv_data) > INT64_MAX / 1000000)
        return INT64_MAX;
    return tide_floor_s(key_start_s(lane->cursor.key.mv_data), period_s);
}

void verify_tiers(struct verify *verify, enum tide_tier coarse)
{
    struct tiers *tiers = must(calloc(1, sizeof(*tiers)));
    uint32_t interval_s = verify->identity.interval_s;
    int64_t at_s = 0;

    tiers->verify = verify;
    tiers->coarse = coarse;
    tiers->fine = (enum tide_tier)(coarse - 1);
    tiers->width_s = tier_width_s(coarse, interval_s);
    tiers->period_s = tier_period_s(coarse, interval_s);
    tiers->lanes = 1 + (size_t)(tiers->period_s / tier_period_s(tiers->fine, interval_s));
    for (size_t i = 0; i < tiers->lanes; i++) {
        struct lane *lane = &tiers->lane[i];

        lane->tier = i == 0 ? coarse : tiers->fine;
        pages_cursor_open(&lane->cursor, verify->pages, (int)TIER_TABLE(lane->tier),
                          schema_table_name(TIER_TABLE(lane->tier)), false);
    }
    while (verify_breathe(verify)) {
        int64_t whole_s = first_period(&tiers->lane[0], at_s, tiers->period_s),
                parts_s = first_period(&tiers->lane[1], at_s, tiers->period_s),
                period_s = whole_s < parts_s ? whole_s : parts_s;

        if (period_s == INT64_MAX)
            break;
        compare_period(tiers, period_s);
        at_s = period_s + tiers->period_s;
    }
    for (size_t i = 0; i < tiers->lanes; i++)
        pages_cursor_close(&tiers->lane[i].cursor);
    sums_fini(&tiers->sums);
    free(tiers);
}

/* ---- totals and books ---- */

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void check_names(struct verify *verify)
{
    qsort(verify->name_hash + 1, verify->modules, sizeof(*verify->name_hash), by_hash);
    for (uint32_t i = 2; i <= verify->modules; i++)
        if (verify->name_hash[i] && verify->name_hash[i] == verify->name_hash[i - 1])
            verify_found(verify, "module", NULL, VERIFY_NO_MODULE, 0, 0,
                         "two modules have the same name");
}

void verify_totals(struct verify *verify)
{
    uint64_t events = 0;

    for (uint32_t id = 1; id <= verify->modules; id++) {
        const struct verify_module *module = &verify->module[id];
        uint64_t total = module->total + module->behind;
        bool complete = module->first_us / 1000000 >= module->history_s &&
                        module->first_us != INT64_MAX &&
                        verify->fold.evicted_upto_s[TIDE_TIER_1D] == 0;

        events += total + module->open;
        if (module->history > total || (complete && module->history < total))
            verify_found(verify, "module", NULL, id, 0, 0,
                         "its total has %llu events, its history %llu", ull(total),
                         ull(module->history));
    }
    if (events < verify->state.ledger.stored)
        verify_found(verify, "module", NULL, VERIFY_NO_MODULE, 0, 0,
                     "the books say that %llu events were stored, the modules have %llu",
                     ull(verify->state.ledger.stored), ull(events));
    check_names(verify);
}
