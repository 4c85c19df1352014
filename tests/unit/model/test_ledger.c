/* ledger: the books add up and every reason has its name. */
#include "tidemark/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void every_figure_is_added(void **state)
{
    struct tide_ledger sum, from;
    uint64_t *figure = (uint64_t *)&from, *into = (uint64_t *)&sum;
    size_t figures = sizeof(from) / sizeof(uint64_t);

    (void)state;
    assert_int_equal(figures, 8 + TIDE_ENTRY_REASON_COUNT + TIDE_CHUNK_REASON_COUNT);
    for (size_t i = 0; i < figures; i++) {
        figure[i] = i + 1;
        into[i] = 1000 * (i + 1);
    }
    tide_ledger_add(&sum, &from);
    for (size_t i = 0; i < figures; i++)
        assert_int_equal(into[i], 1001 * (i + 1));
}

static void the_books_balance_or_do_not(void **state)
{
    struct tide_ledger ledger = {0};

    (void)state;
    assert_true(tide_ledger_balanced(&ledger));
    ledger = (struct tide_ledger){
        .received = 21, .stored = 1, .late = 2, .duplicate = 3, .sampled = 4, .skewed = 1};
    ledger.rejected[TIDE_ENTRY_BAD_TIME] = 5;
    ledger.rejected[TIDE_ENTRY_TRUNCATED] = 6;
    ledger.chunks_rejected[TIDE_CHUNK_BAD_GZIP] = 9; /* chunks are not entries */
    assert_true(tide_ledger_balanced(&ledger));
    assert_int_equal(tide_ledger_rejected(&ledger), 11);
    assert_int_equal(tide_ledger_chunks_rejected(&ledger), 9);
    ledger.late--;
    assert_false(tide_ledger_balanced(&ledger));
    ledger.late += 2;
    assert_false(tide_ledger_balanced(&ledger));
}

static void the_names_of_reasons_are_those_of_the_contract(void **state)
{
    static const char *const entry[] = {
        "no_module",  "bad_module_id",   "bad_event", "bad_time",     "bad_duration", "bad_success",
        "bad_status", "bad_sample_rate", "not_a_map", "not_an_entry", "truncated"};
    static const char *const chunk[] = {"bad_gzip", "too_large", "unknown_compression",
                                        "unsupported_signal", "id_reuse"};

    (void)state;
    assert_int_equal(TIDE_ENTRY_REASON_COUNT, sizeof(entry) / sizeof(entry[0]));
    assert_int_equal(TIDE_CHUNK_REASON_COUNT, sizeof(chunk) / sizeof(chunk[0]));
    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        assert_string_equal(tide_entry_reason_name((enum tide_entry_reason)i), entry[i]);
    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        assert_string_equal(tide_chunk_reason_name((enum tide_chunk_reason)i), chunk[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_figure_is_added),
        cmocka_unit_test(the_books_balance_or_do_not),
        cmocka_unit_test(the_names_of_reasons_are_those_of_the_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
