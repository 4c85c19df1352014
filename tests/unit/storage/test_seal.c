/* seal: intervals become rows on time and once, totals and the journal follow, identities leave;
 * and a process that dies between two slices of it loses and doubles nothing.
 */
#include "fixture.h"
#include "interpose.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "key.h"

/* ---- when ---- */

static bool note_open(void *arg, uint32_t module, int64_t start_s, const struct tide_record *record,
                      unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)record;
    *(unsigned *)arg += flags & TIDE_PART_OPEN ? 1 : 100;
    return true;
}

/* 1 for each open interval of the fleet, 100 for each sealed one. */
static unsigned intervals(const struct world *world)
{
    struct tide_snapshot *snapshot = must_look(world);
    unsigned seen = 0;

    assert_int_equal(tide_snapshot_walk(snapshot, TIDE_FLEET, 0, FOREVER_S, note_open, &seen),
                     TIDE_OK);
    tide_snapshot_close(snapshot);
    return seen;
}

static void an_interval_is_sealed_at_its_end_and_grace_and_not_before(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    assert_true(tide_store_next_seal_us(world.store) == INT64_MAX);
    must_commit_one(&world, "auth", T0_US + 1);
    must_commit_one(&world, "auth", T0_US + 10000000);
    assert_int_equal(tide_store_next_seal_us(world.store), T0_US + 12000000);
    world.now_us = T0_US + 12000000 - 1;
    must_seal(&world);
    assert_int_equal(intervals(&world), 2);
    world.now_us++;
    must_seal(&world);
    assert_int_equal(intervals(&world), 101);
    assert_int_equal(tide_store_next_seal_us(world.store), T0_US + 22000000);
    must_seal(&world); /* nothing is due: nothing happens */
    assert_int_equal(intervals(&world), 101);
    world.now_us += 10000000;
    must_seal(&world);
    assert_int_equal(intervals(&world), 200);
    assert_true(tide_store_next_seal_us(world.store) == INT64_MAX);
    world_reopen(&world);
    assert_int_equal(intervals(&world), 200);
    world_end(&world);
}

static void a_clock_that_steps_back_opens_nothing_again(void **state)
{
    struct world world;
    int64_t sealed_upto_s;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 3);
    advance(&world, 60);
    must_seal(&world);
    sealed_upto_s = world.store->state.sealed_upto_s;
    assert_true(sealed_upto_s >= T0_S);
    advance(&world, -3000);
    must_seal(&world);
    must_upkeep(&world);
    assert_int_equal(world.store->state.sealed_upto_s, sealed_upto_s);
    must_commit(&world, 4, 3); /* in the past: corrections, all of them */
    compare_now(&world);
    world_reopen(&world);
    compare_now(&world);
    advance(&world, 4000);
    must_commit(&world, 7, 1);
    must_seal(&world);
    must_upkeep(&world);
    compare_now(&world);
    world_end(&world);
}

/* ---- a long run ---- */

static void an_hour_of_minutes_keeps_the_journal_short_and_every_answer_true(void **state)
{
    struct world world;
    size_t journal_most = 0;

    (void)state;
    world_begin(&world);
    for (uint64_t minute = 0; minute < 60; minute++) {
        size_t journal;

        for (uint64_t i = 0; i < 6; i++) {
            must_commit(&world, minute * 6 + i, 1);
            must_seal(&world);
            must_upkeep(&world);
            advance(&world, 10);
        }
        journal = table_entries(&world, TABLE_JOURNAL);
        journal_most = journal > journal_most ? journal : journal_most;
        if (minute % 4 == 0)
            compare_now(&world);
        if (minute % 7 == 0) {
            world_reopen(&world);
            compare_now(&world);
        }
    }
    printf("at most %zu journal entries of 360\n", journal_most);
    assert_true(journal_most <= 20); /* what a checkpoint a minute leaves */
    /* Idle, everything gets sealed and covered. */
    advance(&world, 60);
    must_seal(&world);
    advance(&world, 61);
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_JOURNAL), 0);
    compare_now(&world);
    world_reopen(&world);
    compare_now(&world);
    world_end(&world);
}

static void an_event_of_the_future_keeps_its_commit_in_the_journal(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    must_commit_one(&world, "auth", T0_US);
    must_commit_one(&world, "auth", T0_US + 50000000);
    must_commit_one(&world, "auth", T0_US);
    advance(&world, 15);
    must_seal(&world);
    advance(&world, 46);
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_JOURNAL), 2); /* its own and the one behind it */
    world_reopen(&world);
    assert_int_equal(intervals(&world), 101);
    world_end(&world);
}

static void a_long_journal_is_checkpointed_before_its_minute(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    for (int i = 0; i < 4200; i++)
        must_commit_one(&world, "auth", T0_US);
    advance(&world, 12);
    must_seal(&world);
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_JOURNAL), 0);
    world_reopen(&world);
    assert_int_equal(intervals(&world), 100);
    world_end(&world);
}

static void a_late_commit_between_two_slices_of_a_cut_stays_in_the_journal(void **state)
{
    struct world world;
    struct tide_err err = {""};
    struct tide_snapshot *snapshot;

    (void)state;
    world_begin(&world);
    for (int i = 0; i < 300; i++) /* one slice cuts 256 */
        must_commit_one(&world, "auth", T0_US);
    advance(&world, 12);
    must_seal(&world);
    advance(&world, 61);
    for (int chore = 0; chore < 2; chore++) /* the checkpoint, the first slice */
        assert_int_equal(tide_store_upkeep(world.store, world.now_us, &err), TIDE_AGAIN);
    assert_int_equal(table_entries(&world, TABLE_JOURNAL), 44);
    must_commit_one(&world, "auth", T0_US); /* after the checkpoint: no total on disk has it */
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_JOURNAL), 1);
    world_reopen(&world);
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests, 301);
    assert_int_equal(walked_requests(snapshot, TIDE_FLEET), 301);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

/* ---- identities ---- */

static void identities_leave_memory_and_disk_with_their_window(void **state)
{
    struct world world;
    struct tide_store_stats stats;
    size_t most = 0;

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_window_s = 120;
    world_open(&world);
    for (uint64_t n = 0; n < 100; n++) {
        size_t entries;

        must_commit(&world, n, 1);
        advance(&world, 6);
        must_upkeep(&world);
        entries = table_entries(&world, TABLE_IDENTITY);
        most = entries > most ? entries : most;
    }
    assert_true(most <= (120 + 60) / 6 + 2); /* the window, and a minute between two looks */
    tide_store_stats(world.store, &stats);
    assert_in_range(stats.identities, 20, 32);
    assert_string_equal(stats.identity_bound, "window");
    world_reopen(&world);
    must_commit(&world, 99, 1); /* still known */
    assert_int_equal(world.books.chunks_duplicate, 1);
    compare_now(&world);
    must_commit(&world, 0, 1); /* forgotten: the sender is too late */
    assert_int_equal(world.books.chunks_duplicate, 1);
    advance(&world, 300);
    must_upkeep(&world);
    assert_int_equal(table_entries(&world, TABLE_IDENTITY), 0);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.identities, 0);
    assert_int_equal(stats.oldest_identity_us, 0);
    world_end(&world);
}

static void identities_leave_when_there_are_too_many(void **state)
{
    struct world world;
    struct tide_store_stats stats;

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_max_chunks = 10;
    world_open(&world);
    for (uint64_t n = 0; n < 50; n++) {
        must_commit(&world, n, 1);
        advance(&world, 1);
    }
    advance(&world, 61);
    must_upkeep(&world);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.identities, 10);
    assert_string_equal(stats.identity_bound, "count");
    assert_int_equal(table_entries(&world, TABLE_IDENTITY), 10);
    world_reopen(&world);
    must_commit(&world, 40, 10);
    assert_int_equal(world.books.chunks_duplicate, 10);
    must_commit(&world, 39, 1);
    assert_int_equal(world.books.chunks_duplicate, 10);
    world_end(&world);
}

static void identities_of_many_parts_go_in_slices(void **state)
{
    struct world world;
    struct tide_err err = {""};
    static struct tide_parcel parcel[512];
    static struct tide_parcel *waiting[512];
    int turns = 0;
    size_t taken;

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_window_s = 60;
    world_open(&world);
    for (uint64_t group = 0; group < 300; group++) { /* 512 identities: three values each */
        for (unsigned i = 0; i < 512; i++) {
            waiting[i] = &parcel[i];
            tide_parcel_init(&parcel[i], NULL);
            parcel[i].has_identity = true;
            parcel[i].identity = chunk_identity(group * 512 + i);
        }
        assert_int_equal(tide_store_commit(world.store, waiting, 512, world.now_us, &taken, &err),
                         TIDE_OK);
    }
    assert_int_equal(table_entries(&world, TABLE_IDENTITY), 900);
    must_commit(&world, 1u << 30, 1);
    advance(&world, 62);
    while (tide_store_upkeep(world.store, world.now_us, &err) == TIDE_AGAIN)
        turns++;
    assert_int_equal(turns, 3);
    assert_int_equal(table_entries(&world, TABLE_IDENTITY), 0);
    world_end(&world);
}

/* ---- slices, and death between them ---- */

enum { WIDE = 9000 }; /* modules: more than one slice of rows, and of totals */

static struct {
    bool armed, after;
    unsigned left;
    bool error;
} trap;

static int trap_before(enum interposed call)
{
    if (call != CALL_TXN_COMMIT || !trap.armed || trap.after || --trap.left)
        return 0;
    if (!trap.error)
        _exit(42);
    trap.armed = false;
    return EIO;
}

static int trap_after(enum interposed call, int code)
{
    if (call == CALL_TXN_COMMIT && trap.armed && trap.after && --trap.left == 0)
        _exit(42);
    return code;
}

static void a_failed_seal_is_repeated_and_the_store_is_ok_again(void **state)
{
    struct world world;
    struct tide_err err = {""};

    (void)state;
    interpose_before = trap_before;
    world_begin(&world);
    must_commit(&world, 1, 3);
    advance(&world, 60);
    for (int what = 0; what < 2; what++) {
        memset(&trap, 0, sizeof(trap));
        trap.left = 1;
        trap.armed = trap.error = true;
        assert_int_equal(what ? tide_store_upkeep(world.store, world.now_us, &err)
                              : tide_store_seal(world.store, world.now_us, &err),
                         TIDE_IO);
        assert_int_equal(tide_store_state(world.store), TIDE_STORE_IN_DOUBT);
        compare_now(&world);
        if (what)
            must_upkeep(&world);
        else
            must_seal(&world);
        assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK); /* without a commit */
        compare_now(&world);
        advance(&world, 61);
    }
    interpose_before = NULL;
    world_end(&world);
}

static void commit_wide(struct world *world, int64_t time_us)
{
    struct tide_parcel parcel;

    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < WIDE; i++) {
        char name[20];
        struct tide_event ev;

        snprintf(name, sizeof(name), "m-%d", i);
        ev = response_at(name, time_us);
        tide_parcel_fold(&parcel, &world->rules, &ev, world->now_us);
    }
    must_commit_parcel(world, &parcel);
    tide_parcel_fini(&parcel);
}

static void check_wide(const struct world *world, uint64_t each)
{
    struct tide_snapshot *snapshot = must_look(world);
    uint64_t sum = 0;

    assert_int_equal(tide_snapshot_info(snapshot)->modules, WIDE);
    for (uint32_t id = 1; id <= WIDE; id++) {
        struct tide_module module;

        tide_snapshot_module(snapshot, id, &module);
        assert_int_equal(module.total->tally.requests, each);
    }
    assert_int_equal(tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, sum_requests, &sum),
                     TIDE_OK);
    assert_int_equal(sum, WIDE * each);
    assert_int_equal(walked_requests(snapshot, TIDE_FLEET), WIDE * each);
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests, WIDE * each);
    tide_snapshot_close(snapshot);
}

/* A commit, a late one after the first seal, another interval, and totals to disk. */
static void live_wide(struct world *world)
{
    commit_wide(world, T0_US);
    advance(world, 13);
    must_seal(world);
    commit_wide(world, T0_US);
    commit_wide(world, T0_US + 13000000);
    advance(world, 65);
    must_seal(world);
    must_upkeep(world);
}

/* What live_wide does to the end from wherever it was left. */
static void live_on(struct world *world, uint64_t commits)
{
    check_wide(world, commits);
    if (commits < 2)
        commit_wide(world, T0_US);
    if (commits < 3)
        commit_wide(world, T0_US + 13000000);
    world->now_us = T0_US + 140000000;
    tide_clock_fake(world->now_us);
    must_seal(world);
    must_upkeep(world);
    check_wide(world, 3);
    assert_int_equal(table_entries(world, TABLE_JOURNAL), 0);
    world_reopen(world);
    check_wide(world, 3);
}

static bool dies_and_lives_on(unsigned n, bool after)
{
    struct world world;
    int status;
    pid_t pid;

    world_prepare(&world);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct tide_err err = {""};

        memset(&trap, 0, sizeof(trap));
        trap.left = n;
        trap.after = after;
        trap.armed = true;
        if (world_try_open(&world, &err))
            _exit(1);
        live_wide(&world);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 0));
    if (WEXITSTATUS(status) == 42) {
        struct tide_snapshot *snapshot;
        uint64_t commits;

        world_open(&world);
        snapshot = must_look(&world);
        commits = tide_snapshot_info(snapshot)->ledger.stored / WIDE;
        tide_snapshot_close(snapshot);
        if (commits == 0)
            commit_wide(&world, T0_US);
        live_on(&world, commits ? commits : 1);
    }
    world_end(&world);
    return WEXITSTATUS(status) == 42;
}

static void death_between_slices_loses_and_doubles_nothing(void **state)
{
    unsigned n = 1;

    (void)state;
    interpose_before = trap_before;
    interpose_after = trap_after;
    while (dies_and_lives_on(n, false))
        n++;
    printf("%u commits survived\n", n - 1);
    assert_true(n - 1 >= 1 + 3 + 2 * 2 + 2 + 1); /* open, commits, two seals and totals in slices,
                                                     cut */
    for (unsigned k = 3; k < n; k += 2)
        dies_and_lives_on(k, true);
    interpose_before = NULL;
    interpose_after = NULL;
}

/* A slice fails, events come in between, and the seal is repeated. */
static void a_seal_that_fails_between_slices_is_repeated_with_what_came_meanwhile(void **state)
{
    struct world world;
    struct tide_err err = {""};

    (void)state;
    interpose_before = trap_before;
    world_begin(&world);
    commit_wide(&world, T0_US);
    advance(&world, 13);
    memset(&trap, 0, sizeof(trap));
    trap.left = 2;
    trap.armed = trap.error = true;
    assert_int_equal(tide_store_seal(world.store, world.now_us, &err), TIDE_IO);
    assert_true(table_entries(&world, TABLE_ROW) > 8000); /* the first slice is there ... */
    check_wide(&world, 1);                                /* ... and nobody counts it */
    commit_wide(&world, T0_US);
    check_wide(&world, 2);
    must_seal(&world);
    assert_int_equal(table_entries(&world, TABLE_ROW), WIDE + 1);
    check_wide(&world, 2);
    world_reopen(&world);
    check_wide(&world, 2);
    interpose_before = NULL;
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_is_sealed_at_its_end_and_grace_and_not_before),
        cmocka_unit_test(a_clock_that_steps_back_opens_nothing_again),
        cmocka_unit_test(a_failed_seal_is_repeated_and_the_store_is_ok_again),
        cmocka_unit_test(an_hour_of_minutes_keeps_the_journal_short_and_every_answer_true),
        cmocka_unit_test(an_event_of_the_future_keeps_its_commit_in_the_journal),
        cmocka_unit_test(a_long_journal_is_checkpointed_before_its_minute),
        cmocka_unit_test(a_late_commit_between_two_slices_of_a_cut_stays_in_the_journal),
        cmocka_unit_test(identities_leave_memory_and_disk_with_their_window),
        cmocka_unit_test(identities_leave_when_there_are_too_many),
        cmocka_unit_test(identities_of_many_parts_go_in_slices),
        cmocka_unit_test(death_between_slices_loses_and_doubles_nothing),
        cmocka_unit_test(a_seal_that_fails_between_slices_is_repeated_with_what_came_meanwhile),
    };

    /* Processes die here, machines do not: a directory in memory does, and its syncs are free. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
