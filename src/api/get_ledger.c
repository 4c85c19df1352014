/* GET /api/v3/ingest/ledger: the books. received = stored + late + duplicate + sampled + rejected,
 * always. */
#include "routes.h"

#include "tidemark/ledger.h"

static enum tide_rc serve(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    struct tide_self_view self;
    struct tide_ledger books;
    enum tide_rc rc = tide_query_ledger(call->query, &books, &reply->err);

    if (rc)
        return rc;
    tide_query_self(call->query, &self);
    tide_json_object(json, "ledger");
    tide_json_uint(json, "received", books.received);
    tide_json_uint(json, "stored", books.stored);
    tide_json_uint(json, "late", books.late);
    tide_json_uint(json, "duplicate", books.duplicate);
    tide_json_uint(json, "sampled", books.sampled);
    tide_json_uint(json, "rejected", tide_ledger_rejected(&books));
    tide_json_object(json, "rejected_by_reason");
    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        tide_json_uint(json, tide_entry_reason_name((enum tide_entry_reason)i), books.rejected[i]);
    tide_json_end(json);
    tide_json_uint(json, "skewed", books.skewed);
    tide_json_object(json, "chunks");
    tide_json_uint(json, "committed", books.chunks_committed);
    tide_json_uint(json, "duplicate", books.chunks_duplicate);
    tide_json_uint(json, "rejected", tide_ledger_chunks_rejected(&books));
    tide_json_object(json, "rejected_by_reason");
    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        tide_json_uint(json, tide_chunk_reason_name((enum tide_chunk_reason)i),
                       books.chunks_rejected[i]);
    tide_json_end(json);
    tide_json_end(json);
    tide_json_object(json, "dedup");
    tide_json_uint(json, "chunks", self.stats.identities);
    if (self.stats.oldest_identity_us > 0)
        tide_json_ms(json, "oldest_age_s",
                     (double)(call->now_us - self.stats.oldest_identity_us) / 1e6);
    else
        tide_json_null(json, "oldest_age_s");
    tide_json_text(json, "bound", self.stats.identity_bound);
    tide_json_end(json);
    tide_json_end(json);
    return TIDE_OK;
}

const struct tide_route tide_route_ledger = {
    .path = "/api/v3/ingest/ledger",
    .summary = "The books: what happened to every entry received",
    .serve = serve,
};
