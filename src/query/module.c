/* module - all that is known of one module: one walk over its own intervals. */
#include "current.h"

#include <string.h>

static uint64_t count_restarts(const struct tide_module *module, const struct tide_recent *recent,
                               bool windowed)
{
    uint64_t ever = module->total->tally.kind[TIDE_EVENT_START], starts = ever;

    if (windowed)
        starts = recent->window ? recent->window->tally.kind[TIDE_EVENT_START] : 0;
    /* The first start of a module's life is no restart; a window holds it only if it holds all. */
    return starts == ever && starts > 0 ? starts - 1 : starts;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

enum tide_rc tide_query_module(struct tide_query *query, const char *name, size_t len,
                               uint32_t window_s, struct tide_module_view *ret,
                               struct tide_err *err)
{
    struct tide_current current;
    struct tide_recent recent = {0};
    struct tide_module module;
    enum tide_rc rc = tide_current_open(&current, query, window_s, err);

    if (rc == TIDE_OK)
        rc = tide_snapshot_find(current.snapshot, name, len, &module);
    if (rc == TIDE_OK)
        rc = tide_current_walk(&current, module.id, &recent, err);
    if (rc == TIDE_OK) {
        copy_text(ret->name, sizeof(ret->name), module.name);
        copy_text(ret->last_error, sizeof(ret->last_error), module.last_error);
        tide_current_figures(&current, &module, &recent, &ret->figures);
        ret->restarts = count_restarts(&module, &recent, current.windowed);
        ret->slowest = recent.window ? recent.window->slowest : (struct tide_slowest){0};
        rc = tide_current_judge(&current, &module, &recent, &ret->health);
        ret->customs = (struct tide_customs){0};
        if (rc == TIDE_OK && recent.window) {
            ret->customs = recent.window->customs; /* taken over */
            recent.window->customs = (struct tide_customs){0};
        }
    }
    tide_recent_fini(&recent);
    tide_current_close(&current);
    return rc;
}

void tide_module_view_fini(struct tide_module_view *view)
{
    struct tide_module_line line = {.health = view->health};

    tide_module_line_fini(&line);
    view->health.reason = NULL;
    view->health.reasons = 0;
    tide_customs_fini(&view->customs);
}
