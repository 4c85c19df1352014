/* gate - what stands between a socket and evhttp: evhttp parses, dispatches and answers, the gate
 * decides what it gets to see and how long all may take.
 *
 * A gate belongs to one connection. It passes on one request at a time, through the sieve
 * (sieve.h), and waits for evhttp to answer it.
 *
 *      HEAD --whole--> PASSED --answered--> HEAD
 *       '---refused--> PASSED (a stand-in) --answered--> linger --> gone
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
#include "sieve.h"
#include "tidemark/census.h"
#include "tidemark/tls.h"

struct tide_gates; /* all of one thread */

struct tide_gates_cfg {
    struct tide_census *census; /* over all threads */
    struct tide_tls *tls;       /* NULL: plain */
    unsigned request_timeout_s;
    uint64_t max_waiting_bytes; /* of answers, over all threads */
    /* Must answer before it returns; says how many bytes are on their way then. */
    size_t (*serve)(struct evhttp_request *request, const struct tide_sifted *how,
                    const void *context);
    const void *context;
};

/* Sets the callbacks of http that make and serve connections. NULL: out of memory. */
struct tide_gates *tide_gates_new(struct event_base *base, struct evhttp *http,
                                  const struct tide_gates_cfg *cfg);

/* After evhttp_free, which closes the connections. NULL is fine. */
void tide_gates_free(struct tide_gates *gates);

#endif
