/* modules - one page of the list of modules.
 *
 * The order is total (the name breaks ties) and a page's mark is the sort key of its last line, so
 * pages of an unchanged fleet hold every module exactly once, and a module that appears or leaves
 * disturbs no other. By name the page is known before anything is computed, and only its modules
 * are swept.
 */
#include "current.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int descending(double a, double b) /* NAN last */
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return a > b ? -1 : a < b;
}

static int compare(enum tide_sort sort, const struct tide_module_line *a,
                   const struct tide_module_line *b)
{
    int order = 0;

    switch (sort) {
    case TIDE_SORT_NAME:
        break;
    case TIDE_SORT_TROUBLE:
        return tide_trouble_order(a, b);
    case TIDE_SORT_REQUESTS:
        order = a->figures.total > b->figures.total ? -1 : a->figures.total < b->figures.total;
        break;
    case TIDE_SORT_P95:
        order = descending(a->figures.p95_ms, b->figures.p95_ms);
        break;
    }
    return order ? order : strcmp(a->name, b->name);
}

static int by_name(const void *a, const void *b)
{
    return compare(TIDE_SORT_NAME, a, b);
}

static int by_trouble(const void *a, const void *b)
{
    return compare(TIDE_SORT_TROUBLE, a, b);
}

static int by_requests(const void *a, const void *b)
{
    return compare(TIDE_SORT_REQUESTS, a, b);
}

static int by_p95(const void *a, const void *b)
{
    return compare(TIDE_SORT_P95, a, b);
}

static int (*const order[])(const void *, const void *) = {
    [TIDE_SORT_NAME] = by_name,
    [TIDE_SORT_TROUBLE] = by_trouble,
    [TIDE_SORT_REQUESTS] = by_requests,
    [TIDE_SORT_P95] = by_p95,
};

/* The mark as a line that compares like the one it was taken from. */
static struct tide_module_line line_of_mark(const struct tide_modules_mark *mark)
{
    struct tide_module_line line = {.name = (char *)mark->name};

    line.health.status = (enum tide_status)mark->status;
    line.health.score = mark->real;
    line.figures.p95_ms = mark->real;
    line.figures.total = mark->count;
    return line;
}

static void mark_of_line(enum tide_sort sort, const struct tide_module_line *line,
                         struct tide_modules_mark *ret)
{
    size_t len = strnlen(line->name, sizeof(ret->name) - 1);

    memset(ret, 0, sizeof(*ret));
    ret->sort = (uint8_t)sort;
    ret->status = (uint8_t)line->health.status;
    ret->real = sort == TIDE_SORT_P95 ? line->figures.p95_ms : line->health.score;
    ret->count = line->figures.total;
    memcpy(ret->name, line->name, len);
}

/* Cuts a sorted list down to the page after the mark. */
static void cut_page(const struct tide_modules_ask *ask, struct tide_lines *lines, bool *ret_more)
{
    size_t first = 0, keep;

    if (ask->after) {
        struct tide_module_line mark = line_of_mark(ask->after);

        while (first < lines->count && compare(ask->sort, &lines->line[first], &mark) <= 0)
            tide_module_line_fini(&lines->line[first++]);
    }
    keep = lines->count - first;
    *ret_more = keep > ask->limit;
    for (; keep > ask->limit; keep--)
        tide_module_line_fini(&lines->line[first + keep - 1]);
    if (first > 0 && keep > 0)
        memmove(lines->line, lines->line + first, keep * sizeof(*lines->line));
    lines->count = keep;
}

static bool matches_prefix(const struct tide_modules_ask *ask, const struct tide_module *module)
{
    return !ask->prefix || strncmp(module->name, ask->prefix, strlen(ask->prefix)) == 0;
}

/* Names only: which modules match, in id order. ids gets one id per line. */
static enum tide_rc list_names(struct tide_current *current, const struct tide_modules_ask *ask,
                               struct tide_lines *lines)
{
    enum tide_rc rc = TIDE_OK;

    for (uint32_t id = 1; id <= current->info->modules && rc == TIDE_OK; id++) {
        struct tide_module module;
        struct tide_module_line line = {0};

        tide_snapshot_module(current->snapshot, id, &module);
        if (!matches_prefix(ask, &module))
            continue;
        line.name = strdup(module.name);
        rc = line.name ? tide_lines_add(lines, &line) : TIDE_NO_MEMORY;
        tide_module_line_fini(&line);
    }
    return rc;
}

/* Replaces a name-only line by the full one. */
static enum tide_rc fill_line(struct tide_current *current, struct tide_module_line *line)
{
    struct tide_module module;
    struct tide_module_line full;
    enum tide_rc rc =
        tide_snapshot_find(current->snapshot, line->name, strlen(line->name), &module);

    assert(rc == TIDE_OK); /* the same snapshot named it */
    rc = tide_current_line(current, &module, &full);
    if (rc)
        return rc;
    tide_module_line_fini(line);
    *line = full;
    return TIDE_OK;
}

/* Nobody but these is swept. */
static enum tide_rc leave_out_others(struct tide_current *current, const struct tide_lines *lines)
{
    if (current->info->modules == 0)
        return TIDE_OK;
    current->recent = calloc(current->info->modules, sizeof(*current->recent));
    if (!current->recent)
        return TIDE_NO_MEMORY;
    for (uint32_t i = 0; i < current->info->modules; i++)
        current->recent[i].left_out = true;
    for (size_t i = 0; i < lines->count; i++) {
        struct tide_module module;
        const char *name = lines->line[i].name;
        enum tide_rc rc = tide_snapshot_find(current->snapshot, name, strlen(name), &module);

        assert(rc == TIDE_OK);
        current->recent[module.id - 1].left_out = false;
    }
    return TIDE_OK;
}

static enum tide_rc compute(struct tide_current *current, const struct tide_modules_ask *ask,
                            struct tide_modules_view *ret, struct tide_lines *lines,
                            struct tide_err *err)
{
    bool early = ask->sort == TIDE_SORT_NAME && ask->status < 0;
    enum tide_rc rc = list_names(current, ask, lines);

    ret->count = lines->count;
    if (rc == TIDE_OK && early) {
        if (lines->count > 1)
            qsort(lines->line, lines->count, sizeof(*lines->line), by_name);
        cut_page(ask, lines, &ret->more);
    }
    if (rc == TIDE_OK)
        rc = leave_out_others(current, lines);
    if (rc == TIDE_OK)
        rc = tide_current_sweep(current, err);
    for (size_t i = 0; i < lines->count && rc == TIDE_OK; i++)
        rc = fill_line(current, &lines->line[i]);
    if (rc || early)
        return rc;

    if (ask->status >= 0) {
        size_t keep = 0;

        for (size_t i = 0; i < lines->count; i++) {
            if ((int)lines->line[i].health.status == ask->status)
                lines->line[keep++] = lines->line[i];
            else
                tide_module_line_fini(&lines->line[i]);
        }
        lines->count = keep;
        ret->count = keep;
    }
    if (lines->count > 1)
        qsort(lines->line, lines->count, sizeof(*lines->line), order[ask->sort]);
    cut_page(ask, lines, &ret->more);
    return TIDE_OK;
}

enum tide_rc tide_query_modules(struct tide_query *query, const struct tide_modules_ask *ask,
                                struct tide_modules_view *ret, struct tide_err *err)
{
    struct tide_current current;
    struct tide_lines lines = {0};
    enum tide_rc rc;

    assert(ask->limit > 0);
    memset(ret, 0, sizeof(*ret));
    rc = tide_current_open(&current, query, ask->window_s, err);
    if (rc == TIDE_OK)
        rc = compute(&current, ask, ret, &lines, err);
    tide_current_close(&current);
    if (rc) {
        tide_lines_fini(&lines);
        return rc;
    }
    ret->line = lines.line;
    ret->lines = lines.count;
    if (ret->more)
        mark_of_line(ask->sort, &lines.line[lines.count - 1], &ret->next);
    return TIDE_OK;
}

void tide_modules_view_fini(struct tide_modules_view *view)
{
    struct tide_lines lines = {view->line, view->lines, view->lines};

    tide_lines_fini(&lines);
    view->line = NULL;
    view->lines = 0;
}
