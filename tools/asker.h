/* asker - one kept connection that asks a daemon's REST port again and again, as a dashboard does:
 * what is measured is the answer, not the connecting. */
#ifndef TIDEMARK_TOOLS_ASKER_H
#define TIDEMARK_TOOLS_ASKER_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

struct tide_channel;

struct tide_asker {
    struct tide_channel *channel; /* NULL: not connected */
    const char *url;              /* the caller's */
    int timeout_ms;
    char *bytes; /* of the answer, head first */
    size_t len, capacity;
};

struct tide_asked {
    int status;
    const char *body; /* in the asker, until it asks again; a 0 byte behind it */
    size_t body_len;
};

/* Connects to url, which outlives it. timeout_ms: for each exchange. close accepts what never
 * opened.
 */
enum tide_rc tide_asker_open(struct tide_asker *asker, const char *url, int timeout_ms,
                             struct tide_err *err);
void tide_asker_close(struct tide_asker *asker);

/* One GET. Returns  TIDE_OK           an answer of any status
 *                   TIDE_UNAVAILABLE  gone or too slow
 *                   TIDE_MALFORMED    no answer with a Content-Length
 *                   TIDE_STOPPED      a signal asked to stop */
enum tide_rc tide_asker_get(struct tide_asker *asker, const char *path, struct tide_asked *ret,
                            struct tide_err *err);

#endif
