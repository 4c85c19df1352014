#include "tidemark/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct tide_mailbox *new_mailbox(size_t capacity)
{
    struct tide_mailbox *mailbox;
    struct tide_err err;

    assert_int_equal(tide_mailbox_new(capacity, &mailbox, &err), TIDE_OK);
    return mailbox;
}

static void *number(uintptr_t n)
{
    return (void *)n; // NOLINT: an object is only a word here
}

static _Bool rings(const struct tide_mailbox *mailbox)
{
    struct pollfd bell = {.fd = tide_mailbox_fd(mailbox), .events = POLLIN};

    return poll(&bell, 1, 0) == 1;
}

static void oldest_comes_first_over_many_turns_of_the_ring(void **state)
{
    struct tide_mailbox *mailbox = new_mailbox(5);
    uintptr_t put = 0, taken = 0;

    (void)state;
    for (int round = 0; round < 100; round++) {
        void *three[3] = {number(put + 1), number(put + 2), number(put + 3)};
        void *out[5];
        size_t count;

        tide_mailbox_put_many(mailbox, three, 3);
        put += 3;
        if (round % 2)
            tide_mailbox_put(mailbox, number(++put));
        count = tide_mailbox_take(mailbox, out, round % 2 ? 5 : 2);
        for (size_t i = 0; i < count; i++)
            assert_ptr_equal(out[i], number(++taken));
    }
    assert_true(put - taken <= 5);
    tide_mailbox_free(mailbox);
}

static void bell_rings_exactly_while_something_waits(void **state)
{
    struct tide_mailbox *mailbox = new_mailbox(4);
    void *out[4];

    (void)state;
    assert_false(rings(mailbox));
    tide_mailbox_put_many(mailbox, NULL, 0);
    assert_false(rings(mailbox));
    tide_mailbox_put(mailbox, number(1));
    tide_mailbox_put(mailbox, number(2));
    assert_true(rings(mailbox));
    assert_int_equal(tide_mailbox_wait(mailbox, -1), 2);
    assert_int_equal(tide_mailbox_take(mailbox, out, 1), 1);
    assert_true(rings(mailbox));
    assert_int_equal(tide_mailbox_take(mailbox, out, 4), 1);
    assert_false(rings(mailbox));
    assert_int_equal(tide_mailbox_take(mailbox, out, 4), 0);
    tide_mailbox_free(mailbox);
    tide_mailbox_free(NULL);
}

static void wait_ends_at_its_time(void **state)
{
    struct tide_mailbox *mailbox = new_mailbox(1);

    (void)state;
    assert_int_equal(tide_mailbox_wait(mailbox, 0), 0);
    assert_int_equal(tide_mailbox_wait(mailbox, 20), 0);
    tide_mailbox_free(mailbox);
}

static void wake_ends_one_wait_without_an_object(void **state)
{
    struct tide_mailbox *mailbox = new_mailbox(1);

    (void)state;
    tide_mailbox_wake(mailbox);
    assert_true(rings(mailbox));
    assert_int_equal(tide_mailbox_wait(mailbox, -1), 0);
    assert_false(rings(mailbox));
    tide_mailbox_free(mailbox);
}

/* Posters own a bounded pool each, as shards do: an object goes round between poster and taker. */
#define POSTERS 4
#define POOL    8
#define ROUNDS  20000

struct parcel {
    unsigned poster, serial;
};

struct poster {
    pthread_t thread;
    unsigned number;
    struct tide_mailbox *out, *home;
    struct parcel pool[POOL];
};

static void *post(void *arg)
{
    struct poster *poster = arg;
    unsigned serial = 0, out = 0;
    void *free_list[POOL];
    size_t free_count = POOL;

    for (size_t i = 0; i < POOL; i++)
        free_list[i] = &poster->pool[i];
    while (serial < ROUNDS || out) {
        void *batch[POOL];
        size_t count = 0;

        while (free_count && serial < ROUNDS && count < 1 + serial % 3) {
            struct parcel *parcel = free_list[--free_count];

            parcel->poster = poster->number;
            parcel->serial = serial++;
            batch[count++] = parcel;
        }
        tide_mailbox_put_many(poster->out, batch, count);
        out += (unsigned)count;
        if (!free_count || serial == ROUNDS)
            tide_mailbox_wait(poster->home, -1);
        count = tide_mailbox_take(poster->home, free_list + free_count, POOL - free_count);
        free_count += count;
        out -= (unsigned)count;
    }
    return NULL;
}

static void no_wake_up_is_lost_between_threads(void **state)
{
    static struct poster poster[POSTERS];
    struct tide_mailbox *middle = new_mailbox(POSTERS * POOL);
    unsigned next[POSTERS] = {0};
    size_t taken = 0;

    (void)state;
    for (unsigned i = 0; i < POSTERS; i++) {
        poster[i].number = i;
        poster[i].out = middle;
        poster[i].home = new_mailbox(POOL);
        assert_int_equal(pthread_create(&poster[i].thread, NULL, post, &poster[i]), 0);
    }
    while (taken < (size_t)POSTERS * ROUNDS) {
        void *batch[7];
        size_t count;

        tide_mailbox_wait(middle, -1); /* a lost wake-up hangs here until ctest's timeout */
        count = tide_mailbox_take(middle, batch, 7);
        for (size_t i = 0; i < count; i++) {
            struct parcel *parcel = batch[i];

            assert_int_equal(parcel->serial, next[parcel->poster]++);
            tide_mailbox_put(poster[parcel->poster].home, parcel);
        }
        taken += count;
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(poster[i].thread, NULL);
        assert_int_equal(next[i], ROUNDS);
        tide_mailbox_free(poster[i].home);
    }
    tide_mailbox_free(middle);
}

static void *wake_later(void *mailbox)
{
    tide_mailbox_wake(mailbox);
    return NULL;
}

static void wake_reaches_a_sleeping_taker(void **state)
{
    struct tide_mailbox *mailbox = new_mailbox(1);
    pthread_t thread;

    (void)state;
    for (int round = 0; round < 200; round++) {
        assert_int_equal(pthread_create(&thread, NULL, wake_later, mailbox), 0);
        assert_int_equal(tide_mailbox_wait(mailbox, -1), 0);
        pthread_join(thread, NULL);
    }
    tide_mailbox_free(mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_comes_first_over_many_turns_of_the_ring),
        cmocka_unit_test(bell_rings_exactly_while_something_waits),
        cmocka_unit_test(wait_ends_at_its_time),
        cmocka_unit_test(wake_ends_one_wait_without_an_object),
        cmocka_unit_test(no_wake_up_is_lost_between_threads),
        cmocka_unit_test(wake_reaches_a_sleeping_taker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
