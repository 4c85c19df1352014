/* sim: what goes in is what the audit reads back, at whatever pace; and a difference is found. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"
#include "synth.h"
#include "tidemark.h"

#define START_S INT64_C(1704067200)
#define WIDTH_S 30

struct world {
    char dir[200];
    struct tide_sim_cfg cfg;
    struct tide_sim sim;
    struct tide_synth *synth;
};

static void world_begin(struct world *world, uint32_t chunk_events, uint32_t group_events)
{
    struct tide_synth_cfg cfg = {
        .shape = TIDE_SYNTH_FULL, .seed = 3, .modules = 5, .interval_s = WIDTH_S, .events = 10};

    tide_test_dir(world->dir, sizeof world->dir);
    world->cfg = (struct tide_sim_cfg){.chunk_events = chunk_events, .group_events = group_events};
    tide_store_cfg_default(&world->cfg.store);
    snprintf(world->cfg.store.dir, sizeof world->cfg.store.dir, "%s/store", world->dir);
    world->cfg.store.map_bytes = UINT64_C(1) << 32;
    memset(world->cfg.store.retention.keep_s, 0, sizeof world->cfg.store.retention.keep_s);
    world->synth = tide_synth_new(&cfg);
    tide_sim_open(&world->sim, &world->cfg, START_S * 1000000);
    if (world->sim.rc != TIDE_OK)
        fail_msg("%s", world->sim.err.text);
}

static void world_end(struct world *world)
{
    tide_sim_close(&world->sim);
    tide_synth_free(world->synth);
    tide_test_dir_remove(world->dir);
}

static void log_intervals(struct world *world, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        int64_t start_s = START_S + (int64_t)i * WIDTH_S;

        tide_sim_advance(&world->sim, (start_s + WIDTH_S) * 1000000);
        for (uint32_t module = 0; module < 5; module++)
            tide_synth_log(world->synth, module, start_s, tide_sim_take, &world->sim);
    }
    tide_sim_advance(&world->sim, (START_S + (int64_t)to * WIDTH_S + 10) * 1000000);
}

static void what_went_in_is_read_back(void **state)
{
    static const uint32_t pace[][2] = {{1, 1}, {7, 100}, {100, 1000000}};

    (void)state;
    for (size_t i = 0; i < sizeof pace / sizeof *pace; i++) {
        struct world world;
        int64_t us;

        world_begin(&world, pace[i][0], pace[i][1]);
        log_intervals(&world, 0, 6);
        tide_sim_audit(&world.sim);
        assert_string_equal(world.sim.err.text, "");
        assert_int_equal(world.sim.rc, TIDE_OK);
        assert_true(world.sim.books.events > 200);
        assert_int_equal(world.sim.books.chunks >= world.sim.books.events / pace[i][0], true);
        assert_int_equal(world.sim.seal.count, 6);
        assert_int_equal(world.sim.commit.count, world.sim.books.groups);

        tide_sim_reopen(&world.sim, &us); /* and goes on afterwards */
        log_intervals(&world, 6, 8);
        tide_sim_audit(&world.sim);
        assert_string_equal(world.sim.err.text, "");
        assert_int_equal(world.sim.rc, TIDE_OK);
        world_end(&world);
    }
}

static void a_difference_is_found_and_told(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 10, 100);
    log_intervals(&world, 0, 2);
    world.sim.books.weighed++;
    tide_sim_audit(&world.sim);
    assert_int_equal(world.sim.rc, TIDE_DAMAGED);
    assert_non_null(strstr(world.sim.err.text, "disagree: events of all modules"));
    world_end(&world);
}

static void after_a_failure_nothing_happens_any_more(void **state)
{
    struct tide_sim second;
    struct world world;
    int64_t us;

    (void)state;
    world_begin(&world, 10, 100);
    tide_sim_open(&second, &world.cfg, START_S * 1000000); /* held by the first */
    assert_int_equal(second.rc, TIDE_LOCKED);
    log_intervals(&world, 0, 1);
    tide_synth_log(world.synth, 0, START_S + WIDTH_S, tide_sim_take, &second);
    tide_sim_advance(&second, (START_S + 3600) * 1000000);
    tide_sim_reopen(&second, &us);
    tide_sim_audit(&second);
    assert_int_equal(second.rc, TIDE_LOCKED);
    assert_int_equal(second.books.events, 0);
    assert_false(tide_sim_going(&second));
    tide_sim_close(&second);
    assert_true(tide_sim_going(&world.sim));
    world_end(&world);
}

static void a_full_store_says_so(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 1000, 1000);
    tide_sim_close(&world.sim);
    tide_test_dir_remove(world.dir);
    tide_test_dir(world.dir, sizeof world.dir);
    snprintf(world.cfg.store.dir, sizeof world.cfg.store.dir, "%s/store", world.dir);
    world.cfg.store.map_bytes = 256 << 10;
    tide_sim_open(&world.sim, &world.cfg, START_S * 1000000);
    log_intervals(&world, 0, 200);
    assert_int_equal(world.sim.rc, TIDE_DISK_FULL);
    assert_non_null(strstr(world.sim.err.text, "no space left"));
    world_end(&world);
}

static void an_interrupt_stops_it(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 10, 100);
    log_intervals(&world, 0, 1);
    tide_stopping = 1;
    assert_false(tide_sim_going(&world.sim));
    assert_int_equal(world.sim.rc, TIDE_STOPPED);
    tide_stopping = 0;
    log_intervals(&world, 1, 3);
    assert_int_equal(world.sim.seal.count, 1);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_is_read_back),
        cmocka_unit_test(a_difference_is_found_and_told),
        cmocka_unit_test(after_a_failure_nothing_happens_any_more),
        cmocka_unit_test(a_full_store_says_so),
        cmocka_unit_test(an_interrupt_stops_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
