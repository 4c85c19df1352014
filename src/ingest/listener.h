/* The listening socket: parse, bind, accept, deal out to the shards.
 */
#ifndef TIDEMARK_INGEST_LISTENER_H
#define TIDEMARK_INGEST_LISTENER_H

#include <sys/socket.h>
#include <event2/event.h>
#include "tidemark/err.h"

struct tide_listener;
struct tide_shard;

#define TIDE_ADDRESS_TEXT_SIZE 64

/* "127.0.0.1:24224" or "[::1]:24224" -> socket address. Numbers only. TIDE_CONFIG says what was
 * expected. */
enum tide_rc tide_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                                struct tide_err *err);

/* Binds and listens; nothing is accepted yet. */
enum tide_rc tide_listener_open(const char *address, struct tide_listener **ret,
                                struct tide_err *err);

/* Closes the socket. Nobody runs its loop any more. NULL is fine. */
void tide_listener_close(struct tide_listener *listener);

/* Accepts in base's loop and deals the connections out to shard[0, shards), in turn. */
enum tide_rc tide_listener_start(struct tide_listener *listener, struct event_base *base,
                                 struct tide_shard *shard, unsigned shards, struct tide_err *err);

/* No more accepting. In the loop's thread. */
void tide_listener_pause(struct tide_listener *listener);

const char *tide_listener_address(const struct tide_listener *listener);

#endif
