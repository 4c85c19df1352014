/* committer: who comes home in which order and with which fate, what shares a transaction, and what
 * happens while the store cannot write. The commits of LMDB pass through a gate of the test.
 */
#include "tidemark/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../storage/interpose.h"
#include "any.h"
#include "dir.h"
#include "pack.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tidemark/mailbox.h"

#define PATIENCE_MS 20000 /* for what must come; a test that waits that long has failed */

/* ---- the gate ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;    /* commits wait here */
    int waiting;  /* how many do */
    int failures; /* that many commits fail; < 0: all of them */
    bool doubt;   /* the next commit ends in a panic, which lasts until LMDB is closed */
    atomic_bool panic;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int at_the_gate(enum interposed call)
{
    int code = 0;

    if (atomic_load(&gate.panic))
        return MDB_PANIC;
    if (call != CALL_TXN_COMMIT)
        return 0;
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.shut)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    if (gate.failures) {
        code = EIO;
        gate.failures -= gate.failures > 0;
    }
    pthread_mutex_unlock(&gate.lock);
    return code;
}

/* In doubt: it happened, and nobody can tell. */
static int past_the_gate(enum interposed call, int code)
{
    if (call == CALL_TXN_COMMIT && gate.doubt) {
        gate.doubt = false;
        atomic_store(&gate.panic, true);
        return MDB_PANIC;
    }
    return code;
}

static void end_panic(void)
{
    atomic_store(&gate.panic, false);
}

static void set_gate(bool shut, int failures)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    gate.failures = failures;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    while (!gate.waiting)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

/* ---- a committer on a store ---- */

struct bench {
    char dir[200];
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_commit *commit;
    struct tide_mailbox *home;
    struct tide_fold_rules rules;
    struct tide_parcel *parcel; /* number i has owner i */
    size_t parcels;
};

static void bench_open(struct bench *bench)
{
    struct tide_err err = {""};
    const struct tide_commit_cfg cfg = {.capacity = (uint32_t)bench->parcels, .gather_max_ms = 20};

    if (tide_store_open(&bench->cfg, &bench->store, &err) ||
        tide_commit_start(&cfg, bench->store, &bench->commit, &err))
        fail_msg("start: %s", err.text);
    bench->rules =
        (struct tide_fold_rules){.interval_s = bench->cfg.interval_s,
                                 .lateness_s = bench->cfg.lateness_s,
                                 .future_s = 60,
                                 .instance_seed = tide_store_instance_seed(bench->store)};
}

static void bench_begin(struct bench *bench, size_t parcels)
{
    struct tide_err err = {""};

    memset(bench, 0, sizeof(*bench));
    tide_test_dir(bench->dir, sizeof(bench->dir));
    tide_store_cfg_default(&bench->cfg);
    snprintf(bench->cfg.dir, sizeof(bench->cfg.dir), "%s/store", bench->dir);
    bench->cfg.map_bytes = UINT64_C(1) << 32;
    bench->cfg.grace_s = 300; /* no seal comes between unless a test wants it */
    bench->parcels = parcels;
    bench->parcel = calloc(parcels, sizeof(*bench->parcel));
    assert_non_null(bench->parcel);
    for (size_t i = 0; i < parcels; i++)
        tide_parcel_init(&bench->parcel[i], NULL);
    if (tide_mailbox_new(parcels, &bench->home, &err))
        fail_msg("mailbox: %s", err.text);
    bench_open(bench);
}

static void bench_stop(struct bench *bench)
{
    tide_commit_stop(bench->commit);
    bench->commit = NULL;
}

static void bench_end(struct bench *bench)
{
    set_gate(false, 0);
    bench_stop(bench);
    tide_store_close(bench->store);
    for (size_t i = 0; i < bench->parcels; i++)
        tide_parcel_fini(&bench->parcel[i]);
    free(bench->parcel);
    tide_mailbox_free(bench->home);
    tide_test_dir_remove(bench->dir);
}

/* Fills parcel i with `events` of now and posts it home to `home`; identity n, 0: none. */
static void post(struct bench *bench, size_t i, int events, uint64_t n, struct tide_mailbox *home)
{
    struct tide_parcel *parcel = &bench->parcel[i];
    int64_t now_us = tide_clock_wall_us();
    struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                            .weight = 1,
                            .success = true,
                            .time_us = now_us,
                            .module = {"auth", 4}};

    tide_parcel_reset(parcel);
    for (int e = 0; e < events; e++)
        tide_parcel_fold(parcel, &bench->rules, &ev, now_us);
    parcel->home = home;
    parcel->owner = i;
    parcel->chunk_len = 2;
    parcel->has_identity = n != 0;
    parcel->identity = (struct tide_hash128){n, ~n};
    tide_commit_post(bench->commit, parcel);
}

/* Waits for the next parcel to come home. */
static struct tide_parcel *come_home(struct tide_mailbox *home)
{
    void *object = NULL;

    while (tide_mailbox_take(home, &object, 1) == 0)
        if (tide_mailbox_wait(home, PATIENCE_MS) == 0)
            fail_msg("nothing came home");
    return object;
}

static uint64_t stored(const struct bench *bench)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};
    uint64_t events;

    if (tide_snapshot_open(bench->store, &snapshot, &err))
        fail_msg("snapshot: %s", err.text);
    events = tide_snapshot_info(snapshot)->ledger.stored;
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests, events);
    tide_snapshot_close(snapshot);
    return events;
}

/* ---- claims ---- */

static void a_parcel_comes_home_committed_and_visible(void **state)
{
    struct bench bench;

    (void)state;
    bench_begin(&bench, 4);
    for (uint64_t round = 1; round <= 20; round++) {
        struct tide_parcel *parcel;

        post(&bench, round % 4, 3, round, bench.home);
        parcel = come_home(bench.home);
        assert_ptr_equal(parcel, &bench.parcel[round % 4]);
        assert_int_equal(parcel->fate, TIDE_FATE_COMMITTED);
        assert_int_equal(stored(&bench), 3 * round);
    }
    post(&bench, 0, 3, 7, bench.home);
    assert_int_equal(come_home(bench.home)->fate, TIDE_FATE_DUPLICATE);
    assert_int_equal(stored(&bench), 60);
    bench_end(&bench);
}

static void what_comes_while_a_commit_runs_shares_the_next_one(void **state)
{
    enum { MORE = 60 };
    struct bench bench;
    uint64_t before;

    (void)state;
    bench_begin(&bench, 1 + MORE);
    before = tide_counted(TIDE_COUNT_COMMITS);
    set_gate(true, 0);
    post(&bench, 0, 1, 0, bench.home);
    wait_at_gate();
    for (size_t i = 1; i <= MORE; i++)
        post(&bench, i, 1, 0, bench.home);
    assert_int_equal(tide_mailbox_wait(bench.home, 0), 0); /* nobody is acked before the disk */
    set_gate(false, 0);
    for (size_t i = 0; i <= MORE; i++)
        assert_int_equal(come_home(bench.home)->owner, i);
    assert_int_equal(stored(&bench), MORE + 1);
    assert_int_equal(tide_counted(TIDE_COUNT_COMMITS) - before, 2);
    bench_end(&bench);
}

static void a_parcel_of_many_events_is_gathered_and_comes_home_all_the_same(void **state)
{
    struct bench bench;

    (void)state;
    bench_begin(&bench, 8);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 8; i++)
            post(&bench, i, 1000, 0, bench.home);
        for (size_t i = 0; i < 8; i++)
            assert_int_equal(come_home(bench.home)->owner, i);
    }
    assert_int_equal(stored(&bench), 80000);
    bench_end(&bench);
}

/* ---- posters ---- */

enum { POSTERS = 3, EACH = 40, ROUNDS = 50 };

struct poster {
    struct bench *bench;
    struct tide_mailbox *home;
    size_t first; /* of its parcels */
    uint64_t wrong;
};

/* Keeps its parcels on their way: posts them in turn, and expects them back in turn. */
static void *post_and_expect(void *arg)
{
    struct poster *poster = arg;
    uint64_t seed = poster->first + 1;
    size_t sent = 0, back = 0;

    while (back < EACH * ROUNDS) {
        size_t burst = (size_t)tide_any_between(&seed, 1, EACH);
        void *object[EACH];
        size_t got;

        for (; burst && sent < EACH * ROUNDS && sent - back < EACH; burst--, sent++)
            post(poster->bench, poster->first + sent % EACH, 2, 0, poster->home);
        if (tide_mailbox_wait(poster->home, PATIENCE_MS) == 0) {
            poster->wrong++;
            return NULL;
        }
        got = tide_mailbox_take(poster->home, object, (size_t)tide_any_between(&seed, 1, EACH));
        for (size_t i = 0; i < got; i++, back++) {
            struct tide_parcel *parcel = object[i];

            poster->wrong += parcel->owner != poster->first + back % EACH;
            poster->wrong += parcel->fate != TIDE_FATE_COMMITTED;
        }
    }
    return NULL;
}

static void parcels_come_home_in_the_order_of_posting_per_poster(void **state)
{
    struct bench bench;
    struct poster poster[POSTERS];
    pthread_t thread[POSTERS];
    struct tide_err err = {""};

    (void)state;
    bench_begin(&bench, POSTERS * EACH);
    for (size_t p = 0; p < POSTERS; p++) {
        poster[p] = (struct poster){.bench = &bench, .first = p * EACH};
        assert_int_equal(tide_mailbox_new(EACH, &poster[p].home, &err), TIDE_OK);
        assert_int_equal(pthread_create(&thread[p], NULL, post_and_expect, &poster[p]), 0);
    }
    for (size_t p = 0; p < POSTERS; p++) {
        pthread_join(thread[p], NULL);
        assert_int_equal(poster[p].wrong, 0);
        tide_mailbox_free(poster[p].home);
    }
    assert_int_equal(stored(&bench), 2 * POSTERS * EACH * ROUNDS);
    bench_end(&bench);
}

/* ---- stopping ---- */

static void stopping_commits_what_was_posted(void **state)
{
    enum { MANY = 100 };
    struct bench bench;

    (void)state;
    bench_begin(&bench, MANY);
    set_gate(true, 0);
    for (size_t i = 0; i < MANY; i++)
        post(&bench, i, 5, i + 1, bench.home);
    wait_at_gate();
    set_gate(false, 0);
    bench_stop(&bench);
    for (size_t i = 0; i < MANY; i++) {
        struct tide_parcel *parcel = come_home(bench.home);

        assert_int_equal(parcel->owner, i);
        assert_int_equal(parcel->fate, TIDE_FATE_COMMITTED);
    }
    tide_store_close(bench.store);
    bench_open(&bench);
    assert_int_equal(stored(&bench), 5 * MANY);
    tide_commit_stop(NULL);
    bench_end(&bench);
}

static void stopping_an_idle_committer_takes_no_time(void **state)
{
    struct bench bench;
    int64_t begin_us;

    (void)state;
    bench_begin(&bench, 1);
    post(&bench, 0, 1, 0, bench.home);
    come_home(bench.home);
    begin_us = tide_clock_mono_us();
    bench_stop(&bench);
    assert_true(tide_clock_mono_us() - begin_us < 900000); /* it does not sleep its second out */
    bench_end(&bench);
}

/* ---- a store that cannot write ---- */

static void wait_stalled(const struct bench *bench, bool stalled)
{
    int64_t until_us = tide_clock_mono_us() + PATIENCE_MS * 1000;

    while (tide_commit_stalled(bench->commit) != stalled) {
        if (tide_clock_mono_us() > until_us)
            fail_msg("never %s", stalled ? "stalled" : "well again");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void a_failing_store_stalls_acks_nobody_and_recovers_by_itself(void **state)
{
    struct bench bench;
    uint64_t failures = tide_counted(TIDE_COUNT_COMMIT_FAILURES);

    (void)state;
    bench_begin(&bench, 10);
    set_gate(false, -1);
    for (size_t i = 0; i < 5; i++)
        post(&bench, i, 2, i + 1, bench.home);
    wait_stalled(&bench, true);
    for (size_t i = 5; i < 10; i++) /* what was read already */
        post(&bench, i, 2, i + 1, bench.home);
    while (tide_counted(TIDE_COUNT_COMMIT_FAILURES) < failures + 3)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(tide_mailbox_wait(bench.home, 0), 0);
    assert_int_equal(stored(&bench), 0); /* reading goes on */
    assert_int_equal(tide_store_state(bench.store), TIDE_STORE_IN_DOUBT);
    set_gate(false, 0);
    for (size_t i = 0; i < 10; i++) {
        struct tide_parcel *parcel = come_home(bench.home);

        assert_int_equal(parcel->owner, i);
        assert_int_equal(parcel->fate, TIDE_FATE_COMMITTED);
    }
    wait_stalled(&bench, false);
    assert_int_equal(stored(&bench), 20); /* each once, for all the trying */
    assert_int_equal(tide_store_state(bench.store), TIDE_STORE_OK);
    bench_end(&bench);
}

static void any_number_of_failures_commits_each_parcel_once(void **state)
{
    struct bench bench;

    (void)state;
    bench_begin(&bench, 3);
    for (int failures = 1; failures <= 3; failures++) {
        set_gate(false, failures);
        for (size_t i = 0; i < 3; i++)
            post(&bench, i, 1, 0, bench.home);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(come_home(bench.home)->fate, TIDE_FATE_COMMITTED);
        assert_int_equal(stored(&bench), 3 * failures);
    }
    bench_end(&bench);
}

static void stopping_while_the_store_fails_drops_what_cannot_be_written(void **state)
{
    struct bench bench;
    int64_t begin_us;

    (void)state;
    bench_begin(&bench, 10);
    set_gate(false, -1);
    for (size_t i = 0; i < 10; i++)
        post(&bench, i, 2, i + 1, bench.home);
    wait_stalled(&bench, true);
    begin_us = tide_clock_mono_us();
    bench_stop(&bench);
    assert_true(tide_clock_mono_us() - begin_us < 1500000); /* no pause is slept out */
    for (size_t i = 0; i < 10; i++) {
        struct tide_parcel *parcel = come_home(bench.home);

        assert_int_equal(parcel->owner, i);
        assert_int_equal(parcel->fate, TIDE_FATE_DROPPED);
    }
    assert_int_equal(stored(&bench), 0);
    set_gate(false, 0);
    tide_store_close(bench.store);
    bench_open(&bench);
    post(&bench, 0, 2, 1, bench.home); /* the sender sends again: new, not a duplicate */
    assert_int_equal(come_home(bench.home)->fate, TIDE_FATE_COMMITTED);
    bench_end(&bench);
}

static void a_commit_in_doubt_is_settled_by_itself_and_counted_once(void **state)
{
    struct bench bench;

    (void)state;
    bench_begin(&bench, 6);
    set_gate(true, 0);
    for (size_t i = 0; i < 6; i++) /* with and without identity */
        post(&bench, i, 2, i % 2 ? i : 0, bench.home);
    wait_at_gate();
    gate.doubt = true;
    set_gate(false, 0);
    for (size_t i = 0; i < 6; i++) {
        struct tide_parcel *parcel = come_home(bench.home);

        assert_int_equal(parcel->owner, i);
        assert_int_equal(parcel->fate, TIDE_FATE_COMMITTED);
    }
    assert_false(gate.doubt);
    assert_int_equal(stored(&bench), 12);
    bench_stop(&bench);
    tide_store_close(bench.store);
    bench_open(&bench);
    assert_int_equal(stored(&bench), 12);
    bench_end(&bench);
}

/* ---- a store that has failed ---- */

/* A store that has failed with its second failure. */
static void bench_begin_impatient(struct bench *bench, size_t parcels)
{
    bench_begin(bench, parcels);
    bench_stop(bench);
    tide_store_close(bench->store);
    bench->cfg.retry_s = 0;
    bench_open(bench);
}

static void expect_home(struct bench *bench, size_t first, size_t end, enum tide_fate fate)
{
    for (size_t i = first; i < end; i++) {
        struct tide_parcel *parcel = come_home(bench->home);

        assert_int_equal(parcel->owner, i);
        assert_int_equal(parcel->fate, fate);
    }
}

static void a_store_that_has_failed_gives_everything_back_and_is_tried_until_it_works(void **state)
{
    struct bench bench;
    uint64_t dropped = tide_counted(TIDE_COUNT_EVENTS_DROPPED);
    uint64_t failures;

    (void)state;
    bench_begin_impatient(&bench, 10);
    set_gate(false, -1);
    for (size_t i = 0; i < 6; i++)
        post(&bench, i, 2, i + 1, bench.home);
    expect_home(&bench, 0, 6, TIDE_FATE_DROPPED);
    assert_int_equal(tide_store_state(bench.store), TIDE_STORE_FAILED);
    assert_true(tide_commit_stalled(bench.commit));
    for (size_t i = 6; i < 10; i++) /* what was read already */
        post(&bench, i, 2, i + 1, bench.home);
    expect_home(&bench, 6, 10, TIDE_FATE_DROPPED);
    assert_int_equal(tide_counted(TIDE_COUNT_EVENTS_DROPPED) - dropped, 20);
    failures = tide_counted(TIDE_COUNT_COMMIT_FAILURES);
    while (tide_counted(TIDE_COUNT_COMMIT_FAILURES) < failures + 2) /* with nothing to write */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(stored(&bench), 0); /* reading goes on */
    assert_true(tide_commit_stalled(bench.commit));
    set_gate(false, 0);
    wait_stalled(&bench, false); /* nobody has sent anything */
    assert_int_equal(tide_store_state(bench.store), TIDE_STORE_OK);
    for (size_t i = 0; i < 10; i++) /* the senders send again: new, not duplicates */
        post(&bench, i, 2, i + 1, bench.home);
    expect_home(&bench, 0, 10, TIDE_FATE_COMMITTED);
    assert_int_equal(stored(&bench), 20);
    bench_end(&bench);
}

static void what_was_given_back_in_doubt_and_had_happened_counts_once(void **state)
{
    struct tide_snapshot *reader;
    struct tide_err err = {""};
    struct bench bench;
    uint64_t in_doubt;

    (void)state;
    bench_begin_impatient(&bench, 6);
    assert_int_equal(tide_snapshot_open(bench.store, &reader, &err), TIDE_OK); /* in the way */
    set_gate(true, 0);
    for (size_t i = 0; i < 6; i++)
        post(&bench, i, 2, i + 1, bench.home);
    wait_at_gate();
    gate.doubt = true;
    set_gate(false, 0);
    expect_home(&bench, 0, 6, TIDE_FATE_DROPPED);
    assert_int_equal(tide_store_state(bench.store), TIDE_STORE_FAILED);
    tide_snapshot_close(reader);
    wait_stalled(&bench, false);
    in_doubt = stored(&bench) / 2; /* the first commit need not have been of all six */
    assert_in_range(in_doubt, 1, 6);
    for (int life = 0; life < 2; life++) {
        for (size_t i = 0; i < 6; i++)
            post(&bench, i, 2, i + 1, bench.home);
        for (size_t got = 0; got < 6; got++)
            assert_int_equal(come_home(bench.home)->fate,
                             life || got < in_doubt ? TIDE_FATE_DUPLICATE : TIDE_FATE_COMMITTED);
        assert_int_equal(stored(&bench), 12);
        bench_stop(&bench);
        tide_store_close(bench.store);
        bench_open(&bench);
    }
    assert_int_equal(stored(&bench), 12);
    bench_end(&bench);
}

/* ---- chores ---- */

static void intervals_are_sealed_without_anybody_asking(void **state)
{
    struct bench bench;
    int64_t until_us = tide_clock_mono_us() + PATIENCE_MS * 1000;
    int64_t sealed_upto_s = 0;

    (void)state;
    bench_begin(&bench, 1);
    bench_stop(&bench);
    tide_store_close(bench.store);
    snprintf(bench.cfg.dir, sizeof(bench.cfg.dir), "%s/other", bench.dir);
    bench.cfg.interval_s = 1;
    bench.cfg.grace_s = 0;
    bench_open(&bench);
    post(&bench, 0, 1, 0, bench.home);
    come_home(bench.home);
    while (sealed_upto_s == 0) {
        struct tide_snapshot *snapshot;
        struct tide_err err = {""};

        assert_true(tide_clock_mono_us() < until_us);
        assert_int_equal(tide_snapshot_open(bench.store, &snapshot, &err), TIDE_OK);
        sealed_upto_s = tide_snapshot_info(snapshot)->sealed_upto_s;
        tide_snapshot_close(snapshot);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    assert_true(sealed_upto_s * 1000000 <= tide_clock_wall_us());
    assert_int_equal(stored(&bench), 1);
    bench_end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parcel_comes_home_committed_and_visible),
        cmocka_unit_test(what_comes_while_a_commit_runs_shares_the_next_one),
        cmocka_unit_test(a_parcel_of_many_events_is_gathered_and_comes_home_all_the_same),
        cmocka_unit_test(parcels_come_home_in_the_order_of_posting_per_poster),
        cmocka_unit_test(stopping_commits_what_was_posted),
        cmocka_unit_test(stopping_an_idle_committer_takes_no_time),
        cmocka_unit_test(a_failing_store_stalls_acks_nobody_and_recovers_by_itself),
        cmocka_unit_test(any_number_of_failures_commits_each_parcel_once),
        cmocka_unit_test(stopping_while_the_store_fails_drops_what_cannot_be_written),
        cmocka_unit_test(a_commit_in_doubt_is_settled_by_itself_and_counted_once),
        cmocka_unit_test(a_store_that_has_failed_gives_everything_back_and_is_tried_until_it_works),
        cmocka_unit_test(what_was_given_back_in_doubt_and_had_happened_counts_once),
        cmocka_unit_test(intervals_are_sealed_without_anybody_asking),
    };

    interpose_before = at_the_gate;
    interpose_after = past_the_gate;
    interpose_closed = end_panic;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
