/* any - see any.h. */
#include "any.h"

#include <math.h>
#include <string.h>

#include "pack.h"

int64_t tide_any_between(uint64_t *seed, int64_t low, int64_t high)
{
    return low + (int64_t)(tide_test_random(seed) % (uint64_t)(high - low + 1));
}

static struct tide_text text(const char *literal)
{
    return (struct tide_text){literal, (uint32_t)strlen(literal)};
}

struct tide_text tide_any_name(unsigned n)
{
    static const char names[100][8] = {
        "m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12",
        "m13", "m14", "m15", "m16", "m17", "m18", "m19", "m20", "m21", "m22", "m23", "m24", "m25",
        "m26", "m27", "m28", "m29", "m30", "m31", "m32", "m33", "m34", "m35", "m36", "m37", "m38",
        "m39", "m40", "m41", "m42", "m43", "m44", "m45", "m46", "m47", "m48", "m49", "m50", "m51",
        "m52", "m53", "m54", "m55", "m56", "m57", "m58", "m59", "m60", "m61", "m62", "m63", "m64",
        "m65", "m66", "m67", "m68", "m69", "m70", "m71", "m72", "m73", "m74", "m75", "m76", "m77",
        "m78", "m79", "m80", "m81", "m82", "m83", "m84", "m85", "m86", "m87", "m88", "m89", "m90",
        "m91", "m92", "m93", "m94", "m95", "m96", "m97", "m98", "m99",
    };

    return text(names[n % 100]);
}

struct tide_event tide_any_event(uint64_t *seed)
{
    static const char *const id[] = {"", "", "c-1", "c-2", "c-33", "\xff\x00-odd"};
    static const char *const error[] = {"", "", "", "timeout", "refused", "timeout after a while"};
    static const char *const metric[] = {"m", "", "m0", "m00\xc3\xa4", "~", TIDE_CUSTOM_OVERFLOW};
    struct tide_event ev = {.weight = 1};

    ev.kind = (uint8_t)tide_any_between(seed, 0, TIDE_EVENT_KIND_COUNT - 1);
    if (tide_any_between(seed, 0, 2))
        ev.kind = tide_any_between(seed, 0, 5) ? TIDE_EVENT_RESPONSE : TIDE_EVENT_METRIC;
    if (tide_any_between(seed, 0, 9) == 0)
        ev.weight = (uint32_t)tide_any_between(seed, 1, 1000);
    ev.has_duration = tide_any_between(seed, 0, 3) != 0;
    if (ev.has_duration)
        ev.duration_us = tide_any_between(seed, 0, 9)
                             ? exp2((double)tide_any_between(seed, 0, 2500) / 100)
                             : (double)tide_any_between(seed, 0, TIDE_DURATION_MAX_US);
    ev.has_outcome = tide_any_between(seed, 0, 1);
    ev.error = text(error[tide_any_between(seed, 0, 5)]);
    ev.success = ev.error.len == 0 || tide_any_between(seed, 0, 1);
    ev.has_healthy = tide_any_between(seed, 0, 1);
    ev.healthy = tide_any_between(seed, 0, 1);
    ev.correlation = text(id[tide_any_between(seed, 0, 5)]);
    if (tide_any_between(seed, 0, 2) == 0)
        ev.instance = tide_any_name((unsigned)tide_any_between(seed, 0, 3));
    if (tide_any_between(seed, 0, 40) == 0)
        ev.instance = tide_any_name((unsigned)tide_any_between(seed, 0, 99));
    if (ev.kind == TIDE_EVENT_METRIC && tide_any_between(seed, 0, 9)) {
        ev.metric = tide_any_name((unsigned)tide_any_between(seed, 0, 99));
        if (tide_any_between(seed, 0, 3) == 0)
            ev.metric = text(metric[tide_any_between(seed, 0, 5)]);
        ev.value =
            tide_any_between(seed, 0, 9)
                ? tide_any_between(seed, -3, 3)
                : tide_any_between(seed, 1 - TIDE_METRIC_UNITS / 2, TIDE_METRIC_UNITS / 2) * 2;
    }
    ev.gauges = (uint8_t)tide_any_between(seed, 0, (1 << TIDE_GAUGE_COUNT) - 1);
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (ev.gauges & 1u << gauge)
            ev.gauge[gauge] = tide_any_between(seed, 0, 9)
                                  ? tide_any_between(seed, 0, 1000)
                                  : tide_any_between(seed, 0, TIDE_GAUGE_VALUE_MAX);
    return ev;
}

struct tide_record tide_any_record(uint64_t *seed)
{
    struct tide_record record;
    int64_t events = tide_any_between(seed, 0, 40);

    tide_record_init(&record);
    for (int64_t i = 0; i < events; i++) {
        struct tide_event ev = tide_any_event(seed);
        uint64_t instance =
            ev.instance.len ? (uint64_t)tide_any_between(seed, 1, 90) * UINT64_C(0x123456789abcdef)
                            : 0;

        tide_record_fold(&record, &ev, 1700000000000000 + tide_any_between(seed, 0, 3600) * 1000000,
                         instance);
    }
    return record;
}
