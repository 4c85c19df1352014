#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;

/* Frees the pack; what the request points to stays until the next call. */
static enum tide_rc parse(struct tide_pack pack, struct tide_request *ret)
{
    enum tide_rc rc =
        tide_request_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, ret);

    tide_pack_free(&pack);
    return rc;
}

static bool text_is(struct tide_text text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.start, expected, text.len) == 0;
}

static void second_element_decides_the_mode(void **state)
{
    struct tide_request request;

    (void)state;
    assert_int_equal(parse(tide_pack("['a.b',1,{'x':1}]"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_MESSAGE);
    assert_true(text_is(request.tag, "a.b"));
    assert_int_equal(request.entries_len, 1 + 4);

    assert_int_equal(parse(tide_pack("['a.b',[[1,{}],[2,{}]]]"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_FORWARD);
    assert_int_equal(request.entry_count, 2);
    assert_int_equal(request.entries_len, 6);

    assert_int_equal(parse(tide_pack("['a.b','payload']"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_PACKED);
    assert_int_equal(request.entries_len, 7);
    assert_int_equal(parse(tide_pack("['a.b','hex:c403920180']"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_PACKED);
    assert_int_equal(request.entries_len, 3);

    assert_int_equal(parse(tide_pack("{'module_id':'a'}"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_BARE);
    assert_int_equal(request.tag.len, 0);

    assert_int_equal(parse(tide_pack("null"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_NIL);
    assert_int_equal(parse(tide_pack("5"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_STRAY);
    assert_int_equal(parse(tide_pack("'text'"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_STRAY);
}

/* [tag, [time, {}], record]: a client that puts metadata into Message mode; the protocol reads it
 * as Forward. */
static void message_with_metadata_is_forward(void **state)
{
    struct tide_request request;

    (void)state;
    assert_int_equal(parse(tide_pack("['a',[1,{}],{'module_id':'m'}]"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_FORWARD);
    assert_int_equal(request.entry_count, 2);
    assert_false(request.bad_option); /* the record sits where the option is, and is a map */
}

static void too_short_arrays_are_malformed(void **state)
{
    struct tide_request request;

    (void)state;
    assert_int_equal(parse(tide_pack("[]"), &request), TIDE_MALFORMED);
    assert_int_equal(parse(tide_pack("['tag']"), &request), TIDE_MALFORMED);
    assert_int_equal(parse(tide_pack("['tag',1]"), &request), TIDE_MALFORMED);
    assert_int_equal(parse(tide_pack("['tag',null]"), &request), TIDE_MALFORMED);
    assert_int_equal(parse(tide_pack("['tag',{}]"), &request), TIDE_MALFORMED);
}

static void tag_may_be_text_or_bytes(void **state)
{
    static const char *const bad[] = {"null", "5", "true", "[]", "{'a':1}", "1.5"};
    struct tide_request request;
    char tag[300];

    (void)state;
    assert_int_equal(parse(tide_pack("['hex:c403612e62',[]]"), &request), TIDE_OK);
    assert_false(request.bad_tag);
    assert_true(text_is(request.tag, "a.b"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(tide_pack("[%s,[[1,{}]],{'chunk':'c'}]", bad[i]), &request),
                         TIDE_OK);
        assert_true(request.bad_tag);
        assert_int_equal(request.tag.len, 0);
        assert_int_equal(request.entry_count, 1);
        assert_non_null(request.chunk); /* dropped or not, it is acked */
    }
    memset(tag, 't', sizeof(tag));
    tag[257] = '\0';
    assert_int_equal(parse(tide_pack("['%s',[]]", tag), &request), TIDE_OK);
    assert_true(request.bad_tag);
    tag[256] = '\0';
    assert_int_equal(parse(tide_pack("['%s',[]]", tag), &request), TIDE_OK);
    assert_false(request.bad_tag);
    assert_int_equal(request.tag.len, 256);
}

static void absent_options_come_in_three_ways(void **state)
{
    static const char *const none[] = {"['t',[]]",   "['t',[],null]",   "['t',[],{}]",
                                       "['t',1,{}]", "['t',1,{},null]", "['t',1,{},{}]"};
    struct tide_request request;

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(parse(tide_pack("%s", none[i]), &request), TIDE_OK);
        assert_false(request.bad_option);
        assert_null(request.chunk);
        assert_int_equal(request.compression, TIDE_PLAIN);
        assert_int_equal(request.signal, 0);
    }
}

static void odd_options_count_as_none(void **state)
{
    static const char *const odd[] = {"[]", "['chunk','c']", "'chunk'", "5", "true", "1.5"};
    struct tide_request request;

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_int_equal(parse(tide_pack("['t',[],%s]", odd[i]), &request), TIDE_OK);
        assert_true(request.bad_option);
        assert_null(request.chunk);
        assert_int_equal(parse(tide_pack("['t',1,{},%s]", odd[i]), &request), TIDE_OK);
        assert_true(request.bad_option);
    }
}

static void elements_behind_the_option_are_ignored(void **state)
{
    struct tide_request request;

    (void)state;
    assert_int_equal(parse(tide_pack("['t',[],{'chunk':'cc'},1,[2],{'chunk':'no'}]"), &request),
                     TIDE_OK);
    assert_int_equal(request.chunk_len, 3);
    assert_int_equal(parse(tide_pack("['t',1,{},{'chunk':'cc'},'chunk']"), &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_MESSAGE);
    assert_int_equal(request.chunk_len, 3);
}

static void message_with_an_odd_time_is_acked(void **state)
{
    struct tide_request request;

    (void)state;
    assert_int_equal(parse(tide_pack("['t',[1,{}],{'module_id':'a'},{'chunk':'cc'}]"), &request),
                     TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_FORWARD);
    assert_int_equal(request.entry_count, 2); /* neither is an entry */
    assert_int_equal(request.chunk_len, 3);
    assert_false(request.bad_option);
    assert_int_equal(parse(tide_pack("['t','now',{'module_id':'a'},{'chunk':'cc'}]"), &request),
                     TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_PACKED);
    assert_int_equal(request.chunk_len, 3);
    assert_int_equal(parse(tide_pack("['t',[1,{}],{'module_id':'a'},5]"), &request), TIDE_OK);
    assert_null(request.chunk);
}

static void chunk_is_kept_as_it_came(void **state)
{
    static const struct {
        const char *hex;
        size_t payload_len;
        bool wanted, odd;
    } row[] = {
        {"a0", 0, true, false},                         /* empty: acked, too short to tell apart */
        {"a8 61 62 63 64 65 66 67 68", 8, true, false}, /* fixstr */
        {"d9 08 61 62 63 64 65 66 67 68", 8, true, false}, /* the same, longer header */
        {"c4 04 00 ff 0a 80", 4, true, false},             /* bin */
        {"05", 0, true, false},                            /* ints */
        {"cf 01 02 03 04 05 06 07 08", 8, true, false},    /*  */
        {"d3 ff ff ff ff ff ff ff 00", 8, true, false},    /*  */
        {"c0", 0, false, false},                           /* nil: none */
        {"c3", 0, false, true},                            /* other types: none, counted */
        {"cb 00 00 00 00 00 00 00 00", 0, false, true},    /*  */
        {"91 a1 61", 0, false, true},                      /*  */
        {"81 a1 61 a1 62", 0, false, true},                /*  */
        {"d7 00 00 00 00 00 00 00 00 00", 0, false, true}, /*  */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_pack value = tide_pack_hex(row[i].hex);
        struct tide_request request;

        assert_int_equal(
            parse(tide_pack("['t',[],{'size':1,'chunk':'hex:%s','x':[1]}]", row[i].hex), &request),
            TIDE_OK);
        assert_int_equal(request.chunk != NULL, row[i].wanted);
        assert_int_equal(request.bad_option, row[i].odd);
        if (row[i].wanted) {
            assert_int_equal(request.chunk_len, value.len);
            assert_memory_equal(request.chunk, value.data, value.len);
            assert_int_equal(request.chunk_payload_len, row[i].payload_len);
        }
        tide_pack_free(&value);
    }
}

static void chunk_id_is_bounded(void **state)
{
    char id[TIDE_PARCEL_CHUNK_MAX + 1];
    struct tide_request request;

    (void)state;
    memset(id, 'c', sizeof(id));
    id[TIDE_PARCEL_CHUNK_MAX - 3] = '\0'; /* str16: three bytes of header */
    assert_int_equal(parse(tide_pack("['t',[],{'chunk':'%s'}]", id), &request), TIDE_OK);
    assert_int_equal(request.chunk_len, TIDE_PARCEL_CHUNK_MAX);
    id[TIDE_PARCEL_CHUNK_MAX - 3] = 'c';
    id[TIDE_PARCEL_CHUNK_MAX - 2] = '\0';
    assert_int_equal(parse(tide_pack("['t',[],{'chunk':'%s'}]", id), &request), TIDE_MALFORMED);
}

static void compression_is_known_or_not(void **state)
{
    static const struct {
        const char *json;
        enum tide_compression compression;
    } row[] = {
        {"'gzip'", TIDE_GZIP},
        {"'text'", TIDE_PLAIN},
        {"''", TIDE_PLAIN},
        {"null", TIDE_PLAIN},
        {"'hex:c404677a6970'", TIDE_GZIP},
        {"'zstd'", TIDE_COMPRESSION_UNKNOWN},
        {"'lz4'", TIDE_COMPRESSION_UNKNOWN},
        {"'GZIP'", TIDE_COMPRESSION_UNKNOWN},
        {"5", TIDE_COMPRESSION_UNKNOWN},
        {"true", TIDE_COMPRESSION_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_request request;

        assert_int_equal(parse(tide_pack("['t','p',{'compressed':%s}]", row[i].json), &request),
                         TIDE_OK);
        assert_int_equal(request.compression, row[i].compression);
    }
}

static void signals_other_than_logs_are_seen(void **state)
{
    static const struct {
        const char *json;
        int64_t signal;
        bool odd;
    } row[] = {
        {"0", 0, false},    {"1", 1, false},
        {"2", 2, false},    {"-1", -1, false},
        {"null", 0, false}, {"'1'", 0, true},
        {"1.0", 0, true},   {"'hex:cfffffffffffffffff'", INT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_request request;

        assert_int_equal(parse(tide_pack("['t','p',{'fluent_signal':%s}]", row[i].json), &request),
                         TIDE_OK);
        assert_int_equal(request.signal, row[i].signal);
        assert_int_equal(request.bad_option, row[i].odd);
    }
}

/* A declared length or count beyond the frame, at every place a parse looks. */
static void cut_requests_are_malformed(void **state)
{
    struct tide_pack pack = tide_pack(
        "['mod.a',[[1,{'a':[1,2]}],[2,{}]],{'chunk':'abcdefgh','size':2,'compressed':'text'}]");
    struct tide_request request;

    (void)state;
    for (size_t len = 0; len < pack.len; len++)
        assert_int_equal(
            tide_request_parse(tide_guard_place(&guard, pack.data, len), len, &request),
            TIDE_MALFORMED);
    assert_int_equal(parse(pack, &request), TIDE_OK);
}

static struct tide_hash128 identity(const char *json, uint64_t seed, const char *peer)
{
    struct tide_request request;

    assert_int_equal(parse(tide_pack("%s", json), &request), TIDE_OK);
    return tide_request_identity(&request, seed, peer, strlen(peer));
}

static bool same(struct tide_hash128 a, struct tide_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void identity_covers_peer_tag_chunk_and_entries(void **state)
{
    const char *json = "['t',[[1,{'a':1}]],{'chunk':'abcdefgh'}]";
    struct tide_hash128 one = identity(json, 7, "10.0.0.1");

    (void)state;
    assert_true(same(one, identity(json, 7, "10.0.0.1")));
    assert_true(
        same(one, identity("['t',[[1,{'a':1}]],{'chunk':'abcdefgh','size':1}]", 7, "10.0.0.1")));
    assert_false(same(one, identity(json, 8, "10.0.0.1")));
    assert_false(same(one, identity(json, 7, "10.0.0.2")));
    assert_false(same(one, identity("['u',[[1,{'a':1}]],{'chunk':'abcdefgh'}]", 7, "10.0.0.1")));
    assert_false(same(one, identity("['t',[[1,{'a':2}]],{'chunk':'abcdefgh'}]", 7, "10.0.0.1")));
    assert_false(same(one, identity("['t',[[1,{'a':1}]],{'chunk':'abcdefgi'}]", 7, "10.0.0.1")));
    assert_false(same(one, identity("['t',[[1,{'a':1}]]]", 7, "10.0.0.1")));
}

static bool origin_of(const char *id, struct tide_origin *ret)
{
    struct tide_request request;

    assert_int_equal(parse(tide_pack("['t',[],{'chunk':'%s'}]", id), &request), TIDE_OK);
    return tide_request_origin(&request, ret);
}

#define PRODUCER "00112233445566778899aabbccddeeff"

static void a_structured_chunk_id_says_its_origin(void **state)
{
    static const uint8_t producer[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                         0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    struct tide_origin origin;

    (void)state;
    assert_true(origin_of("v1:" PRODUCER ":7:42", &origin));
    assert_memory_equal(origin.producer, producer, 16);
    assert_int_equal(origin.epoch, 7);
    assert_int_equal(origin.seq, 42);
    assert_true(origin_of("v1:00112233445566778899AABBCCDDEEFF:0:0", &origin));
    assert_memory_equal(origin.producer, producer, 16);
    assert_int_equal(origin.epoch, 0);
    assert_int_equal(origin.seq, 0);
    assert_true(origin_of("v1:" PRODUCER ":18446744073709551615:18446744073709551615", &origin));
    assert_true(origin.epoch == UINT64_MAX && origin.seq == UINT64_MAX);
    assert_true(
        origin_of("hex:c42776313a3030313132323333343435353636373738383939616162626363646465656666"
                  "3a313a32",
                  &origin)); /* as bin */
    assert_int_equal(origin.seq, 2);
}

static void any_other_chunk_id_is_an_ordinary_one(void **state)
{
    static const char *const id[] = {
        "",
        "v1:",
        "v1:" PRODUCER,
        "v1:" PRODUCER ":",
        "v1:" PRODUCER "::",
        "v1:" PRODUCER ":1",
        "v1:" PRODUCER ":1:",
        "v1:" PRODUCER "::1",
        "v1:" PRODUCER ":1:2:3",
        "v1:" PRODUCER ":1:2 ",
        "v1:" PRODUCER ":1: 2",
        "v1:" PRODUCER ":+1:2",
        "v1:" PRODUCER ":-1:2",
        "v1:" PRODUCER ":01:2",
        "v1:" PRODUCER ":1:00",
        "v1:" PRODUCER ":1:18446744073709551616",
        "v1:" PRODUCER ":99999999999999999999:1",
        "v2:" PRODUCER ":1:2",
        "V1:" PRODUCER ":1:2",
        "v1:" PRODUCER "0:1:2",
        "v1:0112233445566778899aabbccddeeff:1:2",
        "v1:0g112233445566778899aabbccddeeff:1:2",
    };
    struct tide_request request;
    struct tide_origin origin;

    (void)state;
    for (size_t i = 0; i < sizeof(id) / sizeof(id[0]); i++)
        if (origin_of(id[i], &origin))
            fail_msg("%s", id[i]);
    assert_int_equal(parse(tide_pack("['t',[],{'chunk':12345}]"), &request), TIDE_OK);
    assert_false(tide_request_origin(&request, &origin));
    assert_int_equal(parse(tide_pack("['t',[]]"), &request), TIDE_OK);
    assert_false(tide_request_origin(&request, &origin));
}

static struct tide_hash128 payload_of(struct tide_pack pack)
{
    struct tide_request request;

    assert_int_equal(parse(pack, &request), TIDE_OK);
    return tide_request_payload(&request, 5);
}

static void a_payload_is_tag_and_entries_whatever_the_chunk_id(void **state)
{
    struct tide_hash128 one = payload_of(tide_pack("['t','abc',{'chunk':'first'}]")),
                        same = payload_of(tide_pack("['t','abc',{'chunk':'second'}]")),
                        tag = payload_of(tide_pack("['u','abc',{'chunk':'first'}]")),
                        entries = payload_of(tide_pack("['t','abd',{'chunk':'first'}]"));

    (void)state;
    assert_memory_equal(&one, &same, sizeof(one));
    assert_memory_not_equal(&one, &tag, sizeof(one));
    assert_memory_not_equal(&one, &entries, sizeof(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_element_decides_the_mode),
        cmocka_unit_test(message_with_metadata_is_forward),
        cmocka_unit_test(too_short_arrays_are_malformed),
        cmocka_unit_test(tag_may_be_text_or_bytes),
        cmocka_unit_test(absent_options_come_in_three_ways),
        cmocka_unit_test(odd_options_count_as_none),
        cmocka_unit_test(elements_behind_the_option_are_ignored),
        cmocka_unit_test(message_with_an_odd_time_is_acked),
        cmocka_unit_test(chunk_is_kept_as_it_came),
        cmocka_unit_test(chunk_id_is_bounded),
        cmocka_unit_test(compression_is_known_or_not),
        cmocka_unit_test(signals_other_than_logs_are_seen),
        cmocka_unit_test(cut_requests_are_malformed),
        cmocka_unit_test(identity_covers_peer_tag_chunk_and_entries),
        cmocka_unit_test(a_structured_chunk_id_says_its_origin),
        cmocka_unit_test(any_other_chunk_id_is_an_ordinary_one),
        cmocka_unit_test(a_payload_is_tag_and_entries_whatever_the_chunk_id),
    };
    int failed;

    tide_guard_init(&guard, 16384);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
