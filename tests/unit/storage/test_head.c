/* head: what a pin sees for ever, what the writer may change in place, and who frees what. */
#include "head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "pack.h"

/* Adds n requests to a module of an interval (or to its total, start_s < 0). */
static void add(struct head *head, int64_t start_s, uint32_t module, uint64_t n)
{
    struct head_node *node =
        start_s < 0 ? head_touch_total(head, module) : head_touch(head, start_s, module);

    node->record.tally.requests += n;
}

static void add_one(struct head *head, int64_t start_s, uint32_t module, uint64_t n)
{
    head_begin(head);
    add(head, start_s, module, n);
    head_publish(head);
}

/* The requests of a module, 0 when there is no node. */
static uint64_t see(const struct head_generation *generation, int64_t start_s, uint32_t module)
{
    const struct head_layer *layer =
        start_s < 0 ? generation->totals : head_find_layer(generation, start_s);
    const struct head_node *node = layer ? head_peek(layer, module) : NULL;

    return node ? node->record.tally.requests : 0;
}

static void nobody_looks_so_the_writer_changes_in_place(void **state)
{
    struct head *head = head_new();
    const struct head_node *node;

    (void)state;
    add_one(head, 100, 7, 1);
    node = head_peek(head_find_layer(head_current(head), 100), 7);
    add_one(head, 100, 7, 2);
    assert_ptr_equal(head_peek(head_find_layer(head_current(head), 100), 7), node);
    assert_int_equal(see(head_current(head), 100, 7), 3);
    head_free(head);
}

static void a_pin_never_changes(void **state)
{
    struct head *head = head_new();
    const struct head_generation *before, *after;

    (void)state;
    add_one(head, 100, 7, 1);
    before = head_pin(head);
    head_begin(head);
    head_draft(head)->commit_seq = 9;
    add(head, 100, 7, 10);
    add(head, 100, 8, 10);
    add(head, 100, 7000, 10); /* another page */
    add(head, 110, 7, 10);    /* another layer */
    add(head, -1, 7, 10);
    assert_int_equal(see(before, 100, 7), 1); /* nor half-way */
    head_publish(head);
    after = head_pin(head);
    assert_int_equal(before->commit_seq, 0);
    assert_int_equal(see(before, 100, 7), 1);
    assert_int_equal(see(before, 100, 8), 0);
    assert_null(head_find_layer(before, 110));
    assert_int_equal(before->layers, 1);
    assert_int_equal(see(before, -1, 7), 0);
    assert_int_equal(after->commit_seq, 9);
    assert_int_equal(see(after, 100, 7), 11);
    assert_int_equal(see(after, 100, 7000), 10);
    assert_int_equal(see(after, 110, 7), 10);
    assert_int_equal(head_pins(head), 2);
    head_unpin(head, before);
    head_unpin(head, after);
    head_free(head);
}

static void a_thing_is_copied_once_in_a_generation_and_what_is_not_touched_is_shared(void **state)
{
    struct head *head = head_new();
    const struct head_generation *pin;
    struct head_node *once;

    (void)state;
    add_one(head, 100, 7, 1);
    add_one(head, 100, 8, 1);
    add_one(head, 100, 1000, 1);
    pin = head_pin(head);
    head_begin(head);
    once = head_touch(head, 100, 7);
    assert_ptr_not_equal(once, head_peek(head_find_layer(pin, 100), 7));
    assert_ptr_equal(head_touch(head, 100, 7), once);
    head_publish(head);
    assert_ptr_equal(head_peek(head_find_layer(head_current(head), 100), 8),
                     head_peek(head_find_layer(pin, 100), 8));
    assert_ptr_equal(head_find_layer(head_current(head), 100)->page[3],
                     head_find_layer(pin, 100)->page[3]);
    head_unpin(head, pin);
    head_free(head);
}

static void layers_lie_in_the_order_of_time_and_go_from_the_front(void **state)
{
    static const int64_t start[] = {50, 20, 40, 10, 30, 60};
    struct head *head = head_new();
    const struct head_generation *pin;

    (void)state;
    head_begin(head);
    for (size_t i = 0; i < sizeof(start) / sizeof(start[0]); i++)
        add(head, start[i], 1, (uint64_t)start[i]);
    head_publish(head);
    pin = head_pin(head);
    assert_int_equal(pin->layers, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(pin->layer[i]->start_s, 10 * (i + 1));
    head_begin(head);
    add(head, 20, 1, 1); /* touched and then dropped */
    head_drop_layers(head, 40);
    head_draft(head)->sealed_upto_s = 40;
    head_publish(head);
    assert_int_equal(head_current(head)->layers, 3);
    assert_int_equal(head_current(head)->layer[0]->start_s, 40);
    assert_null(head_find_layer(head_current(head), 20));
    for (int64_t s = 10; s <= 60; s += 10)
        assert_int_equal(see(pin, s, 1), s);
    head_unpin(head, pin);
    head_begin(head);
    head_drop_layers(head, 1000);
    head_drop_layers(head, 1000);
    head_publish(head);
    assert_int_equal(head_current(head)->layers, 0);
    head_free(head);
}

static void the_newest_error_stays_and_of_two_at_one_moment_the_larger(void **state)
{
    struct head *head = head_new();
    const struct head_generation *pin;
    struct head_node *node;

    (void)state;
    head_begin(head);
    node = head_touch(head, 10, 1);
    head_node_error(node, 100, "b", 1);
    head_node_error(node, 99, "zzz", 3);
    head_node_error(node, 100, "a", 1);
    assert_int_equal(node->error->len, 1);
    assert_memory_equal(node->error->text, "b", 1);
    head_node_error(node, 100, "bb", 2);
    assert_memory_equal(node->error->text, "bb", 2);
    head_publish(head);
    pin = head_pin(head);
    head_begin(head);
    head_node_error(head_touch(head, 10, 1), 200, "later", 5);
    head_publish(head);
    node = (struct head_node *)head_peek(head_find_layer(pin, 10), 1);
    assert_int_equal(node->error->time_us, 100);
    assert_memory_equal(node->error->text, "bb", 2);
    assert_int_equal(head_peek(head_find_layer(head_current(head), 10), 1)->error->time_us, 200);
    head_unpin(head, pin);
    head_free(head);
}

static void the_fleet_gathers_its_gauges_on_reading(void **state)
{
    struct head *head = head_new();
    struct tide_record fleet;

    (void)state;
    tide_record_init(&fleet);
    head_begin(head);
    for (uint32_t module = 0; module < 600; module += 200) {
        struct tide_instance instance = {.id = 5};
        struct head_node *node = head_touch(head, 10, module);

        node->record.tally.requests = 10 + module;
        tide_gauge_fold(&instance.gauge[TIDE_GAUGE_MEMORY], 1, module, 1);
        if (module) /* the fleet's own node, 0, has none */
            tide_record_merge_instance(&node->record, &instance);
    }
    head_publish(head);
    head_fleet(head_find_layer(head_current(head), 10), &fleet);
    assert_int_equal(fleet.tally.requests, 10);
    assert_int_equal(tide_record_gauge(&fleet, TIDE_GAUGE_MEMORY).last, 600);
    tide_record_fini(&fleet);
    head_free(head);
}

/* ---- against a model that copies everything ---- */

enum { STARTS = 6, NODES = 5, PINS = 8 };
static const uint32_t module_id[NODES] = {0, 1, 255, 256, 3000};

struct copy {
    uint64_t open[STARTS][NODES];
    uint64_t total[NODES];
    unsigned first; /* layers below are dropped */
};

static void check_copy(const struct head_generation *generation, const struct copy *copy)
{
    for (unsigned s = 0; s < STARTS; s++)
        for (unsigned n = 0; n < NODES; n++)
            assert_int_equal(see(generation, (int64_t)s * 10, module_id[n]),
                             s < copy->first ? 0 : copy->open[s][n]);
    for (unsigned n = 0; n < NODES; n++)
        assert_int_equal(see(generation, -1, module_id[n]), copy->total[n]);
}

static void every_pin_sees_its_moment_whatever_follows(void **state)
{
    uint64_t seed = *(uint64_t *)*state;

    for (int run = 0; run < 60; run++) {
        struct head *head = head_new();
        const struct head_generation *pin[PINS] = {NULL};
        static struct copy now, at_pin[PINS];

        memset(&now, 0, sizeof(now));
        for (int step = 0; step < 120; step++) {
            unsigned p = (unsigned)tide_any_between(&seed, 0, PINS - 1);

            if (tide_any_between(&seed, 0, 2) == 0) {
                if (pin[p]) {
                    check_copy(pin[p], &at_pin[p]);
                    head_unpin(head, pin[p]);
                    pin[p] = NULL;
                } else if (tide_any_between(&seed, 0, 3) == 0) { /* often nobody holds one */
                    pin[p] = head_pin(head);
                    at_pin[p] = now;
                }
                continue;
            }
            head_begin(head);
            for (int64_t adds = tide_any_between(&seed, 0, 4); adds > 0; adds--) {
                unsigned n = (unsigned)tide_any_between(&seed, 0, NODES - 1);
                unsigned s = (unsigned)tide_any_between(&seed, 0, STARTS);

                if (s == STARTS) {
                    add(head, -1, module_id[n], 1);
                    now.total[n]++;
                } else if (s >= now.first) {
                    add(head, (int64_t)s * 10, module_id[n], 1);
                    now.open[s][n]++;
                }
            }
            if (now.first < STARTS && tide_any_between(&seed, 0, 25) == 0) {
                now.first++;
                head_drop_layers(head, (int64_t)now.first * 10);
                head_draft(head)->sealed_upto_s = (int64_t)now.first * 10;
            }
            head_publish(head);
            check_copy(head_current(head), &now);
        }
        for (int p = 0; p < PINS; p++)
            if (pin[p]) {
                check_copy(pin[p], &at_pin[p]);
                head_unpin(head, pin[p]);
            }
        head_free(head); /* asserts that nothing retired is left; LeakSanitizer sees the rest */
    }
}

/* ---- readers beside the writer ---- */

struct shared {
    struct head *head;
    atomic_bool done;
    atomic_ullong looks;
};

/* In every generation: every module of every open interval, the totals and commit_seq agree. */
static void *look(void *arg)
{
    struct shared *shared = arg;
    uint64_t wrong = 0, newest = 0;

    while (!atomic_load(&shared->done)) {
        const struct head_generation *pin = head_pin(shared->head), *other = NULL;
        uint64_t sum = see(pin, -1, 1);

        if (pin->commit_seq % 3 == 0)
            other = head_pin(shared->head); /* two at once, closed in the other order */
        for (uint32_t i = 0; i < pin->layers; i++) {
            uint64_t one = see(pin, pin->layer[i]->start_s, 1);

            wrong += see(pin, pin->layer[i]->start_s, 300) != one;
            wrong += pin->layer[i]->start_s < pin->sealed_upto_s;
            sum += one;
        }
        wrong += sum != pin->commit_seq;
        wrong += pin->commit_seq < newest;
        newest = pin->commit_seq;
        head_unpin(shared->head, pin);
        if (other)
            head_unpin(shared->head, other);
        atomic_fetch_add(&shared->looks, 1);
    }
    return (void *)(uintptr_t)wrong;
}

static void readers_see_whole_commits_and_never_older_ones(void **state)
{
    struct shared shared = {.head = head_new()};
    pthread_t reader[2];
    uint64_t seq = 0;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, look, &shared), 0);
    while (seq < 20000 || atomic_load(&shared.looks) < 200) {
        int64_t start_s = (int64_t)(seq / 100) * 10;

        head_begin(shared.head);
        head_draft(shared.head)->commit_seq = ++seq;
        add(shared.head, start_s, 1, 1);
        add(shared.head, start_s, 300, 1);
        if (seq % 100 == 50 && start_s >= 30) { /* seal: the layer joins the totals */
            int64_t upto_s = start_s - 20;

            for (uint32_t i = 0; i < head_draft(shared.head)->layers; i++) {
                int64_t sealing_s = head_draft(shared.head)->layer[i]->start_s;

                if (sealing_s < upto_s)
                    add(shared.head, -1, 1, see(head_draft(shared.head), sealing_s, 1));
            }
            head_drop_layers(shared.head, upto_s);
            head_draft(shared.head)->sealed_upto_s = upto_s;
        }
        head_publish(shared.head);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i < 2; i++) {
        void *wrong;

        pthread_join(reader[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(head_pins(shared.head), 0);
    head_free(shared.head);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_looks_so_the_writer_changes_in_place),
        cmocka_unit_test(a_pin_never_changes),
        cmocka_unit_test(a_thing_is_copied_once_in_a_generation_and_what_is_not_touched_is_shared),
        cmocka_unit_test(layers_lie_in_the_order_of_time_and_go_from_the_front),
        cmocka_unit_test(the_newest_error_stays_and_of_two_at_one_moment_the_larger),
        cmocka_unit_test(the_fleet_gathers_its_gauges_on_reading),
        cmocka_unit_test_prestate(every_pin_sees_its_moment_whatever_follows, &seed),
        cmocka_unit_test(readers_see_whole_commits_and_never_older_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
