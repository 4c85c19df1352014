/* buckets - see buckets.h and FORMAT.md "histograms".
 *
 * Each bucket of the span is either dense, a Rice code for the count of every record, or sparse,
 * the records that have it and their counts. The fullest bucket is not written at all: what is
 * missing from a record's samples is its count.
 */
#include "buckets.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "must.h"
#include "tidemark/bytes.h"

enum {
    RICE_ONES_MAX = 24, /* this many ones: the value follows as 64 bits */
    RICE_ESCAPE_BITS = RICE_ONES_MAX + 64,
    MODE_BITS = 5,
    MODE_SPARSE = 31, /* 0..30: dense, the Rice parameter */
    DENSE_MAX = 30
};

/* ---- codes ---- */

static size_t rice_bits(uint64_t v, unsigned k)
{
    uint64_t ones = v >> k;

    return ones < RICE_ONES_MAX ? (size_t)ones + 1 + k : RICE_ESCAPE_BITS;
}

static inline void rice_put(struct bit_writer *to, uint64_t v, unsigned k)
{
    uint64_t ones = v >> k;

    if (__builtin_expect(ones < RICE_ONES_MAX, 1)) {
        uint64_t low = v & bits_mask(k);

        bits_put_short(to, bits_mask((unsigned)ones) | low << (ones + 1), (unsigned)ones + 1 + k);
    } else {
        bits_put_short(to, bits_mask(RICE_ONES_MAX), RICE_ONES_MAX);
        bits_put(to, v, 64);
    }
}

static inline uint64_t rice_get(struct bit_reader *from, unsigned k)
{
    uint64_t window = bits_peek(from);
    unsigned ones = (unsigned)__builtin_ctzll(~window | UINT64_C(1) << RICE_ONES_MAX);

    if (__builtin_expect(ones == RICE_ONES_MAX, 0)) {
        from->bit += RICE_ONES_MAX;
        return bits_get(from, 64);
    }
    from->bit += ones + 1 + k;
    return (uint64_t)ones << k | (window >> (ones + 1) & bits_mask(k));
}

/* Two codes, with one look at the bits when both are short: reading is a chain of looks. */
static inline void rice_get_two(struct bit_reader *from, unsigned k, unsigned then_k,
                                uint64_t *ret_v, uint64_t *ret_then)
{
    uint64_t window = bits_peek(from), rest;
    unsigned ones = (unsigned)__builtin_ctzll(~window | UINT64_C(1) << RICE_ONES_MAX);
    unsigned bits = ones + 1 + k, then_ones;

    rest = window >> bits; /* at most 24 + 1 + 30 */
    then_ones = (unsigned)__builtin_ctzll(~rest | UINT64_C(1) << RICE_ONES_MAX);
    if (__builtin_expect(ones == RICE_ONES_MAX || then_ones == RICE_ONES_MAX ||
                             bits + then_ones + 1 + then_k > BITS_PEEK,
                         0)) {
        *ret_v = rice_get(from, k);
        *ret_then = rice_get(from, then_k);
        return;
    }
    from->bit += bits + then_ones + 1 + then_k;
    *ret_v = (uint64_t)ones << k | (window >> (ones + 1) & bits_mask(k));
    *ret_then = (uint64_t)then_ones << then_k | (rest >> (then_ones + 1) & bits_mask(then_k));
}

/* Elias' gamma code of v + 1, v < 2^24. */
static size_t gamma_bits(uint64_t v)
{
    return 2 * bits_of(v + 1) - 1;
}

static void gamma_put(struct bit_writer *to, uint64_t v)
{
    unsigned more = bits_of(v + 1) - 1;

    bits_put_short(to, bits_mask(more), more + 1);
    bits_put_short(to, (v + 1) & bits_mask(more), more);
}

static uint64_t gamma_get(struct bit_reader *from)
{
    uint64_t window = bits_peek(from);
    unsigned more = (unsigned)__builtin_ctzll(~window | UINT64_C(1) << RICE_ONES_MAX);

    from->bit += 2 * more + 1;
    return (UINT64_C(1) << more | (window >> (more + 1) & bits_mask(more))) - 1;
}

/* The Rice parameter of the distances between `present` of m records. */
static unsigned gap_parameter(size_t m, size_t present)
{
    return bits_of(m / present) - 1;
}

/* ---- encoding ---- */

/* A count that is not zero. */
struct cell {
    uint64_t count;
    uint32_t record, bucket;
};

/* All of them, by record within each bucket. Most buckets of a span are in few records, so nothing
 * here is done for every bucket of every record. */
struct cells {
    struct cell *by_record, *cell;
    uint32_t first[TIDE_HIST_BUCKETS + 1]; /* those of bucket b: cell[first[b], first[b + 1]) */
    unsigned low, high;                    /* buckets that occur: [low, high) */
    bool exact;                            /* no sum of a record stopped at the top */
};

static void collect(struct cells *cells, const struct tide_hist *const *hist,
                    const uint64_t *samples, size_t m)
{
    size_t most = 0, n = 0;

    for (size_t t = 0; t < m; t++)
        most += hist[t]->len;
    cells->by_record = must(malloc((2 * most + 1) * sizeof(*cells->cell)));
    cells->cell = cells->by_record + most;
    cells->exact = true;
    memset(cells->first, 0, sizeof(cells->first));
    for (uint32_t t = 0; t < m; t++) {
        uint64_t sum = 0;
        bool exact = true;

        for (unsigned i = 0; i < hist[t]->len; i++) {
            uint32_t bucket = hist[t]->first + i;
            uint64_t count = hist[t]->count[i];

            if (count == 0)
                continue;
            exact &= !__builtin_add_overflow(sum, count, &sum);
            cells->by_record[n++] = (struct cell){count, t, bucket};
            cells->first[bucket + 1]++;
        }
        assert((exact ? sum : UINT64_MAX) == samples[t] && samples[t] != 0);
        cells->exact &= exact;
    }
    for (cells->low = 0; cells->first[cells->low + 1] == 0;)
        cells->low++;
    for (cells->high = TIDE_HIST_BUCKETS; cells->first[cells->high] == 0;)
        cells->high--;
    for (unsigned b = 0; b < TIDE_HIST_BUCKETS; b++)
        cells->first[b + 1] += cells->first[b];
    for (size_t i = 0; i < n; i++)
        cells->cell[cells->first[cells->by_record[i].bucket]++] = cells->by_record[i];
    /* Every start has moved to its end, which is the next one's start. */
    memmove(cells->first + 1, cells->first, TIDE_HIST_BUCKETS * sizeof(cells->first[0]));
    cells->first[0] = 0;
}

/* How one bucket is best written. */
struct plan {
    unsigned mode;
    unsigned k;  /* sparse: of the counts */
    size_t bits; /* without the mode */
};

/* What the counts, each less `less`, take with parameter k; max is the largest of them. */
static size_t rice_bits_of_all(const struct cell *cell, size_t n, uint64_t less, uint64_t max,
                               unsigned k)
{
    size_t bits = 0;

    if (__builtin_expect(max >> k < RICE_ONES_MAX, 1)) { /* none escapes */
        for (size_t i = 0; i < n; i++)
            bits += (cell[i].count - less) >> k;
        return bits + n * (1 + k);
    }
    for (size_t i = 0; i < n; i++)
        bits += rice_bits(cell[i].count - less, k);
    return bits;
}

/* The cheapest Rice parameter for the counts, each less `less`, and some zeros: one of three around
 * the logarithm of the mean. */
static unsigned choose_rice(const struct cell *cell, size_t n, size_t zeros, uint64_t less,
                            uint64_t sum, uint64_t max, size_t *ret_bits)
{
    unsigned middle = bits_of(sum / (n + zeros)), best = 0;

    *ret_bits = SIZE_MAX;
    for (unsigned k = middle < 2 ? 0 : middle - 2; k <= middle && k <= DENSE_MAX; k++) {
        size_t bits = rice_bits_of_all(cell, n, less, max, k) + zeros * (1 + k);

        if (bits < *ret_bits) {
            *ret_bits = bits;
            best = k;
        }
    }
    if (*ret_bits == SIZE_MAX) {
        best = DENSE_MAX;
        *ret_bits = (n + zeros) * (size_t)RICE_ESCAPE_BITS;
    }
    return best;
}

/* The n counts of one bucket in m records. */
static struct plan plan_bucket(const struct cell *cell, size_t n, size_t m)
{
    struct plan plan = {.mode = MODE_SPARSE};
    size_t gap_bits = 0, count_bits = 0, dense_bits, next = 0;
    uint64_t sum = 0, max = 0;
    unsigned k, dense_k;

    plan.bits = gamma_bits(n);
    if (n == 0)
        return plan;
    for (size_t i = 0; i < n; i++) {
        sum = tide_add_sat(sum, cell[i].count);
        max = cell[i].count > max ? cell[i].count : max;
    }
    dense_k = choose_rice(cell, n, m - n, 0, sum, max, &dense_bits);
    k = gap_parameter(m, n);
    /* Every gap and every count takes its parameter and a bit: that may already be too much. */
    if (dense_bits < plan.bits + 1 + n * (k + 2)) {
        plan.mode = dense_k;
        plan.bits = dense_bits;
        return plan;
    }
    for (size_t i = 0; i < n; i++) {
        gap_bits += rice_bits(cell[i].record - next, k);
        next = cell[i].record + 1;
    }
    plan.k = choose_rice(cell, n, 0, 1, sum - n, max - 1, &count_bits);
    plan.bits += gamma_bits(plan.k) + gap_bits + count_bits;
    if (dense_bits < plan.bits) {
        plan.mode = dense_k;
        plan.bits = dense_bits;
    }
    return plan;
}

static void put_zeros(struct bit_writer *to, size_t bits)
{
    for (; bits > 56; bits -= 56)
        bits_put_short(to, 0, 56);
    bits_put_short(to, 0, (unsigned)bits);
}

static void put_bucket(struct bit_writer *to, const struct cell *cell, size_t n, size_t m,
                       const struct plan *plan, unsigned mode_before)
{
    size_t next = 0;
    unsigned k;

    bits_put_short(to, plan->mode == mode_before, 1);
    if (plan->mode != mode_before)
        bits_put_short(to, plan->mode, MODE_BITS);
    if (plan->mode != MODE_SPARSE) {
        for (size_t i = 0; i < n; i++) {
            put_zeros(to, (cell[i].record - next) * (1 + plan->mode));
            rice_put(to, cell[i].count, plan->mode);
            next = cell[i].record + 1;
        }
        put_zeros(to, (m - next) * (1 + plan->mode));
        return;
    }
    gamma_put(to, n);
    if (n == 0)
        return;
    gamma_put(to, plan->k);
    k = gap_parameter(m, n);
    for (size_t i = 0; i < n; i++) {
        rice_put(to, cell[i].record - next, k);
        rice_put(to, cell[i].count - 1, plan->k);
        next = cell[i].record + 1;
    }
}

void buckets_encode(struct blob *to, const struct tide_hist *const *hist, const uint64_t *samples,
                    size_t m)
{
    struct plan plan[TIDE_HIST_BUCKETS];
    unsigned mode = MODE_SPARSE, left_out = 0;
    size_t bits = 0, most = 0;
    struct bit_writer writer = {0};
    struct cells cells;
    uint8_t *at;

    assert(m > 0);
    collect(&cells, hist, samples, m);
    for (unsigned b = cells.low; b < cells.high; b++) {
        plan[b] = plan_bucket(cells.cell + cells.first[b], cells.first[b + 1] - cells.first[b], m);
        bits += 1 + MODE_BITS + plan[b].bits;
        if (plan[b].bits > most) {
            most = plan[b].bits;
            left_out = b - cells.low + 1;
        }
    }
    if (!cells.exact)
        left_out = 0;

    blob_reserve(to, 3 * TIDE_VARINT_MAX + bits / 8 + 1 + BITS_SLACK);
    at = tide_put_varint(to->start + to->len, cells.low);
    at = tide_put_varint(at, cells.high - cells.low);
    writer.at = tide_put_varint(at, left_out);
    for (unsigned b = cells.low; b < cells.high; b++) {
        if (b - cells.low + 1 == left_out)
            continue;
        put_bucket(&writer, cells.cell + cells.first[b], cells.first[b + 1] - cells.first[b], m,
                   &plan[b], mode);
        mode = plan[b].mode;
    }
    to->len = (size_t)(bits_end(&writer) - to->start);
    free(cells.by_record);
}

/* ---- decoding ---- */

/* One count as it comes. */
struct found {
    uint32_t bucket, record;
    uint64_t count;
};

void buckets_init(struct buckets *buckets)
{
    *buckets = (struct buckets){0};
}

void buckets_fini(struct buckets *buckets)
{
    free(buckets->run);
    free(buckets->first);
    free(buckets->found);
    free(buckets->rest);
    *buckets = (struct buckets){0};
}

static void reserve_records(struct buckets *into, size_t m)
{
    into->m = m;
    into->founds = 0;
    if (m <= into->m_capacity)
        return;
    into->first = must(realloc(into->first, (m + 1) * sizeof(*into->first)));
    into->rest = must(realloc(into->rest, m * sizeof(*into->rest)));
    into->m_capacity = m;
}

/* Room for one more bucket in every record. */
static void reserve_found(struct buckets *into)
{
    if (into->founds + into->m <= into->found_capacity)
        return;
    into->found_capacity = (into->founds + into->m) * 2;
    into->found = must(realloc(into->found, into->found_capacity * sizeof(*into->found)));
}

/* Parameter 0, the most frequent one: every count is as many ones and a zero, so all records
 * without any up to the next one that has some are one run of zeros. */
static bool get_unary(struct buckets *into, struct bit_reader *from, uint32_t bucket)
{
    enum { ZEROS_MAX = 30 }; /* with the ones and their zero well inside one peek */
    struct bit_reader reader = *from;
    struct found *found = into->found + into->founds;
    size_t m = into->m;
    bool good = true;

    for (size_t t = 0; t < m;) {
        uint64_t window = bits_peek(&reader), count;
        unsigned none = (unsigned)__builtin_ctzll(window | UINT64_C(1) << ZEROS_MAX), ones;

        if (none >= m - t) {
            reader.bit += m - t;
            break;
        }
        t += none;
        ones = (unsigned)__builtin_ctzll(~(window >> none) | UINT64_C(1) << RICE_ONES_MAX);
        count = ones;
        if (__builtin_expect(ones == RICE_ONES_MAX, 0)) {
            reader.bit += none + RICE_ONES_MAX;
            count = bits_get(&reader, 64);
        } else {
            reader.bit += none + ones + 1;
        }
        good &= count <= into->rest[t];
        into->rest[t] -= count;
        into->first[t + 1] += count != 0;
        *found = (struct found){bucket, (uint32_t)t, count};
        found += count != 0;
        t++;
    }
    into->founds = (size_t)(found - into->found);
    *from = reader;
    return good || !into->exact;
}

static bool get_dense(struct buckets *into, struct bit_reader *from, uint32_t bucket, unsigned k)
{
    struct bit_reader reader = *from; /* in registers */
    struct found *found = into->found + into->founds;
    uint64_t *rest = into->rest, count[2];
    uint32_t *entries = into->first + 1;
    size_t m = into->m;
    bool good = true;

    if (k == 0)
        return get_unary(into, from, bucket);
    for (uint32_t t = 0; t < m;) {
        unsigned some = m - t < 2 ? 1 : 2;

        if (some == 2)
            rice_get_two(&reader, k, k, &count[0], &count[1]);
        else
            count[0] = rice_get(&reader, k);
        for (unsigned i = 0; i < some; i++, t++) {
            good &= count[i] <= rest[t];
            rest[t] -= count[i];
            *found = (struct found){bucket, t, count[i]};
            found += count[i] != 0;
            entries[t] += count[i] != 0;
        }
    }
    into->founds = (size_t)(found - into->found);
    *from = reader;
    return good || !into->exact;
}

static bool get_sparse(struct buckets *into, struct bit_reader *from, uint32_t bucket)
{
    size_t present = gamma_get(from), m = into->m, t = 0;
    struct found *found = into->found + into->founds;
    uint64_t *rest = into->rest;
    struct bit_reader reader;
    bool exact = into->exact;
    unsigned k, gap_k;

    if (present == 0)
        return true;
    k = (unsigned)gamma_get(from);
    if (present > m || k > DENSE_MAX)
        return false;
    gap_k = gap_parameter(m, present);
    reader = *from;
    for (size_t i = 0; i < present; i++, t++) {
        uint64_t gap, less;

        rice_get_two(&reader, gap_k, k, &gap, &less);
        if (t >= m || gap >= m - t || less == UINT64_MAX)
            return false;
        t += gap;
        if (exact && less >= rest[t])
            return false;
        rest[t] -= less + 1;
        *found++ = (struct found){bucket, (uint32_t)t, less + 1};
        into->first[t + 1]++;
    }
    into->founds += present;
    *from = reader;
    return true;
}

static void move_run(struct buckets *into, const struct found *found)
{
    into->run[into->first[found->record]++] = (struct hist_run){found->bucket, found->count};
}

/* Sorts by record; within one the order of buckets stays. The bucket left out goes in its place:
 * the counts of every record that are still missing. */
static void settle(struct buckets *into, uint32_t left_out)
{
    size_t i = 0, m = into->m, runs = into->founds + (into->exact ? m : 0);

    if (runs > into->run_capacity) {
        into->run = must(realloc(into->run, runs * sizeof(*into->run)));
        into->run_capacity = runs;
    }
    for (size_t t = 0; t < m; t++)
        into->first[t + 1] += into->first[t] + (into->exact && into->rest[t] != 0);
    for (; i < into->founds && into->found[i].bucket < left_out; i++)
        move_run(into, &into->found[i]);
    for (uint32_t t = 0; into->exact && t < m; t++)
        if (into->rest[t])
            move_run(into, &(struct found){left_out, t, into->rest[t]});
    for (; i < into->founds; i++)
        move_run(into, &into->found[i]);
    /* Every start has moved to its end, which is the next one's start. */
    memmove(into->first + 1, into->first, m * sizeof(*into->first));
    into->first[0] = 0;
}

/* After saturation: what the counts of each record add up to, stopping at the top. */
static bool totals_match(const struct buckets *into, const uint64_t *samples)
{
    for (size_t t = 0; t < into->m; t++) {
        uint64_t sum = 0;

        for (uint32_t i = into->first[t]; i < into->first[t + 1]; i++)
            sum = tide_add_sat(sum, into->run[i].count);
        if (sum != samples[t])
            return false;
    }
    return true;
}

bool buckets_decode(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                    struct buckets *into)
{
    uint64_t low, span, left_out;
    unsigned mode = MODE_SPARSE;
    struct bit_reader reader = {0};

    assert(m > 0);
    if (!tide_get_varint(&from, end, &low) || !tide_get_varint(&from, end, &span) ||
        !tide_get_varint(&from, end, &left_out) || low >= TIDE_HIST_BUCKETS || span == 0 ||
        span > TIDE_HIST_BUCKETS - low || left_out > span)
        return false;
    reserve_records(into, m);
    memcpy(into->rest, samples, m * sizeof(*samples));
    memset(into->first, 0, (m + 1) * sizeof(*into->first));
    into->exact = left_out != 0;
    reader = (struct bit_reader){.start = from, .len = (size_t)(end - from)};
    for (uint32_t b = 0; b < span; b++) {
        uint32_t bucket = (uint32_t)low + b;

        if (b + 1 == left_out)
            continue;
        reserve_found(into);
        if (!bits_get(&reader, 1))
            mode = (unsigned)bits_get(&reader, MODE_BITS);
        if (!(mode == MODE_SPARSE ? get_sparse(into, &reader, bucket)
                                  : get_dense(into, &reader, bucket, mode)) ||
            bits_overrun(&reader))
            return false;
    }
    if (!bits_align(&reader) || reader.bit != reader.len * 8)
        return false;
    settle(into, (uint32_t)(low + left_out - 1));
    return into->exact || totals_match(into, samples);
}
