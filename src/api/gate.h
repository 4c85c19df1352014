/* gate - what stands between a socket and evhttp: evhttp parses, dispatches and answers, the gate
 * decides what it gets to see.
 *
 * A gate belongs to one connection and passes on one request at a time, when it is there whole and
 * well formed (head.h); until then its bytes wait here, bounded, against one deadline for all of
 * them. What is refused reaches evhttp as a stand-in: a harmless request that is answered with the
 * refusal. So everything goes out the same way, in order, as problem+json, and no error page of
 * evhttp's own is ever seen.
 *
 *      HEAD --whole--> PASSED --answered--> HEAD
 *       '---refused--> PASSED (stand-in) --answered--> linger --> gone
 *
 * Every wait has an end: a request has to be there whole within request_timeout_s of its first byte
 * (the first one of a connection: of its accept, handshake included), an idle connection goes after
 * a minute, an answer has to be taken at a stated least rate. What is held of a peer is bounded:
 * its input by a head and a body, its output by one answer, and all outputs together by
 * max_waiting_bytes, beyond which those go that have kept theirs waiting longest.
 */
#ifndef API_GATE_H
#define API_GATE_H

#include <event2/http.h>
#include "head.h"
#include "tidemark/census.h"
#include "tidemark/tls.h"

struct tide_gates; /* all of one thread */

/* What is to be done with a request beside what evhttp knows of it. */
struct tide_errand {
    const struct tide_refusal *refusal; /* NULL: serve it */
    bool close;                         /* the connection ends with this answer */
};

struct tide_gates_cfg {
    struct tide_census *census; /* over all threads */
    struct tide_tls *tls;       /* NULL: plain */
    unsigned request_timeout_s;
    uint64_t max_waiting_bytes; /* of answers, over all threads */
    /* Must answer before it returns; says how many bytes are on their way then. */
    size_t (*serve)(struct evhttp_request *request, const struct tide_errand *errand,
                    const void *context);
    const void *context;
};

/* Sets the callbacks of http that make and serve connections. NULL: out of memory. */
struct tide_gates *tide_gates_new(struct event_base *base, struct evhttp *http,
                                  const struct tide_gates_cfg *cfg);

/* After evhttp_free, which closes the connections. NULL is fine. */
void tide_gates_free(struct tide_gates *gates);

#endif
