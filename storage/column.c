/* column - see column.h and FORMAT.md "column".
 *
 * A value becomes base + unit * x, or the value before it + unit * unzigzag(x); the xs are packed
 * in `width` bits each. The unit is the greatest common divisor (memory comes in pages, times in
 * milliseconds, percentages in two decimals). The width is the one with the fewest bits in all: an
 * x that needs more leaves its high part in a patch, so that one outlier does not widen a hundred
 * neighbours.
 */
#include "column.h"

#include <assert.h>
#include <string.h>

#include "bits.h"
#include "tidemark/bytes.h"

enum {
    FLAGS_FOLLOW = 0x80, /* in the byte of the width */
    IS_DELTA = 1 << 0,
    IS_HINTED = 1 << 1,
    HAS_UNIT = 1 << 2,
    HAS_PATCHES = 1 << 3,
    KNOWN_FLAGS = (1 << 4) - 1
};

/* One way to write the column. */
struct form {
    unsigned flags;
    unsigned width;
    uint64_t base, unit;
    size_t xs;   /* n, or n - 1 in delta form */
    size_t bits; /* what it takes */
    uint64_t x[COLUMN_VALUES_MAX];
};

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Division by a unit that leaves no rest: a shift for its even part and, for the odd one, the
 * factor that undoes it modulo 2^64. */
struct division {
    uint64_t factor;
    unsigned shift;
};

static struct division division_by(uint64_t unit)
{
    struct division by = {.shift = (unsigned)__builtin_ctzll(unit)};
    uint64_t odd = unit >> by.shift;

    by.factor = odd; /* right in its low three bits, in twice as many after each round */
    for (int round = 0; round < 5; round++)
        by.factor *= 2 - odd * by.factor;
    return by;
}

static size_t varint_bits(uint64_t v)
{
    return v < 0x80 ? 8 : 8 * ((bits_of(v) + 6) / 7);
}

/* The width with the fewest bits, patches included. */
static void choose_width(struct form *form)
{
    uint16_t counted[4][65] = {0}; /* by turns: neighbours are often of one length */
    size_t of_length[65], over = 0, best = SIZE_MAX, least = 0;
    uint64_t all = 0;
    int longest;

    for (size_t i = 0; i < form->xs; i++) {
        uint64_t x = form->x[i];

        all |= x;
        counted[i & 3][(64u - (unsigned)__builtin_clzll(x | 1)) - (x == 0)]++;
    }
    longest = (int)bits_of(all);
    for (int length = 0; length <= longest; length++)
        of_length[length] = (size_t)counted[0][length] + counted[1][length] + counted[2][length] +
                            counted[3][length];
    /* An x takes its length at the least, and a byte more with a patch: (length - width) bits of a
     * varint take more than that many bits. A smaller width has as many patches or more, so there
     * is a point from where on it cannot help. */
    for (int length = 0; length <= longest; length++)
        least += of_length[length] * (size_t)length;
    for (int width = longest; width >= 0 && least + over * 8 < best; width--) {
        size_t bits = form->xs * (size_t)width;

        over += width < longest ? of_length[width + 1] : 0;
        bits += over ? 8 : 0;
        for (int length = width + 1; length <= longest; length++)
            bits += of_length[length] * (8 + 8 * (size_t)((length - width + 6) / 7));
        if (bits < best || over == 0) {
            best = bits;
            form->width = (unsigned)width;
            form->flags = over ? form->flags | HAS_PATCHES : form->flags & ~(unsigned)HAS_PATCHES;
        }
    }
    form->flags |= form->unit > 1 ? HAS_UNIT : 0;
    form->bits = best + varint_bits(tide_zigzag((int64_t)form->base)) +
                 (form->unit > 1 ? varint_bits(form->unit) : 0) + (form->flags ? 8 : 0);
}

/* base + unit * x */
static void try_plain(struct form *form, const uint64_t *value, size_t n)
{
    int64_t base = (int64_t)value[0];
    uint64_t unit = 0;

    for (size_t i = 1; i < n; i++)
        base = (int64_t)value[i] < base ? (int64_t)value[i] : base;
    form->base = (uint64_t)base;
    form->xs = n;
    for (size_t i = 0; i < n; i++) {
        form->x[i] = value[i] - form->base;
        if (unit != 1 && form->x[i])
            unit = greatest_divisor(form->x[i], unit);
    }
    form->unit = unit ? unit : 1;
    if (form->unit > 1) {
        struct division by = division_by(form->unit);

        for (size_t i = 0; i < n; i++)
            form->x[i] = (form->x[i] >> by.shift) * by.factor;
    }
    choose_width(form);
}

/* the value before + unit * unzigzag(x) */
static void try_delta(struct form *form, const uint64_t *value, size_t n)
{
    uint64_t unit = 0;

    form->flags |= IS_DELTA;
    form->base = value[0];
    form->xs = n - 1;
    for (size_t i = 1; i < n; i++) {
        uint64_t step = value[i] - value[i - 1], size = (int64_t)step < 0 ? -step : step;

        if (unit != 1 && size)
            unit = greatest_divisor(size, unit);
        form->x[i - 1] = step;
    }
    form->unit = unit && unit <= INT64_MAX ? unit : 1;
    if (form->unit > 1) {
        struct division by = division_by(form->unit);

        for (size_t i = 0; i < form->xs; i++)
            form->x[i] = (uint64_t)((int64_t)form->x[i] >> by.shift) * by.factor;
    }
    for (size_t i = 0; i < form->xs; i++)
        form->x[i] = tide_zigzag((int64_t)form->x[i]);
    choose_width(form);
}

static void put_patches(struct blob *to, const struct form *form)
{
    size_t patches = 0, before = 0;
    uint8_t *at;

    for (size_t i = 0; i < form->xs; i++)
        patches += form->x[i] >> form->width != 0;
    blob_reserve(to, (1 + 2 * patches) * TIDE_VARINT_MAX);
    at = tide_put_varint(to->start + to->len, patches);
    for (size_t i = 0; i < form->xs; i++)
        if (form->x[i] >> form->width) {
            at = tide_put_varint(at, i - before);
            at = tide_put_varint(at, form->x[i] >> form->width);
            before = i;
        }
    to->len = (size_t)(at - to->start);
}

static void put_form(struct blob *to, const struct form *form)
{
    struct bit_writer writer = {0};
    uint8_t *at;

    blob_reserve(to, 2 + 2 * TIDE_VARINT_MAX + form->xs * 8 + BITS_SLACK);
    at = to->start + to->len;
    *at++ = (uint8_t)(form->width | (form->flags ? FLAGS_FOLLOW : 0));
    if (form->flags)
        *at++ = (uint8_t)form->flags;
    at = tide_put_varint(at, tide_zigzag((int64_t)form->base));
    if (form->flags & HAS_UNIT)
        at = tide_put_varint(at, form->unit);
    writer.at = at;
    if (form->width)
        for (size_t i = 0; i < form->xs; i++)
            bits_put(&writer, form->x[i] & bits_mask(form->width), form->width);
    to->len = (size_t)(bits_end(&writer) - to->start);
    if (form->flags & HAS_PATCHES)
        put_patches(to, form);
}

void column_encode(struct blob *to, const uint64_t *value, size_t n, const uint64_t *hint)
{
    struct form forms[2], *best = &forms[0], *other = &forms[1], *swap;
    uint64_t rest[COLUMN_VALUES_MAX];

    assert(n <= COLUMN_VALUES_MAX);
    if (n == 0)
        return;
    best->bits = SIZE_MAX;
    for (unsigned hinted = 0; hinted <= (hint != NULL); hinted++) {
        if (hinted)
            for (size_t i = 0; i < n; i++)
                rest[i] = value[i] - hint[i];
        for (unsigned delta = 0; delta < 2; delta++) {
            other->flags = hinted ? IS_HINTED : 0;
            (delta ? try_delta : try_plain)(other, hinted ? rest : value, n);
            if (other->bits < best->bits) {
                swap = best;
                best = other;
                other = swap;
            }
        }
    }
    put_form(to, best);
}

/* ---- decoding ---- */

/* How the fields x become values: base + unit * x. */
struct scale {
    uint64_t base, unit;
};

/* Unpacks fields of one width, eight at a time: they take `width` bytes, so each has its place and
 * its shift when the width is a constant. Says how many; none of its loads of eight bytes leaves
 * [from, end). */
static inline __attribute__((always_inline)) size_t
unpack_eights(const uint8_t *from, const uint8_t *end, unsigned width, struct scale scale,
              uint64_t *value, size_t n)
{
    size_t done = 0, reach = (7 * width >> 3) + sizeof(uint64_t);

    for (; n - done >= 8 && (size_t)(end - from) >= reach; done += 8, from += width)
        for (unsigned i = 0; i < 8; i++) {
            uint64_t window;

            memcpy(&window, from + (i * width >> 3), sizeof(window));
            value[done + i] =
                scale.base + scale.unit * (window >> (i * width & 7) & bits_mask(width));
        }
    return done;
}

#define EIGHT_WIDTHS(X, n) X(n) X(n + 1) X(n + 2) X(n + 3) X(n + 4) X(n + 5) X(n + 6) X(n + 7)

static size_t unpack_most(const uint8_t *from, const uint8_t *end, unsigned width,
                          struct scale scale, uint64_t *value, size_t n)
{
    switch (width) {
#define TIDE_X(width) \
    case width:       \
        return unpack_eights(from, end, (width), scale, value, n);
        EIGHT_WIDTHS(TIDE_X, 1)
        EIGHT_WIDTHS(TIDE_X, 9)
        EIGHT_WIDTHS(TIDE_X, 17)
        EIGHT_WIDTHS(TIDE_X, 25)
#undef TIDE_X
    default:
        return 0;
    }
}

/* Unpacks n fields of width bits. The fast loop stops where a load of eight bytes would leave
 * [from, end). */
static void unpack(const uint8_t *from, const uint8_t *end, unsigned width, struct scale scale,
                   uint64_t *value, size_t n)
{
    struct bit_reader reader = {.start = from, .len = (size_t)(end - from)};
    uint64_t mask = bits_mask(width);
    size_t i = unpack_most(from, end, width, scale, value, n);

    reader.bit = i * width;
    if (width <= 57 && reader.len >= sizeof(uint64_t)) {
        size_t fast = ((reader.len - sizeof(uint64_t)) * 8 + 7) / width + 1, bit = reader.bit;

        fast = fast < n ? fast : n;
        for (; i < fast; i++, bit += width) {
            uint64_t window;

            memcpy(&window, from + (bit >> 3), sizeof(window));
            value[i] = scale.base + scale.unit * (window >> (bit & 7) & mask);
        }
        reader.bit = bit;
    }
    for (; i < n; i++)
        value[i] = scale.base + scale.unit * bits_get(&reader, width);
}

/* Adds to the values the high parts of their fields. */
static bool patch(const uint8_t **from, const uint8_t *end, unsigned width, uint64_t unit,
                  uint64_t *value, size_t n)
{
    uint64_t patches, gap, high, at = 0;

    if (width >= 64 || !tide_get_varint(from, end, &patches) || patches == 0 || patches > n)
        return false;
    for (uint64_t i = 0; i < patches; i++) {
        if (!tide_get_varint(from, end, &gap) || !tide_get_varint(from, end, &high) || gap >= n ||
            (gap == 0 && i > 0) || high == 0 || (width && high >> (64 - width)))
            return false;
        at += gap;
        if (at >= n)
            return false;
        value[at] += unit * (high << width);
    }
    return true;
}

bool column_decode(const uint8_t **from, const uint8_t *end, uint64_t *ret_value, size_t n,
                   const uint64_t *hint)
{
    uint64_t base, unit = 1, *x;
    struct scale scale;
    unsigned width, flags = 0;
    size_t xs, bytes;

    assert(n <= COLUMN_VALUES_MAX);
    if (n == 0)
        return true;
    if (*from == end)
        return false;
    width = *(*from)++;
    if (width & FLAGS_FOLLOW) {
        if (*from == end)
            return false;
        flags = *(*from)++;
        if (flags == 0 || flags > KNOWN_FLAGS)
            return false;
        width &= ~(unsigned)FLAGS_FOLLOW;
    }
    if (width > 64 || ((flags & IS_HINTED) && !hint) || !tide_get_varint(from, end, &base))
        return false;
    base = (uint64_t)tide_unzigzag(base);
    if ((flags & HAS_UNIT) && (!tide_get_varint(from, end, &unit) || unit < 2))
        return false;
    xs = flags & IS_DELTA ? n - 1 : n;
    x = ret_value + (n - xs);
    bytes = (xs * width + 7) / 8;
    if (bytes > (size_t)(end - *from))
        return false;
    /* The steps of a delta are scaled when they are added up. */
    scale = flags & IS_DELTA ? (struct scale){0, 1} : (struct scale){base, unit};
    if (width == 0)
        for (size_t i = 0; i < xs; i++)
            x[i] = scale.base;
    else
        unpack(*from, end, width, scale, x, xs);
    if (xs * width % 8 && (*from)[bytes - 1] >> (xs * width % 8))
        return false; /* the rest of the last byte is zeros */
    *from += bytes;
    if ((flags & HAS_PATCHES) && !patch(from, end, width, scale.unit, x, xs))
        return false;
    if (flags & IS_DELTA) {
        uint64_t value = ret_value[0] = base;

        for (size_t i = 1; i < n; i++) {
            value += unit * (uint64_t)tide_unzigzag(ret_value[i]);
            ret_value[i] = value;
        }
    }
    if (flags & IS_HINTED)
        for (size_t i = 0; i < n; i++)
            ret_value[i] += hint[i];
    return true;
}
