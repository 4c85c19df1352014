/* stats - see stats.h. */
#include "stats.h"

#include <assert.h>

#define TIDE_X(code, title) code,
const int tide_http_code_value[TIDE_HTTP_CODE_COUNT] = {TIDE_HTTP_CODES(TIDE_X)};
#undef TIDE_X

atomic_ullong tide_http_requests[TIDE_ROUTE_COUNT + 1][TIDE_HTTP_CODE_COUNT];
struct tide_timing tide_http_timing[TIDE_ROUTE_COUNT + 1];

void tide_http_note(size_t route, int status, uint64_t us)
{
    unsigned code = 0;

    assert(route <= TIDE_ROUTE_COUNT);
    while (code < TIDE_HTTP_CODE_COUNT && tide_http_code_value[code] != status)
        code++;
    assert(code < TIDE_HTTP_CODE_COUNT);
    atomic_fetch_add_explicit(&tide_http_requests[route][code], 1, memory_order_relaxed);
    tide_timing_add(&tide_http_timing[route], us);
}

const char *tide_http_path(size_t route)
{
    return route < TIDE_ROUTE_COUNT ? tide_routes[route]->path : "other";
}
