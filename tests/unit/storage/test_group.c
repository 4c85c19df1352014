/* group: parcels folded together give what folding their events gives, whatever the way they are
 * cut; what does not fit goes to __overflow__ and no count is lost; undo gives everything back.
 */
#include "fixture.h"

struct bench {
    struct group group;
    struct modules *modules;
    struct identity_set *identities;
    struct group_known known;
    struct group_rules rules;
    enum tide_fate fate[PARCELS_MAX];
};

static const struct tide_fold_rules fold_rules = {
    .interval_s = INTERVAL_S, .lateness_s = 4000, .future_s = 60, .instance_seed = 9};

static void bench_begin(struct bench *bench)
{
    group_init(&bench->group);
    bench->modules = modules_new(NULL);
    bench->identities = identity_new(1000);
    bench->known =
        (struct group_known){bench->identities, identity_new(1000), producers_new(100, 10000, 100)};
    bench->rules = (struct group_rules){
        .now_us = T0_US, .interval_s = INTERVAL_S, .lateness_s = 4000, .max_modules = 100000};
}

static void bench_end(struct bench *bench)
{
    group_fini(&bench->group);
    modules_free(bench->modules);
    identity_free(bench->identities);
    identity_free(bench->known.event_ids);
    producers_free(bench->known.producers);
}

static size_t build(struct bench *bench, struct tide_parcel *parcel, size_t count)
{
    struct tide_parcel *waiting[PARCELS_MAX];

    for (size_t i = 0; i < count; i++)
        waiting[i] = &parcel[i];
    return group_build(&bench->group, waiting, count, bench->fate, &bench->rules, bench->modules,
                       &bench->known);
}

static const struct group_delta *delta_of_module(const struct bench *bench, const char *name,
                                                 int64_t start_s)
{
    uint32_t id = modules_find(bench->modules, name, strlen(name));

    for (uint32_t i = 0; i < bench->group.deltas; i++)
        if (bench->group.delta[i].module == id && bench->group.delta[i].start_s == start_s)
            return &bench->group.delta[i];
    return NULL;
}

/* A delta as a record, by way of its bytes. */
static void record_of(const struct bench *bench, const struct group_delta *delta,
                      struct tide_record *into)
{
    struct row_view view = group_view(&bench->group, delta);
    struct blob blob = {0};
    const uint8_t *from;

    row_encode_view(&blob, &view, 0);
    from = blob.start;
    assert_true(row_decode(&from, blob.start + blob.len, into, 0));
    blob_fini(&blob);
}

/* ---- folding ---- */

enum { GROUP_MODULES = 8, GROUP_STARTS = 4 };

static void any_cut_into_parcels_gives_what_folding_the_events_gives(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct bench bench;
    struct tide_record got;

    bench_begin(&bench);
    tide_record_init(&got);
    for (int round = 0; round < 150; round++) {
        struct tide_parcel parcel[6];
        static struct tide_record expected[GROUP_MODULES][GROUP_STARTS];
        int events = (int)tide_any_between(&seed, 0, round % 10 ? 100 : 3000), deltas = 0;

        for (int i = 0; i < 6; i++)
            tide_parcel_init(&parcel[i], NULL);
        for (int m = 0; m < GROUP_MODULES; m++)
            for (int s = 0; s < GROUP_STARTS; s++)
                tide_record_init(&expected[m][s]);
        for (int i = 0; i < events; i++) {
            struct tide_event ev = tide_any_event(&seed);
            int m = (int)tide_any_between(&seed, 0, GROUP_MODULES - 1);
            int s = (int)tide_any_between(&seed, 0, GROUP_STARTS - 1);

            ev.module = tide_any_name((unsigned)m);
            ev.time_us = T0_US - s * INTERVAL_S * 1000000 + tide_any_between(&seed, 0, 5) * 1999999;
            tide_parcel_fold(&parcel[tide_any_between(&seed, 0, 5)], &fold_rules, &ev, T0_US);
            tide_record_fold(&expected[m][s], &ev, ev.time_us,
                             ev.instance.len ? tide_hash64(fold_rules.instance_seed,
                                                           ev.instance.start, ev.instance.len)
                                             : 0);
        }
        assert_int_equal(build(&bench, parcel, 6), 6);
        for (int m = 0; m < GROUP_MODULES; m++)
            for (int s = 0; s < GROUP_STARTS; s++) {
                const struct group_delta *delta;
                char name[8] = {0};

                memcpy(name, tide_any_name((unsigned)m).start, 3);
                delta = delta_of_module(&bench, name, T0_S - s * INTERVAL_S);
                if (tide_record_empty(&expected[m][s])) {
                    assert_null(delta);
                } else {
                    assert_non_null(delta);
                    record_of(&bench, delta, &got);
                    assert_true(tide_record_equal(&got, &expected[m][s]));
                    deltas++;
                }
                tide_record_fini(&expected[m][s]);
            }
        assert_int_equal(bench.group.deltas, deltas);
        assert_int_equal(bench.group.books.stored, events);
        for (int i = 0; i < 6; i++)
            tide_parcel_fini(&parcel[i]);
    }
    tide_record_fini(&got);
    bench_end(&bench);
}

static void the_newest_error_stays_and_of_two_at_one_moment_the_larger(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } sent[] = {{"older and longer", 5}, {"b", 9}, {"a", 9}, {"ba", 9}, {"b", 9}, {"zz", 8}};
    struct bench bench;
    struct tide_parcel parcel[2];
    const struct group_delta *delta;

    (void)state;
    bench_begin(&bench);
    tide_parcel_init(&parcel[0], NULL);
    tide_parcel_init(&parcel[1], NULL);
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        struct tide_event ev = response_at("auth", T0_US + sent[i].us);

        ev.error = (struct tide_text){sent[i].text, (uint32_t)strlen(sent[i].text)};
        tide_parcel_fold(&parcel[i % 2], &fold_rules, &ev, T0_US);
    }
    build(&bench, parcel, 2);
    delta = delta_of_module(&bench, "auth", T0_S);
    assert_int_equal(delta->error_us, T0_US + 9);
    assert_int_equal(delta->error_len, 2);
    assert_memory_equal(delta->error, "ba", 2);
    assert_int_equal(delta->tally.errors, 6);
    tide_parcel_fini(&parcel[0]);
    tide_parcel_fini(&parcel[1]);
    bench_end(&bench);
}

/* ---- bounds ---- */

static void
beyond_65536_module_intervals_a_chunk_goes_to_overflow_and_no_count_is_lost(void **state)
{
    enum { EVENTS = TIDE_PARCEL_DELTAS + 5000 };
    struct bench bench;
    struct tide_parcel parcel;
    const struct group_delta *overflow;
    uint64_t requests = 0, samples = 0;

    (void)state;
    bench_begin(&bench);
    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < EVENTS; i++) {
        char name[20];
        struct tide_event ev;

        snprintf(name, sizeof(name), "m-%d", i);
        ev = response_at(name, T0_US);
        tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
    }
    assert_int_equal(build(&bench, &parcel, 1), 1);
    assert_int_equal(bench.group.books.stored, EVENTS);
    assert_true(bench.group.deltas <= TIDE_PARCEL_DELTAS + 1);
    for (uint32_t i = 0; i < bench.group.deltas; i++) {
        requests += bench.group.delta[i].tally.requests;
        samples += bench.group.delta[i].tally.samples;
    }
    assert_int_equal(requests, EVENTS);
    assert_int_equal(samples, EVENTS);
    overflow = delta_of_module(&bench, TIDE_OVERFLOW_MODULE, T0_S);
    assert_non_null(overflow);
    assert_int_equal(overflow->tally.requests, 5000);
    tide_parcel_fini(&parcel);
    bench_end(&bench);
}

static void a_module_interval_that_was_there_in_time_keeps_its_events(void **state)
{
    struct bench bench;
    struct tide_parcel parcel;
    struct tide_event now = response_at("first", T0_US), before = now;

    (void)state;
    bench_begin(&bench);
    tide_parcel_init(&parcel, NULL);
    before.time_us -= 1;
    tide_parcel_fold(&parcel, &fold_rules, &now, T0_US);
    tide_parcel_fold(&parcel, &fold_rules, &before, T0_US);
    for (int i = 0; i < TIDE_PARCEL_DELTAS + 10; i++) {
        char name[20];
        struct tide_event ev;

        snprintf(name, sizeof(name), "m-%d", i);
        ev = response_at(name, T0_US);
        tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
    }
    for (int i = 0; i < 10; i++) { /* its two intervals in turn */
        tide_parcel_fold(&parcel, &fold_rules, &now, T0_US);
        tide_parcel_fold(&parcel, &fold_rules, &before, T0_US);
    }
    build(&bench, &parcel, 1);
    assert_int_equal(delta_of_module(&bench, "first", T0_S)->tally.requests, 11);
    assert_int_equal(delta_of_module(&bench, "first", T0_S - INTERVAL_S)->tally.requests, 11);
    assert_int_equal(delta_of_module(&bench, TIDE_OVERFLOW_MODULE, T0_S)->tally.requests, 12);
    tide_parcel_fini(&parcel);
    bench_end(&bench);
}

static void a_chunk_of_countless_intervals_is_bounded_and_loses_no_count(void **state)
{
    enum { EVENTS = 300000 };
    struct tide_fold_rules patient = fold_rules;
    struct bench bench;
    struct tide_parcel parcel;
    uint64_t requests = 0, samples = 0;

    (void)state;
    bench_begin(&bench);
    bench.rules.lateness_s = patient.lateness_s = INT64_C(1) << 31;
    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < EVENTS; i++) {
        struct tide_event ev = response_at("auth", T0_US - i * INT64_C(10000000));

        tide_parcel_fold(&parcel, &patient, &ev, T0_US);
    }
    build(&bench, &parcel, 1);
    assert_true(bench.group.deltas <= TIDE_PARCEL_DELTAS + 2000);
    for (uint32_t i = 0; i < bench.group.deltas; i++) {
        requests += bench.group.delta[i].tally.requests;
        samples += bench.group.delta[i].tally.samples;
    }
    assert_int_equal(requests, EVENTS);
    assert_int_equal(samples, EVENTS);
    assert_int_equal(bench.group.books.stored, EVENTS);
    tide_parcel_fini(&parcel);
    bench_end(&bench);
}

/* However many instances a chunk names, in whatever order: the 64 smallest and the rest, and no
 * more work than the chunk is long. */
static void countless_instances_are_the_64_smallest_and_the_rest(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 2;
    static const int sizes[] = {60, 130, 300, 2000, 200000};
    struct bench bench;
    struct tide_record expected, got;

    bench_begin(&bench);
    tide_record_init(&expected);
    tide_record_init(&got);
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
        struct tide_parcel parcel;
        const struct group_delta *delta;

        tide_parcel_init(&parcel, NULL);
        tide_record_reset(&expected);
        for (int i = 0; i < sizes[n]; i++) {
            struct tide_event ev = response_at("auth", T0_US + i % 7);
            char name[20];
            int len =
                snprintf(name, sizeof(name), "i-%d", (int)tide_any_between(&seed, 0, sizes[n]));

            ev.instance = (struct tide_text){name, (uint32_t)len};
            ev.gauges = 3;
            ev.gauge[0] = tide_any_between(&seed, 0, 5);
            ev.gauge[1] = i;
            tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
            tide_record_fold(
                &expected, &ev, ev.time_us,
                tide_hash64(fold_rules.instance_seed, ev.instance.start, ev.instance.len));
        }
        build(&bench, &parcel, 1);
        delta = delta_of_module(&bench, "auth", T0_S);
        record_of(&bench, delta, &got);
        assert_true(tide_record_equal(&got, &expected));
        assert_true(bench.group.instance_capacity < 1000);
        tide_parcel_fini(&parcel);
    }
    tide_record_fini(&expected);
    tide_record_fini(&got);
    bench_end(&bench);
}

/* Likewise metric names, and a group gives back what a large one took. */
static void countless_metrics_are_the_64_smallest_and_the_rest(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 7;
    static const int sizes[] = {1, 60, 300, 100000};
    struct bench bench;
    struct tide_record expected, got;

    bench_begin(&bench);
    tide_record_init(&expected);
    tide_record_init(&got);
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
        struct tide_parcel parcel;

        tide_parcel_init(&parcel, NULL);
        tide_record_reset(&expected);
        for (int i = 0; i < sizes[n]; i++) {
            struct tide_event ev = response_at("auth", T0_US + i % 7);
            char name[20];
            int len =
                snprintf(name, sizeof(name), "m-%d", (int)tide_any_between(&seed, 0, sizes[n]));

            ev.kind = TIDE_EVENT_METRIC;
            ev.metric = (struct tide_text){name, (uint32_t)len};
            ev.value = tide_any_between(&seed, -1000, 1000);
            tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
            tide_record_fold(&expected, &ev, ev.time_us, 0);
        }
        build(&bench, &parcel, 1);
        record_of(&bench, delta_of_module(&bench, "auth", T0_S), &got);
        assert_true(tide_record_equal(&got, &expected));
        assert_int_equal(bench.group.custom_sets, 1);
        tide_parcel_fini(&parcel);
    }
    for (int modules = 5000; modules >= 1; modules -= 4999) {
        struct tide_parcel parcel;

        tide_parcel_init(&parcel, NULL);
        for (int i = 0; i < modules; i++) {
            char name[20];
            struct tide_event ev;

            snprintf(name, sizeof(name), "m-%d", i);
            ev = response_at(name, T0_US);
            ev.metric = (struct tide_text){"q", 1};
            tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
        }
        build(&bench, &parcel, 1);
        assert_int_equal(bench.group.custom_sets, modules);
        tide_parcel_fini(&parcel);
    }
    assert_true(bench.group.customs_made <= 1024);
    tide_record_fini(&expected);
    tide_record_fini(&got);
    bench_end(&bench);
}

/* Long names: the journal of a group stays below what its table can hold. */
static void a_group_takes_at_least_one_parcel_and_not_too_many_bytes(void **state)
{
    enum { EVENTS = GROUP_BYTES / 2 / (5 * 8 + TIDE_METRIC_NAME_MAX) + 1 };
    struct bench bench;
    struct tide_parcel parcel[2];
    struct tide_event ev = response_at("auth", T0_US);
    char name[TIDE_METRIC_NAME_MAX];

    (void)state;
    memset(name, 'n', sizeof(name));
    ev.kind = TIDE_EVENT_METRIC;
    ev.metric = (struct tide_text){name, sizeof(name)};
    bench_begin(&bench);
    for (int p = 0; p < 2; p++) {
        tide_parcel_init(&parcel[p], NULL);
        for (unsigned i = 0; i < EVENTS; i++)
            tide_parcel_fold(&parcel[p], &fold_rules, &ev, T0_US);
    }
    assert_int_equal(build(&bench, parcel, 2), 1);
    tide_parcel_reset(&parcel[0]);
    assert_int_equal(build(&bench, parcel, 2), 2);
    for (int p = 0; p < 2; p++)
        tide_parcel_fini(&parcel[p]);
    bench_end(&bench);
}

static void beyond_max_modules_new_names_are_overflow_and_old_ones_are_not(void **state)
{
    struct bench bench;
    struct tide_parcel parcel;

    (void)state;
    bench_begin(&bench);
    bench.rules.max_modules = 3;
    for (int round = 0; round < 2; round++) {
        tide_parcel_init(&parcel, NULL);
        for (int i = 0; i < 50; i++) {
            char name[20];
            struct tide_event ev;

            snprintf(name, sizeof(name), "m-%d", i % 5);
            ev = response_at(name, T0_US);
            tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
        }
        build(&bench, &parcel, 1);
        assert_int_equal(modules_count(bench.modules), 4);
        assert_int_equal(bench.group.deltas, 4);
        assert_int_equal(delta_of_module(&bench, "m-2", T0_S)->tally.requests, 10);
        assert_int_equal(delta_of_module(&bench, TIDE_OVERFLOW_MODULE, T0_S)->tally.requests, 20);
        assert_int_equal(modules_find(bench.modules, "m-3", 3), 0);
        tide_parcel_fini(&parcel);
    }
    bench_end(&bench);
}

static void a_group_takes_at_least_one_parcel_and_not_too_many_facts(void **state)
{
    struct bench bench;
    struct tide_parcel parcel[3];
    struct tide_event ev = response_at("auth", T0_US);

    (void)state;
    bench_begin(&bench);
    for (int i = 0; i < 3; i++)
        tide_parcel_init(&parcel[i], NULL);
    for (unsigned i = 0; i < GROUP_FACTS / 2 + 1; i++) {
        tide_parcel_fold(&parcel[0], &fold_rules, &ev, T0_US);
        tide_parcel_fold(&parcel[1], &fold_rules, &ev, T0_US);
    }
    assert_int_equal(build(&bench, parcel, 3), 1);
    assert_int_equal(bench.group.books.stored, GROUP_FACTS / 2 + 1);
    assert_int_equal(build(&bench, parcel + 1, 2), 2);
    for (int i = 0; i < 3; i++)
        tide_parcel_fini(&parcel[i]);
    bench_end(&bench);
}

/* ---- lateness, duplicates ---- */

static void an_interval_that_ended_before_the_lateness_is_late_at_its_commit(void **state)
{
    struct bench bench;
    struct tide_parcel parcel;
    struct tide_event ev = response_at("auth", T0_US + 3000000);

    (void)state;
    bench_begin(&bench);
    tide_parcel_init(&parcel, NULL);
    tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
    bench.rules.now_us = T0_US + (4000 + INTERVAL_S) * INT64_C(1000000) - 1;
    build(&bench, &parcel, 1);
    assert_int_equal(bench.group.books.stored, 1);
    assert_int_equal(bench.group.deltas, 1);
    bench.rules.now_us++;
    build(&bench, &parcel, 1);
    assert_int_equal(bench.group.books.stored, 0);
    assert_int_equal(bench.group.books.late, 1);
    assert_true(tide_ledger_balanced(&bench.group.books));
    assert_int_equal(bench.group.deltas, 0);
    tide_parcel_fini(&parcel);
    bench_end(&bench);
}

static void what_is_sealed_is_corrected(void **state)
{
    struct bench bench;
    struct tide_parcel parcel;

    (void)state;
    bench_begin(&bench);
    bench.rules.sealed_upto_s = T0_S;
    tide_parcel_init(&parcel, NULL);
    for (int i = 0; i < 2; i++) {
        struct tide_event ev = response_at("auth", T0_US - i);

        tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
    }
    build(&bench, &parcel, 1);
    assert_false(delta_of_module(&bench, "auth", T0_S)->late);
    assert_true(delta_of_module(&bench, "auth", T0_S - INTERVAL_S)->late);
    assert_int_equal(bench.group.newest_start_s, T0_S);
    tide_parcel_fini(&parcel);
    bench_end(&bench);
}

static void the_second_of_two_equal_chunks_in_a_group_is_a_duplicate(void **state)
{
    struct bench bench;
    struct tide_parcel parcel[4];

    (void)state;
    bench_begin(&bench);
    for (int i = 0; i < 4; i++) {
        struct tide_event ev = response_at("auth", T0_US);

        tide_parcel_init(&parcel[i], NULL);
        tide_parcel_fold(&parcel[i], &fold_rules, &ev, T0_US);
        tide_parcel_reject(&parcel[i], TIDE_ENTRY_BAD_TIME);
        parcel[i].has_identity = i != 3;
        parcel[i].chunk_len = 3;
        parcel[i].identity = chunk_identity(i == 1 ? 1 : 7);
    }
    build(&bench, parcel, 4);
    assert_int_equal(bench.fate[0], TIDE_FATE_COMMITTED);
    assert_int_equal(bench.fate[1], TIDE_FATE_COMMITTED);
    assert_int_equal(bench.fate[2], TIDE_FATE_DUPLICATE);
    assert_int_equal(bench.fate[3], TIDE_FATE_COMMITTED); /* without identity: always new */
    assert_int_equal(bench.group.books.chunks_committed, 3);
    assert_int_equal(bench.group.books.chunks_duplicate, 1);
    assert_int_equal(bench.group.books.received, 8);
    assert_int_equal(bench.group.books.duplicate, 2);
    assert_int_equal(bench.group.books.rejected[TIDE_ENTRY_BAD_TIME], 3);
    assert_true(tide_ledger_balanced(&bench.group.books));
    assert_int_equal(bench.group.identities, 2);
    for (int i = 0; i < 4; i++)
        tide_parcel_fini(&parcel[i]);
    bench_end(&bench);
}

static void undo_gives_identities_and_modules_back_and_a_retry_is_the_same(void **state)
{
    struct bench bench;
    struct tide_names *names = tide_names_new(100);
    struct tide_parcel parcel[2];

    (void)state;
    bench_begin(&bench);
    modules_add(bench.modules, "old", 3);
    for (int i = 0; i < 2; i++) {
        struct tide_event old = response_at("old", T0_US), new = response_at("new", T0_US);

        tide_parcel_init(&parcel[i], names);
        tide_parcel_fold(&parcel[i], &fold_rules, &old, T0_US);
        tide_parcel_fold(&parcel[i], &fold_rules, &new, T0_US);
        parcel[i].has_identity = true;
        parcel[i].identity = chunk_identity((uint64_t)i);
    }
    for (int round = 0; round < 3; round++) {
        assert_int_equal(build(&bench, parcel, 2), 2);
        assert_int_equal(bench.fate[0], TIDE_FATE_COMMITTED);
        assert_int_equal(bench.fate[1], TIDE_FATE_COMMITTED);
        assert_int_equal(identity_count(bench.identities), 2);
        assert_int_equal(modules_find(bench.modules, "new", 3), 2);
        assert_int_equal(delta_of_module(&bench, "new", T0_S)->tally.requests, 2);
        assert_int_equal(delta_of_module(&bench, "old", T0_S)->tally.requests, 2);
        group_undo(&bench.group, bench.modules, &bench.known);
        assert_int_equal(identity_count(bench.identities), 0);
        assert_int_equal(modules_count(bench.modules), 1);
        if (round == 1) /* meanwhile another module takes the id */
            modules_add(bench.modules, "other", 5);
        if (round == 1)
            break;
    }
    build(&bench, parcel, 2);
    assert_int_equal(modules_find(bench.modules, "new", 3), 3);
    assert_int_equal(delta_of_module(&bench, "new", T0_S)->tally.requests, 2);
    assert_null(delta_of_module(&bench, "other", T0_S));
    tide_parcel_fini(&parcel[0]);
    tide_parcel_fini(&parcel[1]);
    tide_names_free(names);
    bench_end(&bench);
}

/* ---- the journal's bytes of a group ---- */

struct replayed {
    const struct bench *bench;
    uint32_t deltas;
};

static void check_replayed(void *arg, uint64_t seq, const struct journal_delta *got)
{
    struct replayed *replayed = arg;
    const struct group_delta *sent = &replayed->bench->group.delta[replayed->deltas++];
    struct tide_record expected;

    assert_int_equal(seq, 77);
    assert_int_equal(got->module, sent->module);
    assert_int_equal(got->start_s, sent->start_s);
    assert_int_equal(got->error_len, sent->error_len);
    if (sent->error_len) {
        assert_int_equal(got->error_us, sent->error_us);
        assert_memory_equal(got->error, sent->error, sent->error_len);
    }
    tide_record_init(&expected);
    record_of(replayed->bench, sent, &expected);
    assert_true(tide_record_equal(got->record, &expected));
    tide_record_fini(&expected);
}

static void count_taken(void *arg, uint64_t seq, const struct journal_delta *got)
{
    (void)seq;
    (void)got;
    ++*(uint32_t *)arg;
}

static void a_journaled_group_reads_back_the_same_and_a_cut_one_is_refused(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;
    struct bench bench;
    struct tide_parcel parcel;
    struct tide_record scratch;
    struct blob blob = {0};
    struct replayed replayed;

    bench_begin(&bench);
    tide_record_init(&scratch);
    tide_parcel_init(&parcel, NULL);
    for (int events = 0; events <= 60; events += 20) {
        uint32_t taken = 0;

        for (int i = 0; i < events; i++) {
            struct tide_event ev = tide_any_event(&seed);

            ev.module = tide_any_name((unsigned)tide_any_between(&seed, 0, 3));
            ev.time_us = T0_US - tide_any_between(&seed, 0, 30000000);
            tide_parcel_fold(&parcel, &fold_rules, &ev, T0_US);
        }
        build(&bench, &parcel, 1);
        blob.len = 0;
        blob_reserve(&blob, bench.group.journal.len + 1);
        memcpy(blob.start, bench.group.journal.start, bench.group.journal.len);
        blob.len = bench.group.journal.len;
        replayed = (struct replayed){.bench = &bench};
        assert_true(journal_decode(77, blob.start, blob.len, &scratch, check_replayed, &replayed));
        assert_int_equal(replayed.deltas, bench.group.deltas);
        for (size_t len = 0; len < blob.len; len++) { /* exact copies: ASan sees every overread */
            uint8_t *cut = malloc(len + 1);

            assert_non_null(cut);
            memcpy(cut, blob.start, len);
            assert_false(journal_decode(77, cut, len, &scratch, count_taken, &taken));
            free(cut);
        }
        blob.start[blob.len] = 0; /* and one with something behind it */
        assert_false(journal_decode(77, blob.start, blob.len + 1, &scratch, count_taken, &taken));
    }
    tide_parcel_fini(&parcel);
    tide_record_fini(&scratch);
    blob_fini(&blob);
    bench_end(&bench);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(any_cut_into_parcels_gives_what_folding_the_events_gives, &seed),
        cmocka_unit_test(the_newest_error_stays_and_of_two_at_one_moment_the_larger),
        cmocka_unit_test(
            beyond_65536_module_intervals_a_chunk_goes_to_overflow_and_no_count_is_lost),
        cmocka_unit_test(a_module_interval_that_was_there_in_time_keeps_its_events),
        cmocka_unit_test(a_chunk_of_countless_intervals_is_bounded_and_loses_no_count),
        cmocka_unit_test_prestate(countless_instances_are_the_64_smallest_and_the_rest, &seed),
        cmocka_unit_test_prestate(countless_metrics_are_the_64_smallest_and_the_rest, &seed),
        cmocka_unit_test(a_group_takes_at_least_one_parcel_and_not_too_many_bytes),
        cmocka_unit_test(beyond_max_modules_new_names_are_overflow_and_old_ones_are_not),
        cmocka_unit_test(a_group_takes_at_least_one_parcel_and_not_too_many_facts),
        cmocka_unit_test(an_interval_that_ended_before_the_lateness_is_late_at_its_commit),
        cmocka_unit_test(what_is_sealed_is_corrected),
        cmocka_unit_test(the_second_of_two_equal_chunks_in_a_group_is_a_duplicate),
        cmocka_unit_test(undo_gives_identities_and_modules_back_and_a_retry_is_the_same),
        cmocka_unit_test_prestate(a_journaled_group_reads_back_the_same_and_a_cut_one_is_refused,
                                  &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
