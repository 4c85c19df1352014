/* A small life of a store - commits, late events, resends, seals, checkpoints, cuts, restarts - is
 * ended at every LMDB write it makes, and disturbed by an error at every LMDB call it makes. What
 * the store holds afterwards is what the model holds that knows only which steps had returned.
 *
 * Invariants I1-I5, I7, I9 and I12 of storage/FORMAT.md.
 */
#include "fixture.h"
#include "interpose.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum what { COMMIT, RESEND, SEAL, UPKEEP, REOPEN, ADVANCE };

struct step {
    enum what what;
    int first, count; /* chunks; seconds to ADVANCE */
};

static const struct step script[] = {
    {COMMIT, 0, 2}, {ADVANCE, 6, 0}, {COMMIT, 2, 1},   {ADVANCE, 8, 0},  {COMMIT, 3, 3},
    {SEAL, 0, 0},   {COMMIT, 6, 2}, /* late ones among them */
    {RESEND, 2, 3}, {REOPEN, 0, 0},  {ADVANCE, 75, 0}, {SEAL, 0, 0},     {UPKEEP, 0, 0},
    {UPKEEP, 0, 0}, {COMMIT, 8, 2},  {RESEND, 0, 2},   {ADVANCE, 14, 0}, {COMMIT, 10, 1},
    {SEAL, 0, 0},   {REOPEN, 0, 0},  {COMMIT, 11, 2},  {ADVANCE, 80, 0}, {SEAL, 0, 0},
    {UPKEEP, 0, 0}, {UPKEEP, 0, 0},  {REOPEN, 0, 0},   {COMMIT, 13, 1},
};
#define STEPS (sizeof(script) / sizeof(script[0]))

/* When chunk n was first sent. */
static int64_t arrival_of(int n)
{
    int64_t us = T0_US;

    for (size_t i = 0; i < STEPS; i++) {
        if (script[i].what == ADVANCE)
            us += script[i].first * INT64_C(1000000);
        else if (script[i].what == COMMIT && n >= script[i].first &&
                 n < script[i].first + script[i].count)
            return us;
    }
    fail_msg("chunk %d is in no step", n);
    return 0;
}

static enum tide_rc take(struct world *world, const struct step *step)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    switch (step->what) {
    case COMMIT:
    case RESEND:
        return world_commit(world, (uint64_t)step->first, (size_t)step->count,
                            arrival_of(step->first), &err);
    case SEAL:
        return tide_store_seal(world->store, world->now_us, &err);
    case UPKEEP:
        rc = tide_store_upkeep(world->store, world->now_us, &err);
        return rc == TIDE_AGAIN ? TIDE_OK : rc;
    case REOPEN:
        world_close(world);
        return world_try_open(world, &err);
    case ADVANCE:
        advance(world, step->first);
        return TIDE_OK;
    }
    return TIDE_OK;
}

/* What a step that happened adds to a model whose store is closed. */
static void remember(struct world *world, const struct step *step)
{
    if (step->what == ADVANCE)
        advance(world, step->first);
    for (int n = step->first;
         (step->what == COMMIT || step->what == RESEND) && n < step->first + step->count; n++)
        model_add(world, (uint64_t)n, arrival_of(n), step->what == RESEND);
}

static void finish(struct world *world, size_t from)
{
    for (size_t i = from; i < STEPS; i++)
        assert_int_equal(take(world, &script[i]), TIDE_OK);
    compare_now(world);
    world_reopen(world);
    compare_now(world);
}

/* ---- the process dies at the n-th write ---- */

static struct {
    bool armed;
    enum interposed call;
    bool after;
    unsigned left; /* calls of this kind until it dies */
} death;

static int die_before(enum interposed call)
{
    if (death.armed && !death.after && call == death.call && --death.left == 0)
        _exit(42);
    return 0;
}

static int die_after(enum interposed call, int code)
{
    if (death.armed && death.after && call == death.call && --death.left == 0)
        _exit(42);
    return code;
}

/* Lives the script in a process of its own that dies at the n-th call. Returns the number of steps
 * that had returned; STEPS: it did not come to that call. */
static size_t live_and_die(struct world *world, enum interposed call, bool after, unsigned n)
{
    volatile size_t *done =
        mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t steps;
    int status;
    pid_t pid;

    assert_true(done != MAP_FAILED);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct tide_err err = {""};

        death.call = call;
        death.after = after;
        death.left = n;
        death.armed = true;
        interpose_before = die_before;
        interpose_after = die_after;
        if (world_try_open(world, &err))
            _exit(1);
        for (size_t i = 0; i < STEPS; i++) {
            if (take(world, &script[i]))
                _exit(1);
            *done = i + 1;
        }
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), *done == STEPS ? 0 : 42);
    steps = *done;
    munmap((void *)done, sizeof(*done));
    return steps;
}

static void resend_everything(struct world *world, size_t steps)
{
    uint64_t stored = world->books.stored;

    for (size_t i = 0; i < steps; i++) {
        struct tide_err err = {""};
        uint64_t before = world->books.chunks_duplicate;

        if (script[i].what != COMMIT)
            continue;
        assert_int_equal(world_commit(world, (uint64_t)script[i].first, (size_t)script[i].count,
                                      arrival_of(script[i].first), &err),
                         TIDE_OK);
        assert_int_equal(world->books.chunks_duplicate, before + (uint64_t)script[i].count);
    }
    assert_int_equal(world->books.stored, stored);
    compare_now(world);
}

static bool survives(enum interposed call, bool after, unsigned n)
{
    struct world world;
    struct tide_snapshot *snapshot;
    size_t steps;

    world_prepare(&world);
    steps = live_and_die(&world, call, after, n);
    if (steps < STEPS) {
        size_t next = steps;

        for (size_t i = 0; i < steps; i++)
            remember(&world, &script[i]);
        world_open(&world);
        /* The step in flight happened as a whole or not at all. */
        snapshot = must_look(&world);
        if (tide_snapshot_info(snapshot)->ledger.received != world.books.received)
            remember(&world, &script[next++]);
        compare(&world, snapshot);
        tide_snapshot_close(snapshot);
        resend_everything(&world, next);
        finish(&world, next);
    }
    world_end(&world);
    return steps < STEPS;
}

static void explore(enum interposed call, bool after)
{
    unsigned n = 1;

    while (survives(call, after, n))
        n++;
    printf("%u deaths survived\n", n - 1);
    assert_true(n > 10);
}

static void death_before_any_commit_loses_only_what_was_not_acked(void **state)
{
    (void)state;
    explore(CALL_TXN_COMMIT, false);
}

static void death_after_any_commit_doubles_nothing(void **state)
{
    (void)state;
    explore(CALL_TXN_COMMIT, true);
}

static void death_before_any_put_leaves_no_half_chunk(void **state)
{
    (void)state;
    explore(CALL_PUT, false);
}

static void death_before_any_delete_leaves_no_hole(void **state)
{
    unsigned n = 1;

    (void)state;
    while (survives(CALL_DEL, false, n))
        n++;
    assert_true(n > 3);
}

/* ---- an error at the n-th call ---- */

static struct {
    bool armed;
    enum { ONCE, UNTIL_CLOSED, FOR_EVER } lasts;
    bool done; /* the n-th commit happens and reports a failure all the same */
    int code;
    unsigned left; /* calls until it fails */
    unsigned also; /* and once more, that many calls after it was closed; 0: not */
    bool failed, closed;
} fault;

static int fail_before(enum interposed call)
{
    (void)call;
    if (!fault.armed)
        return 0;
    if (fault.failed && !fault.closed)
        return fault.lasts == ONCE ? 0 : fault.code;
    if (fault.closed)
        return fault.also && --fault.also == 0 ? EIO : 0;
    if (fault.done || --fault.left)
        return 0;
    fault.failed = true;
    return fault.code;
}

static int fail_after(enum interposed call, int code)
{
    if (!fault.armed || !fault.done || fault.failed || call != CALL_TXN_COMMIT || --fault.left)
        return code;
    fault.failed = true;
    return fault.code;
}

static void note_closed(void)
{
    fault.closed = fault.failed && fault.lasts == UNTIL_CLOSED;
}

/* Takes every step with the fault at the n-th call. False: it did not come to that call. */
static bool withstands(int code, unsigned n)
{
    struct world world;
    bool failed;

    world_begin(&world);
    memset(&fault, 0, sizeof(fault));
    fault.code = code;
    fault.left = n;
    for (size_t i = 0; i < STEPS; i++) {
        enum tide_rc rc;

        fault.armed = true;
        rc = take(&world, &script[i]);
        fault.armed = false;
        if (!rc)
            continue;
        assert_true(fault.failed);
        if (world.store) {
            if (script[i].what != UPKEEP) /* which may fail while it looks for something to do */
                assert_int_not_equal(tide_store_state(world.store), TIDE_STORE_OK);
            compare_now(&world); /* nothing happened, and reading goes on */
        }
        if (script[i].what == REOPEN)
            world_open(&world);
        else
            assert_int_equal(take(&world, &script[i]), TIDE_OK);
        assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK);
        compare_now(&world);
    }
    failed = fault.failed;
    finish(&world, STEPS);
    world_end(&world);
    return failed;
}

static void an_error_of_any_call_changes_nothing_and_the_step_can_be_repeated(void **state)
{
    static const int code[] = {EIO, ENOSPC, MDB_MAP_FULL, ENOMEM};
    unsigned n = 1;

    (void)state;
    interpose_before = fail_before;
    interpose_after = fail_after;
    while (withstands(code[n % 4], n))
        n++;
    printf("%u errors withstood\n", n - 1);
    assert_true(n > 100);
    interpose_before = NULL;
    interpose_after = NULL;
}

/* LMDB says MDB_PANIC to everything after a failure it cannot judge: the last commit may be there
 * or not. Only a reopened store knows. */
static bool knows_after_reopening(unsigned n, bool done)
{
    struct world world;
    struct tide_snapshot *snapshot;
    size_t next = 0;

    world_begin(&world);
    memset(&fault, 0, sizeof(fault));
    fault.code = MDB_PANIC;
    fault.left = n;
    fault.lasts = FOR_EVER;
    fault.done = done;
    for (; next < STEPS && !fault.failed; next++) {
        fault.armed = true;
        if (take(&world, &script[next]) == TIDE_OK) {
            fault.armed = false;
            continue;
        }
        if (world.store) {
            assert_int_equal(tide_store_state(world.store), TIDE_STORE_IN_DOUBT);
            /* tried again, it fails again: nobody is acked */
            assert_int_equal(take(&world, &script[next]), TIDE_IN_DOUBT);
            fault.armed = false;
            world_close(&world);
        }
        fault.armed = false;
        break;
    }
    if (fault.failed) {
        if (!world.store)
            world_open(&world);
        snapshot = must_look(&world);
        if (tide_snapshot_info(snapshot)->ledger.received != world.books.received)
            remember(&world, &script[next++]);
        compare(&world, snapshot);
        tide_snapshot_close(snapshot);
        resend_everything(&world, next);
        finish(&world, next);
    }
    world_end(&world);
    return fault.failed;
}

static void a_commit_in_doubt_is_decided_by_reopening(void **state)
{
    unsigned n = 1;

    (void)state;
    interpose_before = fail_before;
    interpose_after = fail_after;
    while (knows_after_reopening(n, true))
        n++;
    assert_true(n > 10);
    for (n = 1; knows_after_reopening(n, false); n += 7)
        continue;
    assert_true(n > 100);
    interpose_before = NULL;
    interpose_after = NULL;
}

/* The store reopens LMDB's environment by itself, and the same step, repeated, finds out what
 * happened. Chores may as well be left until their next turn. */
static bool settles(unsigned n, bool done, unsigned also, bool leave_chores)
{
    struct world world;

    world_begin(&world);
    memset(&fault, 0, sizeof(fault));
    fault.code = MDB_PANIC;
    fault.lasts = UNTIL_CLOSED;
    fault.left = n;
    fault.done = done;
    fault.also = also;
    for (size_t i = 0; i < STEPS; i++) {
        bool chore = script[i].what == SEAL || script[i].what == UPKEEP;

        for (int tries = 0;; tries++) {
            enum tide_rc rc;

            fault.armed = true;
            rc = take(&world, &script[i]);
            fault.armed = false;
            if (world.store && world.store->env)
                compare_now(&world); /* nothing shows of what did not return well */
            if (!rc || (chore && leave_chores))
                break;
            assert_true(fault.failed && tries < 4);
            if (!world.store) /* that was the opening of another life */
                fault.closed = true;
        }
    }
    finish(&world, STEPS);
    world_end(&world);
    return fault.failed;
}

static void check_three(const struct world *world)
{
    struct tide_snapshot *snapshot = must_look(world);
    uint64_t swept = 0;

    assert_int_equal(walked_requests(snapshot, id_of(snapshot, "auth")), 3);
    assert_int_equal(walked_requests(snapshot, TIDE_FLEET), 3);
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests, 3);
    tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, sum_requests, &swept);
    assert_int_equal(swept, 3);
    tide_snapshot_close(snapshot);
}

/* The seal had happened; what is late for it comes before anybody asks, and the next seal reaches
 * further. */
static void what_comes_after_a_seal_in_doubt_is_counted_once(void **state)
{
    struct world world;
    struct tide_err err = {""};

    (void)state;
    interpose_before = fail_before;
    interpose_after = fail_after;
    interpose_closed = note_closed;
    world_begin(&world);
    must_commit_one(&world, "auth", T0_US);
    advance(&world, 13);
    memset(&fault, 0, sizeof(fault));
    fault.code = MDB_PANIC;
    fault.lasts = UNTIL_CLOSED;
    fault.left = 1;
    fault.done = true;
    fault.armed = true;
    assert_int_equal(tide_store_seal(world.store, world.now_us, &err), TIDE_IN_DOUBT);
    must_commit_one(&world, "auth", T0_US);
    must_commit_one(&world, "auth", world.now_us);
    check_three(&world);
    advance(&world, 20);
    must_seal(&world);
    check_three(&world);
    world_reopen(&world);
    check_three(&world);
    assert_true(fault.closed);
    interpose_before = NULL;
    interpose_after = NULL;
    interpose_closed = NULL;
    world_end(&world);
}

static void a_step_in_doubt_is_settled_by_repeating_it(void **state)
{
    unsigned n = 1;

    (void)state;
    interpose_before = fail_before;
    interpose_after = fail_after;
    interpose_closed = note_closed;
    while (settles(n, true, 0, false) && settles(n, false, 0, false))
        n++;
    assert_true(n > 10);
    for (n = 1; settles(n, true, 0, true); n++) /* chores wait for their next turn */
        continue;
    for (n = 1; n < 20; n++) /* and the reopening fails at first */
        for (unsigned also = 1; also <= 15; also += 2)
            settles(n, true, also, false);
    interpose_before = NULL;
    interpose_after = NULL;
    interpose_closed = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_before_any_commit_loses_only_what_was_not_acked),
        cmocka_unit_test(death_after_any_commit_doubles_nothing),
        cmocka_unit_test(death_before_any_put_leaves_no_half_chunk),
        cmocka_unit_test(death_before_any_delete_leaves_no_hole),
        cmocka_unit_test(an_error_of_any_call_changes_nothing_and_the_step_can_be_repeated),
        cmocka_unit_test(a_commit_in_doubt_is_decided_by_reopening),
        cmocka_unit_test(a_step_in_doubt_is_settled_by_repeating_it),
        cmocka_unit_test(what_comes_after_a_seal_in_doubt_is_counted_once),
    };

    /* Processes die here, machines do not: a directory in memory does, and its syncs are free. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
