#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "expire.h"
#include "key.h"
#include "slices.h"
#include "tiers.h"

#define HOUR_S INT64_C(3600)
#define DAY_S  INT64_C(86400)
/* Of every tier's periods: 96 days. */
#define BEGIN_S (T0_S - T0_S % (96 * DAY_S))

/* ---- history, put straight into the tiers ---- */

static void must_end(struct world *world, struct slices *slices, const struct fold_state *fold)
{
    struct tide_err err = {""};

    schema_put_fold(&slices->txn, fold);
    if (slices_end(slices, &world->store->state, &err))
        fail_msg("fill: %s", err.text);
    world->store->fold = *fold;
}

/* A record in every interval of [from_s, to_s) that the tier has. */
static void fill(struct world *world, enum tide_tier tier, uint32_t module, int64_t from_s,
                 int64_t to_s)
{
    int64_t width_s = tier_width_s(tier, INTERVAL_S), period_s = tier_period_s(tier, INTERVAL_S);
    size_t most = (size_t)(period_s / width_s);
    struct tide_record *record = calloc(most, sizeof(*record));
    struct chunk_entry *entry = calloc(most, sizeof(*entry));
    struct fold_state fold = world->store->fold;
    struct tier_writer writer;
    struct slices slices;

    assert_true(record && entry);
    tier_writer_init(&writer);
    for (size_t i = 0; i < most; i++)
        tide_record_init(&record[i]);
    fold.seq = world->store->state.commit_seq + 1;
    slices_begin(&slices, world->store, UINT32_MAX);
    while (from_s < to_s) {
        int64_t first_s = from_s, end_s = tide_floor_s(from_s, period_s) + period_s;
        size_t count = 0;

        for (; from_s < to_s && from_s < end_s; from_s += width_s, count++) {
            struct tide_event ev = response_at("x", from_s * 1000000 + 1);

            tide_record_reset(&record[count]);
            for (unsigned n = 0; n < 8; n++) {
                ev.duration_us = 1000 + 7919 * ((unsigned)from_s / 10 + n) % 99991;
                tide_record_fold(&record[count], &ev, ev.time_us, 0);
            }
            entry[count] = (struct chunk_entry){from_s, 0, &record[count]};
        }
        tier_append(&writer, &slices.txn, INTERVAL_S, tier, module, first_s, entry, count);
    }
    if (tide_floor_s(to_s, HOUR_S) > fold.hours_upto_s)
        fold.hours_upto_s = tide_floor_s(to_s, HOUR_S);
    if (tide_floor_s(to_s, DAY_S) > fold.days_upto_s)
        fold.days_upto_s = tide_floor_s(to_s, DAY_S);
    must_end(world, &slices, &fold);
    for (size_t i = 0; i < most; i++)
        tide_record_fini(&record[i]);
    tier_writer_fini(&writer);
    free(entry);
    free(record);
}

/* The first period in which the tier holds something of the module; INT64_MAX: in none. */
static int64_t oldest_s(const struct world *world, enum tide_tier tier, uint32_t module)
{
    struct tier_cursor cursor;
    int64_t period_s, oldest = INT64_MAX;
    MDB_txn *txn;

    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(
        tier_cursor_open(&cursor, txn, world->store->dbi, tier, world->store->identity.interval_s),
        TIDE_OK);
    for (period_s = INT64_MAX; (period_s = tier_period_below(&cursor, period_s)) != INT64_MIN;)
        if (tier_newest(&cursor, period_s, module, INT64_MAX))
            oldest = period_s;
    tier_cursor_close(&cursor);
    mdb_txn_abort(txn);
    return oldest;
}

/* All the deleting there is to do now, and nothing else. */
static void must_expire(struct world *world)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    do
        rc = store_expire(world->store, world->now_us, &err);
    while (rc == TIDE_AGAIN);
    if (rc)
        fail_msg("expire: %s", err.text);
}

/* A store whose clock stands at now_s, with these modules as ids 1, 2, ... */
static void begin(struct world *world, int64_t now_s, const char *const *module)
{
    world->now_us = now_s * 1000000;
    world_open(world);
    for (; *module; module++)
        must_commit_one(world, *module, world->now_us);
}

static const char *const none[] = {NULL};

static void keep(struct world *world, int64_t raw_s, int64_t five_min_s, int64_t hour_s,
                 int64_t day_s)
{
    int64_t keep_s[TIDE_TIER_COUNT] = {raw_s, five_min_s, hour_s, day_s};

    memcpy(world->cfg.retention.keep_s, keep_s, sizeof(keep_s));
}

static void rule(struct tide_retention_rule *rule, const char *glob, int64_t raw_s,
                 int64_t five_min_s, int64_t hour_s, int64_t day_s)
{
    *rule = (struct tide_retention_rule){.keep_s = {raw_s, five_min_s, hour_s, day_s}};
    strcpy(rule->glob, glob);
}

/* ---- keep times ---- */

static void a_period_goes_when_no_part_of_it_is_young(void **state)
{
    struct world world;

    (void)state;
    world_prepare(&world);
    keep(&world, 2 * HOUR_S, 0, 0, 0);
    begin(&world, BEGIN_S + 5 * HOUR_S - 1, none);
    assert_int_equal(tier_period_s(TIDE_TIER_RAW, INTERVAL_S), HOUR_S);
    fill(&world, TIDE_TIER_RAW, TIDE_FLEET, BEGIN_S, BEGIN_S + 4 * HOUR_S);
    assert_int_equal(
        keep_from_s(world.store, &world.store->fold, TIDE_FLEET, TIDE_TIER_RAW, world.now_us),
        BEGIN_S + 2 * HOUR_S);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), BEGIN_S + 2 * HOUR_S);
    advance(&world, 61);
    assert_int_equal(
        keep_from_s(world.store, &world.store->fold, TIDE_FLEET, TIDE_TIER_RAW, world.now_us),
        BEGIN_S + 3 * HOUR_S);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), BEGIN_S + 3 * HOUR_S);
    world_end(&world);
}

static void each_tier_is_kept_for_its_own_time_and_0_is_for_ever(void **state)
{
    struct world world;
    int64_t now_s = BEGIN_S + 2 * 96 * DAY_S;

    (void)state;
    world_prepare(&world);
    keep(&world, DAY_S, 3 * DAY_S, 20 * DAY_S, 0);
    begin(&world, now_s, none);
    for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++) {
        fill(&world, tier, TIDE_FLEET, BEGIN_S, BEGIN_S + DAY_S);
        fill(&world, tier, TIDE_FLEET, now_s - 10 * DAY_S, now_s);
    }
    fill(&world, TIDE_TIER_1H, TIDE_FLEET, now_s - 40 * DAY_S, now_s - 10 * DAY_S);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), now_s - DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_5M, TIDE_FLEET), now_s - 3 * DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_1H, TIDE_FLEET), now_s - 20 * DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_1D, TIDE_FLEET), BEGIN_S);
    world_end(&world);
}

static void the_first_glob_that_matches_decides(void **state)
{
    static const char *const module[] = {"batch-1", "batch-keep", "web", NULL};
    struct tide_retention_rule rules[2];
    struct world world;
    int64_t now_s = BEGIN_S + 10 * DAY_S;

    (void)state;
    world_prepare(&world);
    keep(&world, 5 * DAY_S, 0, 0, 0);
    rule(&rules[0], "*-keep", 0, 0, 0, 0);
    rule(&rules[1], "batch-*", HOUR_S, 0, 0, 0);
    world.cfg.retention.rule = rules;
    world.cfg.retention.rules = 2;
    begin(&world, now_s, module);
    world.cfg.retention.rules = 0; /* the store has its own */
    for (uint32_t id = TIDE_FLEET; id <= 3; id++)
        fill(&world, TIDE_TIER_RAW, id, BEGIN_S, now_s - HOUR_S);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), now_s - 5 * DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 1), INT64_MAX);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 2), BEGIN_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 3), now_s - 5 * DAY_S);
    world.cfg.retention.rules = 2;
    world_reopen(&world); /* replayed modules get their rules, too */
    assert_int_equal(keep_from_s(world.store, &world.store->fold, 1, TIDE_TIER_RAW, world.now_us),
                     now_s - HOUR_S);
    assert_int_equal(keep_from_s(world.store, &world.store->fold, 2, TIDE_TIER_RAW, world.now_us),
                     0);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 2), BEGIN_S);
    world_end(&world);
}

static void what_a_clock_that_went_back_let_in_goes_again(void **state)
{
    static const char *const module[] = {"short", NULL};
    struct tide_retention_rule rules[1];
    struct world world;
    int64_t now_s = BEGIN_S + 10 * DAY_S;

    (void)state;
    world_prepare(&world);
    keep(&world, 0, 0, 0, 0);
    rule(&rules[0], "short", DAY_S, 0, 0, 0);
    world.cfg.retention.rule = rules;
    world.cfg.retention.rules = 1;
    begin(&world, now_s, module);
    fill(&world, TIDE_TIER_RAW, 1, BEGIN_S, now_s);
    fill(&world, TIDE_TIER_RAW, TIDE_FLEET, BEGIN_S, now_s);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 1), now_s - DAY_S);
    /* the clock goes back by a day, and forth again */
    advance(&world, -DAY_S);
    must_expire(&world);
    fill(&world, TIDE_TIER_RAW, 1, now_s - 2 * DAY_S, now_s - DAY_S);
    advance(&world, DAY_S + 61);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, 1), now_s - DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), BEGIN_S);
    world_end(&world);
}

static void what_a_coarser_tier_still_needs_stays(void **state)
{
    struct world world;
    struct fold_state fold;
    struct slices slices;
    int64_t now_s = BEGIN_S + 30 * DAY_S;

    (void)state;
    world_prepare(&world);
    keep(&world, HOUR_S, HOUR_S, HOUR_S, 0);
    begin(&world, now_s, none);
    for (enum tide_tier tier = 0; tier < TIDE_TIER_1D; tier++)
        fill(&world, tier, TIDE_FLEET, BEGIN_S, now_s);
    fold = world.store->fold;
    fold.hours_upto_s = BEGIN_S + 20 * DAY_S; /* as if the fold were behind */
    fold.days_upto_s = BEGIN_S + 10 * DAY_S;
    slices_begin(&slices, world.store, UINT32_MAX);
    must_end(&world, &slices, &fold);
    must_expire(&world);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), BEGIN_S + 20 * DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_5M, TIDE_FLEET), BEGIN_S + 20 * DAY_S);
    assert_int_equal(oldest_s(&world, TIDE_TIER_1H, TIDE_FLEET), BEGIN_S + 8 * DAY_S);
    world_end(&world);
}

static int64_t cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void a_slice_frees_fewer_than_256_pages(void **state)
{
    enum { BUSY = 20 };
    struct world world;
    struct tide_err err = {""};
    int64_t now_s = BEGIN_S + 30 * DAY_S, worst_us = 0, worst_cpu_us = 0;
    unsigned slices = 0;
    enum tide_rc rc;

    (void)state;
    world_prepare(&world);
    keep(&world, DAY_S, 0, 0, 0);
    begin(&world, now_s, none);
    for (uint32_t id = 0; id < BUSY; id++)
        fill(&world, TIDE_TIER_RAW, id, BEGIN_S, BEGIN_S + 2 * DAY_S);
    do {
        uint64_t seq = world.store->state.commit_seq;
        size_t before = table_entries(&world, TABLE_CHUNK_RAW);
        int64_t begin_us, begin_cpu_us = cpu_us();

        tide_clock_fake(0); /* slices are bounded by time, too */
        begin_us = tide_clock_mono_us();
        rc = store_expire(world.store, world.now_us, &err);
        worst_us = larger(worst_us, tide_clock_mono_us() - begin_us);
        worst_cpu_us = larger(worst_cpu_us, cpu_us() - begin_cpu_us);
        slices++;
        assert_true(world.store->state.commit_seq <= seq + 1);
        assert_true(before - table_entries(&world, TABLE_CHUNK_RAW) < 256);
    } while (rc == TIDE_AGAIN);
    assert_int_equal(rc, TIDE_OK);
    assert_true(slices > 3);
    assert_int_equal(table_entries(&world, TABLE_CHUNK_RAW), 0);
    print_message("%u slices, the longest took %.1f ms, the busiest %.1f ms of CPU\n", slices,
                  (double)worst_us / 1e3, (double)worst_cpu_us / 1e3);
    world_end(&world);
}

/* ---- storage.max_bytes ---- */

static bool at_last(struct world *world, struct tide_parcel *parcel)
{
    struct tide_err err = {""};

    for (int tries = 0; tries < 50; tries++) {
        enum tide_rc rc = try_parcel(world, parcel, &err);

        if (rc == TIDE_OK)
            return true;
        assert_int_equal(rc, TIDE_DISK_FULL);
        assert_int_equal(tide_store_state(world->store), TIDE_STORE_FULL);
        rc = tide_store_relieve(world->store, world->now_us, &err);
        if (rc)
            fail_msg("relieve: %s", err.text);
    }
    return false;
}

/* One interval of `modules` modules, all of them new to the interval. */
static void fill_parcel(struct world *world, struct tide_parcel *parcel, unsigned modules)
{
    tide_parcel_init(parcel, NULL);
    for (unsigned m = 0; m < modules; m++) {
        char name[16];
        struct tide_event ev;

        snprintf(name, sizeof(name), "m%03u", m);
        ev = response_at(name, world->now_us);
        for (int i = 0; i < 10; i++) {
            ev.duration_us =
                1000 + (double)((world->now_us / 1000000 * 7919 + m * 13 + i * 977) % 99991);
            tide_parcel_fold(parcel, &world->rules, &ev, world->now_us);
        }
    }
}

static uint64_t file_bytes(const struct world *world)
{
    struct tide_store_stats stats;

    tide_store_stats(world->store, &stats);
    return stats.file_bytes;
}

static void must_seal_or_be_full(struct world *world)
{
    struct tide_err err = {""};
    enum tide_rc rc = tide_store_seal(world->store, world->now_us, &err);

    if (rc == TIDE_DISK_FULL)
        assert_int_equal(tide_store_relieve(world->store, world->now_us, &err), TIDE_OK);
    else if (rc)
        fail_msg("seal: %s", err.text);
}

static void a_capped_store_gives_up_its_oldest_history_and_goes_on_acking(void **state)
{
    enum { CAP = 3 << 20, FLEET = 40, DAYS = 12 };
    uint64_t evicted = tide_counted(TIDE_COUNT_EVICTED_CHUNKS), largest = 0;
    int64_t begin_s = BEGIN_S, gone_s;
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    world_prepare(&world);
    keep(&world, 0, 0, 0, 0);
    world.cfg.max_bytes = CAP;
    world.cfg.interval_s = world.rules.interval_s = 300;
    world.cfg.fold_after_s = 0;
    world.cfg.dedup_window_s = 3600;
    begin(&world, begin_s, none);
    for (int i = 0; i < DAYS * 24 * 12; i++) {
        struct tide_parcel parcel;

        fill_parcel(&world, &parcel, FLEET);
        assert_true(at_last(&world, &parcel));
        tide_parcel_fini(&parcel);
        advance(&world, 300);
        must_seal_or_be_full(&world);
        if (i % 12 == 11)
            must_upkeep(&world);
        if (i % 144 == 0 && file_bytes(&world) > largest)
            largest = file_bytes(&world);
    }
    assert_true(largest > CAP * 8 / 10 && largest <= CAP);
    assert_true(tide_counted(TIDE_COUNT_EVICTED_CHUNKS) > evicted);
    gone_s = world.store->fold.evicted_upto_s[TIDE_TIER_RAW];
    assert_true(gone_s > begin_s && gone_s < world.now_us / 1000000 - HOUR_S);
    assert_int_equal(world.store->fold.evicted_upto_s[TIDE_TIER_1D], 0);
    snapshot = must_look(&world); /* no event was lost from the totals */
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests,
                     DAYS * 24 * 12 * FLEET * 10);
    tide_snapshot_close(snapshot);
    world_reopen(&world);
    assert_int_equal(world.store->fold.evicted_upto_s[TIDE_TIER_RAW], gone_s);
    print_message("largest file %llu bytes of %d, raw history of the last %.1f days is left\n",
                  (unsigned long long)largest, CAP,
                  (double)(world.now_us / 1000000 - gone_s) / (double)DAY_S);
    world_end(&world);
}

/* ---- a year ---- */

/* A small fleet that never rests. After the longest keep time that ends the file grows no more. */
static void the_file_reaches_a_plateau_in_a_year(void **state)
{
    enum { FLEET = 4, STEP_S = 3600, YEAR_S = 366 * 86400 };
    uint64_t at_half = 0, at_end;
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    world_prepare(&world);
    keep(&world, 2 * DAY_S, 7 * DAY_S, 30 * DAY_S, 90 * DAY_S);
    world.cfg.interval_s = world.rules.interval_s = 300;
    world.cfg.dedup_window_s = DAY_S;
    begin(&world, BEGIN_S, none);
    for (int64_t s = 0; s < YEAR_S; s += STEP_S) {
        struct tide_parcel parcel;

        fill_parcel(&world, &parcel, FLEET);
        parcel.has_identity = true;
        parcel.identity = chunk_identity((uint64_t)s + 1);
        parcel.chunk_len = 8;
        must_commit_parcel(&world, &parcel);
        tide_parcel_fini(&parcel);
        advance(&world, STEP_S);
        must_seal(&world);
        must_upkeep(&world);
        if (s == YEAR_S / 2 - YEAR_S / 2 % STEP_S)
            at_half = file_bytes(&world);
    }
    at_end = file_bytes(&world);
    print_message("file after half a year %llu bytes, after a year %llu\n",
                  (unsigned long long)at_half, (unsigned long long)at_end);
    assert_true(at_end <= at_half + at_half / 20);
    for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++) {
        int64_t keep_s = world.store->cfg.retention.keep_s[tier],
                period_s = tier_period_s(tier, 300), oldest = oldest_s(&world, tier, TIDE_FLEET);

        assert_true(oldest >= world.now_us / 1000000 - keep_s - 2 * period_s);
        if (tier == TIDE_TIER_RAW)
            assert_true(oldest <= world.now_us / 1000000 - keep_s);
    }
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests,
                     (uint64_t)YEAR_S / STEP_S * FLEET * 10);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

/* ---- a full disk ---- */

static char mounted[250]; /* to be taken away, also when the test fails; "" = nothing */

static int unmount(void **state)
{
    (void)state;
    return mounted[0] ? umount2(mounted, MNT_DETACH) : 0;
}

static uint64_t ballast_bytes(const struct world *world)
{
    struct tide_store_stats stats;

    tide_store_stats(world->store, &stats);
    return stats.ballast_bytes;
}

/* Takes every byte that is left. */
static void fill_disk(const char *dir)
{
    static const char zeros[4096];
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/filler", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    close(fd);
}

/* Commits on a full disk until the store has no page left of its own. */
static void use_up(struct world *world)
{
    for (int i = 0; i < 20000; i++) {
        struct tide_parcel parcel;
        struct tide_err err = {""};
        enum tide_rc rc;

        fill_parcel(world, &parcel, 1);
        rc = try_parcel(world, &parcel, &err);
        tide_parcel_fini(&parcel);
        if (rc) {
            assert_int_equal(rc, TIDE_DISK_FULL);
            return;
        }
    }
    fail_msg("the disk does not get full");
}

static void a_full_disk_does_not_stop_retention(void **state)
{
    struct world world;
    struct tide_parcel parcel;
    struct tide_err err = {""};
    char disk[250];
    int64_t begin_s = BEGIN_S + 4 * DAY_S;
    uint64_t set_aside;

    (void)state;
    world_prepare(&world);
    snprintf(disk, sizeof(disk), "%s/disk", world.dir);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=16m") != 0) {
        print_message("skipped: no tmpfs can be mounted here: %s\n", strerror(errno));
        world_end(&world);
        skip();
    }
    strcpy(mounted, disk);
    snprintf(world.cfg.dir, sizeof(world.cfg.dir), "%s/store", disk);
    world.cfg.ballast_bytes = UINT64_C(16) << 20;
    keep(&world, DAY_S, 0, 0, 0);
    begin(&world, begin_s, none);
    must_upkeep(&world);
    set_aside = ballast_bytes(&world);
    assert_int_equal(set_aside, 256 << 10); /* a 64th of the disk */
    for (uint32_t id = 0; id < 20; id++)
        fill(&world, TIDE_TIER_RAW, id, begin_s - DAY_S, begin_s - HOUR_S);
    fill_disk(disk);
    use_up(&world);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_FULL);
    assert_int_equal(ballast_bytes(&world), set_aside);
    for (int i = 0; i < 3; i++) { /* nothing is past its time: events do not get the ballast */
        assert_int_equal(tide_store_relieve(world.store, world.now_us, &err), TIDE_OK);
        assert_int_equal(ballast_bytes(&world), set_aside);
        assert_int_equal(tide_store_state(world.store), TIDE_STORE_FULL);
        use_up(&world);
    }
    advance(&world, DAY_S);
    assert_int_equal(tide_store_relieve(world.store, world.now_us, &err), TIDE_OK);
    assert_int_equal(oldest_s(&world, TIDE_TIER_RAW, TIDE_FLEET), INT64_MAX);
    assert_true(ballast_bytes(&world) > 0);
    fill_parcel(&world, &parcel, 100);
    must_commit_parcel(&world, &parcel);
    tide_parcel_fini(&parcel);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK);
    snprintf(disk + strlen(disk), sizeof(disk) - strlen(disk), "/filler");
    assert_int_equal(unlink(disk), 0);
    advance(&world, 61);
    must_upkeep(&world);
    assert_int_equal(ballast_bytes(&world), set_aside); /* whole again */
    world_close(&world);
    assert_int_equal(unmount(NULL), 0);
    mounted[0] = '\0';
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_period_goes_when_no_part_of_it_is_young),
        cmocka_unit_test(each_tier_is_kept_for_its_own_time_and_0_is_for_ever),
        cmocka_unit_test(the_first_glob_that_matches_decides),
        cmocka_unit_test(what_a_clock_that_went_back_let_in_goes_again),
        cmocka_unit_test(what_a_coarser_tier_still_needs_stays),
        cmocka_unit_test(a_slice_frees_fewer_than_256_pages),
        cmocka_unit_test(a_capped_store_gives_up_its_oldest_history_and_goes_on_acking),
        cmocka_unit_test(the_file_reaches_a_plateau_in_a_year),
        cmocka_unit_test_teardown(a_full_disk_does_not_stop_retention, unmount),
    };

    /* A year of commits: a directory in memory does, and its syncs are free. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
