/* One thread accepts and plays, one connection after the other. Stopping shuts the listening socket
 * down, which wakes the accept, and the connection that is open, which ends the player's reads.
 */
#include "peer.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct tide_peer {
    void (*play)(int fd, unsigned nth, void *context);
    void *context;
    int listen_fd;
    pthread_mutex_t lock;
    int open_fd; /* under lock; -1: none */
    int stopping;
    pthread_t thread;
    char address[32], url[48];
};

static void *serve(void *of)
{
    struct tide_peer *peer = of;

    for (unsigned nth = 0;; nth++) {
        struct timeval patience = {.tv_sec = 10};
        int fd = accept(peer->listen_fd, NULL, NULL);

        if (fd < 0)
            return NULL;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        pthread_mutex_lock(&peer->lock);
        peer->open_fd = fd;
        if (peer->stopping)
            shutdown(fd, SHUT_RDWR);
        pthread_mutex_unlock(&peer->lock);
        peer->play(fd, nth, peer->context);
        pthread_mutex_lock(&peer->lock);
        peer->open_fd = -1;
        pthread_mutex_unlock(&peer->lock);
        close(fd);
    }
}

struct tide_peer *tide_peer_start(void (*play)(int fd, unsigned nth, void *context), void *context)
{
    struct tide_peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;

    if (!peer)
        abort();
    peer->play = play;
    peer->context = context;
    peer->open_fd = -1;
    pthread_mutex_init(&peer->lock, NULL);
    peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listen_fd < 0 || bind(peer->listen_fd, (struct sockaddr *)&name, size) != 0 ||
        listen(peer->listen_fd, 64) != 0 ||
        getsockname(peer->listen_fd, (struct sockaddr *)&name, &size) != 0)
        abort();
    snprintf(peer->address, sizeof peer->address, "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    snprintf(peer->url, sizeof peer->url, "http://%s", peer->address);
    if (pthread_create(&peer->thread, NULL, serve, peer) != 0)
        abort();
    return peer;
}

const char *tide_peer_address(const struct tide_peer *peer)
{
    return peer->address;
}

const char *tide_peer_url(const struct tide_peer *peer)
{
    return peer->url;
}

void tide_peer_stop(struct tide_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->stopping = 1;
    shutdown(peer->listen_fd, SHUT_RDWR);
    if (peer->open_fd >= 0)
        shutdown(peer->open_fd, SHUT_RDWR);
    pthread_mutex_unlock(&peer->lock);
    pthread_join(peer->thread, NULL);
    close(peer->listen_fd);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

size_t tide_peer_read_until(int fd, char *text, size_t size, const char *end)
{
    size_t len = 0;

    text[0] = '\0';
    while (len + 1 < size && !strstr(text, end)) {
        ssize_t got = recv(fd, text + len, size - 1 - len, 0);

        if (got <= 0)
            break;
        len += (size_t)got;
        text[len] = '\0';
    }
    return len;
}

void tide_peer_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t step = send(fd, at, len, MSG_NOSIGNAL);

        if (step <= 0)
            return;
        at += step;
        len -= (size_t)step;
    }
}
