/* UDP heartbeats: one byte 0 to the Forward port, answered with one byte 0. Fluentd can be told to
 * ask like that whether a server lives, and stops sending to one that does not answer.
 */
#ifndef TIDEMARK_INGEST_HEARTBEAT_H
#define TIDEMARK_INGEST_HEARTBEAT_H

#include <event2/event.h>
#include "tidemark/err.h"

struct tide_heartbeat;

/* Binds the UDP port of this number and address. *ret is NULL when that cannot be, and the log says
 * so: a port that another program has is no reason not to take events. */
void tide_heartbeat_open(const char *address, struct tide_heartbeat **ret);

/* Answers in base's loop. */
enum tide_rc tide_heartbeat_start(struct tide_heartbeat *heartbeat, struct event_base *base,
                                  struct tide_err *err);

/* No more answers. In the loop's thread. */
void tide_heartbeat_pause(struct tide_heartbeat *heartbeat);

/* Nobody runs its loop any more. NULL is fine. */
void tide_heartbeat_close(struct tide_heartbeat *heartbeat);

#endif
