/* Who may send: the shared key, the users, the clients' authorities. Read once, never changed; a
 * reload makes another one, and connections that began with the old one end their handshake with
 * it.
 */
#ifndef TIDEMARK_INGEST_ACCESS_H
#define TIDEMARK_INGEST_ACCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "tidemark/event.h"
#include "tidemark/ingest.h"

#define TIDE_USERS_MAX    10000
#define TIDE_ACCESS_BYTES (4u << 20) /* of one of its files */

struct stack_st_X509_NAME;
struct x509_store_st;

struct tide_user {
    struct tide_text name, password;
};

struct tide_access {
    atomic_uint holders;
    struct tide_text key; /* len 0: no handshake */
    struct tide_user *user;
    size_t users;                    /* 0: whoever has the key may send */
    struct tide_tls *tls;            /* NULL: plain; not ours */
    struct x509_store_st *client_ca; /* NULL: clients need no certificate */
    struct stack_st_X509_NAME *client_ca_names;
    char *key_text, *users_text;
    size_t key_size, users_size;
    char server[256]; /* our name in a PONG */
};

/* Reads the files. TIDE_CONFIG says which key, file and why. */
enum tide_rc tide_access_open(const struct tide_access_cfg *cfg, struct tide_access **ret,
                              struct tide_err *err);

/* Says in the log which secrets are open to everyone. */
void tide_access_warn(const struct tide_access_cfg *cfg);

/* Lets go of it; the last one frees it. The giver's pointer becomes NULL; it may be NULL. */
void tide_access_put(struct tide_access **access);

/* Nobody has to show anything. */
bool tide_access_is_open(const struct tide_access *access);

/* NULL when there is no such user. */
const struct tide_user *tide_access_find(const struct tide_access *access,
                                         const struct tide_text *name);

/* The one that new connections get. Any thread may take it and replace it. */
struct tide_access_now {
    pthread_mutex_t lock;
    struct tide_access *access;
};

struct tide_access *tide_access_take(struct tide_access_now *now);
void tide_access_replace(struct tide_access_now *now, struct tide_access *access);

#endif
