/* What real clients sent (tests/golden/wire), through the decoder alone: whole, byte by byte and
 * cut anywhere. */
#include "tidemark/wire.h"
#include "folded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guard.h"

#define FRAMES_MAX 16
#define FRAME_MAX  (1u << 20)

static json_t *expect;
static struct tide_guard guard;

struct stream {
    const char *name;
    uint8_t data[4096];
    size_t len;
};

static void load(json_t *item, struct stream *stream)
{
    char path[512];
    FILE *file;

    stream->name = json_string_value(json_object_get(item, "file"));
    snprintf(path, sizeof(path), "%s/wire/%s", TIDE_GOLDEN, stream->name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    stream->len = fread(stream->data, 1, sizeof(stream->data), file);
    fclose(file);
    assert_int_equal(stream->len, json_integer_value(json_object_get(item, "bytes")));
}

/* Ends of the frames of a stream that arrives in the pieces data[0, cut) and the rest. */
static size_t frames_of(const struct stream *stream, size_t cut, size_t ends[FRAMES_MAX])
{
    struct tide_frame_scan scan;
    size_t start = 0, count = 0, have = cut;

    tide_frame_reset(&scan);
    while (start < stream->len) {
        size_t size;
        enum tide_rc rc =
            tide_frame_next(&scan, tide_guard_place(&guard, stream->data + start, have - start),
                            have - start, FRAME_MAX, &size);

        if (rc == TIDE_AGAIN && have < stream->len) {
            have = stream->len;
            continue;
        }
        if (rc != TIDE_OK || count == FRAMES_MAX)
            fail_msg("%s cut at %zu: %d after %zu frames", stream->name, cut, rc, count);
        start += size;
        ends[count++] = start;
    }
    return count;
}

static void any_cut_gives_the_same_frames(void **state)
{
    json_t *item;
    size_t at;

    (void)state;
    json_array_foreach(json_object_get(expect, "streams"), at, item)
    {
        struct stream stream;
        size_t whole[FRAMES_MAX], cut[FRAMES_MAX], frames;

        load(item, &stream);
        frames = frames_of(&stream, stream.len, whole);
        for (size_t first = 0; first < stream.len; first++) {
            assert_int_equal(frames_of(&stream, first, cut), frames);
            assert_memory_equal(cut, whole, frames * sizeof(cut[0]));
        }
    }
}

static void byte_by_byte_gives_the_same_frames(void **state)
{
    json_t *item;
    size_t at;

    (void)state;
    json_array_foreach(json_object_get(expect, "streams"), at, item)
    {
        struct stream stream;
        struct tide_frame_scan scan;
        size_t whole[FRAMES_MAX], frames, start = 0, count = 0;

        load(item, &stream);
        frames = frames_of(&stream, stream.len, whole);
        tide_frame_reset(&scan);
        for (size_t have = 1; have <= stream.len; have++) {
            size_t size;
            enum tide_rc rc =
                tide_frame_next(&scan, tide_guard_place(&guard, stream.data + start, have - start),
                                have - start, FRAME_MAX, &size);

            if (rc == TIDE_AGAIN)
                continue;
            assert_int_equal(rc, TIDE_OK);
            start += size;
            assert_true(count < frames);
            assert_int_equal(start, whole[count++]);
        }
        assert_int_equal(count, frames);
    }
}

static bool needs(json_t *item, const char *what)
{
    json_t *need;
    size_t at;

    json_array_foreach(json_object_get(item, "needs"), at,
                       need) if (strcmp(json_string_value(need), what) == 0) return true;
    return false;
}

static enum tide_mode mode_of(json_t *item)
{
    const char *mode = json_string_value(json_object_get(item, "mode"));

    return strcmp(mode, "message") == 0   ? TIDE_MODE_MESSAGE
           : strcmp(mode, "forward") == 0 ? TIDE_MODE_FORWARD
                                          : TIDE_MODE_PACKED;
}

static void hex_of(char *to, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sprintf(to + 2 * i, "%02x", data[i]);
}

/* Every event of every stream is good; counts, times and outcomes are the listed ones; the answer
 * is the listed bytes. */
static void every_stream_folds_to_what_is_listed(void **state)
{
    static const struct tide_fold_rules rules = {
        .interval_s = 30, .lateness_s = INT64_C(1) << 40, .future_s = 1};
    const struct tide_fold_context context = {.rules = &rules,
                                              .arrival_us = INT64_C(1796000000000000),
                                              .peer = "capture",
                                              .max_unpacked_bytes = 1 << 20};
    struct tide_parcel *parcel = calloc(1, sizeof(*parcel));
    json_t *item;
    size_t at;

    (void)state;
    tide_parcel_init(parcel, NULL);
    json_array_foreach(json_object_get(expect, "streams"), at, item)
    {
        struct stream stream;
        size_t ends[FRAMES_MAX], frames, start = 0, requests = 0, acks = 0;
        json_t *time_us = json_object_get(item, "time_us");
        uint64_t failed = 0, errors = 0, count = 0;
        struct tide_folded folded[8];
        size_t folds;
        int64_t first_us = INT64_MAX, last_us = 0;

        load(item, &stream);
        frames = frames_of(&stream, stream.len, ends);
        tide_parcel_reset(parcel);
        for (size_t f = 0; f < frames; start = ends[f++]) {
            const uint8_t *frame = tide_guard_place(&guard, stream.data + start, ends[f] - start);
            struct tide_request request;

            if (f == 0 && needs(item, "handshake"))
                continue; /* the PING */
            assert_int_equal(tide_request_parse(frame, ends[f] - start, &request), TIDE_OK);
            assert_int_equal(request.mode, mode_of(item));
            assert_int_equal(request.tag.len, 8);
            assert_memory_equal(request.tag.start, "mod.auth", 8);
            assert_false(request.bad_tag || request.bad_option);
            assert_int_equal(request.compression, needs(item, "gzip") ? TIDE_GZIP : TIDE_PLAIN);
            tide_request_fold(&request, &context, parcel);
            requests++;
            if (request.chunk) {
                uint8_t reply[256];
                char hex[2 * sizeof(reply) + 1];

                hex_of(hex, reply, tide_reply_ack(reply, request.chunk, request.chunk_len));
                assert_string_equal(
                    hex, json_string_value(json_array_get(json_object_get(item, "acks"), acks)));
                assert_true(request.chunk_payload_len >= TIDE_CHUNK_ID_MIN);
                acks++;
            }
        }
        assert_int_equal(requests, json_integer_value(json_object_get(item, "requests")));
        assert_int_equal(acks, json_array_size(json_object_get(item, "acks")));
        assert_int_equal(parcel->books.received,
                         json_integer_value(json_object_get(item, "events")));
        assert_int_equal(parcel->books.stored, parcel->books.received);
        folds = tide_test_fold(parcel, rules.interval_s, folded, 8);
        for (size_t i = 0; i < folds; i++) {
            const struct tide_tally *tally = &folded[i].record.tally;

            assert_string_equal(folded[i].name, "auth");
            count += tally->requests;
            failed += tally->failed;
            errors += tally->errors;
            first_us = tally->first_us < first_us ? tally->first_us : first_us;
            last_us = tally->last_us > last_us ? tally->last_us : last_us;
        }
        tide_folded_free(folded, folds);
        assert_int_equal(count, json_integer_value(json_object_get(item, "events")));
        assert_int_equal(failed, json_integer_value(json_object_get(item, "failed")));
        assert_int_equal(errors, json_integer_value(json_object_get(item, "errors")));
        if (count > 0) {
            assert_int_equal(first_us, json_integer_value(json_array_get(time_us, 0)));
            assert_int_equal(
                last_us, json_integer_value(json_array_get(time_us, json_array_size(time_us) - 1)));
        }
    }
    tide_parcel_fini(parcel);
    free(parcel);
}

/* A resend is byte-identical, so it has the same identity; from another peer it has another. */
static void resends_have_the_same_identity(void **state)
{
    json_t *item, *other;
    size_t at, other_at;
    unsigned pairs = 0;

    (void)state;
    json_array_foreach(json_object_get(expect, "streams"), at, item)
    {
        const char *of = json_string_value(json_object_get(item, "duplicate_of"));

        json_array_foreach(json_object_get(expect, "streams"), other_at, other)
        {
            struct stream a, b;
            struct tide_request one, two;
            struct tide_hash128 x, y, elsewhere;

            if (!of || strcmp(of, json_string_value(json_object_get(other, "file"))) != 0)
                continue;
            load(item, &a);
            load(other, &b);
            assert_int_equal(tide_request_parse(a.data, a.len, &one), TIDE_OK);
            assert_int_equal(tide_request_parse(b.data, b.len, &two), TIDE_OK);
            x = tide_request_identity(&one, 1, "10.0.0.1", 8);
            y = tide_request_identity(&two, 1, "10.0.0.1", 8);
            elsewhere = tide_request_identity(&two, 1, "10.0.0.2", 8);
            assert_memory_equal(&x, &y, sizeof(x));
            assert_memory_not_equal(&x, &elsewhere, sizeof(x));
            pairs++;
        }
    }
    assert_int_equal(pairs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_frames),
        cmocka_unit_test(byte_by_byte_gives_the_same_frames),
        cmocka_unit_test(every_stream_folds_to_what_is_listed),
        cmocka_unit_test(resends_have_the_same_identity),
    };
    json_error_t error;
    int failed;

    expect = json_load_file(TIDE_GOLDEN "/wire/expect.json", 0, &error);
    if (!expect) {
        fprintf(stderr, "expect.json:%d: %s\n", error.line, error.text);
        return 1;
    }
    tide_guard_init(&guard, 8192);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    json_decref(expect);
    return failed;
}
