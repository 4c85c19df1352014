/* What one request may be made of: at each bound it is taken, one past it the chunk is refused
 * whole, counted, and its neighbours in the parcel stay. */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "tidemark/bytes.h"
#include "guard.h"
#include "pack.h"

#define NOW_US INT64_C(1700000100000000)

static struct tide_guard guard;
static struct tide_parcel *parcel;
static const struct tide_fold_rules rules = {.interval_s = 30, .lateness_s = 3600, .future_s = 300};

/* Folds one request; frees it. */
static void fold(struct tide_pack pack, struct tide_fold_context context)
{
    struct tide_request request;

    context.rules = &rules;
    context.arrival_us = NOW_US;
    context.peer = "127.0.0.1:5170";
    assert_int_equal(
        tide_request_parse(tide_guard_place(&guard, pack.data, pack.len), pack.len, &request),
        TIDE_OK);
    tide_request_fold(&request, &context, parcel);
    assert_true(tide_ledger_balanced(&parcel->books));
    tide_pack_free(&pack);
}

/* ['mod.a', payload as bin]; frees the payload. */
static struct tide_pack packed(struct tide_pack payload)
{
    struct tide_pack head = tide_pack_hex("92 a5 6d6f642e61 c6 00000000");

    tide_put_be32(head.data + head.len - 4, (uint32_t)payload.len);
    return tide_pack_join(head, payload);
}

static struct tide_pack copies(const char *hex, size_t count)
{
    struct tide_pack one = tide_pack_hex(hex), all = {malloc(one.len * count), one.len * count};

    assert_non_null(all.data);
    for (size_t i = 0; i < count; i++)
        memcpy(all.data + i * one.len, one.data, one.len);
    tide_pack_free(&one);
    return all;
}

static struct tide_pack gzip(struct tide_pack plain)
{
    struct tide_pack pack = tide_pack_gzip(plain.data, plain.len);

    tide_pack_free(&plain);
    return pack;
}

/* ['mod.a', [entry, ...]] */
static struct tide_pack forward(const char *entry, size_t count)
{
    struct tide_pack head = tide_pack_hex("92 a5 6d6f642e61 dd 00000000");

    tide_put_be32(head.data + head.len - 4, (uint32_t)count);
    return tide_pack_join(head, copies(entry, count));
}

/* The parcel holds `stored` events, and this request was refused as too large or not. */
static void expect(uint64_t stored, uint64_t rejected, bool refused)
{
    assert_int_equal(parcel->books.stored, stored);
    assert_int_equal(parcel->facts, stored);
    assert_int_equal(tide_ledger_rejected(&parcel->books), rejected);
    assert_int_equal(parcel->books.chunks_rejected[TIDE_CHUNK_TOO_LARGE], refused);
    assert_int_equal(tide_ledger_chunks_rejected(&parcel->books), refused);
}

static void entries_are_bounded_and_none_of_too_many_stays(void **state)
{
    static const char event[] = "92 00 80", rubbish[] = "05";
    const struct tide_fold_context bound = {.max_unpacked_bytes = 1 << 20, .max_entries = 100};

    (void)state;
    for (size_t count = 99; count <= 101; count++) {
        const bool refused = count > 100;
        const uint64_t kept = refused ? 0 : count;

        tide_parcel_reset(parcel);
        fold(packed(copies(event, count)), bound);
        expect(kept, 0, refused);
        tide_parcel_reset(parcel);
        fold(packed(gzip(copies(event, count))), bound);
        expect(kept, 0, refused);
        tide_parcel_reset(parcel);
        fold(forward(event, count), bound);
        expect(kept, 0, refused);
        tide_parcel_reset(parcel);
        fold(packed(copies(rubbish, count)), bound);
        expect(0, kept, refused);
    }
}

static void others_in_the_parcel_of_a_refused_request_stay(void **state)
{
    const struct tide_fold_context bound = {.max_unpacked_bytes = 1 << 20, .max_entries = 100};

    (void)state;
    tide_parcel_reset(parcel);
    fold(packed(copies("92 00 80", 70)), bound);
    fold(packed(copies("92 00 80", 101)), bound);
    expect(70, 0, true);
    fold(packed(copies("92 00 80", 100)), bound);
    expect(170, 0, true);
}

/* Zeros pack to about a thousandth: 2 000 times is never reached, 100 times always. What is below
 * 1 MiB is not measured. */
static void what_unpacks_to_too_many_times_its_size_is_refused(void **state)
{
    (void)state;
    for (int above = 0; above < 2; above++) {
        const size_t plain = TIDE_UNPACKED_FREE_BYTES + (size_t)above;
        struct tide_fold_context bound = {.max_unpacked_bytes = 4 << 20, .max_unpacked_ratio = 100};

        tide_parcel_reset(parcel);
        fold(packed(gzip(copies("00", plain))), bound);
        expect(0, above ? 0 : plain, above);
        bound.max_unpacked_ratio = 2000;
        tide_parcel_reset(parcel);
        fold(packed(gzip(copies("00", plain))), bound);
        expect(0, plain, false);
        bound.max_unpacked_ratio = 0;
        tide_parcel_reset(parcel);
        fold(packed(gzip(copies("00", plain))), bound);
        expect(0, plain, false);
    }
}

/* The same bytes, taken at exactly so many times their packed size, and refused one below. */
static void the_ratio_is_exact(void **state)
{
    const size_t plain = 2 * TIDE_UNPACKED_FREE_BYTES;
    struct tide_pack zeros = copies("00", plain), small = tide_pack_gzip(zeros.data, plain);
    uint32_t ratio = (uint32_t)((plain + small.len - 1) / small.len);
    struct tide_fold_context bound = {.max_unpacked_bytes = 4 << 20, .max_unpacked_ratio = ratio};

    (void)state;
    tide_pack_free(&small);
    tide_parcel_reset(parcel);
    fold(packed(gzip(copies("00", plain))), bound);
    expect(0, plain, false);
    bound.max_unpacked_ratio = ratio - 1;
    tide_parcel_reset(parcel);
    fold(packed(gzip(zeros)), bound);
    expect(0, 0, true);
}

static void bytes_unpacked_are_exact(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        const struct tide_fold_context bound = {.max_unpacked_bytes = 65536};

        tide_parcel_reset(parcel);
        fold(packed(gzip(copies("05", 65536 + more))), bound);
        expect(0, more ? 0 : 65536, more);
    }
}

/* 128 bytes are a name, 129 are none; the same in a tag's last part. */
static void names_end_at_128_bytes(void **state)
{
    const struct tide_fold_context bound = {.max_unpacked_bytes = 65536};
    char name[130];

    (void)state;
    for (size_t len = 128; len <= 129; len++) {
        const bool fits = len == 128;

        memset(name, 'n', len);
        name[len] = '\0';
        tide_parcel_reset(parcel);
        fold(tide_pack("['t',[[1700000000,{'module_id':'%s'}]]]", name), bound);
        expect(fits, !fits, false);
        assert_int_equal(parcel->books.rejected[TIDE_ENTRY_BAD_MODULE_ID], !fits);
        tide_parcel_reset(parcel);
        fold(tide_pack("['mod.%s',[[1700000000,{}]]]", name), bound);
        expect(fits, !fits, false);
        assert_int_equal(parcel->books.rejected[TIDE_ENTRY_NO_MODULE], !fits);
    }
}

/* A tag of 256 bytes names a module, one of 257 is left out: only what needs it is rejected. */
static void tags_end_at_256_bytes(void **state)
{
    const struct tide_fold_context bound = {.max_unpacked_bytes = 65536};
    char tag[258];

    (void)state;
    for (size_t len = 256; len <= 257; len++) {
        const bool fits = len == 256;

        memset(tag, 't', len);
        tag[len - 2] = '.';
        tag[len] = '\0';
        tide_parcel_reset(parcel);
        fold(tide_pack("['%s',[[1700000000,{}],[1700000000,{'module_id':'m'}]]]", tag), bound);
        expect(fits ? 2 : 1, !fits, false);
        assert_int_equal(parcel->books.rejected[TIDE_ENTRY_NO_MODULE], !fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_bounded_and_none_of_too_many_stays),
        cmocka_unit_test(others_in_the_parcel_of_a_refused_request_stay),
        cmocka_unit_test(what_unpacks_to_too_many_times_its_size_is_refused),
        cmocka_unit_test(the_ratio_is_exact),
        cmocka_unit_test(bytes_unpacked_are_exact),
        cmocka_unit_test(names_end_at_128_bytes),
        cmocka_unit_test(tags_end_at_256_bytes),
    };
    int failed;

    parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        abort();
    tide_parcel_init(parcel, NULL);
    tide_guard_init(&guard, 4 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    tide_parcel_fini(parcel);
    free(parcel);
    return failed;
}
