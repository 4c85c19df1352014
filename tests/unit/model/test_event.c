/* event: the kinds and which events are operations. */
#include "tidemark/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void every_kind_is_found_by_its_name(void **state)
{
    static const char *const name[] = {"start", "stop",        "health", "request", "response",
                                       "error", "performance", "config", "metric",  "debug"};

    (void)state;
    assert_int_equal(TIDE_EVENT_KIND_COUNT, sizeof(name) / sizeof(name[0]));
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        assert_string_equal(tide_event_kind_name((enum tide_event_kind)kind), name[kind]);
        assert_int_equal(tide_event_kind_find(name[kind], (uint32_t)strlen(name[kind])), kind);
    }
}

static void a_name_must_be_whole(void **state)
{
    (void)state;
    assert_int_equal(tide_event_kind_find("star", 4), -1);
    assert_int_equal(tide_event_kind_find("starts", 6), -1);
    assert_int_equal(tide_event_kind_find("Start", 5), -1);
    assert_int_equal(tide_event_kind_find("", 0), -1);
    assert_int_equal(tide_event_kind_find("stopover", 4), TIDE_EVENT_STOP); /* as long as given */
    assert_int_equal(tide_event_kind_find("stop\0", 5), -1);
}

static void a_response_is_an_operation_and_a_request_may_be_one(void **state)
{
    (void)state;
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        for (int bits = 0; bits < 4; bits++) {
            struct tide_event ev = {
                .kind = (uint8_t)kind, .has_duration = bits & 1, .has_outcome = bits & 2};
            bool expected =
                kind == TIDE_EVENT_RESPONSE || (kind == TIDE_EVENT_REQUEST && bits != 0);

            assert_int_equal(tide_event_is_operation(&ev), expected);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_found_by_its_name),
        cmocka_unit_test(a_name_must_be_whole),
        cmocka_unit_test(a_response_is_an_operation_and_a_request_may_be_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
