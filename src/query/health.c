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
    enum tide_rc rc = tide_current_fleet_lines(query, window_s, take_troubled, ret, err);

    if (rc == TIDE_OK && ret->lines > 1)
        qsort(ret->line, ret->lines, sizeof(*ret->line), worst_first);
    return rc;
}
