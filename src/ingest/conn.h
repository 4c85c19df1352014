/* One peer of the Forward port. It belongs to one shard's thread from its adoption to its end.
 *
 *   OPEN ----- FIN ------> ENDING -- all parcels home, acks out --> closed
 *     '--- broken frame -> ENDING -- the same --> LINGERING -- FIN, or a second --> closed
 *
 * While OPEN it is in exactly one of three places: watched for bytes, in the shard's line for a
 * turn (no parcel is free), or in its line for memory (a large frame, and the shard's input memory
 * is used up).
 */
#ifndef TIDEMARK_INGEST_CONN_H
#define TIDEMARK_INGEST_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include "tidemark/wire.h"

/* Ints, strings ... between requests; this many close the connection. */
#define TIDE_STRAYS_MAX 16

/* Bytes of acks one peer may leave unread, unless configured; further ones are dropped. */
#define TIDE_UNSENT_MAX (256u << 10)

/* An unfinished frame up to here is held at once; a larger one is asked whether there is memory. */
#define TIDE_SMALL_INPUT (64u << 10)

/* 5 s for a peer that is being closed to take its last acks, then 1 s to notice that we closed. */
#define TIDE_FLUSH_TICKS  100
#define TIDE_LINGER_TICKS 20

/* 10 s without a byte in an unfinished large frame, while others wait for that memory. */
#define TIDE_STALLED_TICKS 200

#define TIDE_PEER_TEXT_SIZE 64 /* "[IPv6]:port" */

struct ssl_st;
struct tide_census;
struct tide_greeting;
struct tide_seat;
struct tide_shard;

enum tide_conn_state { TIDE_CONN_OPEN, TIDE_CONN_ENDING, TIDE_CONN_LINGERING };
enum tide_conn_line { TIDE_LINE_NONE, TIDE_LINE_TURN, TIDE_LINE_MEMORY };

struct tide_conn {
    struct tide_shard *shard;
    int fd;
    uint64_t owner; /* generation and slot: what a parcel carries to find us again */
    enum tide_conn_state state;
    enum tide_conn_line line;
    struct event read_watch, write_watch;
    bool reading, writing; /* the watch is set */
    bool eof;              /* the peer said FIN */
    bool greeted;          /* its first value was a request */
    bool json;             /* its last value was JSON: blanks may follow */
    bool wondered;         /* why it says nothing: told */
    bool blocked;          /* held bytes may be whole values: consume them before reading on */
    bool doomed;           /* close at once: reset, or its parcel was dropped */
    bool touched;          /* in the shard's list of connections to flush */
    unsigned strays;
    unsigned outstanding; /* parcels in flight whose ack is ours */
    unsigned patience;    /* ticks left, while ENDING or LINGERING */
    unsigned quiet_ticks; /* since its last byte; counted only while others wait for memory */
    uint32_t born_s,
        heard_s; /* the shard's seconds: of its adoption, and of its last byte or turn */

    struct tide_greeting *greeting; /* what it still has to show; NULL: nothing */
    struct ssl_st *tls;             /* NULL: plain */
    bool corked;                    /* TLS has to send before it can receive on */
    unsigned penalty;               /* ticks until its farewell, while ENDING */
    const char *farewell;           /* why it was refused */
    struct tide_census *census;
    struct tide_seat *seat; /* where it is counted */

    /* input: what is not consumed yet is held[held_at, held_at + held_len) */
    struct tide_frame_scan scan;
    uint8_t *held;
    size_t held_at, held_len, held_capacity;
    uint64_t offset;        /* in the stream, of the first unconsumed byte */
    bool holding;           /* among the shard's holders of small buffers, ... */
    uint64_t holding_since; /* ... for the frame that begins at this offset */
    int64_t arrival_us;     /* of the last bytes received */

    /* output: acks not yet taken by the kernel are unsent[unsent_at, unsent_len) */
    uint8_t *unsent;
    size_t unsent_at, unsent_len, unsent_capacity;
    unsigned unsent_acks;

    TAILQ_ENTRY(tide_conn) line_link;
    TAILQ_ENTRY(tide_conn) end_link;
    TAILQ_ENTRY(tide_conn) holder_link;
    struct tide_conn *touched_next;

    uint8_t identity[17]; /* its part of a chunk's: the address without port, or who it has shown
                           * to be */
    uint8_t identity_len;
    char peer[TIDE_PEER_TEXT_SIZE]; /* "127.0.0.1:5170" */
};
TAILQ_HEAD(tide_conn_list, tide_conn);

/* A connection for an accepted, non-blocking socket; no shard has it yet. NULL: out of memory, fd
 * is still yours. */
struct tide_conn *tide_conn_new(int fd, const struct sockaddr_storage *peer);

/* Closes and frees, whatever its state. NULL is fine. */
void tide_conn_free(struct tide_conn *conn);

/* The shard takes it: watches it for bytes. */
void tide_conn_adopt(struct tide_shard *shard, struct tide_conn *conn);

/* One turn: consumes held bytes if there are whole values among them, else receives once (at most
 * one buffer) and consumes. May free conn. */
void tide_conn_turn(struct tide_conn *conn);

/* After anything that may have been the last thing conn waited for: closes it if it is to be
 * closed. May free conn. */
void tide_conn_settle(struct tide_conn *conn);

/* No more reading; closed once its parcels are home and their acks are out. */
void tide_conn_end(struct tide_conn *conn);

/* Watching for bytes (not while the shard drains), and leaving the line it stands in. */
void tide_conn_watch(struct tide_conn *conn);
void tide_conn_unwatch(struct tide_conn *conn);
void tide_conn_leave(struct tide_conn *conn);

/* Closes a connection that keeps input memory and sends nothing. May free conn. */
void tide_conn_refuse_stalled(struct tide_conn *conn);

/* ---- value.c: whole values of the stream ---- */

/* Takes whole values off the front of data while there are parcels for them; returns how many bytes
 * went. */
size_t tide_conn_consume(struct tide_conn *conn, const uint8_t *data, size_t len);

/* ---- input.c: the bytes of an unfinished frame ---- */

/* Shares out the shard's memory for input. */
void tide_input_init(struct tide_shard *shard);

/* Holds data[0, len), which may be part of what is held already, right-sized for what the frame
 * still needs. */
void tide_input_hold(struct tide_conn *conn, const uint8_t *data, size_t len);

/* Appends received bytes to what is held, at the price of the new bytes only. */
void tide_input_append(struct tide_conn *conn, const uint8_t *data, size_t len);

/* Makes room behind the held bytes of a large frame. Returns false when the shard's memory budget
 * does not allow it now: wait in line. */
bool tide_input_make_room(struct tide_conn *conn);

/* Large frames wait for memory, or would have to: nobody should read more at once than makes a
 * small buffer. */
bool tide_input_is_tight(const struct tide_shard *shard);

/* Who has to go for the small buffers to be within their budget; NULL: they are. */
struct tide_conn *tide_input_oldest_over(const struct tide_shard *shard);

/* It is worth trying: there is memory left, or nobody is favoured. */
bool tide_input_may_grow(const struct tide_shard *shard);

void tide_input_release(struct tide_conn *conn);

/* ---- ack.c: parcels coming home, and all else that is said to a peer ---- */

/* Says a few bytes now, or as soon as the kernel takes them. Sets doomed when that cannot be. */
void tide_ack_say(struct tide_conn *conn, const uint8_t *data, size_t len);

/* Nothing waits to be sent. */
bool tide_ack_idle(const struct tide_conn *conn);

/* Waiting until the kernel takes bytes. */
void tide_ack_watch(struct tide_conn *conn);
void tide_ack_unwatch(struct tide_conn *conn);

/* Sends what is unsent, as far as the kernel takes it. Sets doomed when the peer is gone. */
void tide_ack_flush(struct tide_conn *conn);

void tide_ack_release(struct tide_conn *conn);

/* libevent callback of the shard's home mailbox. */
void tide_ack_on_home(evutil_socket_t fd, short what, void *shard);
void tide_ack_on_writable(evutil_socket_t fd, short what, void *conn);

#endif
