/* Invariants of storage/FORMAT.md, one test each, by the numbers that they have there. Those that a
 * crash or a fault puts to the test are claimed by the other programs of this folder; what is here
 * holds in the quiet, too.
 */
#include "life.h"

#include "interpose.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 120

static uint64_t seed;
static struct life life;

/* Lived once; the store may be looked at before it goes. */
static void learn(struct world *world, unsigned rounds)
{
    life_make(&life, seed, rounds);
    life_prepare(world);
    life_learn(world, &life, NULL);
}

/* ---- I4 ---- */

static void i4_sending_everything_again_changes_duplicate_counters_only(void **state)
{
    struct world world;
    uint64_t stored;

    (void)state;
    life_make(&life, seed, ROUNDS);
    life_prepare(&world);
    world.cfg.dedup_window_s = 40000;
    life_learn(&world, &life, NULL);
    stored = world.books.stored;
    for (int again = 0; again < 2; again++) {
        for (uint64_t n = 0; n < life.chunks; n++) {
            uint64_t before = world.books.chunks_duplicate;
            struct tide_err err = {""};

            if (world_commit(&world, n, 1, life.arrival_us[n], &err))
                fail_msg("chunk %llu: %s", (unsigned long long)n, err.text);
            assert_int_equal(world.books.chunks_duplicate, before + 1);
        }
        assert_int_equal(world.books.stored, stored);
        compare_now(&world);
        world_reopen(&world);
    }
    world_end(&world);
}

/* ---- I5 ---- */

static struct {
    const struct world *world;
    unsigned step;
    unsigned looked, ahead, not_now;
    bool inside;
} window;

/* The commit is on disk and nobody has been told. */
static int look_inside(enum interposed call, int code)
{
    struct life_known now;
    struct tide_err err = {""};
    enum tide_rc rc;

    if (call != CALL_TXN_COMMIT || code || window.inside || !window.world || !window.world->store)
        return code;
    window.inside = true;
    rc = life_look(window.world, &now, &err);
    if (rc == TIDE_UNAVAILABLE && life.step[window.step].what == LIFE_UPKEEP) {
        window.not_now++; /* a fold: who asks has to wait for its publishing */
        window.inside = false;
        return code;
    }
    if (rc)
        fail_msg("inside a commit of step %u: %s", window.step, err.text);
    if (now.answer != life.known[window.step].answer)
        fail_msg("inside a commit of step %u: it shows already", window.step);
    window.looked++;
    window.ahead += life.known[window.step].answer != life.known[window.step + 1].answer;
    window.inside = false;
    return code;
}

/* Between LMDB's commit and the head's publishing the file is ahead of what may be shown: rows of
 * an interval that the generation holds open, corrections and books that it does not know. */
static void i5_a_snapshot_between_commit_and_publish_shows_none_of_it(void **state)
{
    struct tide_err err = {""};
    struct world world;

    (void)state;
    learn(&world, ROUNDS);
    world_end(&world);
    life_prepare(&world);
    world_open(&world);
    window.world = &world;
    interpose_after = look_inside;
    for (window.step = 0; window.step < life.steps; window.step++)
        if (life_take(&world, &life, window.step, &err))
            fail_msg("step %u: %s", window.step, err.text);
    interpose_after = NULL;
    window.world = NULL;
    compare_now(&world);
    world_end(&world);
    printf("looked into %u commits, %u of them of chunks; %u folds were not to be looked into\n",
           window.looked, window.ahead, window.not_now);
    assert_true(window.looked > 60 && window.ahead > 30);
}

/* ---- I6 ---- */

struct sums {
    struct tide_record of_interval, whole;
    int64_t start_s;
};

static bool gather_one(void *arg, uint32_t module, int64_t start_s,
                       const struct tide_record *record, unsigned flags)
{
    struct sums *sums = arg;

    (void)module;
    (void)flags;
    assert_int_equal(start_s, sums->start_s);
    tide_record_gather(&sums->of_interval, record);
    return true;
}

static bool merge_one(void *arg, uint32_t module, int64_t start_s, const struct tide_record *record,
                      unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    tide_record_merge(&((struct sums *)arg)->whole, record);
    return true;
}

struct fleet_walk {
    struct tide_snapshot *snapshot;
    struct sums sums;
    unsigned intervals;
};

static bool compare_fleet(void *arg, uint32_t module, int64_t start_s,
                          const struct tide_record *record, unsigned flags)
{
    struct fleet_walk *walk = arg;
    struct tide_record fleet;

    (void)module;
    (void)flags;
    tide_record_init(&fleet);
    tide_record_copy(&fleet, record);
    tide_record_reset(&walk->sums.of_interval);
    walk->sums.start_s = start_s;
    assert_int_equal(tide_snapshot_sweep(walk->snapshot, start_s, start_s + INTERVAL_S, NULL,
                                         gather_one, &walk->sums),
                     TIDE_OK);
    fleet.slowest = walk->sums.of_interval.slowest;
    assert_true(tide_record_equal(&fleet, &walk->sums.of_interval));
    tide_record_fini(&fleet);
    walk->intervals++;
    return true;
}

static void i6_the_fleet_is_its_modules_gathered_and_a_total_its_intervals_merged(void **state)
{
    struct fleet_walk walk = {0};
    struct world world;

    (void)state;
    learn(&world, ROUNDS);
    tide_record_init(&walk.sums.of_interval);
    tide_record_init(&walk.sums.whole);
    walk.snapshot = must_look(&world);
    /* one snapshot has one walk at a time: another one asks for the modules */
    {
        struct tide_snapshot *outer = must_look(&world);

        assert_int_equal(tide_snapshot_walk(outer, TIDE_FLEET, 0, FOREVER_S, compare_fleet, &walk),
                         TIDE_OK);
        tide_snapshot_close(outer);
    }
    for (uint32_t id = 1; id <= tide_snapshot_info(walk.snapshot)->modules; id++) {
        struct tide_record *whole = &walk.sums.whole;
        struct tide_module module;

        tide_record_reset(whole);
        assert_int_equal(tide_snapshot_walk(walk.snapshot, id, 0, FOREVER_S, merge_one, &walk.sums),
                         TIDE_OK);
        whole->instances = 0; /* totals have none of these */
        whole->customs.count = 0;
        whole->slowest.us = 0;
        whole->slowest.len = 0;
        tide_snapshot_module(walk.snapshot, id, &module);
        assert_true(tide_record_equal(whole, module.total));
    }
    assert_true(walk.intervals > 50);
    tide_snapshot_close(walk.snapshot);
    tide_record_fini(&walk.sums.of_interval);
    tide_record_fini(&walk.sums.whole);
    world_end(&world);
}

/* ---- I7 ---- */

static void i7_commit_seq_and_sealed_upto_never_go_back_whatever_the_clock_does(void **state)
{
    uint64_t dice = seed + 7, next = 0;
    struct life_known floor = {0}, now;
    struct tide_err err = {""};
    struct world world;

    (void)state;
    life_prepare(&world);
    world.cfg.dedup_window_s = INT32_MAX;
    world_open(&world);
    for (int i = 0; i < 300; i++) {
        static const int64_t most_s[] = {1, 20, 300, 4000, 3000};

        advance(&world, tide_any_between(&dice, -1, 1) *
                            tide_any_between(&dice, 0, most_s[tide_any_between(&dice, 0, 4)]));
        switch (tide_any_between(&dice, 0, 5)) {
        case 0:
            must_upkeep(&world);
            break;
        case 1:
            world_reopen(&world);
            break;
        case 2:
            must_seal(&world);
            break;
        default:
            must_commit(&world, next++, 1);
        }
        if (life_look(&world, &now, &err))
            fail_msg("look: %s", err.text);
        assert_true(now.commit_seq >= floor.commit_seq);
        assert_true(now.sealed_upto_s >= floor.sealed_upto_s);
        floor = now;
    }
    compare_now(&world);
    world_end(&world);
}

/* ---- I8 ---- */

/* What is on disk of the finished intervals, byte for byte; but commit_seq, of which restarts take
 * some, is left out of the keys of corrections. */
static uint64_t history_bytes(const struct world *world)
{
    static const struct {
        enum table table;
        size_t from, to; /* of the key: the seq */
    } part[] = {{TABLE_ROW, 0, 0},      {TABLE_CORRECTION, 12, 20}, {TABLE_CHUNK_RAW, 0, 0},
                {TABLE_CHUNK_5M, 0, 0}, {TABLE_CHUNK_1H, 0, 0},     {TABLE_CHUNK_1D, 0, 0}};
    struct answer answer = {0};
    MDB_txn *txn;

    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
        MDB_cursor *cursor;
        MDB_val key, value;

        assert_int_equal(mdb_cursor_open(txn, world->store->dbi[part[i].table], &cursor), 0);
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            const uint8_t *bytes = key.mv_data;

            answer_add(&answer, bytes, part[i].from);
            answer_add(&answer, bytes + part[i].to, key.mv_size - part[i].to);
            answer_add(&answer, value.mv_data, value.mv_size - TIDE_CRC_SIZE);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return answer.number;
}

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

/* Lives in the directory as it is, with a restart after every `restart`th step (0: those of the
 * life are left out, too). */
static uint64_t live_in(const char *file, unsigned restart)
{
    struct tide_err err = {""};
    struct world world;
    uint64_t bytes;

    life_prepare(&world);
    assert_int_equal(mkdir(world.cfg.dir, 0700), 0);
    copy_file(file, strcat(strcpy((char[1200]){0}, world.cfg.dir), "/tidemark.mdb"));
    world_open(&world);
    for (unsigned i = 0; i < life.steps; i++) {
        if (life.step[i].what == LIFE_REOPEN && !restart)
            continue;
        if (life_take(&world, &life, i, &err))
            fail_msg("step %u: %s", i, err.text);
        if (restart && i % restart == 0)
            world_reopen(&world);
    }
    advance(&world, 5000);
    must_seal(&world);
    must_upkeep(&world);
    bytes = history_bytes(&world);
    world_end(&world);
    return bytes;
}

static void i8_restarts_leave_the_same_bytes(void **state)
{
    struct world world;
    char file[1300];
    uint64_t bytes;

    (void)state;
    life_make(&life, seed, ROUNDS);
    life_prepare(&world); /* a store with its seeds, and nothing in it */
    world_open(&world);
    world_close(&world);
    snprintf(file, sizeof(file), "%s/tidemark.mdb", world.cfg.dir);
    bytes = live_in(file, 0);
    assert_int_equal(live_in(file, 1), bytes);
    assert_int_equal(live_in(file, 7), bytes);
    world_end(&world);
}

/* ---- I10 ---- */

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

#define WEEKS  4
#define WEEK_S (7 * 86400)

/* A chunk every interval of five minutes, for weeks. Without retention the rows themselves are not
 * bounded: they grow evenly, and nothing else grows. */
static void i10_nothing_but_history_grows_in_simulated_weeks(void **state)
{
    struct tide_store_stats stats[WEEKS];
    size_t memory[WEEKS], journal[WEEKS];
    unsigned open[WEEKS];
    uint64_t next = 0, before = 0, growth[WEEKS];
    struct tide_err err = {""};
    struct world world;

    (void)state;
    life_prepare(&world);
    world.cfg.interval_s = 300;
    world.rules.interval_s = 300;
    world_open(&world);
    for (int week = 0; week < WEEKS; week++) {
        for (int64_t end_us = world.now_us + INT64_C(1000000) * WEEK_S; world.now_us < end_us;) {
            static struct tide_parcel parcel;

            tide_parcel_init(&parcel, NULL);
            chunk_fill(&world, &parcel, next++, world.now_us, false);
            must_commit_parcel(&world, &parcel);
            tide_parcel_fini(&parcel);
            advance(&world, 300);
            must_seal(&world);
            if (life_upkeep(&world, &err))
                fail_msg("upkeep: %s", err.text);
        }
        tide_store_stats(world.store, &stats[week]);
#ifdef __GLIBC__
        memory[week] = mallinfo2().uordblks;
#else
        memory[week] = 0;
#endif
        journal[week] = table_entries(&world, TABLE_JOURNAL);
        open[week] = descriptors();
        growth[week] = stats[week].used_bytes - before;
        before = stats[week].used_bytes;
        printf("week %d: %llu KiB of file, %llu KiB more, %zu KiB of memory, %zu journal values\n",
               week + 1, (unsigned long long)stats[week].file_bytes / 1024,
               (unsigned long long)growth[week] / 1024, memory[week] / 1024, journal[week]);
        assert_true(stats[week].identities <= LIFE_WINDOW_S / 300 + 2);
        assert_true(journal[week] <= 64);
        assert_int_equal(stats[week].readers, 0);
        assert_int_equal(stats[week].oldest_reader_us, 0);
        assert_int_equal(open[week], open[0]);
        assert_true(stats[week].free_pages < 2000);
    }
    assert_true(memory[WEEKS - 1] <= memory[1] + (256 << 10));
    assert_true(growth[WEEKS - 1] <= growth[1] + growth[1] / 4);
    world_end(&world);
}

/* ---- I14 ---- */

static void i14_the_order_of_arrival_does_not_change_an_answer(void **state)
{
    struct life_known now;
    struct tide_err err = {""};
    uint64_t dice = seed + 14, order[LIFE_CHUNKS], answer;
    struct world world;

    (void)state;
    life_make(&life, seed, ROUNDS);
    for (unsigned i = 0; i < life.steps; i++) /* what is sent twice counts in the books */
        if (life.step[i].what == LIFE_RESEND)
            life.step[i] = (struct life_step){.what = LIFE_UPKEEP};
    life_prepare(&world);
    life_learn(&world, &life, NULL);
    answer = life.known[life.steps].answer;
    world_end(&world);

    for (int round = 0; round < 4; round++) {
        for (uint64_t n = 0; n < life.chunks; n++) {
            uint64_t other = (uint64_t)tide_any_between(&dice, 0, (int64_t)n);

            order[n] = order[other];
            order[other] = n;
        }
        life_prepare(&world);
        world_open(&world);
        if (round % 2) /* all of it comes late */
            advance(&world, life.known[life.steps].now_us / 1000000 - T0_S);
        for (uint64_t n = 0; n < life.chunks; n++) {
            if (world_commit(&world, order[n], 1, life.arrival_us[order[n]], &err))
                fail_msg("chunk %llu: %s", (unsigned long long)order[n], err.text);
            if (tide_any_between(&dice, 0, 3))
                continue;
            advance(&world, tide_any_between(&dice, 0, 200));
            must_seal(&world);
            must_upkeep(&world);
        }
        if (life_look(&world, &now, &err))
            fail_msg("look: %s", err.text);
        assert_true(now.answer == answer);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i4_sending_everything_again_changes_duplicate_counters_only),
        cmocka_unit_test(i5_a_snapshot_between_commit_and_publish_shows_none_of_it),
        cmocka_unit_test(i6_the_fleet_is_its_modules_gathered_and_a_total_its_intervals_merged),
        cmocka_unit_test(i7_commit_seq_and_sealed_upto_never_go_back_whatever_the_clock_does),
        cmocka_unit_test(i8_restarts_leave_the_same_bytes),
        cmocka_unit_test(i10_nothing_but_history_grows_in_simulated_weeks),
        cmocka_unit_test(i14_the_order_of_arrival_does_not_change_an_answer),
    };

    seed = tide_test_seed();
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
