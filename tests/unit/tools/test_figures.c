/* figures and laps: what is met, missed and not there yet, in both outputs. */
#include "figures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "laps.h"
#include "tidemark/clock.h"

static void add(struct tide_figures *figures, const char *name, enum tide_unit unit, double value,
                double target)
{
    struct tide_figure figure = {.unit = unit, .value = value, .target = target, .limit = "1 x"};

    snprintf(figure.name, sizeof figure.name, "%s", name);
    snprintf(figure.text, sizeof figure.text, "the %s", name);
    tide_figures_add(figures, &figure, "note %d", 7);
}

static void assert_line(const char *text, const char *name, const char *has)
{
    char line[512];

    text = strstr(text, name);
    assert_non_null(text);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    if (!strstr(line, has))
        fail_msg("`%s` does not say `%s`", line, has);
}

static void a_target_is_met_or_missed_as_it_is_printed(void **state)
{
    static struct tide_figures figures;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    json_t *array, *row;

    (void)state;
    add(&figures, "small", TIDE_UNIT_BYTES_EACH, 40.04, 40);
    add(&figures, "large", TIDE_UNIT_BYTES_EACH, 40.1, 40);
    add(&figures, "ratio", TIDE_UNIT_TIMES, 3.1, 0);
    add(&figures, "absent", TIDE_UNIT_MS, (double)NAN, 1);
    tide_figures_print(&figures, out);
    fclose(out);
    assert_line(text, "the small", "40.0 B   <= 40.0 B  met     1 x         note 7");
    assert_line(text, "the large", "40.1 B   <= 40.0 B  missed");
    assert_line(text, "the ratio", "3.10 x");
    assert_line(text, "the absent", "not yet  <= 1.00 ms");
    free(text);

    array = tide_figures_json(&figures);
    assert_int_equal(json_array_size(array), 4);
    row = json_array_get(array, 0);
    assert_true(json_is_true(json_object_get(row, "met")));
    assert_string_equal(json_string_value(json_object_get(row, "name")), "small");
    assert_true(json_is_false(json_object_get(json_array_get(array, 1), "met")));
    row = json_array_get(array, 2);
    assert_true(json_is_null(json_object_get(row, "met")));
    assert_true(json_is_null(json_object_get(row, "target")));
    row = json_array_get(array, 3);
    assert_true(json_is_null(json_object_get(row, "value")));
    assert_true(json_is_null(json_object_get(row, "met")));
    json_decref(array);
}

static void laps_know_their_quantiles_and_their_worst(void **state)
{
    struct tide_laps laps;

    (void)state;
    tide_laps_init(&laps);
    assert_true(isnan(tide_laps_ms(&laps, TIDE_LAP_WALL, .5)));
    for (int i = 1; i <= 100; i++) {
        tide_clock_fake(INT64_C(1704067200000000));
        tide_laps_begin(&laps);
        tide_clock_fake(INT64_C(1704067200000000) + i * 1000);
        tide_laps_end(&laps);
    }
    tide_clock_fake(0);
    assert_int_equal(laps.count, 100);
    assert_true(tide_laps_ms(&laps, TIDE_LAP_WALL, .5) > 49 &&
                tide_laps_ms(&laps, TIDE_LAP_WALL, .5) < 51.5);
    assert_true(tide_laps_ms(&laps, TIDE_LAP_WALL, .99) > 97.5 &&
                tide_laps_ms(&laps, TIDE_LAP_WALL, .99) <= 100.1);
    assert_true(tide_laps_ms(&laps, TIDE_LAP_WALL, 1) == 100);
    tide_laps_fini(&laps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_met_or_missed_as_it_is_printed),
        cmocka_unit_test(laps_know_their_quantiles_and_their_worst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
