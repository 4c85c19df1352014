/* linger - see linger.h. */
#include "linger.h"

#include <stdbool.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tidemark/clock.h"

#define LINGER_US   INT64_C(2000000)
#define BYTES_MAX   (256 * 1024)
#define SOCKETS_MAX 128 /* of one thread: they are outside the bounds on connections */

struct leaver {
    struct leaver *next, **at; /* in lingers->first */
    struct tide_lingers *lingers;
    struct event *watch;
    int fd;
    size_t left;
    int64_t end_us;
};

struct tide_lingers {
    struct event_base *base;
    struct leaver *first;
    unsigned count;
};

struct tide_lingers *tide_lingers_new(struct event_base *base)
{
    struct tide_lingers *lingers = calloc(1, sizeof(*lingers));

    if (lingers)
        lingers->base = base;
    return lingers;
}

static void end(struct leaver *leaver)
{
    if (leaver->watch)
        event_free(leaver->watch);
    close(leaver->fd);
    if (leaver->next)
        leaver->next->at = leaver->at;
    *leaver->at = leaver->next;
    leaver->lingers->count--;
    free(leaver);
}

void tide_lingers_free(struct tide_lingers *lingers)
{
    if (!lingers)
        return;
    while (lingers->first)
        end(lingers->first);
    free(lingers);
}

/* False: there is nothing more to wait for. */
static bool wait_on(struct leaver *leaver)
{
    const int64_t us = leaver->end_us - tide_clock_mono_us();
    const struct timeval delay = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};

    return us > 0 && event_add(leaver->watch, &delay) == 0;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    struct leaver *leaver = arg;
    char dropped[16 * 1024];
    ssize_t n = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);

    (void)what;
    if (n <= 0 || (size_t)n >= leaver->left) { /* a time-out has nothing to read, either */
        end(leaver);
        return;
    }
    leaver->left -= (size_t)n;
    if (!wait_on(leaver))
        end(leaver);
}

void tide_linger(struct tide_lingers *lingers, int fd)
{
    struct leaver *leaver;
    int own;

    if (lingers->count == SOCKETS_MAX || (own = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return;
    leaver = calloc(1, sizeof(*leaver));
    if (!leaver) {
        close(own);
        return;
    }
    *leaver = (struct leaver){.next = lingers->first,
                              .at = &lingers->first,
                              .lingers = lingers,
                              .fd = own,
                              .left = BYTES_MAX,
                              .end_us = tide_clock_mono_us() + LINGER_US};
    lingers->first = leaver;
    if (leaver->next)
        leaver->next->at = &leaver->next;
    lingers->count++;
    leaver->watch = event_new(lingers->base, own, EV_READ, on_input, leaver);
    if (!leaver->watch || !wait_on(leaver))
        end(leaver);
}
