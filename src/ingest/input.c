/* The bytes of an unfinished frame, and what they may cost.
 *
 * All connections of a shard receive into one buffer; only a cut frame leaves bytes behind, and
 * they are kept here. Small leftovers are right-sized. A large frame gets a buffer of the size it
 * declares (or a doubling one, when it does not declare any) and is received straight into it.
 * Every byte is copied a bounded number of times, however the stream is cut.
 *
 * A shard's part of ingest.max_input_bytes is shared out in three. The large buffers have a budget:
 * over it a connection waits in line before it grows, and meanwhile nobody reads more at once than
 * makes a small one. One favoured connection may go on all the same, and what it may take is set
 * aside, so that frames that each hold a half can not wait for each other. The small ones have the
 * last quarter. They are there already when they are counted, so over it somebody has to go:
 * whoever began the unfinished frame that is the oldest. A peer that sends gets its frame done long
 * before that.
 */
#include "conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/counter.h"
#include "shard.h"

#define TIDE_INPUT_SLACK 4096 /* behind the end a frame declares: its option follows there */
#define TIDE_INPUT_STEP  256  /* small buffers are a multiple of this */

void tide_input_init(struct tide_shard *shard)
{
    const struct tide_ingest_cfg *cfg = shard->cfg;
    const size_t frame = cfg->max_frame_bytes + TIDE_INPUT_SLACK;
    const size_t all = cfg->max_input_bytes ? cfg->max_input_bytes : TIDE_INPUT_BYTES;
    const size_t share = all / cfg->threads;
    /* What the favoured one may take, and what the read that reaches the budget leaves over. */
    const size_t aside = frame + TIDE_SMALL_INPUT + TIDE_READ_BYTES;

    shard->small_max = share / 4;
    shard->input_max =
        share - shard->small_max > aside + frame ? share - shard->small_max - aside : frame;
    TAILQ_INIT(&shard->holders);
}

/* What a buffer of this capacity takes from the budget of the large ones. */
static size_t cost(size_t capacity)
{
    return capacity > TIDE_SMALL_INPUT ? capacity : 0;
}

/* The buffer of conn has another capacity from now on. */
static void book(struct tide_conn *conn, size_t capacity)
{
    struct tide_shard *shard = conn->shard;
    const size_t before = conn->held_capacity;

    shard->input_bytes += cost(capacity);
    shard->input_bytes -= cost(before);
    shard->small_bytes += capacity - cost(capacity);
    shard->small_bytes -= before - cost(before);
    conn->held_capacity = capacity;
    if (capacity > before)
        tide_count(TIDE_COUNT_INPUT_BYTES, capacity - before);
    else
        tide_uncount(TIDE_COUNT_INPUT_BYTES, before - capacity);
}

/* Who holds a small buffer stands in the order in which their frames began. Whoever waits for a
 * parcel is not to blame for what it holds. */
static void stand_in_order(struct tide_conn *conn)
{
    const bool holds = conn->held_capacity > cost(conn->held_capacity) && !conn->blocked;

    if (conn->holding && holds && conn->holding_since == conn->offset)
        return;
    if (conn->holding)
        TAILQ_REMOVE(&conn->shard->holders, conn, holder_link);
    conn->holding = holds;
    conn->holding_since = conn->offset;
    if (holds)
        TAILQ_INSERT_TAIL(&conn->shard->holders, conn, holder_link);
}

struct tide_conn *tide_input_oldest_over(const struct tide_shard *shard)
{
    return shard->small_bytes > shard->small_max ? TAILQ_FIRST(&shard->holders) : NULL;
}

/* The held bytes move to a buffer of another size (which holds them). */
static bool resize(struct tide_conn *conn, size_t capacity)
{
    uint8_t *moved;

    assert(capacity >= conn->held_len && conn->held_at == 0);
    moved = realloc(conn->held, capacity);
    if (!moved) {
        conn->doomed = true;
        return false;
    }
    book(conn, capacity);
    conn->held = moved;
    return true;
}

static void compact(struct tide_conn *conn)
{
    if (conn->held_at > 0 && conn->held_len > 0)
        memmove(conn->held, conn->held + conn->held_at, conn->held_len);
    conn->held_at = 0;
}

/* What to reserve for the unfinished frame, of which len bytes are there: what it declares, and at
 * least the double, since a frame that declares only its next few bytes would be copied at each of
 * them.
 */
static size_t wanted(const struct tide_conn *conn, size_t len)
{
    size_t most = conn->shard->cfg->max_frame_bytes + TIDE_INPUT_SLACK;
    size_t want = conn->scan.need + TIDE_INPUT_SLACK;

    if (want < 2 * len)
        want = 2 * len;
    if (want > most)
        want = most;
    return want > len ? want : len;
}

/* May the buffer grow to this capacity now? */
static bool affordable(struct tide_conn *conn, size_t capacity)
{
    struct tide_shard *shard = conn->shard;

    if (shard->input_bytes + cost(capacity) - cost(conn->held_capacity) <= shard->input_max ||
        shard->favoured == conn)
        return true;
    if (shard->favoured)
        return false;
    shard->favoured = conn;
    return true;
}

bool tide_input_may_grow(const struct tide_shard *shard)
{
    return !shard->favoured || shard->input_bytes < shard->input_max;
}

bool tide_input_is_tight(const struct tide_shard *shard)
{
    return !TAILQ_EMPTY(&shard->memory_line) || shard->input_bytes >= shard->input_max;
}

static void let_go(struct tide_conn *conn)
{
    book(conn, 0);
    if (conn->shard->favoured == conn)
        conn->shard->favoured = NULL;
    free(conn->held);
    conn->held = NULL;
    conn->held_at = conn->held_len = 0;
}

void tide_input_release(struct tide_conn *conn)
{
    let_go(conn);
    stand_in_order(conn);
}

static void hold(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    const uint8_t *old_end = conn->held ? conn->held + conn->held_capacity : NULL;
    bool inside = conn->held && data >= conn->held && data <= old_end;
    size_t capacity;
    uint8_t *fresh;

    if (len == 0) {
        let_go(conn);
        return;
    }
    /* A large buffer stays while there is, or is going to be, something large in it. */
    if (inside && (len > TIDE_SMALL_INPUT || conn->held_capacity <= TIDE_SMALL_INPUT ||
                   conn->scan.need > TIDE_SMALL_INPUT)) {
        conn->held_at = (size_t)(data - conn->held);
        conn->held_len = len;
        return;
    }
    if (!inside && len <= conn->held_capacity && conn->held_capacity <= TIDE_SMALL_INPUT) {
        memcpy(conn->held, data, len);
        conn->held_at = 0;
        conn->held_len = len;
        return;
    }

    capacity = (len + TIDE_INPUT_STEP - 1) / TIDE_INPUT_STEP * TIDE_INPUT_STEP;
    if (len > TIDE_SMALL_INPUT && !conn->blocked) {
        size_t want = wanted(conn, len);

        /* No favour here: a frame that cannot grow now waits in line before its next read. */
        if (conn->shard->input_bytes + want <= conn->shard->input_max)
            capacity = want;
    }
    fresh = malloc(capacity);
    if (!fresh) {
        let_go(conn);
        conn->doomed = true;
        return;
    }
    memcpy(fresh, data, len);
    let_go(conn);
    book(conn, capacity);
    conn->held = fresh;
    conn->held_len = len;
}

void tide_input_hold(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    hold(conn, data, len);
    stand_in_order(conn);
}

void tide_input_append(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    size_t total = conn->held_len + len;

    if (conn->held_at + total > conn->held_capacity) {
        size_t capacity = 2 * total;

        /* Within the small size as long as possible: hold() would shrink a larger one at once. */
        if (total <= TIDE_SMALL_INPUT && capacity > TIDE_SMALL_INPUT)
            capacity = TIDE_SMALL_INPUT;
        compact(conn);
        if (total > conn->held_capacity && !resize(conn, capacity))
            return;
    }
    memcpy(conn->held + conn->held_at + conn->held_len, data, len);
    conn->held_len = total;
}

bool tide_input_make_room(struct tide_conn *conn)
{
    size_t want = wanted(conn, conn->held_len);

    compact(conn);
    if (conn->held_capacity > conn->held_len && conn->held_capacity > TIDE_SMALL_INPUT)
        return true;
    assert(want > conn->held_len); /* else the scanner had found the frame too large */
    return affordable(conn, want) && resize(conn, want);
}
