/* The scanner of frames. Its answer depends on the bytes and not on how they were cut; the frame it
 * finds is the value that msgpack-c finds and that the cursor steps over; what it asks for is never
 * more than is to come, and never beyond the limit.
 *
 * Input: the limit, the depth, the seed of the cuts (4 bytes), the stream.
 */
#include "fuzz.h"

#include <msgpack.h>
#include <stdbool.h>
#include "tidemark/wire.h"
#include "cursor.h"

#define HEAD 4

struct answer {
    enum tide_rc rc;
    size_t size;
};

static struct answer scan_whole(const uint8_t *stream, size_t len, size_t limit, uint32_t depth)
{
    uint8_t *copy = fuzz_copy(stream, len);
    struct tide_frame_scan scan;
    struct answer answer = {TIDE_AGAIN, 0};

    tide_frame_reset(&scan);
    answer.rc = tide_frame_next_within(&scan, copy, len, limit, depth, &answer.size);
    free(copy);
    return answer;
}

/* In pieces, each in memory of its own. patient: never looks before the scanner said it is worth
 * it. */
static struct answer scan_cut(const uint8_t *stream, size_t len, size_t limit, uint32_t depth,
                              uint32_t seed, bool patient)
{
    struct answer answer = {TIDE_AGAIN, 0};
    struct tide_frame_scan scan;
    size_t have = 0;

    tide_frame_reset(&scan);
    while (answer.rc == TIDE_AGAIN && have < len) {
        uint8_t *copy;

        have += 1 + fuzz_next(&seed) % (seed & 1 ? 3 : 300);
        if (patient && have < scan.need)
            have = scan.need;
        if (have > len)
            have = len;
        copy = fuzz_copy(stream, have);
        answer.rc = tide_frame_next_within(&scan, copy, have, limit, depth, &answer.size);
        free(copy);
        if (answer.rc == TIDE_AGAIN)
            claim(scan.need > have && scan.need <= limit && scan.depth <= depth);
    }
    return answer;
}

/* A prefix that the scanner did not find too large: what it declares is small enough to be unpacked
 * by a library that believes it. */
static void compare(const uint8_t *stream, size_t len, const struct answer *ours)
{
    msgpack_unpacked unpacked;
    size_t end = 0;
    msgpack_unpack_return theirs;

    msgpack_unpacked_init(&unpacked);
    theirs = msgpack_unpack_next(&unpacked, (const char *)stream, len, &end);
    msgpack_unpacked_destroy(&unpacked);
    if (theirs == MSGPACK_UNPACK_NOMEM_ERROR) /* too deep for it */
        return;
    /* It gives up on the length of the largest ext, we on what it makes of the whole. */
    if (theirs == MSGPACK_UNPACK_PARSE_ERROR && memmem(stream, len, "\xc9\xff\xff\xff\xff", 5))
        return;
    if (ours->rc == TIDE_OK)
        claim(theirs == MSGPACK_UNPACK_SUCCESS && end == ours->size);
    else if (ours->rc == TIDE_AGAIN)
        claim(theirs == MSGPACK_UNPACK_CONTINUE);
    else
        claim(ours->rc == TIDE_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *stream = data + HEAD;
    struct answer whole, cut;
    size_t limit, len;
    uint32_t depth, seed;

    if (size <= HEAD)
        return 0;
    len = size - HEAD;
    limit = 1 + ((size_t)data[0] << (data[0] & 7));
    depth = 1 + data[1] % TIDE_FRAME_DEPTH_MAX;
    seed = 1 + (data[2] | (uint32_t)data[3] << 8);
    whole = scan_whole(stream, len, limit, depth);
    claim(whole.rc != TIDE_OK || (whole.size > 0 && whole.size <= len && whole.size <= limit));
    for (int patient = 0; patient < 2; patient++) {
        cut = scan_cut(stream, len, limit, depth, seed, patient);
        claim(cut.rc == whole.rc && (cut.rc != TIDE_OK || cut.size == whole.size));
    }
    if (whole.rc == TIDE_OK) { /* it ends exactly there, whatever follows */
        uint8_t *copy = fuzz_copy(stream, whole.size);
        struct tide_cursor cursor = {copy, copy + whole.size};

        cut = scan_whole(stream, whole.size, whole.size, TIDE_FRAME_DEPTH_MAX);
        claim(cut.rc == TIDE_OK && cut.size == whole.size);
        claim(whole.size == 1 || scan_whole(stream, whole.size - 1, limit, depth).rc == TIDE_AGAIN);
        claim(tide_cursor_skip(&cursor) && cursor.at == cursor.end);
        free(copy);
    }
    if (depth == TIDE_FRAME_DEPTH_MAX && whole.rc != TIDE_TOO_LARGE)
        compare(stream, len, &whole);
    return 0;
}
