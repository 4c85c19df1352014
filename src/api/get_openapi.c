/* GET /api/v3/openapi.json: what this port answers, as OpenAPI 3.1. Written by hand; the tests hold
 * every answer they get against it.
 */
#include "routes.h"

#include "openapi.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    (void)call;
    tide_body_add(&reply->body, tide_openapi_text, tide_openapi_size);
    reply->type = "application/json";
    return TIDE_OK;
}

const struct tide_route tide_route_openapi = {
    .path = "/api/v3/openapi.json",
    .summary = "OpenAPI 3.1 of this port",
    .serve = serve,
    .text = true,
    .open = true,
};
