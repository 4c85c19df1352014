/* linger - sockets that were refused: what they still send is read for a moment and thrown away.
 * Closing a socket with unread input resets the connection, and takes the answer with it.
 */
#ifndef API_LINGER_H
#define API_LINGER_H

#include <event2/event.h>

struct tide_lingers; /* of one thread */

/* NULL: out of memory. */
struct tide_lingers *tide_lingers_new(struct event_base *base);

/* Closes all of them. NULL is fine. */
void tide_lingers_free(struct tide_lingers *lingers);

/* The connection behind fd is about to be closed by its owner; what is read on is a duplicate. With
 * too many already, or without a descriptor to spare, nothing happens. */
void tide_linger(struct tide_lingers *lingers, int fd);

#endif
