/* A target is met when the value as printed is: nobody wants to read `40.0 <= 40 missed`. */
#include "figures.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "human.h"
#include "table.h"

static const char *const unit_name[] = {[TIDE_UNIT_BYTES_EACH] = "bytes_per_record",
                                        [TIDE_UNIT_TIMES] = "ratio",
                                        [TIDE_UNIT_MS] = "ms",
                                        [TIDE_UNIT_BYTES] = "bytes",
                                        [TIDE_UNIT_COUNT] = "count"};

void tide_figures_add(struct tide_figures *figures, const struct tide_figure *figure,
                      const char *note, ...)
{
    struct tide_figure *slot = &figures->figure[figures->count++];
    va_list list;

    assert(figures->count <= TIDE_FIGURES_MAX);
    *slot = *figure;
    va_start(list, note);
    vsnprintf(slot->note, sizeof slot->note, note, list);
    va_end(list);
}

static char *value_text(char text[TIDE_HUMAN_SIZE], enum tide_unit unit, double value)
{
    if (isnan(value)) {
        snprintf(text, TIDE_HUMAN_SIZE, "not yet");
        return text;
    }
    switch (unit) {
    case TIDE_UNIT_BYTES_EACH:
        snprintf(text, TIDE_HUMAN_SIZE, "%.1f B", value);
        return text;
    case TIDE_UNIT_TIMES:
        snprintf(text, TIDE_HUMAN_SIZE, "%.*f x", value < 100 ? 2 : 0, value);
        return text;
    case TIDE_UNIT_MS:
        return tide_human_ms(text, value);
    case TIDE_UNIT_BYTES:
        return tide_human_bytes(text, value);
    case TIDE_UNIT_COUNT:
        break;
    }
    return tide_human_count(text, value);
}

static bool met(const struct tide_figure *figure)
{
    double slack = figure->unit == TIDE_UNIT_BYTES_EACH ? 0.05 : figure->target * 0.005;

    return figure->value < figure->target + slack;
}

void tide_figures_print(const struct tide_figures *figures, FILE *out)
{
    struct tide_table *table = tide_table_new();
    char text[TIDE_HUMAN_SIZE], target[TIDE_HUMAN_SIZE + 4];
    bool colour = tide_wants_colour(out);

    tide_table_column(table, "FIGURE", TIDE_LEFT, 0);
    tide_table_column(table, "VALUE", TIDE_RIGHT, 0);
    tide_table_column(table, "TARGET", TIDE_RIGHT, 0);
    tide_table_column(table, "", TIDE_LEFT, 0);
    tide_table_column(table, "LIMIT SEEN", TIDE_LEFT, 0);
    tide_table_column(table, "", TIDE_LEFT, 0);
    for (size_t i = 0; i < figures->count; i++) {
        const struct tide_figure *figure = &figures->figure[i];
        bool judged = figure->target > 0 && !isnan(figure->value);

        target[0] = '\0';
        if (figure->target > 0)
            snprintf(target, sizeof target, "<= %s",
                     value_text(text, figure->unit, figure->target));
        tide_table_row(table);
        tide_table_cell(table, figure->text);
        tide_table_cell(table, value_text(text, figure->unit, figure->value));
        tide_table_cell(table, target);
        tide_table_cell(table, !judged ? "" : met(figure) ? "met" : "missed");
        if (judged)
            tide_table_colour(table, met(figure) ? TIDE_GREEN : TIDE_RED);
        tide_table_cell(table, figure->limit ? figure->limit : "");
        tide_table_cell(table, figure->note);
    }
    tide_table_print(table, out, colour, "\n");
    tide_table_free(table);
}

json_t *tide_figures_json(const struct tide_figures *figures)
{
    json_t *array = json_array();

    for (size_t i = 0; i < figures->count; i++) {
        const struct tide_figure *figure = &figures->figure[i];
        bool known = !isnan(figure->value), judged = known && figure->target > 0;

        json_array_append_new(
            array,
            json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:s}", "name", figure->name, "text",
                      figure->text, "value", known ? json_real(figure->value) : json_null(), "unit",
                      unit_name[figure->unit], "target",
                      figure->target > 0 ? json_real(figure->target) : json_null(), "met",
                      judged ? json_boolean(met(figure)) : json_null(), "limit",
                      figure->limit ? json_string(figure->limit) : json_null(), "note",
                      figure->note));
    }
    return array;
}
