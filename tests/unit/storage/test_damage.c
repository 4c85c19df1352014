/* A flipped bit, wherever it is: counted, named in the log, never served; the rest stays readable.
 * Invariant I11 of storage/FORMAT.md.
 */
#include "fixture.h"

#include <limits.h>
#include <unistd.h>

#include "key.h"
#include "tidemark/bytes.h"

static uint64_t damage_seen(void)
{
    return tide_counted(TIDE_COUNT_DAMAGED_VALUES);
}

/* Changes one value of a table, the which-th: flips one bit, or removes it (bit < 0). Returns how
 * many bits it has; 0: no such value. */
static size_t harm(struct world *world, enum table table, unsigned which, long bit,
                   uint8_t *ret_key)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t bits = 0;

    assert_int_equal(mdb_txn_begin(world->store->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_cursor_open(txn, world->store->dbi[table], &cursor), 0);
    if (mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == 0) {
        unsigned at = 0;

        while (at < which && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
            at++;
        if (at == which) {
            bits = value.mv_size * 8;
            if (ret_key)
                memcpy(ret_key, key.mv_data, key.mv_size);
            if (bit < 0) {
                assert_int_equal(mdb_cursor_del(cursor, 0), 0);
            } else if ((size_t)bit < bits) {
                uint8_t *copy = malloc(value.mv_size);
                MDB_val changed = {value.mv_size, copy};

                assert_non_null(copy);
                memcpy(copy, value.mv_data, value.mv_size);
                copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(mdb_cursor_put(cursor, &key, &changed, MDB_CURRENT), 0);
                free(copy);
            }
        }
    }
    mdb_cursor_close(cursor);
    assert_int_equal(mdb_txn_commit(txn), 0);
    return bits;
}

/* Three modules of one response each in one sealed interval, and one of them corrected. */
static void sealed_world(struct world *world)
{
    world_begin(world);
    must_commit_one(world, "a", T0_US);
    must_commit_one(world, "b", T0_US);
    must_commit_one(world, "c", T0_US);
    advance(world, 13);
    must_seal(world);
    must_commit_one(world, "b", T0_US);
}

static uint64_t requests_of(struct world *world, const char *module)
{
    struct tide_snapshot *snapshot = must_look(world);
    uint64_t requests = walked_requests(snapshot, module ? id_of(snapshot, module) : TIDE_FLEET);

    tide_snapshot_close(snapshot);
    return requests;
}

static uint64_t swept(struct world *world)
{
    struct tide_snapshot *snapshot = must_look(world);
    uint64_t sum = 0;

    assert_int_equal(tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, sum_requests, &sum),
                     TIDE_OK);
    tide_snapshot_close(snapshot);
    return sum;
}

static void any_flipped_bit_of_a_row_hides_that_row_and_no_other(void **state)
{
    struct world world;
    size_t bits;

    (void)state;
    sealed_world(&world);
    bits = harm(&world, TABLE_ROW, 1, LONG_MAX, NULL); /* module a; 0 is the fleet */
    assert_true(bits > 100);
    for (size_t bit = 0; bit < bits; bit++) {
        uint64_t before = damage_seen();

        harm(&world, TABLE_ROW, 1, (long)bit, NULL);
        assert_int_equal(requests_of(&world, "a"), 0);
        assert_true(damage_seen() > before);
        assert_int_equal(requests_of(&world, "b"), 2);
        assert_int_equal(requests_of(&world, "c"), 1);
        assert_int_equal(swept(&world), 3);
        harm(&world, TABLE_ROW, 1, (long)bit, NULL);
        before = damage_seen();
        assert_int_equal(requests_of(&world, "a"), 1);
        assert_int_equal(swept(&world), 4);
        assert_int_equal(damage_seen(), before);
    }
    world_end(&world);
}

static void any_flipped_bit_of_a_correction_hides_that_correction(void **state)
{
    struct world world;
    size_t bits;

    (void)state;
    sealed_world(&world);
    must_commit_one(&world, "b", T0_US);
    bits = harm(&world, TABLE_CORRECTION, 0, LONG_MAX, NULL);
    assert_true(bits > 100);
    for (size_t bit = 0; bit < bits; bit++) {
        uint64_t before = damage_seen();

        harm(&world, TABLE_CORRECTION, 0, (long)bit, NULL);
        assert_int_equal(requests_of(&world, "b"), 2); /* of the three */
        assert_true(damage_seen() > before);
        assert_int_equal(swept(&world), 4);
        harm(&world, TABLE_CORRECTION, 0, (long)bit, NULL);
    }
    assert_int_equal(swept(&world), 5);
    world_end(&world);
}

static void any_flipped_bit_of_a_journal_entry_hides_that_commit_and_no_other(void **state)
{
    struct world world;
    size_t bits;

    (void)state;
    world_begin(&world);
    must_commit_one(&world, "a", T0_US);
    must_commit_one(&world, "b", T0_US);
    must_commit_one(&world, "c", T0_US);
    bits = harm(&world, TABLE_JOURNAL, 1, LONG_MAX, NULL);
    for (size_t bit = 0; bit < bits; bit += 3) {
        uint64_t before = damage_seen();

        harm(&world, TABLE_JOURNAL, 1, (long)bit, NULL);
        world_reopen(&world);
        assert_int_equal(damage_seen(), before + 1);
        assert_int_equal(requests_of(&world, "a"), 1);
        assert_int_equal(requests_of(&world, "b"), 0);
        assert_int_equal(requests_of(&world, "c"), 1);
        assert_int_equal(requests_of(&world, NULL), 2);
        harm(&world, TABLE_JOURNAL, 1, (long)bit, NULL);
    }
    world_reopen(&world);
    assert_int_equal(requests_of(&world, NULL), 3);
    world_end(&world);
}

static void any_flipped_bit_of_an_identity_forgets_those_chunks_and_no_others(void **state)
{
    struct world world;
    size_t bits;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 2);
    must_commit(&world, 3, 3);
    bits = harm(&world, TABLE_IDENTITY, 0, LONG_MAX, NULL);
    for (size_t bit = 0; bit < bits; bit += 3) {
        uint64_t before = damage_seen();

        harm(&world, TABLE_IDENTITY, 0, (long)bit, NULL);
        world_reopen(&world);
        assert_int_equal(damage_seen(), before + 1);
        assert_int_equal(identity_count(world.store->identities), 3);
        harm(&world, TABLE_IDENTITY, 0, (long)bit, NULL);
    }
    world_reopen(&world);
    assert_int_equal(identity_count(world.store->identities), 5);
    compare_now(&world);
    world_end(&world);
}

/* A module's name and total are gone with their value; its id, its rows and its neighbours are not.
 */
static void any_flipped_bit_of_a_module_hides_its_name_and_keeps_its_history(void **state)
{
    struct world world;
    size_t bits;

    (void)state;
    sealed_world(&world);
    advance(&world, 61);
    must_upkeep(&world); /* totals are on disk, and the journal is cut */
    bits = harm(&world, TABLE_MODULE, 1, LONG_MAX, NULL);
    for (size_t bit = 0; bit < bits; bit += 3) {
        uint64_t before = damage_seen();
        struct tide_snapshot *snapshot;
        struct tide_module found;

        harm(&world, TABLE_MODULE, 1, (long)bit, NULL);
        world_reopen(&world);
        assert_int_equal(damage_seen(), before + 1);
        snapshot = must_look(&world);
        assert_int_equal(tide_snapshot_info(snapshot)->modules, 3);
        assert_int_equal(tide_snapshot_find(snapshot, "b", 1, &found), TIDE_NOT_FOUND);
        assert_int_equal(walked_requests(snapshot, id_of(snapshot, "a")), 1);
        assert_int_equal(walked_requests(snapshot, 2), 2);
        assert_int_equal(id_of(snapshot, "c"), 3);
        assert_int_equal(walked_requests(snapshot, TIDE_FLEET), 4);
        tide_snapshot_close(snapshot);
        harm(&world, TABLE_MODULE, 1, (long)bit, NULL);
    }
    world_reopen(&world);
    assert_int_equal(requests_of(&world, "b"), 2);
    world_end(&world);
}

static void the_id_of_a_damaged_module_is_never_given_to_another(void **state)
{
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    sealed_world(&world);
    must_commit_one(&world, "c", world.now_us); /* and something in the journal */
    harm(&world, TABLE_MODULE, 2, 77, NULL);    /* the last one */
    world_reopen(&world);
    must_commit_one(&world, "d", world.now_us);
    for (int round = 0; round < 3; round++) {
        snapshot = must_look(&world);
        assert_int_equal(id_of(snapshot, "d"), 4);
        assert_int_equal(walked_requests(snapshot, 4), 1);
        assert_int_equal(walked_requests(snapshot, 3), 2);
        assert_int_equal(walked_requests(snapshot, TIDE_FLEET), 6);
        tide_snapshot_close(snapshot);
        world_reopen(&world);
        if (round == 1) { /* it gets a sound value of its own */
            advance(&world, 13);
            must_seal(&world);
            advance(&world, 61);
            must_upkeep(&world);
        }
    }
    world_end(&world);
}

static void a_damaged_front_does_not_stop_identities_from_leaving(void **state)
{
    struct world world;

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_window_s = 60;
    world_open(&world);
    must_commit(&world, 1, 1);
    must_commit(&world, 2, 1);
    for (long bit = 8; bit < 16; bit++) /* its time: far in the future now */
        harm(&world, TABLE_IDENTITY, 0, bit, NULL);
    advance(&world, 62);
    must_commit(&world, 3, 1);
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_IDENTITY), 1);
    world_end(&world);
}

static void any_flipped_bit_of_the_stores_own_words_is_refused_at_the_start(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        struct world world;
        size_t bits;

        sealed_world(&world);
        bits = harm(&world, TABLE_META, which, LONG_MAX, NULL);
        assert_true(bits > 100);
        for (size_t bit = 0; bit < bits; bit += 5) {
            struct tide_err err = {""};
            struct txn txn;
            MDB_env *env;
            MDB_dbi dbi[TABLE_COUNT];
            struct tide_store borrowed = {0};
            struct world raw = {.store = &borrowed};

            harm(&world, TABLE_META, which, (long)bit, NULL);
            world_close(&world);
            assert_int_equal(world_try_open(&world, &err), TIDE_DAMAGED);
            assert_non_null(strstr(err.text, "checksum"));
            /* mended by hand, since no store opens it */
            assert_int_equal(mdb_env_create(&env), 0);
            assert_int_equal(mdb_env_set_mapsize(env, world.cfg.map_bytes), 0);
            assert_int_equal(mdb_env_set_maxdbs(env, TABLE_COUNT), 0);
            snprintf(borrowed.data_path, sizeof(borrowed.data_path), "%s/tidemark.mdb",
                     world.cfg.dir);
            assert_int_equal(mdb_env_open(env, borrowed.data_path, MDB_NOSUBDIR, 0600), 0);
            txn_begin(&txn, env, dbi, true);
            assert_int_equal(mdb_dbi_open(txn.mdb, "meta", 0, &borrowed.dbi[TABLE_META]), 0);
            assert_int_equal(txn_end(&txn, &err), TIDE_OK);
            borrowed.env = env;
            harm(&raw, TABLE_META, which, (long)bit, NULL);
            mdb_env_close(env);
            world_open(&world);
        }
        assert_int_equal(requests_of(&world, NULL), 4);
        world_end(&world);
    }
}

/* ---- parts ---- */

/* A module with so many instances that its record takes several values. */
static void commit_wide(struct world *world, const char *module, int64_t time_us)
{
    struct tide_parcel parcel;

    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < 60; i++) {
        struct tide_event ev = response_at(module, time_us);
        char name[20];

        snprintf(name, sizeof(name), "instance-%d", i);
        ev.instance = (struct tide_text){name, (uint32_t)strlen(name)};
        ev.gauges = (1u << TIDE_GAUGE_COUNT) - 1;
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            ev.gauge[gauge] = TIDE_GAUGE_VALUE_MAX - i;
        tide_parcel_fold(&parcel, &world->rules, &ev, world->now_us);
    }
    must_commit_parcel(world, &parcel);
    tide_parcel_fini(&parcel);
}

static void a_value_that_lacks_a_part_takes_no_other_with_it(void **state)
{
    struct world world;
    size_t rows;
    unsigned wide = 0;

    (void)state;
    world_begin(&world);
    commit_wide(&world, "a", T0_US);
    must_commit_one(&world, "b", T0_US);
    must_commit_one(&world, "c", T0_US);
    advance(&world, 13);
    must_seal(&world);
    rows = table_entries(&world, TABLE_ROW);
    assert_true(rows > 4 + 1);
    for (unsigned i = 0; i < rows; i++) { /* the last part of a's row */
        uint8_t key[KEY_MAX];

        harm(&world, TABLE_ROW, i, LONG_MAX, key);
        if (key_row_module(key) == 1)
            wide = i;
    }
    harm(&world, TABLE_ROW, wide, -1, NULL);
    assert_int_equal(swept(&world), 2);
    assert_int_equal(requests_of(&world, "a"), 0);
    assert_int_equal(requests_of(&world, "b"), 1);
    world_end(&world);
}

static void a_journal_entry_that_lacks_a_part_takes_no_other_with_it(void **state)
{
    struct world world;
    uint8_t key[KEY_MAX];
    unsigned last = 0;

    (void)state;
    world_begin(&world);
    commit_wide(&world, "a", T0_US);
    must_commit_one(&world, "b", T0_US);
    must_commit_one(&world, "c", T0_US);
    while (harm(&world, TABLE_JOURNAL, last, LONG_MAX, key) && tide_get_be64(key) == 1)
        last++;
    assert_true(last > 1);
    harm(&world, TABLE_JOURNAL, last - 1, -1, NULL);
    world_reopen(&world);
    assert_int_equal(requests_of(&world, "a"), 0);
    assert_int_equal(requests_of(&world, "b"), 1);
    assert_int_equal(requests_of(&world, "c"), 1);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flipped_bit_of_a_row_hides_that_row_and_no_other),
        cmocka_unit_test(any_flipped_bit_of_a_correction_hides_that_correction),
        cmocka_unit_test(any_flipped_bit_of_a_journal_entry_hides_that_commit_and_no_other),
        cmocka_unit_test(any_flipped_bit_of_an_identity_forgets_those_chunks_and_no_others),
        cmocka_unit_test(any_flipped_bit_of_a_module_hides_its_name_and_keeps_its_history),
        cmocka_unit_test(the_id_of_a_damaged_module_is_never_given_to_another),
        cmocka_unit_test(a_damaged_front_does_not_stop_identities_from_leaving),
        cmocka_unit_test(any_flipped_bit_of_the_stores_own_words_is_refused_at_the_start),
        cmocka_unit_test(a_value_that_lacks_a_part_takes_no_other_with_it),
        cmocka_unit_test(a_journal_entry_that_lacks_a_part_takes_no_other_with_it),
    };

    /* Bits rot here, disks do not stop: a directory in memory will do. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
