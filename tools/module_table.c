/* module_table - see module_table.h. */
#include "module_table.h"

#include "ask.h"
#include "human.h"

struct tide_table *tide_module_table(void)
{
    struct tide_table *table = tide_table_new();

    tide_table_column(table, "module", TIDE_LEFT, 60);
    tide_table_column(table, "status", TIDE_LEFT, 0);
    tide_table_column(table, "score", TIDE_RIGHT, 0);
    tide_table_column(table, "requests", TIDE_RIGHT, 0);
    tide_table_column(table, "rate", TIDE_RIGHT, 0);
    tide_table_column(table, "p95", TIDE_RIGHT, 0);
    tide_table_column(table, "failed", TIDE_RIGHT, 0);
    tide_table_column(table, "last event", TIDE_LEFT, 0);
    return table;
}

void tide_module_row(struct tide_table *table, const json_t *module)
{
    char text[TIDE_HUMAN_SIZE];
    const char *status = tide_word(module, "status");

    tide_table_row(table);
    tide_table_cell(table, tide_word(module, "module_id"));
    tide_table_cell(table, status);
    tide_table_colour(table, tide_status_colour(status));
    tide_table_cell(table, tide_human_score(text, tide_figure(module, "health_score")));
    tide_table_cell(table, tide_human_count(text, tide_figure(module, "total_requests")));
    tide_table_cell(table, tide_human_rate(text, tide_figure(module, "throughput_rps")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(module, "p95_response_time_ms")));
    tide_table_cell(table, tide_human_share(text, tide_figure(module, "error_rate")));
    tide_table_cell(table, tide_word(module, "last_updated"));
}
