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
    DENSE_MAX = 30,
    DENSE_AT_ONCE = 4 /* counts read from one look at the bits */
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
    unsigned more = bits_of(m) - bits_of(present);

    return more - (present << more > m);
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

/* One count that is not zero, as it comes: bucket by bucket, within each by record. */
struct found {
    uint64_t count;
    uint32_t record, bucket;
};

/* What is known of a record once all buckets were read. */
struct part {
    uint64_t rest;        /* its samples that are missing: those of the bucket left out */
    uint32_t first, last; /* bucket that it has any in; first > last: none */
    size_t zero;          /* where its bucket 0 would be among the counts */
};

void buckets_init(struct buckets *buckets)
{
    *buckets = (struct buckets){0};
}

void buckets_fini(struct buckets *buckets)
{
    free(buckets->hist);
    free(buckets->count);
    free(buckets->found);
    free(buckets->part);
    *buckets = (struct buckets){0};
}

static void reserve_records(struct buckets *into, size_t m)
{
    into->m = m;
    into->founds = 0;
    if (m <= into->m_capacity)
        return;
    into->hist = must(realloc(into->hist, m * sizeof(*into->hist)));
    into->part = must(realloc(into->part, m * sizeof(*into->part)));
    into->m_capacity = m;
}

/* Room for one more bucket in every record, and one to be written over. */
static void reserve_found(struct buckets *into)
{
    if (into->founds + into->m < into->found_capacity)
        return;
    into->found_capacity = (into->founds + into->m) * 2 + 1;
    into->found = must(realloc(into->found, into->found_capacity * sizeof(*into->found)));
}

static void reserve_counts(struct buckets *into, size_t counts)
{
    if (counts <= into->count_capacity)
        return;
    free(into->count);
    into->count = must(malloc(counts * sizeof(*into->count)));
    into->count_capacity = counts;
}

/* There is a run of RICE_ONES_MAX ones, which is an escape. */
static bool has_escape(uint64_t window)
{
    window &= window >> 1;
    window &= window >> 2;
    window &= window >> 4;
    return (window & window >> 8 & window >> 16) != 0;
}

/* Parameter 0, the most frequent one: every count is as many ones and a zero. So the bits are taken
 * apart by their runs of ones, without a look at the records that have none. */
static struct found *get_unary(struct found *found, struct bit_reader *from, uint32_t bucket,
                               size_t m)
{
    for (size_t t = 0; t < m;) {
        uint64_t window = bits_peek(from) & bits_mask(BITS_PEEK), heads, tails;
        unsigned bits = bits_of(~window & bits_mask(BITS_PEEK)); /* the last code ends there */
        size_t ones = 0, passed;

        if (__builtin_expect(has_escape(window), 0)) {
            uint64_t count = rice_get(from, 0);

            *found = (struct found){count, (uint32_t)t++, bucket};
            found += count != 0;
            continue;
        }
        window &= bits_mask(bits);
        heads = window & ~(window << 1);
        tails = window & ~(window >> 1);
        while (heads) {
            size_t head = (size_t)__builtin_ctzll(heads), record = t + head - ones;
            size_t count = (size_t)__builtin_ctzll(tails) + 1 - head;

            if (record >= m)
                break; /* of the next bucket */
            heads &= heads - 1;
            tails &= tails - 1;
            *found++ = (struct found){count, (uint32_t)record, bucket};
            ones += count;
        }
        passed = bits - ones < m - t ? bits - ones : m - t;
        from->bit += passed + ones;
        t += passed;
    }
    return found;
}

/* Whether codes of so many ones each are short: none is an escape. True for some that are short,
 * too. */
static inline bool maybe_escape(unsigned ones)
{
    return (ones & RICE_ONES_MAX) == RICE_ONES_MAX;
}

static struct found *get_dense(struct found *found, struct bit_reader *from, uint32_t bucket,
                               size_t m, unsigned k)
{
    uint64_t mask = bits_mask(k);
    uint32_t t = 0;

    while (t < m) {
        uint64_t window = bits_peek(from), count[DENSE_AT_ONCE];
        unsigned used = 0, all_ones = 0;

        for (unsigned i = 0; i < DENSE_AT_ONCE; i++) {
            unsigned ones = (unsigned)__builtin_ctzll(~window | UINT64_C(1) << RICE_ONES_MAX);

            count[i] = (uint64_t)ones << k | (window >> (ones + 1) & mask);
            window >>= ones + 1 + k;
            used += ones + 1 + k;
            all_ones |= ones;
        }
        if (__builtin_expect(m - t < DENSE_AT_ONCE || used > BITS_PEEK || maybe_escape(all_ones),
                             0)) {
            uint64_t one = rice_get(from, k);

            *found = (struct found){one, t++, bucket};
            found += one != 0;
            continue;
        }
        from->bit += used;
        for (unsigned i = 0; i < DENSE_AT_ONCE; i++) {
            *found = (struct found){count[i], t++, bucket};
            found += count[i] != 0;
        }
    }
    return found;
}

/* NULL: damaged. */
static struct found *get_sparse(struct found *found, struct bit_reader *from, uint32_t bucket,
                                size_t m)
{
    size_t present = gamma_get(from), t = 0;
    uint64_t mask, gap_mask;
    unsigned k, gap_k;

    if (present == 0)
        return found;
    k = (unsigned)gamma_get(from);
    if (present > m || k > DENSE_MAX)
        return NULL;
    gap_k = gap_parameter(m, present);
    mask = bits_mask(k);
    gap_mask = bits_mask(gap_k);
    for (size_t i = 0; i < present;) {
        uint64_t window = bits_peek(from), gap, less;
        unsigned left = BITS_PEEK, used;

        /* As many pairs as one look shows whole. */
        for (; i < present; i++, window >>= used, left -= used) {
            unsigned ones = (unsigned)__builtin_ctzll(~window | UINT64_C(1) << RICE_ONES_MAX), more;
            uint64_t rest = window >> (ones + 1 + gap_k);

            more = (unsigned)__builtin_ctzll(~rest | UINT64_C(1) << RICE_ONES_MAX);
            used = ones + 1 + gap_k + more + 1 + k;
            if (used > left || maybe_escape(ones | more))
                break;
            t += (uint64_t)ones << gap_k | (window >> (ones + 1) & gap_mask);
            less = (uint64_t)more << k | (rest >> (more + 1) & mask);
            if (t >= m)
                return NULL;
            *found++ = (struct found){less + 1, (uint32_t)t++, bucket};
        }
        from->bit += BITS_PEEK - left;
        if (left < BITS_PEEK)
            continue;
        gap = rice_get(from, gap_k);
        less = rice_get(from, k);
        if (t >= m || gap >= m - t || less == UINT64_MAX)
            return NULL;
        t += gap;
        *found++ = (struct found){less + 1, (uint32_t)t++, bucket};
        i++;
    }
    return found;
}

/* One bucket; false: damaged. */
static bool get_bucket(struct buckets *into, struct bit_reader *from, uint32_t bucket,
                       unsigned *mode)
{
    struct bit_reader reader = *from; /* in registers */
    struct found *found;

    reserve_found(into);
    found = into->found + into->founds;
    if (!bits_get(&reader, 1))
        *mode = (unsigned)bits_get(&reader, MODE_BITS);
    if (*mode == MODE_SPARSE)
        found = get_sparse(found, &reader, bucket, into->m);
    else if (*mode == 0)
        found = get_unary(found, &reader, bucket, into->m);
    else
        found = get_dense(found, &reader, bucket, into->m, *mode);
    *from = reader;
    if (!found || bits_overrun(&reader))
        return false;
    into->founds = (size_t)(found - into->found);
    return true;
}

/* False: it has more than its samples. */
static bool find_parts(struct buckets *into, const uint64_t *samples)
{
    const struct found *end = into->found + into->founds;
    struct part *part = into->part;
    bool over = false;

    for (size_t t = 0; t < into->m; t++)
        part[t] = (struct part){.rest = samples[t], .first = UINT32_MAX};
    for (const struct found *found = into->found; found < end; found++) {
        struct part *of = &part[found->record];

        of->first = found->bucket < of->first ? found->bucket : of->first;
        of->last = found->bucket;
        over |= __builtin_sub_overflow(of->rest, found->count, &of->rest);
    }
    return !over || !into->exact;
}

/* Gives every record its span of the counts, all zeros. */
static void place_spans(struct buckets *into, uint32_t left_out)
{
    struct part *part = into->part;
    size_t m = into->m, counts = 0;

    for (size_t t = 0; t < m; t++) {
        if (into->exact && part[t].rest) {
            part[t].first = left_out < part[t].first ? left_out : part[t].first;
            part[t].last = left_out > part[t].last ? left_out : part[t].last;
        }
        if (part[t].first > part[t].last) /* totals_match will say so */
            part[t].first = part[t].last = 0;
        into->hist[t] = (struct tide_hist){.first = (uint16_t)part[t].first,
                                           .len = (uint16_t)(part[t].last - part[t].first + 1)};
        part[t].zero = counts - part[t].first;
        counts += into->hist[t].len;
    }
    reserve_counts(into, counts);
    memset(into->count, 0, counts * sizeof(*into->count));
    for (size_t t = 0; t < m; t++)
        into->hist[t].count = into->count + (part[t].zero + part[t].first);
}

/* Makes histograms of what was found. False: damaged. */
static bool settle(struct buckets *into, const uint64_t *samples, uint32_t left_out)
{
    const struct found *end = into->found + into->founds;
    const struct part *part = into->part;
    uint64_t *count;

    if (!find_parts(into, samples))
        return false;
    place_spans(into, left_out);
    count = into->count;
    for (size_t t = 0; into->exact && t < into->m; t++)
        if (part[t].rest)
            count[part[t].zero + left_out] = part[t].rest;
    for (const struct found *found = into->found; found < end; found++)
        count[part[found->record].zero + found->bucket] = found->count;
    return true;
}

/* After saturation: what the counts of each record add up to, stopping at the top. */
static bool totals_match(const struct buckets *into, const uint64_t *samples)
{
    for (size_t t = 0; t < into->m; t++)
        if (tide_hist_total(&into->hist[t]) != samples[t])
            return false;
    return true;
}

/* Finds all counts of m >= 1 histograms; *ret_low: the span's first bucket, *ret_left_out: the
 * bucket left out, when the counts are exact. False: damaged. */
static bool find_all(struct buckets *into, const uint8_t *from, const uint8_t *end, size_t m,
                     uint32_t *ret_low, uint32_t *ret_span, uint32_t *ret_left_out)
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
    into->exact = left_out != 0;
    *ret_low = (uint32_t)low;
    *ret_span = (uint32_t)span;
    *ret_left_out = (uint32_t)(low + left_out - 1);
    reader = (struct bit_reader){.start = from, .len = (size_t)(end - from)};
    for (uint32_t b = 0; b < span; b++)
        if (b + 1 != left_out && !get_bucket(into, &reader, (uint32_t)low + b, &mode))
            return false;
    return bits_align(&reader) && reader.bit == reader.len * 8;
}

bool buckets_decode(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                    struct buckets *into)
{
    uint32_t low, span, left_out;

    return find_all(into, from, end, m, &low, &span, &left_out) &&
           settle(into, samples, left_out) && (into->exact || totals_match(into, samples));
}

/* Adds what was found of the records [first, end) up, bucket by bucket. */
static bool add_up(struct buckets *from, const uint64_t *samples, size_t first, size_t end,
                   uint32_t low, uint32_t span, uint32_t left_out, struct tide_hist *into)
{
    const struct found *stop = from->found + from->founds;
    struct tide_hist sum = {.first = (uint16_t)low, .len = (uint16_t)span};
    unsigned __int128 rest = 0, seen = 0;

    reserve_counts(from, span);
    sum.count = from->count;
    memset(sum.count, 0, span * sizeof(*sum.count));
    for (size_t t = first; t < end; t++)
        rest += samples[t];
    for (const struct found *found = from->found; found < stop; found++) {
        uint64_t count = found->count & -(uint64_t)(found->record - first < end - first);

        seen += count;
        sum.count[found->bucket - low] = tide_add_sat(sum.count[found->bucket - low], count);
    }
    if (seen > rest)
        return false;
    rest -= seen;
    sum.count[left_out - low] = rest > UINT64_MAX ? UINT64_MAX : (uint64_t)rest;
    while (sum.len && sum.count[sum.len - 1] == 0)
        sum.len--;
    for (; sum.len && sum.count[0] == 0; sum.len--, sum.first++)
        sum.count++;
    tide_hist_merge(into, &sum);
    return true;
}

bool buckets_sum(const uint8_t *from, const uint8_t *end, const uint64_t *samples, size_t m,
                 size_t first, size_t last, struct buckets *memory, struct tide_hist *into)
{
    uint32_t low, span, left_out;

    assert(first < last && last <= m);
    if (!find_all(memory, from, end, m, &low, &span, &left_out))
        return false;
    if (memory->exact)
        return add_up(memory, samples, first, last, low, span, left_out, into);
    if (!settle(memory, samples, left_out) || !totals_match(memory, samples))
        return false;
    for (size_t t = first; t < last; t++)
        tide_hist_merge(into, &memory->hist[t]);
    return true;
}
