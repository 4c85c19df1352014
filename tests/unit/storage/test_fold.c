/* fold: what lies in the chunks of every tier is what a model that keeps every event says, however
 * the work was cut, restarted and interleaved with late events.
 */
#include "fixture.h"

#include <unistd.h>

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

/* ---- what comes while an hour is being folded ---- */

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t len;

    assert_true(in && out);
    while ((len = fread(bytes, 1, sizeof(bytes), in)) > 0)
        assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static enum tide_rc fold_once(struct world *world)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    world->store->fold_slice = 1;
    rc = store_fold(world->store, world->now_us, &err);
    if (rc != TIDE_OK && rc != TIDE_AGAIN)
        fail_msg("fold: %s", err.text);
    return rc;
}

static void fold_all(struct world *world)
{
    while (fold_once(world) == TIDE_AGAIN)
        continue;
}

/* Events for ten minutes of each folded hour, so many that the chunk they belong to grows over its
 * page. What becomes of its neighbours depends on what is applied together with them. */
static void commit_late(struct world *world, int64_t minute)
{
    static struct tide_parcel parcel;
    uint64_t seed = (uint64_t)minute;

    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < 600; i++) {
        int64_t second = tide_any_between(&seed, 0, 2) * 3600 + minute * 60;
        struct tide_event ev = response_at(
            "m00", (tide_floor_s(T0_S, 3600) + second + tide_any_between(&seed, 0, 599)) * 1000000);

        ev.duration_us = (double)tide_any_between(&seed, 1, 100000000);
        ev.module = tide_any_name((unsigned)tide_any_between(&seed, 0, 2));
        tide_parcel_fold(&parcel, &world->rules, &ev, world->now_us);
    }
    assert_int_equal(parcel.books.stored, 600);
    must_commit_parcel(world, &parcel);
    tide_parcel_fini(&parcel);
}

/* So that what was committed before it can be folded. */
static void an_hour_passes(struct world *world)
{
    advance(world, 3600);
    must_commit_one(world, "m00", world->now_us);
    advance(world, 60);
    must_seal(world);
}

/* Takes the store as it is before an hour is folded, with late events waiting to go before it. More
 * come after so many slices, after a restart or without one. */
static uint64_t hash_when_late_comes_after(const struct world *base, unsigned slices, bool restart)
{
    char from[1300], to[1300];
    struct world world;
    uint64_t hash;
    size_t values;

    world_prepare(&world);
    world.cfg = base->cfg;
    snprintf(world.cfg.dir, sizeof(world.cfg.dir), "%s", world.dir);
    snprintf(from, sizeof(from), "%s/tidemark.mdb", base->cfg.dir);
    snprintf(to, sizeof(to), "%s/tidemark.mdb", world.cfg.dir);
    copy_file(from, to);
    world.now_us = base->now_us;
    world.rules = base->rules;
    world_open(&world);
    for (unsigned i = 0; i < slices; i++)
        assert_int_equal(fold_once(&world), TIDE_AGAIN);
    if (restart)
        world_reopen(&world);
    commit_late(&world, 45);
    fold_all(&world);
    an_hour_passes(&world);
    fold_all(&world);
    hash = hash_of_chunks(&world, &values);
    assert_true(values > 20);
    world_end(&world);
    return hash;
}

static void i8_late_events_after_the_first_slice_of_an_hour_wait_for_the_next(void **state)
{
    uint64_t seed = *(uint64_t *)*state, hash;
    struct world base;

    world_prepare(&base);
    base.cfg.fold_after_s = 0;
    base.cfg.lateness_s = base.rules.lateness_s = 40000;
    world_open(&base);
    for (uint64_t n = seed % 1000 * 1000; base.now_us < T0_US + INT64_C(3) * 3600 * 1000000;
         n += 8) {
        must_commit(&base, n, 8);
        advance(&base, 60);
        must_seal(&base);
        fold_all(&base);
    }
    commit_late(&base, 10);
    an_hour_passes(&base);
    world_close(&base);
    hash = hash_when_late_comes_after(&base, 1, false);
    for (unsigned slices = 1; slices < 10; slices++)
        for (int restart = 0; restart < 2; restart++)
            assert_true(hash_when_late_comes_after(&base, slices, restart) == hash);
    world_end(&base);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_tier_holds_what_the_model_says, &seed),
        cmocka_unit_test_prestate(i8_a_run_with_restarts_yields_the_same_bytes, &seed),
        cmocka_unit_test_prestate(i8_late_events_after_the_first_slice_of_an_hour_wait_for_the_next,
                                  &seed),
    };

    if (access("/dev/shm", W_OK) == 0) /* no machine dies here: syncs would only cost */
        setenv("TMPDIR", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
