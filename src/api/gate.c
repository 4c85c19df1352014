/* gate - see gate.h.
 *
 * The gate watches the input buffer of the bufferevent that it made for evhttp. Between two
 * requests whatever comes goes through the sieve before evhttp's read callback runs, which finds a
 * request or nothing.
 *
 * evhttp tells the maker of a bufferevent neither whose connection it will be nor what became of
 * it. So the gate holds a reference on it until its own first turn, which comes right after the
 * accept and before anything can be read: by then evhttp has put its connection into the callbacks'
 * argument, or has given up on it.
 */
#include "gate.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "linger.h"
#include "stream.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"

#define SECOND_US   INT64_C(1000000)
#define IDLE_S      60
#define SENDING_S   60          /* for an answer, and */
#define SENDING_BPS (32 * 1024) /* a second more for each of these bytes */
#define INPUT_MAX   (TIDE_HEAD_BYTES_MAX + TIDE_REQUEST_BODY_MAX)

enum state { NEW, HEAD, PASSED };

struct tide_gate {
    struct tide_gate *next, **at;          /* in gates->first */
    struct tide_gate *newer, **waiting_at; /* in gates->oldest, while its answer is on its way */
    struct tide_gates *gates;
    struct bufferevent *bev;
    struct evhttp_connection *connection; /* NULL: not known yet */
    struct event *timer;
    struct tide_seat *seat;
    int fd;
    enum state state;
    bool begun;  /* HEAD: some of a request is there, or has to be */
    bool doomed; /* no memory to go on with: the next turn ends it */
    struct tide_sieve sieve;
    struct tide_sifted sifted; /* PASSED: how to answer */
    size_t waiting;            /* bytes of the answer that is on its way */
    int64_t deadline_us, armed_us;
    bufferevent_data_cb on_written; /* evhttp's, while ours are in their place */
    bufferevent_event_cb on_event;
};

struct tide_gates {
    struct event_base *base;
    struct tide_gates_cfg cfg;
    struct tide_lingers *lingers;
    struct tide_gate *first;
    struct tide_gate *oldest, **newest_at; /* of those that wait */
    struct tide_gate **by_fd;              /* [fds] */
    size_t fds;
};

/* ---- time ---- */

/* Timers only ever run early: a deadline that moves away costs nothing. */
static void wait_us(struct tide_gate *gate, int64_t us)
{
    const int64_t now_us = tide_clock_mono_us();
    const struct timeval delay = {.tv_sec = us / SECOND_US, .tv_usec = us % SECOND_US};

    gate->deadline_us = now_us + us;
    if (gate->armed_us && gate->armed_us <= gate->deadline_us)
        return;
    gate->armed_us = gate->deadline_us;
    event_add(gate->timer, &delay);
}

static void wait_s(struct tide_gate *gate, size_t seconds)
{
    wait_us(gate, (int64_t)seconds * SECOND_US);
}

/* The first byte of a request starts its clock. */
static void begin(struct tide_gate *gate)
{
    if (gate->begun)
        return;
    gate->begun = true;
    wait_s(gate, gate->gates->cfg.request_timeout_s);
}

/* ---- the end of a connection ---- */

static void wait_no_more(struct tide_gate *gate)
{
    tide_uncount(TIDE_COUNT_HTTP_WAITING_BYTES, gate->waiting);
    gate->waiting = 0;
    if (!gate->waiting_at)
        return;
    *gate->waiting_at = gate->newer;
    if (gate->newer)
        gate->newer->waiting_at = gate->waiting_at;
    else
        gate->gates->newest_at = gate->waiting_at;
    gate->newer = NULL;
    gate->waiting_at = NULL;
}

static void gate_free(struct tide_gate *gate)
{
    if (gate->next)
        gate->next->at = gate->at;
    *gate->at = gate->next;
    tide_census_leave(gate->gates->cfg.census, &gate->seat);
    event_free(gate->timer);
    tide_sieve_fini(&gate->sieve);
    free(gate);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* evhttp is about to free the connection. */
static void on_close(struct evhttp_connection *connection, void *arg)
{
    struct tide_gate *gate = arg;

    (void)connection;
    tide_stream_goodbye(gate->bev);
    evbuffer_remove_cb(bufferevent_get_input(gate->bev), on_input, gate);
    wait_no_more(gate);
    if (gate->seat)
        tide_uncount(TIDE_COUNT_HTTP_CONNECTIONS_OPEN, 1);
    gate->gates->by_fd[gate->fd] = NULL;
    gate_free(gate);
}

static void end(struct tide_gate *gate)
{
    evhttp_connection_free(gate->connection); /* calls on_close */
}

/* ---- reading ---- */

/* For where evhttp's connection may not be freed: evhttp sees no more input. */
static void doom(struct tide_gate *gate)
{
    gate->doomed = true;
    event_active(gate->timer, EV_TIMEOUT, 1);
}

/* What the sieve let through. */
static void passed(struct tide_gate *gate, enum tide_rc rc)
{
    if (gate->sifted.unfinished)
        begin(gate);
    gate->begun = false;
    if (rc)
        doom(gate);
    else if (gate->sifted.refused)
        tide_count(TIDE_COUNT_HTTP_REFUSED, 1);
}

/* Between two requests: passes on the next one, if it is there. Frees nothing of evhttp's. */
static void look(struct tide_gate *gate)
{
    enum tide_rc rc;

    gate->state = PASSED; /* first: what is put back into the input is no news */
    rc = tide_sieve_look(&gate->sieve, bufferevent_get_input(gate->bev), &gate->sifted);
    if (rc != TIDE_AGAIN) {
        passed(gate, rc);
        return;
    }
    gate->state = HEAD;
    if (gate->sieve.held_len > 0)
        begin(gate);
}

/* Refuses the next request, whatever there is of it, and lets evhttp answer that at once. */
static void refuse(struct tide_gate *gate, const struct tide_refusal *why)
{
    gate->state = PASSED;
    passed(gate,
           tide_sieve_refuse(&gate->sieve, bufferevent_get_input(gate->bev), why, &gate->sifted));
    wait_s(gate, SENDING_S);
    bufferevent_trigger(gate->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct tide_gate *gate = arg;

    assert(gate->state != NEW);
    if (info->n_added == 0)
        return;
    if (gate->doomed)
        evbuffer_drain(input, evbuffer_get_length(input));
    else if (gate->state == HEAD)
        look(gate);
}

/* ---- what evhttp tells ---- */

static struct tide_gate *gate_of(const struct tide_gates *gates,
                                 struct evhttp_connection *connection)
{
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));

    return fd >= 0 && (size_t)fd < gates->fds ? gates->by_fd[fd] : NULL;
}

/* The answer is in the socket; evhttp goes on with the next request, or closes. */
static void on_answered(struct evhttp_request *request, void *arg)
{
    struct tide_gate *gate = arg;

    (void)request;
    wait_no_more(gate);
    if (gate->sifted.close) {
        if (gate->sifted.refused)
            tide_linger(gate->gates->lingers, gate->fd);
        return;
    }
    wait_s(gate, IDLE_S);
    look(gate);
    if (gate->state == PASSED) /* an end of input that was seen already is for later */
        bufferevent_disable(gate->bev, EV_READ);
}

/* bytes of an answer are on their way. When that makes too many in all, those who have kept theirs
 * waiting longest go; others are other threads'. */
static void wait_with(struct tide_gate *gate, size_t bytes)
{
    struct tide_gates *gates = gate->gates;

    gate->waiting = bytes;
    gate->waiting_at = gates->newest_at;
    *gates->newest_at = gate;
    gates->newest_at = &gate->newer;
    tide_count(TIDE_COUNT_HTTP_WAITING_BYTES, bytes);
    wait_s(gate, SENDING_S + bytes / SENDING_BPS);
    while (tide_counted(TIDE_COUNT_HTTP_WAITING_BYTES) > gates->cfg.max_waiting_bytes &&
           gates->oldest != gate) {
        tide_count(TIDE_COUNT_HTTP_ANSWERS_DROPPED, 1);
        end(gates->oldest);
    }
}

/* evhttp's own callbacks, while an answer is on its way: half a connection is enough to take it,
 * and evhttp would let go of it. */
static void on_written(struct bufferevent *bev, void *arg)
{
    struct tide_gate *gate = arg;

    gate->on_written(bev, gate->connection);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct tide_gate *gate = arg;

    if (what != (BEV_EVENT_EOF | BEV_EVENT_READING) || tide_stream_is_tls(bev))
        gate->on_event(bev, what, gate->connection);
}

static void keep_half_open(struct tide_gate *gate)
{
    bufferevent_getcb(gate->bev, NULL, &gate->on_written, &gate->on_event, NULL);
    bufferevent_setcb(gate->bev, NULL, on_written, on_event, gate);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    const struct tide_gates *gates = arg;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct tide_gate *gate = gate_of(gates, connection);

    if (!gate) { /* there was no memory for one */
        evhttp_connection_free(connection);
        return;
    }
    assert(gate->state == PASSED && gate->connection == connection);
    evhttp_request_set_on_complete_cb(request, on_answered, gate);
    wait_with(gate, gates->cfg.serve(request, &gate->sifted, gates->cfg.context));
    keep_half_open(gate);
}

/* ---- a connection begins ---- */

static bool list_by_fd(struct tide_gate *gate)
{
    struct tide_gates *gates = gate->gates;
    const size_t at = (size_t)gate->fd;

    if (at >= gates->fds) {
        size_t fds = at < 64 ? 64 : 2 * at;
        struct tide_gate **by_fd = realloc(gates->by_fd, fds * sizeof(struct tide_gate *));

        if (!by_fd)
            return false;
        memset(by_fd + gates->fds, 0, (fds - gates->fds) * sizeof(struct tide_gate *));
        gates->by_fd = by_fd;
        gates->fds = fds;
    }
    assert(!gates->by_fd[at]);
    gates->by_fd[at] = gate;
    return true;
}

/* An IPv6 client is its /64: it owns all of that. */
static enum tide_rc take_seat(struct tide_gate *gate)
{
    struct sockaddr_storage peer = {0};
    const struct sockaddr_in *v4 = (const void *)&peer;
    const struct sockaddr_in6 *v6 = (const void *)&peer;
    socklen_t size = sizeof(peer);
    const void *address = "";
    size_t len = 0;

    (void)getpeername(gate->fd, (struct sockaddr *)&peer, &size); /* it may be gone already */
    if (peer.ss_family == AF_INET) {
        address = &v4->sin_addr;
        len = 4;
    } else if (peer.ss_family == AF_INET6) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);

        address = (const char *)&v6->sin6_addr + (mapped ? 12 : 0);
        len = mapped ? 4 : 8;
    }
    return tide_census_enter(gate->gates->cfg.census, address, len, &gate->seat);
}

/* Whom there is no room for is told so at once, whatever he wants. There is no handshake with him,
 * so over TLS he is told nothing. */
static void turn_away(struct tide_gate *gate, enum tide_rc rc)
{
    static const struct tide_refusal full = {503, "too_many_connections",
                                             "too many connections are open"};

    tide_count(
        rc == TIDE_LOCKED ? TIDE_COUNT_HTTP_TURNED_AWAY_ADDRESS : TIDE_COUNT_HTTP_TURNED_AWAY, 1);
    if (gate->gates->cfg.tls) {
        end(gate);
        return;
    }
    refuse(gate, &full);
}

/* evhttp made no connection of it: freed the bufferevent, or never saw it. */
static void abandon(struct tide_gate *gate)
{
    struct bufferevent *bev = gate->bev;

    evbuffer_remove_cb(bufferevent_get_input(bev), on_input, gate);
    if (gate->fd < 0)
        bufferevent_free(bev);
    gate_free(gate);
    bufferevent_decref(bev);
}

static void first_turn(struct tide_gate *gate)
{
    void *connection = NULL;
    enum tide_rc rc;

    gate->fd = bufferevent_getfd(gate->bev);
    bufferevent_getcb(gate->bev, NULL, NULL, NULL, &connection);
    if (!connection || gate->fd < 0) {
        abandon(gate);
        return;
    }
    gate->connection = connection;
    assert(evhttp_connection_get_bufferevent(gate->connection) == gate->bev);
    if (!list_by_fd(gate)) {
        evbuffer_remove_cb(bufferevent_get_input(gate->bev), on_input, gate);
        bufferevent_decref(gate->bev);
        gate_free(gate);
        evhttp_connection_free(connection);
        return;
    }
    bufferevent_decref(gate->bev);
    evhttp_connection_set_closecb(gate->connection, on_close, gate);
    tide_count(TIDE_COUNT_HTTP_CONNECTIONS, 1);
    gate->state = HEAD;
    begin(gate);
    rc = take_seat(gate);
    if (rc)
        turn_away(gate, rc);
    else
        tide_count(TIDE_COUNT_HTTP_CONNECTIONS_OPEN, 1);
}

static void late(struct tide_gate *gate)
{
    static const struct tide_refusal late = {408, "request_timeout",
                                             "the request was not there in time"};

    if (gate->state == PASSED || gate->begun)
        tide_count(TIDE_COUNT_HTTP_TIMEOUTS, 1);
    if (gate->state == HEAD && gate->sieve.held_len > 0)
        refuse(gate, &late);
    else
        end(gate);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct tide_gate *gate = arg;
    int64_t left_us;

    (void)fd;
    (void)what;
    if (gate->state == NEW) {
        first_turn(gate);
        return;
    }
    if (gate->doomed) {
        end(gate);
        return;
    }
    left_us = gate->deadline_us - tide_clock_mono_us();
    gate->armed_us = 0;
    if (left_us > 0)
        wait_us(gate, left_us);
    else
        late(gate);
}

static bool open_gate(struct tide_gate *gate)
{
    struct tide_gates *gates = gate->gates;

    gate->timer = evtimer_new(gates->base, on_turn, gate);
    gate->bev = gate->timer ? tide_stream_new(gates->base, gates->cfg.tls) : NULL;
    return gate->bev && evbuffer_add_cb(bufferevent_get_input(gate->bev), on_input, gate);
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct tide_gates *gates = arg;
    struct tide_gate *gate = calloc(1, sizeof(*gate));

    if (!gate)
        return tide_stream_short_lived(base);
    gate->gates = gates;
    gate->fd = -1;
    if (!open_gate(gate)) {
        if (gate->bev)
            bufferevent_free(gate->bev);
        if (gate->timer)
            event_free(gate->timer);
        free(gate);
        return tide_stream_short_lived(base);
    }
    gate->at = &gates->first;
    gate->next = gates->first;
    if (gate->next)
        gate->next->at = &gate->next;
    gates->first = gate;
    bufferevent_setwatermark(gate->bev, EV_READ, 0, INPUT_MAX);
    bufferevent_incref(gate->bev);
    event_active(gate->timer, EV_TIMEOUT, 1);
    return gate->bev;
}

/* ---- all of a thread ---- */

struct tide_gates *tide_gates_new(struct event_base *base, struct evhttp *http,
                                  const struct tide_gates_cfg *cfg)
{
    struct tide_gates *gates = calloc(1, sizeof(*gates));

    if (!gates)
        return NULL;
    gates->base = base;
    gates->cfg = *cfg;
    gates->newest_at = &gates->oldest;
    gates->lingers = tide_lingers_new(base);
    if (!gates->lingers) {
        free(gates);
        return NULL;
    }
    /* The gate is the stricter one: evhttp's own bounds are never met. */
    evhttp_set_max_headers_size(http, 2 * TIDE_HEAD_BYTES_MAX);
    evhttp_set_max_body_size(http, 2 * TIDE_REQUEST_BODY_MAX);
    evhttp_set_bevcb(http, on_accept, gates);
    evhttp_set_gencb(http, on_request, gates);
    return gates;
}

void tide_gates_free(struct tide_gates *gates)
{
    if (!gates)
        return;
    while (gates->first) { /* accepted in the last moment: it had no turn yet */
        assert(gates->first->state == NEW);
        gates->first->fd = 0; /* evhttp_free has freed what it had of it */
        abandon(gates->first);
    }
    tide_lingers_free(gates->lingers);
    free(gates->by_fd);
    free(gates);
}
