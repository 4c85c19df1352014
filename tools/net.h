/* TCP for a tool: an address as people write it -> a connected, non-blocking socket, within a
 * deadline. */
#ifndef TIDEMARK_TOOLS_NET_H
#define TIDEMARK_TOOLS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

#define TIDE_HOST_SIZE 256
#define TIDE_PORT_SIZE 8

/* "host:port", "[::1]:port" -> its parts. TIDE_USAGE when it is none. */
enum tide_rc tide_net_split(const char *address, char host[TIDE_HOST_SIZE],
                            char port[TIDE_PORT_SIZE], struct tide_err *err);

/* Connects to the first address of host that takes it. The socket is non-blocking, without Nagle's
 * delay and closed on exec. Returns  TIDE_OK, TIDE_UNAVAILABLE (refused, no route, no such host,
 * deadline), TIDE_STOPPED (a signal) */
enum tide_rc tide_net_connect(const char *host, const char *port, int64_t deadline_us, int *ret_fd,
                              struct tide_err *err);

/* Waits until fd has one of `events` (poll's), or the deadline on the monotonic clock.
 * Returns  TIDE_OK, TIDE_AGAIN (deadline), TIDE_STOPPED (a signal asked to stop) */
enum tide_rc tide_net_wait(int fd, short events, int64_t deadline_us);

#endif
