/* What a shard does once a second: looks for connections that have been silent for too long. */
#ifndef TIDEMARK_INGEST_DEADLINE_H
#define TIDEMARK_INGEST_DEADLINE_H

#include <event2/event.h>

struct tide_shard;

/* libevent callback of the shard's second_timer. */
void tide_deadline_on_second(evutil_socket_t fd, short what, void *shard);

/* Keeps the timer running while there are connections. */
void tide_deadline_keep(struct tide_shard *shard);

#endif
