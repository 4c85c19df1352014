/* Each datagram is answered at once, on the loop of shard 0, and at most a few per pass; what the
 * kernel cannot send now is dropped, as it may be on any network. The answer has the size of the
 * question, so nobody can be flooded with it. It leaves from the address that was asked, which
 * matters where a host has several and the port is open on all.
 */
#include "heartbeat.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/event_struct.h>
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "listener.h"

#define TIDE_BEATS_PER_PASS 64

struct tide_heartbeat {
    int fd;
    bool started;
    struct event watch;
};

void tide_heartbeat_open(const char *address, struct tide_heartbeat **ret)
{
    struct tide_heartbeat *heartbeat = calloc(1, sizeof(*heartbeat));
    struct tide_err err = {""};
    struct sockaddr_storage where;
    const int on = 1;
    socklen_t len;
    int fd = -1;

    *ret = NULL;
    if (!heartbeat || tide_address_parse(address, &where, &len, &err) != TIDE_OK)
        goto failed;
    fd = socket(where.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        (where.ss_family == AF_INET6
             ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
             : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on))) != 0 ||
        bind(fd, (struct sockaddr *)&where, len) != 0)
        goto failed;
    heartbeat->fd = fd;
    *ret = heartbeat;
    return;

failed:
    tide_log(TIDE_WARNING, "ingest", "no UDP heartbeats on %s: %s", address,
             err.text[0] ? err.text : strerror(errno));
    if (fd >= 0)
        close(fd);
    free(heartbeat);
}

/* The interface is the kernel's choice again; the address stays. */
static void free_interface(struct msghdr *message)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(message);

    for (; part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(part), sizeof(info));
            info.ipi_ifindex = 0;
            memcpy(CMSG_DATA(part), &info, sizeof(info));
        }
    }
}

/* Takes one datagram; false: there is none left. */
static bool answer_one(struct tide_heartbeat *heartbeat)
{
    union {
        struct cmsghdr aligned;
        char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct sockaddr_storage peer;
    uint8_t beat[2];
    struct iovec data = {.iov_base = beat, .iov_len = sizeof(beat)};
    struct msghdr message = {.msg_name = &peer,
                             .msg_namelen = sizeof(peer),
                             .msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(heartbeat->fd, &message, 0);

    if (got < 0)
        return errno == EINTR || errno == ECONNREFUSED; /* an earlier answer met no one */
    if (got != 1 || beat[0] != 0) {
        tide_count(TIDE_COUNT_STRAY_DATAGRAMS, 1);
        return true;
    }
    free_interface(&message);
    data.iov_len = 1;
    message.msg_flags = 0;
    if (sendmsg(heartbeat->fd, &message, MSG_NOSIGNAL) == 1)
        tide_count(TIDE_COUNT_HEARTBEATS_UDP, 1);
    return true;
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    for (int i = 0; i < TIDE_BEATS_PER_PASS; i++)
        if (!answer_one(arg))
            return;
}

enum tide_rc tide_heartbeat_start(struct tide_heartbeat *heartbeat, struct event_base *base,
                                  struct tide_err *err)
{
    event_assign(&heartbeat->watch, base, heartbeat->fd, EV_READ | EV_PERSIST, on_datagram,
                 heartbeat);
    if (event_add(&heartbeat->watch, NULL) != 0) {
        tide_err_set(err, "watch the port of heartbeats: out of descriptors or memory");
        return TIDE_IO;
    }
    heartbeat->started = true;
    return TIDE_OK;
}

void tide_heartbeat_pause(struct tide_heartbeat *heartbeat)
{
    if (heartbeat->started)
        event_del(&heartbeat->watch);
}

void tide_heartbeat_close(struct tide_heartbeat *heartbeat)
{
    if (!heartbeat)
        return;
    tide_heartbeat_pause(heartbeat);
    close(heartbeat->fd);
    free(heartbeat);
}
