/* The books: what happened to every entry that the decoder reached.
 *
 *     received = stored + late + duplicate + sampled + rejected
 *
 * holds at any time, across crashes, because a chunk's books travel with its parcel and are added
 * to the stored ledger in the same transaction as its effect.
 */
#ifndef TIDEMARK_LEDGER_H
#define TIDEMARK_LEDGER_H

#include <stdint.h>

/* X(enumerator, name) : why one entry was rejected. The order is part of the file format: append
 * only. */
#define TIDE_ENTRY_REASONS(X)             \
    X(NO_MODULE, "no_module")             \
    X(BAD_MODULE_ID, "bad_module_id")     \
    X(BAD_EVENT, "bad_event")             \
    X(BAD_TIME, "bad_time")               \
    X(BAD_DURATION, "bad_duration")       \
    X(BAD_SUCCESS, "bad_success")         \
    X(BAD_STATUS, "bad_status")           \
    X(BAD_SAMPLE_RATE, "bad_sample_rate") \
    X(NOT_A_MAP, "not_a_map")             \
    X(NOT_AN_ENTRY, "not_an_entry")       \
    X(TRUNCATED, "truncated")

/* X(enumerator, name) : why a whole chunk was rejected. Append only. */
#define TIDE_CHUNK_REASONS(X)                     \
    X(BAD_GZIP, "bad_gzip")                       \
    X(TOO_LARGE, "too_large")                     \
    X(UNKNOWN_COMPRESSION, "unknown_compression") \
    X(UNSUPPORTED_SIGNAL, "unsupported_signal")   \
    X(ID_REUSE, "id_reuse")

#define TIDE_X(id, name) TIDE_ENTRY_##id,
enum tide_entry_reason { TIDE_ENTRY_REASONS(TIDE_X) TIDE_ENTRY_REASON_COUNT };
#undef TIDE_X
#define TIDE_X(id, name) TIDE_CHUNK_##id,
enum tide_chunk_reason { TIDE_CHUNK_REASONS(TIDE_X) TIDE_CHUNK_REASON_COUNT };
#undef TIDE_X

struct tide_ledger {
    uint64_t received; /* entries reached */
    uint64_t stored;
    uint64_t late;      /* older than aggregation.lateness_s at their commit */
    uint64_t duplicate; /* in chunks, or with event ids, seen before */
    uint64_t sampled;   /* left out by sampling.modules */
    uint64_t rejected[TIDE_ENTRY_REASON_COUNT];
    uint64_t skewed; /* stored, but dated too far ahead: booked at arrival time */
    uint64_t chunks_committed;
    uint64_t chunks_duplicate;
    uint64_t chunks_rejected[TIDE_CHUNK_REASON_COUNT];
};

/* Adds every figure of `from` to `into`. */
void tide_ledger_add(struct tide_ledger *into, const struct tide_ledger *from);

uint64_t tide_ledger_rejected(const struct tide_ledger *ledger);        /* sum over reasons */
uint64_t tide_ledger_chunks_rejected(const struct tide_ledger *ledger); /* sum over reasons */

/* True when the identity above holds. */
_Bool tide_ledger_balanced(const struct tide_ledger *ledger);

const char *tide_entry_reason_name(enum tide_entry_reason reason);
const char *tide_chunk_reason_name(enum tide_chunk_reason reason);

#endif
