/* scan: in which order, over which range and with which flags records are walked, what a snapshot
 * that cannot be read says, and readers beside the thread that commits and seals.
 */
#include "fixture.h"
#include "interpose.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- what a walk visits ---- */

struct visit {
    uint32_t module;
    int64_t start_s;
    unsigned flags;
    uint64_t requests;
};

struct visits {
    struct visit at[200];
    size_t count, stop_after; /* 0: never */
};

static bool note_visit(void *arg, uint32_t module, int64_t start_s,
                       const struct tide_record *record, unsigned flags)
{
    struct visits *visits = arg;

    assert_true(visits->count < 200);
    visits->at[visits->count++] = (struct visit){module, start_s, flags, record->tally.requests};
    return visits->count != visits->stop_after;
}

/* Intervals T0 + 0, 10, 30 (not 20) of module a, T0 + 10 of b; all but 30 sealed; T0 + 10 of a
 * corrected. */
static void begin_walked(struct world *world)
{
    world_begin(world);
    must_commit_one(world, "a", T0_US);
    must_commit_one(world, "a", T0_US + 10000000);
    must_commit_one(world, "b", T0_US + 10000000);
    must_commit_one(world, "a", T0_US + 30000000);
    advance(world, 33);
    must_seal(world);
    must_commit_one(world, "a", T0_US + 10000000);
}

static void check_walk(struct tide_snapshot *snapshot, uint32_t module, int64_t from_s,
                       int64_t to_s, const struct visit *expected, size_t count)
{
    struct visits visits = {.count = 0};

    assert_int_equal(
        tide_snapshot_walk(snapshot, module, T0_S + from_s, T0_S + to_s, note_visit, &visits),
        TIDE_OK);
    assert_int_equal(visits.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(visits.at[i].module, module);
        assert_int_equal(visits.at[i].start_s, T0_S + expected[i].start_s);
        assert_int_equal(visits.at[i].flags, expected[i].flags);
        assert_int_equal(visits.at[i].requests, expected[i].requests);
    }
}

static void a_walk_is_newest_first_over_a_half_open_range(void **state)
{
    static const struct visit a[] = {
        {0, 30, TIDE_PART_OPEN, 1}, {0, 10, TIDE_PART_CORRECTED, 2}, {0, 0, 0, 1}};
    static const struct visit b[] = {{0, 10, 0, 1}};
    static const struct visit fleet[] = {
        {0, 30, TIDE_PART_OPEN, 1}, {0, 10, TIDE_PART_CORRECTED, 3}, {0, 0, 0, 1}};
    struct world world;
    struct tide_snapshot *snapshot;
    uint32_t id;

    (void)state;
    begin_walked(&world);
    snapshot = must_look(&world);
    id = id_of(snapshot, "a");
    check_walk(snapshot, id, -1000, 1000, a, 3);
    check_walk(snapshot, id, 0, 31, a, 3);
    check_walk(snapshot, id, 0, 30, a + 1, 2);
    check_walk(snapshot, id, 1, 30, a + 1, 1);
    check_walk(snapshot, id, 10, 11, a + 1, 1);
    check_walk(snapshot, id, 0, 10, a + 2, 1);
    check_walk(snapshot, id, -7, 3, a + 2, 1); /* edges need not be aligned */
    check_walk(snapshot, id, 11, 30, NULL, 0);
    check_walk(snapshot, id, 31, 1000, NULL, 0);
    check_walk(snapshot, id, 10, 10, NULL, 0);
    check_walk(snapshot, id, 30, 10, NULL, 0); /* nor in order */
    check_walk(snapshot, id_of(snapshot, "b"), -1000, 1000, b, 1);
    check_walk(snapshot, TIDE_FLEET, -1000, 1000, fleet, 3);
    check_walk(snapshot, TIDE_FLEET, 10, 30, fleet + 1, 1);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    begin_walked(&world);
    snapshot = must_look(&world);
    for (size_t stop = 1; stop <= 3; stop++) {
        struct visits walked = {.stop_after = stop}, swept = {.stop_after = stop};

        assert_int_equal(
            tide_snapshot_walk(snapshot, id_of(snapshot, "a"), 0, FOREVER_S, note_visit, &walked),
            TIDE_OK);
        assert_int_equal(walked.count, stop);
        assert_int_equal(tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, note_visit, &swept),
                         TIDE_OK);
        assert_int_equal(swept.count, stop);
    }
    tide_snapshot_close(snapshot);
    world_end(&world);
}

struct wanting {
    struct visits asked;
    uint32_t module;
};

static void a_sweep_goes_by_interval_and_within_one_by_module(void **state)
{
    static const struct visit expected[] = {
        {1, 30, TIDE_PART_OPEN, 1}, {1, 10, TIDE_PART_CORRECTED, 2}, {2, 10, 0, 1}, {1, 0, 0, 1}};
    struct world world;
    struct tide_snapshot *snapshot;
    struct visits visits = {.count = 0};

    (void)state;
    begin_walked(&world);
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, note_visit, &visits),
                     TIDE_OK);
    assert_int_equal(visits.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(visits.at[i].module, expected[i].module);
        assert_int_equal(visits.at[i].start_s, T0_S + expected[i].start_s);
        assert_int_equal(visits.at[i].flags, expected[i].flags);
        assert_int_equal(visits.at[i].requests, expected[i].requests);
    }
    visits.count = 0;
    tide_snapshot_sweep(snapshot, T0_S + 10, T0_S + 30, NULL, note_visit, &visits);
    assert_int_equal(visits.count, 2);
    visits.count = 0;
    tide_snapshot_sweep(snapshot, T0_S + 11, T0_S + 30, NULL, note_visit, &visits);
    assert_int_equal(visits.count, 0);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static bool want_one(void *arg, uint32_t module, int64_t start_s)
{
    struct wanting *wanting = arg;

    wanting->asked.at[wanting->asked.count++] = (struct visit){module, start_s, 0, 0};
    return module == wanting->module;
}

static bool take_wanted(void *arg, uint32_t module, int64_t start_s,
                        const struct tide_record *record, unsigned flags)
{
    struct wanting *wanting = arg;

    (void)start_s;
    (void)record;
    (void)flags;
    assert_int_equal(module, wanting->module);
    return true;
}

static void a_sweep_asks_for_each_record_and_gives_only_what_is_wanted(void **state)
{
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    begin_walked(&world);
    snapshot = must_look(&world);
    for (uint32_t module = 1; module <= 3; module++) {
        struct wanting wanting = {.module = module};

        assert_int_equal(
            tide_snapshot_sweep(snapshot, 0, FOREVER_S, want_one, take_wanted, &wanting), TIDE_OK);
        assert_int_equal(wanting.asked.count, 4);
    }
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static void a_module_that_is_not_there_is_not_found(void **state)
{
    struct world world;
    struct tide_snapshot *before, *after;
    struct tide_module module;

    (void)state;
    world_begin(&world);
    before = must_look(&world);
    must_commit_one(&world, "auth", T0_US);
    after = must_look(&world);
    assert_int_equal(tide_snapshot_find(before, "auth", 4, &module), TIDE_NOT_FOUND);
    assert_int_equal(tide_snapshot_info(before)->modules, 0);
    assert_int_equal(tide_snapshot_find(after, "auth", 4, &module), TIDE_OK);
    assert_string_equal(module.name, "auth");
    assert_string_equal(module.last_error, "");
    assert_int_equal(module.last_error_us, 0);
    assert_int_equal(tide_snapshot_find(after, "aut", 3, &module), TIDE_NOT_FOUND);
    assert_int_equal(tide_snapshot_find(after, "", 0, &module), TIDE_NOT_FOUND);
    tide_snapshot_close(before);
    tide_snapshot_close(after);
    tide_snapshot_close(NULL);
    world_end(&world);
}

static void a_snapshot_from_before_a_seal_still_sees_the_interval_open(void **state)
{
    static const struct visit open[] = {{0, 0, TIDE_PART_OPEN, 1}}, sealed[] = {{0, 0, 0, 1}};
    struct world world;
    struct tide_snapshot *before, *after;

    (void)state;
    world_begin(&world);
    must_commit_one(&world, "auth", T0_US);
    before = must_look(&world);
    advance(&world, 12);
    must_seal(&world);
    after = must_look(&world);
    check_walk(before, 1, -100, 100, open, 1);
    check_walk(after, 1, -100, 100, sealed, 1);
    check_walk(before, TIDE_FLEET, -100, 100, open, 1);
    check_walk(after, TIDE_FLEET, -100, 100, sealed, 1);
    tide_snapshot_close(before);
    tide_snapshot_close(after);
    world_end(&world);
}

/* ---- reading that fails ---- */

static struct {
    unsigned left; /* 0: none fails */
    int code;
} fault;

static int fail_reading(enum interposed call)
{
    (void)call;
    return fault.left && --fault.left == 0 ? fault.code : 0;
}

static void an_error_of_the_disk_is_an_error_of_the_walk(void **state)
{
    struct world world;
    struct tide_snapshot *snapshot;
    uint32_t module[2];
    unsigned errors = 0;

    (void)state;
    begin_walked(&world);
    snapshot = must_look(&world);
    module[0] = id_of(snapshot, "a");
    module[1] = TIDE_FLEET;
    interpose_before = fail_reading;
    fault.code = EIO;
    for (int what = 0; what < 3; what++)
        for (unsigned n = 1;; n++) {
            struct visits visits = {.count = 0};
            enum tide_rc rc;
            bool failed;

            fault.left = n;
            rc = what < 2
                     ? tide_snapshot_walk(snapshot, module[what], 0, FOREVER_S, note_visit, &visits)
                     : tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, note_visit, &visits);
            failed = fault.left == 0;
            fault.left = 0;
            assert_int_equal(rc, failed ? TIDE_IO : TIDE_OK);
            if (!failed)
                break;
            errors++;
        }
    assert_true(errors > 10);
    interpose_before = NULL;
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static void a_snapshot_that_cannot_be_opened_leaves_nothing_behind(void **state)
{
    static const struct {
        int code;
        enum tide_rc rc;
    } fail[] = {{EIO, TIDE_IO}, {MDB_READERS_FULL, TIDE_UNAVAILABLE}, {ENOMEM, TIDE_NO_MEMORY}};
    struct world world;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 2);
    interpose_before = fail_reading;
    for (size_t i = 0; i < sizeof(fail) / sizeof(fail[0]); i++)
        for (unsigned n = 1; n <= 8; n++) { /* the transaction and its seven cursors */
            struct tide_snapshot *snapshot = NULL;
            struct tide_err err = {""};
            struct tide_store_stats stats;

            fault.code = fail[i].code;
            fault.left = n;
            assert_int_equal(tide_snapshot_open(world.store, &snapshot, &err), fail[i].rc);
            fault.left = 0;
            assert_null(snapshot);
            assert_true(err.text[0]);
            tide_store_stats(world.store, &stats);
            assert_int_equal(stats.readers, 0);
            assert_int_equal(head_pins(world.store->head), 0);
        }
    interpose_before = NULL;
    compare_now(&world);
    world_end(&world);
}

/* ---- readers beside the writer ---- */

struct shared {
    struct world *world;
    atomic_bool done;
    atomic_uint looks;
};

/* Every commit holds one response of each of two modules, now or late: whatever is looked at must
 * add up, and nothing that was seen may go away. */
static void *look(void *arg)
{
    struct shared *shared = arg;
    uint64_t wrong = 0, newest = 0, seq = 0;

    while (!atomic_load(&shared->done)) {
        struct tide_snapshot *snapshot;
        struct tide_err err;
        uint64_t stored, one = 0, fleet = 0, all = 0;

        if (tide_snapshot_open(shared->world->store, &snapshot, &err))
            return (void *)1;
        stored = tide_snapshot_info(snapshot)->ledger.stored;
        wrong += stored < newest || tide_snapshot_info(snapshot)->commit_seq < seq;
        newest = stored;
        seq = tide_snapshot_info(snapshot)->commit_seq;
        wrong += tide_snapshot_fleet_total(snapshot)->tally.requests != stored;
        for (uint32_t id = 1; id <= tide_snapshot_info(snapshot)->modules; id++) {
            struct tide_module module;

            tide_snapshot_module(snapshot, id, &module);
            wrong += module.total->tally.requests != stored / 2;
        }
        tide_snapshot_walk(snapshot, TIDE_FLEET, 0, FOREVER_S, sum_requests, &fleet);
        tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, sum_requests, &all);
        if (tide_snapshot_info(snapshot)->modules)
            tide_snapshot_walk(snapshot, 1, 0, FOREVER_S, sum_requests, &one);
        wrong += fleet != stored || all != stored || one != stored / 2;
        tide_snapshot_close(snapshot);
        atomic_fetch_add(&shared->looks, 1);
    }
    return (void *)(uintptr_t)wrong;
}

static void readers_see_whole_commits_while_the_writer_commits_seals_and_corrects(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct world world;
    struct shared shared = {.world = &world};
    pthread_t reader[2];

    world_begin(&world);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, look, &shared), 0);
    for (int turn = 0; turn < 400 || atomic_load(&shared.looks) < 50; turn++) {
        struct tide_parcel parcel;
        int64_t age_s = tide_any_between(&seed, 0, 3) ? 0 : tide_any_between(&seed, 0, 60);
        struct tide_event a = response_at("a", world.now_us - age_s * 1000000), b = a;

        b.module = (struct tide_text){"b", 1};
        tide_parcel_init(&parcel, NULL);
        tide_parcel_fold(&parcel, &world.rules, &a, world.now_us);
        tide_parcel_fold(&parcel, &world.rules, &b, world.now_us);
        must_commit_parcel(&world, &parcel);
        tide_parcel_fini(&parcel);
        if (turn < 400) /* else only until the readers had their looks */
            advance(&world, tide_any_between(&seed, 0, 2));
        must_seal(&world);
        must_upkeep(&world);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i < 2; i++) {
        void *wrong;

        pthread_join(reader[i], &wrong);
        assert_null(wrong);
    }
    world_end(&world);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_is_newest_first_over_a_half_open_range),
        cmocka_unit_test(a_walk_ends_when_it_is_told_to),
        cmocka_unit_test(a_sweep_goes_by_interval_and_within_one_by_module),
        cmocka_unit_test(a_sweep_asks_for_each_record_and_gives_only_what_is_wanted),
        cmocka_unit_test(a_module_that_is_not_there_is_not_found),
        cmocka_unit_test(a_snapshot_from_before_a_seal_still_sees_the_interval_open),
        cmocka_unit_test(an_error_of_the_disk_is_an_error_of_the_walk),
        cmocka_unit_test(a_snapshot_that_cannot_be_opened_leaves_nothing_behind),
        cmocka_unit_test_prestate(
            readers_see_whole_commits_while_the_writer_commits_seals_and_corrects, &seed),
    };

    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
