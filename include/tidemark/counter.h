/* Happenings: process-wide atomic counters and gauges, each with its unit and help where it is
 * declared. Prometheus prints the table; adding one is one row.
 */
#ifndef TIDEMARK_COUNTER_H
#define TIDEMARK_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* X(enumerator, prometheus name, type, help) */
#define TIDE_COUNTERS(X)                                                                           \
    X(CONNECTIONS, "tidemark_connections_total", "counter", "Forward connections accepted")        \
    X(CONNECTIONS_OPEN, "tidemark_connections_open", "gauge", "Forward connections open now")      \
    X(CLOSED_MALFORMED, "tidemark_connections_closed_malformed_total", "counter",                  \
      "Forward connections closed because of a framing error")                                     \
    X(CLOSED_FOREIGN, "tidemark_connections_closed_foreign_total", "counter",                      \
      "Connections to the Forward port that spoke something else (TLS, HTTP, noise)")              \
    X(CLOSED_TOO_LARGE, "tidemark_connections_closed_too_large_total", "counter",                  \
      "Forward connections closed because a frame was over ingest.max_frame_bytes")                \
    X(CLOSED_MEMORY, "tidemark_connections_closed_memory_total", "counter",                        \
      "Forward connections closed because unfinished requests took all of ingest.max_input_bytes") \
    X(CLOSED_STALLED, "tidemark_connections_closed_stalled_total", "counter",                      \
      "Forward connections closed because they stopped within a frame")                            \
    X(CLOSED_IDLE, "tidemark_connections_closed_idle_total", "counter",                            \
      "Forward connections closed because of ingest.idle_timeout_s")                               \
    X(REFUSED, "tidemark_connections_refused_total", "counter",                                    \
      "Forward connections refused because of ingest.max_connections")                             \
    X(REFUSED_ADDRESS, "tidemark_connections_refused_address_total", "counter",                    \
      "Forward connections refused because of ingest.max_connections_per_address")                 \
    X(HANDSHAKES, "tidemark_handshakes_total", "counter", "Peers that showed the shared key")      \
    X(HANDSHAKES_KEY, "tidemark_handshakes_refused_key_total", "counter",                          \
      "Handshakes refused because the shared key was wrong, or the PING an old one")               \
    X(HANDSHAKES_USER, "tidemark_handshakes_refused_user_total", "counter",                        \
      "Handshakes refused because user or password was wrong")                                     \
    X(HANDSHAKES_MALFORMED, "tidemark_handshakes_refused_malformed_total", "counter",              \
      "Handshakes refused because the first message was no PING")                                  \
    X(HANDSHAKES_LATE, "tidemark_handshakes_refused_late_total", "counter",                        \
      "Handshakes refused because of ingest.handshake_timeout_s")                                  \
    X(HANDSHAKES_TLS, "tidemark_handshakes_refused_tls_total", "counter",                          \
      "TLS handshakes that failed")                                                                \
    X(HEARTBEATS_UDP, "tidemark_heartbeats_udp_total", "counter", "UDP heartbeats answered")       \
    X(STRAY_DATAGRAMS, "tidemark_stray_datagrams_total", "counter",                                \
      "Datagrams to the Forward port that are no heartbeat")                                       \
    X(HEARTBEATS, "tidemark_heartbeats_total", "counter", "nil heartbeats received")               \
    X(STRAY_VALUES, "tidemark_stray_values_total", "counter",                                      \
      "msgpack values on a Forward connection that are no request")                                \
    X(BAD_TAGS, "tidemark_bad_tags_total", "counter",                                              \
      "Forward requests whose tag was no text or over 256 bytes, and was left out")                \
    X(BAD_OPTIONS, "tidemark_bad_options_total", "counter",                                        \
      "Forward requests whose option was neither a map nor nil")                                   \
    X(UNKNOWN_EVENTS, "tidemark_unknown_event_types_total", "counter",                             \
      "Events with an unknown event type, counted as debug")                                       \
    X(BAD_FIELDS, "tidemark_bad_fields_total", "counter",                                          \
      "Optional fields left out because their value was unusable")                                 \
    X(INPUT_BYTES, "tidemark_input_bytes", "gauge", "Memory that unfinished requests take now")    \
    X(INPUT_WAITS, "tidemark_input_waits_total", "counter",                                        \
      "Times that a large request had to wait for memory to be received into")                     \
    X(AMBIGUOUS_DURATIONS, "tidemark_ambiguous_durations_total", "counter",                        \
      "Events whose only duration had no unit (duration, latency): left out")                      \
    X(RECEIVED_BYTES, "tidemark_received_bytes_total", "counter", "Bytes read from Forward peers") \
    X(ACKS, "tidemark_acks_total", "counter", "Acks written to Forward peers")                     \
    X(ACKS_DROPPED, "tidemark_acks_dropped_total", "counter",                                      \
      "Acks dropped because the peer does not read them")                                          \
    X(INGEST_STALLS, "tidemark_ingest_stalls_total", "counter",                                    \
      "Times a shard stopped reading because all parcels were in flight")                          \
    X(COMMITS, "tidemark_commits_total", "counter", "Group commits on disk")                       \
    X(COMMIT_FAILURES, "tidemark_commit_failures_total", "counter",                                \
      "Group commits that failed and were retried")                                                \
    X(EVENTS_DROPPED, "tidemark_events_dropped_total", "counter",                                  \
      "Events that were read and dropped unacked because the store failed or the daemon stopped")  \
    X(SEALS, "tidemark_seals_total", "counter", "Intervals sealed to rows")                        \
    X(FOLDED_HOURS, "tidemark_folds_total", "counter",                                             \
      "Hours of finished intervals that moved from rows into chunks")                              \
    X(REFOLDED, "tidemark_refolded_corrections_total", "counter",                                  \
      "Corrections by late events that were applied to chunks")                                    \
    X(HTTP_CONNECTIONS, "tidemark_http_connections_total", "counter", "HTTP connections accepted") \
    X(HTTP_CONNECTIONS_OPEN, "tidemark_http_connections_open", "gauge",                            \
      "HTTP connections open now")                                                                 \
    X(HTTP_TURNED_AWAY, "tidemark_http_connections_turned_away_total", "counter",                  \
      "HTTP connections refused because http.max_connections were open")                           \
    X(HTTP_TURNED_AWAY_ADDRESS, "tidemark_http_connections_turned_away_address_total", "counter",  \
      "HTTP connections refused because http.max_connections_per_address were open")               \
    X(HTTP_TIMEOUTS, "tidemark_http_timeouts_total", "counter",                                    \
      "HTTP connections closed because a request did not come, or an answer did not go, in time")  \
    X(HTTP_WAITING_BYTES, "tidemark_http_waiting_bytes", "gauge",                                  \
      "Bytes of answers that wait for slow readers")                                               \
    X(HTTP_ANSWERS_DROPPED, "tidemark_http_answers_dropped_total", "counter",                      \
      "HTTP connections closed because http.max_waiting_bytes of answers were waiting")            \
    X(HTTP_REFUSED, "tidemark_http_requests_refused_total", "counter",                             \
      "HTTP requests refused while they were read: broken, too large, too slow")                   \
    X(HTTP_HANDSHAKES_FAILED, "tidemark_http_handshakes_failed_total", "counter",                  \
      "HTTPS connections that ended before their handshake did")                                   \
    X(EXPIRED_CHUNKS, "tidemark_expired_chunks_total", "counter",                                  \
      "Chunks of history deleted because their keep time was over")                                \
    X(EVICTED_CHUNKS, "tidemark_evicted_chunks_total", "counter",                                  \
      "Chunks of history deleted early to stay below storage.max_bytes")                           \
    X(STORE_TRANSACTIONS, "tidemark_store_transactions_total", "counter",                          \
      "Transactions of the store on disk: group commits, seals, upkeep")                           \
    X(STORE_PUT_BYTES, "tidemark_store_put_bytes_total", "counter",                                \
      "Keys and values put into the store, before it makes pages of them")                         \
    X(DAMAGED_VALUES, "tidemark_damaged_values_total", "counter",                                  \
      "Stored values that failed their checksum and were skipped")

#define TIDE_X(id, name, type, help) TIDE_COUNT_##id,
enum tide_counter { TIDE_COUNTERS(TIDE_X) TIDE_COUNTER_COUNT };
#undef TIDE_X

struct tide_counter_info {
    const char *name, *type, *help;
};

extern atomic_ullong tide_counter_value[TIDE_COUNTER_COUNT];
extern const struct tide_counter_info tide_counter_info[TIDE_COUNTER_COUNT];

static inline void tide_count(enum tide_counter counter, uint64_t n)
{
    atomic_fetch_add_explicit(&tide_counter_value[counter], n, memory_order_relaxed);
}

static inline void tide_uncount(enum tide_counter counter, uint64_t n)
{
    atomic_fetch_sub_explicit(&tide_counter_value[counter], n, memory_order_relaxed);
}

static inline uint64_t tide_counted(enum tide_counter counter)
{
    return atomic_load_explicit(&tide_counter_value[counter], memory_order_relaxed);
}

/* Durations as a fixed histogram (Prometheus): commits, HTTP. Bounds in microseconds below. */
#define TIDE_TIMING_BOUNDS 12
extern const uint64_t
    tide_timing_bound_us[TIDE_TIMING_BOUNDS]; /* 100 us .. 10 s, last bucket is the rest */

struct tide_timing {
    atomic_ullong bucket[TIDE_TIMING_BOUNDS + 1];
    atomic_ullong sum_us;
    atomic_ullong count;
};

void tide_timing_add(struct tide_timing *timing, uint64_t us);

extern struct tide_timing tide_commit_timing; /* begin of a group commit to its return from fsync */

#endif
