/* The list of modules: order, filters, pages. */
#include "fake_store.h"

#include <math.h>

#include "tidemark/query.h"

#define NOW_US INT64_C(1700000115000000)

static struct tide_query *query;

static int setup(void **state)
{
    struct tide_query_cfg cfg = {.window_s = 300, .grace_s = 5};
    unsigned seed = 3;

    (void)state;
    fake_init(30);
    tide_clock_fake(NOW_US);
    tide_thresholds_default(&cfg.health.defaults);
    assert_int_equal(tide_query_open(&cfg, NULL, &query, NULL), TIDE_OK);
    for (int i = 0; i < 97; i++) {
        char name[32];
        unsigned count = (unsigned)rand_r(&seed) % 30;

        snprintf(name, sizeof(name), "%s-%02d", i % 3 ? "web" : "db", i * 31 % 97);
        fake_module(name);
        /* many ties on purpose; some are silent */
        if (i % 5)
            fake_responses(name, NOW_US, count, count / (1 + (unsigned)rand_r(&seed) % 20),
                           i % 4 ? 1000 : -1);
        else
            fake_kind(name, NOW_US - INT64_C(9000000000), TIDE_EVENT_START);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_query_close(query);
    fake_fini();
    tide_clock_fake(0);
    return 0;
}

static bool ordered(enum tide_sort sort, const struct tide_module_line *a,
                    const struct tide_module_line *b)
{
    bool by_name = strcmp(a->name, b->name) < 0;

    switch (sort) {
    case TIDE_SORT_NAME:
        return by_name;
    case TIDE_SORT_REQUESTS:
        return a->figures.total > b->figures.total ||
               (a->figures.total == b->figures.total && by_name);
    case TIDE_SORT_P95:
        if (isnan(a->figures.p95_ms))
            return isnan(b->figures.p95_ms) && by_name;
        return !(b->figures.p95_ms > a->figures.p95_ms) &&
               (b->figures.p95_ms != a->figures.p95_ms || by_name);
    case TIDE_SORT_TROUBLE:
        if (a->health.status == b->health.status && a->health.status != TIDE_NO_DATA)
            return a->health.score < b->health.score ||
                   (a->health.score == b->health.score && by_name);
        return true;
    }
    return false;
}

static void pages_of_every_order_cover_all_exactly_once(void **state)
{
    (void)state;
    for (int sort = TIDE_SORT_NAME; sort <= TIDE_SORT_P95; sort++)
        for (int status = -1; status < TIDE_STATUS_COUNT; status++)
            for (uint32_t limit = 1; limit <= 100; limit += 11) {
                struct tide_modules_ask ask = {
                    .status = status, .sort = (enum tide_sort)sort, .limit = limit};
                struct tide_modules_mark mark;
                struct tide_module_line last = {0};
                size_t seen = 0, count;

                for (;;) {
                    struct tide_modules_view view;
                    bool more;

                    assert_int_equal(tide_query_modules(query, &ask, &view, NULL), TIDE_OK);
                    count = view.count;
                    for (size_t i = 0; i < view.lines; i++) {
                        struct tide_module_line *line = &view.line[i];

                        assert_true(status < 0 || (int)line->health.status == status);
                        assert_true(!last.name || ordered((enum tide_sort)sort, &last, line));
                        free(last.name);
                        last = *line;
                        last.name = strdup(line->name);
                        seen++;
                    }
                    more = view.more;
                    mark = view.next;
                    ask.after = &mark;
                    assert_true(!more || view.lines == limit);
                    tide_modules_view_fini(&view);
                    if (!more)
                        break;
                }
                free(last.name);
                assert_int_equal(seen, count);
                assert_true(status >= 0 || seen == FAKE.modules);
            }
}

static void prefix_counts_and_lists_only_its_own(void **state)
{
    struct tide_modules_ask ask = {.status = -1, .prefix = "db-", .limit = 5};
    struct tide_modules_view view;

    (void)state;
    assert_int_equal(tide_query_modules(query, &ask, &view, NULL), TIDE_OK);
    assert_int_equal(view.count, 33);
    assert_int_equal(view.lines, 5);
    assert_true(view.more);
    for (size_t i = 0; i < view.lines; i++)
        assert_memory_equal(view.line[i].name, "db-", 3);
    tide_modules_view_fini(&view);
}

static void a_page_by_name_decodes_only_its_modules(void **state)
{
    struct tide_modules_ask ask = {.status = -1, .limit = 4};
    struct tide_modules_view view;

    (void)state;
    FAKE.decoded = 0;
    assert_int_equal(tide_query_modules(query, &ask, &view, NULL), TIDE_OK);
    assert_true(FAKE.decoded <= 4);
    tide_modules_view_fini(&view);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(pages_of_every_order_cover_all_exactly_once),
        CASE(prefix_counts_and_lists_only_its_own),
        CASE(a_page_by_name_decodes_only_its_modules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
