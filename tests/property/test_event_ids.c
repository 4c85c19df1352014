/* Event ids and structured chunk ids in the store, against a naive model: whatever is sent again,
 * in whatever chunk, with whatever seq, across seals, upkeep and restarts, an event with an id
 * counts once in its module, and the books say what became of each entry.
 *
 * Invariants I2, I4 and I9 of storage/FORMAT.md.
 */
#include "tidemark/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"
#include "any.h"
#include "dir.h"
#include "pack.h"

enum { MODULES = 5, IDS = 400, PRODUCERS = 3, SEQS = 4000, GROUP = 6 };
#define T0_US      (INT64_C(1700000000) * 1000000)
#define LATENESS_S 300

struct event { /* of one id; the same in every resend */
    int64_t time_us;
    bool counted;
};

struct sent { /* a chunk with a structured id */
    uint64_t seed;
    int64_t now_us;
};

struct world {
    uint64_t seed;
    char dir[200];
    struct tide_store_cfg cfg;
    struct tide_store *store;
    struct tide_fold_rules rules;
    int64_t now_us;
    uint64_t chunks; /* ordinary ones; each has a new id */
    struct event event[MODULES][IDS];
    struct {
        uint64_t requests, sum_us;
    } total[MODULES];
    struct {
        uint64_t next;
        struct sent sent[SEQS];
    } producer[PRODUCERS];
    struct tide_ledger books;
};

static void open_store(struct world *world)
{
    struct tide_err err = {""};

    tide_clock_fake(world->now_us);
    if (tide_store_open(&world->cfg, &world->store, &err))
        fail_msg("open: %s", err.text);
    world->rules = (struct tide_fold_rules){
        .interval_s = world->cfg.interval_s,
        .lateness_s = LATENESS_S,
        .future_s = 60,
        .instance_seed = tide_store_instance_seed(world->store),
        .identity_seed = tide_store_identity_seed(world->store),
    };
}

/* Fills the parcel with what the seed stands for; with `book` the model learns of it. */
static void fill(struct world *world, struct tide_parcel *parcel, uint64_t seed, bool book)
{
    int entries = (int)tide_any_between(&seed, 0, 12);

    for (int i = 0; i < entries; i++) {
        unsigned module = (unsigned)tide_any_between(&seed, 0, MODULES - 1);
        unsigned id = (unsigned)tide_any_between(&seed, 0, IDS - 1);
        bool has_id = tide_any_between(&seed, 0, 3), late, skewed;
        struct event *event = &world->event[module][id];
        struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                                .weight = 1,
                                .success = true,
                                .has_duration = true,
                                .duration_us = module * 1000 + id,
                                .module = tide_any_name(module)};
        int64_t any_us = world->now_us - tide_any_between(&seed, -90, LATENESS_S + 30) * 1000000;
        char text[16];

        if (tide_any_between(&seed, 0, 30) == 0) { /* a bad entry takes no id */
            tide_parcel_reject(parcel, TIDE_ENTRY_BAD_STATUS);
            continue;
        }
        if (has_id && !event->time_us)
            event->time_us = any_us;
        ev.time_us = has_id ? event->time_us : any_us;
        snprintf(text, sizeof(text), "e%u", id); /* the same in every module */
        if (has_id)
            ev.event_id = (struct tide_text){text, (uint32_t)strlen(text)};
        tide_parcel_fold(parcel, &world->rules, &ev, world->now_us);
        if (!book)
            continue;
        late = ev.time_us < world->now_us - LATENESS_S * INT64_C(1000000);
        skewed = ev.time_us > world->now_us + 60 * INT64_C(1000000);
        if (late)
            continue;
        if (has_id && event->counted) { /* the parcel could not know */
            world->books.stored--;
            world->books.duplicate++;
            world->books.skewed -= skewed;
            continue;
        }
        event->counted = event->counted || has_id;
        world->total[module].requests++;
        world->total[module].sum_us += module * 1000 + id;
    }
}

static void book_new(struct world *world, const struct tide_parcel *parcel)
{
    tide_ledger_add(&world->books, &parcel->books);
    world->books.chunks_committed++;
}

/* A chunk whose id nobody has seen; what is in it may have been. */
static enum tide_fate fill_ordinary(struct world *world, struct tide_parcel *parcel)
{
    fill(world, parcel, tide_test_random(&world->seed), true);
    parcel->identity = (struct tide_hash128){++world->chunks, tide_test_random(&world->seed)};
    book_new(world, parcel);
    return TIDE_FATE_COMMITTED;
}

static enum tide_fate fill_structured(struct world *world, struct tide_parcel *parcel)
{
    unsigned which = (unsigned)tide_any_between(&world->seed, 0, PRODUCERS - 1);
    uint64_t next = world->producer[which].next;
    bool again = next && tide_any_between(&world->seed, 0, 2) == 0;
    uint64_t back =
        again ? (uint64_t)tide_any_between(&world->seed, 1, next < 9 ? (int64_t)next : 9) : 0;
    struct sent *sent = &world->producer[which].sent[next - back];
    bool reused = again && tide_any_between(&world->seed, 0, 3) == 0;

    assert_true(next < SEQS);
    if (!again)
        sent->seed = tide_test_random(&world->seed);
    parcel->has_origin = true;
    parcel->origin = (struct tide_origin){.epoch = 1, .seq = next - back};
    memset(parcel->origin.producer, (int)which + 1, 16);
    parcel->identity = (struct tide_hash128){sent->seed + reused, which};
    fill(world, parcel, sent->seed + reused, !again);
    if (!again) {
        world->producer[which].next++;
        book_new(world, parcel);
        return TIDE_FATE_COMMITTED;
    }
    if (reused) {
        world->books.chunks_rejected[TIDE_CHUNK_ID_REUSE]++;
        return TIDE_FATE_REFUSED;
    }
    world->books.received += parcel->books.received;
    world->books.duplicate += parcel->books.received;
    world->books.chunks_duplicate++;
    return TIDE_FATE_DUPLICATE;
}

static void commit_some(struct world *world)
{
    static struct tide_parcel parcel[GROUP];
    struct tide_parcel *waiting[GROUP];
    enum tide_fate fate[GROUP];
    size_t count = (size_t)tide_any_between(&world->seed, 1, GROUP), taken;
    struct tide_err err = {""};

    for (size_t i = 0; i < count; i++) {
        waiting[i] = &parcel[i];
        tide_parcel_init(&parcel[i], NULL);
        parcel[i].has_identity = true;
        parcel[i].chunk_len = 3;
        fate[i] = tide_any_between(&world->seed, 0, 1) ? fill_ordinary(world, &parcel[i])
                                                       : fill_structured(world, &parcel[i]);
    }
    if (tide_store_commit(world->store, waiting, count, world->now_us, &taken, &err))
        fail_msg("commit: %s", err.text);
    assert_int_equal(taken, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(parcel[i].fate, fate[i]);
        tide_parcel_fini(&parcel[i]);
    }
}

static void check(struct world *world)
{
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};

    assert_int_equal(tide_snapshot_open(world->store, &snapshot, &err), TIDE_OK);
    assert_true(tide_ledger_balanced(&world->books));
    assert_memory_equal(&tide_snapshot_info(snapshot)->ledger, &world->books, sizeof(world->books));
    for (unsigned module = 0; module < MODULES; module++) {
        struct tide_text name = tide_any_name(module);
        struct tide_module found;

        if (tide_snapshot_find(snapshot, name.start, name.len, &found)) {
            assert_int_equal(world->total[module].requests, 0);
            continue;
        }
        assert_int_equal(found.total->tally.requests, world->total[module].requests);
        assert_int_equal(found.total->tally.sum_us, world->total[module].sum_us);
    }
    tide_snapshot_close(snapshot);
}

static void what_is_sent_again_counts_once(void **state)
{
    static struct world world;
    struct tide_err err = {""};

    for (uint64_t run = 0; run < 8; run++) {
        memset(&world, 0, sizeof(world));
        world.seed = *(uint64_t *)*state + run;
        world.now_us = T0_US;
        tide_test_dir(world.dir, sizeof(world.dir));
        tide_store_cfg_default(&world.cfg);
        snprintf(world.cfg.dir, sizeof(world.cfg.dir), "%s/store", world.dir);
        world.cfg.map_bytes = UINT64_C(1) << 32;
        world.cfg.interval_s = 10;
        world.cfg.lateness_s = LATENESS_S;
        open_store(&world);
        for (int step = 0; step < 250; step++) {
            int64_t what = tide_any_between(&world.seed, 0, 19);

            if (what < 14) {
                commit_some(&world);
            } else if (what < 18) {
                enum tide_rc rc;

                world.now_us += tide_any_between(&world.seed, 0, 25) * 1000000;
                if (tide_store_seal(world.store, world.now_us, &err))
                    fail_msg("seal: %s", err.text);
                rc = tide_store_upkeep(world.store, world.now_us, &err);
                if (rc != TIDE_OK && rc != TIDE_AGAIN)
                    fail_msg("upkeep: %s", err.text);
            } else {
                tide_store_close(world.store);
                open_store(&world);
            }
            if (step % 10 == 0)
                check(&world);
        }
        check(&world);
        assert_true(world.books.duplicate > 100);
        tide_store_close(world.store);
        tide_test_dir_remove(world.dir);
    }
    tide_clock_fake(0);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(what_is_sent_again_counts_once, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
