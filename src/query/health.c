/* health - the fleet's figures, and the modules that are degraded or critical with their reasons,
 * worst first.
 */
#include "current.h"

#include <stdlib.h>

static enum tide_rc take_troubled(void *arg, const struct tide_module *module,
                                  struct tide_module_line *line)
{
    (void)module;
    if (line->health.status != TIDE_DEGRADED && line->health.status != TIDE_CRITICAL)
        return TIDE_OK;
    return tide_lines_add(arg, line);
}

static int worst_first(const void *a, const void *b)
{
    return tide_trouble_order(a, b);
}

enum tide_rc tide_query_health(struct tide_query *query, uint32_t window_s,
                               struct tide_fleet_view *ret, struct tide_err *err)
{
    struct tide_current current;
    struct tide_lines lines = {0};
    enum tide_rc rc = tide_current_open(&current, query, window_s, err);

    if (rc == TIDE_OK)
        rc = tide_current_fleet(&current, take_troubled, &lines, ret, err);
    tide_current_close(&current);
    if (rc) {
        tide_lines_fini(&lines);
        return rc;
    }
    if (lines.count > 1)
        qsort(lines.line, lines.count, sizeof(*lines.line), worst_first);
    ret->line = lines.line;
    ret->lines = lines.count;
    return TIDE_OK;
}
