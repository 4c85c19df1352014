/* Captured streams, damaged at random: nothing may crash, read outside its bytes, or lose the
 * balance of the books. */
#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/reject.h"
#include "guard.h"
#include "pack.h"

#define STREAMS_MAX 64
#define STREAM_MAX  2048
#define FRAME_MAX   (1u << 20)
#define MUTANTS     10000

static struct tide_guard guard;
static struct tide_parcel *parcel;
static uint64_t seed;
static uint8_t stream[STREAMS_MAX][STREAM_MAX];
static size_t stream_len[STREAMS_MAX];
static size_t streams;

static uint64_t below(uint64_t n)
{
    return tide_test_random(&seed) % n;
}

static int load_streams(void)
{
    DIR *dir = opendir(TIDE_GOLDEN "/wire");
    struct dirent *entry;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)) && streams < STREAMS_MAX) {
        char path[512];
        FILE *file;

        if (!strstr(entry->d_name, ".c2s.bin"))
            continue;
        snprintf(path, sizeof(path), "%s/wire/%s", TIDE_GOLDEN, entry->d_name);
        file = fopen(path, "rb");
        if (!file)
            continue;
        stream_len[streams] = fread(stream[streams], 1, STREAM_MAX, file);
        fclose(file);
        streams++;
    }
    closedir(dir);
    return streams > 0 ? 0 : -1;
}

/* A copy of some stream with one to four wounds; returns its length. */
static size_t mutate(uint8_t *to)
{
    static const uint8_t nasty[] = {0xc1, 0xc0, 0xdb, 0xdd, 0xdf, 0xc6, 0xc9,
                                    0xff, 0x80, 0x90, 0x91, 0xd9, 0xda, 0xdc};
    size_t from = below(streams), len = stream_len[from], at, many;

    memcpy(to, stream[from], len);
    for (uint64_t wounds = 1 + below(4); wounds > 0 && len > 1; wounds--) {
        at = below(len);
        switch (below(6)) {
        case 0: /* one bit */
            to[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1: /* any byte */
            to[at] = (uint8_t)below(256);
            break;
        case 2: /* a byte that begins something */
            to[at] = nasty[below(sizeof(nasty))];
            break;
        case 3: /* cut */
            len = at + 1;
            break;
        case 4: /* a piece taken out */
            many = 1 + below(len - at < 16 ? len - at : 16);
            memmove(to + at, to + at + many, len - at - many);
            len -= many;
            break;
        default: /* a piece copied elsewhere */
            many = 1 + below(len - at < 16 ? len - at : 16);
            memmove(to + below(len - many + 1), to + at, many);
            break;
        }
    }
    return len;
}

/* Plays one connection; returns false when it would have been closed. */
static bool play(const uint8_t *data, size_t len)
{
    static const struct tide_fold_rules rules = {
        .interval_s = 30, .lateness_s = INT64_C(1) << 40, .future_s = 300};
    const struct tide_fold_context context = {.rules = &rules,
                                              .arrival_us = INT64_C(1796000000000000),
                                              .peer = "mutant",
                                              .max_unpacked_bytes = 1 << 20,
                                              .max_unpacked_ratio = 100,
                                              .max_entries = 50};
    size_t start = 0;

    while (start < len) {
        struct tide_frame_scan scan;
        struct tide_request request;
        size_t size;
        enum tide_rc rc;

        tide_frame_reset(&scan);
        rc = tide_frame_next(&scan, tide_guard_place(&guard, data + start, len - start),
                             len - start, FRAME_MAX, &size);
        if (rc == TIDE_AGAIN)
            return true; /* more would have to come */
        if (rc != TIDE_OK)
            return false;
        if (tide_request_parse(tide_guard_place(&guard, data + start, size), size, &request))
            return false;
        (void)tide_request_identity(&request, 1, "peer", 4);
        tide_request_fold(&request, &context, parcel);
        if (request.chunk) {
            static uint8_t reply[TIDE_ACK_OVERHEAD + TIDE_PARCEL_CHUNK_MAX];

            (void)tide_reply_ack(reply, request.chunk, request.chunk_len);
        }
        start += size;
    }
    return true;
}

static void mutants_never_break_the_decoder(void **state)
{
    uint64_t stored = 0, rejected = 0, closed = 0, chunks = 0;

    (void)state;
    for (int round = 0; round < MUTANTS; round++) {
        uint8_t mutant[STREAM_MAX];
        size_t len = mutate(mutant);

        tide_parcel_reset(parcel);
        closed += !play(mutant, len);
        assert_true(tide_ledger_balanced(&parcel->books));
        stored += parcel->books.stored;
        rejected += tide_ledger_rejected(&parcel->books);
        chunks += tide_ledger_chunks_rejected(&parcel->books);
    }
    printf("%d mutants: %llu events kept, %llu entries and %llu chunks rejected, %llu connections "
           "closed\n",
           MUTANTS, (unsigned long long)stored, (unsigned long long)rejected,
           (unsigned long long)chunks, (unsigned long long)closed);
    assert_true(stored > 0 && rejected > 0 && closed > 0 && chunks > 0);
}

/* A payload of pure noise, and of noise that likes to look like entries. */
static void noise_is_booked_or_refused(void **state)
{
    (void)state;
    for (int round = 0; round < MUTANTS; round++) {
        uint8_t noise[300];
        size_t len = 10 + below(sizeof(noise) - 10);

        for (size_t i = 0; i < len; i++)
            noise[i] = below(4) ? (uint8_t)below(256) : (uint8_t)(0x80 + below(32));
        if (below(2)) { /* ["t", bin of the rest] */
            memcpy(noise, "\x92\xa1t\xc5", 4);
            noise[4] = (uint8_t)((len - 6) >> 8);
            noise[5] = (uint8_t)(len - 6);
        }
        tide_parcel_reset(parcel);
        (void)play(noise, len);
        assert_true(tide_ledger_balanced(&parcel->books));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants_never_break_the_decoder),
        cmocka_unit_test(noise_is_booked_or_refused),
    };
    int failed;

    seed = tide_test_seed();
    if (load_streams()) {
        fprintf(stderr, "no streams in %s/wire\n", TIDE_GOLDEN);
        return 1;
    }
    parcel = calloc(1, sizeof(*parcel));
    if (!parcel)
        abort();
    tide_parcel_init(parcel, NULL);
    tide_guard_init(&guard, 1 << 16);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    tide_parcel_fini(parcel);
    free(parcel);
    return failed;
}
