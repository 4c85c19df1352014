/* One peer: its states and its turns.
 *
 * A turn is one recv of at most one buffer and everything that is whole in it (value.c), so a
 * flooding peer gets its share and no more. Values are handled in stream order; when there is no
 * parcel for the next one the connection keeps its bytes and waits in the shard's line, and while
 * anybody waits there nobody else receives: memory is bounded by the pool and not by the senders.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidemark/bytes.h"
#include "tidemark/census.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "greet.h"
#include "link.h"
#include "shard.h"

/* ---- birth and end ---- */

/* Over a Unix socket: a user of this machine. A retry may come from another process of his. */
static void set_local_peer(struct tide_conn *conn)
{
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof(who);

    (void)getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    conn->identity[0] = 'u';
    tide_put_be32(conn->identity + 1, (uint32_t)who.uid);
    conn->identity_len = 5;
    snprintf(conn->peer, sizeof(conn->peer), "unix:uid=%lu,pid=%ld", (unsigned long)who.uid,
             (long)who.pid);
}

static void set_peer(struct tide_conn *conn, const struct sockaddr_storage *peer)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (peer->ss_family == AF_INET) {
        struct sockaddr_in in4;

        memcpy(&in4, peer, sizeof(in4));
        memcpy(conn->identity, &in4.sin_addr, sizeof(in4.sin_addr));
        conn->identity_len = sizeof(in4.sin_addr);
        inet_ntop(AF_INET, &in4.sin_addr, host, sizeof(host));
        snprintf(conn->peer, sizeof(conn->peer), "%s:%u", host, ntohs(in4.sin_port));
    } else if (peer->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, peer, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        snprintf(conn->peer, sizeof(conn->peer), "[%s]:%u", host, ntohs(in6.sin6_port));
        /* A retry may come over the other socket of a dual-stack pair: the same host is the same
         * peer. */
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            memcpy(conn->identity, in6.sin6_addr.s6_addr + 12, 4);
            conn->identity_len = 4;
        } else {
            memcpy(conn->identity, &in6.sin6_addr, sizeof(in6.sin6_addr));
            conn->identity_len = sizeof(in6.sin6_addr);
        }
    } else {
        set_local_peer(conn);
    }
}

struct tide_conn *tide_conn_new(int fd, const struct sockaddr_storage *peer)
{
    struct tide_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->fd = fd;
    tide_frame_reset(&conn->scan);
    set_peer(conn, peer);
    return conn;
}

void tide_conn_watch(struct tide_conn *conn)
{
    if (conn->reading || conn->shard->draining)
        return;
    if (event_add(&conn->read_watch, NULL) == 0)
        conn->reading = true;
    else
        conn->doomed = true;
}

void tide_conn_unwatch(struct tide_conn *conn)
{
    if (conn->reading)
        event_del(&conn->read_watch);
    conn->reading = false;
}

/* Who holds unconsumed bytes goes to the head: then at most one connection of a shard holds a
 * buffer of them. */
static void stand_in(struct tide_conn *conn, enum tide_conn_line line)
{
    struct tide_shard *shard = conn->shard;

    assert(conn->line == TIDE_LINE_NONE);
    tide_conn_unwatch(conn);
    conn->line = line;
    if (line == TIDE_LINE_MEMORY) {
        tide_count(TIDE_COUNT_INPUT_WAITS, 1);
        TAILQ_INSERT_TAIL(&shard->memory_line, conn, line_link);
        return;
    }
    if (TAILQ_EMPTY(&shard->turn_line))
        tide_count(TIDE_COUNT_INGEST_STALLS, 1);
    if (conn->blocked)
        TAILQ_INSERT_HEAD(&shard->turn_line, conn, line_link);
    else
        TAILQ_INSERT_TAIL(&shard->turn_line, conn, line_link);
}

void tide_conn_leave(struct tide_conn *conn)
{
    if (conn->line == TIDE_LINE_TURN)
        TAILQ_REMOVE(&conn->shard->turn_line, conn, line_link);
    else if (conn->line == TIDE_LINE_MEMORY)
        TAILQ_REMOVE(&conn->shard->memory_line, conn, line_link);
    conn->line = TIDE_LINE_NONE;
}

void tide_conn_free(struct tide_conn *conn)
{
    if (!conn)
        return;
    assert(!conn->touched);
    if (conn->shard) {
        tide_conn_unwatch(conn);
        if (conn->writing)
            event_del(&conn->write_watch);
        tide_conn_leave(conn);
        if (conn->state != TIDE_CONN_OPEN)
            TAILQ_REMOVE(&conn->shard->ending, conn, end_link);
        tide_shard_strike(conn->shard, conn);
        tide_input_release(conn);
        tide_ack_release(conn);
        tide_uncount(TIDE_COUNT_CONNECTIONS_OPEN, 1);
    }
    if (!conn->doomed)
        tide_link_finish(conn);
    tide_link_release(conn);
    tide_greet_release(conn);
    tide_census_leave(conn->census, &conn->seat);
    close(conn->fd);
    free(conn);
}

void tide_conn_end(struct tide_conn *conn)
{
    if (conn->state != TIDE_CONN_OPEN)
        return;
    tide_conn_unwatch(conn);
    tide_conn_leave(conn);
    tide_input_release(conn);
    conn->blocked = false;
    conn->state = TIDE_CONN_ENDING;
    conn->patience = TIDE_FLUSH_TICKS;
    TAILQ_INSERT_TAIL(&conn->shard->ending, conn, end_link);
}

void tide_conn_settle(struct tide_conn *conn)
{
    if (conn->doomed) {
        tide_conn_free(conn);
        return;
    }
    if (conn->state != TIDE_CONN_ENDING || conn->outstanding > 0 || conn->penalty > 0 ||
        !tide_ack_idle(conn))
        return;
    /* Closing a socket that has unread bytes resets it, and a reset can overtake the acks on their
     * way to the application. So we say FIN and read on for a moment, unless the peer has said it
     * already. */
    tide_link_finish(conn);
    if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
        tide_conn_free(conn);
        return;
    }
    conn->state = TIDE_CONN_LINGERING;
    conn->patience = TIDE_LINGER_TICKS;
    tide_conn_watch(conn);
    if (conn->doomed)
        tide_conn_free(conn);
}

/* ---- refusals ---- */

void tide_conn_refuse_stalled(struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_CLOSED_STALLED, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: %zu bytes of a frame at byte %" PRIu64
                   " and no more for %d s, while others wait for that memory",
                   conn->peer, conn->held_len, conn->offset,
                   TIDE_STALLED_TICKS * TIDE_TICK_MS / 1000);
    tide_conn_end(conn);
    tide_conn_settle(conn);
}

/* Whose unfinished frame is the oldest goes, until the others have room. */
static void make_way(struct tide_conn *conn)
{
    static struct tide_log_gate gate;
    struct tide_conn *oldest;

    while ((oldest = tide_input_oldest_over(conn->shard))) {
        tide_count(TIDE_COUNT_CLOSED_MEMORY, 1);
        tide_log_gated(
            &gate, TIDE_WARNING, "ingest",
            "peer %s closed: unfinished requests take all of ingest.max_input_bytes, and "
            "its %zu bytes are the oldest of them",
            oldest->peer, oldest->held_len);
        tide_conn_end(oldest);
        if (oldest != conn) /* whose turn it is */
            tide_conn_settle(oldest);
    }
}

/* Consumes from data and holds what is left of it. */
static void consume_and_hold(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    size_t used = tide_conn_consume(conn, data, len);

    if (conn->state != TIDE_CONN_OPEN)
        return;
    tide_input_hold(conn, data + used, len - used);
    make_way(conn);
}

/* ---- turns ---- */

/* One recv. An unfinished frame decides where to: a large one straight behind its held bytes; a
 * small one into the shared buffer, behind a gap that its held bytes fit into. When less arrives
 * than is held it is appended to the held bytes instead, so a frame that trickles in is not copied
 * again with every drop. */
static void receive(struct tide_conn *conn)
{
    struct tide_shard *shard = conn->shard;
    bool tight = tide_input_is_tight(shard);
    size_t gap = conn->held_len, room = tight ? TIDE_TIGHT_READ_BYTES : TIDE_READ_BYTES;
    size_t shared_max = TIDE_SMALL_INPUT + (tight ? 0 : TIDE_READ_BYTES);
    bool large = gap > TIDE_SMALL_INPUT || (gap > 0 && conn->scan.need > shared_max) ||
                 (tight && gap + room > TIDE_SMALL_INPUT);
    uint8_t *into = shard->buffer + gap;
    ssize_t got;

    if (large) {
        if (!tide_input_make_room(conn)) {
            if (!conn->doomed)
                stand_in(conn, TIDE_LINE_MEMORY);
            return;
        }
        into = conn->held + conn->held_len;
        if (room > conn->held_capacity - conn->held_len)
            room = conn->held_capacity - conn->held_len;
    }
    got = tide_link_receive(conn, into, room);
    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            conn->doomed = true;
        return;
    }
    if (got == 0) {
        conn->eof = true;
        tide_conn_end(conn);
        return;
    }
    tide_count(TIDE_COUNT_RECEIVED_BYTES, (uint64_t)got);
    conn->arrival_us = tide_clock_wall_us();
    conn->quiet_ticks = 0;

    if (large) {
        conn->held_len += (size_t)got;
        consume_and_hold(conn, conn->held, conn->held_len);
    } else if ((size_t)got < gap) {
        tide_input_append(conn, into, (size_t)got);
        if (!conn->doomed)
            consume_and_hold(conn, conn->held + conn->held_at, conn->held_len);
    } else {
        if (gap > 0)
            memcpy(shard->buffer, conn->held + conn->held_at, gap);
        consume_and_hold(conn, shard->buffer, gap + (size_t)got);
    }
}

/* Watches the socket; what TLS has in store already counts as readable. */
static void watch_on(struct tide_conn *conn)
{
    if (conn->corked) {
        tide_conn_unwatch(conn);
        tide_ack_watch(conn);
        return;
    }
    tide_conn_watch(conn);
    if (conn->reading && tide_link_pending(conn))
        event_active(&conn->read_watch, EV_READ, 0);
}

void tide_conn_turn(struct tide_conn *conn)
{
    struct tide_shard *shard = conn->shard;

    assert(conn->state == TIDE_CONN_OPEN && conn->line == TIDE_LINE_NONE);
    conn->heard_s = shard->second;
    if (conn->blocked)
        consume_and_hold(conn, conn->held + conn->held_at, conn->held_len);
    else if (!shard->draining)
        receive(conn);

    if (conn->doomed || conn->state != TIDE_CONN_OPEN)
        tide_conn_settle(conn);
    else if (conn->blocked)
        stand_in(conn, TIDE_LINE_TURN);
    else if (conn->line == TIDE_LINE_NONE)
        watch_on(conn);
}

/* A closed connection's peer still sends: read it away until it notices. */
static void discard(struct tide_conn *conn)
{
    ssize_t got = recv(conn->fd, conn->shard->buffer, TIDE_READ_BYTES, 0);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        tide_conn_free(conn);
}

/* TLS comes before anything that a parcel would be needed for. */
static void step(struct tide_conn *conn)
{
    tide_greet_step(conn);
    tide_conn_settle(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct tide_conn *conn = arg;

    if (conn->state == TIDE_CONN_OPEN && tide_greet_secret(conn)) {
        step(conn);
        return;
    }
    if (conn->corked) {
        conn->corked = false;
        if (conn->state == TIDE_CONN_OPEN)
            tide_conn_watch(conn);
    }
    tide_ack_on_writable(fd, what, conn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct tide_conn *conn = arg;

    (void)fd;
    (void)what;
    if (conn->state == TIDE_CONN_LINGERING)
        discard(conn);
    else if (tide_greet_secret(conn))
        step(conn);
    else if (tide_shard_may_read(conn->shard))
        tide_conn_turn(conn);
    else
        stand_in(conn, TIDE_LINE_TURN);
}

void tide_conn_adopt(struct tide_shard *shard, struct tide_conn *conn)
{
    if (!tide_shard_enrol(shard, conn)) {
        tide_conn_free(conn);
        return;
    }
    conn->shard = shard;
    tide_count(TIDE_COUNT_CONNECTIONS_OPEN, 1);
    event_assign(&conn->read_watch, shard->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->write_watch, shard->base, conn->fd, EV_WRITE | EV_PERSIST, on_writable,
                 conn);
    conn->born_s = conn->heard_s = shard->second;
    tide_conn_watch(conn);
    if (conn->greeting && !conn->doomed)
        tide_greet_begin(conn);
    if (conn->doomed)
        tide_conn_free(conn);
}
