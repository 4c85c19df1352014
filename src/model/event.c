/* event - names of the kinds. */
#include "tidemark/event.h"

#include <assert.h>
#include <string.h>

#define TIDE_X(id, name) name,
static const char *const kind_name[TIDE_EVENT_KIND_COUNT] = {TIDE_EVENT_KINDS(TIDE_X)};
#undef TIDE_X

const char *tide_event_kind_name(enum tide_event_kind kind)
{
    assert(kind < TIDE_EVENT_KIND_COUNT);
    return kind_name[kind];
}

int tide_event_kind_find(const char *name, uint32_t len)
{
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        if (strlen(kind_name[kind]) == len && memcmp(kind_name[kind], name, len) == 0)
            return kind;
    return -1;
}
