/* The listening socket: parse, bind, accept, deal out to the shards.
 */
#ifndef TIDEMARK_INGEST_LISTENER_H
#define TIDEMARK_INGEST_LISTENER_H

#include <sys/socket.h>
#include <event2/event.h>
#include "tidemark/err.h"

struct tide_access_now;
struct tide_census;
struct tide_listener;
struct tide_shard;

/* What every accepted connection meets first. */
struct tide_lobby {
    struct tide_census *census;
    struct tide_access_now *access; /* NULL: nobody has to show anything */
};

#define TIDE_ADDRESS_TEXT_SIZE 128

/* "127.0.0.1:24224" or "[::1]:24224" -> socket address. Numbers only. TIDE_CONFIG says what was
 * expected. */
enum tide_rc tide_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                                struct tide_err *err);

/* Binds and listens; nothing is accepted yet. */
enum tide_rc tide_listener_open(const char *address, struct tide_listener **ret,
                                struct tide_err *err);

/* The same on a Unix socket, mode 0660. What a dead process left there is removed; what is in use,
 * or no socket, is not. */
enum tide_rc tide_listener_open_unix(const char *path, struct tide_listener **ret,
                                     struct tide_err *err);

/* Closes the socket, and removes a Unix one. Nobody runs its loop any more. NULL is fine. */
void tide_listener_close(struct tide_listener *listener);

/* Accepts in base's loop and deals the connections out to shard[0, shards), in turn. */
enum tide_rc tide_listener_start(struct tide_listener *listener, const struct tide_lobby *lobby,
                                 struct event_base *base, struct tide_shard *shard, unsigned shards,
                                 struct tide_err *err);

/* No more accepting. In the loop's thread. */
void tide_listener_pause(struct tide_listener *listener);

const char *tide_listener_address(const struct tide_listener *listener);

#endif
