/* fold: what lies in the chunks of every tier is what a model that keeps every event says, however
 * the work was cut, restarted and interleaved with late events.
 */
#include "fixture.h"

#include "fold.h"
#include "tiers.h"

#define ROUNDS 70

static const enum tide_tier tiers[] = {TIDE_TIER_RAW, TIDE_TIER_5M, TIDE_TIER_1H, TIDE_TIER_1D};

/* ---- the model's records of any width ---- */

/* Merges the intervals of a stretch; of the fleet each is gathered first, as it is when sealed. */
static void model_merge(const struct world *world, unsigned module, int64_t start_s,
                        int64_t width_s, struct tide_record *into)
{
    struct tide_record interval, part;

    tide_record_init(&interval);
    tide_record_init(&part);
    tide_record_reset(into);
    for (int64_t at_s = model_interval_below(world, module, start_s + width_s); at_s >= start_s;
         at_s = model_interval_below(world, module, at_s)) {
        if (module < MODULES) {
            model_fold(world, module, at_s, &interval);
        } else {
            tide_record_reset(&interval);
            for (unsigned m = 0; m < MODULES; m++) {
                model_fold(world, m, at_s, &part);
                tide_record_gather(&interval, &part);
            }
        }
        tide_record_merge(into, &interval);
    }
    tide_record_fini(&interval);
    tide_record_fini(&part);
    into->slowest.us = 0; /* stays behind */
    into->slowest.len = 0;
}

/* ---- reading the tables ---- */

struct look {
    MDB_txn *txn;
    struct fold_state fold;
    struct tier_cursor cursor;
    struct chunk_reader reader;
    struct tide_record record, expected;
};

static void look_begin(struct look *look, const struct world *world)
{
    memset(look, 0, sizeof(*look));
    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &look->txn), 0);
    assert_int_equal(schema_get_fold(look->txn, world->store->dbi[TABLE_META], &look->fold),
                     TIDE_OK);
    chunk_reader_init(&look->reader);
    tide_record_init(&look->record);
    tide_record_init(&look->expected);
}

static void look_end(struct look *look)
{
    mdb_txn_abort(look->txn);
    chunk_reader_fini(&look->reader);
    tide_record_fini(&look->record);
    tide_record_fini(&look->expected);
}

static unsigned module_number(const struct world *world, uint32_t id)
{
    return id == TIDE_FLEET
               ? MODULES
               : (unsigned)strtoul(modules_name(world->store->modules, id)->text + 1, NULL, 10);
}

/* Checks one period of one module, newest chunk first; returns how many records it has. */
static size_t check_period(const struct world *world, struct look *look, int64_t period_s,
                           uint32_t id)
{
    unsigned module = module_number(world, id);
    int64_t before_s = INT64_MAX;
    size_t records = 0;

    for (bool more = tier_newest(&look->cursor, period_s, id, INT64_MAX); more;
         more = tier_older(&look->cursor, id)) {
        assert_true(look->cursor.sound);
        assert_true(chunk_read_fields(&look->reader, &look->cursor.view));
        assert_true(chunk_read_hists(&look->reader));
        assert_true(look->cursor.view.last_s < before_s);
        before_s = look->cursor.view.first_s;
        for (uint32_t i = 0; i < look->cursor.view.count; i++) {
            int64_t start_s = look->reader.row[i].start_s;

            chunk_record(&look->reader, i, &look->record);
            model_merge(world, module, start_s, look->cursor.width_s, &look->expected);
            if (!tide_record_equal(&look->record, &look->expected))
                fail_msg("tier %s, module %u, %lld: %llu requests instead of %llu, or another",
                         tide_tier_info[look->cursor.tier].name, module, (long long)start_s,
                         (unsigned long long)look->record.tally.requests,
                         (unsigned long long)look->expected.tally.requests);
            records++;
        }
    }
    return records;
}

/* How many records the tier must have: stretches with events that are folded. */
static size_t model_records(const struct world *world, unsigned module, int64_t width_s,
                            int64_t upto_s)
{
    size_t records = 0;
    int64_t at_s = upto_s;

    while ((at_s = model_interval_below(world, module, at_s)) >= 0) {
        at_s = tide_floor_s(at_s, width_s);
        records++;
    }
    return records;
}

static void check_tiers(const struct world *world)
{
    struct look look;

    look_begin(&look, world);
    for (size_t t = 0; t < sizeof(tiers) / sizeof(tiers[0]); t++) {
        int64_t width_s = tier_width_s(tiers[t], INTERVAL_S),
                upto_s = tier_upto_s(&look.fold, tiers[t]);
        size_t records = 0, expected = 0;

        assert_int_equal(
            tier_cursor_open(&look.cursor, look.txn, world->store->dbi, tiers[t], INTERVAL_S),
            TIDE_OK);
        for (int64_t period_s = tier_period_below(&look.cursor, INT64_MAX); period_s >= 0;
             period_s = tier_period_below(&look.cursor, period_s))
            for (uint32_t id = tier_module_from(&look.cursor, period_s, 0); id != UINT32_MAX;
                 id = tier_module_from(&look.cursor, period_s, id + 1))
                records += check_period(world, &look, period_s, id);
        for (unsigned module = 0; module <= MODULES; module++)
            expected += model_records(world, module, width_s, upto_s);
        assert_int_equal(records, expected);
        assert_int_equal(look.cursor.lmdb, 0);
        tier_cursor_close(&look.cursor);
    }
    look_end(&look);
}

/* ---- tests ---- */

static void begin(struct world *world, int64_t fold_after_s)
{
    world_prepare(world);
    world->cfg.fold_after_s = fold_after_s;
    world->late_s = 3800;
    world_open(world);
}

/* Works off whatever is due, slice by slice; now and then the store is closed in between. */
static void work(struct world *world, uint64_t *seed, unsigned slice, unsigned refold_at)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    do {
        world->store->fold_slice = slice;
        world->store->refold_at = refold_at;
        rc = tide_store_upkeep(world->store, world->now_us, &err);
        if (rc != TIDE_OK && rc != TIDE_AGAIN)
            fail_msg("upkeep: %s", err.text);
        if (slice && tide_any_between(seed, 0, 20) == 0)
            world_reopen(world);
    } while (rc == TIDE_AGAIN);
}

static void live(struct world *world, uint64_t seed, unsigned slice)
{
    uint64_t n = 0;

    for (int round = 0; round < ROUNDS; round++) {
        size_t count = (size_t)tide_any_between(&seed, 1, 3);

        advance(world, tide_any_between(&seed, 0, 3) ? tide_any_between(&seed, 5, 400)
                                                     : tide_any_between(&seed, 400, 3700));
        must_seal(world);
        must_commit(world, n, count);
        n += count;
        if (tide_any_between(&seed, 0, 2) == 0)
            work(world, &seed, slice, 40);
    }
    advance(world, 2 * 86400);
    must_seal(world);
    must_commit_one(world, "m00",
                    world->now_us); /* so that the last hour is sealed beyond its end */
    world->books.received++;
    advance(world, 100);
    must_seal(world);
    work(world, &seed, slice, 1); /* leaves no correction of a folded hour */
    assert_true(world->store->fold.hours_upto_s > T0_S);
    work(world, &seed, slice, 1); /* nor of the hour that was folded last */
}

static void every_tier_holds_what_the_model_says(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (unsigned slice = 0; slice < 3; slice++) {
        struct world world;

        begin(&world, slice * 600);
        live(&world, seed + slice, slice);
        assert_true(world.store->fold.hours_upto_s > T0_S + 5 * 3600);
        assert_true(world.store->fold.days_upto_s > T0_S);
        check_tiers(&world);
        world_end(&world);
    }
}

/* ---- the same bytes ---- */

/* Hash of all keys and values of the chunk tables. */
static uint64_t hash_of_chunks(const struct world *world, size_t *ret_values)
{
    uint64_t hash = 0;
    MDB_txn *txn;

    *ret_values = 0;
    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    for (int table = TABLE_CHUNK_RAW; table <= TABLE_CHUNK_1D; table++) {
        MDB_cursor *cursor;
        MDB_val key, value;

        assert_int_equal(mdb_cursor_open(txn, world->store->dbi[table], &cursor), 0);
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            hash = tide_hash64(hash, key.mv_data, key.mv_size);
            hash = tide_hash64(hash, value.mv_data, value.mv_size);
            ++*ret_values;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return hash;
}

static uint64_t live_and_hash(uint64_t seed, unsigned slice, bool restarts, size_t *ret_values)
{
    struct world world;
    uint64_t hash, chance = seed;
    struct tide_err err = {""};

    world_prepare(&world);
    world.cfg.fold_after_s = 300;
    world.late_s = 3900;
    world_open(&world);
    for (uint64_t n = 0; n < 150; n++) {
        enum tide_rc rc;

        world.rules.instance_seed = 1; /* not the store's own, which is random */
        advance(&world, tide_any_between(&seed, 5, 1200));
        must_seal(&world);
        must_commit(&world, n, 1);
        if (tide_any_between(&seed, 0, 2))
            continue;
        do {
            world.store->fold_slice = slice;
            rc = tide_store_upkeep(world.store, world.now_us, &err);
            if (restarts && tide_any_between(&chance, 0, 10) == 0)
                world_reopen(&world);
        } while (rc == TIDE_AGAIN);
        assert_int_equal(rc, TIDE_OK);
    }
    hash = hash_of_chunks(&world, ret_values);
    world_end(&world);
    return hash;
}

static void i8_a_run_with_restarts_yields_the_same_bytes(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    size_t values, values_restarted;
    uint64_t hash = live_and_hash(seed, 0, false, &values);

    assert_true(values > 200);
    assert_true(live_and_hash(seed, 1, true, &values_restarted) == hash);
    assert_int_equal(values, values_restarted);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_tier_holds_what_the_model_says, &seed),
        cmocka_unit_test_prestate(i8_a_run_with_restarts_yields_the_same_bytes, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
