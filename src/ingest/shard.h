/* A shard: one thread with an event loop, its connections and its pool of parcels. Nothing in here
 * is touched by another thread, but for the two mailboxes and the atomics.
 */
#ifndef TIDEMARK_INGEST_SHARD_H
#define TIDEMARK_INGEST_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include "tidemark/ingest.h"
#include "tidemark/mailbox.h"
#include "conn.h"
#include "pool.h"

/* Of one recv: a peer's share of a pass; and the same while input memory is short. */
#define TIDE_READ_BYTES       (256u << 10)
#define TIDE_TIGHT_READ_BYTES (16u << 10)

/* Memory of parcels in flight; over it reading stops (one parcel may lie above). */
#define TIDE_IN_FLIGHT_BYTES (64u << 20)

/* Memory of the loose parcel, over which it is full; a larger request gets a parcel of its own. */
#define TIDE_LOOSE_BYTES       (8u << 20)
#define TIDE_LOOSE_REQUEST_MAX (1u << 20)

/* Bytes of acks that all peers of a shard together may leave unread. */
#define TIDE_SHARD_UNSENT_MAX (32u << 20)

/* Memory of unfinished frames over all shards, unless configured. Two of the largest frames for
 * each shard are the least. */
#define TIDE_INPUT_BYTES (128u << 20)

#define TIDE_TURNS_PER_PASS 64
#define TIDE_ARRIVALS_MAX   256 /* connections on their way to a shard */
#define TIDE_TICK_MS        50
#define TIDE_PARTING_TICKS  10 /* 500 ms: for peers to take their last acks when we stop */
#define TIDE_PARCELS_MIN    2

struct tide_heartbeat;
struct tide_listener;

struct tide_slot {
    struct tide_conn *conn;
    uint32_t generation;
    uint32_t next_free; /* 1 + index, 0: last */
};

struct tide_shard {
    const struct tide_ingest_cfg *cfg;
    struct tide_commit *commit;
    unsigned index;
    bool running; /* thread is to be joined */
    pthread_t thread;
    struct event_base *base;
    uint8_t *buffer; /* TIDE_SMALL_INPUT + TIDE_READ_BYTES: every connection receives here */

    struct tide_mailbox *home;     /* parcels */
    struct tide_mailbox *arrivals; /* connections */
    atomic_uint arriving; /* in that mailbox: the listener keeps it within TIDE_ARRIVALS_MAX */
    struct event home_watch, arrivals_watch, tick_timer;
    bool ticking;
    struct event second_timer;
    bool counting;
    uint32_t second; /* counted while there are connections */
    uint32_t conns;
    struct tide_listener *listener[2]; /* shard 0 accepts for all; NULL: none */
    struct tide_heartbeat *heartbeat;  /* and answers datagrams */

    struct tide_pool pool;
    void **homecomers;         /* [pool.capacity]: scratch of one batch */
    struct tide_parcel *loose; /* filling with requests that nobody wants acked; NULL: none begun */
    struct tide_parcel *loose_posted; /* at most one is in flight */

    struct tide_slot *slot;
    uint32_t slots, free_slot;
    struct tide_conn_list
        turn_line; /* no parcel free: nobody reads; the head may hold unconsumed bytes */
    struct tide_conn_list memory_line; /* large frames waiting for input memory */
    struct tide_conn_list ending;      /* ENDING and LINGERING */
    struct tide_conn *touched;         /* got acks in this batch */
    struct tide_conn_list holders;     /* of small input buffers, the oldest frame first */
    size_t input_bytes, input_max; /* capacity of large input buffers; one frame may lie above */
    size_t small_bytes, small_max; /* of small ones */
    struct tide_conn
        *favoured; /* may exceed the budget by one frame, so that somebody always gets on */
    size_t unsent_bytes, unsent_max; /* of all; of one connection */

    atomic_int stop_ms; /* -1: run on; else: drain, for at most so long */
    bool draining;
    unsigned drain_ticks, parting_ticks;
};

enum tide_rc tide_shard_open(struct tide_shard *shard, unsigned index,
                             const struct tide_ingest_cfg *cfg, struct tide_commit *commit,
                             struct tide_err *err);
enum tide_rc tide_shard_start(struct tide_shard *shard, struct tide_err *err);

/* Asks the thread to drain and end; any thread may. */
void tide_shard_stop(struct tide_shard *shard, int drain_ms);

/* Waits for the thread. */
void tide_shard_join(struct tide_shard *shard);

/* Frees everything. The thread has ended or never started. Parcels that are still in flight stay
 * the committer's: then pool and home mailbox are left to it. */
void tide_shard_close(struct tide_shard *shard);

/* Hands over a new connection; any thread may. False: its mailbox is full. */
bool tide_shard_hand(struct tide_shard *shard, struct tide_conn *conn);

/* The connection of a parcel's owner, or NULL when it is gone. */
struct tide_conn *tide_shard_find(const struct tide_shard *shard, uint64_t owner);

/* Gives conn a slot, and takes it away. False: out of memory. */
bool tide_shard_enrol(struct tide_shard *shard, struct tide_conn *conn);
void tide_shard_strike(struct tide_shard *shard, struct tide_conn *conn);

/* There is a parcel to fold the next request into. */
bool tide_shard_may_fold(const struct tide_shard *shard);

/* ... and nobody waits for his turn, and we are not stopping: receive. */
bool tide_shard_may_read(const struct tide_shard *shard);

/* Lets go of a filled parcel. */
void tide_shard_post(struct tide_shard *shard, struct tide_parcel **parcel);

/* An empty parcel of nobody, and the parcel for requests that nobody wants acked;
 * tide_shard_may_fold was true. */
struct tide_parcel *tide_shard_take(struct tide_shard *shard);
struct tide_parcel *tide_shard_loose(struct tide_shard *shard);

#endif
