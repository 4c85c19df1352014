/* chunk: what the bytes mean, by golden files and by hand; what is refused; how pages are filled.
 * Random chunks and random damage are in tests/property. TIDE_GOLDEN_WRITE=1 writes the golden
 * files anew; a format that has been released never needs it. */
#include "chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"

#define START_S INT64_C(1700000010)
#define MOST    80

struct series {
    uint32_t width_s;
    size_t count;
    struct chunk_entry entry[MOST];
    struct tide_record record[MOST];
};

static struct tide_record *add(struct series *series, int64_t start_s, uint32_t revision)
{
    struct tide_record *record = &series->record[series->count];

    assert_in_range(series->count, 0, MOST - 1);
    tide_record_init(record);
    series->entry[series->count++] =
        (struct chunk_entry){.start_s = start_s, .revision = revision, .record = record};
    return record;
}

static void end_series(struct series *series)
{
    for (size_t i = 0; i < series->count; i++)
        tide_record_fini(&series->record[i]);
    free(series);
}

static struct series *new_series(uint32_t width_s)
{
    struct series *series = calloc(1, sizeof(*series));

    assert_non_null(series);
    series->width_s = width_s;
    return series;
}

static void response(struct tide_record *record, int64_t us, double duration_us, bool success,
                     uint32_t weight)
{
    struct tide_event ev = {.kind = TIDE_EVENT_RESPONSE,
                            .weight = weight,
                            .has_duration = true,
                            .duration_us = duration_us,
                            .success = success,
                            .correlation = {"c-1", 3}};

    if (!success)
        ev.error = (struct tide_text){"timeout", 7};
    tide_record_fold(record, &ev, us, 0);
}

/* ---- the golden series ---- */

/* The example of FORMAT.md. */
static struct series *make_example(void)
{
    struct series *series = new_series(30);
    struct tide_record *record = add(series, START_S, 0);

    response(record, START_S * 1000000 + 1000000, 12500, true, 1);
    record = add(series, START_S + 60, 0);
    response(record, (START_S + 60) * 1000000 + 2000000, 12000, true, 1);
    response(record, (START_S + 60) * 1000000 + 9000000, 12500, true, 1);
    response(record, (START_S + 60) * 1000000 + 29000000, 14000, false, 1);
    return series;
}

/* A module as most are: responses with gauges, one instance. */
static struct series *make_usual(void)
{
    struct series *series = new_series(30);
    uint64_t state = 1;

    for (int i = 0; i < 60; i++) {
        int64_t start_s = START_S + 30 * (i + i / 17);
        struct tide_record *record = add(series, start_s, i == 40);

        for (int k = 0; k < 5 + i % 9; k++) {
            struct tide_event ev = {.kind = TIDE_EVENT_PERFORMANCE, .weight = 1, .gauges = 15};

            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            response(record, start_s * 1000000 + (int64_t)(state >> 40) % 29999999,
                     (double)(800 + (state >> 33) % 9000), state >> 60 != 3, 1);
            ev.gauge[TIDE_GAUGE_MEMORY] = (int64_t)(50000 + i * 3 + (int)(state >> 61)) * 4096;
            ev.gauge[TIDE_GAUGE_CPU] = (int64_t)(4000 + (state >> 50) % 100) * 10;
            ev.gauge[TIDE_GAUGE_GOROUTINES] = 80 + (int64_t)(state >> 59);
            ev.gauge[TIDE_GAUGE_DB_CONNECTIONS] = 10;
            if (k % 3 == 0)
                tide_record_fold(record, &ev, start_s * 1000000 + k * 1000000, 7);
        }
    }
    return series;
}

/* Everything that is seldom there, and numbers at their ends. */
static struct series *make_rare(void)
{
    struct series *series = new_series(30);
    struct tide_record *record = add(series, START_S, 3);
    int64_t us = START_S * 1000000;

    for (unsigned kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        struct tide_event ev = {.kind = (uint8_t)kind,
                                .weight = kind + 1,
                                .success = true,
                                .has_healthy = kind == TIDE_EVENT_HEALTH,
                                .healthy = true};

        tide_record_fold(record, &ev, us + (int64_t)kind * 1000000 + 1, 0);
    }
    record = add(series, START_S + 30, 0); /* nothing happened */
    record = add(series, START_S + 90, UINT32_MAX);
    for (uint64_t id = 0; id < 5; id++) {
        struct tide_event ev = {.kind = TIDE_EVENT_PERFORMANCE, .weight = 2};

        ev.gauges = (uint8_t)(1u << id % TIDE_GAUGE_COUNT | 1);
        ev.gauge[0] = INT64_C(1) << 61;
        ev.gauge[id % TIDE_GAUGE_COUNT] = (int64_t)id * 100;
        tide_record_fold(record, &ev, us + 90000000 + (int64_t)id,
                         id < 4 ? id : TIDE_INSTANCE_OVERFLOW);
    }
    record = add(series, START_S + 300000, 0);
    response(record, (START_S + 300000) * 1000000, 0, false, 1);
    response(record, (START_S + 300000) * 1000000, (double)TIDE_DURATION_MAX_US, true, 4000000000u);
    record = add(series, START_S + 300030, 0);
    {
        struct tide_event ev = {.kind = TIDE_EVENT_HEALTH, .weight = 1, .has_healthy = true};

        tide_record_fold(record, &ev, (START_S + 300030) * 1000000 + 29999999, 0);
    }
    return series;
}

/* Days, with counts to match; one sample stands for a thousand. */
static struct series *make_days(void)
{
    struct series *series = new_series(86400);

    for (int i = 0; i < 12; i++) {
        int64_t start_s = INT64_C(19600) * 86400 + i * 86400;
        struct tide_record *record = add(series, start_s, 0);

        for (int k = 0; k < 300; k++)
            response(record, start_s * 1000000 + k * INT64_C(287000000),
                     900 + (k * 37 % 300) * (k * 37 % 300) * 0.25 + i, k % 50 != 7, 1000);
    }
    return series;
}

static void metric(struct tide_record *record, const char *name, int64_t us, int64_t value,
                   uint32_t weight)
{
    struct tide_event ev = {.kind = TIDE_EVENT_METRIC,
                            .weight = weight,
                            .metric = {name, (uint32_t)strlen(name)},
                            .value = value};

    tide_record_fold(record, &ev, us, 0);
}

/* Custom metrics: a level, a counter, one that is seldom there, pairs, the ends of what there is,
 * and more names than a record has. */
static struct series *make_customs(void)
{
    struct series *series = new_series(30);

    for (int i = 0; i < 24; i++) {
        int64_t start_s = START_S + 30 * i, us = start_s * 1000000;
        struct tide_record *record = add(series, start_s, 0);

        if (i == 20)
            continue;
        for (int k = 0; k < 3; k++) {
            metric(record, "queue_depth", us + k * 10000000 + i * 7,
                   (int64_t)(i * 37 % 11 + k * 5 % 7) * 1000000, 1);
            metric(record, "jobs", us + k * 10000000 + i * 7 + 1, (i * 3 + k) * INT64_C(2500000),
                   1);
        }
        metric(record, "temperature", us + 5000000, INT64_C(-21500000) + i * 250000, 1);
        for (int k = 0; k < 2; k++)
            metric(record, "pair", us + 6000000 + k, (i * 13 % 7 - k * 3) * INT64_C(1000000), 1);
        if (i % 7 == 3)
            metric(record, "seldom", us + 29999999, i, 4000000000u);
        if (i == 9)
            for (int k = 0; k < 4; k++)
                metric(record, "extreme", us + k,
                       k % 2 ? 1 - TIDE_METRIC_UNITS : TIDE_METRIC_UNITS - 1 - k / 2,
                       k % 2 ? 7 : UINT32_MAX);
    }
    for (int k = 0; k < 64; k++) {
        char name[16];

        snprintf(name, sizeof(name), "many.%02d", k);
        metric(&series->record[23], name, (START_S + 30 * 23) * 1000000 + k, k * 1000000, 1);
    }
    return series;
}

static const struct {
    const char *name;
    struct series *(*make)(void);
} goldens[] = {{"example", make_example},
               {"usual", make_usual},
               {"rare", make_rare},
               {"days", make_days},
               {"customs", make_customs}};

/* ---- text ---- */

static void print_row(FILE *to, const struct chunk_reader *reader, uint32_t i)
{
    const struct chunk_row *row = &reader->row[i];
    const struct tide_record *record = &row->record;
    const struct tide_tally *tally = &record->tally;

    fprintf(to, "interval %" PRId64 " revision %" PRIu32 "\n", row->start_s, row->revision);
    fprintf(to,
            "  requests %" PRIu64 " failed %" PRIu64 " errors %" PRIu64 " plain %" PRIu64
            " samples %" PRIu64 "\n",
            tally->requests, tally->failed, tally->errors, tally->plain_requests, tally->samples);
    fprintf(to, "  kinds");
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        fprintf(to, " %" PRIu64, tally->kind[kind]);
    fprintf(to, "\n  first_us %" PRId64 " last_us %" PRId64, tally->first_us, tally->last_us);
    fprintf(to, " start_us %" PRId64 " stop_us %" PRId64, tally->start_us, tally->stop_us);
    fprintf(to, " health_us %" PRId64 " healthy %d\n", tally->health_us, tally->healthy);
    fprintf(to, "  sum_us %" PRIu64 " min_us %" PRIu64 " max_us %" PRIu64 "\n", tally->sum_us,
            tally->min_us, tally->max_us);
    for (uint32_t k = 0; k < record->instances; k++)
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
            const struct tide_gauge_state *state = &record->instance[k].gauge[gauge];

            if (state->count)
                fprintf(to,
                        "  instance %" PRIu64 " %s count %" PRIu64 " time_us %" PRId64
                        " last %" PRIu64 " max %" PRIu64 " sum %" PRIu64 "\n",
                        record->instance[k].id, tide_gauge_info[gauge].field, state->count,
                        state->time_us, state->last, state->max, state->sum);
        }
    for (uint32_t k = 0; k < record->customs.count; k++) {
        const struct tide_custom *custom = &record->customs.item[k];

        fprintf(to,
                "  custom %.*s count %" PRIu64 " time_us %" PRId64 " min %" PRId64 " max %" PRId64
                " last %" PRId64 " sum 0x%016" PRIx64 "%016" PRIx64 "\n",
                custom->len, custom->name, custom->count, custom->time_us, custom->min, custom->max,
                custom->last, (uint64_t)(custom->sum >> 64), (uint64_t)custom->sum);
    }
    fprintf(to, "  buckets");
    for (unsigned k = 0; k < record->hist.len; k++)
        if (record->hist.count[k])
            fprintf(to, " %u:%" PRIu64, record->hist.first + k, record->hist.count[k]);
    fprintf(to, "\n");
}

static char *text_of(const struct chunk_reader *reader)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    fprintf(to, "width_s %" PRIu32 "\n", reader->view.width_s);
    for (uint32_t i = 0; i < reader->view.count; i++)
        print_row(to, reader, i);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void read_whole(struct chunk_reader *reader, const void *payload, size_t len)
{
    struct chunk_view view;

    assert_true(chunk_open(payload, len, &view));
    assert_true(chunk_read_fields(reader, &view));
    assert_true(chunk_read_hists(reader));
}

/* ---- golden files ---- */

static void path_of(char *path, size_t size, const char *name, const char *suffix)
{
    assert_true((size_t)snprintf(path, size, "%s/chunk/%s.%s", TIDE_GOLDEN, name, suffix) < size);
}

static char *load(const char *name, const char *suffix, size_t *ret_len)
{
    char path[512], *data = malloc(1 << 20);
    FILE *from;

    path_of(path, sizeof(path), name, suffix);
    from = fopen(path, "rb");
    if (!from)
        fail_msg("%s is missing", path);
    assert_non_null(data);
    *ret_len = fread(data, 1, (1 << 20) - 1, from);
    data[*ret_len] = 0;
    fclose(from);
    return data;
}

static void save(const char *name, const char *suffix, const void *data, size_t len)
{
    char path[512];
    FILE *to;

    path_of(path, sizeof(path), name, suffix);
    to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(data, 1, len, to), len);
    assert_int_equal(fclose(to), 0);
}

static void golden_files_read_as_their_text(void **state)
{
    struct chunk_reader reader;

    (void)state;
    chunk_reader_init(&reader);
    for (size_t g = 0; g < sizeof(goldens) / sizeof(goldens[0]); g++) {
        size_t len, text_len;
        char *bytes = load(goldens[g].name, "bin", &len);
        char *meant = load(goldens[g].name, "txt", &text_len), *text;

        read_whole(&reader, bytes, len);
        text = text_of(&reader);
        assert_string_equal(text, meant);
        free(text);
        free(bytes);
        free(meant);
    }
    chunk_reader_fini(&reader);
}

static void the_encoder_writes_the_golden_files(void **state)
{
    struct chunk_reader reader;
    struct blob blob = {0};

    (void)state;
    chunk_reader_init(&reader);
    for (size_t g = 0; g < sizeof(goldens) / sizeof(goldens[0]); g++) {
        struct series *series = goldens[g].make();
        char *bytes;
        size_t len;

        assert_int_equal(
            chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX),
            series->count);
        if (getenv("TIDE_GOLDEN_WRITE")) {
            char *text;

            read_whole(&reader, blob.start, blob.len);
            text = text_of(&reader);
            save(goldens[g].name, "bin", blob.start, blob.len);
            save(goldens[g].name, "txt", text, strlen(text));
            free(text);
        }
        bytes = load(goldens[g].name, "bin", &len);
        assert_int_equal(blob.len, len);
        assert_memory_equal(blob.start, bytes, len);
        free(bytes);
        end_series(series);
    }
    chunk_reader_fini(&reader);
    blob_fini(&blob);
}

/* ---- by hand ---- */

static void the_slowest_id_stays_behind(void **state)
{
    struct series *series = make_example();
    struct chunk_reader reader;
    struct blob blob = {0};
    struct tide_record back;

    (void)state;
    chunk_reader_init(&reader);
    tide_record_init(&back);
    chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX);
    read_whole(&reader, blob.start, blob.len);
    chunk_record(&reader, 1, &back);
    assert_int_equal(series->record[1].slowest.len, 3);
    assert_int_equal(back.slowest.len, 0);
    assert_int_equal(back.tally.max_us, 14000);
    tide_record_fini(&back);
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    end_series(series);
}

static void fields_are_read_without_the_histograms(void **state)
{
    struct series *series = make_usual();
    struct chunk_reader reader;
    struct chunk_view view;
    struct blob blob = {0};

    (void)state;
    chunk_reader_init(&reader);
    chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX);
    assert_true(chunk_open(blob.start, blob.len, &view));
    memset(blob.start + (view.fields_end - blob.start), 0xff,
           (size_t)(view.hists_end - view.fields_end));
    assert_true(chunk_read_fields(&reader, &view));
    assert_int_equal(reader.row[59].record.tally.requests, series->record[59].tally.requests);
    assert_false(chunk_read_hists(&reader));
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    end_series(series);
}

static void a_chunk_is_cut_to_its_size(void **state)
{
    struct series *series = make_usual();
    struct blob blob = {0};

    (void)state;
    for (size_t most = 100; most < 2000; most += 50) {
        size_t took = chunk_encode(&blob, series->entry, series->count, series->width_s, most);

        assert_true(blob.len <= most || took == 1);
        assert_true(took == series->count || took == 1 || blob.len + blob.len / took > most);
    }
    blob_fini(&blob);
    end_series(series);
}

static void a_record_larger_than_a_page_goes_alone(void **state)
{
    struct series *series = new_series(30);
    struct chunk_reader reader;
    struct blob blob = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tide_record *record = add(series, START_S + 30 * i, 0);

        for (uint64_t id = 1; id <= 70; id++) {
            struct tide_event ev = {.kind = TIDE_EVENT_PERFORMANCE, .weight = 3, .gauges = 15};

            for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
                ev.gauge[gauge] = (int64_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> (3 + gauge));
            tide_record_fold(record, &ev, (START_S + 30 * i) * 1000000 + (int64_t)id * 317,
                             (id + (uint64_t)i * 1000) * UINT64_C(0x123456789abcdef));
        }
        assert_int_equal(record->instances, TIDE_INSTANCES_MAX + 1);
    }
    chunk_reader_init(&reader);
    assert_int_equal(chunk_encode(&blob, series->entry, 3, 30, CHUNK_PAYLOAD_MAX), 1);
    assert_true(blob.len > CHUNK_PAYLOAD_MAX);
    read_whole(&reader, blob.start, blob.len);
    assert_int_equal(reader.view.count, 1);
    assert_int_equal(reader.row[0].record.instances, TIDE_INSTANCES_MAX + 1);
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    end_series(series);
}

/* Folding two values leaves their sum; a record may hold another all the same. */
static void sums_of_two_need_not_be_their_ends(void **state)
{
    struct series *series = new_series(30);
    struct chunk_reader reader;
    struct blob blob = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct tide_record *record = add(series, START_S + 30 * i, 0);
        struct tide_custom custom = {
            .sum = 25 + i, .count = 2, .min = 10, .max = 15, .last = 12, .len = 1, .name = "x"};

        custom.time_us = (START_S + 30 * i) * 1000000 + 1;
        tide_customs_merge_one(&record->customs, &custom);
    }
    chunk_reader_init(&reader);
    assert_int_equal(chunk_encode(&blob, series->entry, 4, 30, CHUNK_PAYLOAD_MAX), 4);
    read_whole(&reader, blob.start, blob.len);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(tide_customs_equal(&reader.row[i].record.customs, &series->record[i].customs));
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    end_series(series);
}

static size_t size_of_first(const struct series *series, size_t count)
{
    struct blob blob = {0};
    size_t len;

    assert_int_equal(chunk_encode(&blob, series->entry, count, 30, CHUNK_PAYLOAD_MAX), count);
    len = blob.len;
    blob_fini(&blob);
    return len;
}

/* Counters, constants and metrics of one value an interval: a name costs its bytes once. */
static void a_custom_metric_costs_little_more_than_its_values(void **state)
{
    struct series *series = make_usual();
    size_t without = size_of_first(series, 60), with;

    (void)state;
    for (int i = 0; i < 60; i++)
        metric(&series->record[i], "constant.metric", series->record[i].tally.last_us, 4000000, 1);
    with = size_of_first(series, 60);
    assert_in_range(with - without, 20, 40);
    end_series(series);
}

/* version, flags, then varints: count, width, first, span, columns, length of fields */
static bool opens(uint8_t version, uint8_t flags, uint64_t count, uint64_t width, uint64_t first,
                  uint64_t span, uint64_t columns, uint64_t fields)
{
    uint8_t bytes[2 + 6 * TIDE_VARINT_MAX], *to = bytes;
    struct chunk_view view;

    *to++ = version;
    *to++ = flags;
    to = tide_put_varint(to, count);
    to = tide_put_varint(to, width);
    to = tide_put_varint(to, first);
    to = tide_put_varint(to, span);
    to = tide_put_varint(to, columns);
    to = tide_put_varint(to, fields);
    return chunk_open(bytes, (size_t)(to - bytes), &view);
}

static void a_header_out_of_bounds_is_refused(void **state)
{
    (void)state;
    assert_true(opens(1, 0, 1, 30, 56666667, 0, 0, 0));
    assert_true(opens(1, 3, CHUNK_RECORDS_MAX, 86400, 1, 9999, 0, 0));
    assert_false(opens(2, 0, 1, 30, 56666667, 0, 0, 0));
    assert_false(opens(1, 4, 1, 30, 56666667, 0, 0, 0));
    assert_false(opens(1, 0, 0, 30, 56666667, 0, 0, 0));
    assert_false(opens(1, 0, CHUNK_RECORDS_MAX + 1, 30, 56666667, 9999, 0, 0));
    assert_false(opens(1, 0, 1, 0, 56666667, 0, 0, 0));
    assert_false(opens(1, 0, 1, UINT64_C(1) << 32, 1, 0, 0, 0));
    assert_false(opens(1, 0, 3, 30, 56666667, 1, 0, 0)); /* three records in two intervals */
    assert_false(opens(1, 0, 1, 30, INT64_MAX / 30000000, 0, 0, 0)); /* past the end of time */
    assert_false(opens(1, 0, 1, 30, UINT64_MAX, 0, 0, 0));
    assert_false(opens(1, 0, 1, 30, 1, UINT64_MAX, 0, 0));
    assert_false(opens(1, 0, 1, 30, 56666667, 0, UINT64_C(1) << 40, 0));
    assert_false(opens(1, 0, 1, 30, 56666667, 0, 0, 1)); /* fields past the end */
    assert_false(chunk_open("", 0, &(struct chunk_view){0}));
}

static void bytes_behind_the_end_are_refused(void **state)
{
    struct series *series = make_example();
    struct chunk_reader reader;
    struct chunk_view view;
    struct blob blob = {0};

    (void)state;
    chunk_reader_init(&reader);
    chunk_encode(&blob, series->entry, series->count, series->width_s, CHUNK_PAYLOAD_MAX);
    blob_reserve(&blob, 1);
    blob.start[blob.len++] = 0;
    assert_true(chunk_open(blob.start, blob.len, &view));
    assert_true(chunk_read_fields(&reader, &view));
    assert_false(chunk_read_hists(&reader));
    chunk_reader_fini(&reader);
    blob_fini(&blob);
    end_series(series);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_encoder_writes_the_golden_files),
        cmocka_unit_test(golden_files_read_as_their_text),
        cmocka_unit_test(the_slowest_id_stays_behind),
        cmocka_unit_test(fields_are_read_without_the_histograms),
        cmocka_unit_test(a_chunk_is_cut_to_its_size),
        cmocka_unit_test(a_record_larger_than_a_page_goes_alone),
        cmocka_unit_test(sums_of_two_need_not_be_their_ends),
        cmocka_unit_test(a_custom_metric_costs_little_more_than_its_values),
        cmocka_unit_test(a_header_out_of_bounds_is_refused),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
