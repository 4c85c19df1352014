/* fold - the entries of one request -> events -> the parcel.
 *
 * Content never fails here: a good entry is kept whatever its neighbours are, a bad one is booked
 * by reason and shown in the ring of rejections. Where a packed payload stops being msgpack (cut
 * short, or a byte that is none) there is no next entry to find: what came before is kept and the
 * rest is one entry, `truncated`. A chunk that cannot be read at all is booked as a chunk; nothing
 * of it has been folded by then.
 *
 * An entry may be one byte, and becomes four words in the parcel when it is three: so their number
 * is bounded, too. A payload that has too many is found out on the way, and what it has put into
 * the parcel is taken back.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <stdlib.h>
#include "tidemark/reject.h"
#include "cursor.h"
#include "inflate.h"
#include "moment.h"

struct walk {
    const struct tide_request *request;
    const struct tide_fold_context *context;
    struct tide_parcel *into;
    unsigned noted;
};

static void reject(struct walk *walk, enum tide_entry_reason reason, const uint8_t *entry,
                   const uint8_t *end)
{
    tide_parcel_reject(walk->into, reason);
    /* A rejected entry may be one byte long: what one request can push into the ring costs no more
     * than the ring is long. */
    if (walk->noted >= TIDE_REJECT_RING)
        return;
    walk->noted++;
    tide_reject_note(tide_entry_reason_name(reason), walk->context->peer, walk->request->tag.start,
                     walk->request->tag.len, entry, (size_t)(end - entry));
}

static void reject_chunk(struct walk *walk, enum tide_chunk_reason reason)
{
    /* Not tide_parcel_reject_chunk: the parcel may already hold other requests, which came without
     * a chunk id. */
    walk->into->books.chunks_rejected[reason]++;
    tide_reject_note(tide_chunk_reason_name(reason), walk->context->peer, walk->request->tag.start,
                     walk->request->tag.len, walk->request->entries, walk->request->entries_len);
}

/* Fluent Bit brackets groups of log entries with pseudo-entries that have these impossible times.
 */
static bool is_group_marker(const struct tide_value *time)
{
    return time->type == TIDE_EXT && time->ext == 0 && time->len == 8 &&
           tide_get_be32(time->data) >= 0xfffffffe && tide_get_be32(time->data + 4) == 0;
}

/* The time of an entry, or the first element of [time, {metadata}]. */
static bool read_time(struct tide_cursor *cursor, struct tide_value *ret)
{
    uint64_t beside = 0;

    if (!tide_cursor_read(cursor, ret))
        return false;
    if (ret->type == TIDE_ARRAY && ret->len > 0) {
        beside = ret->len - 1;
        if (!tide_cursor_read(cursor, ret))
            return false;
    }
    return tide_cursor_skip_inside(cursor, ret) &&
           (beside == 0 || tide_cursor_skip_values(cursor, beside));
}

/* [time, record, anything...]: `beside` values follow the record. False: the bytes are no msgpack.
 */
static bool fold_pair(struct walk *walk, struct tide_cursor *cursor, const uint8_t *entry,
                      uint32_t beside)
{
    struct tide_event ev;
    struct tide_value time;
    int reason = -1;
    bool marker;

    if (!read_time(cursor, &time))
        return false;
    marker = is_group_marker(&time);
    if (!marker && !tide_moment_read(&time, &ev.time_us))
        reason = TIDE_ENTRY_BAD_TIME;
    if (!marker && reason < 0 && tide_cursor_left(cursor) > 0 && tide_byte_opens_map(*cursor->at)) {
        size_t used;

        if (tide_entry_decode(cursor->at, tide_cursor_left(cursor), &walk->request->tag, false, &ev,
                              &used, &reason))
            return false;
        cursor->at += used;
    } else {
        if (!tide_cursor_skip(cursor))
            return false;
        if (reason < 0)
            reason = TIDE_ENTRY_NOT_A_MAP;
    }
    if (beside > 0 && !tide_cursor_skip_values(cursor, beside))
        return false;
    if (marker)
        return true;
    if (reason >= 0)
        reject(walk, (enum tide_entry_reason)reason, entry, cursor->at);
    else
        tide_parcel_fold(walk->into, walk->context->rules, &ev, walk->context->arrival_us);
    return true;
}

/* One element of the entries. False: the bytes are no msgpack. */
static bool fold_entry(struct walk *walk, struct tide_cursor *cursor)
{
    const uint8_t *entry = cursor->at;
    struct tide_value value;

    if (!tide_cursor_read(cursor, &value))
        return false;
    if (value.type == TIDE_ARRAY && value.len >= 2)
        return fold_pair(walk, cursor, entry, value.len - 2);
    if (!tide_cursor_skip_inside(cursor, &value))
        return false;
    reject(walk, TIDE_ENTRY_NOT_AN_ENTRY, entry, cursor->at);
    return true;
}

/* [EventTime, {...}] with at most 15 fields, which is what nearly every client sends: one look at
 * the first bytes settles all that fold_entry asks one after the other. False: nothing happened,
 * this is for fold_entry. */
#define USUAL_HEAD 11 /* 92 d7 00, seconds, nanoseconds; behind it the record */

/* Decoded and not folded yet. What folding needs of the table of names is far away when there are
 * thousands of them: it is asked for at once and has come when the event gets its turn. */
#define WAITING 4

struct line {
    struct tide_event ev[WAITING];
    unsigned first, count;
};

static inline void fold_first(struct walk *walk, struct line *line)
{
    tide_parcel_fold(walk->into, walk->context->rules, &line->ev[line->first % WAITING],
                     walk->context->arrival_us);
    line->first++;
    line->count--;
}

static inline bool fold_usual(struct walk *walk, struct line *line, struct tide_cursor *cursor)
{
    const uint8_t *entry = cursor->at, *record = entry + USUAL_HEAD;
    struct tide_event *ev = &line->ev[(line->first + line->count) % WAITING];
    size_t used;
    int reason;

    if (tide_cursor_left(cursor) <= USUAL_HEAD || tide_get_be32(entry) >> 8 != 0x92d700 ||
        (*record & 0xf0) != 0x80 || tide_get_be32(entry + 3) >= 0xfffffffe || /* a marker? */
        !tide_moment_make(tide_get_be32(entry + 3), tide_get_be32(entry + 7), &ev->time_us) ||
        tide_entry_decode(record, (size_t)(cursor->end - record), &walk->request->tag, false, ev,
                          &used, &reason))
        return false;
    cursor->at = record + used;
    if (reason >= 0) {
        reject(walk, (enum tide_entry_reason)reason, entry, cursor->at);
        return true;
    }
    tide_parcel_call_up(walk->into, &ev->module);
    if (++line->count == WAITING)
        fold_first(walk, line);
    return true;
}

/* At most `most` entries. False: there are more. */
static bool fold_entries(struct walk *walk, struct tide_cursor cursor, uint64_t most)
{
    struct line line;

    line.first = line.count = 0;
    for (; tide_cursor_left(&cursor) > 0 && most > 0; most--) {
        const uint8_t *entry = cursor.at;

        if (fold_usual(walk, &line, &cursor))
            continue;
        while (line.count > 0)
            fold_first(walk, &line);
        if (!fold_entry(walk, &cursor)) {
            reject(walk, TIDE_ENTRY_TRUNCATED, entry, cursor.end);
            return true;
        }
    }
    while (line.count > 0)
        fold_first(walk, &line);
    return tide_cursor_left(&cursor) == 0;
}

static void fold_packed(struct walk *walk, const uint8_t *data, size_t len)
{
    const uint64_t most = walk->context->max_entries ? walk->context->max_entries : UINT64_MAX;
    struct tide_parcel_mark before;

    if (len == 0)
        return;
    tide_parcel_note(walk->into, &before);
    if (fold_entries(walk, (struct tide_cursor){data, data + len}, most))
        return;
    tide_parcel_take_back(walk->into, &before);
    reject_chunk(walk, TIDE_CHUNK_TOO_LARGE);
}

/* What the payload may unpack to. */
static size_t unpacked_max(const struct walk *walk)
{
    const struct tide_fold_context *context = walk->context;
    uint64_t most = (uint64_t)walk->request->entries_len * context->max_unpacked_ratio;

    if (most < TIDE_UNPACKED_FREE_BYTES)
        most = TIDE_UNPACKED_FREE_BYTES;
    return context->max_unpacked_ratio == 0 || most > context->max_unpacked_bytes
               ? context->max_unpacked_bytes
               : (size_t)most;
}

static void fold_gzip(struct walk *walk)
{
    const struct tide_request *request = walk->request;
    uint8_t *data;
    size_t len;

    switch (
        tide_gzip_unpack(request->entries, request->entries_len, unpacked_max(walk), &data, &len)) {
    case TIDE_OK:
        fold_packed(walk, data, len);
        free(data);
        break;
    case TIDE_MALFORMED:
        reject_chunk(walk, TIDE_CHUNK_BAD_GZIP);
        break;
    case TIDE_TOO_LARGE:
        reject_chunk(walk, TIDE_CHUNK_TOO_LARGE);
        break;
    default:
        abort(); /* out of memory, as in tide_parcel_fold: nothing of this chunk is acked */
    }
}

static void fold_message(struct walk *walk)
{
    const struct tide_request *request = walk->request;
    struct tide_cursor cursor = {request->entries, request->entries + request->entries_len};

    if (!fold_pair(walk, &cursor, request->entries, 0))
        reject(walk, TIDE_ENTRY_TRUNCATED, request->entries, cursor.end);
}

static void fold_bare(struct walk *walk)
{
    const struct tide_request *request = walk->request;
    struct tide_event ev = {0};
    size_t used;
    int reason;

    if (tide_entry_decode(request->entries, request->entries_len, &request->tag, true, &ev, &used,
                          &reason))
        reason = TIDE_ENTRY_TRUNCATED;
    if (reason >= 0)
        reject(walk, (enum tide_entry_reason)reason, request->entries,
               request->entries + request->entries_len);
    else
        tide_parcel_fold(walk->into, walk->context->rules, &ev, walk->context->arrival_us);
}

void tide_request_fold(const struct tide_request *request, const struct tide_fold_context *context,
                       struct tide_parcel *into)
{
    struct walk walk = {request, context, into, 0};

    if (request->signal != 0) {
        reject_chunk(&walk, TIDE_CHUNK_UNSUPPORTED_SIGNAL);
        return;
    }
    switch (request->mode) {
    case TIDE_MODE_MESSAGE:
        fold_message(&walk);
        break;
    case TIDE_MODE_FORWARD: /* the elements of its array are laid out like a packed payload */
        fold_packed(&walk, request->entries, request->entries_len);
        break;
    case TIDE_MODE_PACKED:
        if (request->compression == TIDE_COMPRESSION_UNKNOWN)
            reject_chunk(&walk, TIDE_CHUNK_UNKNOWN_COMPRESSION);
        else if (request->compression == TIDE_GZIP ||
                 tide_gzip_magic(request->entries, request->entries_len))
            fold_gzip(&walk);
        else
            fold_packed(&walk, request->entries, request->entries_len);
        break;
    case TIDE_MODE_BARE:
        fold_bare(&walk);
        break;
    case TIDE_MODE_NIL:
    case TIDE_MODE_STRAY:
        break;
    }
}
