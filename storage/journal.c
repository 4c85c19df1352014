/* journal - see journal.h. */
#include "journal.h"

#include <string.h>

#include "tidemark/bytes.h"

void journal_begin(struct blob *blob, uint32_t deltas)
{
    blob->len = 0;
    blob_reserve(blob, TIDE_VARINT_MAX);
    blob->len = (size_t)(tide_put_varint(blob->start, deltas) - blob->start);
}

void journal_add(struct blob *blob, const struct group *group, const struct group_delta *delta)
{
    struct row_view view = group_view(group, delta);
    uint8_t *to;

    blob_reserve(blob, 4 * TIDE_VARINT_MAX + delta->error_len);
    to = tide_put_varint(blob->start + blob->len, delta->module);
    to = tide_put_varint(to, (uint64_t)delta->start_s);
    to = tide_put_varint(to, delta->error_len);
    if (delta->error_len) {
        to = tide_put_varint(to, (uint64_t)delta->error_us);
        memcpy(to, delta->error, delta->error_len);
        to += delta->error_len;
    }
    blob->len = (size_t)(to - blob->start);
    row_encode_view(blob, &view, delta->start_s * 1000000);
}

static bool get_delta(const uint8_t **at, const uint8_t *end, struct journal_delta *delta,
                      struct tide_record *scratch)
{
    uint64_t module, start_s, error_len, error_us = 0;

    if (!tide_get_varint(at, end, &module) || !tide_get_varint(at, end, &start_s) ||
        !tide_get_varint(at, end, &error_len) || module == 0 || module > UINT32_MAX ||
        start_s > INT64_MAX / 1000000 || error_len > TIDE_ERROR_TEXT_MAX)
        return false;
    if (error_len && (!tide_get_varint(at, end, &error_us) || error_us > INT64_MAX ||
                      error_len > (uint64_t)(end - *at)))
        return false;
    *delta = (struct journal_delta){.module = (uint32_t)module,
                                    .start_s = (int64_t)start_s,
                                    .record = scratch,
                                    .error = (const char *)*at,
                                    .error_len = (uint32_t)error_len,
                                    .error_us = (int64_t)error_us};
    *at += error_len;
    return row_decode(at, end, scratch, (int64_t)start_s * 1000000);
}

bool journal_decode(uint64_t seq, const uint8_t *payload, size_t len, struct tide_record *scratch,
                    journal_take_fn *take, void *arg)
{
    const uint8_t *at = payload, *end = payload + len;
    uint64_t count;

    if (!tide_get_varint(&at, end, &count))
        return false;
    while (count--) {
        struct journal_delta delta;

        if (!get_delta(&at, end, &delta, scratch))
            return false;
        take(arg, seq, &delta);
    }
    return at == end;
}

void journal_encode_identities(struct blob *blob, const struct identity_set *set, uint64_t count,
                               int64_t now_us)
{
    uint8_t *to;

    blob->len = 0;
    blob_reserve(blob, 8 + (size_t)count * 16);
    tide_put_be64(blob->start, (uint64_t)now_us);
    to = blob->start + 8;
    for (; count; count--, to += 16) {
        struct tide_hash128 id = identity_newest(set, count - 1);

        tide_put_be64(to, id.high);
        tide_put_be64(to + 8, id.low);
    }
    blob->len = (size_t)(to - blob->start);
}

void journal_encode_producers(struct blob *blob, const struct producer_chunk *chunk, size_t count,
                              int64_t now_us)
{
    uint8_t *to;

    blob->len = 0;
    blob_reserve(blob, 8 + count * JOURNAL_PRODUCER_SIZE);
    tide_put_be64(blob->start, (uint64_t)now_us);
    to = blob->start + 8;
    for (size_t i = 0; i < count; i++, to += JOURNAL_PRODUCER_SIZE) {
        memcpy(to, chunk[i].origin.producer, 16);
        tide_put_be64(to + 16, chunk[i].origin.epoch);
        tide_put_be64(to + 24, chunk[i].origin.seq);
        tide_put_be64(to + 32, chunk[i].payload.high);
        tide_put_be64(to + 40, chunk[i].payload.low);
    }
    blob->len = (size_t)(to - blob->start);
}

struct producer_chunk journal_decode_producer(const uint8_t from[JOURNAL_PRODUCER_SIZE])
{
    struct producer_chunk chunk = {
        .origin = {.epoch = tide_get_be64(from + 16), .seq = tide_get_be64(from + 24)},
        .payload = {.high = tide_get_be64(from + 32), .low = tide_get_be64(from + 40)}};

    memcpy(chunk.origin.producer, from, 16);
    return chunk;
}
