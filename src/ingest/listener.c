/* The listening socket lives on shard 0's loop; its connections are dealt to all shards in turn.
 * Each batch is bounded so that accepting a crowd does not hold up those who are already in. When
 * descriptors run out accepting pauses for a moment: the kernel's backlog waits with it, and nobody
 * who is in suffers.
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event_struct.h>
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "shard.h"

#define TIDE_ACCEPTS_PER_PASS 64
#define TIDE_ACCEPT_PAUSE_MS  100

struct tide_listener {
    int fd;
    struct event accept_watch, pause_timer;
    bool started;
    struct tide_shard *shard;
    unsigned shards, next;
    char address[TIDE_ADDRESS_TEXT_SIZE];
};

/* ---- addresses ---- */

/* Decimal digits only, 0..65535; -1: not a port. */
static long parse_port(const char *text)
{
    long port = 0;

    if (!*text || strlen(text) > 5)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        port = port * 10 + (*text - '0');
    }
    return port <= 65535 ? port : -1;
}

enum tide_rc tide_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                                struct tide_err *err)
{
    const char *colon = strrchr(text, ':');
    bool six = text[0] == '[';
    char host[INET6_ADDRSTRLEN];
    size_t host_len;
    long port;

    if (!colon || (six && (colon == text || colon[-1] != ']')))
        goto bad;
    host_len = (size_t)(colon - text) - (six ? 2 : 0);
    if (host_len >= sizeof(host))
        goto bad;
    memcpy(host, text + (six ? 1 : 0), host_len);
    host[host_len] = '\0';
    port = parse_port(colon + 1);
    if (port < 0)
        goto bad;

    memset(ret, 0, sizeof(*ret));
    if (six) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

        if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
            goto bad;
        memcpy(ret, &in6, sizeof(in6));
        *ret_len = sizeof(in6);
    } else {
        struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

        if (inet_pton(AF_INET, host, &in4.sin_addr) != 1)
            goto bad;
        memcpy(ret, &in4, sizeof(in4));
        *ret_len = sizeof(in4);
    }
    return TIDE_OK;

bad:
    tide_err_set(err, "\"%s\" is not an address and port like 127.0.0.1:24224 or [::1]:24224",
                 text);
    return TIDE_CONFIG;
}

static void print_address(int fd, char text[TIDE_ADDRESS_TEXT_SIZE])
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);
    char host[INET6_ADDRSTRLEN] = "?";

    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0 && bound.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, &bound, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        snprintf(text, TIDE_ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(in6.sin6_port));
    } else {
        struct sockaddr_in in4;

        memcpy(&in4, &bound, sizeof(in4));
        inet_ntop(AF_INET, &in4.sin_addr, host, sizeof(host));
        snprintf(text, TIDE_ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(in4.sin_port));
    }
}

/* ---- life ---- */

enum tide_rc tide_listener_open(const char *address, struct tide_listener **ret,
                                struct tide_err *err)
{
    struct tide_listener *listener = NULL;
    struct sockaddr_storage where;
    socklen_t where_len;
    const int on = 1;
    enum tide_rc rc;
    int fd = -1;

    rc = tide_address_parse(address, &where, &where_len, err);
    if (rc)
        return rc;
    fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&where, where_len) != 0 || listen(fd, SOMAXCONN) != 0) {
        tide_err_set(err, "listen on %s: %s", address, strerror(errno));
        rc = errno == EADDRINUSE || errno == EADDRNOTAVAIL || errno == EACCES ? TIDE_UNAVAILABLE
                                                                              : TIDE_IO;
        goto failed;
    }
    listener = calloc(1, sizeof(*listener));
    if (!listener) {
        rc = TIDE_NO_MEMORY;
        goto failed;
    }
    listener->fd = fd;
    print_address(fd, listener->address);
    *ret = listener;
    return TIDE_OK;

failed:
    if (fd >= 0)
        close(fd);
    return rc;
}

void tide_listener_pause(struct tide_listener *listener)
{
    if (!listener->started)
        return;
    event_del(&listener->accept_watch);
    event_del(&listener->pause_timer);
}

void tide_listener_close(struct tide_listener *listener)
{
    if (!listener)
        return;
    tide_listener_pause(listener);
    close(listener->fd);
    free(listener);
}

const char *tide_listener_address(const struct tide_listener *listener)
{
    return listener->address;
}

/* ---- accepting ---- */

static void rest(struct tide_listener *listener)
{
    static const struct timeval pause = {.tv_usec = TIDE_ACCEPT_PAUSE_MS * 1000};

    if (event_add(&listener->pause_timer, &pause) == 0)
        event_del(&listener->accept_watch);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct tide_listener *listener = arg;

    (void)fd;
    (void)what;
    if (event_add(&listener->accept_watch, NULL) != 0)
        rest(listener);
}

/* The next shard that has room for an arrival; false: none has. */
static bool deal(struct tide_listener *listener, struct tide_conn *conn)
{
    for (unsigned tried = 0; tried < listener->shards; tried++) {
        struct tide_shard *shard = &listener->shard[listener->next];

        listener->next = (listener->next + 1) % listener->shards;
        if (tide_shard_hand(shard, conn))
            return true;
    }
    return false;
}

/* Takes one connection from the backlog; false: enough for this pass. */
static bool accept_one(struct tide_listener *listener)
{
    static struct tide_log_gate gate;
    const int on = 1;
    struct sockaddr_storage peer = {0};
    socklen_t peer_len = sizeof(peer);
    struct tide_conn *conn;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            tide_log_gated(&gate, TIDE_ERROR, "ingest",
                           "cannot accept on %s: %s; raise the limit of open files (ulimit -n)",
                           listener->address, strerror(errno));
            rest(listener);
            return false;
        case ECONNABORTED: /* it changed its mind in the backlog */
        case EINTR:
            return true;
        default:
            return false;
        }
    }
    /* An ack is small and its sender waits for it: no Nagle. Dead hosts are found by keepalive,
     * since idle connections are never closed. Neither is worth refusing a peer for. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    conn = tide_conn_new(fd, &peer);
    if (!conn) {
        close(fd);
        rest(listener);
        return false;
    }
    if (!deal(listener, conn)) {
        tide_conn_free(conn);
        rest(listener);
        return false;
    }
    tide_count(TIDE_COUNT_CONNECTIONS, 1);
    return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    for (int i = 0; i < TIDE_ACCEPTS_PER_PASS; i++)
        if (!accept_one(arg))
            return;
}

enum tide_rc tide_listener_start(struct tide_listener *listener, struct event_base *base,
                                 struct tide_shard *shard, unsigned shards, struct tide_err *err)
{
    listener->shard = shard;
    listener->shards = shards;
    event_assign(&listener->accept_watch, base, listener->fd, EV_READ | EV_PERSIST, on_acceptable,
                 listener);
    event_assign(&listener->pause_timer, base, -1, 0, on_pause_over, listener);
    if (event_add(&listener->accept_watch, NULL) != 0) {
        tide_err_set(err, "watch %s: out of descriptors or memory", listener->address);
        return TIDE_IO;
    }
    listener->started = true;
    return TIDE_OK;
}
