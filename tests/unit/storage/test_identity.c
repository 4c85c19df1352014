/* identity: the set of committed chunks against a naive one, its two bounds, and what it costs. */
#include "identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "pack.h"

/* Identity n of a small universe. Their low halves, which place them, are nearly all alike, so that
 * chains, wrap-around and shifting back are the rule. */
static struct tide_hash128 identity(unsigned n)
{
    return (struct tide_hash128){.low = n % 7 ? n % 7 : UINT64_MAX - n % 3,
                                 .high = n * UINT64_C(0x9e3779b97f4a7c15)};
}

static struct tide_hash128 random_identity(uint64_t *seed)
{
    return (struct tide_hash128){tide_test_random(seed), tide_test_random(seed)};
}

/* ---- the naive set: a queue ---- */

#define UNIVERSE 400

struct naive {
    unsigned id[UNIVERSE];
    uint32_t time_s[UNIVERSE];
    unsigned count;
};

static bool naive_has(const struct naive *naive, unsigned id)
{
    for (unsigned i = 0; i < naive->count; i++)
        if (naive->id[i] == id)
            return true;
    return false;
}

static uint64_t naive_expire(struct naive *naive, uint32_t before_s, unsigned max)
{
    unsigned gone = 0;

    while (gone < naive->count && (naive->time_s[gone] < before_s || naive->count - gone > max))
        gone++;
    naive->count -= gone;
    memmove(naive->id, naive->id + gone, naive->count * sizeof(naive->id[0]));
    memmove(naive->time_s, naive->time_s + gone, naive->count * sizeof(naive->time_s[0]));
    return gone;
}

static void every_answer_is_that_of_a_naive_set(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    enum { MAX = 250 };
    struct identity_set *set = identity_new(MAX);
    struct naive naive = {.count = 0};
    uint32_t now_s = 1000000;

    for (int step = 0; step < 100000; step++) {
        int64_t what = tide_any_between(&seed, 0, 99);

        now_s += (uint32_t)tide_any_between(&seed, 0, 3) / 2;
        if (what < 85) {
            unsigned id = (unsigned)tide_any_between(&seed, 0, UNIVERSE - 1);
            bool fresh = !naive_has(&naive, id);

            assert_int_equal(identity_add(set, identity(id), now_s), fresh);
            if (fresh) {
                naive.id[naive.count] = id;
                naive.time_s[naive.count++] = now_s;
            }
        } else if (what < 93) {
            unsigned undo = (unsigned)tide_any_between(&seed, 0, 5);

            undo = undo > naive.count ? naive.count : undo;
            identity_undo(set, undo);
            naive.count -= undo;
        } else {
            uint32_t before_s = now_s - (uint32_t)tide_any_between(&seed, 0, 400);
            bool full = naive.count >= MAX;

            assert_int_equal(identity_expire(set, before_s), naive_expire(&naive, before_s, MAX));
            assert_int_equal(identity_bound_by_count(set), full);
        }
        assert_int_equal(identity_count(set), naive.count);
        assert_int_equal(identity_oldest_s(set), naive.count ? naive.time_s[0] : 0);
    }
    identity_free(set);
}

static void what_was_undone_is_new_again(void **state)
{
    struct identity_set *set = identity_new(10);

    (void)state;
    assert_true(identity_add(set, identity(1), 5));
    assert_true(identity_add(set, identity(2), 6));
    assert_false(identity_add(set, identity(2), 7));
    identity_undo(set, 1);
    assert_false(identity_add(set, identity(1), 8));
    assert_true(identity_add(set, identity(2), 9));
    identity_undo(set, 2);
    assert_int_equal(identity_count(set), 0);
    assert_int_equal(identity_oldest_s(set), 0);
    identity_free(set);
}

static void only_the_high_half_may_differ(void **state)
{
    struct identity_set *set = identity_new(10);

    (void)state;
    assert_true(identity_add(set, (struct tide_hash128){0, 0}, 1));
    assert_true(identity_add(set, (struct tide_hash128){0, 1}, 1));
    assert_true(identity_add(set, (struct tide_hash128){1, 0}, 1));
    assert_false(identity_add(set, (struct tide_hash128){0, 1}, 1));
    identity_free(set);
}

static void the_oldest_go_first_by_time_and_by_count(void **state)
{
    struct identity_set *set = identity_new(3);

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_true(identity_add(set, identity(i), 100 + i));
    assert_int_equal(identity_expire(set, 0), 2);
    assert_true(identity_bound_by_count(set));
    assert_int_equal(identity_oldest_s(set), 102);
    assert_int_equal(identity_expire(set, 103), 1); /* at 103 it stays */
    assert_int_equal(identity_count(set), 2);
    assert_true(identity_add(set, identity(0), 110)); /* forgotten: new */
    assert_int_equal(identity_expire(set, UINT32_MAX), 3);
    assert_int_equal(identity_expire(set, UINT32_MAX), 0);
    assert_false(identity_bound_by_count(set));
    identity_free(set);
    identity_free(NULL);
}

/* Years of adding and expiring at a steady size: the table neither degrades nor grows. */
static void a_steady_set_stays_exact(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;
    enum { HELD = 20000, TURNS = 40 };
    struct identity_set *set = identity_new(HELD);
    struct tide_hash128 *recent = malloc(HELD * sizeof(*recent));

    assert_non_null(recent);
    for (unsigned i = 0; i < HELD * TURNS; i++) {
        struct tide_hash128 id = random_identity(&seed);

        assert_true(identity_add(set, id, i));
        recent[i % HELD] = id;
        if (i % 1000 == 0)
            identity_expire(set, 0);
    }
    identity_expire(set, 0);
    assert_int_equal(identity_count(set), HELD);
    for (unsigned i = 0; i < HELD; i++)
        assert_false(identity_add(set, recent[i], UINT32_MAX));
    free(recent);
    identity_free(set);
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void a_chunk_costs_about_30_bytes(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 2;
    static const unsigned sizes[] = {100000, 1000000, 4000000};
    size_t before = heap_bytes(), bytes;
    struct identity_set *set = identity_new(4000000);
    unsigned held = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (; held < sizes[i]; held++)
            identity_add(set, random_identity(&seed), held);
        bytes = heap_bytes() - before;
        printf("%u chunks: %.1f bytes each\n", held, (double)bytes / held);
        if (bytes > held) /* else the allocator is a sanitizer's and does not say */
            assert_true((double)bytes / held <= 64); /* just after doubling; 32 when full */
    }
    if (bytes > held)
        assert_true((double)bytes / held <= 36); /* the default bound, 4 000 000 */
    identity_free(set);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_answer_is_that_of_a_naive_set, &seed),
        cmocka_unit_test(what_was_undone_is_new_again),
        cmocka_unit_test(only_the_high_half_may_differ),
        cmocka_unit_test(the_oldest_go_first_by_time_and_by_count),
        cmocka_unit_test_prestate(a_steady_set_stays_exact, &seed),
        cmocka_unit_test_prestate(a_chunk_costs_about_30_bytes, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
