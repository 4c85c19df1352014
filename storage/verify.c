/* verify - see the door and verify.h.
 *
 * The whole is a walk over all tables, each value checked for itself and added to what is known of
 * its module, and then a second walk over the tiers side by side. Memory is bounded by the number
 * of modules (about a hundred bytes each) and one period's sums.
 */
#include "verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "key.h"
#include "tiers.h"
#include "must.h"
#include "tidemark/clock.h"

#define TOLD_MAX 4096

/* ---- findings ---- */

static void hex(const MDB_val *key, char *text)
{
    const uint8_t *bytes = key->mv_data;
    size_t i;

    for (i = 0; i < key->mv_size && i < KEY_MAX; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    if (i < key->mv_size)
        memcpy(text + 2 * i, "...", 4);
}

/* A name for people: by the module table, if that can be read. */
static void name_of(struct verify *verify, uint32_t id, char *name)
{
    uint8_t key[KEY_MODULE_SIZE];
    struct pages_cursor *cursor = &verify->names;
    const uint8_t *at, *end;
    uint64_t whole, len;
    bool found;

    name[0] = '\0';
    if (id == VERIFY_NO_MODULE)
        return;
    snprintf(name, TIDE_VERIFY_NAME_SIZE, id == TIDE_FLEET ? "(fleet)" : "(module %u)", id);
    if (id == TIDE_FLEET || !verify->pages || verify->naming)
        return;
    key_module(key, id);
    verify->naming = true; /* the page with the name may be the next finding */
    found = pages_seek(cursor, key, sizeof(key));
    verify->naming = false;
    if (!found || cursor->key.mv_size != sizeof(key) ||
        memcmp(cursor->key.mv_data, key, sizeof(key)) != 0 ||
        !value_sound(&cursor->key, &cursor->value, &(size_t){0}))
        return;
    at = cursor->value.mv_data;
    end = at + cursor->value.mv_size;
    if (tide_get_varint(&at, end, &whole) && tide_get_varint(&at, end, &len) &&
        len <= TIDE_MODULE_NAME_MAX && len <= (uint64_t)(end - at)) {
        memcpy(name, at, len);
        name[len] = '\0';
    }
}

static void tell(struct verify *verify, struct tide_finding *finding, const MDB_val *key,
                 uint32_t module)
{
    char name[TIDE_VERIFY_NAME_SIZE], text[2 * KEY_MAX + 4] = "";

    if (key)
        hex(key, text);
    name_of(verify, module, name);
    finding->key = text;
    finding->module = name;
    verify->result->findings++;
    verify->cfg->found(verify->cfg->arg, finding);
}

void verify_found(struct verify *verify, const char *table, const MDB_val *key, uint32_t module,
                  int64_t from_s, int64_t to_s, const char *format, ...)
{
    struct tide_finding finding = {.table = table, .from_s = from_s, .to_s = to_s};
    char what[256];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    finding.what = what;
    tell(verify, &finding, key, module);
}

/* The module and the time that a key tells of. */
static void place_of(const struct verify *verify, int table, const MDB_val *key,
                     uint32_t *ret_module, int64_t *ret_from_s, int64_t *ret_to_s)
{
    uint32_t interval_s = verify->identity.interval_s ? verify->identity.interval_s : 1;

    *ret_module = VERIFY_NO_MODULE;
    *ret_from_s = *ret_to_s = 0;
    if (table == TABLE_MODULE && key->mv_size >= 4) {
        *ret_module = tide_get_be32(key->mv_data);
    } else if ((table == TABLE_ROW || table == TABLE_CORRECTION) && key->mv_size >= 12) {
        *ret_module = key_row_module(key->mv_data);
        *ret_from_s = key_start_s(key->mv_data);
        *ret_to_s = *ret_from_s + interval_s;
    } else if (table >= TABLE_CHUNK_RAW && table <= TABLE_CHUNK_1D && key->mv_size >= 16) {
        int64_t period_s = tier_period_s((enum tide_tier)(table - TABLE_CHUNK_RAW), interval_s);

        *ret_module = key_row_module(key->mv_data);
        *ret_from_s = key_chunk_first_s(key->mv_data);
        *ret_to_s = key_start_s(key->mv_data) + period_s;
    }
    if (*ret_from_s < 0 || *ret_to_s > INT64_MAX / 1000000)
        *ret_from_s = *ret_to_s = 0;
}

void verify_found_value(struct verify *verify, enum table table, const MDB_val *key,
                        const char *format, ...)
{
    struct tide_finding finding = {.table = schema_table_name(table)};
    uint8_t bytes[PAGES_KEY_MAX];
    MDB_val copy = {key->mv_size, bytes}; /* looking up a name may move what key points to */
    char what[256];
    uint32_t module;
    va_list args;

    memcpy(bytes, key->mv_data, key->mv_size);
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    finding.what = what;
    place_of(verify, (int)table, &copy, &module, &finding.from_s, &finding.to_s);
    verify->damage++;
    tell(verify, &finding, &copy, module);
}

static int table_by_name(const char *name)
{
    for (int i = 0; i < TABLE_COUNT; i++)
        if (strcmp(name, schema_table_name((enum table)i)) == 0)
            return i;
    return -1;
}

/* A page that cannot be read, with all keys between two others. Told once. */
static void page_damaged(void *arg, const struct pages_damage *damage)
{
    struct verify *verify = arg;
    struct tide_finding finding = {.table = damage->table, .page = damage->page};
    int table = table_by_name(damage->table);
    uint32_t first = VERIFY_NO_MODULE, last = VERIFY_NO_MODULE;
    int64_t ignored_s;
    char what[256];
    MDB_val key;

    for (size_t i = 0; i < verify->told_count; i++)
        if (verify->told[i] == damage->page)
            return;
    if (verify->told_count < TOLD_MAX)
        verify->told[verify->told_count++] = damage->page;
    snprintf(what, sizeof(what), "page %llu of the file cannot be used: %s",
             (unsigned long long)damage->page, damage->what);
    finding.what = what;
    if (damage->from)
        place_of(verify, table, damage->from, &first, &finding.from_s, &ignored_s);
    if (damage->to)
        place_of(verify, table, damage->to, &last, &ignored_s, &finding.to_s);
    if (finding.to_s < finding.from_s || !damage->from)
        finding.to_s = finding.from_s = 0;
    verify->damage++;
    if (damage->from)
        key = *damage->from;
    /* of one module only when the next key is of the same */
    tell(verify, &finding, damage->from ? &key : NULL,
         first == last && table != TABLE_MODULE ? first : VERIFY_NO_MODULE);
}

/* ---- modules ---- */

struct verify_module *verify_module(struct verify *verify, uint32_t id)
{
    return id <= verify->modules && verify->module[id].known ? &verify->module[id] : NULL;
}

void verify_module_add(struct verify *verify, uint32_t id)
{
    while (verify->modules < id || verify->capacity == 0) {
        uint32_t next = verify->capacity == 0 ? 0 : verify->modules + 1;

        if (next >= verify->capacity) {
            verify->capacity = verify->capacity ? 2 * verify->capacity : 256;
            verify->module =
                must(realloc(verify->module, verify->capacity * sizeof(*verify->module)));
            verify->name_hash =
                must(realloc(verify->name_hash, verify->capacity * sizeof(*verify->name_hash)));
        }
        verify->module[next] =
            (struct verify_module){.first_us = INT64_MAX, .history_s = INT64_MAX};
        for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
            verify->module[next].oldest_h[tier] = HOUR_NONE;
        verify->name_hash[next] = 0;
        verify->modules = next;
    }
    verify->module[id].known = true;
}

uint64_t verify_events(const struct tide_record *record)
{
    uint64_t events = 0;

    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        events += record->tally.kind[kind];
    return events;
}

/* ---- the view ---- */

/* One value of table meta; false: it is not there, or damaged (told later, by the walk). */
static bool read_meta(struct verify *verify, const char *name, const uint8_t **ret, size_t *ret_len)
{
    struct pages_cursor *cursor = &verify->names;

    pages_cursor_close(cursor);
    pages_cursor_open(cursor, verify->pages, TABLE_META, "meta", false);
    if (!pages_seek(cursor, name, strlen(name)) || cursor->key.mv_size != strlen(name) ||
        memcmp(cursor->key.mv_data, name, strlen(name)) != 0 ||
        !value_sound(&cursor->key, &cursor->value, ret_len))
        return false;
    *ret = cursor->value.mv_data;
    return true;
}

/* False: it is there and cannot be used; nothing can be judged without it. */
static bool read_state(struct verify *verify)
{
    const uint8_t *value;
    bool sound = true;
    size_t len;

    verify->taken_us = tide_clock_mono_us();
    if (!read_meta(verify, "state", &value, &len) ||
        !schema_decode_state(value, len, &verify->state))
        sound = false;
    if (read_meta(verify, "fold", &value, &len)) {
        if (!schema_decode_fold(value, len, &verify->fold))
            sound = false;
    } else if (verify->names.key.mv_size == 4 &&
               memcmp(verify->names.key.mv_data, "fold", 4) == 0) {
        sound = false; /* it is there: its checksum is wrong */
    }
    pages_cursor_close(&verify->names);
    pages_cursor_open(&verify->names, verify->pages, TABLE_MODULE, "module", false);
    return sound;
}

static enum tide_rc must_read_state(struct verify *verify)
{
    if (read_state(verify))
        return TIDE_OK;
    verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                 "the state of the store cannot be read");
    tide_err_set(verify->err, "the state of the store cannot be read; restore a backup");
    return TIDE_DAMAGED;
}

static enum tide_rc read_identity(struct verify *verify)
{
    struct tide_verified *result = verify->result;
    const uint8_t *value;
    size_t len;

    if (!read_meta(verify, "identity", &value, &len)) {
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "the identity of the store is missing or fails its checksum");
        tide_err_set(verify->err, "the identity of the store cannot be read; restore a backup");
        return TIDE_DAMAGED;
    }
    if (!schema_decode_identity(value, len, &verify->identity, &result->schema) ||
        !tide_interval_valid(verify->identity.interval_s)) {
        if (result->schema != TIDE_STORE_SCHEMA) {
            schema_refuse(result->schema, verify->err);
            return TIDE_SCHEMA;
        }
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "the identity of the store cannot be decoded");
        tide_err_set(verify->err, "the identity of the store cannot be read; restore a backup");
        return TIDE_DAMAGED;
    }
    result->interval_s = verify->identity.interval_s;
    for (int i = 0; i < 16; i++)
        snprintf(result->uuid + 2 * i, 3, "%02x", verify->identity.uuid[i]);
    return TIDE_OK;
}

bool verify_breathe(struct verify *verify)
{
    struct pages *pages = verify->pages;
    uint64_t bytes;
    unsigned epoch = pages->epoch;
    double share;

    if (verify->rc)
        return false;
    if (++verify->calls % 16)
        return true;
    bytes = pages->loaded * pages->size;
    share = verify->pages_expected ? (double)pages->loaded / (double)verify->pages_expected : 0;
    if (verify->cfg->go_on &&
        !verify->cfg->go_on(verify->cfg->arg, bytes, share < 0.99 ? share : 0.99)) {
        tide_err_set(verify->err, "stopped");
        verify->rc = TIDE_STOPPED;
        return false;
    }
    if (tide_clock_mono_us() - verify->taken_us < verify->cfg->hold_us)
        return true;
    if ((verify->rc = pages_renew(pages, verify->err)))
        return false;
    if (pages->epoch != epoch) {
        verify->moved = true;
        if ((verify->rc = must_read_state(verify)))
            return false;
    }
    verify->taken_us = tide_clock_mono_us();
    return true;
}

/* ---- the state ---- */

static void check_state(struct verify *verify)
{
    const struct fold_state *fold = &verify->fold;
    const struct store_state *state = &verify->state;
    const struct tide_ledger *ledger = &state->ledger;

    if (!tide_ledger_balanced(ledger))
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "the books do not balance: %llu received, but %llu stored + %llu late + %llu "
                     "duplicate + %llu sampled + %llu rejected",
                     (unsigned long long)ledger->received, (unsigned long long)ledger->stored,
                     (unsigned long long)ledger->late, (unsigned long long)ledger->duplicate,
                     (unsigned long long)ledger->sampled,
                     (unsigned long long)tide_ledger_rejected(ledger));
    if (fold->seq > state->commit_seq || fold->refold_seq > state->commit_seq)
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "chunks were changed by commit %llu, with corrections up to %llu, but the "
                     "newest is %llu",
                     (unsigned long long)fold->seq, (unsigned long long)fold->refold_seq,
                     (unsigned long long)state->commit_seq);
    if (state->sealed_upto_s % verify->identity.interval_s || fold->hours_upto_s % 3600 ||
        fold->folding_upto_s % 3600 || fold->days_upto_s % 86400)
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "intervals are sealed up to %lld, folded up to %lld and %lld: not the ends of "
                     "intervals, hours and days",
                     (long long)state->sealed_upto_s, (long long)fold->hours_upto_s,
                     (long long)fold->days_upto_s);
    if (fold->hours_upto_s > state->sealed_upto_s || fold->days_upto_s > fold->hours_upto_s)
        verify_found(verify, "meta", NULL, VERIFY_NO_MODULE, 0, 0,
                     "folded up to %lld and %lld, but sealed only up to %lld",
                     (long long)fold->hours_upto_s, (long long)fold->days_upto_s,
                     (long long)state->sealed_upto_s);
}

/* ---- life ---- */

static void expect_pages(struct verify *verify)
{
    for (int i = 0; i < TABLE_COUNT; i++) {
        const struct pages_tree *tree = &verify->pages->table[i];
        uint64_t pages = tree->branch_pages + tree->leaf_pages + tree->overflow_pages;

        if (pages > verify->pages->last_page)
            pages = verify->pages->last_page;
        /* chunks are read as a table, and with the tier above and the one below */
        verify->pages_expected += i >= TABLE_CHUNK_RAW ? 3 * pages : pages;
    }
}

static void run(struct verify *verify)
{
    struct tide_verified *result = verify->result;
    uint64_t free_pages = 0;

    expect_pages(verify);
    check_state(verify);
    verify_module_add(verify, TIDE_FLEET);
    for (int i = 0; i < TABLE_COUNT && !verify->rc; i++)
        verify_table(verify, verify_order[i]);
    for (int tier = TIDE_TIER_5M; tier <= TIDE_TIER_1D && !verify->rc; tier++)
        verify_tiers(verify, (enum tide_tier)tier);
    if (verify->rc)
        return;
    result->whole = !verify->moved;
    if (!verify->moved && !verify->damage)
        verify_totals(verify);
    if (!verify->moved && !verify->damage)
        pages_account(verify->pages, &free_pages);
    result->modules = verify->modules;
    result->commit_seq = verify->state.commit_seq;
    result->sealed_upto_s = verify->state.sealed_upto_s;
    result->hours_upto_s = verify->fold.hours_upto_s;
    result->days_upto_s = verify->fold.days_upto_s;
    result->ledger = verify->state.ledger;
    result->file_bytes = pages_file_bytes(verify->pages);
    result->free_bytes = free_pages * verify->pages->size;
    result->used_bytes = (verify->pages->last_page + 1) * verify->pages->size - result->free_bytes;
}

static enum tide_rc open_pages(struct verify *verify, const char *dir)
{
    char path[1200];
    struct stat info;
    enum tide_rc rc;

    if (stat(dir, &info) != 0) {
        tide_err_set(verify->err, "%s: %s", dir, strerror(errno));
        return errno == ENOENT ? TIDE_NOT_FOUND : TIDE_IO;
    }
    snprintf(path, sizeof(path), "%s/tidemark.mdb", dir);
    if (S_ISDIR(info.st_mode) && stat(path, &info) != 0 && errno == ENOENT) {
        tide_err_set(verify->err, "%s holds no store (no file tidemark.mdb)", dir);
        return TIDE_NOT_FOUND;
    }
    rc = pages_open(path, copy_is_lived_in(dir), true, page_damaged, verify, &verify->pages,
                    verify->err);
    return rc;
}

enum tide_rc tide_verify(const struct tide_verify_cfg *cfg, struct tide_verified *ret,
                         struct tide_err *err)
{
    struct verify verify = {.cfg = cfg, .result = ret, .err = err};
    enum tide_rc rc;

    *ret = (struct tide_verified){0};
    verify.told = must(malloc(TOLD_MAX * sizeof(*verify.told)));
    tide_record_init(&verify.record);
    tide_record_init(&verify.merged);
    chunk_reader_init(&verify.reader);
    if (!(rc = open_pages(&verify, cfg->dir))) {
        if (!(rc = read_identity(&verify)) && !(rc = must_read_state(&verify))) {
            run(&verify);
            rc = verify.rc;
        }
        pages_cursor_close(&verify.names);
    }
    pages_close(verify.pages);
    verify_fleet_fini(&verify.fleet);
    chunk_reader_fini(&verify.reader);
    tide_record_fini(&verify.record);
    tide_record_fini(&verify.merged);
    blob_fini(&verify.blob);
    free(verify.module);
    free(verify.name_hash);
    free(verify.told);
    return rc;
}
