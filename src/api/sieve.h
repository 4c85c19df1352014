/* sieve - lets requests through to evhttp one at a time, whole and well formed (head.h).
 *
 * It works on the buffer that evhttp reads from. What is no whole request yet is taken out of it
 * and kept here, bounded by a head and a body; when the rest has come everything is put back. What
 * is refused is replaced by a stand-in: a harmless request, to be answered with the refusal. So all
 * answers go out the same way and in order, and evhttp meets nothing that it has an error page for.
 */
#ifndef API_SIEVE_H
#define API_SIEVE_H

#include <event2/buffer.h>
#include "head.h"

/* Of one connection; all zero at first. */
struct tide_sieve {
    char *held; /* of a request that is not whole */
    size_t held_len, held_size;
    size_t scanned; /* of these without an end of head in them */
    size_t need;    /* bytes of the whole request; 0: not known yet */
};

/* How a request that was let through is to be answered. */
struct tide_sifted {
    bool refused; /* it is a stand-in */
    struct tide_refusal refusal;
    bool close;      /* the connection ends with the answer */
    bool unfinished; /* evhttp reads the body itself, after "100 Continue" */
};

/* Between two requests, when there is something new in the input.
 *
 * Returns  TIDE_OK         the next request is at the head of the input
 *          TIDE_AGAIN      it is not whole; the input is empty
 *          TIDE_NO_MEMORY  nothing is left of it: the connection has to go
 */
enum tide_rc tide_sieve_look(struct tide_sieve *sieve, struct evbuffer *input,
                             struct tide_sifted *ret);

/* Between two requests: whatever there is of the next is refused, and the connection ends with
 * that. TIDE_NO_MEMORY as above. */
enum tide_rc tide_sieve_refuse(struct tide_sieve *sieve, struct evbuffer *input,
                               const struct tide_refusal *why, struct tide_sifted *ret);

/* Forgets what it holds. */
void tide_sieve_fini(struct tide_sieve *sieve);

#endif
