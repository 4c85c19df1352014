/* tls - see tls.h.
 *
 * An SSL_CTX is built whole and then swapped in under a lock; OpenSSL counts the references, so
 * sessions of the old one live on. Nothing is ever asked on the terminal: a key with a passphrase
 * is refused. Truncation is not judged here: both protocols above say how long their messages are.
 * A client reads its files once and has one context, without a lock.
 */
#include "tidemark/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct tide_tls {
    pthread_mutex_t lock; /* holds: now */
    SSL_CTX *now;
    char *cert_file, *key_file;
};

static int no_passphrase(char *to, int size, int writing, void *arg)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* OpenSSL's last word about `file`; its queue is empty afterwards. */
static enum tide_rc refuse(const char *noun, const char *file, struct tide_err *err)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    tide_err_set(err, "%s %s: %s", noun, file, reason ? reason : "not usable");
    return TIDE_CONFIG;
}

static enum tide_rc check_readable(const char *noun, const char *file, struct tide_err *err)
{
    if (access(file, R_OK) == 0)
        return TIDE_OK;
    tide_err_set(err, "%s %s: %s", noun, file, strerror(errno));
    return TIDE_CONFIG;
}

static enum tide_rc load(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                         struct tide_err *err)
{
    enum tide_rc rc;

    if ((rc = check_readable("certificate", cert_file, err)) ||
        (rc = check_readable("key", key_file, err)))
        return rc;
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return refuse("certificate", cert_file, err);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return refuse("key", key_file, err);
    return TIDE_OK;
}

/* A context with what both sides have in common; NULL: out of memory. */
static SSL_CTX *bare_context(const SSL_METHOD *method, struct tide_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx) {
        ERR_clear_error();
        tide_err_set(err, "TLS: out of memory");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets cost the server nothing */
    return ctx;
}

static enum tide_rc new_context(const char *cert_file, const char *key_file, SSL_CTX **ret,
                                struct tide_err *err)
{
    SSL_CTX *ctx = bare_context(TLS_server_method(), err);
    enum tide_rc rc;

    if (!ctx)
        return TIDE_NO_MEMORY;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* Idle connections keep no 34 KiB of buffers; a write may be repeated from elsewhere, because
     * the output buffer moves. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    rc = load(ctx, cert_file, key_file, err);
    if (rc) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *ret = ctx;
    return TIDE_OK;
}

enum tide_rc tide_tls_open(const char *cert_file, const char *key_file, struct tide_tls **ret,
                           struct tide_err *err)
{
    struct tide_tls *tls = calloc(1, sizeof(*tls));
    enum tide_rc rc = TIDE_NO_MEMORY;

    if (tls) {
        pthread_mutex_init(&tls->lock, NULL);
        tls->cert_file = strdup(cert_file);
        tls->key_file = strdup(key_file);
    }
    if (!tls || !tls->cert_file || !tls->key_file)
        tide_err_set(err, "TLS: out of memory");
    else
        rc = new_context(cert_file, key_file, &tls->now, err);
    if (rc) {
        tide_tls_close(tls);
        return rc;
    }
    *ret = tls;
    return TIDE_OK;
}

void tide_tls_close(struct tide_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->now);
    free(tls->cert_file);
    free(tls->key_file);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

enum tide_rc tide_tls_reload(struct tide_tls *tls, struct tide_err *err)
{
    SSL_CTX *fresh, *old;
    enum tide_rc rc = new_context(tls->cert_file, tls->key_file, &fresh, err);

    if (rc)
        return rc;
    pthread_mutex_lock(&tls->lock);
    old = tls->now;
    tls->now = fresh;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    return TIDE_OK;
}

struct ssl_st *tide_tls_session(struct tide_tls *tls)
{
    SSL *session;

    pthread_mutex_lock(&tls->lock);
    session = SSL_new(tls->now); /* takes its own reference */
    pthread_mutex_unlock(&tls->lock);
    if (session)
        SSL_set_accept_state(session);
    else
        ERR_clear_error();
    return session;
}

/* The authorities a client believes. */
static enum tide_rc trust(SSL_CTX *ctx, const char *ca_file, struct tide_err *err)
{
    enum tide_rc rc;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!ca_file) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1)
            return TIDE_OK;
        return refuse("certificates", "of the system", err);
    }
    rc = check_readable("CA certificates", ca_file, err);
    ERR_clear_error();
    if (!rc && SSL_CTX_load_verify_file(ctx, ca_file) != 1)
        rc = refuse("CA certificates", ca_file, err);
    return rc;
}

enum tide_rc tide_tls_client(const char *ca_file, const char *cert_file, const char *key_file,
                             struct ssl_ctx_st **ret, struct tide_err *err)
{
    SSL_CTX *ctx = bare_context(TLS_client_method(), err);
    enum tide_rc rc;

    if (!ctx)
        return TIDE_NO_MEMORY;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    rc = trust(ctx, ca_file, err);
    if (!rc && cert_file)
        rc = load(ctx, cert_file, key_file, err);
    if (rc) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *ret = ctx;
    return TIDE_OK;
}
