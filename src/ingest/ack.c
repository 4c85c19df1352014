/* Parcels coming home: committed or duplicate is the permission to ack, in the order of posting.
 *
 * An ack goes out in one send(2): some clients throw when they see half of one. Acks of several
 * chunks of one connection share a send only when they came home together, that is when the client
 * had several on the way. What the kernel does not take waits here, bounded; a client that never
 * reads its acks loses further ones and nothing else (there are clients that send chunk ids and
 * never read).
 */
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/counter.h"
#include "link.h"
#include "shard.h"

#define TIDE_UNSENT_STEP 256

bool tide_ack_idle(const struct tide_conn *conn)
{
    return conn->unsent_len == conn->unsent_at;
}

static size_t unsent(const struct tide_conn *conn)
{
    return conn->unsent_len - conn->unsent_at;
}

/* Room for len more bytes behind the unsent ones. */
static bool make_room(struct tide_conn *conn, size_t len)
{
    size_t capacity = conn->unsent_capacity;
    uint8_t *moved;

    if (conn->unsent_len + len <= capacity)
        return true;
    if (conn->unsent_at > 0) {
        memmove(conn->unsent, conn->unsent + conn->unsent_at, unsent(conn));
        conn->unsent_len -= conn->unsent_at;
        conn->unsent_at = 0;
    }
    while (capacity < conn->unsent_len + len)
        capacity = capacity ? 2 * capacity : TIDE_UNSENT_STEP;
    moved = realloc(conn->unsent, capacity);
    if (!moved)
        return false;
    conn->unsent = moved;
    conn->unsent_capacity = capacity;
    return true;
}

static void queue_ack(struct tide_conn *conn, const struct tide_parcel *parcel)
{
    struct tide_shard *shard = conn->shard;
    size_t most = parcel->json ? TIDE_ACK_JSON_SIZE(parcel->chunk_len)
                               : TIDE_ACK_OVERHEAD + (size_t)parcel->chunk_len;
    size_t len;

    /* What came home at once may be more than that: only what the kernel does not take is unread.
     */
    if (unsent(conn) + most > shard->unsent_max && !conn->writing && !conn->doomed)
        tide_ack_flush(conn);
    if (unsent(conn) + most > shard->unsent_max ||
        shard->unsent_bytes + most > TIDE_SHARD_UNSENT_MAX || !make_room(conn, most)) {
        tide_count(TIDE_COUNT_ACKS_DROPPED, 1);
        return;
    }
    len = (parcel->json ? tide_reply_ack_json : tide_reply_ack)(conn->unsent + conn->unsent_len,
                                                                parcel->chunk, parcel->chunk_len);
    assert(len <= most);
    conn->unsent_len += len;
    conn->unsent_acks++;
    shard->unsent_bytes += len;
}

void tide_ack_release(struct tide_conn *conn)
{
    if (conn->shard)
        conn->shard->unsent_bytes -= unsent(conn);
    free(conn->unsent);
    conn->unsent = NULL;
    conn->unsent_at = conn->unsent_len = conn->unsent_capacity = 0;
    conn->unsent_acks = 0;
}

void tide_ack_watch(struct tide_conn *conn)
{
    if (!conn->writing && event_add(&conn->write_watch, NULL) == 0)
        conn->writing = true;
}

void tide_ack_unwatch(struct tide_conn *conn)
{
    if (conn->corked)
        return;
    if (conn->writing)
        event_del(&conn->write_watch);
    conn->writing = false;
}

void tide_ack_flush(struct tide_conn *conn)
{
    while (unsent(conn) > 0) {
        ssize_t sent = tide_link_send(conn, conn->unsent + conn->unsent_at, unsent(conn));

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            tide_ack_watch(conn);
            return;
        }
        if (sent < 0) {
            conn->doomed = true; /* reset by the peer: it will send again what was not acked */
            return;
        }
        conn->unsent_at += (size_t)sent;
        conn->shard->unsent_bytes -= (size_t)sent;
    }
    tide_count(TIDE_COUNT_ACKS, conn->unsent_acks);
    tide_ack_release(conn);
    tide_ack_unwatch(conn);
}

void tide_ack_say(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    if (!make_room(conn, len)) {
        conn->doomed = true;
        return;
    }
    memcpy(conn->unsent + conn->unsent_len, data, len);
    conn->unsent_len += len;
    conn->shard->unsent_bytes += len;
    if (!conn->writing)
        tide_ack_flush(conn);
}

void tide_ack_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct tide_conn *conn = arg;

    (void)fd;
    (void)what;
    tide_ack_flush(conn);
    tide_conn_settle(conn);
}

/* One parcel is back: what its fate means for the peer that sent it. Nothing is sent or freed yet.
 */
static void receive_home(struct tide_shard *shard, const struct tide_parcel *parcel)
{
    struct tide_conn *conn = tide_shard_find(shard, parcel->owner);

    assert(parcel->fate != TIDE_FATE_OPEN);
    if (parcel == shard->loose_posted)
        shard->loose_posted = NULL;
    if (!conn)
        return; /* nobody waits for it, or not any more */

    assert(conn->outstanding > 0);
    conn->outstanding--;
    if (parcel->fate == TIDE_FATE_DROPPED)
        conn->doomed = true;
    else
        queue_ack(conn, parcel);
    if (!conn->touched) {
        conn->touched = true;
        conn->touched_next = shard->touched;
        shard->touched = conn;
    }
}

void tide_ack_on_home(evutil_socket_t fd, short what, void *arg)
{
    struct tide_shard *shard = arg;
    size_t count = tide_mailbox_take(shard->home, shard->homecomers, shard->pool.capacity);

    (void)fd;
    (void)what;
    for (size_t i = 0; i < count; i++)
        receive_home(shard, shard->homecomers[i]);

    while (shard->touched) {
        struct tide_conn *conn = shard->touched;

        shard->touched = conn->touched_next;
        conn->touched = false;
        if (!conn->doomed && !conn->writing)
            tide_ack_flush(conn);
        tide_conn_settle(conn);
    }

    for (size_t i = 0; i < count; i++) {
        struct tide_parcel *parcel = shard->homecomers[i];

        tide_pool_note_home(&shard->pool, parcel);
        tide_pool_put(&shard->pool, &parcel);
    }
}
