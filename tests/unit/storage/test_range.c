/* range: how a range is cut into pieces, what a walk does when its transaction has become old, and
 * what is not served: expired records, damaged chunks, chunks that are newer than the snapshot.
 */
#include "fixture.h"
#include "key.h"
#include "plan.h"
#include "reader.h"
#include "slices.h"
#include "tiers.h"

#define B_S   INT64_C(1700002800) /* a whole hour */
#define HOURS 3

/* ---- the plan ---- */

static void pieces_cover_a_range_with_the_coarsest_records_that_fit(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (int round = 0; round < 20000; round++) {
        static const uint32_t interval_s[] = {1, 10, 30, 300};
        struct plan_reach reach = {.interval_s = interval_s[tide_any_between(&seed, 0, 3)]};
        int64_t at_s = reach.interval_s * tide_any_between(&seed, 1, 400000 / reach.interval_s);
        int64_t from_s = reach.interval_s * tide_any_between(&seed, 0, at_s / reach.interval_s - 1);
        enum tide_tier coarsest = (enum tide_tier)tide_any_between(&seed, 0, TIDE_TIER_1D);
        unsigned pieces = 0;

        reach.hours_upto_s = 3600 * tide_any_between(&seed, 0, 110);
        reach.days_upto_s =
            tide_floor_s(reach.hours_upto_s - 86400 * tide_any_between(&seed, 0, 1), 86400);
        if (reach.days_upto_s < 0)
            reach.days_upto_s = 0;
        while (at_s > from_s) {
            struct plan_piece piece = plan_newest(&reach, from_s, at_s, coarsest);
            int64_t upto_s = piece.tier == TIDE_TIER_1D ? reach.days_upto_s : reach.hours_upto_s;
            int64_t width_s = tier_width_s(piece.tier, reach.interval_s);

            assert_true(piece.from_s >= from_s && piece.from_s < at_s);
            assert_true(piece.tier <= coarsest);
            assert_int_equal(piece.from_s % width_s, 0);
            assert_int_equal(at_s % width_s, 0);
            assert_true(piece.rows ? piece.from_s >= upto_s && piece.tier == TIDE_TIER_RAW
                                   : at_s <= upto_s);
            /* no record of a coarser tier that is complete fits into the piece */
            for (int t = (int)piece.tier + 1; t <= (int)coarsest; t++) {
                int64_t wide_s = tide_tier_info[t].width_s;
                int64_t end_s = t == TIDE_TIER_1D ? reach.days_upto_s : reach.hours_upto_s;
                int64_t first_s = tide_ceil_s(from_s, wide_s);

                while (first_s + wide_s <= piece.from_s)
                    first_s += wide_s;
                if (wide_s > width_s && first_s + wide_s <= at_s && first_s + wide_s > piece.from_s)
                    assert_true(first_s + wide_s > end_s);
            }
            at_s = piece.from_s;
            assert_in_range(++pieces, 1, 2 * TIDE_TIER_COUNT);
        }
    }
}

/* ---- a store with folded history ---- */

/* One response of "a" and one of "b" in every interval of three hours from B_S, all sealed, and one
 * late response of each in every hour; nothing folded yet. */
static void begin_three_hours(struct world *world)
{
    struct tide_parcel parcel;

    world_prepare(world);
    world->cfg.fold_after_s = 0;
    world->cfg.lateness_s = 7 * 86400;
    world->rules.lateness_s = world->cfg.lateness_s;
    world->now_us = (B_S + HOURS * 3600 + 60) * 1000000;
    world_open(world);
    tide_parcel_init(&parcel, NULL);
    for (int64_t s = B_S; s < B_S + HOURS * 3600; s += INTERVAL_S)
        for (int module = 0; module < 2; module++) {
            struct tide_event ev = response_at(module ? "b" : "a", s * 1000000);

            tide_parcel_fold(&parcel, &world->rules, &ev, world->now_us);
        }
    must_commit_parcel(world, &parcel);
    tide_parcel_fini(&parcel);
    must_seal(world);
    for (int hour = 0; hour < HOURS; hour++) {
        must_commit_one(world, "a", (B_S + hour * 3600 + 1805) * 1000000);
        must_commit_one(world, "b", (B_S + hour * 3600 + 1805) * 1000000);
    }
}

#define PER_MODULE ((uint64_t)(HOURS * 3600 / INTERVAL_S + HOURS))

static struct tide_span all_of(enum tide_tier coarsest)
{
    return (struct tide_span){.from_s = B_S, .to_s = B_S + HOURS * 3600, .coarsest = coarsest};
}

static uint64_t requests_of(struct world *world, uint32_t module, enum tide_tier coarsest)
{
    struct tide_snapshot *snapshot = must_look(world);
    struct tide_span span = all_of(coarsest);
    uint64_t sum = 0;

    assert_int_equal(tide_snapshot_range(snapshot, module, &span, sum_requests, &sum), TIDE_OK);
    tide_snapshot_close(snapshot);
    return sum;
}

/* ---- a walk that outlives its transaction ---- */

struct slow {
    struct world *world;
    uint64_t sum[4]; /* by module */
    int64_t oldest_us;
    bool fold; /* the background work goes on meanwhile */
};

static bool take_slowly(void *arg, uint32_t module, int64_t start_s,
                        const struct tide_record *record, unsigned flags)
{
    struct slow *slow = arg;
    struct world *world = slow->world;
    struct tide_store_stats stats;

    (void)start_s;
    (void)flags;
    slow->sum[module] += record->tally.requests;
    tide_store_stats(world->store, &stats);
    if (stats.oldest_reader_us > slow->oldest_us)
        slow->oldest_us = stats.oldest_reader_us;
    if (slow->fold) {
        struct tide_err err;
        enum tide_rc rc = tide_store_upkeep(world->store, world->now_us, &err);

        assert_true(rc == TIDE_OK || rc == TIDE_AGAIN);
    }
    tide_clock_fake(world->now_us += 10000);
    return true;
}

static void walk_slowly(struct slow *slow, int what, enum tide_tier coarsest)
{
    struct tide_snapshot *snapshot = must_look(slow->world);
    struct tide_span span = all_of(coarsest);

    if (what < 2)
        assert_int_equal(tide_snapshot_range(snapshot, (uint32_t)what, &span, take_slowly, slow),
                         TIDE_OK);
    else
        assert_int_equal(tide_snapshot_sweep_range(snapshot, &span, NULL, take_slowly, slow),
                         TIDE_OK);
    tide_snapshot_close(snapshot);
    if (what == 0)
        assert_int_equal(slow->sum[TIDE_FLEET], 2 * PER_MODULE);
    else
        assert_int_equal(slow->sum[1], PER_MODULE);
    if (what == 2)
        assert_int_equal(slow->sum[2], PER_MODULE);
}

/* 250 ms, looked at every 16 records of 10 ms; in a sweep, after a module's whole stretch. */
static void check_age(const struct slow *slow, int what)
{
    assert_true(slow->oldest_us < (what < 2 ? 500000 : 4000000));
}

static void a_slow_walk_renews_its_transaction_and_gives_everything_once(void **state)
{
    (void)state;
    for (int fold = 0; fold < 2; fold++)
        for (int what = 0; what < 3; what++)
            for (int t = 0; t <= TIDE_TIER_1H; t++) {
                struct world world;
                struct slow slow = {.world = &world, .fold = fold};

                begin_three_hours(&world);
                walk_slowly(&slow, what, (enum tide_tier)t);
                check_age(&slow, what);
                if (!fold) { /* and once more over chunks */
                    must_upkeep(&world);
                    assert_true(world.store->fold.hours_upto_s > 0);
                    slow = (struct slow){.world = &world};
                    walk_slowly(&slow, what, (enum tide_tier)t);
                    check_age(&slow, what);
                }
                world_end(&world);
            }
}

/* With the first record of "a" the writer corrects folded history of "b", folds on, which applies
 * that, and corrects "b" once more. */
static bool correct_under_it(void *arg, uint32_t module, int64_t start_s,
                             const struct tide_record *record, unsigned flags)
{
    struct slow *slow = arg;
    struct world *world = slow->world;

    (void)start_s;
    (void)flags;
    slow->sum[module] += record->tally.requests;
    if (!slow->fold)
        return true;
    slow->fold = false;
    assert_int_equal(module, 1);
    must_commit_one(world, "b", (B_S + (HOURS - 1) * 3600 + 605) * 1000000);
    must_commit_one(world, "a", world->now_us);
    advance(world, 2 * 3600);
    must_commit_one(world, "a", world->now_us);
    advance(world, 60);
    must_seal(world);
    must_upkeep(world);
    assert_true(world->store->fold.hours_upto_s > B_S + HOURS * 3600);
    assert_int_equal(table_entries(world, TABLE_CORRECTION), 0);
    must_commit_one(world, "b", (B_S + (HOURS - 1) * 3600 + 905) * 1000000);
    assert_int_equal(table_entries(world, TABLE_CORRECTION), 1);
    return true;
}

/* What is still to come is as of the newer commit then: with what that has late, applied or not. */
static void a_sweep_whose_history_was_corrected_meanwhile_lists_late_events_again(void **state)
{
    (void)state;
    for (int t = 0; t <= TIDE_TIER_1H; t++) {
        struct world world;
        struct slow slow = {.world = &world, .fold = true};
        struct tide_span span = all_of((enum tide_tier)t);
        struct tide_snapshot *snapshot;

        begin_three_hours(&world);
        must_upkeep(&world);
        assert_int_equal(world.store->fold.hours_upto_s, B_S + HOURS * 3600);
        snapshot = must_look(&world);
        assert_int_equal(tide_snapshot_sweep_range(snapshot, &span, NULL, correct_under_it, &slow),
                         TIDE_OK);
        tide_snapshot_close(snapshot);
        assert_int_equal(slow.sum[1], PER_MODULE);
        assert_int_equal(slow.sum[2], PER_MODULE + 2);
        world_end(&world);
    }
}

/* With the first record that is given, history of "b" that is still to come is corrected, and the
 * transaction is too old. */
static bool correct_and_wait(void *arg, uint32_t module, int64_t start_s,
                             const struct tide_record *record, unsigned flags)
{
    struct slow *slow = arg;

    (void)start_s;
    (void)flags;
    slow->sum[module] += record->tally.requests;
    if (slow->fold)
        must_commit_one(slow->world, "b", (B_S + 5) * 1000000);
    slow->fold = false;
    advance(slow->world, 1);
    return true;
}

/* Nothing was folded, so it goes on as of the same commit. */
static void
what_came_late_since_a_walk_began_is_left_out_when_it_renews_its_transaction(void **state)
{
    (void)state;
    for (int folded = 0; folded < 2; folded++)
        for (int what = 0; what < 3; what++)
            for (int t = 0; t <= TIDE_TIER_1H; t++) {
                struct tide_span span = all_of((enum tide_tier)t);
                struct tide_snapshot *snapshot;
                struct world world;
                struct slow slow = {.world = &world, .fold = true};
                size_t corrections;

                begin_three_hours(&world);
                if (folded)
                    must_upkeep(&world);
                corrections = table_entries(&world, TABLE_CORRECTION);
                snapshot = must_look(&world);
                assert_int_equal(what < 2 ? tide_snapshot_range(snapshot, what ? 2 : TIDE_FLEET,
                                                                &span, correct_and_wait, &slow)
                                          : tide_snapshot_sweep_range(snapshot, &span, NULL,
                                                                      correct_and_wait, &slow),
                                 TIDE_OK);
                tide_snapshot_close(snapshot);
                assert_int_equal(table_entries(&world, TABLE_CORRECTION), corrections + 1);
                assert_int_equal(slow.sum[TIDE_FLEET], what ? 0 : 2 * PER_MODULE);
                assert_int_equal(slow.sum[1], what < 2 ? 0 : PER_MODULE);
                assert_int_equal(slow.sum[2], what ? PER_MODULE : 0);
                world_end(&world);
            }
}

struct overtaken {
    struct world *world;
    unsigned given;
    uint64_t sum;
};

/* After the fifth record the hour that is being walked is finished, folded, and its rows deleted.
 */
static bool fold_under_it(void *arg, uint32_t module, int64_t start_s,
                          const struct tide_record *record, unsigned flags)
{
    struct overtaken *overtaken = arg;
    struct world *world = overtaken->world;

    (void)module;
    (void)start_s;
    (void)flags;
    overtaken->sum += record->tally.requests;
    if (++overtaken->given == 5) {
        world->now_us = (B_S + 3595) * 1000000;
        must_commit_one(world, "a", world->now_us);
        world->now_us = (B_S + 3700) * 1000000;
        tide_clock_fake(world->now_us);
        must_seal(world);
        must_upkeep(world);
        assert_int_equal(world->store->fold.hours_upto_s, B_S + 3600);
        assert_int_equal(table_entries(world, TABLE_ROW), 0);
    }
    return true;
}

static void a_walk_goes_on_in_chunks_when_its_rows_are_folded_and_deleted(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct world world;
        struct overtaken overtaken = {.world = &world};
        struct tide_snapshot *snapshot;
        struct tide_parcel parcel;

        world_prepare(&world);
        world.cfg.fold_after_s = 0;
        world.now_us = (B_S + 1860) * 1000000;
        world_open(&world);
        tide_parcel_init(&parcel, NULL);
        for (int64_t s = B_S; s < B_S + 1800; s += INTERVAL_S) {
            struct tide_event ev = response_at("a", s * 1000000);

            tide_parcel_fold(&parcel, &world.rules, &ev, world.now_us);
        }
        must_commit_parcel(&world, &parcel);
        tide_parcel_fini(&parcel);
        must_seal(&world);
        snapshot = must_look(&world);
        assert_int_equal(tide_snapshot_info(snapshot)->sealed_upto_s, B_S + 1800);
        if (what < 2)
            assert_int_equal(tide_snapshot_walk(snapshot, (uint32_t)what, B_S, B_S + 3600,
                                                fold_under_it, &overtaken),
                             TIDE_OK);
        else
            assert_int_equal(
                tide_snapshot_sweep(snapshot, B_S, B_S + 3600, NULL, fold_under_it, &overtaken),
                TIDE_OK);
        assert_int_equal(overtaken.given, 180);
        assert_int_equal(overtaken.sum, 180);
        tide_snapshot_close(snapshot);
        world_end(&world);
    }
}

/* ---- waiting readers ---- */

static void readers_that_wait_are_few_and_hold_nothing(void **state)
{
    struct tide_snapshot *snapshot[3 * READERS_IDLE];
    struct tide_store_stats stats;
    struct world world;

    (void)state;
    world_begin(&world);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3 * READERS_IDLE; i++)
            snapshot[i] = must_look(&world);
        tide_store_stats(world.store, &stats);
        assert_int_equal(stats.readers, 3 * READERS_IDLE);
        for (int i = 0; i < 3 * READERS_IDLE; i++)
            tide_snapshot_close(snapshot[i]);
        tide_store_stats(world.store, &stats);
        assert_int_equal(stats.readers, 0);
        assert_int_equal(stats.oldest_reader_us, 0);
        assert_int_equal(world.store->readers_idle, READERS_IDLE);
        must_commit(&world, (uint64_t)round * 3, 3);
        compare_now(&world); /* one that waited sees what was committed meanwhile */
    }
    world_end(&world);
}

/* ---- what is not served ---- */

static void put_fold(struct world *world, const struct fold_state *fold)
{
    struct tide_store *store = world->store;
    struct slices slices;

    slices_begin(&slices, store, UINT32_MAX);
    schema_put_fold(&slices.txn, fold);
    assert_int_equal(slices_end(&slices, &store->state, NULL), TIDE_OK);
    store->fold = *fold;
}

static void what_a_tier_keeps_no_longer_is_not_served_though_it_is_there(void **state)
{
    struct fold_state fold;
    struct world world;

    (void)state;
    begin_three_hours(&world);
    must_upkeep(&world);
    assert_int_equal(requests_of(&world, 1, TIDE_TIER_RAW), PER_MODULE);
    fold = world.store->fold;
    fold.evicted_upto_s[TIDE_TIER_RAW] = B_S + 2 * 3600;
    fold.evicted_upto_s[TIDE_TIER_5M] = B_S + 3600;
    put_fold(&world, &fold);
    for (uint32_t module = 0; module < 2; module++) {
        uint64_t each = module == TIDE_FLEET ? 2 : 1;

        assert_int_equal(requests_of(&world, module, TIDE_TIER_RAW), each * PER_MODULE / HOURS);
        assert_int_equal(requests_of(&world, module, TIDE_TIER_5M), each * PER_MODULE / HOURS * 2);
        assert_int_equal(requests_of(&world, module, TIDE_TIER_1H), each * PER_MODULE);
    }
    world_end(&world);
}

/* It would show late events that the snapshot does not count. */
static void chunks_newer_than_the_last_published_commit_are_not_shown(void **state)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};
    struct fold_state fold;
    struct world world;

    (void)state;
    begin_three_hours(&world);
    must_upkeep(&world);
    fold = world.store->fold;
    fold.seq = world.store->state.commit_seq + 1000;
    put_fold(&world, &fold);
    assert_int_equal(tide_snapshot_open(world.store, &snapshot, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "history"));
    assert_int_equal(head_pins(world.store->head), 0);
    fold.seq = world.store->state.commit_seq;
    put_fold(&world, &fold);
    must_commit_one(&world, "a", world.now_us); /* publishes */
    assert_int_equal(requests_of(&world, 1, TIDE_TIER_RAW), PER_MODULE);
    world_end(&world);
}

/* Flips one bit in the first chunk of a tier, with or without a matching CRC. */
static void damage_chunk(struct world *world, enum tide_tier tier, size_t at_byte, bool sealed)
{
    uint8_t bytes[KEY_CHUNK_SIZE], payload[TIDE_VALUE_PAGE];
    MDB_val key, value;
    MDB_cursor *cursor;
    struct txn txn;

    txn_begin(&txn, world->store->env, world->store->dbi, true);
    assert_int_equal(mdb_cursor_open(txn.mdb, txn.dbi[TIER_TABLE(tier)], &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    assert_true(key.mv_size == sizeof(bytes) && at_byte < value.mv_size - TIDE_CRC_SIZE);
    memcpy(bytes, key.mv_data, sizeof(bytes));
    memcpy(payload, value.mv_data, value.mv_size);
    payload[at_byte] ^= 0x10;
    key.mv_data = bytes;
    mdb_cursor_close(cursor);
    if (sealed) {
        txn_put(&txn, TIER_TABLE(tier), bytes, sizeof(bytes), payload,
                value.mv_size - TIDE_CRC_SIZE, 0);
    } else {
        value.mv_data = payload;
        assert_int_equal(mdb_put(txn.mdb, txn.dbi[TIER_TABLE(tier)], &key, &value, 0), 0);
    }
    assert_int_equal(txn_end(&txn, NULL), TIDE_OK);
}

static void a_damaged_chunk_is_counted_and_left_out_and_the_rest_is_served(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct world world;
        uint64_t before;

        begin_three_hours(&world);
        must_upkeep(&world);
        /* The first is the fleet's, of the one hour in the oldest period; byte 2 is its flags. Its
         * two late events were applied to it before the next hour was folded. */
        damage_chunk(&world, TIDE_TIER_1H, sealed ? 2 : 12, sealed);
        before = tide_counted(TIDE_COUNT_DAMAGED_VALUES);
        assert_int_equal(requests_of(&world, TIDE_FLEET, TIDE_TIER_1H),
                         2 * PER_MODULE - 2 * 3600 / INTERVAL_S - 2);
        assert_true(tide_counted(TIDE_COUNT_DAMAGED_VALUES) > before);
        assert_int_equal(requests_of(&world, TIDE_FLEET, TIDE_TIER_5M), 2 * PER_MODULE);
        assert_int_equal(requests_of(&world, 1, TIDE_TIER_1H), PER_MODULE);
        world_end(&world);
    }
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(pieces_cover_a_range_with_the_coarsest_records_that_fit, &seed),
        cmocka_unit_test(a_slow_walk_renews_its_transaction_and_gives_everything_once),
        cmocka_unit_test(a_sweep_whose_history_was_corrected_meanwhile_lists_late_events_again),
        cmocka_unit_test(
            what_came_late_since_a_walk_began_is_left_out_when_it_renews_its_transaction),
        cmocka_unit_test(a_walk_goes_on_in_chunks_when_its_rows_are_folded_and_deleted),
        cmocka_unit_test(readers_that_wait_are_few_and_hold_nothing),
        cmocka_unit_test(what_a_tier_keeps_no_longer_is_not_served_though_it_is_there),
        cmocka_unit_test(chunks_newer_than_the_last_published_commit_are_not_shown),
        cmocka_unit_test(a_damaged_chunk_is_counted_and_left_out_and_the_rest_is_served),
    };

    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
