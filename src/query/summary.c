/* summary - the fleet's figures and how many modules are in which state; no lines. */
#include "current.h"

#include <stdlib.h>

enum tide_rc tide_query_summary(struct tide_query *query, uint32_t window_s,
                                struct tide_fleet_view *ret, struct tide_err *err)
{
    struct tide_current current;
    enum tide_rc rc = tide_current_open(&current, query, window_s, err);

    if (rc == TIDE_OK)
        rc = tide_current_fleet(&current, NULL, NULL, ret, err);
    tide_current_close(&current);
    return rc;
}

void tide_fleet_view_fini(struct tide_fleet_view *view)
{
    struct tide_lines lines = {view->line, view->lines, view->lines};

    tide_lines_fini(&lines);
    view->line = NULL;
    view->lines = 0;
}
