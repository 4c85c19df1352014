/* synth: the same seed makes the same events, and each shape is what it says. */
#include "synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tidemark/record.h"

#define START_S INT64_C(1704067200)
#define WIDTH_S 30

static struct tide_synth_cfg cfg_of(enum tide_synth_shape shape, double events)
{
    return (struct tide_synth_cfg){
        .shape = shape, .seed = 5, .modules = 4, .interval_s = WIDTH_S, .events = events};
}

static void fold(void *to, const struct tide_event *ev)
{
    tide_record_fold(to, ev, ev->time_us, ev->instance.len ? 7 : 0);
}

/* One interval of one module, into an initialised record. */
static void fold_interval(struct tide_synth *synth, uint32_t module, uint32_t interval,
                          struct tide_record *into)
{
    tide_record_reset(into);
    tide_synth_log(synth, module, START_S + (int64_t)interval * WIDTH_S, fold, into);
}

static void a_seed_makes_the_same_modules_whatever_is_asked_of_others(void **state)
{
    (void)state;
    for (int shape = TIDE_SYNTH_TWELVE; shape <= TIDE_SYNTH_COARSE; shape++) {
        struct tide_synth_cfg cfg = cfg_of((enum tide_synth_shape)shape, 20);
        struct tide_synth *a = tide_synth_new(&cfg), *b = tide_synth_new(&cfg), *c;
        struct tide_record left, right;
        unsigned differ = 0;

        cfg.seed++;
        c = tide_synth_new(&cfg);
        tide_record_init(&left);
        tide_record_init(&right);
        for (uint32_t i = 0; i < 50; i++) {
            fold_interval(a, 1, i, &left); /* a makes module 1 only, b all of them */
            for (uint32_t module = 4; module-- > 0;) {
                fold_interval(b, module, i, &right);
                if (module == 1)
                    assert_true(tide_record_equal(&left, &right));
            }
            fold_interval(c, 1, i, &right);
            differ += !tide_record_equal(&left, &right);
        }
        assert_int_equal(differ, 50);
        tide_record_fini(&left);
        tide_record_fini(&right);
        tide_synth_free(a);
        tide_synth_free(b);
        tide_synth_free(c);
    }
}

static void twelve_figures_have_one_time_and_the_mean_as_newest(void **state)
{
    struct tide_synth_cfg cfg = cfg_of(TIDE_SYNTH_TWELVE, 3);
    struct tide_synth *synth = tide_synth_new(&cfg);
    unsigned empty = 0, failed = 0;
    struct tide_record record;

    (void)state;
    tide_record_init(&record);
    for (uint32_t i = 0; i < 4 * 500; i++) {
        fold_interval(synth, i % 4, i / 4, &record);
        assert_int_equal(record.tally.first_us, (START_S + i / 4 * WIDTH_S) * 1000000);
        assert_int_equal(record.tally.last_us, record.tally.first_us + 1);
        assert_int_equal(record.tally.errors, record.tally.failed);
        assert_int_equal(record.instances, 1);
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
            const struct tide_gauge_state *held = &record.instance[0].gauge[gauge];

            assert_int_equal(held->count,
                             gauge == TIDE_GAUGE_MEMORY || gauge == TIDE_GAUGE_CPU ? 3 : 1);
            assert_int_equal(held->sum, held->count * held->last);
            assert_true(held->max >= held->last);
        }
        empty += record.tally.requests == 0;
        failed += record.tally.failed > 0;
    }
    assert_true(empty > 0 && failed > 0);
    tide_record_fini(&record);
    tide_synth_free(synth);
}

static void full_records_stay_in_their_interval(void **state)
{
    struct tide_synth_cfg cfg = cfg_of(TIDE_SYNTH_FULL, 40);
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_record record;
    uint64_t requests = 0;

    (void)state;
    tide_record_init(&record);
    for (uint32_t i = 0; i < 4 * 200; i++) {
        int64_t start_us = (START_S + (int64_t)(i / 4) * WIDTH_S) * 1000000;

        fold_interval(synth, i % 4, i / 4, &record);
        assert_true(record.tally.first_us >= start_us);
        assert_true(record.tally.last_us < start_us + WIDTH_S * 1000000);
        assert_int_equal(record.tally.kind[TIDE_EVENT_PERFORMANCE], 3);
        assert_int_equal(record.instance[0].id, 7);
        assert_int_equal(record.slowest.len, record.tally.requests ? 12 : 0);
        requests += record.tally.requests;
    }
    assert_in_range(requests / 800, 5, 320); /* 40 by the median of modules */
    tide_record_fini(&record);
    tide_synth_free(synth);
}

static void coarse_counts_come_in_few_events_and_few_buckets(void **state)
{
    struct tide_synth_cfg cfg = cfg_of(TIDE_SYNTH_COARSE, 0);
    struct tide_synth *synth = tide_synth_new(&cfg);
    struct tide_record record;

    (void)state;
    tide_record_init(&record);
    for (uint32_t i = 0; i < 4 * 200; i++) {
        unsigned buckets = 0;

        fold_interval(synth, i % 4, i / 4, &record);
        for (unsigned b = 0; b < record.hist.len; b++)
            buckets += record.hist.count[b] > 0;
        assert_in_range(buckets, 1, 22); /* 20, the smallest and the largest */
        assert_true(record.tally.requests > 0);
        assert_int_equal(record.tally.samples, record.tally.requests);
        assert_true(record.tally.failed < record.tally.requests / 10 + 3);
    }
    tide_record_fini(&record);
    tide_synth_free(synth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_makes_the_same_modules_whatever_is_asked_of_others),
        cmocka_unit_test(twelve_figures_have_one_time_and_the_mean_as_newest),
        cmocka_unit_test(full_records_stay_in_their_interval),
        cmocka_unit_test(coarse_counts_come_in_few_events_and_few_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
