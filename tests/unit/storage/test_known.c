/* What the store knows of event ids and producers: undone with its group, whole after a restart,
 * gone from memory and disk with its window or over its count; and a producer that is slow but not
 * silent stays known, whatever happens to the values that told of it.
 */
#include "fixture.h"

#include <errno.h>

#include "interpose.h"

static int refuse_commit(enum interposed call)
{
    return call == CALL_TXN_COMMIT ? EIO : 0;
}

static void one_event(struct world *world, struct tide_parcel *parcel, const char *id)
{
    struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                            .weight = 1,
                            .success = true,
                            .module = tide_any_name(1),
                            .event_id = {id, (uint32_t)strlen(id)}};

    tide_parcel_init(parcel, NULL);
    tide_parcel_fold(parcel, &world->rules, &ev, world->now_us);
}

static enum tide_rc commit_one(struct world *world, struct tide_parcel *parcel)
{
    struct tide_parcel *waiting[] = {parcel};
    struct tide_err err = {""};
    size_t taken;

    return tide_store_commit(world->store, waiting, 1, world->now_us, &taken, &err);
}

static uint64_t stored(struct world *world)
{
    return world->store->state.ledger.stored;
}

/* True when the id was new. */
static bool send_id(struct world *world, const char *id)
{
    struct tide_parcel parcel;
    uint64_t before = stored(world);

    one_event(world, &parcel, id);
    assert_int_equal(commit_one(world, &parcel), TIDE_OK);
    tide_parcel_fini(&parcel);
    return stored(world) > before;
}

static enum tide_fate send_seq(struct world *world, uint8_t producer, uint64_t epoch, uint64_t seq,
                               uint64_t payload)
{
    struct tide_parcel parcel;
    enum tide_fate fate;

    one_event(world, &parcel, "");
    parcel.has_identity = parcel.has_origin = true;
    parcel.identity = (struct tide_hash128){payload, 1};
    parcel.origin = (struct tide_origin){.epoch = epoch, .seq = seq};
    memset(parcel.origin.producer, producer, 16);
    parcel.chunk_len = 3;
    assert_int_equal(commit_one(world, &parcel), TIDE_OK);
    fate = parcel.fate;
    tide_parcel_fini(&parcel);
    return fate;
}

static size_t values(struct world *world, enum table table)
{
    MDB_txn *txn;
    MDB_stat stat;

    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, world->store->dbi[table], &stat), 0);
    mdb_txn_abort(txn);
    return stat.ms_entries;
}

static void an_id_counts_once_per_module_and_once_per_chunk(void **state)
{
    struct world world;
    struct tide_parcel parcel;
    struct tide_event ev = {.kind = TIDE_EVENT_DEBUG, .weight = 1, .event_id = {"id", 2}};

    (void)state;
    world_begin(&world);
    tide_parcel_init(&parcel, NULL);
    for (unsigned i = 0; i < 6; i++) {
        ev.module = tide_any_name(i % 2);
        ev.event_id.len = i < 4 ? 2 : 0; /* without one, each counts */
        tide_parcel_fold(&parcel, &world.rules, &ev, world.now_us);
    }
    assert_int_equal(commit_one(&world, &parcel), TIDE_OK);
    tide_parcel_fini(&parcel);
    assert_int_equal(stored(&world), 4);
    assert_int_equal(world.store->state.ledger.duplicate, 2);
    assert_true(tide_ledger_balanced(&world.store->state.ledger));
    world_end(&world);
}

static void an_event_that_came_too_late_leaves_no_id(void **state)
{
    struct world world;
    struct tide_parcel parcel;

    (void)state;
    world_begin(&world);
    one_event(&world, &parcel, "slow");
    advance(&world, world.cfg.lateness_s + INTERVAL_S + 1); /* on its way to the committer */
    assert_int_equal(commit_one(&world, &parcel), TIDE_OK);
    tide_parcel_fini(&parcel);
    assert_int_equal(world.store->state.ledger.late, 1);
    assert_int_equal(identity_count(world.store->event_ids), 0);
    assert_true(send_id(&world, "slow"));
    assert_false(send_id(&world, "slow"));
    world_end(&world);
}

static void a_failed_commit_remembers_nothing(void **state)
{
    struct world world;
    struct tide_parcel parcel;

    (void)state;
    world_begin(&world);
    assert_true(send_id(&world, "first"));
    assert_int_equal(send_seq(&world, 1, 0, 5, 7), TIDE_FATE_COMMITTED);
    one_event(&world, &parcel, "second");
    parcel.has_identity = parcel.has_origin = true;
    parcel.identity = (struct tide_hash128){8, 1};
    parcel.origin = (struct tide_origin){.epoch = 0, .seq = 6};
    memset(parcel.origin.producer, 1, 16);
    interpose_before = refuse_commit;
    assert_int_not_equal(commit_one(&world, &parcel), TIDE_OK);
    interpose_before = NULL;
    assert_int_equal(identity_count(world.store->event_ids), 1);
    assert_int_equal(producers_held(world.store->producers), 1);
    assert_int_equal(commit_one(&world, &parcel), TIDE_OK);
    assert_int_equal(parcel.fate, TIDE_FATE_COMMITTED);
    tide_parcel_fini(&parcel);
    world_reopen(&world);
    assert_false(send_id(&world, "first"));
    assert_false(send_id(&world, "second"));
    assert_int_equal(send_seq(&world, 1, 0, 6, 8), TIDE_FATE_DUPLICATE);
    assert_int_equal(send_seq(&world, 1, 0, 6, 9), TIDE_FATE_REFUSED);
    world_end(&world);
}

static void event_ids_leave_memory_and_disk_with_their_window(void **state)
{
    struct world world;
    char id[16];

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_window_s = 120;
    world_open(&world);
    for (int n = 0; n < 60; n++) {
        snprintf(id, sizeof(id), "id-%d", n);
        assert_true(send_id(&world, id));
        advance(&world, 6);
        must_upkeep(&world);
    }
    assert_in_range(values(&world, TABLE_EVENT_ID), 20, 32);
    assert_in_range(identity_count(world.store->event_ids), 20, 32);
    world_reopen(&world);
    assert_false(send_id(&world, "id-59"));
    assert_true(send_id(&world, "id-0"));
    advance(&world, 300);
    must_upkeep(&world);
    assert_int_equal(values(&world, TABLE_EVENT_ID), 0);
    world_end(&world);
}

static void event_ids_over_their_count_leave_at_the_next_upkeep(void **state)
{
    struct world world;
    struct tide_store_stats stats;
    char id[16];

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_max_event_ids = 10;
    world_open(&world);
    must_upkeep(&world);
    for (int n = 0; n < 30; n++) {
        snprintf(id, sizeof(id), "id-%d", n);
        assert_true(send_id(&world, id));
    }
    must_upkeep(&world);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.event_ids, 10);
    assert_false(send_id(&world, "id-20"));
    assert_true(send_id(&world, "id-19"));
    world_end(&world);
}

static void a_producer_is_judged_by_its_window_across_restarts(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    for (uint64_t seq = 1800; seq < 3000; seq += 2)
        assert_int_equal(send_seq(&world, 1, 0, seq, seq), TIDE_FATE_COMMITTED);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(send_seq(&world, 1, 0, 2998, 2998), TIDE_FATE_DUPLICATE);
        assert_int_equal(send_seq(&world, 1, 0, 2998, 1), TIDE_FATE_REFUSED);
        assert_int_equal(send_seq(&world, 1, 0, 4, 1), TIDE_FATE_DUPLICATE); /* too old to tell */
        world_reopen(&world);
    }
    assert_int_equal(send_seq(&world, 1, 0, 2997, 0), TIDE_FATE_COMMITTED); /* was left out */
    assert_int_equal(send_seq(&world, 1, 2, 0, 0), TIDE_FATE_COMMITTED);
    world_reopen(&world);
    assert_int_equal(send_seq(&world, 1, 1, 5000, 0), TIDE_FATE_DUPLICATE); /* an older epoch */
    assert_int_equal(send_seq(&world, 2, 1, 5000, 0), TIDE_FATE_COMMITTED);
    assert_int_equal(world.store->state.ledger.chunks_rejected[TIDE_CHUNK_ID_REUSE], 2);
    world_end(&world);
}

static void a_slow_producer_stays_known_and_a_silent_one_does_not(void **state)
{
    struct world world;

    (void)state;
    world_prepare(&world);
    world.cfg.dedup_window_s = 1000;
    world_open(&world);
    assert_int_equal(send_seq(&world, 2, 0, 0, 0), TIDE_FATE_COMMITTED);
    for (uint64_t n = 0; n < 20; n++) { /* one new chunk, then only repetitions, beyond 9 windows */
        assert_int_equal(send_seq(&world, 1, 0, n < 3 ? n : n % 3, n % 3),
                         n < 3 ? TIDE_FATE_COMMITTED : TIDE_FATE_DUPLICATE);
        advance(&world, 500);
        must_upkeep(&world);
        if (n % 2)
            world_reopen(&world);
    }
    assert_int_equal(producers_count(world.store->producers), 1);
    assert_int_equal(producers_held(world.store->producers), 3);
    assert_int_equal(send_seq(&world, 1, 0, 1, 9), TIDE_FATE_REFUSED);
    assert_int_equal(send_seq(&world, 2, 0, 0, 0), TIDE_FATE_COMMITTED);
    assert_in_range(values(&world, TABLE_PRODUCER), 1, 8);
    advance(&world, 1061);
    must_upkeep(&world);
    assert_int_equal(values(&world, TABLE_PRODUCER), 0);
    assert_int_equal(world.store->producer_chunks, 0);
    world_end(&world);
}

static void a_busy_producer_leaves_little_on_disk(void **state)
{
    struct world world;
    static struct tide_parcel parcel[4096];
    static struct tide_parcel *waiting[4096];
    struct tide_err err = {""};
    size_t taken;

    (void)state;
    world_begin(&world);
    must_upkeep(&world);
    for (uint64_t group = 0; group < 40; group++) {
        for (uint64_t i = 0; i < 4096; i++) {
            waiting[i] = &parcel[i];
            tide_parcel_init(&parcel[i], NULL);
            parcel[i].has_identity = parcel[i].has_origin = true;
            parcel[i].origin.seq = group * 4096 + i;
        }
        assert_int_equal(tide_store_commit(world.store, waiting, 4096, world.now_us, &taken, &err),
                         TIDE_OK);
        advance(&world, 61);
        must_upkeep(&world);
        assert_true(world.store->producer_chunks <= 65536 + 2 * PRODUCER_WINDOW);
    }
    taken = world.store->producer_chunks;
    world_reopen(&world);
    assert_int_equal(world.store->producer_chunks, taken);
    assert_int_equal(producers_held(world.store->producers), PRODUCER_WINDOW);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_counts_once_per_module_and_once_per_chunk),
        cmocka_unit_test(an_event_that_came_too_late_leaves_no_id),
        cmocka_unit_test(a_failed_commit_remembers_nothing),
        cmocka_unit_test(event_ids_leave_memory_and_disk_with_their_window),
        cmocka_unit_test(event_ids_over_their_count_leave_at_the_next_upkeep),
        cmocka_unit_test(a_producer_is_judged_by_its_window_across_restarts),
        cmocka_unit_test(a_slow_producer_stays_known_and_a_silent_one_does_not),
        cmocka_unit_test(a_busy_producer_leaves_little_on_disk),
    };

    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
