/* peer - a server of a few lines for tests of clients: listens on 127.0.0.1, port of the kernel's
 * choice, and hands each connection in turn to a function that plays its part.
 */
#ifndef TIDE_TEST_PEER_H
#define TIDE_TEST_PEER_H

#include <stddef.h>
#include <sys/types.h>

struct tide_peer;

/* play plays one connection, number nth from 0, on a thread of the peer's own; the peer closes fd
 * afterwards. Reads give up after ten seconds. */
struct tide_peer *tide_peer_start(void (*play)(int fd, unsigned nth, void *context), void *context);
const char *tide_peer_address(const struct tide_peer *peer); /* "127.0.0.1:5170" */
const char *tide_peer_url(const struct tide_peer *peer);     /* "http://127.0.0.1:5170" */
void tide_peer_stop(struct tide_peer *peer); /* waits for the connection that is being played */

/* For the players. Both end early when the other side closes. */
size_t tide_peer_read_until(int fd, char *text, size_t size, const char *end);
void tide_peer_write(int fd, const void *bytes, size_t len);

#endif
