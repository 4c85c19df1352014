/* routes - see routes.h. */
#include "routes.h"

#include <string.h>

#define TIDE_X(name) &tide_route_##name,
const struct tide_route *const tide_routes[TIDE_ROUTE_COUNT] = {TIDE_ROUTES(TIDE_X)};
#undef TIDE_X

size_t tide_route_find(const char *path)
{
    size_t i;

    for (i = 0; i < TIDE_ROUTE_COUNT; i++)
        if (strcmp(tide_routes[i]->path, path) == 0 ||
            (tide_routes[i]->alias && strcmp(tide_routes[i]->alias, path) == 0))
            break;
    return i;
}
