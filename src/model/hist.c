/* hist - see the door for the model. The bucket of a value is decided on the bits of its double:
 * the exponent is the octave, and a table of the 32 mantissas of 2^(k/32) places it inside. A
 * 64-byte index tells how many of them lie below a 64th of an octave; bounds are further apart than
 * that, so one comparison decides. Exact, 2 ns, and independent of libm and locale.
 */
#include "tidemark/hist.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/bytes.h"
#include "memory.h"

/* Mantissa bits of 2^(k/32), k = 0..31, rounded to nearest; the last entry is never passed. */
const uint64_t tide_hist_bound[TIDE_HIST_SUB + 1] = {
    UINT64_C(0x0000000000000), UINT64_C(0x059b0d3158574), UINT64_C(0x0b5586cf9890f),
    UINT64_C(0x11301d0125b51), UINT64_C(0x172b83c7d517b), UINT64_C(0x1d4873168b9aa),
    UINT64_C(0x2387a6e756238), UINT64_C(0x29e9df51fdee1), UINT64_C(0x306fe0a31b715),
    UINT64_C(0x371a7373aa9cb), UINT64_C(0x3dea64c123422), UINT64_C(0x44e086061892d),
    UINT64_C(0x4bfdad5362a27), UINT64_C(0x5342b569d4f82), UINT64_C(0x5ab07dd485429),
    UINT64_C(0x6247eb03a5585), UINT64_C(0x6a09e667f3bcd), UINT64_C(0x71f75e8ec5f74),
    UINT64_C(0x7a11473eb0187), UINT64_C(0x82589994cce13), UINT64_C(0x8ace5422aa0db),
    UINT64_C(0x93737b0cdc5e5), UINT64_C(0x9c49182a3f090), UINT64_C(0xa5503b23e255d),
    UINT64_C(0xae89f995ad3ad), UINT64_C(0xb7f76f2fb5e47), UINT64_C(0xc199bdd85529c),
    UINT64_C(0xcb720dcef9069), UINT64_C(0xd5818dcfba487), UINT64_C(0xdfc97337b9b5f),
    UINT64_C(0xea4afa2a490da), UINT64_C(0xf50765b6e4540), UINT64_MAX,
};

/* How many bounds lie below c / 64 of an octave. */
const uint8_t tide_hist_below[64] = {
    0,  1,  2,  3,  3,  4,  5,  5,  6,  7,  7,  8,  8,  9,  10, 10, 11, 11, 12, 13, 13, 14,
    14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24,
    25, 25, 26, 26, 26, 27, 27, 28, 28, 28, 29, 29, 30, 30, 30, 31, 31, 31, 32, 32,
};

static double bound_us(unsigned bucket)
{
    uint64_t bits =
        (uint64_t)(1023 + bucket / TIDE_HIST_SUB) << 52 | tide_hist_bound[bucket % TIDE_HIST_SUB];
    double us;

    memcpy(&us, &bits, sizeof(us));
    return us;
}

double tide_hist_lower_us(unsigned bucket)
{
    assert(bucket < TIDE_HIST_BUCKETS);
    return bucket == 0 ? 0 : bound_us(bucket - 1);
}

double tide_hist_upper_us(unsigned bucket)
{
    assert(bucket < TIDE_HIST_BUCKETS);
    return bound_us(bucket);
}

void tide_hist_init(struct tide_hist *hist)
{
    *hist = (struct tide_hist){0};
}

void tide_hist_fini(struct tide_hist *hist)
{
    free(hist->count);
    *hist = (struct tide_hist){0};
}

void tide_hist_reset(struct tide_hist *hist)
{
    hist->first = 0;
    hist->len = 0;
}

/* Makes the span cover [first, end). */
static void cover(struct tide_hist *hist, unsigned first, unsigned end)
{
    unsigned old_first = hist->first, old_end = old_first + hist->len;

    if (hist->len == 0) {
        old_first = first;
        old_end = first;
    }
    if (first > old_first)
        first = old_first;
    if (end < old_end)
        end = old_end;
    if (end - first > hist->capacity) {
        /* Some slack: latencies wander, and a span that grows bucket by bucket would be moved each
         * time. */
        unsigned capacity = end - first + 16;

        if (capacity > TIDE_HIST_BUCKETS)
            capacity = TIDE_HIST_BUCKETS;
        hist->count = tide_must_realloc(hist->count, capacity * sizeof(*hist->count));
        hist->capacity = (uint16_t)capacity;
    }
    if (first < old_first) {
        unsigned shift = old_first - first;

        memmove(hist->count + shift, hist->count, (old_end - old_first) * sizeof(*hist->count));
        memset(hist->count, 0, shift * sizeof(*hist->count));
    }
    if (end > old_end)
        memset(hist->count + (old_end - first), 0, (end - old_end) * sizeof(*hist->count));
    hist->first = (uint16_t)first;
    hist->len = (uint16_t)(end - first);
}

void tide_hist_add_outside(struct tide_hist *hist, unsigned bucket, uint64_t n)
{
    assert(bucket < TIDE_HIST_BUCKETS);
    if (n == 0)
        return;
    cover(hist, bucket, bucket + 1);
    hist->count[bucket - hist->first] = tide_add_sat(hist->count[bucket - hist->first], n);
}

void tide_hist_merge(struct tide_hist *into, const struct tide_hist *from)
{
    uint64_t *to;

    if (from->len == 0)
        return;
    cover(into, from->first, (unsigned)from->first + from->len);
    to = into->count + (from->first - into->first);
    for (unsigned i = 0; i < from->len; i++)
        to[i] = tide_add_sat(to[i], from->count[i]);
}

void tide_hist_copy(struct tide_hist *into, const struct tide_hist *from)
{
    assert(into != from);
    tide_hist_reset(into);
    if (from->len == 0)
        return;
    cover(into, from->first, (unsigned)from->first + from->len);
    memcpy(into->count, from->count, from->len * sizeof(*from->count));
}

uint64_t tide_hist_total(const struct tide_hist *hist)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < hist->len; i++)
        total = tide_add_sat(total, hist->count[i]);
    return total;
}

static uint64_t count_at(const struct tide_hist *hist, unsigned bucket)
{
    return bucket - hist->first < hist->len ? hist->count[bucket - hist->first] : 0;
}

bool tide_hist_equal(const struct tide_hist *a, const struct tide_hist *b)
{
    for (unsigned i = 0; i < a->len; i++)
        if (a->count[i] != count_at(b, a->first + i))
            return false;
    for (unsigned i = 0; i < b->len; i++)
        if (b->count[i] != count_at(a, b->first + i))
            return false;
    return true;
}

/* The smallest rank r with r / total >= q; the product is taken a hair low so that 0.07 * 100
 * stays 7. */
static uint64_t nearest_rank(double q, uint64_t total)
{
    long double exact = (long double)q * (long double)total;
    uint64_t rank = (uint64_t)ceill(exact - exact * 1e-15L);

    return rank < 1 ? 1 : rank > total ? total : rank;
}

/* The estimate for a sample in this bucket. */
static double middle_us(unsigned bucket, double low, double high)
{
    double middle =
        bucket == 0 ? 0.5 : sqrt(tide_hist_lower_us(bucket) * tide_hist_upper_us(bucket));

    middle = middle < low ? low : middle > high ? high : middle;
    return middle < 0 ? 0 : middle;
}

/* Plain addition, which takes several buckets at a time, wherever it cannot overflow. */
static uint64_t total_of(const struct tide_hist *hist, bool *ret_plain)
{
    uint64_t total = 0, any = 0;

    for (unsigned i = 0; i < hist->len; i++) {
        total += hist->count[i];
        any |= hist->count[i];
    }
    *ret_plain = any < UINT64_MAX / TIDE_HIST_BUCKETS;
    return *ret_plain ? total : tide_hist_total(hist);
}

/* The first bucket at which at least `rank` samples are seen, going on from *at with *seen before
 * it. */
static void go_to_rank(const struct tide_hist *hist, uint64_t rank, bool plain, unsigned *at,
                       uint64_t *seen)
{
    unsigned i = *at;
    uint64_t sum = *seen;

    if (plain)
        while (sum + hist->count[i] < rank)
            sum += hist->count[i++];
    else
        while (tide_add_sat(sum, hist->count[i]) < rank)
            sum = tide_add_sat(sum, hist->count[i++]);
    assert(i < hist->len);
    *at = i;
    *seen = sum;
}

void tide_hist_quantiles_us(const struct tide_hist *hist, const double *q, size_t count,
                            uint64_t min_us, uint64_t max_us, double *ret_us)
{
    double low = (double)min_us - 0.5, high = (double)max_us + 0.5;
    uint64_t total, seen = 0, rank, last = 0;
    unsigned at = 0;
    bool plain;

    total = total_of(hist, &plain);
    for (size_t i = 0; i < count; i++) {
        assert(q[i] > 0 && q[i] <= 1);
        if (total == 0) {
            ret_us[i] = NAN;
            continue;
        }
        rank = nearest_rank(q[i], total);
        if (rank < last) { /* not in ascending order: from the start again */
            at = 0;
            seen = 0;
        }
        last = rank;
        go_to_rank(hist, rank, plain, &at, &seen);
        ret_us[i] = middle_us(hist->first + at, low, high);
    }
}

double tide_hist_quantile_us(const struct tide_hist *hist, double q, uint64_t min_us,
                             uint64_t max_us)
{
    double us;

    tide_hist_quantiles_us(hist, &q, 1, min_us, max_us, &us);
    return us;
}
