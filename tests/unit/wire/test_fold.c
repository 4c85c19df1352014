#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/bytes.h"
#include "tidemark/reject.h"
#include "guard.h"
#include "pack.h"

#define NOW_US INT64_C(1700000100000000)

static struct tide_guard guard;
static struct tide_parcel *parcel;
static const struct tide_fold_rules rules = {.interval_s = 30, .lateness_s = 3600, .future_s = 300};

static void fold(struct tide_pack pack)
{
    const struct tide_fold_context context = {.rules = &rules,
                                              .arrival_us = NOW_US,
                                              .peer = "127.0.0.1:5170",
                                              .max_unpacked_bytes = 1 << 20};
    struct tide_request request;

    assert_int_equal(
        tide_request_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, &request),
        TIDE_OK);
    tide_request_fold(&request, &context, parcel);
    assert_true(tide_ledger_balanced(&parcel->books));
    tide_pack_free(&pack);
}

/* A request as JSON: how many events are kept, and what the rest is rejected as (reason -1: nothing
 * is). */
struct row {
    const char *json;
    uint64_t stored, rejected;
    int reason;
};

static void check(const struct row *row, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        const struct tide_ledger *books = &parcel->books;

        tide_parcel_reset(parcel);
        fold(tide_pack("%s", row[i].json));
        if (books->stored != row[i].stored || tide_ledger_rejected(books) != row[i].rejected ||
            (row[i].reason >= 0 && books->rejected[row[i].reason] != row[i].rejected) ||
            tide_ledger_chunks_rejected(books) != 0)
            fail_msg("%s: stored %llu, rejected %llu, of these as expected %llu", row[i].json,
                     (unsigned long long)books->stored,
                     (unsigned long long)tide_ledger_rejected(books),
                     (unsigned long long)(row[i].reason >= 0 ? books->rejected[row[i].reason] : 0));
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

static void good_requests_of_every_mode(void **state)
{
    static const struct row row[] = {
        {"['mod.a',1700000000,{'status':200}]", 1, 0, -1},
        {"['mod.a',null,{'status':200}]", 1, 0, -1},
        {"['mod.a',0,{'status':200},{'chunk':'abcdefgh'}]", 1, 0, -1},
        {"['mod.a',1700000000.25,{'status':200}]", 1, 0, -1},
        {"['mod.a',[[1700000000,{}],[1700000001,{}]]]", 2, 0, -1},
        {"['mod.a',[[['hex:d7006553f1000ee6b280',{}],{}]]]", 1, 0,
         -1}, /* [[time, {metadata}], record] */
        {"['mod.a',[[[1700000000,{'m':[1]},3],{}],[[1700000000],{}]]]", 2, 0, -1},
        {"['mod.a',[[1700000000,{},'more',[1,2],{}]]]", 1, 0, -1}, /* more than a pair */
        {"['mod.a','hex:c40f92ce6553f1008092ce6553f1008001']", 2, 1, TIDE_ENTRY_NOT_AN_ENTRY},
        {"['mod.a','hex:ae92ce6553f1008092ce6553f10080']", 2, 0, -1}, /* payload as str */
        {"['mod.a',[],{'chunk':'abcdefgh'}]", 0, 0, -1},
        {"['mod.a','',{'chunk':'abcdefgh'}]", 0, 0, -1},
        {"['mod.a','hex:c400']", 0, 0, -1},
        {"{'module_id':'a','timestamp':1700000000}", 1, 0, -1},
        {"{'module_id':'a'}", 1, 0, -1},
        {"null", 0, 0, -1},
        {"5", 0, 0, -1},
    };

    (void)state;
    CHECK(row);
}

static void bad_entries_are_booked_by_reason(void **state)
{
    static const struct row row[] = {
        {"['mod.a',1700000000,null]", 0, 1, TIDE_ENTRY_NOT_A_MAP},
        {"['mod.a',1700000000,[1,2]]", 0, 1, TIDE_ENTRY_NOT_A_MAP},
        {"['mod.a',1700000000,'text']", 0, 1, TIDE_ENTRY_NOT_A_MAP},
        {"['mod.a',[[1,null],[1,[]],[1,5]]]", 0, 3, TIDE_ENTRY_NOT_A_MAP},
        {"['mod.a',-1,{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a',1700000000000,{}]", 0, 1, TIDE_ENTRY_BAD_TIME}, /* milliseconds */
        {"['mod.a','hex:d60065536500',{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a','hex:d4017f',{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a','hex:cfffffffffffffffff',{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a',true,{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a',{'a':1},{}]", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"['mod.a',[['1',{}],[[],{}],[[[1]],{}],[{'t':1},{}]]]", 0, 4, TIDE_ENTRY_BAD_TIME},
        {"['mod.a',[1,{}],{'status':200}]", 0, 2,
         TIDE_ENTRY_NOT_AN_ENTRY}, /* Message with metadata */
        {"['mod.a',[[],[1],null,'x',{'a':1},5]]", 0, 6, TIDE_ENTRY_NOT_AN_ENTRY},
        {"['mod.a',[[1700000000,{'duration_ms':-1}],[1700000000,{'duration_ms':1}]]]", 1, 1,
         TIDE_ENTRY_BAD_DURATION},
        {"['mod.a',[[1700000000,{'status':'x'}],[1700000000,{}]]]", 1, 1, TIDE_ENTRY_BAD_STATUS},
        {"['mod.a',[[1700000000,{'event':1}],[1700000000,{}]]]", 1, 1, TIDE_ENTRY_BAD_EVENT},
        {"['mod.a',[[1700000000,{'success':1}],[1700000000,{}]]]", 1, 1, TIDE_ENTRY_BAD_SUCCESS},
        {"['mod.a',[[1700000000,{'sample_rate':2}],[1700000000,{}]]]", 1, 1,
         TIDE_ENTRY_BAD_SAMPLE_RATE},
        {"['mod.a',[[1700000000,{'module_id':1}],[1700000000,{}]]]", 1, 1,
         TIDE_ENTRY_BAD_MODULE_ID},
        {"{'timestamp':-5,'module_id':'a'}", 0, 1, TIDE_ENTRY_BAD_TIME},
        {"{'status':200}", 0, 1, TIDE_ENTRY_NO_MODULE},
    };

    (void)state;
    CHECK(row);
}

static void bad_tag_costs_only_entries_without_module(void **state)
{
    static const struct row row[] = {
        {"[null,[[1700000000,{}],[1700000000,{'module_id':'a'}]]]", 1, 1, TIDE_ENTRY_NO_MODULE},
        {"[5,1700000000,{}]", 0, 1, TIDE_ENTRY_NO_MODULE},
        {"['',1700000000,{}]", 0, 1, TIDE_ENTRY_NO_MODULE},
        {"['hex:c3',1700000000,{'module_id':'a'}]", 1, 0, -1},
        {"['hex:c4056d6f642e61',1700000000,{}]", 1, 0, -1}, /* a tag as bin */
    };

    (void)state;
    CHECK(row);
}

static void broken_payload_keeps_what_came_before(void **state)
{
    static const struct row row[] = {
        {"['mod.a','hex:c40e92ce6553f1008092ce6553f10081']", 1, 1,
         TIDE_ENTRY_TRUNCATED}, /* cut in the record */
        {"['mod.a','hex:c40992ce6553f1008092ce']", 1, 1,
         TIDE_ENTRY_TRUNCATED}, /* cut in the time */
        {"['mod.a','hex:c40892ce6553f1008092']", 1, 1,
         TIDE_ENTRY_TRUNCATED}, /* cut behind the array */
        {"['mod.a','hex:c40892ce6553f10080c1']", 1, 1, TIDE_ENTRY_TRUNCATED}, /* the unused byte */
        {"['mod.a','hex:c40f92ce6553f10080c192ce6553f10080']", 1, 1, TIDE_ENTRY_TRUNCATED},
        {"['mod.a','hex:c40f92ce6553f10080c092ce6553f10080']", 2, 1,
         TIDE_ENTRY_NOT_AN_ENTRY},                                          /* nil in between */
        {"['mod.a','hex:c407ddffffffff9292']", 0, 1, TIDE_ENTRY_TRUNCATED}, /* 4 G elements */
        {"['mod.a','hex:c40b92ce6553f100dfffffffff']", 0, 1, TIDE_ENTRY_TRUNCATED}, /* 4 G pairs */
        {"['mod.a','hex:c40c92ce6553f10081a161dbffff']", 0, 1,
         TIDE_ENTRY_TRUNCATED}, /* in a string's length */
    };

    (void)state;
    CHECK(row);
}

/* An entry of a packed payload is as deep as one of a frame may be, no deeper. */
static void deep_entry_ends_a_payload(void **state)
{
    uint8_t payload[7 + 64];

    (void)state;
    tide_parcel_reset(parcel);
    memcpy(payload, "\x92\xce\x65\x53\xf1\x00\x80", 7);
    memset(payload + 7, 0x91, sizeof(payload) - 8);
    payload[sizeof(payload) - 1] = 0xc0;
    {
        struct tide_pack pack = tide_pack_hex("92 a5 6d6f642e61 c4 47");

        fold(tide_pack_join(
            pack, (struct tide_pack){memcpy(malloc(sizeof(payload)), payload, sizeof(payload)),
                                     sizeof(payload)}));
    }
    assert_int_equal(parcel->books.stored, 1);
    assert_int_equal(parcel->books.rejected[TIDE_ENTRY_TRUNCATED], 1);
}

static void group_markers_are_no_entries(void **state)
{
    static const struct row row[] = {
        {"['mod.a',[[['hex:d700ffffffff00000000',{}],{'resource':{}}],[1700000000,{}],"
         "[['hex:d700fffffffe00000000',{}],{}]]]",
         1, 0, -1},
        {"['mod.a','hex:d700ffffffff00000000',{}]", 0, 0, -1},
        {"['mod.a','hex:d700ffffffff00000000',null]", 0, 0, -1},
    };

    (void)state;
    CHECK(row);
    tide_parcel_reset(parcel);
    fold(tide_pack("['mod.a','hex:d700fffffffe00000000',{}]"));
    assert_int_equal(parcel->books.received, 0);
    fold(tide_pack("['mod.a','hex:d700fffffffe00000001',{}]")); /* a moment in 2106 */
    assert_int_equal(parcel->books.received, 1);
}

static void time_is_counted_from_arrival(void **state)
{
    (void)state;
    tide_parcel_reset(parcel);
    fold(tide_pack("['mod.a',[[%lld,{}],[%lld,{}],[%lld,{}],[0,{}]]]",
                   (long long)(NOW_US / 1000000 - 3601), (long long)(NOW_US / 1000000 + 301),
                   (long long)(NOW_US / 1000000)));
    assert_int_equal(parcel->books.received, 4);
    assert_int_equal(parcel->books.late, 1);
    assert_int_equal(parcel->books.skewed, 1);
    assert_int_equal(parcel->books.stored, 3);
}

static void unreadable_chunk_is_booked_once(void **state)
{
    static const struct {
        const char *json;
        enum tide_chunk_reason reason;
    } row[] = {
        {"['mod.a',[[1,{}]],{'fluent_signal':1}]", TIDE_CHUNK_UNSUPPORTED_SIGNAL},
        {"['mod.a','x',{'fluent_signal':2}]", TIDE_CHUNK_UNSUPPORTED_SIGNAL},
        {"['mod.a',1,{},{'fluent_signal':1}]", TIDE_CHUNK_UNSUPPORTED_SIGNAL},
        {"['mod.a','x',{'compressed':'lz4'}]", TIDE_CHUNK_UNKNOWN_COMPRESSION},
        {"['mod.a','x',{'compressed':'zstd'}]", TIDE_CHUNK_UNKNOWN_COMPRESSION},
        {"['mod.a','not gzip',{'compressed':'gzip'}]", TIDE_CHUNK_BAD_GZIP},
        {"['mod.a','hex:c4021f8b']", TIDE_CHUNK_BAD_GZIP},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        tide_parcel_reset(parcel);
        fold(tide_pack("['mod.a',1700000000,{}]")); /* of another request, which stays */
        fold(tide_pack("%s", row[i].json));
        assert_int_equal(parcel->books.received, 1);
        assert_int_equal(parcel->books.stored, 1);
        assert_int_equal(parcel->facts, 1);
        assert_int_equal(parcel->books.chunks_rejected[row[i].reason], 1);
        assert_int_equal(tide_ledger_chunks_rejected(&parcel->books), 1);
        assert_false(tide_parcel_empty(parcel));
    }
}

/* ['mod.a', payload, option] with the payload as bin. */
static struct tide_pack packed(struct tide_pack payload, const char *option)
{
    uint8_t head[5] = {0xc6};
    struct tide_pack all = tide_pack_hex("93 a5 6d6f642e61"), size;

    tide_put_be32(head + 1, (uint32_t)payload.len);
    size = (struct tide_pack){memcpy(malloc(sizeof(head)), head, sizeof(head)), sizeof(head)};
    return tide_pack_join(tide_pack_join(tide_pack_join(all, size), payload),
                          tide_pack("%s", option));
}

static struct tide_pack entries(unsigned count)
{
    struct tide_pack all = {NULL, 0};

    for (unsigned i = 0; i < count; i++)
        all = tide_pack_join(all, tide_pack("[%u,{'module_id':'m','n':'%u'}]", 1700000000 + i, i));
    return all;
}

static struct tide_pack gzip(struct tide_pack plain)
{
    struct tide_pack pack = tide_pack_gzip(plain.data, plain.len);

    tide_pack_free(&plain);
    return pack;
}

static void gzip_is_unpacked(void **state)
{
    static const char *const option[] = {"{'compressed':'gzip'}", "{'compressed':'text'}", "{}",
                                         "null"};

    (void)state;
    for (size_t i = 0; i < sizeof(option) / sizeof(option[0]);
         i++) { /* undeclared: known by its magic */
        tide_parcel_reset(parcel);
        fold(packed(gzip(entries(100)), option[i]));
        assert_int_equal(parcel->books.stored, 100);
    }
    tide_parcel_reset(parcel);
    fold(packed((struct tide_pack){NULL, 0}, "{'compressed':'gzip'}"));
    assert_true(tide_parcel_empty(parcel));
}

/* Senders append a member per write, and writes do not end where entries do. */
static void entry_may_straddle_gzip_members(void **state)
{
    struct tide_pack plain = entries(3);

    (void)state;
    for (size_t cut = 0; cut <= plain.len; cut++) {
        tide_parcel_reset(parcel);
        fold(packed(tide_pack_join(tide_pack_gzip(plain.data, cut),
                                   tide_pack_gzip(plain.data + cut, plain.len - cut)),
                    "{'compressed':'gzip'}"));
        assert_int_equal(parcel->books.stored, 3);
        assert_int_equal(parcel->books.received, 3);
    }
    tide_pack_free(&plain);
}

static void damaged_gzip_is_one_bad_chunk(void **state)
{
    struct tide_pack good = gzip(entries(20));

    (void)state;
    for (size_t cut = 1; cut < good.len; cut++) { /* cut short anywhere */
        tide_parcel_reset(parcel);
        fold(packed((struct tide_pack){memcpy(malloc(cut), good.data, cut), cut},
                    "{'compressed':'gzip'}"));
        assert_int_equal(parcel->books.chunks_rejected[TIDE_CHUNK_BAD_GZIP], 1);
        assert_int_equal(parcel->books.received, 0);
    }
    for (size_t at = good.len - 8; at < good.len; at++) { /* checksum, size */
        struct tide_pack bad = {memcpy(malloc(good.len), good.data, good.len), good.len};

        bad.data[at] ^= 1;
        tide_parcel_reset(parcel);
        fold(packed(bad, "{'compressed':'gzip'}"));
        assert_int_equal(parcel->books.chunks_rejected[TIDE_CHUNK_BAD_GZIP], 1);
    }
    tide_parcel_reset(parcel); /* something behind the last member */
    fold(packed(tide_pack_join(gzip(entries(20)), tide_pack_hex("00 00 00")),
                "{'compressed':'gzip'}"));
    assert_int_equal(parcel->books.chunks_rejected[TIDE_CHUNK_BAD_GZIP], 1);
    assert_int_equal(parcel->books.received, 0);
    tide_pack_free(&good);
}

static void bomb_is_one_too_large_chunk(void **state)
{
    size_t len = 4 << 20;
    uint8_t *zeros = calloc(1, len);
    struct tide_pack bomb = tide_pack_gzip(zeros, len);

    (void)state;
    tide_parcel_reset(parcel);
    fold(packed(bomb, "{'compressed':'gzip'}"));
    assert_int_equal(parcel->books.chunks_rejected[TIDE_CHUNK_TOO_LARGE], 1);
    assert_int_equal(parcel->books.received, 0);
    free(zeros);
}

static void rejections_can_be_looked_at(void **state)
{
    static struct tide_reject list[TIDE_REJECT_RING];
    uint64_t total = 0;

    (void)state;
    tide_reject_clear();
    tide_parcel_reset(parcel);
    fold(tide_pack("['mod.a',[[1,{'duration_ms':-1}],[2]]]"));
    fold(tide_pack("['mod.b','x',{'compressed':'lz4'}]"));
    assert_int_equal(tide_reject_list(list, &total), 3);
    assert_int_equal(total, 3);
    assert_string_equal(list[0].reason, "unknown_compression");
    assert_string_equal(list[0].tag, "mod.b");
    assert_string_equal(list[1].reason, "not_an_entry");
    assert_string_equal(list[2].reason, "bad_duration");
    assert_string_equal(list[2].tag, "mod.a");
    assert_string_equal(list[2].peer, "127.0.0.1:5170");
    assert_non_null(strstr(list[2].excerpt, "duration_ms"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests_of_every_mode),
        cmocka_unit_test(bad_entries_are_booked_by_reason),
        cmocka_unit_test(bad_tag_costs_only_entries_without_module),
        cmocka_unit_test(broken_payload_keeps_what_came_before),
        cmocka_unit_test(deep_entry_ends_a_payload),
        cmocka_unit_test(group_markers_are_no_entries),
        cmocka_unit_test(time_is_counted_from_arrival),
        cmocka_unit_test(unreadable_chunk_is_booked_once),
        cmocka_unit_test(gzip_is_unpacked),
        cmocka_unit_test(entry_may_straddle_gzip_members),
        cmocka_unit_test(damaged_gzip_is_one_bad_chunk),
        cmocka_unit_test(bomb_is_one_too_large_chunk),
        cmocka_unit_test(rejections_can_be_looked_at),
    };
    int failed;

    parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        abort();
    tide_parcel_init(parcel, NULL);
    tide_guard_init(&guard, 1 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    tide_parcel_fini(parcel);
    free(parcel);
    return failed;
}
