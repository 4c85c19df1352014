/* verify: what the engine writes is sound at every moment of its life, and what is not is found and
 * named: flipped bits anywhere in the file, and values that are well-formed but do not belong.
 */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fold.h"
#include "key.h"
#include "pages.h"
#include "tidemark/verify.h"
#include "tiers.h"

#define ROUNDS 60
#define FLIPS  200

/* ---- a life ---- */

/* Some of the upkeep, in slices of any size. */
static void work(struct world *world, uint64_t *seed)
{
    struct tide_err err = {""};
    int64_t steps = tide_any_between(seed, 0, 40);
    enum tide_rc rc = TIDE_AGAIN;

    world->store->fold_slice = (unsigned)tide_any_between(seed, 0, 4);
    while (rc == TIDE_AGAIN && steps--)
        rc = tide_store_upkeep(world->store, world->now_us, &err);
    if (rc && rc != TIDE_AGAIN)
        fail_msg("upkeep: %s", err.text);
}

static void live_on(struct world *world, uint64_t *seed, uint64_t *n)
{
    size_t count = (size_t)tide_any_between(seed, 1, 3);

    advance(world, tide_any_between(seed, 0, 3) ? tide_any_between(seed, 5, 400)
                                                : tide_any_between(seed, 400, 3700));
    must_seal(world);
    must_commit(world, *n, count);
    *n += count;
    if (tide_any_between(seed, 0, 2) == 0)
        work(world, seed);
}

static void begin(struct world *world)
{
    world_prepare(world);
    world->cfg.fold_after_s = 600;
    world->cfg.lateness_s = 2 * 86400;
    world->late_s = 20000;
    world->rules.lateness_s = world->cfg.lateness_s;
    world_open(world);
}

/* ---- verifying ---- */

struct heard {
    unsigned findings;
    char first[1024];
    const char *expect_table; /* counted in `expected` when table, module and text agree */
    const char *expect_module;
    const char *expect_what;
    unsigned expected;
};

static void hear(void *arg, const struct tide_finding *finding)
{
    struct heard *heard = arg;

    if (heard->findings++ == 0)
        snprintf(heard->first, sizeof(heard->first), "%s %s %s [%lld, %lld): %s", finding->table,
                 finding->key, finding->module, (long long)finding->from_s,
                 (long long)finding->to_s, finding->what);
    if (heard->expect_what && strcmp(finding->table, heard->expect_table) == 0 &&
        strcmp(finding->module, heard->expect_module) == 0 &&
        strstr(finding->what, heard->expect_what))
        heard->expected++;
}

static struct tide_verified verify(const char *dir, int64_t hold_us, struct heard *heard)
{
    struct tide_verify_cfg cfg = {.dir = dir, .hold_us = hold_us, .found = hear, .arg = heard};
    struct tide_verified result;
    struct tide_err err = {""};
    enum tide_rc rc = tide_verify(&cfg, &result, &err);

    if (rc && rc != TIDE_DAMAGED && rc != TIDE_SCHEMA)
        fail_msg("verify: %s", err.text);
    if (rc)
        assert_true(err.text[0]);
    if (rc && !heard->findings++)
        snprintf(heard->first, sizeof(heard->first), "%s", err.text);
    return result;
}

static struct tide_verified must_be_sound(const struct world *world)
{
    struct heard heard = {0};
    struct tide_verified result = verify(world->cfg.dir, INT64_MAX, &heard);

    if (heard.findings)
        fail_msg("%u findings; the first: %s", heard.findings, heard.first);
    assert_true(result.whole);
    return result;
}

static void what_the_engine_writes_is_sound_at_any_moment(void **state)
{
    uint64_t seed = *(uint64_t *)*state, n = 0;
    struct tide_verified result = {0};
    struct world world;

    begin(&world);
    for (int round = 0; round < ROUNDS; round++) {
        live_on(&world, &seed, &n);
        result = must_be_sound(&world);
        assert_int_equal(result.commit_seq, world.store->state.commit_seq);
        assert_memory_equal(&result.ledger, &world.books, sizeof(world.books));
        if (tide_any_between(&seed, 0, 5) == 0)
            world_reopen(&world);
    }
    advance(&world, 2 * 86400);
    must_seal(&world);
    must_upkeep(&world);
    result = must_be_sound(&world);
    assert_true(result.tier_sums > 100 && result.fleet_sums > 100);
    assert_int_equal(result.not_compared, 0);
    world_end(&world);
}

/* ---- flipped bits ---- */

/* A closed store's file, and which table each byte belongs to as part of a key or a value. */
struct image {
    uint8_t *bytes;
    int8_t *table; /* -1: of none */
    size_t len;
    uint64_t hash[2];
};

static void no_damage(void *arg, const struct pages_damage *damage)
{
    (void)arg;
    fail_msg("page %llu: %s", (unsigned long long)damage->page, damage->what);
}

/* Where in the file a cursor's bytes come from. */
static size_t offset_of(const struct pages_cursor *cursor, const void *bytes)
{
    const struct pages_level *leaf = &cursor->level[cursor->depth - 1];
    const uint8_t *at = bytes;
    uint64_t number;

    if (at >= leaf->page && at < leaf->page + 4096)
        return leaf->number * 4096 + (size_t)(at - leaf->page);
    memcpy(&number, cursor->overflow, sizeof(number));
    return number * 4096 + (size_t)(at - cursor->overflow);
}

static void image_mark(struct image *image, const char *path)
{
    struct pages_cursor cursor;
    struct pages *pages;
    struct tide_err err = {""};

    memset(image->table, -1, image->len);
    if (pages_open(path, false, false, no_damage, NULL, &pages, &err))
        fail_msg("%s", err.text);
    for (int table = 0; table < TABLE_COUNT; table++) {
        pages_cursor_open(&cursor, pages, table, "table", false);
        while (pages_next(&cursor)) {
            memset(image->table + offset_of(&cursor, cursor.key.mv_data), table,
                   cursor.key.mv_size);
            memset(image->table + offset_of(&cursor, cursor.value.mv_data), table,
                   cursor.value.mv_size);
        }
        pages_cursor_close(&cursor);
    }
    pages_close(pages);
}

static void image_read(struct image *image, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    image->len = (size_t)info.st_size;
    image->bytes = malloc(image->len);
    image->table = malloc(image->len);
    assert_true(image->bytes && image->table);
    assert_int_equal(read(fd, image->bytes, image->len), image->len);
    close(fd);
    image_mark(image, path);
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

/* Flips one bit; what hits a key or a value is found, and its table named; what is not found
 * changed nothing that is stored. Returns whether it was found. */
static bool flip(struct image *image, const char *dir, const char *path, size_t bit)
{
    int8_t table = image->table[bit / 8];
    struct heard heard = {.expect_module = "", .expect_what = NULL};
    struct tide_verified result;

    image->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    write_file(path, image->bytes, image->len);
    image->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    result = verify(dir, INT64_MAX, &heard);
    if (table >= 0 && heard.findings == 0)
        fail_msg("bit %zu of the file, in table %s: not found", bit,
                 schema_table_name((enum table)table));
    if (table >= 0 && strncmp(heard.first, schema_table_name((enum table)table),
                              strlen(schema_table_name((enum table)table))) != 0)
        fail_msg("bit %zu of the file, in table %s: told as %s", bit,
                 schema_table_name((enum table)table), heard.first);
    if (heard.findings == 0 && (!result.whole || memcmp(result.hash, image->hash, 16) != 0))
        fail_msg("bit %zu of the file changes what is stored, and is not found", bit);
    return heard.findings > 0;
}

static void every_flipped_bit_of_live_data_is_found_and_named(void **state)
{
    uint64_t seed = *(uint64_t *)*state, n = 0;
    unsigned found = 0, live = 0;
    struct world world;
    struct image image;
    struct heard heard = {0};
    struct tide_verified result;
    char path[1200], dir[1100];

    begin(&world);
    for (int round = 0; round < ROUNDS; round++)
        live_on(&world, &seed, &n);
    world_close(&world);
    snprintf(path, sizeof(path), "%s/tidemark.mdb", world.cfg.dir);
    image_read(&image, path);
    result = verify(world.cfg.dir, INT64_MAX, &heard);
    assert_int_equal(heard.findings, 0);
    memcpy(image.hash, result.hash, sizeof(image.hash));

    snprintf(dir, sizeof(dir), "%s/copy", world.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(path, sizeof(path), "%s/tidemark.mdb", dir);
    for (int i = 0; i < FLIPS; i++) {
        size_t bit = (size_t)tide_any_between(&seed, 0, (int64_t)image.len * 8 - 1);

        found += flip(&image, dir, path, bit);
        live += image.table[bit / 8] >= 0;
    }
    for (int i = 0; i < FLIPS / 2; i++) /* the two meta pages */
        found += flip(&image, dir, path,
                      (size_t)tide_any_between(&seed, 0, 152 * 8 - 1) + (size_t)(i % 2) * 4096 * 8);
    print_message("%u of %d flips hit keys and values; %u findings\n", live, FLIPS, found);
    free(image.bytes);
    free(image.table);
    world_end(&world);
}

/* ---- beside a writer ---- */

struct writer {
    struct heard heard; /* first: hear() takes it */
    struct world *world;
    uint64_t *seed, *n;
    unsigned turns;
};

/* The writer goes on whenever verify breathes. */
static bool write_meanwhile(void *arg, uint64_t done_bytes, double share)
{
    struct writer *writer = arg;

    (void)done_bytes;
    assert_true(share >= 0 && share <= 1);
    if (writer->turns++ % 3 == 0)
        live_on(writer->world, writer->seed, writer->n);
    return true;
}

static void beside_a_writer_nothing_is_found_that_is_not_there(void **state)
{
    uint64_t seed = *(uint64_t *)*state, n = 0;
    unsigned moved = 0;
    struct world world;

    begin(&world);
    for (int round = 0; round < ROUNDS; round++) {
        struct writer writer = {.world = &world, .seed = &seed, .n = &n};
        struct tide_verify_cfg cfg = {.dir = world.cfg.dir,
                                      .hold_us = 0,
                                      .found = hear,
                                      .go_on = write_meanwhile,
                                      .arg = &writer};
        struct tide_verified result;
        struct tide_err err = {""};

        live_on(&world, &seed, &n);
        if (round % 4)
            continue;
        assert_int_equal(tide_verify(&cfg, &result, &err), TIDE_OK);
        if (writer.heard.findings)
            fail_msg("%u findings; the first: %s", writer.heard.findings, writer.heard.first);
        moved += !result.whole;
    }
    assert_true(moved > 5);
    must_be_sound(&world);
    world_end(&world);
}

/* ---- beside retention ---- */

/* Modules of several keep times, late events, and views at any moment of the deleting. */
static void what_retention_takes_is_not_missed(void **state)
{
    struct tide_retention_rule rules[] = {{"m00", {3600, 7200, 86400, 86400}},
                                          {"m01", {600, 40000, 200000, 0}}};
    uint64_t seed = *(uint64_t *)*state, n = 0, compared = 0;
    struct world world;

    world_prepare(&world);
    world.cfg.fold_after_s = 600;
    world.cfg.lateness_s = world.rules.lateness_s = 2 * 86400;
    world.late_s = 20000;
    world.cfg.retention.rule = rules;
    world.cfg.retention.rules = 2;
    world.cfg.retention.keep_s[TIDE_TIER_RAW] = 7200;
    world.cfg.retention.keep_s[TIDE_TIER_5M] = 30000;
    world.cfg.retention.keep_s[TIDE_TIER_1H] = 100000;
    world.cfg.retention.keep_s[TIDE_TIER_1D] = 200000;
    world_open(&world);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        live_on(&world, &seed, &n);
        compared += must_be_sound(&world).tier_sums;
        if (tide_any_between(&seed, 0, 9) == 0)
            must_upkeep(&world);
    }
    assert_true(compared > 100);
    world_end(&world);
}

/* ---- what is well-formed and wrong ---- */

static void change_begin(struct world *world, struct txn *txn)
{
    txn_begin(txn, world->store->env, world->store->dbi, true);
    assert_int_equal(txn->rc, TIDE_OK);
}

/* The last value of a table whose module is not the fleet; its payload, and where. */
static void last_value(struct txn *txn, enum table table, uint8_t *key, size_t *key_len,
                       struct blob *blob)
{
    MDB_cursor *cursor;
    MDB_val at, value;

    assert_int_equal(mdb_cursor_open(txn->mdb, txn->dbi[table], &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &at, &value, MDB_LAST), 0);
    while (((const uint8_t *)at.mv_data)[at.mv_size - 1] != 0)
        assert_int_equal(mdb_cursor_get(cursor, &at, &value, MDB_PREV), 0);
    *key_len = at.mv_size;
    memcpy(key, at.mv_data, at.mv_size);
    assert_int_equal(parts_read(cursor, &at, &value, 1, blob), TIDE_OK);
    mdb_cursor_close(cursor);
}

static void must_find(struct world *world, struct txn *txn, const char *table, const char *module,
                      const char *what)
{
    struct heard heard = {.expect_table = table, .expect_module = module, .expect_what = what};
    struct tide_err err = {""};

    if (txn && txn_end(txn, &err))
        fail_msg("%s", err.text);
    verify(world->cfg.dir, INT64_MAX, &heard);
    if (!heard.expected)
        fail_msg("not found: %s %s '%s'; the first of %u was: %s", table, module, what,
                 heard.findings, heard.first);
}

static const char *name_of(const struct world *world, uint32_t id)
{
    return id == TIDE_FLEET ? "(fleet)" : modules_name(world->store->modules, id)->text;
}

static void delete_last(struct world *world, enum table table, const char *ret_module[1])
{
    uint8_t key[KEY_MAX];
    struct blob blob = {0};
    struct txn txn;
    struct tide_err err = {""};
    size_t len;

    change_begin(world, &txn);
    last_value(&txn, table, key, &len, &blob);
    blob_fini(&blob);
    *ret_module = name_of(world, key_row_module(key));
    for (unsigned part = 0; part < 8; part++) {
        key[len - 1] = (uint8_t)part;
        txn_delete(&txn, table, key, len);
    }
    assert_int_equal(txn_end(&txn, &err), TIDE_OK);
}

/* A store with rows, chunks of every tier and corrections. */
static void begin_rich(struct world *world, uint64_t *seed)
{
    uint64_t n = 0;

    begin(world);
    for (int round = 0; round < ROUNDS; round++)
        live_on(world, seed, &n);
    advance(world, 2 * 86400);
    must_seal(world);
    must_upkeep(world);
    for (int round = 0; round < 5; round++) {
        advance(world, 60);
        must_seal(world);
        must_commit(world, n++, 1);
    }
    advance(world, 60);
    must_seal(world);
    must_be_sound(world);
}

static void a_value_that_is_gone_is_missed(void **state)
{
    static const enum table gone[] = {TABLE_ROW, TABLE_CHUNK_RAW, TABLE_CHUNK_5M};
    uint64_t seed = *(uint64_t *)*state;

    for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++) {
        struct world world;
        const char *module;

        begin_rich(&world, &seed);
        delete_last(&world, gone[i], &module);
        must_find(&world, NULL, schema_table_name(gone[i]), "(fleet)", "its modules together");
        if (gone[i] > TABLE_CHUNK_RAW)
            must_find(&world, NULL, schema_table_name(gone[i]), module, "is not the merge");
        if (gone[i] == TABLE_CHUNK_RAW)
            must_find(&world, NULL, "chunk_5m", module, "is not the merge");
        if (gone[i] == TABLE_ROW)
            must_find(&world, NULL, "module", module, "its history");
        world_end(&world);
    }
}

static void what_does_not_belong_is_found(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    uint8_t key[KEY_CHUNK_SIZE] = {0}, journal[KEY_JOURNAL_SIZE];
    struct store_state books;
    struct fold_state fold;
    struct blob blob = {0};
    struct world world;
    struct txn txn;
    size_t len;

    begin_rich(&world, &seed);
    change_begin(&world, &txn);
    books = world.store->state;
    books.ledger.stored++;
    schema_put_state(&txn, &books);
    must_find(&world, &txn, "meta", "", "the books do not balance");
    change_begin(&world, &txn);
    books.ledger.received++;
    books.ledger.stored += 1000000;
    books.ledger.received += 1000000;
    schema_put_state(&txn, &books);
    must_find(&world, &txn, "module", "", "events were stored");
    change_begin(&world, &txn);
    schema_put_state(&txn, &world.store->state);
    fold = world.store->fold;
    fold.days_upto_s += 4 * 86400;
    schema_put_fold(&txn, &fold);
    must_find(&world, &txn, "meta", "", "sealed only up to");

    change_begin(&world, &txn);
    schema_put_fold(&txn, &world.store->fold);
    last_value(&txn, TABLE_ROW, key, &len, &blob);
    key_row(key, key_start_s(key), 77);
    txn_put_parts(&txn, TABLE_ROW, key, KEY_ROW_SIZE, 1, blob.start, blob.len, TIDE_VALUE_LEAF, 0);
    must_find(&world, &txn, "row", "(module 77)", "there is no module");
    change_begin(&world, &txn);
    txn_delete(&txn, TABLE_ROW, key, KEY_ROW_SIZE);
    key_row(key, key_start_s(key) + 1, 1);
    txn_put_parts(&txn, TABLE_ROW, key, KEY_ROW_SIZE, 1, blob.start, blob.len, TIDE_VALUE_LEAF, 0);
    must_find(&world, &txn, "row", name_of(&world, 1), "begins no interval");
    change_begin(&world, &txn);
    txn_delete(&txn, TABLE_ROW, key, KEY_ROW_SIZE);
    txn_put(&txn, TABLE_META, "surprise", 8, "!", 1, 0);
    must_find(&world, &txn, "meta", "", "does not know");
    change_begin(&world, &txn);
    txn_delete(&txn, TABLE_META, "surprise", 8);
    key_journal(journal, world.store->state.commit_seq + 5, 0);
    txn_put_parts(&txn, TABLE_IDENTITY, journal, sizeof(journal), 2, "12345678abcdefghijklmnop", 24,
                  TIDE_VALUE_PAGE, 0);
    must_find(&world, &txn, "identity", "", "but the newest is");
    change_begin(&world, &txn);
    txn_delete(&txn, TABLE_IDENTITY, journal, sizeof(journal));
    last_value(&txn, TABLE_CHUNK_5M, key, &len, &blob);
    key_chunk(key, key_start_s(key), key_row_module(key), key_chunk_first_s(key) + 300);
    txn_put_parts(&txn, TABLE_CHUNK_5M, key, KEY_CHUNK_SIZE, 1, blob.start, blob.len,
                  TIDE_VALUE_PAGE, 0);
    must_find(&world, &txn, "chunk_5m", name_of(&world, key_row_module(key)),
              "are not those of its key");
    blob_fini(&blob);
    world_end(&world);
}

static void what_cannot_be_read_is_said(void **state)
{
    struct heard heard = {0};
    struct tide_verify_cfg cfg = {.hold_us = INT64_MAX, .found = hear, .arg = &heard};
    struct tide_verified result;
    struct tide_err err = {""};
    char dir[200], path[300];

    (void)state;
    tide_test_dir(dir, sizeof(dir));
    cfg.dir = "/nowhere/at/all";
    assert_int_equal(tide_verify(&cfg, &result, &err), TIDE_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    cfg.dir = dir;
    assert_int_equal(tide_verify(&cfg, &result, &err), TIDE_NOT_FOUND);
    assert_non_null(strstr(err.text, "no store"));
    snprintf(path, sizeof(path), "%s/tidemark.mdb", dir);
    write_file(path, (const uint8_t *)"", 0);
    assert_int_equal(tide_verify(&cfg, &result, &err), TIDE_DAMAGED);
    assert_int_equal(heard.findings, 1);
    write_file(path, (const uint8_t *)"no store at all", 15);
    assert_int_equal(tide_verify(&cfg, &result, &err), TIDE_DAMAGED);
    tide_test_dir_remove(dir);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(what_the_engine_writes_is_sound_at_any_moment, &seed),
        cmocka_unit_test_prestate(every_flipped_bit_of_live_data_is_found_and_named, &seed),
        cmocka_unit_test_prestate(beside_a_writer_nothing_is_found_that_is_not_there, &seed),
        cmocka_unit_test_prestate(what_retention_takes_is_not_missed, &seed),
        cmocka_unit_test_prestate(a_value_that_is_gone_is_missed, &seed),
        cmocka_unit_test_prestate(what_does_not_belong_is_found, &seed),
        cmocka_unit_test(what_cannot_be_read_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
