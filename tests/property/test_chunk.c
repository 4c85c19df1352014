/* The laws of chunks: what goes in comes out, all but the slowest correlation id; and whatever the
 * bytes are, reading them stays inside them. */
#include "chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "column.h"
#include "guard.h"
#include "pack.h"
#include "tidemark/bytes.h"

#define ENTRIES 200
#define START_S INT64_C(1700000000)

/* A series as a module leaves it: mostly alike, now and then anything. */
struct series {
    uint32_t width_s;
    size_t count;
    struct tide_record record[ENTRIES];
    struct chunk_entry entry[ENTRIES];
};

static void fold_usual(struct tide_record *record, uint64_t *seed, int64_t start_s, int busy,
                       bool gauges)
{
    int events = (int)tide_any_between(seed, 1, busy);

    for (int i = 0; i < events; i++) {
        struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                                .weight = 1,
                                .has_duration = true,
                                .success = tide_any_between(seed, 0, 30) != 0,
                                .gauges = gauges ? 15 : 0};

        ev.duration_us = (double)tide_any_between(seed, 500, 90000);
        ev.correlation = (struct tide_text){"slow", 4};
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            ev.gauge[gauge] = tide_any_between(seed, 40000, 44096);
        tide_record_fold(record, &ev, start_s * 1000000 + tide_any_between(seed, 0, 29999999), 0);
    }
}

/* As years of merges make them: counts and sums that no 64 bits hold. */
static void fold_years(struct tide_record *record, uint64_t *seed, struct tide_text name,
                       int64_t time_us)
{
    struct tide_custom years = {.len = (uint16_t)name.len, .time_us = time_us};
    uint64_t highs;

    memcpy(years.name, name.start, name.len);
    years.min = tide_any_between(seed, 1 - TIDE_METRIC_UNITS / 2, TIDE_METRIC_UNITS / 2 - 1) * 2;
    years.max = tide_any_between(seed, years.min / 2, TIDE_METRIC_UNITS / 2 - 1) * 2 + 1;
    years.last = tide_any_between(seed, 0, 1) ? years.min : years.max;
    years.count = (uint64_t)tide_any_between(seed, 2, INT64_C(1) << tide_any_between(seed, 2, 57));
    highs = (uint64_t)tide_any_between(seed, 1, (int64_t)years.count - 1);
    years.sum = (__int128)years.min * (years.count - highs) + (__int128)years.max * highs;
    tide_customs_merge_one(&record->customs, &years);
}

/* Metrics of every nature: levels, counters, constants, and numbers at their ends. */
static void fold_metrics(struct tide_record *record, uint64_t *seed, int64_t start_s,
                         int64_t metrics, int64_t often)
{
    for (int64_t metric = 0; metric < metrics; metric++) {
        struct tide_text name = tide_any_name((unsigned)metric);
        int64_t values = tide_any_between(seed, metric % 5 == 4 ? 0 : 1, often);
        int64_t from_us = start_s * 1000000 + tide_any_between(seed, 0, 1) * 1000 * metric;

        for (int64_t i = 0; i < values; i++) {
            int64_t value = metric * TIDE_METRIC_SCALE;

            if (metric % 5 == 0)
                value = tide_any_between(seed, -20, 20) * TIDE_METRIC_SCALE / 2;
            else if (metric % 5 == 1)
                value += (start_s % 100000) * 40 + i * metric;
            else if (metric % 5 == 2 && tide_any_between(seed, 0, 9) == 0)
                value = tide_any_between(seed, 0, 1) ? TIDE_METRIC_UNITS - 1 - i
                                                     : 1 - TIDE_METRIC_UNITS + i;
            tide_customs_fold(&record->customs, name.start, name.len, value,
                              from_us + i * tide_any_between(seed, 0, 9) * 100000, 1);
        }
        if (tide_any_between(seed, 0, 50) == 0)
            fold_years(record, seed, name, from_us);
    }
}

static void make_series(struct series *series, uint64_t *seed)
{
    static const uint32_t widths[] = {1, 30, 300, 3600, 86400};
    bool wild = tide_any_between(seed, 0, 2) == 0, gaps = tide_any_between(seed, 0, 1);
    bool gauges = tide_any_between(seed, 0, 1);
    int busy = tide_any_between(seed, 0, 1) ? 3 : 40;
    int64_t metrics = tide_any_between(seed, 0, 2) ? 0 : tide_any_between(seed, 1, 70);
    int64_t often = tide_any_between(seed, 1, 4);
    int64_t at_s;

    series->width_s = widths[tide_any_between(seed, 0, 4)];
    series->count = (size_t)tide_any_between(seed, 1, wild ? 30 : ENTRIES);
    at_s = START_S / 86400 * 86400;
    for (size_t i = 0; i < series->count; i++) {
        if (wild || tide_any_between(seed, 0, 60) == 0) {
            series->record[i] = tide_any_record(seed);
        } else {
            tide_record_init(&series->record[i]);
            fold_usual(&series->record[i], seed, at_s, busy, gauges);
        }
        if (metrics && tide_any_between(seed, 0, 20))
            fold_metrics(&series->record[i], seed, at_s, metrics, often);
        series->entry[i] = (struct chunk_entry){
            .start_s = at_s,
            .revision = tide_any_between(seed, 0, 20) ? 0 : (uint32_t)tide_any_between(seed, 0, 9),
            .record = &series->record[i]};
        at_s += series->width_s * (gaps ? tide_any_between(seed, 1, 4) : 1);
    }
}

static void free_series(struct series *series)
{
    for (size_t i = 0; i < series->count; i++)
        tide_record_fini(&series->record[i]);
}

static void assert_same(const struct chunk_reader *reader, uint32_t i,
                        const struct chunk_entry *entry)
{
    struct tide_record back, meant;

    tide_record_init(&back);
    tide_record_init(&meant);
    tide_record_copy(&meant, entry->record);
    meant.slowest.len = 0;
    meant.slowest.us = 0;
    chunk_record(reader, i, &back);
    assert_int_equal(reader->row[i].start_s, entry->start_s);
    assert_int_equal(reader->row[i].revision, entry->revision);
    assert_true(tide_record_equal(&back, &meant));
    tide_record_fini(&back);
    tide_record_fini(&meant);
}

/* Any run of records summed up at once is what merging them one by one gives. */
static void assert_same_sum(struct chunk_reader *reader, const struct chunk_entry *entry,
                            uint64_t *seed)
{
    uint32_t count = reader->view.count;
    uint32_t first = (uint32_t)tide_any_between(seed, 0, count - 1);
    uint32_t last = (uint32_t)tide_any_between(seed, first + 1, count);
    struct tide_record sum, meant;

    tide_record_init(&sum);
    tide_record_init(&meant);
    assert_true(chunk_sum(reader, first, last, &sum));
    for (uint32_t i = first; i < last; i++)
        tide_record_merge(&meant, entry[i].record);
    meant.slowest.len = 0;
    meant.slowest.us = 0;
    assert_true(tide_record_equal(&sum, &meant));
    tide_record_fini(&sum);
    tide_record_fini(&meant);
}

static void what_goes_into_chunks_comes_out_the_same(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct series *series = malloc(sizeof(*series));
    struct chunk_reader reader;
    struct blob blob = {0};

    chunk_reader_init(&reader);
    for (int round = 0; round < 300; round++) {
        make_series(series, &seed);
        for (size_t done = 0, took; done < series->count; done += took) {
            struct chunk_view view;

            took = chunk_encode(&blob, series->entry + done, series->count - done, series->width_s,
                                CHUNK_PAYLOAD_MAX);
            assert_in_range(took, 1, series->count - done);
            assert_true(took == 1 || blob.len <= CHUNK_PAYLOAD_MAX);
            assert_true(chunk_open(blob.start, blob.len, &view));
            assert_int_equal(view.count, took);
            assert_int_equal(view.width_s, series->width_s);
            assert_int_equal(view.first_s, series->entry[done].start_s);
            assert_int_equal(view.last_s, series->entry[done + took - 1].start_s);
            assert_true(chunk_read_fields(&reader, &view));
            assert_true(chunk_read_hists(&reader));
            for (uint32_t i = 0; i < took; i++)
                assert_same(&reader, i, &series->entry[done + i]);
            assert_same_sum(&reader, &series->entry[done], &seed);
        }
        free_series(series);
    }
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    free(series);
}

/* A record of a day as years of a busy module leave it: any bucket, counts to 2^63, a long list of
 * instances that stay, metrics. */
static void make_wide(struct tide_record *record, uint64_t *seed, int64_t start_s, uint32_t width_s,
                      bool narrow)
{
    struct tide_tally *tally = &record->tally;
    int64_t low = narrow ? 400 : tide_any_between(seed, 0, TIDE_HIST_BUCKETS - 1);
    int64_t high = narrow ? 500 : tide_any_between(seed, low, TIDE_HIST_BUCKETS - 1);
    unsigned bits = (unsigned)tide_any_between(seed, 0, 10) ? 40 : 63;
    int64_t instances = narrow ? 3 : tide_any_between(seed, 0, 80);

    for (int64_t bucket = low; bucket <= high; bucket++)
        if (tide_any_between(seed, 0, 3))
            tide_hist_add(&record->hist, (unsigned)bucket,
                          (UINT64_C(1) << tide_any_between(seed, 0, bits)) +
                              (uint64_t)tide_any_between(seed, 0, 9));
    tally->samples = tide_hist_total(&record->hist);
    if (tally->samples) {
        tally->min_us = (uint64_t)tide_any_between(seed, 0, 1000);
        tally->max_us = tally->min_us + (uint64_t)tide_any_between(seed, 0, INT64_C(1) << 40);
        tally->sum_us = tide_any_between(seed, 0, 3) ? tally->samples * 4321 : UINT64_MAX;
    }
    tally->requests = tide_add_sat(tally->samples, (uint64_t)tide_any_between(seed, 0, 1) << 40);
    tally->failed = tally->requests >> tide_any_between(seed, 0, 20);
    tally->errors = tally->failed;
    tally->kind[TIDE_EVENT_RESPONSE] = tally->requests;
    tally->kind[TIDE_EVENT_PERFORMANCE] = (uint64_t)tide_any_between(seed, 0, INT64_MAX - 1);
    tally->first_us = start_s * 1000000 + tide_any_between(seed, 0, 999999);
    tally->last_us = (start_s + width_s) * 1000000 - tide_any_between(seed, 1, 999999);
    for (int64_t id = 0; id < instances; id++) {
        struct tide_instance instance = {.id = (uint64_t)id * UINT64_C(0x123456789abcdef)};

        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
            struct tide_gauge_state *state = &instance.gauge[gauge];

            if (tide_any_between(seed, 0, 5) == 0)
                continue;
            state->count = (uint64_t)tide_any_between(seed, 1, INT64_MAX - 1);
            state->time_us = tally->last_us - tide_any_between(seed, 0, 30000000);
            state->last = (uint64_t)tide_any_between(seed, 0, TIDE_GAUGE_VALUE_MAX);
            state->max = state->last + (uint64_t)tide_any_between(seed, 0, 1 << 20);
            state->sum = tide_any_between(seed, 0, 1) ? UINT64_MAX : state->count;
        }
        tide_record_merge_instance(record, &instance);
    }
    fold_metrics(record, seed, start_s, narrow ? 2 : tide_any_between(seed, 0, 70), 4);
}

/* Records of 5 minutes, hours and days, few to a page; one that a page does not hold goes alone. */
static void wide_records_come_out_the_same(void **state)
{
    static const uint32_t widths[] = {300, 3600, 86400};
    uint64_t seed = *(uint64_t *)*state + 4;
    struct series *series = malloc(sizeof(*series));
    struct chunk_reader reader;
    struct blob blob = {0};
    size_t alone = 0, together = 0;

    chunk_reader_init(&reader);
    for (int round = 0; round < 60; round++) {
        int64_t at_s;
        bool narrow = round % 3 == 0;

        series->width_s = widths[tide_any_between(&seed, 0, 2)];
        series->count = (size_t)tide_any_between(&seed, 1, 12);
        at_s = START_S / 86400 * 86400;
        for (size_t i = 0; i < series->count; i++, at_s += series->width_s) {
            tide_record_init(&series->record[i]);
            make_wide(&series->record[i], &seed, at_s, series->width_s, narrow || i % 4 == 3);
            series->entry[i] = (struct chunk_entry){.start_s = at_s, .record = &series->record[i]};
        }
        for (size_t done = 0, took; done < series->count; done += took) {
            struct chunk_view view;

            took = chunk_encode(&blob, series->entry + done, series->count - done, series->width_s,
                                CHUNK_PAYLOAD_MAX);
            assert_true(took == 1 || blob.len <= CHUNK_PAYLOAD_MAX);
            alone += blob.len > CHUNK_PAYLOAD_MAX;
            together += took > 1;
            assert_true(chunk_open(blob.start, blob.len, &view));
            assert_int_equal(view.last_s, series->entry[done + took - 1].start_s);
            assert_true(chunk_read_fields(&reader, &view) && chunk_read_hists(&reader));
            for (uint32_t i = 0; i < took; i++)
                assert_same(&reader, i, &series->entry[done + i]);
            assert_same_sum(&reader, &series->entry[done], &seed);
        }
        free_series(series);
    }
    assert_true(alone > 20 && together > 20);
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    free(series);
}

static void assert_sane_custom(const struct tide_custom *custom, const struct tide_custom *before,
                               uint32_t k)
{
    assert_true(custom->len > 0 && custom->len <= TIDE_METRIC_NAME_MAX);
    assert_true(!before ||
                tide_custom_order(before->name, before->len, custom->name, custom->len) < 0);
    assert_true(k < TIDE_CUSTOMS_MAX ||
                tide_custom_order(custom->name, custom->len, TIDE_CUSTOM_OVERFLOW,
                                  sizeof(TIDE_CUSTOM_OVERFLOW) - 1) == 0);
    assert_true(custom->count > 0 && custom->time_us > 0);
    assert_true(-TIDE_METRIC_UNITS < custom->min && custom->min <= custom->last &&
                custom->last <= custom->max && custom->max < TIDE_METRIC_UNITS);
    assert_true(custom->sum >= (__int128)custom->min * custom->count &&
                custom->sum <= (__int128)custom->max * custom->count);
}

/* What a reader may rely on, whoever wrote the bytes. */
static void assert_sane(const struct chunk_reader *reader, bool hists)
{
    const struct chunk_view *view = &reader->view;

    assert_int_equal(reader->row[0].start_s, view->first_s);
    assert_int_equal(reader->row[view->count - 1].start_s, view->last_s);
    for (uint32_t i = 0; i < view->count; i++) {
        const struct chunk_row *row = &reader->row[i];
        const struct tide_record *record = &row->record;
        const struct tide_tally *tally = &record->tally;

        assert_true(i == 0 || row->start_s > reader->row[i - 1].start_s);
        assert_int_equal(row->start_s % view->width_s, 0);
        assert_true(tally->failed <= tally->requests && tally->samples <= tally->requests);
        assert_true(tally->samples == 0 || tally->min_us <= tally->max_us);
        assert_true(tally->first_us == INT64_MAX ||
                    (tally->first_us > 0 && tally->first_us <= tally->last_us));
        assert_true(record->instances <= TIDE_INSTANCES_MAX ||
                    (record->instances == TIDE_INSTANCES_MAX + 1 &&
                     record->instance[TIDE_INSTANCES_MAX].id == TIDE_INSTANCE_OVERFLOW));
        for (uint32_t k = 0; k < record->instances; k++) {
            assert_true(k == 0 || record->instance[k].id > record->instance[k - 1].id);
            for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
                assert_true(record->instance[k].gauge[gauge].last <=
                            record->instance[k].gauge[gauge].max);
        }
        assert_true(record->customs.count <= TIDE_CUSTOMS_MAX + 1);
        for (uint32_t k = 0; k < record->customs.count; k++)
            assert_sane_custom(&record->customs.item[k], k ? &record->customs.item[k - 1] : NULL,
                               k);
        if (hists) {
            const struct tide_hist *hist = &record->hist;
            uint64_t total = tide_hist_total(hist);

            assert_true(hist->len == 0 || (hist->first + hist->len <= TIDE_HIST_BUCKETS &&
                                           hist->count[0] && hist->count[hist->len - 1]));
            assert_true(total == tally->samples);
        }
    }
}

static void mutate(struct blob *blob, uint64_t *seed)
{
    int64_t changes = tide_any_between(seed, 1, 4);

    for (int64_t i = 0; i < changes; i++) {
        /* the front more often: lengths, widths and masks are there */
        int64_t last = tide_any_between(seed, 0, 1) ? (int64_t)blob->len - 1 : 60;
        size_t at = (size_t)tide_any_between(
            seed, 0, last < (int64_t)blob->len ? last : (int64_t)blob->len - 1);

        switch (tide_any_between(seed, 0, 3)) {
        case 0:
            blob->start[at] ^= (uint8_t)(1u << tide_any_between(seed, 0, 7));
            break;
        case 1:
            blob->start[at] = (uint8_t)tide_any_between(seed, 0, 255);
            break;
        case 2:
            blob->start[at] = tide_any_between(seed, 0, 1) ? 0xff : 0;
            break;
        default:
            blob->len = at + 1;
        }
    }
}

static void a_damaged_chunk_is_refused_or_sane(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 1;
    struct series *series = malloc(sizeof(*series));
    struct chunk_reader reader;
    struct tide_record record;
    struct tide_guard guard;
    struct blob blob = {0}, mutant = {0};
    size_t refused = 0, fields = 0, whole = 0;

    tide_guard_init(&guard, 1 << 20);
    chunk_reader_init(&reader);
    tide_record_init(&record);
    for (int round = 0; round < 20000; round++) {
        struct chunk_view view;
        bool good;

        if (round % 50 == 0) {
            if (round)
                free_series(series);
            make_series(series, &seed);
            chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX);
        }
        mutant.len = 0;
        blob_reserve(&mutant, blob.len);
        memcpy(mutant.start, blob.start, blob.len);
        mutant.len = blob.len;
        mutate(&mutant, &seed);
        good = chunk_open(tide_guard_place(&guard, mutant.start, mutant.len), mutant.len, &view) &&
               chunk_read_fields(&reader, &view);
        if (!good) {
            refused++;
            continue;
        }
        good = chunk_read_hists(&reader);
        assert_sane(&reader, good);
        fields += !good;
        whole += good;
        for (uint32_t i = 0; good && i < view.count; i += 7)
            chunk_record(&reader, i, &record);
        /* A sum may pass what its records do not, but nothing else goes wrong. */
        tide_record_reset(&record);
        assert_true(chunk_sum(&reader, 0, view.count, &record) || !good);
    }
    print_message("refused %zu, histograms refused %zu, accepted %zu\n", refused, fields, whole);
    assert_true(refused > 1000 && fields > 500);
    free_series(series);
    tide_record_fini(&record);
    chunk_reader_fini(&reader);
    tide_guard_fini(&guard);
    blob_fini(&blob);
    blob_fini(&mutant);
    free(series);
}

static void a_cut_chunk_is_refused(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 2;
    struct series *series = malloc(sizeof(*series));
    struct chunk_reader reader;
    struct tide_guard guard;
    struct blob blob = {0};

    tide_guard_init(&guard, 1 << 20);
    chunk_reader_init(&reader);
    for (int round = 0; round < 20; round++) {
        make_series(series, &seed);
        chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX);
        for (size_t len = 0; len < blob.len; len++) {
            struct chunk_view view;

            assert_false(chunk_open(tide_guard_place(&guard, blob.start, len), len, &view) &&
                         chunk_read_fields(&reader, &view) && chunk_read_hists(&reader));
        }
        free_series(series);
    }
    chunk_reader_fini(&reader);
    tide_guard_fini(&guard);
    blob_fini(&blob);
    free(series);
}

/* Any 64-bit integers, with and without a hint, with units, outliers and runs. */
static void any_column_survives(void **state)
{
    uint64_t seed = *(uint64_t *)*state + 3;
    uint64_t value[COLUMN_VALUES_MAX], hint[COLUMN_VALUES_MAX], back[COLUMN_VALUES_MAX];
    struct tide_guard guard;
    struct blob blob = {0};

    tide_guard_init(&guard, 1 << 16);
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)tide_any_between(&seed, 1, round % 16 ? 40 : COLUMN_VALUES_MAX);
        unsigned shift = (unsigned)tide_any_between(&seed, 0, 63);
        uint64_t unit = (uint64_t)tide_any_between(&seed, 1, 5), base = tide_test_random(&seed);
        const uint64_t *given = tide_any_between(&seed, 0, 1) ? hint : NULL;
        const uint8_t *from;

        for (size_t i = 0; i < n; i++) {
            hint[i] = tide_test_random(&seed) >> shift;
            value[i] = base + (tide_test_random(&seed) >> shift) * unit;
            if (tide_any_between(&seed, 0, 30) == 0)
                value[i] = tide_test_random(&seed);
            if (round % 3 == 0)
                value[i] = hint[i] + (uint64_t)tide_any_between(&seed, 0, 3);
        }
        blob.len = 0;
        column_encode(&blob, value, n, given);
        from = tide_guard_place(&guard, blob.start, blob.len);
        assert_true(column_decode(&from, from + blob.len, back, n, given));
        assert_memory_equal(value, back, n * sizeof(value[0]));
        assert_ptr_equal(from, guard.map + guard.room);
    }
    tide_guard_fini(&guard);
    blob_fini(&blob);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(any_column_survives, &seed),
        cmocka_unit_test_prestate(what_goes_into_chunks_comes_out_the_same, &seed),
        cmocka_unit_test_prestate(wide_records_come_out_the_same, &seed),
        cmocka_unit_test_prestate(a_cut_chunk_is_refused, &seed),
        cmocka_unit_test_prestate(a_damaged_chunk_is_refused_or_sane, &seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
