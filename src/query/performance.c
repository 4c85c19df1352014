/* performance - the fleet's figures, and the few modules with the largest p95. The list is kept
 * short while modules pass by, so its cost does not grow with the fleet.
 */
#include "current.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool slower(const struct tide_module_line *a, const struct tide_module_line *b)
{
    if (a->figures.p95_ms != b->figures.p95_ms)
        return a->figures.p95_ms > b->figures.p95_ms;
    return strcmp(a->name, b->name) < 0;
}

static enum tide_rc take_slow(void *arg, const struct tide_module *module,
                              struct tide_module_line *line)
{
    struct tide_lines *lines = arg;
    size_t at;
    enum tide_rc rc;

    (void)module;
    if (isnan(line->figures.p95_ms))
        return TIDE_OK;
    if (lines->count == TIDE_SLOWEST_MODULES) {
        struct tide_module_line *last = &lines->line[lines->count - 1];

        if (!slower(line, last))
            return TIDE_OK;
        tide_module_line_fini(last);
        lines->count--;
    }
    rc = tide_lines_add(lines, line);
    if (rc)
        return rc;
    for (at = lines->count - 1; at > 0 && slower(&lines->line[at], &lines->line[at - 1]); at--) {
        struct tide_module_line swap = lines->line[at];

        lines->line[at] = lines->line[at - 1];
        lines->line[at - 1] = swap;
    }
    return TIDE_OK;
}

enum tide_rc tide_query_performance(struct tide_query *query, uint32_t window_s,
                                    struct tide_fleet_view *ret, struct tide_err *err)
{
    return tide_current_fleet_lines(query, window_s, take_slow, ret, err);
}
