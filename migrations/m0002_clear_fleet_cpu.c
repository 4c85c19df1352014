/* m0002 - schema 1 to 2.
 *
 * Schema 1 kept finished intervals as rows only. Schema 2 moves them into chunks of four tiers, and
 * knows custom metrics, event ids and producers. In it the fleet's gauges follow late events by
 * differences, for which its newest CPU sample had to go: schema 1 kept the largest of its
 * modules', which says nothing and follows nothing; in schema 2 a mean gauge of the fleet has none.
 * So every row of module 0 with that gauge is written anew with 0 in its place.
 *
 * The new tables are made, empty. Stores of schema 1 that programs between the two wrote may have
 * them, with what is in them in its present form; but for `fold` in meta, which had one or two
 * numbers less.
 *
 * Frozen. All layouts below are those of these two schemas, whatever became of them since.
 */
#include <string.h>

#include "step.h"
#include "tidemark/bytes.h"

#define ROW_KEY     13               /* interval start 8, module 4, part 1 */
#define PART_MAX    (2000 - 4)       /* of a part, without its CRC */
#define RECORD_MAX  (255 * PART_MAX) /* parts have one byte */
#define GAUGES      4
#define CPU         1
#define GAUGE_WORDS 5 /* count, time, newest, maximum, sum */
#define NEWEST      2

enum {
    HAS_REQUESTS = 1 << 0,
    HAS_ERRORS = 1 << 1,
    HAS_PLAIN = 1 << 2,
    HAS_SAMPLES = 1 << 3,
    HAS_START = 1 << 4,
    HAS_STOP = 1 << 5,
    HAS_HEALTH = 1 << 6,
    HAS_INSTANCES = 1 << 8,
    HAS_EVENTS = 1 << 10
};

/* A record being rewritten. The longest change is a shorter varint, so `to` is never longer. */
struct rewrite {
    const uint8_t *at, *end;
    uint8_t *to;
    bool bad, changed;
};

static uint64_t get(struct rewrite *rewrite)
{
    uint64_t value = 0;

    if (rewrite->bad || !tide_get_varint(&rewrite->at, rewrite->end, &value)) {
        rewrite->bad = true;
        return 0;
    }
    return value;
}

/* Takes over so many varints; returns the last. */
static uint64_t keep(struct rewrite *rewrite, uint64_t count)
{
    uint64_t value = 0;

    while (count-- && !rewrite->bad) {
        value = get(rewrite);
        rewrite->to = rewrite->bad ? rewrite->to : tide_put_varint(rewrite->to, value);
    }
    return value;
}

static void keep_bytes(struct rewrite *rewrite, size_t len)
{
    if (rewrite->bad || (size_t)(rewrite->end - rewrite->at) < len) {
        rewrite->bad = true;
        return;
    }
    memcpy(rewrite->to, rewrite->at, len);
    rewrite->to += len;
    rewrite->at += len;
}

static void rewrite_instance(struct rewrite *rewrite)
{
    uint64_t bits;

    keep_bytes(rewrite, 8); /* its id */
    bits = keep(rewrite, 1);
    for (int gauge = 0; gauge < GAUGES; gauge++) {
        if (!(bits & 1u << gauge))
            continue;
        if (gauge != CPU) {
            keep(rewrite, GAUGE_WORDS);
            continue;
        }
        keep(rewrite, NEWEST);
        rewrite->changed = get(rewrite) != 0 || rewrite->changed;
        if (!rewrite->bad)
            *rewrite->to++ = 0;
        keep(rewrite, GAUGE_WORDS - NEWEST - 1);
    }
}

/* False: it is no record. */
static bool rewrite_record(struct rewrite *rewrite)
{
    uint64_t bits = keep(rewrite, 1), kinds = keep(rewrite, 1), count;

    keep(rewrite, (uint64_t)__builtin_popcountll(kinds));
    keep(rewrite, bits & HAS_EVENTS ? 2 : 0);
    keep(rewrite, bits & HAS_REQUESTS ? 2 : 0);
    keep(rewrite, bits & HAS_ERRORS ? 1 : 0);
    keep(rewrite, bits & HAS_PLAIN ? 1 : 0);
    keep(rewrite, bits & HAS_START ? 1 : 0);
    keep(rewrite, bits & HAS_STOP ? 1 : 0);
    keep(rewrite, bits & HAS_HEALTH ? 1 : 0);
    if (bits & HAS_SAMPLES) {
        count = keep(rewrite, 4); /* sum, minimum, spread, buckets */
        for (uint64_t i = 0; i < count && !rewrite->bad; i++)
            keep(rewrite, 2);
    }
    if (bits & HAS_INSTANCES) {
        count = keep(rewrite, 1);
        for (uint64_t i = 0; i < count && !rewrite->bad; i++)
            rewrite_instance(rewrite);
    }
    if (!rewrite->bad) /* the slowest operation, as it is */
        keep_bytes(rewrite, (size_t)(rewrite->end - rewrite->at));
    return !rewrite->bad;
}

/* ---- parts ---- */

static uint8_t record[RECORD_MAX], rewritten[RECORD_MAX];

/* Joins the value whose first part is `item`; *ret_parts says how many there were. */
static enum tide_rc join(struct tide_step_work *work, struct tide_raw_item item, size_t *ret_len,
                         unsigned *ret_parts)
{
    const uint8_t *at = item.payload, *end = at + item.len;
    uint64_t whole;
    size_t len = 0;
    unsigned parts = 1;
    enum tide_rc rc;

    if (!tide_get_varint(&at, end, &whole) || whole > RECORD_MAX)
        return TIDE_DAMAGED;
    for (;;) {
        if ((size_t)(end - at) > whole - len)
            return TIDE_DAMAGED;
        memcpy(record + len, at, (size_t)(end - at));
        len += (size_t)(end - at);
        if (len == whole)
            break;
        if (parts > UINT8_MAX)
            return TIDE_DAMAGED;
        item.key[ROW_KEY - 1] = (uint8_t)parts++;
        if ((rc = tide_raw_get(work->raw, "row", &item)))
            return rc == TIDE_NOT_FOUND ? TIDE_DAMAGED : rc;
        at = item.payload;
        end = at + item.len;
    }
    *ret_len = len;
    *ret_parts = parts;
    return TIDE_OK;
}

static void split(struct tide_step_work *work, uint8_t key[ROW_KEY], size_t len, unsigned parts)
{
    uint8_t value[PART_MAX], *to = tide_put_varint(value, len);
    const uint8_t *from = rewritten, *end = rewritten + len;
    unsigned part = 0;

    do {
        size_t take = PART_MAX - (size_t)(to - value);

        take = take < (size_t)(end - from) ? take : (size_t)(end - from);
        memcpy(to, from, take);
        from += take;
        key[ROW_KEY - 1] = (uint8_t)part++;
        tide_raw_put(work->raw, "row", key, ROW_KEY, value, (size_t)(to - value) + take);
        to = value;
    } while (from < end);
    for (; part < parts; part++) {
        key[ROW_KEY - 1] = (uint8_t)part;
        tide_raw_delete(work->raw, "row", key, ROW_KEY);
    }
}

static enum tide_rc fleet_row(struct tide_step_work *work, const struct tide_raw_item *item,
                              struct tide_err *err)
{
    struct rewrite rewrite = {.at = record, .to = rewritten};
    uint8_t key[ROW_KEY];
    unsigned parts = 0;
    size_t len = 0;
    enum tide_rc rc = join(work, *item, &len, &parts);

    rewrite.end = record + len;
    if (rc || !rewrite_record(&rewrite)) {
        tide_err_set(err, "the fleet's row of the interval at %llu cannot be read",
                     (unsigned long long)tide_get_be64(item->key));
        return rc ? rc : TIDE_DAMAGED;
    }
    if (!rewrite.changed)
        return TIDE_OK;
    memcpy(key, item->key, ROW_KEY);
    split(work, key, (size_t)(rewrite.to - rewritten), parts);
    work->changed++;
    return TIDE_OK;
}

/* ---- the end ---- */

#define TIERS        4
#define FOLD_NUMBERS (5 + TIERS)

/* `fold`: seq, hours_upto, days_upto, then, of schema 2, folding_upto and refold_seq, and of each
 * tier evicted_upto. Programs between the schemas wrote none or one number in the place of the two,
 * which says nothing of use: 0 and 0 is that no hour is under way. */
static enum tide_rc complete_fold(struct tide_step_work *work, struct tide_err *err)
{
    struct tide_raw_item item = {.key = "fold", .key_len = 4};
    enum tide_rc rc = tide_raw_get(work->raw, "meta", &item);
    uint8_t value[FOLD_NUMBERS * TIDE_VARINT_MAX], *to = value;
    uint64_t number[FOLD_NUMBERS];
    const uint8_t *at, *end;
    unsigned count = 0;

    if (rc)
        return rc == TIDE_NOT_FOUND ? TIDE_OK : rc;
    at = item.payload;
    end = at + item.len;
    while (at < end && count < FOLD_NUMBERS && tide_get_varint(&at, end, &number[count]))
        count++;
    if (at != end || count < 3 + TIERS) {
        tide_err_set(err, "how far the store is folded cannot be read");
        return TIDE_DAMAGED;
    }
    if (count == FOLD_NUMBERS)
        return TIDE_OK;
    for (unsigned i = 0; i < 3; i++)
        to = tide_put_varint(to, number[i]);
    to = tide_put_varint(to, 0);
    to = tide_put_varint(to, 0);
    for (unsigned i = count - TIERS; i < count; i++)
        to = tide_put_varint(to, number[i]);
    tide_raw_put(work->raw, "meta", "fold", 4, value, (size_t)(to - value));
    work->changed++;
    return TIDE_OK;
}

static enum tide_rc finish(struct tide_step_work *work, struct tide_err *err)
{
    static const char *const table[] = {"event_id", "producer", "chunk_raw",
                                        "chunk_5m", "chunk_1h", "chunk_1d"};

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        tide_raw_make_table(work->raw, table[i]);
    work->done = true;
    return complete_fold(work, err);
}

/* The fleet is module 0, so its row is the first of each interval. */
static enum tide_rc run(struct tide_step_work *work, struct tide_err *err)
{
    struct tide_raw_item *place = work->place;
    enum tide_rc rc;

    while (work->looked < work->budget) {
        if (place->key_len) /* behind all modules of the interval */
            memset(place->key + 8, 0xff, ROW_KEY - 8);
        rc = tide_raw_next(work->raw, "row", place);
        if (rc == TIDE_NOT_FOUND)
            return finish(work, err);
        if (!rc && place->key_len != ROW_KEY) {
            tide_err_set(err, "a key of the table of rows has %zu bytes", place->key_len);
            rc = TIDE_DAMAGED;
        }
        if (rc)
            return rc;
        work->looked++;
        if (tide_get_be32(place->key + 8) == 0 && place->key[ROW_KEY - 1] == 0 &&
            (rc = fleet_row(work, place, err)))
            return rc;
    }
    return TIDE_OK;
}

const struct tide_step tide_m0002_clear_fleet_cpu = {
    .told = {.to = 2,
             .name = "m0002_clear_fleet_cpu",
             .what = "the fleet's newest CPU sample leaves its rows; tables of chunks, event ids "
                     "and producers are made"},
    .run = run,
};
