/* parcel: the books of one chunk at their exact bounds, facts read back as they were folded, and
 * what a reset keeps. How facts become deltas is tested in unit/storage/test_group.c.
 */
#include "tidemark/parcel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "any.h"
#include "pack.h"
#include "tidemark/record.h"

#define NOW_US INT64_C(1700000000000000)

static const struct tide_fold_rules rules = {
    .interval_s = 10, .lateness_s = 3600, .future_s = 60, .instance_seed = 42, .identity_seed = 43};

static struct tide_text text(const char *literal)
{
    return (struct tide_text){literal, (uint32_t)strlen(literal)};
}

static struct tide_event event_at(int64_t time_us)
{
    return (struct tide_event){.kind = TIDE_EVENT_RESPONSE,
                               .weight = 1,
                               .success = true,
                               .time_us = time_us,
                               .module = text("auth")};
}

/* The only fact of a parcel. */
static struct tide_fact only_fact(const struct tide_parcel *parcel)
{
    struct tide_fact fact;

    assert_int_equal(parcel->facts, 1);
    assert_int_equal(tide_fact_read(parcel, 0, &fact), parcel->words);
    return fact;
}

/* ---- the books ---- */

static void check_booked(int64_t age_us, uint64_t stored, uint64_t late, uint64_t skewed,
                         int64_t booked_us)
{
    struct tide_parcel parcel;
    struct tide_event ev = event_at(NOW_US - age_us);

    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
    assert_int_equal(parcel.books.received, 1);
    assert_int_equal(parcel.books.stored, stored);
    assert_int_equal(parcel.books.late, late);
    assert_int_equal(parcel.books.skewed, skewed);
    assert_true(tide_ledger_balanced(&parcel.books));
    assert_int_equal(parcel.facts, stored);
    if (stored)
        assert_int_equal(only_fact(&parcel).time_us, booked_us);
    tide_parcel_fini(&parcel);
}

static void an_event_as_old_as_the_lateness_is_stored_and_an_older_one_is_late(void **state)
{
    int64_t bound_us = rules.lateness_s * 1000000;

    (void)state;
    check_booked(0, 1, 0, 0, NOW_US);
    check_booked(bound_us - 1, 1, 0, 0, NOW_US - bound_us + 1);
    check_booked(bound_us, 1, 0, 0, NOW_US - bound_us);
    check_booked(bound_us + 1, 0, 1, 0, 0);
    check_booked(NOW_US - 1, 0, 1, 0, 0);
}

static void an_event_too_far_ahead_is_booked_at_arrival(void **state)
{
    int64_t bound_us = rules.future_s * 1000000;

    (void)state;
    check_booked(-1, 1, 0, 0, NOW_US + 1);
    check_booked(-bound_us, 1, 0, 0, NOW_US + bound_us);
    check_booked(-bound_us - 1, 1, 0, 1, NOW_US);
    check_booked(-(INT64_C(1) << 60), 1, 0, 1, NOW_US);
}

static void an_event_without_time_is_booked_at_arrival_and_is_not_skewed(void **state)
{
    (void)state;
    check_booked(NOW_US, 1, 0, 0, NOW_US); /* time_us 0 */
}

static void the_widest_rules_do_not_overflow(void **state)
{
    struct tide_fold_rules wide = rules;
    struct tide_parcel parcel;
    struct tide_event ev = event_at(1);

    (void)state;
    wide.lateness_s = INT64_C(1) << 31;
    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &wide, &ev, NOW_US); /* the first microsecond of 1970 */
    assert_int_equal(parcel.books.stored, 1);
    assert_int_equal(only_fact(&parcel).time_us, 1);
    tide_parcel_fini(&parcel);
}

static void every_rejected_entry_is_received_and_has_its_reason(void **state)
{
    struct tide_parcel parcel;

    (void)state;
    tide_parcel_init(&parcel, NULL);
    assert_true(tide_parcel_empty(&parcel));
    for (int reason = 0; reason < TIDE_ENTRY_REASON_COUNT; reason++)
        for (int n = 0; n <= reason; n++)
            tide_parcel_reject(&parcel, (enum tide_entry_reason)reason);
    for (int reason = 0; reason < TIDE_ENTRY_REASON_COUNT; reason++)
        assert_int_equal(parcel.books.rejected[reason], reason + 1);
    assert_int_equal(parcel.books.received, tide_ledger_rejected(&parcel.books));
    assert_true(tide_ledger_balanced(&parcel.books));
    assert_false(tide_parcel_empty(&parcel));
    tide_parcel_fini(&parcel);
}

static void a_rejected_chunk_drops_all_that_was_folded(void **state)
{
    struct tide_parcel parcel;
    struct tide_ledger expected = {0};
    struct tide_event ev = event_at(NOW_US);

    (void)state;
    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < 100; i++)
        tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
    tide_parcel_reject(&parcel, TIDE_ENTRY_BAD_TIME);
    tide_parcel_reject_chunk(&parcel, TIDE_CHUNK_BAD_GZIP);
    expected.chunks_rejected[TIDE_CHUNK_BAD_GZIP] = 1;
    assert_memory_equal(&parcel.books, &expected, sizeof(expected));
    assert_int_equal(parcel.facts, 0);
    assert_int_equal(parcel.words, 0);
    assert_false(tide_parcel_empty(&parcel)); /* its rejection is to be booked */
    tide_parcel_fini(&parcel);
}

static void only_what_a_commit_need_not_keep_is_empty(void **state)
{
    struct tide_parcel parcel;

    (void)state;
    tide_parcel_init(&parcel, NULL);
    assert_true(tide_parcel_empty(&parcel));
    parcel.has_identity = true;
    assert_false(tide_parcel_empty(&parcel));
    parcel.has_identity = false;
    parcel.chunk_len = 1; /* somebody waits for an ack */
    assert_false(tide_parcel_empty(&parcel));
    tide_parcel_fini(&parcel);
}

/* ---- sampling ---- */

/* Folds `events` entries of a module and returns the weight that is kept. */
static uint64_t fold_sampled(struct tide_parcel *parcel, const struct tide_fold_rules *sampling,
                             const char *module, uint32_t weight, int events)
{
    uint64_t kept = 0;
    struct tide_fact fact;

    for (int i = 0; i < events; i++) {
        struct tide_event ev = event_at(NOW_US);

        ev.module = text(module);
        ev.weight = weight;
        tide_parcel_fold(parcel, sampling, &ev, NOW_US);
    }
    for (uint32_t at = 0; at < parcel->words;) {
        at = tide_fact_read(parcel, at, &fact);
        kept += fact.ev.weight;
    }
    return kept;
}

static void a_sampled_module_keeps_its_share_and_weighs_the_same_on_average(void **state)
{
    struct tide_sample_rule rule[] = {{"web-1", 1}, {"web-*", 0.3}, {"*", 0.01}};
    struct tide_sample_rules sample = {rule, 3};
    struct tide_fold_rules sampling = rules;
    static const struct {
        const char *module;
        double share;
    } row[] = {{"web-1", 1}, {"web-2", 0.3}, {"auth", 0.01}};

    (void)state;
    sampling.sample = &sample;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        enum { EVENTS = 200000 };
        struct tide_parcel parcel, again;
        uint64_t kept;

        tide_parcel_init(&parcel, NULL);
        tide_parcel_init(&again, NULL);
        parcel.has_identity = again.has_identity = i % 2;
        parcel.identity.low = again.identity.low = 77;
        kept = fold_sampled(&parcel, &sampling, row[i].module, 3, EVENTS);
        assert_int_equal(parcel.books.received, EVENTS);
        assert_int_equal(parcel.books.stored + parcel.books.sampled, EVENTS);
        assert_int_equal(parcel.facts, parcel.books.stored);
        assert_true(tide_ledger_balanced(&parcel.books));
        assert_true((double)parcel.books.stored >= 0.9 * row[i].share * EVENTS);
        assert_true((double)parcel.books.stored <= 1.1 * row[i].share * EVENTS);
        assert_true((double)kept >= 0.9 * 3 * EVENTS && (double)kept <= 1.1 * 3 * EVENTS);
        /* sent again: the same ones */
        assert_int_equal(fold_sampled(&again, &sampling, row[i].module, 3, EVENTS), kept);
        assert_memory_equal(&again.books, &parcel.books, sizeof(parcel.books));
        tide_parcel_fini(&parcel);
        tide_parcel_fini(&again);
    }
}

static void a_late_event_is_late_and_not_sampled(void **state)
{
    struct tide_sample_rule rule = {"*", TIDE_SHARE_MIN};
    struct tide_sample_rules sample = {&rule, 1};
    struct tide_fold_rules sampling = rules;
    struct tide_event ev = event_at(1), ahead = event_at(INT64_C(1) << 60);
    struct tide_parcel parcel;

    (void)state;
    sampling.sample = &sample;
    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &sampling, &ev, NOW_US);
    tide_parcel_fold(&parcel, &sampling, &ahead, NOW_US);
    assert_int_equal(parcel.books.late, 1);
    assert_int_equal(parcel.books.sampled, 1);
    assert_int_equal(parcel.books.skewed, 0); /* it is booked nowhere */
    assert_true(tide_ledger_balanced(&parcel.books));
    tide_parcel_fini(&parcel);
}

static void a_sampled_weight_saturates(void **state)
{
    (void)state;
    assert_int_equal(tide_sample_weight(1, UINT64_MAX, 7), 7);
    assert_int_equal(tide_sample_weight(1, 0, 7), 7);
    assert_int_equal(tide_sample_weight(0.5, UINT64_C(1) << 63, 7), 0);
    assert_int_equal(tide_sample_weight(0.5, (UINT64_C(1) << 63) - 1, 7), 14);
    assert_int_equal(tide_sample_weight(0.4, 0, 1), 3);
    assert_int_equal(tide_sample_weight(0.4, 0xffffffff, 1), 2);
    assert_int_equal(tide_sample_weight(TIDE_SHARE_MIN, 0, 1000000), UINT32_MAX);
}

/* ---- facts ---- */

static void check_text(const struct tide_text *got, const struct tide_text *sent, uint32_t max)
{
    uint32_t len = sent->len > max ? max : sent->len;

    assert_int_equal(got->len, len);
    if (len)
        assert_memory_equal(got->start, sent->start, len);
}

static void check_fact(const struct tide_fact *fact, const struct tide_event *ev)
{
    bool timed = ev->has_duration && tide_event_is_operation(ev);

    assert_int_equal(fact->subject->len, ev->module.len);
    assert_memory_equal(fact->subject->name, ev->module.start, ev->module.len);
    assert_int_equal(fact->time_us, ev->time_us);
    assert_int_equal(fact->ev.kind, ev->kind);
    assert_int_equal(fact->ev.weight, ev->weight);
    assert_int_equal(fact->ev.has_duration, ev->has_duration);
    if (ev->has_duration)
        assert_memory_equal(&fact->ev.duration_us, &ev->duration_us, sizeof(double));
    assert_int_equal(fact->ev.has_outcome, ev->has_outcome);
    assert_int_equal(fact->ev.success, ev->success);
    assert_int_equal(fact->ev.has_healthy, ev->has_healthy);
    assert_int_equal(fact->ev.healthy, ev->healthy);
    assert_int_equal(fact->ev.gauges, ev->gauges);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (ev->gauges & 1u << gauge)
            assert_int_equal(fact->ev.gauge[gauge], ev->gauge[gauge]);
    if (ev->gauges)
        assert_int_equal(fact->instance, ev->instance.len
                                             ? tide_hash64(rules.instance_seed, ev->instance.start,
                                                           ev->instance.len)
                                             : 0);
    if (timed)
        check_text(&fact->ev.correlation, &ev->correlation, TIDE_ID_MAX);
    else
        assert_int_equal(fact->ev.correlation.len, 0);
    check_text(&fact->ev.error, &ev->error, TIDE_ERROR_TEXT_MAX);
    check_text(&fact->ev.metric, &ev->metric, TIDE_METRIC_NAME_MAX);
    if (ev->metric.len)
        assert_int_equal(fact->ev.value, ev->value);
    assert_int_equal(fact->has_event_id, ev->event_id.len != 0);
    if (fact->has_event_id) {
        struct tide_hash_part part[] = {{ev->module.start, ev->module.len},
                                        {ev->event_id.start, ev->event_id.len}};
        struct tide_hash128 id = tide_hash128_parts(rules.identity_seed, part, 2);

        assert_memory_equal(&fact->event_id, &id, sizeof(id));
        assert_false(fact->skewed);
    }
}

static void facts_are_read_back_in_order_as_they_were_folded(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    static struct tide_event sent[500];
    struct tide_parcel parcel;

    tide_parcel_init(&parcel, NULL);
    for (int round = 0; round < 50; round++) {
        uint32_t events = (uint32_t)tide_any_between(&seed, 1, 500), at = 0;
        struct tide_fact fact;

        for (uint32_t i = 0; i < events; i++) {
            sent[i] = tide_any_event(&seed);
            sent[i].module = tide_any_name((unsigned)tide_any_between(&seed, 0, 99));
            sent[i].time_us = NOW_US - tide_any_between(&seed, 0, 1000000);
            if (tide_any_between(&seed, 0, 1))
                sent[i].event_id = tide_any_name((unsigned)tide_any_between(&seed, 0, 99));
            tide_parcel_fold(&parcel, &rules, &sent[i], NOW_US);
        }
        assert_int_equal(parcel.facts, events);
        for (uint32_t i = 0; i < events; i++) {
            at = tide_fact_read(&parcel, at, &fact);
            check_fact(&fact, &sent[i]);
        }
        assert_int_equal(at, parcel.words);
        tide_parcel_reset(&parcel);
    }
    tide_parcel_fini(&parcel);
}

static void long_texts_are_cut(void **state)
{
    char longest[1000];
    struct tide_parcel parcel;
    struct tide_event ev = event_at(NOW_US);
    struct tide_fact fact;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    ev.has_duration = true;
    ev.correlation = (struct tide_text){longest, sizeof(longest)};
    ev.error = ev.correlation;
    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
    fact = only_fact(&parcel);
    assert_int_equal(fact.ev.correlation.len, TIDE_ID_MAX);
    assert_int_equal(fact.ev.error.len, TIDE_ERROR_TEXT_MAX);
    tide_parcel_fini(&parcel);
}

static void modules_of_one_name_share_a_subject(void **state)
{
    struct tide_names *names = tide_names_new(1000);
    struct tide_parcel a, b;
    struct tide_event ev = event_at(NOW_US);
    struct tide_subject *subject;

    (void)state;
    tide_parcel_init(&a, names);
    tide_parcel_init(&b, names);
    tide_parcel_fold(&a, &rules, &ev, NOW_US);
    tide_parcel_fold(&b, &rules, &ev, NOW_US);
    subject = only_fact(&a).subject;
    assert_ptr_equal(only_fact(&b).subject, subject);
    tide_parcel_fini(&a); /* subjects outlive the parcel */
    assert_ptr_equal(only_fact(&b).subject, subject);
    tide_parcel_fini(&b);
    tide_names_free(names);
}

/* Four gauges in half a word each, or a word each when one of them does not fit. */
static void gauges_of_any_size_travel(void **state)
{
    static const int64_t values[] = {0, 1, UINT32_MAX, INT64_C(1) << 32, TIDE_GAUGE_VALUE_MAX};
    const unsigned count = sizeof(values) / sizeof(values[0]);
    uint64_t seed = *(uint64_t *)*state;

    for (int round = 0; round < 2000; round++) {
        struct tide_event ev = event_at(NOW_US);
        struct tide_parcel parcel;
        struct tide_fact fact;

        ev.instance = round % 2 ? text("one") : text("");
        ev.correlation = text("an id behind them");
        ev.has_duration = true;
        ev.kind = TIDE_EVENT_RESPONSE;
        ev.gauges = round % 3 ? 15 : (uint8_t)tide_any_between(&seed, 0, 15);
        for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
            ev.gauge[g] = values[tide_any_between(&seed, 0, round % 5 ? 2 : count - 1)];
        tide_parcel_init(&parcel, NULL);
        tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
        fact = only_fact(&parcel);
        assert_int_equal(fact.ev.gauges, ev.gauges);
        assert_int_equal(fact.time_us, NOW_US);
        for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
            if (ev.gauges & 1u << g)
                assert_int_equal(fact.ev.gauge[g], ev.gauge[g]);
        assert_int_equal(fact.ev.correlation.len, ev.correlation.len);
        assert_memory_equal(fact.ev.correlation.start, ev.correlation.start, ev.correlation.len);
        tide_parcel_fini(&parcel);
    }
}

static uint32_t id_len_of(struct tide_names *names, double duration_us, int64_t time_us,
                          uint32_t before)
{
    struct tide_event ev = event_at(time_us);
    struct tide_parcel parcel;
    uint32_t at = 0, len;
    struct tide_fact fact;

    ev.module = text("web");
    ev.correlation = text("c-1");
    ev.has_duration = true;
    ev.duration_us = duration_us;
    ev.kind = TIDE_EVENT_RESPONSE;
    tide_parcel_init(&parcel, names);
    for (uint32_t i = 0; i <= before; i++)
        tide_parcel_fold(&parcel, &rules, &ev, time_us);
    while (at < parcel.words)
        at = tide_fact_read(&parcel, at, &fact);
    len = fact.ev.correlation.len;
    tide_parcel_fini(&parcel);
    return len;
}

static void an_id_is_left_out_only_where_a_longer_operation_is_known(void **state)
{
    const int64_t start_s = NOW_US / 1000000 / rules.interval_s * rules.interval_s;
    const int64_t first_us = start_s * 1000000, past_us = first_us + rules.interval_s * 1000000;
    struct tide_names *names = tide_names_new(10);
    struct tide_memo *memo = tide_names_get(names, "web", 3).memo;

    (void)state;
    assert_int_equal(id_len_of(names, 5, first_us, 0), 3);
    tide_memo_tell(memo, start_s, 1000);
    tide_memo_tell(memo, start_s, 900); /* nothing new */
    assert_int_equal(id_len_of(names, 999.4, first_us, 0), 0);
    assert_int_equal(id_len_of(names, 999.4, past_us - 1, 0), 0);
    assert_int_equal(id_len_of(names, 999.5, first_us, 0), 3); /* as long: the larger id is kept */
    assert_int_equal(id_len_of(names, 1001, first_us, 0), 3);
    assert_int_equal(id_len_of(names, 5, first_us - 1, 0), 3);
    assert_int_equal(id_len_of(names, 5, past_us, 0), 3);
    assert_int_equal(id_len_of(names, 5, first_us, TIDE_PARCEL_DELTAS), 3); /* or __overflow__'s */
    tide_memo_tell(memo, start_s - 1000, 1 << 30);                          /* an older interval */
    assert_int_equal(id_len_of(names, 999, first_us, 0), 0);
    tide_memo_tell(memo, start_s + rules.interval_s, UINT64_C(1) << 40);
    assert_int_equal(id_len_of(names, 5, first_us, 0), 3);
    assert_int_equal(id_len_of(names, 0x1p32 - 2, past_us, 0), 0);
    assert_int_equal(id_len_of(names, 0x1p32, past_us, 0), 3); /* it cannot tell such apart */
    tide_names_free(names);
}

static void short_names_are_told_apart(void **state)
{
    struct tide_names *names = tide_names_new(100000);
    struct tide_subject *subject[4096];
    char name[24];

    (void)state;
    for (int round = 0; round < 2; round++)
        for (unsigned len = 1; len <= 18; len++)
            for (unsigned i = 0; i < 4096; i++) {
                struct tide_subject *found;

                memset(name, 'x', sizeof(name));
                for (unsigned bit = 0; bit < 12; bit++) /* collisions of every part of a name */
                    if (i >> bit & 1)
                        name[bit % len] = (char)(name[bit % len] + (int)(bit / len + 1));
                found = tide_names_get(names, name, len).subject;
                assert_int_equal(found->len, len);
                assert_memory_equal(found->name, name, len);
                if (len == 9) {
                    if (round)
                        assert_ptr_equal(subject[i], found);
                    subject[i] = found;
                }
            }
    tide_names_free(names);
}

/* ---- memory ---- */

static void a_reset_parcel_is_as_new_and_keeps_its_table_of_names(void **state)
{
    struct tide_names *names = tide_names_new(1000);
    struct tide_parcel parcel;
    struct tide_event ev = event_at(NOW_US);

    (void)state;
    tide_parcel_init(&parcel, names);
    for (int round = 0; round < 3; round++) {
        /* a small chunk first, then one that makes the parcel give its memory back */
        for (int i = 0; i < (round ? 100000 : 10); i++)
            tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
        parcel.has_identity = true;
        parcel.fate = TIDE_FATE_COMMITTED;
        parcel.owner = 7;
        parcel.chunk_len = 3;
        tide_parcel_reset(&parcel);
        assert_true(tide_parcel_empty(&parcel));
        assert_int_equal(parcel.facts, 0);
        assert_int_equal(parcel.words, 0);
        assert_int_equal(parcel.fate, TIDE_FATE_OPEN);
        assert_int_equal(parcel.owner, 0);
        assert_null(parcel.home);
        assert_ptr_equal(parcel.names, names);
    }
    tide_parcel_fini(&parcel);
    tide_names_free(names);
}

static void a_small_parcel_keeps_its_memory_and_a_large_one_gives_it_back(void **state)
{
    struct tide_names *names = tide_names_new(1000);
    struct tide_parcel parcel;
    struct tide_event ev = event_at(NOW_US);
    size_t small, large;

    (void)state;
    tide_parcel_init(&parcel, names);
    for (int i = 0; i < 1000; i++)
        tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
    small = tide_parcel_memory(&parcel);
    tide_parcel_reset(&parcel);
    assert_int_equal(tide_parcel_memory(&parcel), small);
    ev.error = text("a text for each of them");
    for (int i = 0; i < 500000; i++)
        tide_parcel_fold(&parcel, &rules, &ev, NOW_US);
    large = tide_parcel_memory(&parcel);
    assert_true(large > 10u << 20);
    tide_parcel_reset(&parcel);
    assert_true(tide_parcel_memory(&parcel) <= sizeof(parcel));
    tide_parcel_fini(&parcel);
    tide_names_free(names);
}

static void names_beyond_the_tables_bound_are_overflow(void **state)
{
    struct tide_names *names = tide_names_new(300);
    struct tide_subject *overflow = NULL;
    char name[20];

    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 1000; i++) {
            int len = snprintf(name, sizeof(name), "module-%d", i);
            struct tide_subject *subject = tide_names_get(names, name, (uint32_t)len).subject;

            if (i < 300) {
                assert_int_equal(subject->len, len);
                assert_memory_equal(subject->name, name, (size_t)len);
                continue;
            }
            if (!overflow)
                overflow = subject;
            assert_ptr_equal(subject, overflow);
        }
    assert_int_equal(overflow->len, strlen(TIDE_OVERFLOW_MODULE));
    assert_memory_equal(overflow->name, TIDE_OVERFLOW_MODULE, overflow->len);
    assert_true(tide_names_memory(names) <
                300 * 200 + (150 << 10)); /* the short cut has grown once */
    tide_names_free(names);
    tide_names_free(NULL);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sampled_module_keeps_its_share_and_weighs_the_same_on_average),
        cmocka_unit_test(a_late_event_is_late_and_not_sampled),
        cmocka_unit_test(a_sampled_weight_saturates),
        cmocka_unit_test(an_event_as_old_as_the_lateness_is_stored_and_an_older_one_is_late),
        cmocka_unit_test(an_event_too_far_ahead_is_booked_at_arrival),
        cmocka_unit_test(an_event_without_time_is_booked_at_arrival_and_is_not_skewed),
        cmocka_unit_test(the_widest_rules_do_not_overflow),
        cmocka_unit_test(every_rejected_entry_is_received_and_has_its_reason),
        cmocka_unit_test(a_rejected_chunk_drops_all_that_was_folded),
        cmocka_unit_test(only_what_a_commit_need_not_keep_is_empty),
        cmocka_unit_test_prestate(facts_are_read_back_in_order_as_they_were_folded, &seed),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(modules_of_one_name_share_a_subject),
        cmocka_unit_test_prestate(gauges_of_any_size_travel, &seed),
        cmocka_unit_test(an_id_is_left_out_only_where_a_longer_operation_is_known),
        cmocka_unit_test(short_names_are_told_apart),
        cmocka_unit_test(a_reset_parcel_is_as_new_and_keeps_its_table_of_names),
        cmocka_unit_test(a_small_parcel_keeps_its_memory_and_a_large_one_gives_it_back),
        cmocka_unit_test(names_beyond_the_tables_bound_are_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
