/* request - one HTTP request from its parsed form to its answer, its log line and its figures. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <event2/http.h>
#include "tidemark/api.h"

struct tide_api_context {
    struct tide_query *query;
    bool prometheus;
    bool log_requests;
};

/* The generic callback of evhttp: arg is a struct tide_api_context, shared by all threads and
 * constant. */
void tide_request_serve(struct evhttp_request *request, void *arg);

#endif
