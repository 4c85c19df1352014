/* The step from schema 1 to 2 over random rows, stopped and run again at random transactions: of
 * the fleet's rows nothing changes but the newest CPU sample, which is gone; of all others nothing
 * at all. */
#include "tidemark/migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "dir.h"
#include "key.h"
#include "pack.h"
#include "row.h"
#include "tidemark/raw.h"
#include "tidemark/store.h"

#define INTERVALS 40
#define MODULES   3 /* and the fleet */
#define PART_MAX  (TIDE_VALUE_LEAF - TIDE_CRC_SIZE)

struct rows {
    struct tide_record record[INTERVALS][MODULES + 1];
};

/* What a program of schema 1 would have written. */
static struct tide_record old_row(uint64_t *seed, uint32_t module)
{
    struct tide_record record = tide_any_record(seed);

    record.customs.count = 0;
    if (module != TIDE_FLEET || tide_any_between(seed, 0, 2))
        return record;
    for (unsigned i = 0; i < 900; i++) { /* takes parts */
        tide_hist_add(&record.hist, i, UINT64_C(1) << 40);
        record.tally.samples += UINT64_C(1) << 40;
        record.tally.requests += UINT64_C(1) << 40;
    }
    record.tally.min_us = 1;
    record.tally.max_us = UINT64_C(1) << 30;
    return record;
}

static void put(struct tide_raw *raw, int64_t start_s, uint32_t module,
                const struct tide_record *record)
{
    uint8_t key[KEY_ROW_SIZE], value[PART_MAX], *to;
    struct blob blob = {0};
    const uint8_t *from, *end;

    row_encode(&blob, record, 0);
    key_row(key, start_s, module);
    from = blob.start;
    end = from + blob.len;
    to = tide_put_varint(value, blob.len);
    do {
        size_t take = PART_MAX - (size_t)(to - value);

        take = take < (size_t)(end - from) ? take : (size_t)(end - from);
        memcpy(to, from, take);
        tide_raw_put(raw, "row", key, sizeof(key), value, (size_t)(to - value) + take);
        from += take;
        to = value;
        key[KEY_ROW_SIZE - 1]++;
    } while (from < end);
    blob_fini(&blob);
}

static void get(struct tide_raw *raw, int64_t start_s, uint32_t module, struct tide_record *into)
{
    struct tide_raw_item item = {.key_len = KEY_ROW_SIZE};
    struct blob blob = {0};
    const uint8_t *at;

    for (unsigned part = 0;; part++) {
        key_row(item.key, start_s, module);
        item.key[KEY_ROW_SIZE - 1] = (uint8_t)part;
        item.key_len = KEY_ROW_SIZE;
        if (tide_raw_get(raw, "row", &item) != TIDE_OK)
            break;
        blob_reserve(&blob, item.len + 1);
        memcpy(blob.start + blob.len, item.payload, item.len);
        blob.len += item.len;
    }
    at = blob.start;
    assert_true(blob.len > 0);
    assert_true(tide_get_varint(&at, blob.start + blob.len, &(uint64_t){0}));
    assert_true(row_decode(&at, blob.start + blob.len, into, 0));
    assert_ptr_equal(at, blob.start + blob.len); /* no part too many */
    blob_fini(&blob);
}

static void make_old(const char *dir, struct rows *rows, uint64_t *seed)
{
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_raw *raw;
    struct tide_err err = {""};
    struct tide_raw_item identity = {.key = "identity", .key_len = 8};
    uint8_t value[64];

    tide_store_cfg_default(&cfg);
    cfg.map_bytes = UINT64_C(1) << 30;
    snprintf(cfg.dir, sizeof(cfg.dir), "%s", dir);
    assert_int_equal(tide_store_open(&cfg, &store, &err), TIDE_OK);
    tide_store_close(store);
    assert_int_equal(tide_raw_open(dir, true, &raw, &err), TIDE_OK);
    assert_int_equal(tide_raw_begin(raw, &err), TIDE_OK);
    assert_int_equal(tide_raw_get(raw, "meta", &identity), TIDE_OK);
    memcpy(value, identity.payload, identity.len);
    tide_put_be32(value, 1);
    tide_raw_put(raw, "meta", "identity", 8, value, identity.len);
    for (int i = 0; i < INTERVALS; i++)
        for (uint32_t module = 0; module <= MODULES; module++) {
            rows->record[i][module] = old_row(seed, module);
            put(raw, 30 * (i + 1), module, &rows->record[i][module]);
        }
    assert_int_equal(tide_raw_end(raw, &err), TIDE_OK);
    tide_raw_close(raw);
}

static bool go_on(void *arg, uint64_t done, double share)
{
    (void)done;
    return share >= 0 || tide_any_between(arg, 0, 5) > 0; /* a share: that of the backup */
}

static void ignore(void *arg, const struct tide_finding *finding)
{
    (void)arg;
    (void)finding;
}

static void forget_cpu(struct tide_record *record)
{
    for (uint32_t i = 0; i < record->instances; i++)
        record->instance[i].gauge[TIDE_GAUGE_CPU].last = 0;
}

static void check(const char *dir, struct rows *rows)
{
    struct tide_record record;
    struct tide_raw *raw;
    struct tide_err err = {""};

    tide_record_init(&record);
    assert_int_equal(tide_raw_open(dir, false, &raw, &err), TIDE_OK);
    assert_int_equal(tide_raw_begin(raw, &err), TIDE_OK);
    for (int i = 0; i < INTERVALS; i++)
        for (uint32_t module = 0; module <= MODULES; module++) {
            struct tide_record *was = &rows->record[i][module];

            get(raw, 30 * (i + 1), module, &record);
            if (module == TIDE_FLEET)
                forget_cpu(was);
            assert_true(tide_record_equal(&record, was));
            tide_record_fini(was);
        }
    tide_raw_abort(raw);
    tide_raw_close(raw);
    tide_record_fini(&record);
}

static void only_the_fleets_newest_cpu_sample_goes(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct rows *rows = calloc(1, sizeof(*rows));
    unsigned stops = 0;

    assert_non_null(rows);
    for (int round = 0; round < 6; round++) {
        char dir[256], store[300], backup[320];
        struct tide_migrate_cfg cfg = {.dir = store,
                                       .backup = backup,
                                       .slice = (unsigned)tide_any_between(&seed, 1, 9),
                                       .copy = {.found = ignore, .go_on = go_on, .arg = &seed}};
        struct tide_migration_state now;
        struct tide_migrated done;
        struct tide_err err = {""};
        enum tide_rc rc;

        tide_test_dir(dir, sizeof(dir));
        snprintf(store, sizeof(store), "%s/store", dir);
        snprintf(backup, sizeof(backup), "%s/backup", dir);
        make_old(store, rows, &seed);
        while ((rc = tide_migrate(&cfg, &done, &err)) == TIDE_STOPPED) {
            assert_int_equal(tide_migrate_look(store, &now, &err), TIDE_OK);
            assert_true(now.under_way);
            assert_int_equal(now.schema, 2);
            stops++;
        }
        assert_int_equal(rc, TIDE_DAMAGED); /* rows of modules that are not: verify says so */
        assert_int_equal(tide_migrate_look(store, &now, &err), TIDE_OK);
        assert_false(now.under_way);
        assert_int_equal(now.schema, 2);
        check(store, rows);
        tide_test_dir_remove(dir);
    }
    assert_true(stops > 0);
    free(rows);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(only_the_fleets_newest_cpu_sample_goes, &seed)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
