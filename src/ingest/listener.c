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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <event2/event_struct.h>
#include "tidemark/census.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "greet.h"
#include "shard.h"

#define TIDE_ACCEPTS_PER_PASS 64
#define TIDE_ACCEPT_PAUSE_MS  100

struct tide_listener {
    int fd;
    struct event accept_watch, pause_timer;
    bool started;
    struct tide_lobby lobby;
    struct tide_shard *shard;
    unsigned shards, next;
    char address[TIDE_ADDRESS_TEXT_SIZE];
    bool local; /* a Unix socket, at `address`: */
    dev_t device;
    ino_t inode;
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

/* Makes the path free for a socket of ours. */
static enum tide_rc clear_path(const char *path, const struct sockaddr_un *where,
                               struct tide_err *err)
{
    struct stat there;
    int probe, failed;

    if (lstat(path, &there) != 0)
        return TIDE_OK; /* nothing there, or bind will say what is wrong */
    if (!S_ISSOCK(there.st_mode)) {
        tide_err_set(err, "listen on %s: there is something that is no socket", path);
        return TIDE_UNAVAILABLE;
    }
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        tide_err_set(err, "listen on %s: %s", path, strerror(errno));
        return TIDE_IO;
    }
    failed = connect(probe, (const struct sockaddr *)where, sizeof(*where)) == 0 ? 0 : errno;
    close(probe);
    if (failed != ECONNREFUSED) {
        tide_err_set(err, "listen on %s: %s", path,
                     failed == 0 || failed == EAGAIN ? "another process listens there"
                                                     : strerror(failed));
        return TIDE_UNAVAILABLE;
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        tide_err_set(err, "listen on %s: remove what a dead process left there: %s", path,
                     strerror(errno));
        return TIDE_IO;
    }
    return TIDE_OK;
}

enum tide_rc tide_listener_open_unix(const char *path, struct tide_listener **ret,
                                     struct tide_err *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    struct tide_listener *listener = NULL;
    struct stat made;
    enum tide_rc rc;
    int fd = -1;

    _Static_assert(sizeof(listener->address) >= sizeof(where.sun_path), "a path fits");
    if (strlen(path) >= sizeof(where.sun_path)) {
        tide_err_set(err, "listen on %s: expected a path of at most %zu bytes", path,
                     sizeof(where.sun_path) - 1);
        return TIDE_CONFIG;
    }
    strcpy(where.sun_path, path);
    rc = clear_path(path, &where, err);
    if (rc)
        return rc;
    listener = calloc(1, sizeof(*listener));
    if (!listener)
        return TIDE_NO_MEMORY;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Its mode is that of the file that bind makes, less the umask: at no moment is it open to
     * more. */
    if (fd < 0 || fchmod(fd, 0660) != 0 ||
        bind(fd, (struct sockaddr *)&where, sizeof(where)) != 0 || chmod(path, 0660) != 0 ||
        listen(fd, SOMAXCONN) != 0 || lstat(path, &made) != 0) {
        tide_err_set(err, "listen on %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(listener);
        return TIDE_UNAVAILABLE;
    }
    listener->fd = fd;
    listener->local = true;
    listener->device = made.st_dev;
    listener->inode = made.st_ino;
    strcpy(listener->address, path);
    *ret = listener;
    return TIDE_OK;
}

/* Unless another one has taken the path. */
static void remove_path(const struct tide_listener *listener)
{
    struct stat there;

    if (lstat(listener->address, &there) == 0 && there.st_dev == listener->device &&
        there.st_ino == listener->inode)
        (void)unlink(listener->address);
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
    if (listener->local)
        remove_path(listener);
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

/* Counts the connection and gives it what it has to go through. */
static enum tide_rc enter(struct tide_listener *listener, struct tide_conn *conn)
{
    static struct tide_log_gate full_gate, address_gate;
    struct tide_access *access;
    enum tide_rc rc;

    conn->census = listener->lobby.census;
    rc = tide_census_enter(conn->census, conn->identity, conn->identity_len, &conn->seat);
    if (rc == TIDE_TOO_LARGE) {
        tide_count(TIDE_COUNT_REFUSED, 1);
        tide_log_gated(&full_gate, TIDE_WARNING, "ingest",
                       "peer %s refused: ingest.max_connections are open", conn->peer);
    } else if (rc == TIDE_LOCKED) {
        tide_count(TIDE_COUNT_REFUSED_ADDRESS, 1);
        tide_log_gated(&address_gate, TIDE_WARNING, "ingest",
                       "peer %s refused: ingest.max_connections_per_address are open from there",
                       conn->peer);
    }
    if (rc || !listener->lobby.access)
        return rc;
    access = tide_access_take(listener->lobby.access);
    if (!tide_access_is_open(access) && !tide_greet_new(conn, &access))
        rc = TIDE_NO_MEMORY;
    tide_access_put(&access);
    return rc;
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
     * since idle connections are closed late or never. Neither is worth refusing a peer for. */
    if (!listener->local) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    conn = tide_conn_new(fd, &peer);
    if (!conn) {
        close(fd);
        rest(listener);
        return false;
    }
    switch (enter(listener, conn)) {
    case TIDE_OK:
        break;
    case TIDE_NO_MEMORY:
        tide_conn_free(conn);
        rest(listener);
        return false;
    default:
        tide_conn_free(conn);
        return true;
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

enum tide_rc tide_listener_start(struct tide_listener *listener, const struct tide_lobby *lobby,
                                 struct event_base *base, struct tide_shard *shard, unsigned shards,
                                 struct tide_err *err)
{
    listener->lobby = *lobby;
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
