/* reply - status, headers and bytes of one answer, whatever made it. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <event2/http.h>
#include "routes.h"

/* Opens the envelope: {"endpoint":...,"timestamp":... */
void tide_reply_begin(struct tide_reply *reply, const char *endpoint, int64_t now_us);

/* Closes it with duration_ms; false when memory ran out on the way. */
bool tide_reply_finish(struct tide_reply *reply, double duration_ms);

/* Drops what was written and makes the reply a problem of this status. code and detail: static or
 * in reply->err. */
void tide_reply_problem(struct tide_reply *reply, int status, const char *code, const char *detail,
                        const char *instance);

/* The same for the outcome of a serve function. */
void tide_reply_outcome(struct tide_reply *reply, enum tide_rc rc, const char *instance);

/* What shapes the headers beside the reply itself. */
struct tide_exchange {
    bool close; /* the connection ends with this answer */
    bool cors;  /* some origins are let in: caches must keep them apart */
    bool preflight;
    const char *allow_origin; /* NULL: none */
    const char *challenge;    /* of a 401 or 403; NULL: none */
};

/* Sends it: headers, gzip, 304, HEAD. Takes over the body. Sets *ret_bytes of body sent; returns
 * the status sent. */
int tide_reply_send(struct tide_reply *reply, struct evhttp_request *request,
                    const struct tide_exchange *exchange, size_t *ret_bytes);

#endif
