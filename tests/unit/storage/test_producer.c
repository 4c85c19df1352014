/* producer: every verdict is that of a naive model that keeps each seq with its payload, whatever
 * is taken back; a set rebuilt from what was written, in any order, judges alike; and the bounds.
 */
#include "producer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "pack.h"

static struct producer_chunk chunk_of(unsigned producer, uint64_t epoch, uint64_t seq,
                                      unsigned payload)
{
    struct producer_chunk chunk = {.origin = {.epoch = epoch, .seq = seq},
                                   .payload = {.low = payload, .high = seq}};

    memset(chunk.origin.producer, (int)producer, 16);
    return chunk;
}

/* ---- the naive model ---- */

enum { PRODUCERS = 6, STEPS = 100000, KEPT = 200000 };

struct naive_producer {
    bool known;
    uint64_t epoch, high;
    size_t count;
    struct {
        uint64_t seq;
        unsigned payload;
    } seen[PRODUCER_WINDOW];
};

struct naive {
    struct naive_producer producer[PRODUCERS];
};

static enum producer_verdict naive_take(struct naive *naive, unsigned which, uint64_t epoch,
                                        uint64_t seq, unsigned payload)
{
    struct naive_producer *producer = &naive->producer[which];
    size_t left = 0;

    if (!producer->known || epoch > producer->epoch) {
        *producer = (struct naive_producer){.known = true, .epoch = epoch, .high = seq};
    } else if (epoch < producer->epoch ||
               (seq <= producer->high && producer->high - seq >= PRODUCER_WINDOW)) {
        return PRODUCER_KNOWN;
    }
    for (size_t i = 0; i < producer->count; i++)
        if (producer->seen[i].seq == seq)
            return producer->seen[i].payload == payload ? PRODUCER_KNOWN : PRODUCER_REUSED;
    if (seq > producer->high)
        producer->high = seq;
    for (size_t i = 0; i < producer->count; i++)
        if (producer->high - producer->seen[i].seq < PRODUCER_WINDOW)
            producer->seen[left++] = producer->seen[i];
    producer->seen[left].seq = seq;
    producer->seen[left].payload = payload;
    producer->count = left + 1;
    return PRODUCER_NEW;
}

static uint64_t below(uint64_t seq, int64_t by)
{
    return seq < (uint64_t)by ? 0 : seq - (uint64_t)by;
}

/* Mostly the next ones and their neighbours, now and then far away or at an edge of the window or
 * of the numbers. */
static uint64_t any_seq(uint64_t *seed, const struct naive_producer *producer)
{
    uint64_t high = producer->high;

    switch (tide_any_between(seed, 0, 30)) {
    case 0:
        return high + (uint64_t)tide_any_between(seed, 0, high < UINT64_MAX - 3000 ? 3000 : 0);
    case 1:
    case 2:
        return below(high, tide_any_between(seed, 0, 1100));
    case 3:
        return tide_any_between(seed, 0, 50) ? below(high, PRODUCER_WINDOW - 1) : UINT64_MAX - 5;
    case 4:
        return below(high, PRODUCER_WINDOW);
    default:
        return tide_any_between(seed, 0, 1) ? below(high, tide_any_between(seed, 0, 4))
               : high == UINT64_MAX         ? high
                                            : high + 1;
    }
}

static struct {
    struct producer_chunk chunk[KEPT];
    size_t count;
} written;

static void keep_written(const struct producers *set)
{
    const struct producer_chunk *chunk;
    size_t count = producers_taken(set, &chunk);

    assert_true(written.count + count <= KEPT);
    if (count)
        memcpy(written.chunk + written.count, chunk, count * sizeof(*chunk));
    written.count += count;
}

/* A set made of what was written, in an order that is none, judges like the model. */
static void compare_rebuilt(uint64_t *seed, const struct naive *naive)
{
    struct producers *set = producers_new(PRODUCERS, 1 << 20, 1000);

    for (size_t i = written.count; i > 1; i--) {
        size_t j = (size_t)tide_any_between(seed, 0, (int64_t)i - 1);
        struct producer_chunk swap = written.chunk[i - 1];

        written.chunk[i - 1] = written.chunk[j];
        written.chunk[j] = swap;
    }
    for (size_t i = 0; i < written.count; i++)
        producers_load(set, &written.chunk[i], 1000);
    for (int i = 0; i < 300; i++) {
        static struct naive copy;
        unsigned which = (unsigned)tide_any_between(seed, 0, PRODUCERS - 1);
        const struct naive_producer *producer = &naive->producer[which];
        uint64_t epoch = below(producer->epoch, tide_any_between(seed, 0, 5) / 5);
        unsigned payload = (unsigned)tide_any_between(seed, 0, 1);
        uint64_t seq = any_seq(seed, producer);
        struct producer_chunk chunk = chunk_of(which, epoch, seq, payload);

        copy = *naive;
        assert_int_equal(producers_take(set, &chunk, 1000),
                         naive_take(&copy, which, epoch, seq, payload));
        producers_undo(set);
    }
    producers_free(set);
}

static void every_verdict_is_that_of_a_naive_model(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    static struct naive now, kept;
    struct producers *set = producers_new(PRODUCERS, 1 << 20, 1000);
    uint64_t news = 0, reused = 0;

    memset(&now, 0, sizeof(now));
    memset(&kept, 0, sizeof(kept));
    written.count = 0;
    for (int step = 0; step < STEPS; step++) {
        int64_t what = tide_any_between(&seed, 0, 99);

        if (what < 90) {
            unsigned which = (unsigned)tide_any_between(&seed, 0, PRODUCERS - 1);
            const struct naive_producer *producer = &now.producer[which];
            int64_t turn = tide_any_between(&seed, 0, 2000);
            uint64_t epoch = turn == 0 ? producer->epoch + 1 : below(producer->epoch, turn < 10);
            unsigned payload = tide_any_between(&seed, 0, 9) == 0;
            uint64_t seq = turn == 0 ? 0 : any_seq(&seed, producer);
            struct producer_chunk chunk = chunk_of(which, epoch, seq, payload);
            enum producer_verdict verdict = naive_take(&now, which, epoch, seq, payload);

            assert_int_equal(producers_take(set, &chunk, 1000), verdict);
            if (now.producer[which].known && verdict == PRODUCER_NEW)
                assert_true(producers_holds(set, &chunk));
            news += verdict == PRODUCER_NEW;
            reused += verdict == PRODUCER_REUSED;
        } else if (what < 97) {
            keep_written(set);
            producers_keep(set);
            kept = now;
        } else {
            producers_undo(set);
            now = kept;
        }
        if (step % 5000 == 0) {
            uint64_t held = 0;

            for (int i = 0; i < PRODUCERS; i++)
                held += now.producer[i].count;
            assert_int_equal(producers_held(set), held);
            compare_rebuilt(&seed, &kept);
        }
    }
    assert_true(news > STEPS / 10 && reused > STEPS / 1000);
    producers_free(set);
}

/* ---- bounds ---- */

static enum producer_verdict take(struct producers *set, unsigned producer, uint64_t seq,
                                  uint32_t time_s)
{
    struct producer_chunk chunk = chunk_of(producer, 0, seq, 0);
    enum producer_verdict verdict = producers_take(set, &chunk, time_s);

    producers_keep(set);
    return verdict;
}

static void the_longest_silent_is_forgotten_first(void **state)
{
    struct producers *set = producers_new(3, 1 << 20, 1000);

    (void)state;
    for (unsigned producer = 1; producer <= 3; producer++)
        assert_int_equal(take(set, producer, 7, 100 + producer), PRODUCER_NEW);
    assert_int_equal(take(set, 1, 7, 110), PRODUCER_KNOWN); /* a repetition is no silence */
    assert_int_equal(take(set, 4, 7, 111), PRODUCER_NEW);
    assert_int_equal(producers_count(set), 3);
    assert_int_equal(take(set, 1, 7, 112), PRODUCER_KNOWN);
    assert_int_equal(take(set, 2, 7, 113), PRODUCER_NEW); /* was forgotten */
    producers_free(set);
}

static void silence_beyond_the_window_is_forgotten(void **state)
{
    struct producers *set = producers_new(100, 1 << 20, 1000);

    (void)state;
    for (unsigned producer = 0; producer < 50; producer++)
        take(set, producer, 0, 100 + producer);
    assert_int_equal(producers_expire(set, 120), 20);
    assert_int_equal(producers_count(set), 30);
    assert_int_equal(producers_held(set), 30);
    assert_int_equal(take(set, 20, 0, 200), PRODUCER_KNOWN);
    assert_int_equal(take(set, 19, 0, 200), PRODUCER_NEW);
    assert_int_equal(producers_expire(set, UINT32_MAX), 31);
    assert_int_equal(producers_held(set), 0);
    producers_free(set);
}

static void hashes_are_bounded_over_all_producers(void **state)
{
    struct producers *set = producers_new(100, 5000, 1000);

    (void)state;
    for (unsigned producer = 0; producer < 20; producer++)
        for (uint64_t seq = 0; seq < PRODUCER_WINDOW; seq++)
            take(set, producer, seq, 100);
    assert_in_range(producers_count(set), 3, 4);
    assert_true(producers_held(set) <= 5000);
    producers_free(set);
}

static void who_only_repeats_is_written_anew_once_in_a_while(void **state)
{
    struct producers *set = producers_new(10, 1000, 50);
    const struct producer_chunk *taken;
    struct producer_chunk chunk = chunk_of(1, 3, 9, 0), older = chunk_of(1, 2, 1, 0);

    (void)state;
    assert_int_equal(producers_take(set, &chunk, 100), PRODUCER_NEW);
    assert_int_equal(producers_taken(set, &taken), 1);
    producers_keep(set);
    assert_int_equal(producers_take(set, &chunk, 150), PRODUCER_KNOWN);
    assert_int_equal(producers_taken(set, &taken), 0);
    assert_int_equal(producers_take(set, &older, 151), PRODUCER_KNOWN);
    assert_int_equal(producers_taken(set, &taken), 1); /* what it holds, not what came */
    assert_memory_equal(&taken[0], &chunk, sizeof(chunk));
    producers_undo(set);
    assert_int_equal(producers_take(set, &chunk, 151), PRODUCER_KNOWN);
    assert_int_equal(producers_taken(set, &taken), 1);
    producers_keep(set);
    assert_int_equal(producers_take(set, &chunk, 201), PRODUCER_KNOWN);
    assert_int_equal(producers_taken(set, &taken), 0);
    producers_free(set);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_verdict_is_that_of_a_naive_model, &seed),
        cmocka_unit_test(the_longest_silent_is_forgotten_first),
        cmocka_unit_test(silence_beyond_the_window_is_forgotten),
        cmocka_unit_test(hashes_are_bounded_over_all_producers),
        cmocka_unit_test(who_only_repeats_is_written_anew_once_in_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
