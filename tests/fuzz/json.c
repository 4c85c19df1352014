/* JSON requests: the end of a value does not depend on how the bytes were cut, what is taken for
 * JSON is one msgpack value of bounded size, and an ack can be written for whatever chunk is in it.
 *
 * Input: four bytes that choose limit, depth and cuts, and what a peer sends.
 */
#include "fuzz.h"

#include <stdbool.h>
#include "tidemark/wire.h"

static void read_acks(const uint8_t *value, size_t len)
{
    struct tide_request request;
    uint8_t *ack;

    if (tide_request_parse(value, len, &request) != TIDE_OK || !request.chunk)
        return;
    ack = malloc(TIDE_ACK_JSON_SIZE(request.chunk_len));
    claim(ack && tide_reply_ack_json(ack, request.chunk, request.chunk_len) <=
                     TIDE_ACK_JSON_SIZE(request.chunk_len));
    free(ack);
}

static void rewrite(const uint8_t *text, size_t len)
{
    struct tide_frame_scan scan;
    uint8_t *value;
    size_t value_len, end;

    if (tide_json_pack(text, len, &value, &value_len) != TIDE_OK) {
        claim(!value && value_len <= len);
        return;
    }
    claim(value_len <= 3 * len);
    tide_frame_reset(&scan);
    claim(tide_frame_next(&scan, value, value_len, value_len, &end) == TIDE_OK && end == value_len);
    read_acks(value, value_len);
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tide_frame_scan scan;
    enum tide_rc whole, cut = TIDE_AGAIN;
    size_t len, max, end = 0, cut_end = 0, there = 0;
    uint32_t cuts, depth;
    uint8_t *text;

    if (size < 5 || tide_speech_of(data[4]) != TIDE_SPEECH_JSON)
        return -1;
    len = size - 4;
    max = data[0] % 8 == 0 ? 1 + (size_t)data[1] : len;
    depth = data[0] % 3 == 0 ? 1 + data[2] % (uint32_t)TIDE_FRAME_DEPTH_MAX : TIDE_FRAME_DEPTH_MAX;
    cuts = 1 + data[3];
    text = fuzz_copy(data + 4, len);

    tide_frame_reset(&scan);
    whole = tide_json_next(&scan, text, len, max, depth, &end);
    tide_frame_reset(&scan);
    while (cut == TIDE_AGAIN && there < len) {
        there += 1 + fuzz_next(&cuts) % 16;
        if (there > len)
            there = len;
        if (scan.need <= there)
            cut = tide_json_next(&scan, text, there, max, depth, &cut_end);
    }
    claim(cut == whole && (whole != TIDE_OK || end == cut_end));
    if (whole == TIDE_OK) {
        claim(end <= max);
        rewrite(text, end);
    }
    rewrite(text, len);
    free(text);
    return 0;
}
