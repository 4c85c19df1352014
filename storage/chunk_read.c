/* chunk_read - reading a chunk; see chunk.h for the model and FORMAT.md "chunk" for the bytes.
 *
 * The bytes are another's: whatever they are, nothing outside of them is read, memory stays within
 * what CHUNK_RECORDS_MAX and their length allow, and what comes out keeps the relations that the
 * rest of the program takes for granted. Columns are spread over the rows as they stand, and one
 * pass then turns differences into values.
 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "chunk_layout.h"
#include "column.h"
#include "tidemark/bytes.h"

static void *must(void *memory)
{
    if (!memory) {
        perror("storage: out of memory");
        abort();
    }
    return memory;
}

/* ---- the header ---- */

bool chunk_open(const void *payload, size_t len, struct chunk_view *ret_view)
{
    const uint8_t *at = payload, *end = at + len;
    uint64_t count, width_s, first, span, columns, fields;
    int64_t end_us;

    if (len < 2 || at[0] != CHUNK_VERSION || at[1] > CHUNK_KNOWN_FLAGS)
        return false;
    ret_view->flags = at[1];
    at += 2;
    if (!tide_get_varint(&at, end, &count) || !tide_get_varint(&at, end, &width_s) ||
        !tide_get_varint(&at, end, &first) || !tide_get_varint(&at, end, &span) ||
        !tide_get_varint(&at, end, &columns) || !tide_get_varint(&at, end, &fields))
        return false;
    if (count == 0 || count > CHUNK_RECORDS_MAX || width_s == 0 || width_s > UINT32_MAX ||
        span < count - 1 || columns >> CHUNK_COLUMNS || fields > (size_t)(end - at))
        return false;
    if (first > INT64_MAX / 4 || span > INT64_MAX / 4 ||
        __builtin_mul_overflow((int64_t)(first + span + 1), (int64_t)width_s * 1000000, &end_us))
        return false;
    ret_view->count = (uint32_t)count;
    ret_view->width_s = (uint32_t)width_s;
    ret_view->first_s = (int64_t)(first * width_s);
    ret_view->last_s = (int64_t)((first + span) * width_s);
    ret_view->columns = columns;
    ret_view->fields = at;
    ret_view->fields_end = at + fields;
    ret_view->hists_end = end;
    return true;
}

/* ---- fields ---- */

void chunk_reader_init(struct chunk_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    buckets_init(&reader->buckets);
    customs_init(&reader->customs);
}

void chunk_reader_fini(struct chunk_reader *reader)
{
    free(reader->row);
    free(reader->instance);
    free(reader->samples);
    free(reader->hist_of);
    blob_fini(&reader->scratch);
    buckets_fini(&reader->buckets);
    customs_fini(&reader->customs);
    chunk_reader_init(reader);
}

/* One chunk being read. */
struct parse {
    const uint8_t *at, *end;
    uint64_t columns;
    unsigned flags;
    uint32_t n;
    struct chunk_row *row;
    bool bad;
    uint64_t value[CHUNK_RECORDS_MAX]; /* the column at hand */
    uint64_t hint[CHUNK_RECORDS_MAX];
    uint64_t events[CHUNK_RECORDS_MAX];                 /* of all kinds */
    uint64_t several[GAUGE_COLUMNS][CHUNK_RECORDS_MAX]; /* columns read side by side */
};

static const uint64_t zeros[CHUNK_RECORDS_MAX];

static uint64_t get_varint(struct parse *parse)
{
    uint64_t v = 0;

    if (!parse->bad && !tide_get_varint(&parse->at, parse->end, &v))
        parse->bad = true;
    return parse->bad ? 0 : v;
}

static bool has(const struct parse *parse, unsigned column)
{
    return !parse->bad && parse->columns >> column & 1;
}

static void get_values(struct parse *parse, size_t n, const uint64_t *hint)
{
    if (!parse->bad && !column_decode(&parse->at, parse->end, parse->value, n, hint))
        parse->bad = true;
}

/* Reads a column of the tally into parse->value; false when it is all zeros. */
static bool get_column(struct parse *parse, unsigned column, size_t n, const uint64_t *hint)
{
    if (!has(parse, column))
        return false;
    get_values(parse, n, hint);
    return !parse->bad;
}

/* Reads a column into parse->several[place], or finds zeros when it is absent. */
static const uint64_t *get_several(struct parse *parse, bool there, unsigned place, size_t n,
                                   const uint64_t *hint)
{
    if (!there || parse->bad)
        return zeros;
    if (!column_decode(&parse->at, parse->end, parse->several[place], n, hint)) {
        parse->bad = true;
        return zeros;
    }
    return parse->several[place];
}

/* Reads a column of all rows into a field of their tallies. */
#define SPREAD(column, hint, field)                          \
    do {                                                     \
        if (get_column(parse, (column), parse->n, (hint)))   \
            for (uint32_t i = 0; i < parse->n; i++)          \
                parse->row[i].tally.field = parse->value[i]; \
    } while (0)

static void get_starts(struct parse *parse, const struct chunk_view *view)
{
    const uint64_t *gap = get_several(parse, has(parse, CHUNK_GAP), 0, parse->n - 1, NULL);
    int64_t start_s = view->first_s;

    parse->row[0].start_s = start_s;
    for (uint32_t i = 1; i < parse->n && !parse->bad; i++) {
        if (gap[i - 1] && gap[i - 1] >= (uint64_t)(view->last_s - start_s) / view->width_s) {
            parse->bad = true;
            break;
        }
        start_s += (int64_t)(gap[i - 1] + 1) * view->width_s;
        parse->row[i].start_s = start_s;
    }
    parse->bad |= start_s != view->last_s;
}

/* Counts from their differences: see put_counts. */
static void settle_counts(struct parse *parse)
{
    bool bad = false;

    for (uint32_t i = 0; i < parse->n; i++) {
        struct tide_tally *tally = &parse->row[i].tally;

        tally->errors += tally->failed;
        bad |= tally->failed > tally->requests || tally->samples > tally->requests;
        tally->samples = tally->requests - tally->samples;
        tally->kind[TIDE_EVENT_RESPONSE] += tally->requests;
        tally->kind[TIDE_EVENT_REQUEST] +=
            tally->requests + tally->plain_requests - tally->kind[TIDE_EVENT_RESPONSE];
        parse->events[i] = chunk_events(tally);
    }
    parse->bad |= bad;
}

static void get_counts(struct parse *parse)
{
    if (get_column(parse, CHUNK_REVISION, parse->n, NULL))
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->bad |= parse->value[i] > UINT32_MAX;
            parse->row[i].revision = (uint32_t)parse->value[i];
        }
    SPREAD(CHUNK_REQUESTS, NULL, requests);
    for (uint32_t i = 0; has(parse, CHUNK_PLAIN) && i < parse->n; i++)
        parse->hint[i] = parse->row[i].tally.requests;
    SPREAD(CHUNK_FAILED, NULL, failed);
    SPREAD(CHUNK_ERRORS, NULL, errors);
    SPREAD(CHUNK_PLAIN, parse->hint, plain_requests);
    SPREAD(CHUNK_UNTIMED, NULL, samples); /* for now */
    for (unsigned kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        SPREAD(CHUNK_KIND + kind, NULL, kind[kind]);
    settle_counts(parse);
}

/* The moment of a seldom column's value; 0 = none. */
static int64_t moment(struct parse *parse, uint32_t i)
{
    int64_t us;

    if (parse->value[i] == 0)
        return 0;
    if (__builtin_add_overflow(parse->row[i].start_s * 1000000, tide_unzigzag(parse->value[i] - 1),
                               &us) ||
        us <= 0)
        parse->bad = true;
    return us;
}

/* The columns that are seldom there. */
static void get_seldom(struct parse *parse)
{
    if (get_column(parse, CHUNK_START, parse->n, NULL))
        for (uint32_t i = 0; i < parse->n; i++)
            parse->row[i].tally.start_us = moment(parse, i);
    if (get_column(parse, CHUNK_STOP, parse->n, NULL))
        for (uint32_t i = 0; i < parse->n; i++)
            parse->row[i].tally.stop_us = moment(parse, i);
    if (get_column(parse, CHUNK_HEALTH, parse->n, NULL))
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->row[i].tally.health_us = moment(parse, i);
            parse->row[i].tally.healthy = parse->row[i].tally.health_us != 0;
        }
    if (get_column(parse, CHUNK_UNHEALTHY, parse->n, NULL))
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->bad |= parse->value[i] > 1;
            parse->row[i].tally.healthy ^= parse->value[i] != 0;
        }
}

static void get_times(struct parse *parse, uint32_t width_s)
{
    uint64_t alone = parse->flags & CHUNK_ONE_EVENT ? 1 : UINT64_MAX;
    uint64_t width_us = (uint64_t)width_s * 1000000;
    const uint64_t *first, *last;
    uint32_t m = 0;
    bool bad = false;

    first = get_several(parse, has(parse, CHUNK_FIRST), 0, parse->n, NULL);
    for (uint32_t i = 0; i < parse->n; i++)
        m += parse->events[i] != alone;
    last = get_several(parse, has(parse, CHUNK_LAST), 1, m, NULL);
    for (uint32_t i = 0; i < parse->n; i++) {
        struct tide_tally *tally = &parse->row[i].tally;
        uint64_t start_us = (uint64_t)parse->row[i].start_s * 1000000;

        tally->first_us = (int64_t)(start_us + first[i]);
        tally->last_us = tally->first_us;
        if (parse->events[i] != alone)
            tally->last_us = (int64_t)(start_us + width_us - *last++);
        bad |= (tally->first_us <= 0 || tally->last_us < tally->first_us) &&
               (tally->first_us != INT64_MAX || tally->last_us != 0);
    }
    parse->bad |= bad;
    get_seldom(parse);
}

static void get_durations(struct parse *parse)
{
    uint64_t one = parse->flags & CHUNK_FEW_SAMPLES ? 1 : 0, two = 2 * one, mean;
    uint32_t timed = 0, over_one = 0, over_two = 0;
    const uint64_t *min, *spread, *rest;
    bool bad = false;

    for (uint32_t i = 0; i < parse->n; i++) {
        uint64_t samples = parse->row[i].tally.samples;

        timed += samples > 0;
        over_one += samples > one;
        over_two += samples > two;
    }
    if (timed == 0) {
        parse->bad |= has(parse, CHUNK_MIN) || has(parse, CHUNK_MAX) || has(parse, CHUNK_SUM);
        return;
    }
    mean = get_varint(parse);
    min = get_several(parse, has(parse, CHUNK_MIN), 0, timed, NULL);
    spread = get_several(parse, has(parse, CHUNK_MAX), 1, over_one, NULL);
    rest = get_several(parse, has(parse, CHUNK_SUM), 2, over_two, NULL);
    for (uint32_t i = 0; i < parse->n; i++) {
        struct tide_tally *tally = &parse->row[i].tally;
        uint64_t samples = tally->samples;

        if (samples == 0)
            continue;
        tally->min_us = *min++;
        tally->max_us = tally->min_us;
        if (samples > one)
            bad |= __builtin_add_overflow(tally->min_us, *spread++, &tally->max_us);
        if (samples > two)
            tally->sum_us = *rest++ + samples * mean;
        else
            tally->sum_us = tally->min_us + (samples == 2 ? tally->max_us : 0);
    }
    parse->bad |= bad;
}

/* ---- instances ---- */

/* One entry of the chunk's list of instances. */
struct found_id {
    uint64_t id;
    unsigned gauges;
};

/* Reads one instance of the list: id, gauges, and in which rows it is. */
static void get_id(struct parse *parse, struct found_id *ret_id, uint64_t before, bool first,
                   uint8_t *ret_present)
{
    uint64_t step = get_varint(parse), bits = get_varint(parse);

    if (__builtin_add_overflow(before, step, &ret_id->id) || (step == 0 && !first) ||
        bits >> (TIDE_GAUGE_COUNT + 1))
        parse->bad = true;
    ret_id->gauges = (unsigned)(bits >> 1);
    if (bits & 1)
        get_values(parse, parse->n, NULL);
    else
        memset(parse->value, 0, parse->n * sizeof(parse->value[0]));
    for (uint32_t i = 0; i < parse->n && !parse->bad; i++) {
        parse->bad |= parse->value[i] > 1;
        if (parse->value[i])
            continue;
        ret_present[i / 8] |= (uint8_t)(1u << i % 8);
        if (++parse->row[i].instances > CHUNK_INSTANCES_MAX)
            parse->bad = true;
    }
}

/* Reads one gauge of m instances, which belong to the rows row_of[]. before: the gauge before it
 * that occurs, or -1. */
static void get_gauge(struct parse *parse, struct tide_instance *const *instance,
                      const uint32_t *row_of, uint32_t m, int gauge, int before)
{
    const uint64_t *count, *early, *last, *above, *rest;
    uint32_t sampled = 0;
    unsigned columns;
    bool bad = false;

    if (parse->bad || parse->at == parse->end || *parse->at >> GAUGE_COLUMNS) {
        parse->bad = true;
        return;
    }
    columns = *parse->at++;
    for (uint32_t i = 0; i < m; i++)
        parse->hint[i] = before < 0 ? parse->events[row_of[i]] : instance[i]->gauge[before].count;
    count = get_several(parse, columns & 1u << GAUGE_COUNT, GAUGE_COUNT, m, parse->hint);
    for (uint32_t i = 0; i < m; i++)
        sampled += count[i] != 0;
    early = get_several(parse, columns & 1u << GAUGE_TIME, GAUGE_TIME, sampled, NULL);
    last = get_several(parse, columns & 1u << GAUGE_LAST, GAUGE_LAST, sampled, NULL);
    above = get_several(parse, columns & 1u << GAUGE_MAX, GAUGE_MAX, sampled, NULL);
    rest = get_several(parse, columns & 1u << GAUGE_SUM, GAUGE_SUM, sampled, NULL);
    for (uint32_t i = 0; i < m; i++) {
        struct tide_gauge_state *state = &instance[i]->gauge[gauge];
        int64_t us = parse->row[row_of[i]].tally.last_us;

        if (count[i] == 0)
            continue;
        if (before >= 0 && instance[i]->gauge[before].count)
            us = instance[i]->gauge[before].time_us;
        state->count = count[i];
        state->time_us = (int64_t)((uint64_t)us - *early++);
        state->last = *last++;
        bad |= __builtin_add_overflow(state->last, *above++, &state->max) || state->time_us <= 0;
        state->sum = *rest++ + state->count * state->last;
    }
    parse->bad |= bad;
}

/* Reads the gauges of one instance, which is the filled[i]-th of every row i that has it. */
static void get_gauges(struct parse *parse, const struct found_id *id, const uint8_t *present,
                       struct tide_instance *const *own, uint16_t *filled)
{
    struct tide_instance *instance[CHUNK_RECORDS_MAX];
    uint32_t row_of[CHUNK_RECORDS_MAX], m = 0;
    int before = -1;

    for (uint32_t i = 0; i < parse->n; i++) {
        if (!(present[i / 8] & 1u << i % 8))
            continue;
        instance[m] = own[i] + filled[i]++;
        *instance[m] = (struct tide_instance){.id = id->id};
        row_of[m++] = i;
    }
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (id->gauges & 1u << gauge) {
            get_gauge(parse, instance, row_of, m, gauge, before);
            before = gauge;
        }
}

static void get_instances(struct parse *parse, struct chunk_reader *reader)
{
    struct tide_instance *own[CHUNK_RECORDS_MAX];
    uint16_t filled[CHUNK_RECORDS_MAX] = {0};
    size_t bytes = (parse->n + 7) / 8, all = 0;
    uint64_t ids = get_varint(parse);
    struct found_id *id;
    uint8_t *present;

    /* Every instance takes two bytes at least. */
    if (parse->bad || ids == 0 || ids > (size_t)(parse->end - parse->at) / 2) {
        parse->bad = true;
        return;
    }
    reader->scratch.len = 0;
    blob_reserve(&reader->scratch, ids * (sizeof(*id) + bytes));
    id = (struct found_id *)(void *)reader->scratch.start;
    present = reader->scratch.start + ids * sizeof(*id);
    memset(present, 0, ids * bytes);
    for (size_t k = 0; k < ids && !parse->bad; k++)
        get_id(parse, &id[k], k ? id[k - 1].id : 0, k == 0, present + k * bytes);
    for (uint32_t i = 0; i < parse->n; i++)
        all += parse->row[i].instances;
    if (parse->bad)
        return;
    if (all > reader->instance_capacity) {
        reader->instance = must(realloc(reader->instance, all * sizeof(*reader->instance)));
        reader->instance_capacity = all;
    }
    all = 0;
    for (uint32_t i = 0; i < parse->n; i++) {
        own[i] = reader->instance + all;
        parse->row[i].instance = own[i];
        all += parse->row[i].instances;
    }
    for (size_t k = 0; k < ids && !parse->bad; k++)
        get_gauges(parse, &id[k], present + k * bytes, own, filled);
}

static void get_customs(struct parse *parse, struct chunk_reader *reader)
{
    struct tide_customs of[CHUNK_RECORDS_MAX];
    int64_t newest_us[CHUNK_RECORDS_MAX];
    struct customs_base base = {.events = parse->value, .newest_us = newest_us};

    for (uint32_t i = 0; i < parse->n; i++) {
        parse->value[i] = parse->row[i].tally.kind[TIDE_EVENT_METRIC];
        newest_us[i] = parse->row[i].tally.last_us;
    }
    if (!customs_decode(&parse->at, parse->end, parse->n, &base, &reader->customs, of)) {
        parse->bad = true;
        return;
    }
    for (uint32_t i = 0; i < parse->n; i++)
        parse->row[i].customs = of[i];
}

bool chunk_read_fields(struct chunk_reader *reader, const struct chunk_view *view)
{
    struct parse state, *parse = &state;

    if (!reader->row)
        reader->row = must(malloc(CHUNK_RECORDS_MAX * sizeof(*reader->row)));
    reader->view = *view;
    parse->at = view->fields;
    parse->end = view->fields_end;
    parse->columns = view->columns;
    parse->flags = view->flags;
    parse->n = view->count;
    parse->row = reader->row;
    parse->bad = false;
    for (uint32_t i = 0; i < parse->n; i++) {
        parse->row[i].revision = 0;
        parse->row[i].instances = 0;
        parse->row[i].instance = NULL;
        parse->row[i].customs = (struct tide_customs){0};
        tide_tally_init(&parse->row[i].tally);
    }
    get_starts(parse, view);
    if (!parse->bad)
        get_counts(parse);
    if (!parse->bad)
        get_times(parse, view->width_s);
    if (!parse->bad)
        get_durations(parse);
    if (has(parse, CHUNK_INSTANCES))
        get_instances(parse, reader);
    if (has(parse, CHUNK_CUSTOMS))
        get_customs(parse, reader);
    return !parse->bad && parse->at == parse->end;
}

/* ---- histograms ---- */

bool chunk_read_hists(struct chunk_reader *reader)
{
    size_t m = 0, n = reader->view.count;

    if (!reader->hist_of) {
        reader->hist_of = must(malloc(CHUNK_RECORDS_MAX * sizeof(*reader->hist_of)));
        reader->samples = must(malloc(CHUNK_RECORDS_MAX * sizeof(*reader->samples)));
    }
    for (size_t i = 0; i < n; i++)
        if (reader->row[i].tally.samples) {
            reader->samples[m] = reader->row[i].tally.samples;
            reader->hist_of[i] = (uint16_t)m++;
        }
    if (m == 0)
        return reader->view.fields_end == reader->view.hists_end;
    return buckets_decode(reader->view.fields_end, reader->view.hists_end, reader->samples, m,
                          &reader->buckets);
}

const struct hist_run *chunk_hist(const struct chunk_reader *reader, uint32_t i, uint32_t *ret_runs)
{
    const uint32_t *first;

    assert(i < reader->view.count);
    *ret_runs = 0;
    if (reader->row[i].tally.samples == 0)
        return NULL;
    first = &reader->buckets.first[reader->hist_of[i]];
    *ret_runs = first[1] - first[0];
    return reader->buckets.run + first[0];
}

void chunk_record(const struct chunk_reader *reader, uint32_t i, struct tide_record *into)
{
    const struct chunk_row *row = &reader->row[i];
    uint32_t runs;
    const struct hist_run *run = chunk_hist(reader, i, &runs);

    tide_record_reset(into);
    into->tally = row->tally;
    if (runs) /* the span at once */
        tide_hist_add(&into->hist, run[runs - 1].bucket, run[runs - 1].count);
    for (uint32_t k = 0; k + 1 < runs; k++)
        tide_hist_add(&into->hist, run[k].bucket, run[k].count);
    for (uint32_t k = 0; k < row->instances; k++)
        tide_record_merge_instance(into, &row->instance[k]);
    tide_customs_copy(&into->customs, &row->customs);
}
