/* stream - the bufferevent of one HTTP connection, plain or TLS, as evhttp wants them: without a
 * descriptor at first.
 */
#ifndef API_STREAM_H
#define API_STREAM_H

#include <stdbool.h>
#include <event2/bufferevent.h>
#include "tidemark/tls.h"

/* It owns its descriptor. tls: NULL: plain. NULL: out of memory. */
struct bufferevent *tide_stream_new(struct event_base *base, struct tide_tls *tls);

/* For when there was no memory for anything better: of NULL evhttp would make one that nobody
 * guards. This one ends by itself. */
struct bufferevent *tide_stream_short_lived(struct event_base *base);

bool tide_stream_is_tls(struct bufferevent *stream);

/* Before it is closed: TLS says so to the peer, and waits for nothing. */
void tide_stream_goodbye(struct bufferevent *stream);

#endif
