/* parcel - the events of one chunk, already folded: one delta per (module, interval), the histogram
 * samples and instance gauges beside them, and the chunk's own books. It travels from the
 * connection to the disk and home again; coming home committed is the permission to ack. Exactly
 * one thread holds it: a baton.
 *
 * All memory is flat growing arrays that a reset empties without freeing, so a parcel is filled at
 * the speed of the decoder. Bounded: at most TIDE_PARCEL_DELTAS deltas (the rest is booked to
 * __overflow__), at most one sample and one gauge set per entry of a frame whose size is bounded.
 */
#ifndef TIDEMARK_PARCEL_H
#define TIDEMARK_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/event.h"
#include "tidemark/hash.h"
#include "tidemark/ledger.h"
#include "tidemark/record.h"

#define TIDE_PARCEL_DELTAS    65536
#define TIDE_PARCEL_CHUNK_MAX 4096 /* bytes of a chunk id, as msgpack; longer: framing error */
#define TIDE_CHUNK_ID_MIN     8    /* shorter chunk ids are acked but not deduplicated */

struct tide_mailbox;

/* What folding needs to know; fixed while the daemon runs. */
struct tide_fold_rules {
    uint32_t interval_s;
    int64_t lateness_s;
    int64_t future_s;
    uint64_t name_seed;     /* of the tables of module names: any random number of this process */
    uint64_t instance_seed; /* of instance ids: fixed for the life of a store */
};

/* One module in one interval. */
struct tide_delta {
    uint64_t name_hash;
    int64_t start_s;
    struct tide_tally tally;
    uint32_t name_at; /* offset into text */
    uint32_t slowest_at, error_at;
    uint16_t name_len;
    uint16_t slowest_len; /* 0: none */
    uint16_t error_len;   /* 0: none */
    uint64_t slowest_us;
    int64_t error_us;  /* time of the error kept */
    uint32_t entries;  /* folded here, each counted once whatever its weight */
    uint32_t instance; /* 1 + index of the first gauge set, 0: none */
    uint32_t slot;     /* where the lookup table points here */
};

/* Gauges of one instance, chained to its delta. */
struct tide_delta_instance {
    struct tide_instance of;
    uint32_t next; /* 1 + index of the next one of this delta, 0: last */
};

struct tide_sample {
    uint32_t delta; /* index */
    uint16_t bucket;
    uint16_t spare;
    uint32_t count; /* weight */
};

enum tide_fate {
    TIDE_FATE_OPEN,      /* not committed yet */
    TIDE_FATE_COMMITTED, /* on disk: ack */
    TIDE_FATE_DUPLICATE, /* was on disk before: ack */
    TIDE_FATE_DROPPED    /* the store gave up (FAILED): never ack, close the connection */
};

struct tide_parcel {
    struct tide_parcel *next; /* for whoever holds it */

    struct tide_delta *delta;
    uint32_t deltas, delta_capacity;
    struct tide_delta_instance *instance;
    uint32_t instances, instance_capacity;
    struct tide_sample *sample;
    uint32_t samples, sample_capacity;
    char *text;
    uint32_t text_len, text_capacity;
    uint32_t *slot;    /* open addressing: 1 + delta index */
    uint32_t slots;    /* a power of two, or 0 */
    uint32_t overflow; /* 1 + index of the newest __overflow__ delta, 0: none */

    struct tide_ledger books; /* of this chunk, should it be new */
    bool has_identity;
    struct tide_hash128 identity;

    /* the way home */
    enum tide_fate fate;
    struct tide_mailbox *home; /* where commit sends it */
    uint64_t owner;            /* the shard's word for the connection; 0: nobody waits */
    uint16_t chunk_len;        /* 0: no ack wanted */
    uint8_t
        chunk[TIDE_PARCEL_CHUNK_MAX]; /* the chunk value as msgpack, to be echoed byte for byte */
};

void tide_parcel_init(struct tide_parcel *parcel);
void tide_parcel_fini(struct tide_parcel *parcel);

/* Empties it; memory beyond a stated small size is given back. */
void tide_parcel_reset(struct tide_parcel *parcel);

/* Bytes of memory held. */
size_t tide_parcel_memory(const struct tide_parcel *parcel);

/* Nothing in it that a commit would have to keep. */
bool tide_parcel_empty(const struct tide_parcel *parcel);

/* No room for another module-interval: post it (events without chunk id) or see them go to
 * __overflow__. */
bool tide_parcel_full(const struct tide_parcel *parcel);

/* Folds one decoded event (its module name is set and valid) that arrived at arrival_us and books
 * it: received, and stored, late (older than lateness_s before arrival) or skewed (booked at
 * arrival). Aborts when memory is out. */
void tide_parcel_fold(struct tide_parcel *parcel, const struct tide_fold_rules *rules,
                      const struct tide_event *ev, int64_t arrival_us);

/* Books one rejected entry. */
void tide_parcel_reject(struct tide_parcel *parcel, enum tide_entry_reason reason);

/* Drops what was folded and books the whole chunk as rejected (unpacking failed and the like). */
void tide_parcel_reject_chunk(struct tide_parcel *parcel, enum tide_chunk_reason reason);

static inline const char *tide_delta_name(const struct tide_parcel *parcel,
                                          const struct tide_delta *delta)
{
    return parcel->text + delta->name_at;
}

#endif
