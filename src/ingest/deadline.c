/* Deadlines of connections, in seconds of the shard's own count: no clock can jump, and none is
 * asked per message. All connections are looked at once a second; a connection that waits for us
 * (in line, or for the commit of what it sent) is never late.
 */
#include "deadline.h"

#include <stdbool.h>
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "greet.h"
#include "shard.h"

static void refuse_idle(struct tide_conn *conn)
{
    tide_count(TIDE_COUNT_CLOSED_IDLE, 1);
    tide_log(TIDE_DEBUG, "ingest", "peer %s closed: idle for ingest.idle_timeout_s (%u)",
             conn->peer, conn->shard->cfg->idle_timeout_s);
    tide_conn_end(conn);
    tide_conn_settle(conn);
}

static void refuse_stalled(struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_CLOSED_STALLED, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: %zu bytes of a frame and no more for "
                   "ingest.stall_timeout_s (%u)",
                   conn->peer, conn->held_len, conn->shard->cfg->stall_timeout_s);
    tide_conn_end(conn);
    tide_conn_settle(conn);
}

/* A client that has a key waits for our HELO, and says nothing: whoever set it up should be told.
 */
static void wonder(const struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_log_gated(&gate, TIDE_INFO, "ingest",
                   "peer %s has sent nothing for %u s; a client that has a shared key waits for a "
                   "server that has one (auth.shared_key_file)",
                   conn->peer, conn->shard->second - conn->born_s);
}

static bool over(uint32_t seconds, uint32_t limit)
{
    return limit > 0 && seconds > limit;
}

static void judge(struct tide_conn *conn)
{
    const struct tide_ingest_cfg *cfg = conn->shard->cfg;
    uint32_t quiet_s = conn->shard->second - conn->heard_s;

    if (conn->greeting) {
        if (over(conn->shard->second - conn->born_s, cfg->handshake_timeout_s))
            tide_greet_refuse_late(conn);
    } else if (conn->held_len > 0) {
        if (over(quiet_s, cfg->stall_timeout_s))
            refuse_stalled(conn);
    } else if (conn->outstanding == 0 && over(quiet_s, cfg->idle_timeout_s)) {
        refuse_idle(conn);
    } else if (conn->offset == 0 && over(quiet_s + 1, cfg->handshake_timeout_s) &&
               !conn->wondered) {
        conn->wondered = true;
        wonder(conn);
    }
}

void tide_deadline_on_second(evutil_socket_t fd, short what, void *arg)
{
    struct tide_shard *shard = arg;

    (void)fd;
    (void)what;
    shard->second++;
    if (shard->draining)
        return;
    for (uint32_t i = 0; i < shard->slots; i++) {
        struct tide_conn *conn = shard->slot[i].conn;

        if (conn && conn->state == TIDE_CONN_OPEN && conn->line == TIDE_LINE_NONE)
            judge(conn);
    }
}

void tide_deadline_keep(struct tide_shard *shard)
{
    static const struct timeval second = {.tv_sec = 1};
    bool wanted = shard->conns > 0;

    if (wanted == shard->counting)
        return;
    if (!wanted)
        event_del(&shard->second_timer);
    else if (event_add(&shard->second_timer, &second) != 0)
        return; /* tried again at the end of the next pass */
    shard->counting = wanted;
}
