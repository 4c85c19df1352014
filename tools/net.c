/* Sockets never block here: every wait is a poll with a deadline, so no peer can hold the tool
 * longer than its
 * --timeout, and Ctrl-C is noticed at once.
 */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tidemark.h"
#include "tidemark/clock.h"

enum tide_rc tide_net_split(const char *address, char host[TIDE_HOST_SIZE],
                            char port[TIDE_PORT_SIZE], struct tide_err *err)
{
    const char *colon = strrchr(address, ':'), *start = address;
    size_t host_len, port_len = colon ? strlen(colon + 1) : 0;

    if (!colon || colon == address || port_len == 0 || port_len > 5 ||
        strspn(colon + 1, "0123456789") != port_len)
        goto bad;
    host_len = (size_t)(colon - address);
    if (start[0] == '[') {
        if (host_len < 3 || colon[-1] != ']')
            goto bad;
        start++;
        host_len -= 2;
    } else if (memchr(start, ':', host_len)) {
        goto bad; /* an IPv6 address wants its brackets */
    }
    if (host_len >= TIDE_HOST_SIZE)
        goto bad;
    memcpy(host, start, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, port_len + 1);
    return TIDE_OK;
bad:
    tide_err_set(err, "expected HOST:PORT such as 127.0.0.1:24224 or [::1]:24224, got '%s'",
                 address);
    return TIDE_USAGE;
}

enum tide_rc tide_net_wait(int fd, short events, int64_t deadline_us)
{
    for (;;) {
        struct pollfd watch = {.fd = fd, .events = events};
        int64_t left_us = deadline_us - tide_clock_mono_us();
        int ready;

        if (tide_stopping)
            return TIDE_STOPPED;
        if (left_us < 0)
            left_us = 0;
        if (left_us > INT64_C(3600000000))
            left_us = INT64_C(3600000000);
        ready = poll(&watch, 1, (int)((left_us + 999) / 1000));
        if (ready > 0)
            return TIDE_OK;
        if (ready == 0 && deadline_us <= tide_clock_mono_us())
            return TIDE_AGAIN;
    }
}

/* One address: TIDE_OK with a connected socket, or TIDE_UNAVAILABLE with errno. */
static enum tide_rc connect_one(const struct addrinfo *info, int64_t deadline_us, int *ret_fd)
{
    int one = 1, reason = 0;
    socklen_t reason_size = sizeof reason;
    enum tide_rc rc = TIDE_UNAVAILABLE;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    info->ai_protocol);

    if (fd < 0)
        return TIDE_UNAVAILABLE;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a refusal costs only speed */
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        if (errno != EINPROGRESS && errno != EINTR) {
            reason = errno;
            goto failed;
        }
        rc = tide_net_wait(fd, POLLOUT, deadline_us);
        if (rc != TIDE_OK) {
            reason = ETIMEDOUT;
            rc = rc == TIDE_STOPPED ? rc : TIDE_UNAVAILABLE;
            goto failed;
        }
        rc = TIDE_UNAVAILABLE;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &reason_size) != 0)
            reason = errno;
        if (reason)
            goto failed;
    }
    *ret_fd = fd;
    return TIDE_OK;
failed:
    close(fd);
    errno = reason;
    return rc;
}

enum tide_rc tide_net_connect(const char *host, const char *port, int64_t deadline_us, int *ret_fd,
                              struct tide_err *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    enum tide_rc rc = TIDE_UNAVAILABLE;
    int code = getaddrinfo(host, port, &hints, &list);

    if (code != 0) {
        tide_err_set(err, "%s: %s", host, gai_strerror(code));
        return TIDE_UNAVAILABLE;
    }
    for (const struct addrinfo *info = list; info && rc == TIDE_UNAVAILABLE; info = info->ai_next) {
        rc = connect_one(info, deadline_us, ret_fd);
        if (rc != TIDE_OK)
            tide_err_set(err, "%s:%s: %s", host, port, strerror(errno));
    }
    freeaddrinfo(list);
    return rc;
}
