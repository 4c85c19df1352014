/* GET /api/v3/ingest/rejected: the last rejected entries and chunks, newest first; count is of all
 * since the start of the daemon, so it tells when the ring has dropped some.
 */
#include "routes.h"

#include <stdlib.h>

#include "tidemark/reject.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    struct tide_reject *ring = malloc(TIDE_REJECT_RING * sizeof(*ring));
    uint64_t total;
    size_t count;

    (void)call;
    if (!ring)
        return TIDE_NO_MEMORY;
    count = tide_reject_list(ring, &total);
    tide_json_array(json, "rejected");
    for (size_t i = 0; i < count; i++) {
        tide_json_object(json, NULL);
        tide_json_time(json, "timestamp", ring[i].time_us);
        tide_json_text(json, "reason", ring[i].reason);
        tide_json_text(json, "peer", ring[i].peer);
        tide_json_text(json, "tag", ring[i].tag);
        tide_json_text(json, "excerpt", ring[i].excerpt);
        tide_json_end(json);
    }
    tide_json_end(json);
    tide_json_uint(json, "count", total);
    free(ring);
    return TIDE_OK;
}

const struct tide_route tide_route_rejected = {
    .path = "/api/v3/ingest/rejected",
    .summary = "The last rejected entries and chunks",
    .serve = serve,
    .admin = true,
};
