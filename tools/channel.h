/* channel - a connection to a daemon's Forward port, with whatever the daemon asks for behind it:
 * TCP, inside it TLS, inside that the handshake of the shared key.
 *
 * Once it is open it reads and writes like a non-blocking socket. Which descriptor to poll it
 * tells; TLS may hold back bytes that the descriptor knows nothing of, and tells that, too.
 */
#ifndef TIDEMARK_TOOLS_CHANNEL_H
#define TIDEMARK_TOOLS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "credentials.h"
#include "tidemark/err.h"

struct tide_channel;

/* Connects and gets in, until the deadline on the monotonic clock. credentials may be NULL: nothing
 * is shown; else they outlive the channel.
 *
 * Returns  TIDE_OK
 *          TIDE_UNAVAILABLE  nobody is there, or it broke off, or it took too long: may be tried
 *                            again
 *          TIDE_REFUSED      they do not let us in, or are not whom they should be: trying again
 *                            is no use
 *          TIDE_STOPPED      a signal
 */
enum tide_rc tide_channel_open(const char *host, const char *port,
                               const struct tide_credentials *credentials, int64_t deadline_us,
                               struct tide_channel **ret, struct tide_err *err);
void tide_channel_close(struct tide_channel *channel); /* NULL is fine */

int tide_channel_fd(const struct tide_channel *channel);

/* As send and recv: bytes, 0 for the end, or -1. tide_channel_again tells whether -1 means that it
 * would have to wait; else tide_channel_trouble says in words what is wrong. */
ssize_t tide_channel_send(struct tide_channel *channel, const void *data, size_t len);
ssize_t tide_channel_recv(struct tide_channel *channel, void *into, size_t room);
bool tide_channel_again(const struct tide_channel *channel);
const char *tide_channel_trouble(const struct tide_channel *channel);
bool tide_channel_refused(const struct tide_channel *channel); /* and that trying again is no use */

/* A send that has to wait has begun already: the next one must be of the same bytes. */
bool tide_channel_begun(const struct tide_channel *channel);

/* Something is to be received that the descriptor does not tell of. */
bool tide_channel_pending(const struct tide_channel *channel);

/* As tide_net_wait, and at once when something is pending and `events` has POLLIN. */
enum tide_rc tide_channel_wait(const struct tide_channel *channel, short events,
                               int64_t deadline_us);

#endif
