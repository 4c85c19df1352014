/* chunk - writing one; see chunk.h for the model and FORMAT.md "chunk" for the bytes.
 *
 * Each column holds what the columns before it cannot tell: how many failed instead of succeeded,
 * the maximum above the minimum, the sum beyond what the chunk's mean predicts. For most modules
 * most of them are all zeros, and a column of zeros takes no byte.
 *
 * How many records fill a page is found by trying: two sizes and their counts give a line, which
 * gives the next guess; three tries are usual.
 */
#include "chunk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "chunk_layout.h"
#include "column.h"
#include "must.h"
#include "tidemark/bytes.h"

/* One chunk being written. */
struct press {
    const struct chunk_entry *entry;
    size_t n;
    uint32_t width_s;
    unsigned flags;
    uint64_t columns;
    struct blob fields;
    uint64_t value[CHUNK_RECORDS_MAX];  /* the column at hand */
    uint64_t hint[CHUNK_RECORDS_MAX];   /* what it may be compared with */
    uint64_t events[CHUNK_RECORDS_MAX]; /* of all kinds */
    struct blob scratch;                /* ids and places of instances */
};

static const struct tide_tally *tally_of(const struct press *press, size_t i)
{
    return &press->entry[i].record->tally;
}

static uint64_t start_us(const struct press *press, size_t i)
{
    return (uint64_t)press->entry[i].start_s * 1000000;
}

static bool any(const uint64_t *value, size_t n)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < n; i++)
        bits |= value[i];
    return bits != 0;
}

/* Writes press->value[0, n) as a column of the tally, unless it is all zeros. */
static void put_column(struct press *press, unsigned column, size_t n, const uint64_t *hint)
{
    if (!any(press->value, n))
        return;
    press->columns |= UINT64_C(1) << column;
    column_encode(&press->fields, press->value, n, hint);
}

static void put_varint(struct blob *to, uint64_t v)
{
    blob_reserve(to, TIDE_VARINT_MAX);
    to->len = (size_t)(tide_put_varint(to->start + to->len, v) - to->start);
}

/* Which shortcuts hold for every record. */
static unsigned flags_of(const struct press *press)
{
    bool few_samples = true, one_event = true;

    for (size_t i = 0; i < press->n; i++) {
        const struct tide_tally *tally = tally_of(press, i);

        if (tally->samples == 1)
            few_samples &= tally->min_us == tally->max_us && tally->min_us == tally->sum_us;
        if (tally->samples == 2)
            few_samples &= tally->min_us + tally->max_us == tally->sum_us;
        if (press->events[i] == 1)
            one_event &= tally->first_us == tally->last_us;
    }
    return (few_samples ? CHUNK_FEW_SAMPLES : 0u) | (one_event ? CHUNK_ONE_EVENT : 0u);
}

/* One column of expressions in i and tally. */
#define PUT(column, hint, expression)                            \
    do {                                                         \
        for (size_t i = 0; i < press->n; i++) {                  \
            const struct tide_tally *tally = tally_of(press, i); \
            press->value[i] = (expression);                      \
        }                                                        \
        put_column(press, (column), press->n, (hint));           \
    } while (0)

static void put_counts(struct press *press)
{
    for (size_t i = 1; i < press->n; i++)
        press->value[i - 1] =
            (uint64_t)((press->entry[i].start_s - press->entry[i - 1].start_s) / press->width_s) -
            1;
    put_column(press, CHUNK_GAP, press->n - 1, NULL);
    for (size_t i = 0; i < press->n; i++)
        press->hint[i] = tally_of(press, i)->requests;
    PUT(CHUNK_REVISION, NULL, ((void)tally, press->entry[i].revision));
    PUT(CHUNK_REQUESTS, NULL, tally->requests);
    PUT(CHUNK_FAILED, NULL, tally->failed);
    PUT(CHUNK_ERRORS, NULL, tally->errors - tally->failed);
    PUT(CHUNK_PLAIN, press->hint, tally->plain_requests);
    PUT(CHUNK_UNTIMED, NULL, tally->requests - tally->samples);
    for (unsigned kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        if (kind == TIDE_EVENT_RESPONSE)
            PUT(CHUNK_KIND + kind, NULL, tally->kind[kind] - tally->requests);
        else if (kind == TIDE_EVENT_REQUEST)
            PUT(CHUNK_KIND + kind, NULL,
                tally->kind[kind] + tally->kind[TIDE_EVENT_RESPONSE] - tally->requests -
                    tally->plain_requests);
        else
            PUT(CHUNK_KIND + kind, NULL, tally->kind[kind]);
    }
}

/* A moment that is seldom there: 0, or 1 + zigzag(moment - start). */
static uint64_t seldom(int64_t moment_us, uint64_t start)
{
    return moment_us ? 1 + tide_zigzag((int64_t)((uint64_t)moment_us - start)) : 0;
}

static void put_times(struct press *press)
{
    uint64_t width_us = (uint64_t)press->width_s * 1000000;
    size_t m = 0;

    PUT(CHUNK_FIRST, NULL, (uint64_t)tally->first_us - start_us(press, i));
    for (size_t i = 0; i < press->n; i++)
        if (press->events[i] != 1 || !(press->flags & CHUNK_ONE_EVENT))
            press->value[m++] =
                start_us(press, i) + width_us - (uint64_t)tally_of(press, i)->last_us;
    put_column(press, CHUNK_LAST, m, NULL);
    PUT(CHUNK_START, NULL, seldom(tally->start_us, start_us(press, i)));
    PUT(CHUNK_STOP, NULL, seldom(tally->stop_us, start_us(press, i)));
    PUT(CHUNK_HEALTH, NULL, seldom(tally->health_us, start_us(press, i)));
    PUT(CHUNK_UNHEALTHY, NULL, (tally->health_us != 0) != tally->healthy);
}

/* What the sums of one chunk are compared with: its mean duration. */
static uint64_t mean_of(const struct press *press, bool *ret_any)
{
    unsigned __int128 sum = 0, samples = 0;

    for (size_t i = 0; i < press->n; i++) {
        sum += tally_of(press, i)->sum_us;
        samples += tally_of(press, i)->samples;
    }
    *ret_any = samples != 0;
    return samples ? (uint64_t)(sum / samples) : 0;
}

static void put_durations(struct press *press)
{
    bool few = press->flags & CHUNK_FEW_SAMPLES, any_sample;
    uint64_t mean = mean_of(press, &any_sample);
    size_t m = 0;

    if (!any_sample)
        return;
    put_varint(&press->fields, mean);
    for (size_t i = 0; i < press->n; i++)
        if (tally_of(press, i)->samples)
            press->value[m++] = tally_of(press, i)->min_us;
    put_column(press, CHUNK_MIN, m, NULL);
    m = 0;
    for (size_t i = 0; i < press->n; i++)
        if (tally_of(press, i)->samples > (few ? 1 : 0))
            press->value[m++] = tally_of(press, i)->max_us - tally_of(press, i)->min_us;
    put_column(press, CHUNK_MAX, m, NULL);
    m = 0;
    for (size_t i = 0; i < press->n; i++)
        if (tally_of(press, i)->samples > (few ? 2 : 0))
            press->value[m++] = tally_of(press, i)->sum_us - tally_of(press, i)->samples * mean;
    put_column(press, CHUNK_SUM, m, NULL);
}

/* ---- instances ---- */

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static const struct tide_instance *instance_of(const struct tide_record *record, uint64_t id)
{
    unsigned at = tide_record_instance_place(record, id);

    return at < record->instances && record->instance[at].id == id ? &record->instance[at] : NULL;
}

/* All ids in the chunk, ascending, in scratch; how many. */
static size_t collect_ids(struct press *press)
{
    uint64_t *id;
    size_t ids = 0, kept = 0, all = 0;

    for (size_t i = 0; i < press->n; i++)
        all += press->entry[i].record->instances;
    press->scratch.len = 0;
    blob_reserve(&press->scratch, all * sizeof(*id) + 1);
    id = (uint64_t *)(void *)press->scratch.start;
    for (size_t i = 0; i < press->n; i++)
        for (unsigned k = 0; k < press->entry[i].record->instances; k++) {
            uint64_t one = press->entry[i].record->instance[k].id;

            if (ids == 0 || id[ids - 1] != one)
                id[ids++] = one;
        }
    qsort(id, ids, sizeof(*id), by_id);
    for (size_t k = 0; k < ids; k++)
        if (kept == 0 || id[kept - 1] != id[k])
            id[kept++] = id[k];
    return kept;
}

/* Finds the instance in the records; says in how many. */
static size_t find_instance(const struct press *press, uint64_t id,
                            const struct tide_instance **ret_found)
{
    size_t present = 0;

    for (size_t i = 0; i < press->n; i++) {
        ret_found[i] = instance_of(press->entry[i].record, id);
        present += ret_found[i] != NULL;
    }
    return present;
}

/* Writes press->value[0, n) as a column of a gauge. */
static void put_gauge_column(struct press *press, unsigned column, size_t n, const uint64_t *hint,
                             uint8_t *columns)
{
    if (!any(press->value, n))
        return;
    *columns |= (uint8_t)(1u << column);
    column_encode(&press->fields, press->value, n, hint);
}

/* One gauge of one instance over the records that have the instance. `before` is the gauge before
 * it that occurs, -1 for the first: most events carry all gauges, and then counts and times of the
 * others are its. */
static void put_gauge(struct press *press, const struct tide_instance *const *found, int gauge,
                      int before)
{
    size_t at = press->fields.len, m = 0;
    uint8_t columns = 0;

    blob_reserve(&press->fields, 1);
    press->fields.len++;
    for (size_t i = 0; i < press->n; i++)
        if (found[i]) {
            press->hint[m] = before < 0 ? press->events[i] : found[i]->gauge[before].count;
            press->value[m++] = found[i]->gauge[gauge].count;
        }
    /* A hint that is always right is as good as a zero. */
    put_gauge_column(press, GAUGE_COUNT, m, press->hint, &columns);

#define PUT_GAUGE(column, expression)                           \
    do {                                                        \
        m = 0;                                                  \
        for (size_t i = 0; i < press->n; i++) {                 \
            const struct tide_gauge_state *state;               \
            if (!found[i] || found[i]->gauge[gauge].count == 0) \
                continue;                                       \
            state = &found[i]->gauge[gauge];                    \
            press->value[m++] = (expression);                   \
        }                                                       \
        put_gauge_column(press, (column), m, NULL, &columns);   \
    } while (0)

    PUT_GAUGE(GAUGE_TIME, (uint64_t)(before >= 0 && found[i]->gauge[before].count
                                         ? found[i]->gauge[before].time_us
                                         : tally_of(press, i)->last_us) -
                              (uint64_t)state->time_us);
    PUT_GAUGE(GAUGE_LAST, state->last);
    PUT_GAUGE(GAUGE_MAX, state->max - state->last);
    PUT_GAUGE(GAUGE_SUM, state->sum - state->count * state->last);
#undef PUT_GAUGE
    press->fields.start[at] = columns;
}

static void put_instances(struct press *press)
{
    const struct tide_instance **found;
    const uint64_t *id;
    uint64_t before = 0;
    size_t ids = collect_ids(press);

    if (ids == 0)
        return;
    press->columns |= UINT64_C(1) << CHUNK_INSTANCES;
    id = (const uint64_t *)(const void *)press->scratch.start;
    found = must(malloc(press->n * sizeof(*found)));
    put_varint(&press->fields, ids);
    for (size_t k = 0; k < ids; k++) {
        size_t present = find_instance(press, id[k], found);
        unsigned gauges = 0;

        for (size_t i = 0; i < press->n; i++)
            for (int gauge = 0; found[i] && gauge < TIDE_GAUGE_COUNT; gauge++)
                gauges |= found[i]->gauge[gauge].count ? 1u << gauge : 0;
        put_varint(&press->fields, id[k] - before);
        put_varint(&press->fields, gauges << 1 | (present < press->n));
        before = id[k];
        for (size_t i = 0; i < press->n; i++)
            press->value[i] = found[i] == NULL;
        if (present < press->n)
            column_encode(&press->fields, press->value, press->n, NULL);
    }
    for (size_t k = 0; k < ids; k++) {
        int last = -1;

        find_instance(press, id[k], found);
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++) {
            bool occurs = false;

            for (size_t i = 0; i < press->n; i++)
                occurs |= found[i] && found[i]->gauge[gauge].count;
            if (!occurs)
                continue;
            put_gauge(press, found, gauge, last);
            last = gauge;
        }
    }
    free(found);
}

static void put_customs(struct press *press)
{
    const struct tide_customs *of[CHUNK_RECORDS_MAX];
    uint64_t events[CHUNK_RECORDS_MAX];
    int64_t newest_us[CHUNK_RECORDS_MAX];
    bool some = false;

    for (size_t i = 0; i < press->n; i++) {
        of[i] = &press->entry[i].record->customs;
        events[i] = tally_of(press, i)->kind[TIDE_EVENT_METRIC];
        newest_us[i] = tally_of(press, i)->last_us;
        some |= of[i]->count != 0;
    }
    if (!some)
        return;
    press->columns |= UINT64_C(1) << CHUNK_CUSTOMS;
    customs_encode(&press->fields, of, press->n,
                   &(struct customs_base){.events = events, .newest_us = newest_us});
}

/* ---- the whole ---- */

static void put_hists(struct blob *out, const struct press *press)
{
    const struct tide_hist *hist[CHUNK_RECORDS_MAX];
    uint64_t samples[CHUNK_RECORDS_MAX];
    size_t m = 0;

    for (size_t i = 0; i < press->n; i++)
        if (tally_of(press, i)->samples) {
            samples[m] = tally_of(press, i)->samples;
            hist[m++] = &press->entry[i].record->hist;
        }
    if (m)
        buckets_encode(out, hist, samples, m);
}

/* The first n entries as one chunk. */
static void encode(struct press *press, size_t n, struct blob *out)
{
    uint64_t first = (uint64_t)press->entry[0].start_s / press->width_s;
    uint64_t last = (uint64_t)press->entry[n - 1].start_s / press->width_s;
    uint8_t *to;

    press->n = n;
    press->columns = 0;
    press->fields.len = 0;
    press->flags = flags_of(press);
    put_counts(press);
    put_times(press);
    put_durations(press);
    put_instances(press);
    put_customs(press);

    out->len = 0;
    blob_reserve(out, 2 + 7 * TIDE_VARINT_MAX + press->fields.len);
    to = out->start;
    *to++ = CHUNK_VERSION;
    *to++ = (uint8_t)press->flags;
    to = tide_put_varint(to, n);
    to = tide_put_varint(to, press->width_s);
    to = tide_put_varint(to, first);
    to = tide_put_varint(to, last - first);
    to = tide_put_varint(to, press->columns);
    to = tide_put_varint(to, press->fields.len);
    memcpy(to, press->fields.start, press->fields.len);
    out->len = (size_t)(to - out->start) + press->fields.len;
    put_hists(out, press);
}

static void check_entries(const struct chunk_entry *entry, size_t count, uint32_t width_s)
{
    assert(count > 0 && width_s > 0);
    for (size_t i = 0; i < count; i++) {
        assert(entry[i].start_s >= 0 && entry[i].start_s <= INT64_MAX / 2000000);
        assert(entry[i].start_s % width_s == 0);
        assert(i == 0 || entry[i].start_s > entry[i - 1].start_s);
    }
}

/* What n entries took. */
struct trial {
    size_t n, len;
};

/* The next number of entries to try, in (fits, too_many): on the line through the last two. */
static size_t next_guess(const struct trial *before, const struct trial *last, size_t max_bytes,
                         size_t fits, size_t too_many)
{
    int64_t entries = (int64_t)last->n - (int64_t)before->n;
    int64_t bytes = (int64_t)last->len - (int64_t)before->len;
    int64_t more = ((int64_t)max_bytes - (int64_t)last->len) * entries, guess;

    guess =
        (int64_t)last->n + (bytes ? more / bytes - (more % bytes && (more < 0) != (bytes < 0)) : 0);
    return guess <= (int64_t)fits       ? fits + 1
           : guess >= (int64_t)too_many ? too_many - 1
                                        : (size_t)guess;
}

/* The first number to try. Few when they hold long lists, of which little may fit. */
static size_t first_guess(const struct chunk_entry *entry, size_t most)
{
    size_t n = 0, items = 0;

    for (; n < most && n < 96 && items <= 1024; n++)
        items += entry[n].record->instances + (size_t)entry[n].record->customs.count;
    return n;
}

size_t chunk_encode(struct blob *out, const struct chunk_entry *entry, size_t count,
                    uint32_t width_s, size_t max_bytes)
{
    struct press *press = must(calloc(1, sizeof(*press)));
    size_t fits = 0, too_many, n, most = count < CHUNK_RECORDS_MAX ? count : CHUNK_RECORDS_MAX;
    struct trial before = {.len = 128}, last; /* what a chunk takes beside its entries, about */
    struct blob trial = {0}, swap;

    check_entries(entry, most, width_s);
    max_bytes = max_bytes < INT32_MAX ? max_bytes : INT32_MAX;
    press->entry = entry;
    press->width_s = width_s;
    for (size_t i = 0; i < most; i++)
        press->events[i] = chunk_events(&entry[i].record->tally);
    too_many = most + 1;
    n = first_guess(entry, most);
    for (;;) {
        encode(press, n, &trial);
        last = (struct trial){n, trial.len};
        if (trial.len <= max_bytes || n == 1) {
            fits = n;
            swap = *out;
            *out = trial;
            trial = swap;
            /* Full when an average record would not fit any more. */
            if (fits + 1 == too_many || max_bytes < out->len || max_bytes - out->len < out->len / n)
                break;
        } else {
            too_many = n;
        }
        if (fits + 1 >= too_many)
            break;
        n = next_guess(&before, &last, max_bytes, fits, too_many);
        before = last;
    }
    assert(fits > 0);
    blob_fini(&press->fields);
    blob_fini(&press->scratch);
    blob_fini(&trial);
    free(press);
    return fits;
}
