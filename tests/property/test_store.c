/* The store against a naive model that keeps every event: whatever the order of commits, late
 * events, resends, seals, checkpoints and restarts, every interval of every module, the fleet, the
 * totals and the books are what folding the distinct events gives. A snapshot opened at any moment
 * goes on to say what was true at that moment.
 *
 * Invariants I1-I5, I7, I9 and I14 of storage/FORMAT.md.
 */
#include "tidemark/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tidemark/clock.h"
#include "tidemark/tier.h"
#include "any.h"
#include "dir.h"
#include "pack.h"

#define MODULES    12
#define EVENTS_MAX 40000
#define INTERVAL_S 10
#define T0_S       INT64_C(1700000000)

/* ---- the model ---- */

struct kept {
    unsigned module;
    int64_t time_us;
    struct tide_event ev;
};

struct sent { /* a chunk that may be sent again */
    uint64_t seed;
    int64_t arrival_us;
    struct tide_hash128 identity;
};

struct world {
    uint64_t seed;
    char dir[200];
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_fold_rules rules;
    int64_t now_us;
    struct kept *kept;
    size_t events;
    struct sent sent[4096];
    size_t chunks;
    struct tide_ledger books;
    uint64_t commit_seq;
    int64_t sealed_upto_s;
};

static int64_t start_of(int64_t time_us)
{
    return tide_floor_s(time_us / 1000000, INTERVAL_S);
}

static uint64_t instance_of(const struct world *world, const struct tide_event *ev)
{
    return ev->instance.len
               ? tide_hash64(world->rules.instance_seed, ev->instance.start, ev->instance.len)
               : 0;
}

/* Folds the model's events of one module and interval; start_s < 0: of all time, without what
 * totals do not keep. */
static void fold_model(const struct world *world, size_t events, unsigned module, int64_t start_s,
                       struct tide_record *into)
{
    tide_record_reset(into);
    for (size_t i = 0; i < events; i++) {
        const struct kept *kept = &world->kept[i];

        if (kept->module == module && (start_s < 0 || start_of(kept->time_us) == start_s))
            tide_record_fold(into, &kept->ev, kept->time_us, instance_of(world, &kept->ev));
    }
    if (start_s < 0) {
        into->instances = 0;
        into->customs.count = 0;
        into->slowest.us = 0;
        into->slowest.len = 0;
    }
}

/* ---- writing ---- */

static void open_store(struct world *world)
{
    struct tide_err err = {""};

    tide_clock_fake(world->now_us);
    if (tide_store_open(&world->cfg, &world->store, &err))
        fail_msg("open: %s", err.text);
    world->rules =
        (struct tide_fold_rules){.interval_s = INTERVAL_S,
                                 .lateness_s = world->cfg.lateness_s,
                                 .future_s = 60,
                                 .instance_seed = tide_store_instance_seed(world->store)};
}

/* Fills a parcel with the chunk that `seed` and arrival_us stand for; the same ones give the same
 * chunk. */
static void fill(struct world *world, struct tide_parcel *parcel, uint64_t seed, int64_t arrival_us,
                 bool keep)
{
    int events = (int)tide_any_between(&seed, 0, 30);

    for (int i = 0; i < events; i++) {
        struct tide_event ev = tide_any_event(&seed);
        unsigned module = (unsigned)tide_any_between(&seed, 0, MODULES - 1);
        int64_t late = tide_any_between(&seed, 0, 9), age_s = tide_any_between(&seed, 0, 15);
        int64_t time_us;

        if (late == 0)
            age_s = tide_any_between(&seed, 0, world->cfg.lateness_s + 30);
        else if (late == 1)
            age_s = -tide_any_between(&seed, 0, 100);
        ev.time_us = arrival_us - age_s * 1000000;
        ev.module = tide_any_name(module);
        if (tide_any_between(&seed, 0, 50) == 0) {
            tide_parcel_reject(
                parcel, (enum tide_entry_reason)tide_any_between(&seed, 0, TIDE_ENTRY_TRUNCATED));
            continue;
        }
        tide_parcel_fold(parcel, &world->rules, &ev, arrival_us);
        if (!keep || age_s > world->cfg.lateness_s)
            continue;
        time_us = age_s < -60 ? arrival_us : ev.time_us;
        assert_true(world->events < EVENTS_MAX);
        world->kept[world->events++] = (struct kept){module, time_us, ev};
    }
}

static void commit_some(struct world *world)
{
    static struct tide_parcel parcel[4];
    struct tide_parcel *waiting[4];
    bool again[4];
    size_t taken;
    size_t count = (size_t)tide_any_between(&world->seed, 1, 4);
    struct tide_err err = {""};

    for (size_t i = 0; i < count; i++) {
        bool resend = world->chunks && tide_any_between(&world->seed, 0, 3) == 0;
        struct sent *sent =
            resend ? &world->sent[tide_any_between(&world->seed, 0, (int64_t)world->chunks - 1)]
                   : &world->sent[world->chunks++];

        assert_true(world->chunks < sizeof(world->sent) / sizeof(world->sent[0]));
        waiting[i] = &parcel[i];
        tide_parcel_init(&parcel[i], NULL);
        if (!resend) {
            sent->seed = tide_test_random(&world->seed);
            sent->arrival_us = world->now_us;
            sent->identity = (struct tide_hash128){tide_test_random(&world->seed),
                                                   tide_test_random(&world->seed)};
        }
        fill(world, &parcel[i], sent->seed, sent->arrival_us, !resend);
        parcel[i].has_identity = true;
        parcel[i].identity = sent->identity;
        parcel[i].chunk_len = 3;
        if (resend) {
            world->books.received += parcel[i].books.received;
            world->books.duplicate += parcel[i].books.received;
            world->books.chunks_duplicate++;
        } else {
            tide_ledger_add(&world->books, &parcel[i].books);
            world->books.chunks_committed++;
        }
        again[i] = resend;
    }
    if (tide_store_commit(world->store, waiting, count, world->now_us, &taken, &err))
        fail_msg("commit: %s", err.text);
    assert_int_equal(taken, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(parcel[i].fate, again[i] ? TIDE_FATE_DUPLICATE : TIDE_FATE_COMMITTED);
        tide_parcel_fini(&parcel[i]);
    }
}

/* ---- reading ---- */

struct walked {
    int64_t start_s;
    struct tide_record record;
    unsigned flags;
};

struct walk {
    struct walked at[4096];
    size_t count;
};

static bool keep_walked(void *arg, uint32_t module, int64_t start_s,
                        const struct tide_record *record, unsigned flags)
{
    struct walk *walk = arg;
    struct walked *walked = &walk->at[walk->count++];

    (void)module;
    assert_true(walk->count < 4096);
    assert_true(walk->count == 1 || start_s < walk->at[walk->count - 2].start_s);
    walked->start_s = start_s;
    walked->flags = flags;
    tide_record_init(&walked->record);
    tide_record_copy(&walked->record, record);
    return true;
}

static struct walk walk;

static void check_module(struct world *world, struct tide_snapshot *snapshot, size_t events,
                         unsigned module)
{
    struct tide_text name = tide_any_name(module);
    struct tide_record expected;
    struct tide_module found;
    size_t seen = 0, total = 0;

    tide_record_init(&expected);
    fold_model(world, events, module, -1, &expected);
    if (tide_record_empty(&expected)) {
        tide_record_fini(&expected);
        return; /* known or not: a module may have had rejected events only */
    }
    assert_int_equal(tide_snapshot_find(snapshot, name.start, name.len, &found), TIDE_OK);
    assert_true(tide_record_equal(found.total, &expected));
    walk.count = 0;
    assert_int_equal(
        tide_snapshot_walk(snapshot, found.id, 0, INT64_MAX / 1000000, keep_walked, &walk),
        TIDE_OK);
    for (size_t i = 0; i < walk.count; i++) {
        fold_model(world, events, module, walk.at[i].start_s, &expected);
        if (!tide_record_equal(&walk.at[i].record, &expected))
            fail_msg("module %u, interval %lld differs", module, (long long)walk.at[i].start_s);
        seen += walk.at[i].record.tally.requests + walk.at[i].record.tally.kind[TIDE_EVENT_DEBUG];
        tide_record_fini(&walk.at[i].record);
    }
    total = found.total->tally.requests + found.total->tally.kind[TIDE_EVENT_DEBUG];
    assert_int_equal(seen, total); /* no interval is missing */
    tide_record_fini(&expected);
}

static void check_fleet(struct world *world, struct tide_snapshot *snapshot, size_t events)
{
    struct tide_record expected, part, whole;

    tide_record_init(&expected);
    tide_record_init(&part);
    tide_record_init(&whole);
    walk.count = 0;
    assert_int_equal(
        tide_snapshot_walk(snapshot, TIDE_FLEET, 0, INT64_MAX / 1000000, keep_walked, &walk),
        TIDE_OK);
    for (size_t i = 0; i < walk.count; i++) {
        tide_record_reset(&expected);
        for (unsigned module = 0; module < MODULES; module++) {
            fold_model(world, events, module, walk.at[i].start_s, &part);
            tide_record_gather(&expected, &part);
        }
        if (!tide_record_equal(&walk.at[i].record, &expected))
            fail_msg("fleet, interval %lld differs", (long long)walk.at[i].start_s);
        tide_record_fini(&walk.at[i].record);
    }
    tide_record_reset(&whole);
    for (unsigned module = 0; module < MODULES; module++) {
        fold_model(world, events, module, -1, &part);
        tide_record_gather(&whole, &part);
    }
    assert_true(tide_record_equal(tide_snapshot_fleet_total(snapshot), &whole));
    tide_record_fini(&expected);
    tide_record_fini(&part);
    tide_record_fini(&whole);
}

static bool count_swept(void *arg, uint32_t module, int64_t start_s,
                        const struct tide_record *record, unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    *(uint64_t *)arg += record->tally.requests;
    return true;
}

static bool odd_modules(void *arg, uint32_t module, int64_t start_s)
{
    (void)arg;
    (void)start_s;
    return module % 2;
}

static void check_sweep(struct tide_snapshot *snapshot)
{
    uint64_t all = 0, odd = 0, expected = 0;

    for (uint32_t id = 1; id <= tide_snapshot_info(snapshot)->modules; id++) {
        struct tide_module module;

        tide_snapshot_module(snapshot, id, &module);
        expected += id % 2 ? module.total->tally.requests : 0;
    }
    tide_snapshot_sweep(snapshot, 0, INT64_MAX / 1000000, NULL, count_swept, &all);
    assert_int_equal(all, tide_snapshot_fleet_total(snapshot)->tally.requests);
    tide_snapshot_sweep(snapshot, 0, INT64_MAX / 1000000, odd_modules, count_swept, &odd);
    assert_int_equal(odd, expected);
}

static void check(struct world *world, struct tide_snapshot *snapshot, size_t events,
                  const struct tide_ledger *books)
{
    const struct tide_snapshot_info *info = tide_snapshot_info(snapshot);

    assert_memory_equal(&info->ledger, books, sizeof(*books));
    assert_true(tide_ledger_balanced(&info->ledger));
    for (unsigned module = 0; module < MODULES; module++)
        check_module(world, snapshot, events, module);
    check_fleet(world, snapshot, events);
    check_sweep(snapshot);
}

static void check_now(struct world *world)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};

    assert_int_equal(tide_snapshot_open(world->store, &snapshot, &err), TIDE_OK);
    assert_true(tide_snapshot_info(snapshot)->commit_seq >= world->commit_seq);
    assert_true(tide_snapshot_info(snapshot)->sealed_upto_s >= world->sealed_upto_s);
    world->commit_seq = tide_snapshot_info(snapshot)->commit_seq;
    world->sealed_upto_s = tide_snapshot_info(snapshot)->sealed_upto_s;
    check(world, snapshot, world->events, &world->books);
    tide_snapshot_close(snapshot);
}

/* ---- the runs ---- */

static void begin(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->now_us = T0_S * 1000000;
    world->kept = malloc(EVENTS_MAX * sizeof(*world->kept));
    assert_non_null(world->kept);
    tide_test_dir(world->dir, sizeof(world->dir));
    tide_store_cfg_default(&world->cfg);
    snprintf(world->cfg.dir, sizeof(world->cfg.dir), "%s/store", world->dir);
    world->cfg.map_bytes = UINT64_C(1) << 32;
    world->cfg.interval_s = INTERVAL_S;
    world->cfg.grace_s = 2;
    world->cfg.lateness_s = 400;
    open_store(world);
}

static void end(struct world *world)
{
    tide_store_close(world->store);
    tide_test_dir_remove(world->dir);
    free(world->kept);
}

static void step(struct world *world)
{
    struct tide_err err = {""};
    int64_t what = tide_any_between(&world->seed, 0, 19);

    if (what < 11) {
        commit_some(world);
    } else if (what < 17) {
        world->now_us += tide_any_between(&world->seed, 0, 12) * 1000000;
        if (tide_any_between(&world->seed, 0, 20) == 0)
            world->now_us -=
                tide_any_between(&world->seed, 0, 60) * 1000000; /* the clock steps back */
        if (tide_store_seal(world->store, world->now_us, &err))
            fail_msg("seal: %s", err.text);
    } else if (what < 19) {
        enum tide_rc rc = tide_store_upkeep(world->store, world->now_us, &err);

        if (rc != TIDE_OK && rc != TIDE_AGAIN)
            fail_msg("upkeep: %s", err.text);
    } else {
        tide_store_close(world->store);
        open_store(world);
    }
}

static void every_answer_equals_folding_all_distinct_events(void **state)
{
    static struct world world;

    for (uint64_t run = 0; run < 12; run++) {
        begin(&world, *(uint64_t *)*state + run);
        for (int i = 0; i < 120; i++) {
            step(&world);
            if (i % 20 == 0)
                check_now(&world);
        }
        check_now(&world);
        tide_store_close(world.store);
        open_store(&world);
        check_now(&world);
        end(&world);
    }
}

static void a_snapshot_says_for_ever_what_was_true_when_it_was_opened(void **state)
{
    static struct world world;

    for (uint64_t run = 0; run < 10; run++) {
        struct {
            struct tide_snapshot *snapshot;
            size_t events;
            struct tide_ledger books;
        } held[6];
        struct tide_err err = {""};

        begin(&world, *(uint64_t *)*state + 100 + run);
        for (int h = 0; h < 6; h++) {
            for (int i = 0; i < 15; i++) {
                commit_some(&world);
                world.now_us += tide_any_between(&world.seed, 0, 8) * 1000000;
                if (i % 3 == 0 && tide_store_seal(world.store, world.now_us, &err))
                    fail_msg("seal: %s", err.text);
            }
            held[h].events = world.events;
            held[h].books = world.books;
            assert_int_equal(tide_snapshot_open(world.store, &held[h].snapshot, &err), TIDE_OK);
        }
        for (int h = 0; h < 6; h++) {
            int which = (h * 5 + (int)run) % 6; /* any order of closing */

            check(&world, held[which].snapshot, held[which].events, &held[which].books);
            tide_snapshot_close(held[which].snapshot);
            commit_some(&world);
        }
        check_now(&world);
        end(&world);
    }
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_answer_equals_folding_all_distinct_events, &seed),
        cmocka_unit_test_prestate(a_snapshot_says_for_ever_what_was_true_when_it_was_opened, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
