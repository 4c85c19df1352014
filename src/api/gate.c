/* gate - see gate.h.
 *
 * The gate watches the input buffer of the bufferevent that it made for evhttp. Bytes that are no
 * whole request are moved out of it before evhttp's read callback runs, which then finds nothing to
 * do; when the rest has come they are put back. A request that arrives in one piece, as nearly all
 * do, is looked at where it lies.
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
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "linger.h"
#include "tidemark/clock.h"
#include "tidemark/counter.h"

#define SECOND_US   INT64_C(1000000)
#define IDLE_S      60
#define SENDING_S   60          /* for an answer, and */
#define SENDING_BPS (32 * 1024) /* a second more for each of these bytes */
#define ENTITY_MAX  (TIDE_HEAD_BYTES_MAX + TIDE_REQUEST_BODY_MAX)

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
    bool begun;   /* HEAD: some of a request is there, or has to be */
    bool doomed;  /* no memory to go on with; the next turn ends it */
    bool refused; /* PASSED: what evhttp has is a stand-in for */
    struct tide_refusal refusal;
    bool close; /* PASSED: after the answer */
    char *held; /* bytes that evhttp does not have yet: */
    size_t held_len, held_size;
    size_t scanned; /* of these without an end of head in them */
    size_t need;    /* bytes of the request that is being waited for, 0: not known */
    size_t waiting; /* bytes of the answer that is on its way */
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
    char head_bytes[TIDE_HEAD_BYTES_MAX]; /* the copy that is parsed */
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
    free(gate->held);
    free(gate);
}

/* Of TLS, which waits for nothing here. */
static void say_goodbye(SSL *ssl)
{
    if (SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    else
        tide_count(TIDE_COUNT_HTTP_HANDSHAKES_FAILED, 1);
    ERR_clear_error();
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* evhttp is about to free the connection. */
static void on_close(struct evhttp_connection *connection, void *arg)
{
    struct tide_gate *gate = arg;
    SSL *ssl = bufferevent_openssl_get_ssl(gate->bev);

    (void)connection;
    if (ssl)
        say_goodbye(ssl);
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

/* For where evhttp's connection may not be freed. evhttp sees no more input. */
static void doom(struct tide_gate *gate)
{
    struct evbuffer *input = bufferevent_get_input(gate->bev);

    gate->state = PASSED;
    gate->doomed = true;
    evbuffer_drain(input, evbuffer_get_length(input));
    event_active(gate->timer, EV_TIMEOUT, 1);
}

/* ---- what evhttp gets ---- */

static void forget(struct tide_gate *gate)
{
    free(gate->held);
    gate->held = NULL;
    gate->held_len = gate->held_size = gate->scanned = gate->need = 0;
    gate->begun = false;
}

/* Puts back what is held: the input is as it came. */
static bool give_back(struct tide_gate *gate, struct evbuffer *input)
{
    bool done = gate->held_len == 0 || evbuffer_prepend(input, gate->held, gate->held_len) == 0;

    forget(gate);
    return done;
}

/* `drop` bytes of the input are not for evhttp; instead it gets `text`. */
static void replace(struct tide_gate *gate, size_t drop, const char *text, size_t len)
{
    struct evbuffer *input = bufferevent_get_input(gate->bev);

    gate->state = PASSED; /* first: what is put back is no news */
    if (!give_back(gate, input) || evbuffer_drain(input, drop) != 0 ||
        evbuffer_prepend(input, text, len) != 0)
        doom(gate);
}

/* Passes on a request of which evhttp knows nothing but that it is to be answered so. drop: the
 * bytes of the real one; everything, when the connection ends with it. */
static void stand_in(struct tide_gate *gate, const struct tide_refusal *why, size_t drop,
                     bool bodiless)
{
    static const char get[] = "GET / HTTP/1.1\r\n\r\n", head[] = "HEAD / HTTP/1.1\r\n\r\n";

    gate->refusal = *why;
    gate->refused = true;
    if (bodiless)
        replace(gate, drop, head, sizeof(head) - 1);
    else
        replace(gate, drop, get, sizeof(get) - 1);
}

static void refuse(struct tide_gate *gate, const struct tide_refusal *why, bool bodiless)
{
    tide_count(TIDE_COUNT_HTTP_REFUSED, 1);
    gate->close = true;
    stand_in(gate, why, SIZE_MAX, bodiless);
}

/* ---- judging ---- */

static bool begins_with_head(const char *bytes, size_t len)
{
    return len >= 5 && memcmp(bytes, "HEAD ", 5) == 0;
}

/* No end of head in bytes[0, len) yet: can there be one? */
static bool wait_for_head(struct tide_gate *gate, const char *bytes, size_t len)
{
    struct tide_refusal why;

    if (tide_head_hopeful(bytes, gate->scanned, len, &why)) {
        refuse(gate, &why, begins_with_head(bytes, len));
        return false;
    }
    gate->scanned = len;
    return true;
}

/* What a well-formed head asks for that evhttp would get wrong; NULL: nothing. */
static const struct tide_refusal *evhttp_cannot(const struct tide_head *head)
{
    static const struct tide_refusal strange = {405, "method_not_allowed",
                                                "only GET and HEAD are allowed"};
    static const struct tide_refusal no_path = {404, "not_found", "no such path"};

    if (head->method == TIDE_STRANGE_METHOD)
        return &strange;
    return strncmp(head->path, "//", 2) == 0 ? &no_path : NULL; /* it would read a host there */
}

/* http://host/path is for proxies; to evhttp we are one unless it gets the path alone. */
static void pass_path(struct tide_gate *gate, const struct tide_head *head)
{
    char start[TIDE_HEAD_METHOD_MAX + 2];
    size_t len = strlen(head->method_name);

    memcpy(start, head->method_name, len);
    memcpy(start + len, " /", 2);
    replace(gate, (size_t)(head->path - gate->gates->head_bytes) + 1, start, len + 2);
}

/* A whole head. False: there is a body to wait for. */
static bool pass(struct tide_gate *gate, const struct tide_head *head, size_t head_len, size_t len)
{
    const struct tide_refusal *cannot = evhttp_cannot(head);

    gate->need = head_len + (size_t)head->body_bytes;
    gate->close = !head->keep_alive;
    if (len < gate->need) {
        /* Who wants to be told to go on is told so by evhttp, which then reads the body itself. */
        if (!head->expects || len > head_len)
            return false;
        gate->close |= cannot != NULL;
    }
    if (cannot) {
        gate->close |= head->old; /* the stand-in is of HTTP/1.1 */
        stand_in(gate, cannot, gate->close ? SIZE_MAX : gate->need,
                 strcmp(head->method_name, "HEAD") == 0);
    } else if (head->absolute) {
        pass_path(gate, head);
    } else {
        replace(gate, 0, "", 0);
    }
    return true;
}

/* Judges bytes[0, len), the beginning of a request. False: it is not whole yet. */
static bool judge(struct tide_gate *gate, const char *bytes, size_t len)
{
    const size_t from = gate->scanned > 3 ? gate->scanned - 3 : 0;
    char *copy = gate->gates->head_bytes;
    const char *mark;
    struct tide_refusal why;
    struct tide_head head;
    size_t head_len;

    if (len < gate->need)
        return false;
    mark = memmem(bytes + from, len - from, "\r\n\r\n", 4);
    if (!mark)
        return !wait_for_head(gate, bytes, len);
    head_len = (size_t)(mark - bytes) + 4;
    if (head_len > TIDE_HEAD_BYTES_MAX) {
        wait_for_head(gate, bytes, head_len - 1); /* which is too long */
        return true;
    }
    memcpy(copy, bytes, head_len);
    if (tide_head_parse(copy, head_len, &head, &why)) {
        refuse(gate, &why, begins_with_head(bytes, len));
        return true;
    }
    return pass(gate, &head, head_len, len);
}

/* ---- reading ---- */

static size_t empty_lines(const char *bytes, size_t len)
{
    size_t n = 0;

    while (len - n >= 2 && memcmp(bytes + n, "\r\n", 2) == 0)
        n += 2;
    return n;
}

/* Takes all of the input away from evhttp. */
static bool hold(struct tide_gate *gate, struct evbuffer *input)
{
    const size_t more = evbuffer_get_length(input), len = gate->held_len + more;

    if (len > gate->held_size) {
        size_t size = len < 1024 ? 1024 : 2 * len;
        char *bytes = realloc(gate->held, size);

        if (!bytes)
            return false;
        gate->held = bytes;
        gate->held_size = size;
    }
    evbuffer_remove(input, gate->held + gate->held_len, more);
    gate->held_len = len;
    return true;
}

/* Between two requests: passes on the next one, if it is there. Never frees anything of evhttp's.
 */
static void look(struct tide_gate *gate)
{
    struct evbuffer *input = bufferevent_get_input(gate->bev);
    size_t len = evbuffer_get_length(input), empty;
    const char *bytes;

    if (len == 0)
        return;
    if (gate->held_len == 0) { /* it may be whole: then it stays where it is */
        bytes = (const char *)evbuffer_pullup(input, -1);
        if (!bytes) {
            doom(gate);
            return;
        }
        empty = empty_lines(bytes, len);
        evbuffer_drain(input, empty);
        bytes += empty;
        len -= empty;
        if (len == 0 || (!(len == 1 && bytes[0] == '\r') && judge(gate, bytes, len)))
            return;
    }
    if (!hold(gate, input)) {
        doom(gate);
        return;
    }
    begin(gate);
    empty = empty_lines(gate->held, gate->held_len);
    gate->held_len -= empty;
    memmove(gate->held, gate->held + empty, gate->held_len);
    if (gate->held_len > 1 || (gate->held_len == 1 && gate->held[0] != '\r'))
        judge(gate, gate->held, gate->held_len);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct tide_gate *gate = arg;

    (void)input;
    assert(gate->state != NEW);
    if (info->n_added == 0)
        return;
    if (gate->doomed)
        doom(gate);
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
    if (gate->close) {
        if (gate->refused)
            tide_linger(gate->gates->lingers, gate->fd);
        return;
    }
    gate->state = HEAD;
    gate->refused = false;
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

    if (what != (BEV_EVENT_EOF | BEV_EVENT_READING) || bufferevent_openssl_get_ssl(bev))
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
    struct tide_errand errand;

    if (!gate) { /* there was no memory for one */
        evhttp_connection_free(connection);
        return;
    }
    assert(gate->state == PASSED && gate->connection == connection);
    errand = (struct tide_errand){gate->refused ? &gate->refusal : NULL, gate->close};
    evhttp_request_set_on_complete_cb(request, on_answered, gate);
    wait_with(gate, gates->cfg.serve(request, &errand, gates->cfg.context));
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
    gate->close = true;
    stand_in(gate, &full, 0, false);
    bufferevent_trigger(gate->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
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
    if (gate->state != HEAD || gate->held_len == 0) {
        end(gate);
        return;
    }
    refuse(gate, &late, begins_with_head(gate->held, gate->held_len));
    wait_s(gate, SENDING_S);
    bufferevent_trigger(gate->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
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

static struct bufferevent *new_stream(struct event_base *base, struct tide_tls *tls)
{
    struct bufferevent *bev;
    SSL *ssl;

    if (!tls)
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    ssl = tide_tls_session(tls);
    if (!ssl)
        return NULL;
    bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                         BEV_OPT_CLOSE_ON_FREE);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    else
        SSL_free(ssl);
    return bev;
}

static bool open_gate(struct tide_gate *gate)
{
    struct tide_gates *gates = gate->gates;

    gate->timer = evtimer_new(gates->base, on_turn, gate);
    gate->bev = gate->timer ? new_stream(gates->base, gates->cfg.tls) : NULL;
    return gate->bev && evbuffer_add_cb(bufferevent_get_input(gate->bev), on_input, gate);
}

/* evhttp would make a stream of its own of NULL, which nobody guards: this one ends by itself, and
 * on_request answers nothing to it. */
static struct bufferevent *short_lived(struct event_base *base)
{
    const struct timeval soon = {.tv_sec = 1};
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (bev)
        bufferevent_set_timeouts(bev, &soon, &soon);
    return bev;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct tide_gates *gates = arg;
    struct tide_gate *gate = calloc(1, sizeof(*gate));

    if (!gate)
        return short_lived(base);
    gate->gates = gates;
    gate->fd = -1;
    if (!open_gate(gate)) {
        if (gate->bev)
            bufferevent_free(gate->bev);
        if (gate->timer)
            event_free(gate->timer);
        free(gate);
        return short_lived(base);
    }
    gate->at = &gates->first;
    gate->next = gates->first;
    if (gate->next)
        gate->next->at = &gate->next;
    gates->first = gate;
    bufferevent_setwatermark(gate->bev, EV_READ, 0, ENTITY_MAX);
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
