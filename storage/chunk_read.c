/* chunk_read - reading a chunk; see chunk.h for the model and FORMAT.md "chunk" for the bytes.
 *
 * The bytes are another's: whatever they are, nothing outside of them is read, memory stays within
 * what CHUNK_RECORDS_MAX and their length allow, and what comes out keeps the relations that the
 * rest of the program takes for granted. Columns that belong together are decoded side by side, and
 * one pass over the rows then turns differences into values.
 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "chunk_layout.h"
#include "column.h"
#include "must.h"
#include "tidemark/bytes.h"

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
    free(reader->parse);
    free(reader->instance);
    free(reader->samples);
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
    uint64_t events[CHUNK_RECORDS_MAX];
    uint64_t samples[CHUNK_RECORDS_MAX];
    uint64_t column[CHUNK_INSTANCES][CHUNK_RECORDS_MAX]; /* of the tallies, those there are */
    uint64_t gauge[2][GAUGE_COLUMNS][CHUNK_RECORDS_MAX]; /* this one's and the one's before it */
    int64_t last_us[CHUNK_RECORDS_MAX];                  /* newest event of the instance's record */
    int64_t time_us[CHUNK_RECORDS_MAX];                  /* of the gauge before, or the same */
    uint64_t hint[CHUNK_RECORDS_MAX];
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

/* Reads n values into `into`; finds zeros when the column is absent. */
static const uint64_t *get_values(struct parse *parse, bool there, uint64_t *into, size_t n,
                                  const uint64_t *hint)
{
    if (!there || parse->bad)
        return zeros;
    /* A column of nobody's values has no place. */
    parse->bad = n == 0 || !column_decode(&parse->at, parse->end, into, n, hint);
    return parse->bad ? zeros : into;
}

/* The same for a column of the tallies. */
static const uint64_t *get_column(struct parse *parse, unsigned column, size_t n,
                                  const uint64_t *hint)
{
    return get_values(parse, has(parse, column), parse->column[column], n, hint);
}

static void get_starts(struct parse *parse, const struct chunk_view *view)
{
    const uint64_t *gap = get_column(parse, CHUNK_GAP, parse->n - 1, NULL);
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
static void get_counts(struct parse *parse)
{
    const uint64_t *revision = get_column(parse, CHUNK_REVISION, parse->n, NULL);
    const uint64_t *requests = get_column(parse, CHUNK_REQUESTS, parse->n, NULL);
    const uint64_t *failed = get_column(parse, CHUNK_FAILED, parse->n, NULL);
    const uint64_t *errors = get_column(parse, CHUNK_ERRORS, parse->n, NULL);
    const uint64_t *plain = get_column(parse, CHUNK_PLAIN, parse->n, requests);
    const uint64_t *untimed = get_column(parse, CHUNK_UNTIMED, parse->n, NULL);
    const uint64_t *kinds[TIDE_EVENT_KIND_COUNT];
    bool bad = false;

    for (unsigned kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        kinds[kind] = get_column(parse, CHUNK_KIND + kind, parse->n, NULL);
    for (uint32_t i = 0; i < parse->n; i++) {
        struct chunk_row *row = &parse->row[i];
        struct tide_tally *tally = &row->record.tally;

        bad |= failed[i] > requests[i] || untimed[i] > requests[i] || revision[i] > UINT32_MAX;
        row->revision = (uint32_t)revision[i];
        tally->requests = requests[i];
        tally->failed = failed[i];
        tally->errors = errors[i] + failed[i];
        tally->plain_requests = plain[i];
        tally->samples = requests[i] - untimed[i];
        tally->min_us = UINT64_MAX;
        tally->kind[TIDE_EVENT_RESPONSE] = kinds[TIDE_EVENT_RESPONSE][i] + requests[i];
        tally->kind[TIDE_EVENT_REQUEST] = kinds[TIDE_EVENT_REQUEST][i] + requests[i] + plain[i] -
                                          tally->kind[TIDE_EVENT_RESPONSE];
        parse->samples[i] = tally->samples;
        parse->events[i] = tally->kind[TIDE_EVENT_RESPONSE] + tally->kind[TIDE_EVENT_REQUEST];
    }
    for (unsigned kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        if (kinds[kind] == zeros || kind == TIDE_EVENT_RESPONSE || kind == TIDE_EVENT_REQUEST)
            continue;
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->row[i].record.tally.kind[kind] = kinds[kind][i];
            parse->events[i] += kinds[kind][i];
        }
    }
    parse->bad |= bad;
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

/* Reads a column of all rows into parse->value; false when it is absent. */
static bool get_seldom_column(struct parse *parse, unsigned column)
{
    return has(parse, column) && get_values(parse, true, parse->value, parse->n, NULL) != zeros;
}

/* The columns that are seldom there. */
static void get_seldom(struct parse *parse)
{
    if (get_seldom_column(parse, CHUNK_START))
        for (uint32_t i = 0; i < parse->n; i++)
            parse->row[i].record.tally.start_us = moment(parse, i);
    if (get_seldom_column(parse, CHUNK_STOP))
        for (uint32_t i = 0; i < parse->n; i++)
            parse->row[i].record.tally.stop_us = moment(parse, i);
    if (get_seldom_column(parse, CHUNK_HEALTH))
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->row[i].record.tally.health_us = moment(parse, i);
            parse->row[i].record.tally.healthy = parse->row[i].record.tally.health_us != 0;
        }
    if (get_seldom_column(parse, CHUNK_UNHEALTHY))
        for (uint32_t i = 0; i < parse->n; i++) {
            parse->bad |= parse->value[i] > 1;
            parse->row[i].record.tally.healthy ^= parse->value[i] != 0;
        }
}

static void get_times(struct parse *parse, uint32_t width_s)
{
    uint64_t alone = parse->flags & CHUNK_ONE_EVENT ? 1 : UINT64_MAX;
    uint64_t width_us = (uint64_t)width_s * 1000000;
    const uint64_t *first, *last;
    uint32_t m = 0, l = 0;
    bool bad = false;

    first = get_column(parse, CHUNK_FIRST, parse->n, NULL);
    for (uint32_t i = 0; i < parse->n; i++)
        m += parse->events[i] != alone;
    last = get_column(parse, CHUNK_LAST, m, NULL);
    for (uint32_t i = 0; i < parse->n; i++) {
        struct tide_tally *tally = &parse->row[i].record.tally;
        uint64_t start_us = (uint64_t)parse->row[i].start_s * 1000000;
        int64_t first_us = (int64_t)(start_us + first[i]), last_us = first_us;

        if (parse->events[i] != alone)
            last_us = (int64_t)(start_us + width_us - last[l++]);
        bad |= (first_us <= 0 || last_us < first_us) && (first_us != INT64_MAX || last_us != 0);
        tally->first_us = first_us;
        tally->last_us = last_us;
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
        uint64_t samples = parse->samples[i];

        timed += samples > 0;
        over_one += samples > one;
        over_two += samples > two;
    }
    mean = timed ? get_varint(parse) : 0;
    min = get_column(parse, CHUNK_MIN, timed, NULL);
    spread = get_column(parse, CHUNK_MAX, over_one, NULL);
    rest = get_column(parse, CHUNK_SUM, over_two, NULL);
    if (parse->bad)
        return;
    for (uint32_t i = 0; i < parse->n; i++) {
        struct tide_tally *tally = &parse->row[i].record.tally;
        uint64_t samples = parse->samples[i], min_us, max_us;

        if (samples == 0)
            continue;
        min_us = max_us = *min++;
        if (samples > one)
            bad |= __builtin_add_overflow(min_us, *spread++, &max_us);
        tally->min_us = min_us;
        tally->max_us = max_us;
        if (samples > two)
            tally->sum_us = *rest++ + samples * mean;
        else
            tally->sum_us = min_us + (samples == 2 ? max_us : 0);
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
    const uint64_t *lacks;

    if (__builtin_add_overflow(before, step, &ret_id->id) || (step == 0 && !first) ||
        bits >> (TIDE_GAUGE_COUNT + 1))
        parse->bad = true;
    ret_id->gauges = (unsigned)(bits >> 1);
    lacks = get_values(parse, bits & 1, parse->value, parse->n, NULL);
    for (uint32_t i = 0; i < parse->n && !parse->bad; i++) {
        parse->bad |= lacks[i] > 1;
        if (lacks[i])
            continue;
        ret_present[i / 8] |= (uint8_t)(1u << i % 8);
        /* Beyond TIDE_INSTANCES_MAX there is only the overflow. */
        if (++parse->row[i].record.instances > TIDE_INSTANCES_MAX &&
            ret_id->id != TIDE_INSTANCE_OVERFLOW)
            parse->bad = true;
    }
}

/* Reads one gauge of m instances, whose records' newest events are in parse->last_us. place: among
 * the gauges that occur. hint: what the counts may be compared with. Returns the counts. */
static const uint64_t *get_gauge(struct parse *parse, struct tide_instance *const *instance,
                                 uint32_t m, int gauge, unsigned place, const uint64_t *hint)
{
    uint64_t(*column)[CHUNK_RECORDS_MAX] = parse->gauge[place & 1];
    const uint64_t *count, *early, *last, *above, *rest;
    uint32_t sampled = 0;
    unsigned columns;
    bool bad = false;

    if (parse->bad || parse->at == parse->end || *parse->at >> GAUGE_COLUMNS) {
        parse->bad = true;
        return zeros;
    }
    columns = *parse->at++;
    count = get_values(parse, columns & 1u << GAUGE_COUNT, column[GAUGE_COUNT], m, hint);
    for (uint32_t i = 0; i < m; i++)
        sampled += count[i] != 0;
    early = get_values(parse, columns & 1u << GAUGE_TIME, column[GAUGE_TIME], sampled, NULL);
    last = get_values(parse, columns & 1u << GAUGE_LAST, column[GAUGE_LAST], sampled, NULL);
    above = get_values(parse, columns & 1u << GAUGE_MAX, column[GAUGE_MAX], sampled, NULL);
    rest = get_values(parse, columns & 1u << GAUGE_SUM, column[GAUGE_SUM], sampled, NULL);
    for (uint32_t i = 0, s = 0; i < m; i++) {
        struct tide_gauge_state *state = &instance[i]->gauge[gauge];
        uint64_t max;

        if (count[i] == 0) {
            *state = (struct tide_gauge_state){0};
            parse->time_us[i] = parse->last_us[i];
            continue;
        }
        parse->time_us[i] = (int64_t)((uint64_t)parse->time_us[i] - early[s]);
        bad |= __builtin_add_overflow(last[s], above[s], &max) || parse->time_us[i] <= 0;
        state->count = count[i];
        state->time_us = parse->time_us[i];
        state->last = last[s];
        state->max = max;
        state->sum = rest[s] + count[i] * last[s];
        s++;
    }
    parse->bad |= bad;
    return count;
}

/* Reads the gauges of one instance, which is the filled[i]-th of every row i that has it. */
static void get_gauges(struct parse *parse, const struct found_id *id, const uint8_t *present,
                       struct tide_instance *const *own, uint16_t *filled)
{
    struct tide_instance *instance[CHUNK_RECORDS_MAX];
    const uint64_t *hint = parse->hint;
    unsigned place = 0;
    uint32_t m = 0;

    for (uint32_t i = 0; i < parse->n; i++) {
        if (!(present[i / 8] & 1u << i % 8))
            continue;
        instance[m] = own[i] + filled[i]++;
        instance[m]->id = id->id;
        parse->hint[m] = parse->events[i];
        parse->last_us[m] = parse->row[i].record.tally.last_us;
        parse->time_us[m] = parse->last_us[m];
        m++;
    }
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (id->gauges & 1u << gauge)
            hint = get_gauge(parse, instance, m, gauge, place++, hint);
        else
            for (uint32_t i = 0; i < m; i++)
                instance[i]->gauge[gauge] = (struct tide_gauge_state){0};
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
        all += parse->row[i].record.instances;
    if (parse->bad)
        return;
    if (all > reader->instance_capacity) {
        reader->instance = must(realloc(reader->instance, all * sizeof(*reader->instance)));
        reader->instance_capacity = all;
    }
    all = 0;
    for (uint32_t i = 0; i < parse->n; i++) {
        own[i] = reader->instance + all;
        parse->row[i].record.instance = own[i];
        all += parse->row[i].record.instances;
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
        parse->value[i] = parse->row[i].record.tally.kind[TIDE_EVENT_METRIC];
        newest_us[i] = parse->row[i].record.tally.last_us;
    }
    if (!customs_decode(&parse->at, parse->end, parse->n, &base, &reader->customs, of)) {
        parse->bad = true;
        return;
    }
    for (uint32_t i = 0; i < parse->n; i++)
        parse->row[i].record.customs = of[i];
}

bool chunk_read_fields(struct chunk_reader *reader, const struct chunk_view *view)
{
    struct parse *parse = reader->parse;

    if (!parse) {
        reader->row = must(malloc(CHUNK_RECORDS_MAX * sizeof(*reader->row)));
        reader->parse = parse = must(malloc(sizeof(*parse)));
    }
    reader->view = *view;
    parse->at = view->fields;
    parse->end = view->fields_end;
    parse->columns = view->columns;
    parse->flags = view->flags;
    parse->n = view->count;
    parse->row = reader->row;
    parse->bad = false;
    /* All of it but the id of the slowest operation, which none has. */
    for (uint32_t i = 0; i < parse->n; i++)
        memset(&parse->row[i], 0, offsetof(struct chunk_row, record.slowest.id));
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

/* The samples of the rows that have any, one after the other; says how many. */
static size_t list_samples(struct chunk_reader *reader)
{
    size_t m = 0;

    if (!reader->samples)
        reader->samples = must(malloc(CHUNK_RECORDS_MAX * sizeof(*reader->samples)));
    for (size_t i = 0; i < reader->view.count; i++)
        if (reader->row[i].record.tally.samples)
            reader->samples[m++] = reader->row[i].record.tally.samples;
    return m;
}

bool chunk_read_hists(struct chunk_reader *reader)
{
    const struct chunk_view *view = &reader->view;
    size_t m = list_samples(reader);

    if (m == 0)
        return view->fields_end == view->hists_end;
    if (!buckets_decode(view->fields_end, view->hists_end, reader->samples, m, &reader->buckets))
        return false;
    m = 0;
    for (size_t i = 0; i < view->count; i++)
        if (reader->row[i].record.tally.samples)
            reader->row[i].record.hist = reader->buckets.hist[m++];
    return true;
}

bool chunk_sum(struct chunk_reader *reader, uint32_t first, uint32_t last, struct tide_record *into)
{
    const struct chunk_view *view = &reader->view;
    size_t m = list_samples(reader), from = 0, to;

    assert(first < last && last <= view->count);
    for (uint32_t i = 0; i < view->count; i++)
        tide_hist_init(&reader->row[i].record.hist);
    for (uint32_t i = 0; i < first; i++)
        from += reader->row[i].record.tally.samples != 0;
    to = from;
    for (uint32_t i = first; i < last; i++) {
        tide_record_merge(into, &reader->row[i].record);
        to += reader->row[i].record.tally.samples != 0;
    }
    if (m == 0)
        return view->fields_end == view->hists_end;
    return from == to || buckets_sum(view->fields_end, view->hists_end, reader->samples, m, from,
                                     to, &reader->buckets, &into->hist);
}

void chunk_record(const struct chunk_reader *reader, uint32_t i, struct tide_record *into)
{
    assert(i < reader->view.count);
    tide_record_copy(into, &reader->row[i].record);
}
