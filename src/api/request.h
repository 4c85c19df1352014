/* request - one HTTP request from what evhttp parsed to its answer, its log line and its figures.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "gate.h"
#include "tidemark/api.h"
#include "tokens.h"

/* What all threads share; constant but for the tokens, which guard themselves. */
struct tide_api_context {
    struct tide_query *query;
    struct tide_tokens *tokens; /* NULL: nobody has to prove who he is */
    char cors_origins[1024];    /* blank-separated; "*": all; "": none */
    bool prometheus;
    bool log_requests;
};

/* Answers it, with the refusal if it stands in for one. context: a struct tide_api_context. Returns
 * how many bytes of body are on their way. */
size_t tide_request_serve(struct evhttp_request *request, const struct tide_sifted *how,
                          const void *context);

#endif
