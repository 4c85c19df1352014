/* Whole values of a peer's stream: where each ends, what it is, and which parcel it goes into; and
 * what a peer is told that says something else.
 */
#include "conn.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "greet.h"
#include "shard.h"

/* ---- refusals ---- */

static void refuse_speech(struct tide_conn *conn, enum tide_speech speech)
{
    static struct tide_log_gate gate;
    static const char *const said[] = {
        [TIDE_SPEECH_JSON] = "JSON before the handshake, which is msgpack",
        [TIDE_SPEECH_TLS] = "TLS client on the plain Forward port; switch TLS off in the client",
        [TIDE_SPEECH_HTTP] =
            "HTTP on the Forward port; REST answers on the address given by --http",
        [TIDE_SPEECH_FOREIGN] = "not a Fluentd Forward client",
    };

    tide_count(TIDE_COUNT_CLOSED_FOREIGN, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest", "peer %s closed: %s", conn->peer, said[speech]);
    tide_conn_end(conn);
}

static void refuse_malformed(struct tide_conn *conn, const char *what)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_CLOSED_MALFORMED, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest", "peer %s closed: malformed %s at byte %" PRIu64,
                   conn->peer, what, conn->offset);
    tide_conn_end(conn);
}

static void refuse_too_large(struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_CLOSED_TOO_LARGE, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: frame at byte %" PRIu64
                   " is over ingest.max_frame_bytes (%zu); set the sender's chunk limit below it",
                   conn->peer, conn->offset, conn->shard->cfg->max_frame_bytes);
    tide_conn_end(conn);
}

static void take_stray(struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_STRAY_VALUES, 1);
    if (++conn->strays < TIDE_STRAYS_MAX)
        return;
    tide_count(TIDE_COUNT_CLOSED_FOREIGN, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: %u values that are no requests, the last at byte %" PRIu64,
                   conn->peer, conn->strays, conn->offset);
    tide_conn_end(conn);
}

/* ---- values ---- */

static void take_chunk(struct tide_conn *conn, const struct tide_request *request,
                       struct tide_parcel *parcel)
{
    assert(request->chunk_len <= TIDE_PARCEL_CHUNK_MAX);
    memcpy(parcel->chunk, request->chunk, request->chunk_len);
    parcel->chunk_len = (uint16_t)request->chunk_len;
    parcel->owner = conn->owner;
    parcel->json = conn->json;
    conn->outstanding++;
    if (request->chunk_payload_len < TIDE_CHUNK_ID_MIN)
        return;
    parcel->has_origin = tide_request_origin(request, &parcel->origin);
    parcel->identity = parcel->has_origin
                           ? tide_request_payload(request, conn->shard->cfg->identity_seed)
                           : tide_request_identity(request, conn->shard->cfg->identity_seed,
                                                   conn->identity, conn->identity_len);
    parcel->has_identity = true;
}

static void take_request(struct tide_conn *conn, const struct tide_request *request, size_t size)
{
    struct tide_shard *shard = conn->shard;
    const struct tide_fold_context context = {
        .rules = &shard->cfg->rules,
        .arrival_us = conn->arrival_us,
        .peer = conn->peer,
        .max_unpacked_bytes = shard->cfg->max_unpacked_bytes,
        .max_unpacked_ratio = shard->cfg->max_unpacked_ratio,
        .max_entries = shard->cfg->max_entries,
    };
    struct tide_parcel *parcel;

    if (request->bad_tag)
        tide_count(TIDE_COUNT_BAD_TAGS, 1);
    if (request->bad_option)
        tide_count(TIDE_COUNT_BAD_OPTIONS, 1);

    if (!request->chunk && size <= TIDE_LOOSE_REQUEST_MAX) {
        tide_request_fold(request, &context, tide_shard_loose(shard));
        return;
    }
    parcel = tide_shard_take(shard);
    if (request->chunk)
        take_chunk(conn, request, parcel);
    tide_request_fold(request, &context, parcel);
    tide_shard_post(shard, &parcel);
}

static void take_value(struct tide_conn *conn, const uint8_t *frame, size_t size)
{
    struct tide_request request;

    if (conn->greeting) {
        tide_greet_ping(conn, frame, size);
        return;
    }
    if (tide_request_parse(frame, size, &request) != TIDE_OK) {
        refuse_malformed(conn, "request");
        return;
    }
    if (request.mode == TIDE_MODE_NIL) {
        tide_count(TIDE_COUNT_HEARTBEATS, 1);
        return;
    }
    if (request.mode == TIDE_MODE_STRAY) {
        take_stray(conn);
        return;
    }
    conn->greeted = true;
    take_request(conn, &request, size);
}

/* One way from here on: what came as JSON is msgpack, too, before anybody looks into it. */
static void take_json(struct tide_conn *conn, const uint8_t *text, size_t size)
{
    uint8_t *value;
    size_t len;

    if (tide_json_pack(text, size, &value, &len) != TIDE_OK) {
        conn->offset += len;
        refuse_malformed(conn, "JSON");
        return;
    }
    take_value(conn, value, len);
    free(value);
}

static uint32_t max_depth(const struct tide_ingest_cfg *cfg)
{
    return cfg->max_depth ? cfg->max_depth : TIDE_FRAME_DEPTH_MAX;
}

size_t tide_conn_consume(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    const struct tide_shard *shard = conn->shard;
    size_t at = 0;

    conn->blocked = false;
    while (at < len && conn->state == TIDE_CONN_OPEN && !conn->doomed) {
        const enum tide_speech speech = tide_speech_of(data[at]);
        const bool json = speech == TIDE_SPEECH_JSON;
        size_t size, max_bytes;
        enum tide_rc rc;

        if (conn->json && tide_json_is_blank(data[at])) {
            at++;
            conn->offset++;
            continue;
        }
        if (!tide_shard_may_fold(shard)) {
            conn->blocked = true;
            break;
        }
        if (!conn->greeted && speech != TIDE_SPEECH_MSGPACK && !(json && !conn->greeting)) {
            refuse_speech(conn, speech);
            break;
        }
        if (len - at < conn->scan.need)
            break;
        max_bytes = conn->greeting ? TIDE_PING_MAX : shard->cfg->max_frame_bytes;
        rc = (json ? tide_json_next : tide_frame_next_within)(
            &conn->scan, data + at, len - at, max_bytes, max_depth(shard->cfg), &size);
        if (rc == TIDE_AGAIN)
            break;
        conn->json = json;
        if (rc && conn->greeting) {
            tide_greet_refuse_noise(conn);
        } else if (rc == TIDE_TOO_LARGE) {
            refuse_too_large(conn);
        } else if (rc) {
            refuse_malformed(conn, json ? "JSON" : "frame");
        } else {
            (json ? take_json : take_value)(conn, data + at, size);
            at += size;
            conn->offset += size;
        }
    }
    return at;
}
