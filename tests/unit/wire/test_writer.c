#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "folded.h"
#include "pack.h"

static void ack_echoes_the_chunk_byte_for_byte(void **state)
{
    static const char *const chunk[] = {"a0", "d9 03 61 62 0a", "c4 02 00 ff", "05",
                                        "cf 00 00 00 00 00 00 00 01"};

    (void)state;
    for (size_t i = 0; i < sizeof(chunk) / sizeof(chunk[0]); i++) {
        struct tide_pack value = tide_pack_hex(chunk[i]);
        struct tide_pack expected = tide_pack("{'ack':'hex:%s'}", chunk[i]);
        uint8_t out[TIDE_ACK_OVERHEAD + 16];
        size_t len = tide_reply_ack(out, value.data, value.len);

        assert_int_equal(len, expected.len);
        assert_memory_equal(out, expected.data, len);
        tide_pack_free(&value);
        tide_pack_free(&expected);
    }
}

static void written_request_reads_back(void **state)
{
    struct tide_forward_writer *writer = tide_forward_writer_new();
    const struct tide_fold_rules rules = {.interval_s = 30, .lateness_s = 3600, .future_s = 300};
    const struct tide_fold_context context = {.rules = &rules,
                                              .arrival_us = 1700000001000000,
                                              .peer = "writer",
                                              .max_unpacked_bytes = 1 << 20};
    struct tide_parcel *parcel = calloc(1, sizeof(*parcel));
    struct tide_pack record =
        tide_pack("{'module_id':'auth','event':'response','duration_ms':2.5}");
    struct tide_pack chunk = tide_pack("'chunk-0001'");

    (void)state;
    tide_parcel_init(parcel, NULL);
    for (int round = 0; round < 3; round++) { /* a finished writer is empty and usable */
        struct tide_frame_scan scan;
        struct tide_request request;
        const void *frame;
        size_t len, size;

        for (int i = 0; i < 100; i++)
            tide_forward_writer_add(writer, 1700000000123456 + i, record.data, record.len);
        assert_int_equal(tide_forward_writer_entries(writer), 100);
        assert_int_equal(tide_forward_writer_size(writer), 100 * (1 + 10 + record.len));
        frame = tide_forward_writer_finish(writer, "mod.x", round == 2 ? NULL : "chunk-0001", &len);
        assert_int_equal(tide_forward_writer_entries(writer), 0);
        assert_int_equal(tide_forward_writer_size(writer), 0);

        tide_frame_reset(&scan);
        assert_int_equal(tide_frame_next(&scan, frame, len, 1 << 20, &size), TIDE_OK);
        assert_int_equal(size, len);
        assert_int_equal(tide_request_parse(frame, len, &request), TIDE_OK);
        assert_int_equal(request.mode, TIDE_MODE_PACKED);
        assert_false(request.bad_option);
        if (round == 2) {
            assert_null(request.chunk);
        } else {
            assert_int_equal(request.chunk_len, chunk.len);
            assert_memory_equal(request.chunk, chunk.data, chunk.len);
        }
        struct tide_folded folded;

        tide_parcel_reset(parcel);
        tide_request_fold(&request, &context, parcel);
        assert_int_equal(parcel->books.stored, 100);
        assert_int_equal(tide_test_fold(parcel, rules.interval_s, &folded, 1), 1);
        assert_int_equal(folded.record.tally.first_us, 1700000000123456);
        assert_int_equal(folded.record.tally.last_us, 1700000000123456 + 99);
        assert_int_equal(folded.record.tally.sum_us, 250000);
        tide_folded_free(&folded, 1);
    }
    tide_parcel_fini(parcel);
    free(parcel);
    tide_pack_free(&record);
    tide_pack_free(&chunk);
    tide_forward_writer_free(writer);
    tide_forward_writer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ack_echoes_the_chunk_byte_for_byte),
        cmocka_unit_test(written_request_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
