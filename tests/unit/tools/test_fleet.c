#include "fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tidemark/hash.h"
#include "tidemark/wire.h"

#define START INT64_C(1790000000000000)

struct seen {
    uint64_t events, operations, failed, starts, requests, gauges, checkout, checkout_failed;
    int64_t from_us, to_us;
    uint64_t digest;
};

/* Every event must pass the daemon's own decoder. */
static void see(void *to, int64_t time_us, const void *map, size_t len)
{
    static const struct tide_text tag = {"demo", 4};
    struct seen *seen = to;
    struct tide_event ev;
    size_t used;
    int reason;

    assert_true(time_us >= seen->from_us && time_us < seen->to_us);
    assert_int_equal(tide_entry_decode(map, len, &tag, false, &ev, &used, &reason), TIDE_OK);
    assert_int_equal(reason, -1);
    assert_int_equal(used, len);
    seen->events++;
    seen->digest = tide_hash64(seen->digest, map, len);
    seen->starts += ev.kind == TIDE_EVENT_START;
    seen->gauges += ev.gauges != 0;
    seen->requests += ev.kind == TIDE_EVENT_REQUEST;
    if (tide_event_is_operation(&ev)) {
        assert_true(ev.has_duration && ev.duration_us > 0);
        seen->operations++;
        seen->failed += !ev.success;
        if (ev.module.len == 8 && memcmp(ev.module.start, "checkout", 8) == 0) {
            seen->checkout++;
            seen->checkout_failed += !ev.success;
        }
    }
}

static struct seen logged(struct tide_fleet *fleet, int64_t from_us, int64_t to_us)
{
    struct seen seen = {.from_us = from_us, .to_us = to_us};

    tide_fleet_log(fleet, from_us, to_us, see, &seen);
    return seen;
}

static void a_dozen_modules_log_what_the_daemon_takes(void **state)
{
    struct tide_fleet *fleet = tide_fleet_new(3, 400, 600, START);
    struct seen seen = logged(fleet, START, START + 30000000);

    (void)state;
    assert_true(tide_fleet_size(fleet) >= 12);
    for (size_t i = 0; i < tide_fleet_size(fleet); i++)
        assert_true(strlen(tide_fleet_name(fleet, i)) > 0);
    assert_true(seen.operations > 30 * 400 / 2 && seen.operations < 30 * 400 * 2);
    assert_true(seen.failed > 0 && seen.failed < seen.operations / 20);
    assert_true(seen.starts >= 12);
    assert_true(seen.requests > 0);
    assert_true(seen.gauges > 6 * 12);
    tide_fleet_free(fleet);
}

static void the_same_seed_is_the_same_fleet(void **state)
{
    uint64_t digest[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tide_fleet *fleet = tide_fleet_new(i < 2 ? 3 : 4, 100, 600, START);

        digest[i] = logged(fleet, START, START + 5000000).digest;
        tide_fleet_free(fleet);
    }
    assert_true(digest[0] == digest[1]);
    assert_true(digest[0] != digest[2]);
}

static void one_module_degrades_and_recovers(void **state)
{
    struct tide_fleet *fleet = tide_fleet_new(3, 400, 600, START);
    struct seen well, ill, again;

    (void)state;
    assert_true(tide_fleet_illness(fleet, START) == 0);
    assert_true(tide_fleet_illness(fleet, START + 120 * INT64_C(1000000)) == 1);
    assert_true(tide_fleet_illness(fleet, START + 300 * INT64_C(1000000)) == 0);
    assert_true(tide_fleet_illness(fleet, START + 720 * INT64_C(1000000)) == 1);
    for (int64_t s = 0; s < 1200; s++) {
        double ill_now = tide_fleet_illness(fleet, START + s * 1000000);

        assert_true(ill_now >= 0 && ill_now <= 1);
    }
    well = logged(fleet, START, START + 20000000);
    ill = logged(fleet, START + 120 * INT64_C(1000000), START + 140 * INT64_C(1000000));
    again = logged(fleet, START + 300 * INT64_C(1000000), START + 320 * INT64_C(1000000));
    assert_true(well.checkout_failed * 20 < well.checkout);
    assert_true(ill.checkout_failed * 10 > ill.checkout);
    assert_true(again.checkout_failed * 20 < again.checkout);
    tide_fleet_free(fleet);
}

static void nothing_is_logged_in_no_time(void **state)
{
    struct tide_fleet *fleet = tide_fleet_new(3, 400, 600, START);

    (void)state;
    assert_int_equal(logged(fleet, START, START).events, 0);
    assert_int_equal(logged(fleet, START + 1, START).events, 0);
    tide_fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dozen_modules_log_what_the_daemon_takes),
        cmocka_unit_test(the_same_seed_is_the_same_fleet),
        cmocka_unit_test(one_module_degrades_and_recovers),
        cmocka_unit_test(nothing_is_logged_in_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
