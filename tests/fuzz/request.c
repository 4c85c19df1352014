/* A whole connection: frames, requests, entries, until the first that closes it. The books balance
 * after every request, every event that is in the parcel can be read back, bounds hold, a refused
 * chunk leaves nothing, and folding the same request again gives the same.
 *
 * Input: the bound on entries, the bound on unpacked KiB, the stream.
 */
#include "fuzz.h"

#include <stdbool.h>
#include "tidemark/wire.h"

#define HEAD      2
#define FRAME_MAX (64u << 10)
#define NOW_US    INT64_C(1796000000000000)

static const struct tide_fold_rules rules = {.interval_s = 30,
                                             .lateness_s = INT64_C(1) << 31,
                                             .future_s = 60,
                                             .instance_seed = 2,
                                             .identity_seed = 3};

static bool same_identity(const struct tide_hash128 *a, const struct tide_hash128 *b)
{
    return a->low == b->low && a->high == b->high;
}

/* Every fact in it, as the committer will read them. */
static void read_back(const struct tide_parcel *parcel)
{
    uint32_t at = 0, facts = 0;

    for (; at < parcel->words; facts++) {
        struct tide_fact fact;
        uint32_t next = tide_fact_read(parcel, at, &fact);

        claim(next > at && next <= parcel->words);
        claim(fact.subject->len >= 1 && fact.subject->len <= TIDE_MODULE_NAME_MAX);
        claim(fact.time_us > 0 && fact.time_us <= NOW_US + rules.future_s * 1000000);
        claim(fact.ev.kind < TIDE_EVENT_KIND_COUNT && fact.ev.weight > 0);
        claim(fact.ev.correlation.len <= TIDE_ID_MAX && fact.ev.error.len <= TIDE_ERROR_TEXT_MAX &&
              fact.ev.metric.len <= TIDE_METRIC_NAME_MAX);
        at = next;
    }
    claim(at == parcel->words && facts == parcel->facts && facts == parcel->books.stored);
}

static void fold(const struct tide_request *request, const struct tide_fold_context *context,
                 struct tide_parcel *parcel)
{
    const struct tide_ledger before = parcel->books;
    const uint32_t facts = parcel->facts;
    uint64_t received, refused;

    tide_request_fold(request, context, parcel);
    claim(tide_ledger_balanced(&parcel->books));
    received = parcel->books.received - before.received;
    refused = tide_ledger_chunks_rejected(&parcel->books) - tide_ledger_chunks_rejected(&before);
    claim(refused <= 1 && received <= context->max_entries);
    if (refused)
        claim(received == 0 && parcel->facts == facts);
    read_back(parcel);
}

static void answer(const struct tide_request *request)
{
    static uint8_t reply[TIDE_ACK_OVERHEAD + TIDE_PARCEL_CHUNK_MAX];
    struct tide_origin origin;

    if (!request->chunk)
        return;
    claim(request->chunk_len <= TIDE_PARCEL_CHUNK_MAX &&
          request->chunk_payload_len <= request->chunk_len);
    claim(tide_reply_ack(reply, request->chunk, request->chunk_len) ==
          TIDE_ACK_OVERHEAD + request->chunk_len);
    claim(memcmp(reply + TIDE_ACK_OVERHEAD, request->chunk, request->chunk_len) == 0);
    (void)tide_request_origin(request, &origin);
}

/* One request; false: the connection ends. */
static bool take(const uint8_t *frame, size_t size, const struct tide_fold_context *context,
                 struct tide_parcel *parcel, struct tide_parcel *twice)
{
    struct tide_request request;
    struct tide_hash128 identity, again;

    if (tide_request_parse(frame, size, &request) != TIDE_OK)
        return false;
    claim(request.tag.len <= 256);
    identity = tide_request_identity(&request, 1, "peer", 4);
    again = tide_request_identity(&request, 1, "peer", 4);
    claim(same_identity(&identity, &again));
    fold(&request, context, parcel);
    fold(&request, context, twice);
    claim(memcmp(&parcel->books, &twice->books, sizeof(parcel->books)) == 0 &&
          parcel->words == twice->words && parcel->facts == twice->facts);
    answer(&request);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tide_parcel parcel, twice;
    struct tide_fold_context context = {
        .rules = &rules, .arrival_us = NOW_US, .peer = "127.0.0.1:5170", .max_unpacked_ratio = 100};
    size_t at = HEAD, frame_len;
    bool open = true;

    if (size <= HEAD)
        return 0;
    context.max_entries = 1 + data[0];
    context.max_unpacked_bytes = (size_t)data[1] << 10;
    tide_parcel_init(&parcel, NULL);
    tide_parcel_init(&twice, NULL);
    while (open && at < size) {
        struct tide_frame_scan scan;
        uint8_t *frame;

        tide_frame_reset(&scan);
        if (tide_frame_next(&scan, data + at, size - at, FRAME_MAX, &frame_len) != TIDE_OK)
            break;
        frame = fuzz_copy(data + at, frame_len);
        open = take(frame, frame_len, &context, &parcel, &twice);
        free(frame);
        at += frame_len;
    }
    tide_parcel_fini(&parcel);
    tide_parcel_fini(&twice);
    return 0;
}
