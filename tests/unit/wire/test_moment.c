#include "moment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pack.h"

#define BAD (-1)

/* What becomes of one value: microseconds, or BAD. */
static int64_t read_as(const char *hex, bool (*read)(const struct tide_value *, int64_t *))
{
    struct tide_pack pack = tide_pack_hex(hex);
    struct tide_cursor cursor = {pack.data, pack.data + pack.len};
    struct tide_value value;
    int64_t us = BAD;

    assert_true(tide_cursor_read(&cursor, &value));
    if (!read(&value, &us))
        us = BAD;
    tide_pack_free(&pack);
    return us;
}

static bool read_time(const struct tide_value *value, int64_t *ret_us)
{
    return tide_moment_read(value, ret_us);
}

struct row {
    const char *hex;
    int64_t us;
};

static void time_of_an_entry(void **state)
{
    static const struct row row[] = {
        {"c0", 0},                                              /* nil: arrival */
        {"00", 0},                                              /* 0: arrival */
        {"ce 65 53 f1 00", 1700000000000000},                   /* uint32 */
        {"d2 65 53 f1 00", 1700000000000000},                   /* int32, as Go sends it */
        {"cf 00 00 00 00 ff ff ff ff", 4294967295000000},       /* year 2106 */
        {"cf 00 00 00 01 00 00 00 00", BAD},                    /* later: milliseconds? */
        {"cf 00 00 01 8b cf e5 68 00", BAD},                    /* surely milliseconds */
        {"cf ff ff ff ff ff ff ff ff", BAD},                    /*  */
        {"ff", BAD},                                            /* negative */
        {"d3 80 00 00 00 00 00 00 00", BAD},                    /*  */
        {"d7 00 65 53 f1 00 0e e6 b2 80", 1700000000250000},    /* EventTime, fixext8 */
        {"c7 08 00 65 53 f1 00 0e e6 b2 80", 1700000000250000}, /* the same as ext8 */
        {"d7 00 ff ff ff ff 00 00 00 01", 4294967295000000},    /* seconds are unsigned */
        {"d7 00 65 53 f1 00 3b 9a c9 ff", 1700000000999999},    /* 999 999 999 ns */
        {"d7 00 65 53 f1 00 3b 9a ca 00", BAD},                 /* 10^9 ns */
        {"d7 00 00 00 00 00 00 00 00 00", 0},                   /* zero: arrival */
        {"d6 00 65 53 f1 00", BAD},                             /* ext 0 of 4 bytes */
        {"d7 01 65 53 f1 00 0e e6 b2 80", BAD},                 /* ext 1 */
        {"d6 ff 65 53 f1 00", 1700000000000000},                /* timestamp 32 */
        {"d7 ff 3b 9a ca 00 65 53 f1 00", 1700000000250000}, /* timestamp 64: 250 000 000 << 34 */
        {"d7 ff 00 00 00 01 65 53 f1 00", BAD},              /* 34-bit seconds beyond 2106 */
        {"d7 ff ee 6b 28 00 65 53 f1 00", BAD},              /* 10^9 ns */
        {"c7 0c ff 0e e6 b2 80 00 00 00 00 65 53 f1 00", 1700000000250000}, /* timestamp 96 */
        {"c7 0c ff 00 00 00 00 ff ff ff ff ff ff ff ff", BAD},              /* before 1970 */
        {"c7 02 ff 00 01", BAD},                          /* timestamp of a wrong size */
        {"cb 41 d9 54 fc 40 10 00 00", 1700000000250000}, /* float64 */
        {"ca 00 00 00 00", 0},                            /* 0.0 */
        {"cb bf f0 00 00 00 00 00 00", BAD},              /* -1.0 */
        {"cb 7f f8 00 00 00 00 00 00", BAD},              /* NaN */
        {"cb 7f f0 00 00 00 00 00 00", BAD},              /* infinity */
        {"cb 42 00 00 00 00 00 00 00", BAD},              /* 2^33 */
        {"c3", BAD},
        {"a1 31", BAD}, /* text: not in the protocol */
        {"90", BAD},
        {"80", BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        int64_t us = read_as(row[i].hex, read_time);

        if (us != row[i].us)
            fail_msg("%s: %lld, not %lld", row[i].hex, (long long)us, (long long)row[i].us);
    }
}

static void timestamp_of_a_bare_map(void **state)
{
    static const struct {
        const char *json;
        int64_t us;
    } row[] = {
        {"null", 0},
        {"0", 0},
        {"0.0", 0},
        {"'0'", 0},
        {"1700000000", 1700000000000000},
        {"1700000000.25", 1700000000250000},
        {"'1700000000.25'", 1700000000250000},
        {"1700000000250", 1700000000250000}, /* milliseconds */
        {"'1700000000250'", 1700000000250000},
        {"100000000001", 100000000001000}, /* just above 10^11 */
        {"100000000000", BAD},             /* 10^11 seconds: year 5138 */
        {"4294967296", BAD},
        {"4294967295000", 4294967295000000},
        {"4294967296000", BAD},
        {"-1", BAD},
        {"'-1'", BAD},
        {"'2023-11-14T22:13:20.250Z'", 1700000000250000},
        {"'2023-11-14T23:13:20.25+01:00'", 1700000000250000},
        {"'1969-12-31T23:59:59Z'", BAD},
        {"'2200-01-01T00:00:00Z'", BAD},
        {"''", BAD},
        {"'now'", BAD},
        {"' 1700000000'", BAD},
        {"true", BAD},
        {"[]", BAD},
        {"{}", BAD},
        {"'hex:d7006553f1000ee6b280'", 1700000000250000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_pack pack = tide_pack("%s", row[i].json);
        struct tide_cursor cursor = {pack.data, pack.data + pack.len};
        struct tide_value value;
        int64_t us = BAD;

        assert_true(tide_cursor_read(&cursor, &value));
        if (!tide_moment_read_field(&value, &us))
            us = BAD;
        if (us != row[i].us)
            fail_msg("%s: %lld, not %lld", row[i].json, (long long)us, (long long)row[i].us);
        tide_pack_free(&pack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_of_an_entry),
        cmocka_unit_test(timestamp_of_a_bare_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
