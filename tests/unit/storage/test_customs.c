/* customs: lists of names that no record can have are refused. What the bytes mean is told by the
 * golden file in test_chunk, random metrics and random damage are in tests/property. */
#include "customs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1700000000000000)

struct list {
    struct tide_custom item[TIDE_CUSTOMS_MAX + 2];
    struct tide_customs customs;
};

static void add(struct list *list, const char *name)
{
    struct tide_custom *custom = &list->item[list->customs.count++];

    *custom = (struct tide_custom){.sum = 12, .count = 3, .min = 1, .max = 7, .last = 4};
    custom->time_us = NOW_US;
    custom->len = (uint16_t)strlen(name);
    memcpy(custom->name, name, custom->len);
    list->customs.item = list->item;
}

static void add_many(struct list *list, unsigned names)
{
    char name[16];

    for (unsigned i = 0; i < names; i++) {
        snprintf(name, sizeof(name), "name.%03u", i);
        add(list, name);
    }
}

/* Whether one record with these comes back; whatever comes back is the same. */
static bool reads_back(const struct list *list)
{
    const struct tide_customs *of = &list->customs;
    uint64_t events = 3u * list->customs.count;
    int64_t newest_us = NOW_US + 5;
    struct customs_base base = {.events = &events, .newest_us = &newest_us};
    struct tide_customs back;
    struct customs customs;
    struct blob blob = {0};
    const uint8_t *from;
    bool good;

    customs_init(&customs);
    customs_encode(&blob, &of, 1, &base);
    from = blob.start;
    good = customs_decode(&from, blob.start + blob.len, 1, &base, &customs, &back);
    if (good) {
        assert_ptr_equal(from, blob.start + blob.len);
        assert_true(tide_customs_equal(&back, &list->customs));
    }
    customs_fini(&customs);
    blob_fini(&blob);
    return good;
}

static void a_record_has_64_names_and_the_overflow(void **state)
{
    struct list list = {.customs = {0}};

    (void)state;
    add_many(&list, TIDE_CUSTOMS_MAX);
    assert_true(reads_back(&list));
    add(&list, TIDE_CUSTOM_OVERFLOW);
    assert_true(reads_back(&list));
}

static void a_65th_name_is_refused(void **state)
{
    struct list list = {.customs = {0}};

    (void)state;
    add_many(&list, TIDE_CUSTOMS_MAX + 1);
    assert_false(reads_back(&list));
    add(&list, TIDE_CUSTOM_OVERFLOW);
    assert_false(reads_back(&list));
}

static void names_that_do_not_ascend_are_refused(void **state)
{
    struct list twice = {.customs = {0}}, down = {.customs = {0}}, overflow = {.customs = {0}};

    (void)state;
    add(&twice, "a");
    add(&twice, "a");
    assert_false(reads_back(&twice));
    add(&down, "b");
    add(&down, "a");
    assert_false(reads_back(&down));
    add(&overflow, TIDE_CUSTOM_OVERFLOW);
    add(&overflow, "z");
    assert_false(reads_back(&overflow));
}

static void values_outside_their_bounds_are_refused(void **state)
{
    struct list good = {.customs = {0}}, list;

    (void)state;
    add(&good, "a");
    assert_true(reads_back(&good));
#define REFUSED(change)                  \
    do {                                 \
        list = good;                     \
        list.customs.item = list.item;   \
        list.item[0].change;             \
        assert_false(reads_back(&list)); \
    } while (0)
    REFUSED(sum = 2);
    REFUSED(sum = 22);
    REFUSED(sum = (__int128)1 << 100);
    REFUSED(last = 8);
    REFUSED(last = 0);
    REFUSED(max = TIDE_METRIC_UNITS);
    REFUSED(min = -TIDE_METRIC_UNITS);
    REFUSED(time_us = 0);
    REFUSED(time_us = -1);
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_64_names_and_the_overflow),
        cmocka_unit_test(a_65th_name_is_refused),
        cmocka_unit_test(names_that_do_not_ascend_are_refused),
        cmocka_unit_test(values_outside_their_bounds_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
