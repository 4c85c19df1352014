/* verify_tables - every value of every table: its key, its checksum, that its parts are complete,
 * that it decodes, and that it fits the values beside it and the state of the store. What later
 * checks need of it is added to what is known of its module.
 */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "tidemark/event.h"
#include "tidemark/hash.h"
#include "tiers.h"

/* A walk over one table, between two values. */
struct walk {
    struct verify *verify;
    enum table table;
    uint8_t key[PAGES_KEY_MAX]; /* of the value at hand, its part number 0 */
    size_t key_len;
    /* of the chunk before, in the same period and module */
    int64_t period_s, last_s;
    uint32_t module;
    bool has_last;
    int64_t unfinished_s; /* the stretch of an unfinished fold; INT64_MIN: none yet */
    bool strayed;         /* it was told of the chunk at hand that it has others */
};

struct form {
    size_t key_len; /* 0: any */
    size_t digits;  /* of its part number; 0: a value is one part */
    void (*take)(struct walk *walk, const MDB_val *key, const struct blob *blob);
};

#define BAD(walk, key, ...) verify_found_value((walk)->verify, (walk)->table, key, __VA_ARGS__)

static unsigned long long ull(uint64_t v)
{
    return v;
}

/* ---- meta, and what was committed before ---- */

static void take_meta(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    static const char *const names[] = {"identity", "state", "fold"};
    struct store_identity identity;
    struct store_state state;
    struct fold_state fold;
    uint32_t schema;
    size_t i = 0;
    bool sound;

    while (i < 3 &&
           (key->mv_size != strlen(names[i]) || memcmp(key->mv_data, names[i], key->mv_size) != 0))
        i++;
    if (i == 3) {
        BAD(walk, key, "a value that this version does not know");
        return;
    }
    sound = i == 0   ? schema_decode_identity(blob->start, blob->len, &identity, &schema)
            : i == 1 ? schema_decode_state(blob->start, blob->len, &state)
                     : schema_decode_fold(blob->start, blob->len, &fold);
    if (!sound)
        BAD(walk, key, "the %s of the store cannot be decoded", names[i]);
}

static void check_seq(struct walk *walk, const MDB_val *key, uint64_t seq)
{
    if (seq == 0 || seq > walk->verify->state.commit_seq)
        BAD(walk, key, "it is of commit %llu, but the newest is %llu", ull(seq),
            ull(walk->verify->state.commit_seq));
}

static void take_known(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    size_t each = walk->table == TABLE_PRODUCER ? JOURNAL_PRODUCER_SIZE : 16;

    check_seq(walk, key, tide_get_be64(key->mv_data));
    if (blob->len < 8 + each || (blob->len - 8) % each != 0)
        BAD(walk, key, "its %zu bytes are no list of ids", blob->len);
    else if (tide_get_be64(blob->start) == 0 || tide_get_be64(blob->start) > INT64_MAX)
        BAD(walk, key, "the time of its commit is none");
}

/* ---- journal ---- */

struct deltas {
    struct walk *walk;
    const MDB_val *key;
};

static bool is_foreign(struct walk *walk, uint32_t module)
{
    struct verify *verify = walk->verify;

    /* modules may have come since the view moved */
    return !verify_module(verify, module) && !verify->moved && verify->damage == 0;
}

static void take_delta(void *arg, uint64_t seq, const struct journal_delta *delta)
{
    struct deltas *deltas = arg;
    struct verify *verify = deltas->walk->verify;
    struct verify_module *module = verify_module(verify, delta->module);

    if (delta->start_s % verify->identity.interval_s)
        BAD(deltas->walk, deltas->key, "it has a delta of %lld, which begins no interval",
            (long long)delta->start_s);
    if (is_foreign(deltas->walk, delta->module))
        BAD(deltas->walk, deltas->key, "it has a delta of module %u, which does not exist",
            delta->module);
    if (!module || (seq <= module->total_seq && delta->start_s < module->upto_s))
        return;
    if (delta->start_s < verify->state.sealed_upto_s)
        module->behind += verify_events(delta->record);
    else
        module->open += verify_events(delta->record);
}

static void take_journal(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct deltas deltas = {walk, key};
    uint64_t seq = tide_get_be64(key->mv_data);

    check_seq(walk, key, seq);
    if (!journal_decode(seq, blob->start, blob->len, &walk->verify->record, take_delta, &deltas))
        BAD(walk, key, "its deltas cannot be decoded");
}

/* ---- modules ---- */

static void take_module(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct verify *verify = walk->verify;
    const struct tide_record *record = &verify->record;
    uint32_t id = tide_get_be32(key->mv_data);
    struct verify_module *module;
    struct totals_read totals;

    if (id == TIDE_FLEET || id >= VERIFY_NO_MODULE) {
        BAD(walk, key, "there is no module %u", id);
        return;
    }
    if (!totals_decode(blob, &totals, &verify->record)) {
        BAD(walk, key, "it cannot be decoded");
        return;
    }
    if (id != verify->modules + 1 && verify->damage == 0)
        BAD(walk, key, "module %u follows %u: those between are missing", id, verify->modules);
    if (totals.seq > verify->state.commit_seq || totals.upto_s > verify->state.sealed_upto_s)
        BAD(walk, key, "its total covers more than was committed and sealed");
    if (record->instances || record->customs.count || record->slowest.len)
        BAD(walk, key, "its total holds what totals do not have");
    verify_module_add(verify, id);
    module = &verify->module[id];
    module->total_seq = totals.seq;
    module->upto_s = totals.upto_s;
    module->first_us = record->tally.first_us;
    module->total = verify_events(record);
    verify->name_hash[id] = tide_hash64(0, totals.name, totals.name_len);
}

/* ---- rows and corrections ---- */

static void add_history(struct verify *verify, uint32_t id, int64_t start_s,
                        const struct tide_record *record)
{
    struct verify_module *module = verify_module(verify, id);

    if (!module)
        return;
    module->history += verify_events(record);
    if (start_s < module->history_s)
        module->history_s = start_s;
}

/* Decodes verify->record; false: it was told why not. */
static bool take_record(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct verify *verify = walk->verify;
    int64_t start_s = key_start_s(key->mv_data);
    const uint8_t *at = blob->start;

    if (start_s < 0 || start_s > INT64_MAX / 1000000 - 86400 ||
        start_s % verify->identity.interval_s) {
        BAD(walk, key, "%lld begins no interval", (long long)start_s);
        return false;
    }
    if (!row_decode(&at, blob->start + blob->len, &verify->record, start_s * 1000000) ||
        at != blob->start + blob->len) {
        BAD(walk, key, "it cannot be decoded");
        return false;
    }
    return true;
}

static void take_row(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct verify *verify = walk->verify;
    int64_t start_s = key_start_s(key->mv_data);
    uint32_t module = key_row_module(key->mv_data);

    if (!take_record(walk, key, blob)) {
        verify->fleet.spoiled = true;
        return;
    }
    if (module != TIDE_FLEET && is_foreign(walk, module))
        BAD(walk, key, "there is no module %u", module);
    if (start_s >= verify->state.sealed_upto_s) {
        verify->result->unfinished++; /* a seal that is under way, or was cut off */
        return;
    }
    if (start_s < verify->fold.hours_upto_s)
        return; /* it lies in the chunks by now */
    if (start_s != verify->fleet.period_s) {
        verify_fleet_end(verify, -1);
        verify_fleet_begin(verify, start_s);
    }
    verify->result->records++;
    verify_fleet_add(verify, module, start_s, 0, &verify->record);
    add_history(verify, module, start_s, &verify->record);
}

static void take_correction(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct verify *verify = walk->verify;
    uint32_t module = key_row_module(key->mv_data);

    check_seq(walk, key, key_correction_seq(key->mv_data));
    if (!take_record(walk, key, blob))
        return;
    if (module == TIDE_FLEET || is_foreign(walk, module))
        BAD(walk, key, "there is no module %u", module);
    if (key_start_s(key->mv_data) >= verify->state.sealed_upto_s)
        BAD(walk, key, "it corrects an interval that is still open");
    add_history(verify, module, key_start_s(key->mv_data), &verify->record);
}

/* ---- chunks ---- */

/* A record counts where its tier is complete, but in one stretch behind it that is being folded. */
static bool counts(struct walk *walk, const MDB_val *key, enum tide_tier tier, int64_t start_s)
{
    struct verify *verify = walk->verify;
    int64_t stretch_s = tier == TIDE_TIER_1D ? 86400 : 3600;

    if (start_s < tier_upto_s(&verify->fold, tier))
        return true;
    verify->result->unfinished++;
    if (walk->unfinished_s == INT64_MIN)
        walk->unfinished_s = tide_floor_s(start_s, stretch_s);
    else if (walk->unfinished_s != tide_floor_s(start_s, stretch_s) && !verify->moved &&
             !walk->strayed) {
        walk->strayed = true;
        BAD(walk, key, "it has a record of %lld, but only what is before %lld is folded",
            (long long)start_s, (long long)tier_upto_s(&verify->fold, tier));
    }
    return false;
}

/* Whether the history of a module is counted from this tier at this time. */
static bool is_history(const struct verify *verify, enum tide_tier tier, int64_t start_s)
{
    return tier == TIDE_TIER_1D || (tier == TIDE_TIER_1H && start_s >= verify->fold.days_upto_s);
}

static bool check_place(struct walk *walk, const MDB_val *key, enum tide_tier tier,
                        const struct chunk_view *view)
{
    struct verify *verify = walk->verify;
    int64_t period_s = key_start_s(key->mv_data),
            wide_s = tier_period_s(tier, verify->identity.interval_s);
    uint32_t module = key_row_module(key->mv_data);
    bool follows = walk->has_last && walk->period_s == period_s && walk->module == module;

    if (period_s < 0 || period_s % wide_s || period_s > INT64_MAX / 1000000 - 2 * wide_s) {
        BAD(walk, key, "%lld begins no period of tier %s", (long long)period_s,
            tide_tier_info[tier].name);
        return false;
    }
    if (view->width_s != tier_width_s(tier, verify->identity.interval_s) ||
        view->first_s != key_chunk_first_s(key->mv_data) || view->last_s >= period_s + wide_s) {
        BAD(walk, key, "its intervals of %u s, %lld to %lld, are not those of its key",
            view->width_s, (long long)view->first_s, (long long)view->last_s);
        return false;
    }
    if (follows && view->first_s <= walk->last_s)
        BAD(walk, key, "it begins at %lld, in the chunk before it", (long long)view->first_s);
    if (module != TIDE_FLEET && is_foreign(walk, module))
        BAD(walk, key, "there is no module %u", module);
    return true;
}

static void take_chunk(struct walk *walk, const MDB_val *key, const struct blob *blob)
{
    struct verify *verify = walk->verify;
    enum tide_tier tier = (enum tide_tier)(walk->table - TABLE_CHUNK_RAW);
    uint32_t id = key_row_module(key->mv_data);
    int64_t period_s = key_start_s(key->mv_data);
    struct verify_module *module = verify_module(verify, id);
    struct chunk_view view;

    if (period_s != verify->fleet.period_s) {
        verify_fleet_end(verify, (int)tier);
        verify_fleet_begin(verify, period_s);
    }
    if (!chunk_open(blob->start, blob->len, &view) || !chunk_read_fields(&verify->reader, &view) ||
        !chunk_read_hists(&verify->reader)) {
        BAD(walk, key, "it cannot be decoded");
        verify->fleet.spoiled = true;
        return;
    }
    if (!check_place(walk, key, tier, &view)) {
        verify->fleet.spoiled = true;
        return;
    }
    walk->has_last = true;
    walk->strayed = false;
    walk->period_s = period_s;
    walk->module = id;
    walk->last_s = view.last_s;
    if (module && module->oldest_h[tier] == HOUR_NONE)
        module->oldest_h[tier] = (uint32_t)(period_s / 3600);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct chunk_row *row = &verify->reader.row[i];

        if (!counts(walk, key, tier, row->start_s))
            continue;
        chunk_record(&verify->reader, i, &verify->record);
        verify->result->records++;
        verify_fleet_add(verify, id, row->start_s, row->revision, &verify->record);
        if (is_history(verify, tier, row->start_s))
            add_history(verify, id, row->start_s, &verify->record);
    }
}

/* ---- walking ---- */

static const struct form forms[TABLE_COUNT] = {
    [TABLE_META] = {0, 0, take_meta},
    [TABLE_JOURNAL] = {KEY_JOURNAL_SIZE, 2, take_journal},
    [TABLE_IDENTITY] = {KEY_JOURNAL_SIZE, 2, take_known},
    [TABLE_EVENT_ID] = {KEY_JOURNAL_SIZE, 2, take_known},
    [TABLE_PRODUCER] = {KEY_JOURNAL_SIZE, 2, take_known},
    [TABLE_MODULE] = {KEY_MODULE_SIZE, 1, take_module},
    [TABLE_ROW] = {KEY_ROW_SIZE, 1, take_row},
    [TABLE_CORRECTION] = {KEY_CORRECTION_SIZE, 1, take_correction},
    [TABLE_CHUNK_RAW] = {KEY_CHUNK_SIZE, 1, take_chunk},
    [TABLE_CHUNK_5M] = {KEY_CHUNK_SIZE, 1, take_chunk},
    [TABLE_CHUNK_1H] = {KEY_CHUNK_SIZE, 1, take_chunk},
    [TABLE_CHUNK_1D] = {KEY_CHUNK_SIZE, 1, take_chunk},
};

const enum table verify_order[TABLE_COUNT] = {TABLE_META,      TABLE_MODULE,   TABLE_JOURNAL,
                                              TABLE_IDENTITY,  TABLE_EVENT_ID, TABLE_PRODUCER,
                                              TABLE_CHUNK_RAW, TABLE_CHUNK_5M, TABLE_CHUNK_1H,
                                              TABLE_CHUNK_1D,  TABLE_ROW,      TABLE_CORRECTION};

/* Whether the table's values belong to periods whose fleet is compared. */
static bool has_fleet(enum table table)
{
    return table == TABLE_ROW || (table >= TABLE_CHUNK_RAW && table <= TABLE_CHUNK_1D);
}

static uint32_t part_of(const MDB_val *key, size_t digits)
{
    const uint8_t *end = (const uint8_t *)key->mv_data + key->mv_size;

    return digits == 2 ? tide_get_be16(end - 2) : digits == 1 ? end[-1] : 0;
}

/* The parts of one value, as they come. */
struct parts {
    bool open, skip; /* a value has begun; the rest of its parts are of no use */
    uint64_t whole;
    uint32_t next;
};

static void parts_end(struct walk *walk, struct parts *parts)
{
    MDB_val key = {walk->key_len, walk->key};

    if (parts->open && !parts->skip) {
        BAD(walk, &key, "only %zu of its %llu bytes are there", walk->verify->blob.len,
            ull(parts->whole));
        walk->verify->fleet.spoiled |= has_fleet(walk->table);
    }
    parts->open = false;
}

/* One stored value: a part, or all there is. */
static void take_value(struct walk *walk, struct parts *parts, const MDB_val *key,
                       const MDB_val *value)
{
    const struct form *form = &forms[walk->table];
    struct blob *blob = &walk->verify->blob;
    size_t prefix_len = key->mv_size - form->digits, len;
    const uint8_t *from = value->mv_data, *end;
    uint32_t part = part_of(key, form->digits);
    bool same = parts->open && walk->key_len == key->mv_size &&
                memcmp(walk->key, key->mv_data, prefix_len) == 0;
    MDB_val first = {key->mv_size, walk->key};

    if (!same)
        parts_end(walk, parts);
    if (!same || part == 0) {
        memcpy(walk->key, key->mv_data, key->mv_size);
        memset(walk->key + prefix_len, 0, form->digits);
        walk->key_len = key->mv_size;
        *parts = (struct parts){.open = true};
        blob->len = 0;
    }
    if (!value_sound(key, value, &len)) {
        BAD(walk, key, "its checksum is wrong");
        walk->verify->fleet.spoiled |= has_fleet(walk->table);
        parts->skip = true;
    }
    if (parts->skip)
        return;
    end = from + len;
    if (part != parts->next++) {
        BAD(walk, key, "its part %u is missing", parts->next - 1);
        walk->verify->fleet.spoiled |= has_fleet(walk->table);
        parts->skip = true;
        return;
    }
    if (form->digits == 0)
        parts->whole = len;
    else if (part == 0 && !tide_get_varint(&from, end, &parts->whole))
        parts->whole = UINT64_MAX;
    blob_reserve(blob, (size_t)(end - from) + 1);
    memcpy(blob->start + blob->len, from, (size_t)(end - from));
    blob->len += (size_t)(end - from);
    if (blob->len > parts->whole) {
        BAD(walk, key, "it has more bytes than it says");
        parts->skip = true;
    } else if (blob->len == parts->whole) {
        parts->skip = true; /* whatever follows it is one part too many */
        form->take(walk, &first, blob);
        parts->open = false;
    }
}

void verify_hash(uint64_t hash[2], enum table table, const MDB_val *key, const MDB_val *value)
{
    uint8_t number = (uint8_t)table;
    struct tide_hash_part part[] = {
        {hash, 16},
        {&number, 1},
        {key->mv_data, key->mv_size},
        {value->mv_data, value->mv_size},
    };
    struct tide_hash128 sum = tide_hash128_parts(0, part, 4);

    hash[0] = sum.low;
    hash[1] = sum.high;
}

void verify_table(struct verify *verify, enum table table)
{
    struct walk walk = {.verify = verify, .table = table, .unfinished_s = INT64_MIN};
    const struct form *form = &forms[table];
    struct pages_cursor cursor;
    struct parts parts = {0};
    const char *what;

    verify->result->table[table].name = schema_table_name(table);
    pages_cursor_open(&cursor, verify->pages, (int)table, schema_table_name(table), true);
    if (has_fleet(table))
        verify_fleet_begin(verify, INT64_MIN);
    while ((parts.open || verify_breathe(verify)) && pages_next(&cursor)) {
        uint64_t bytes = cursor.key.mv_size + cursor.value.mv_size;

        verify->result->values++;
        verify->result->bytes += bytes;
        verify->result->table[table].values++;
        verify->result->table[table].bytes += bytes;
        verify_hash(verify->result->hash, table, &cursor.key, &cursor.value);
        if (form->key_len && cursor.key.mv_size != form->key_len) {
            verify_found_value(verify, table, &cursor.key, "its key has %zu bytes instead of %zu",
                               cursor.key.mv_size, form->key_len);
            continue;
        }
        take_value(&walk, &parts, &cursor.key, &cursor.value);
    }
    if (!verify->rc) {
        parts_end(&walk, &parts);
        if (has_fleet(table))
            verify_fleet_end(verify, table == TABLE_ROW ? -1 : (int)(table - TABLE_CHUNK_RAW));
        if (!verify->moved && (what = pages_miscounted(&cursor)))
            verify_found(verify, schema_table_name(table), NULL, VERIFY_NO_MODULE, 0, 0, "%s",
                         what);
    }
    pages_cursor_close(&cursor);
}
