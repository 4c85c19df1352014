/* TLS by OpenSSL on the shard's own socket and events: no threads, no buffers of a kind of its own.
 * SSL_read decrypts straight into the shared buffer, record after record, until the turn's share is
 * full or the socket is empty. What one record leaves over waits inside OpenSSL, unseen by the
 * event loop: tide_link_pending tells of it.
 *
 * TLS 1.2 and newer, no renegotiation, no compression, no session kept: a resumed session would
 * outlive a certificate or client that was withdrawn. OpenSSL's buffers are given back between
 * records, so that an idle connection holds none.
 */
#include "link.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include "conn.h"

/* ---- the files ---- */

/* OpenSSL's own words for the first failure: those after it follow from it. */
static const char *reason(char *text, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *words = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    if (words)
        return words;
    ERR_error_string_n(code, text, size);
    return text;
}

static enum tide_rc refuse(SSL_CTX *tls, const char *key, const char *name, const char *expected,
                           struct tide_err *err)
{
    char text[128];

    tide_err_set(err, "%s %s: %s; expected %s", key, name, reason(text, sizeof(text)), expected);
    SSL_CTX_free(tls);
    ERR_clear_error();
    return TIDE_CONFIG;
}

/* An encrypted key has to be refused: nobody is there to be asked for its password. */
static int no_password(char *into, int size, int writing, void *arg)
{
    (void)into;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static enum tide_rc check_names(const struct tide_access_cfg *cfg, struct tide_err *err)
{
    if (cfg->cert_file[0] && cfg->key_file[0])
        return TIDE_OK;
    if (cfg->cert_file[0])
        tide_err_set(err, "tls.cert_file is set and tls.key_file is not; expected both");
    else if (cfg->key_file[0])
        tide_err_set(err, "tls.key_file is set and tls.cert_file is not; expected both");
    else
        tide_err_set(err, "tls.client_ca_file: clients show certificates in TLS only; expected "
                          "tls.cert_file and tls.key_file, too");
    return TIDE_CONFIG;
}

enum tide_rc tide_link_open(const struct tide_access_cfg *cfg, SSL_CTX **ret, struct tide_err *err)
{
    SSL_CTX *tls;
    enum tide_rc rc;

    *ret = NULL;
    if (!cfg->cert_file[0] && !cfg->key_file[0] && !cfg->client_ca_file[0])
        return TIDE_OK;
    rc = check_names(cfg, err);
    if (rc)
        return rc;
    ERR_clear_error();
    tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1) {
        tide_err_set(err, "tls: out of memory");
        SSL_CTX_free(tls);
        return TIDE_NO_MEMORY;
    }
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(tls, 0);
    SSL_CTX_set_default_passwd_cb(tls, no_password);

    if (SSL_CTX_use_certificate_chain_file(tls, cfg->cert_file) != 1)
        return refuse(tls, "tls.cert_file", cfg->cert_file,
                      "a certificate in PEM, and those of its issuers behind it", err);
    if (SSL_CTX_use_PrivateKey_file(tls, cfg->key_file, SSL_FILETYPE_PEM) != 1)
        return refuse(tls, "tls.key_file", cfg->key_file,
                      "the private key of tls.cert_file in PEM, without a password", err);
    if (SSL_CTX_check_private_key(tls) != 1)
        return refuse(tls, "tls.key_file", cfg->key_file, "the private key of tls.cert_file", err);
    if (cfg->client_ca_file[0]) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(cfg->client_ca_file);

        if (!names || SSL_CTX_load_verify_file(tls, cfg->client_ca_file) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return refuse(tls, "tls.client_ca_file", cfg->client_ca_file,
                          "certificates of authorities in PEM", err);
        }
        SSL_CTX_set_client_CA_list(tls, names);
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    *ret = tls;
    return TIDE_OK;
}

void tide_link_close(SSL_CTX *tls)
{
    SSL_CTX_free(tls);
}

/* ---- one connection ---- */

bool tide_link_start_tls(struct tide_conn *conn, SSL_CTX *tls)
{
    conn->tls = SSL_new(tls);
    if (!conn->tls)
        return false;
    SSL_set_accept_state(conn->tls);
    return SSL_set_fd(conn->tls, conn->fd) == 1;
}

enum tide_rc tide_link_shake_hands(struct tide_conn *conn, bool *ret_write, struct tide_err *err)
{
    char text[128];
    int done;

    ERR_clear_error();
    done = SSL_do_handshake(conn->tls);
    if (done == 1)
        return TIDE_OK;
    switch (SSL_get_error(conn->tls, done)) {
    case SSL_ERROR_WANT_READ:
        *ret_write = false;
        return TIDE_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_write = true;
        return TIDE_AGAIN;
    case SSL_ERROR_SYSCALL:
    case SSL_ERROR_ZERO_RETURN:
        tide_err_set(err, "the peer hung up");
        return TIDE_UNAVAILABLE;
    default:
        tide_err_set(err, "%s", reason(text, sizeof(text)));
        ERR_clear_error();
        return TIDE_MALFORMED;
    }
}

/* What an SSL call that moved nothing means, in the words of recv and send. */
static ssize_t outcome(struct tide_conn *conn, int returned)
{
    switch (SSL_get_error(conn->tls, returned)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    default:
        ERR_clear_error();
        errno = ECONNRESET;
        return -1;
    }
}

/* A peer that asks for new keys and does not take our answer: there is no use in looking at what it
 * sends until it does. */
static ssize_t nothing_received(struct tide_conn *conn, int returned)
{
    conn->corked = SSL_get_error(conn->tls, returned) == SSL_ERROR_WANT_WRITE;
    return outcome(conn, returned);
}

static int int_of(size_t len)
{
    return len > INT_MAX ? INT_MAX : (int)len;
}

ssize_t tide_link_receive(struct tide_conn *conn, uint8_t *into, size_t room)
{
    size_t total = 0;

    if (!conn->tls)
        return recv(conn->fd, into, room, 0);
    ERR_clear_error();
    while (total < room) {
        int got = SSL_read(conn->tls, into + total, int_of(room - total));

        if (got > 0)
            total += (size_t)got;
        else if (total == 0)
            return nothing_received(conn, got);
        else
            break; /* whatever it is, it is still there the next time */
    }
    ERR_clear_error();
    return (ssize_t)total;
}

ssize_t tide_link_send(struct tide_conn *conn, const uint8_t *data, size_t len)
{
    int sent;

    if (!conn->tls)
        return send(conn->fd, data, len, MSG_NOSIGNAL);
    ERR_clear_error();
    sent = SSL_write(conn->tls, data, int_of(len));
    if (sent > 0)
        return sent;
    if (outcome(conn, sent) == 0)
        errno = ECONNRESET; /* a send has no end of file */
    return -1;
}

bool tide_link_pending(const struct tide_conn *conn)
{
    return conn->tls && (SSL_pending(conn->tls) > 0 ||
                         (SSL_get_shutdown(conn->tls) & SSL_RECEIVED_SHUTDOWN) != 0);
}

void tide_link_finish(struct tide_conn *conn)
{
    if (!conn->tls || !SSL_is_init_finished(conn->tls) ||
        (SSL_get_shutdown(conn->tls) & SSL_SENT_SHUTDOWN) != 0)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(conn->tls); /* sends the alert; the peer's answer is not waited for */
    ERR_clear_error();
}

void tide_link_release(struct tide_conn *conn)
{
    SSL_free(conn->tls);
    conn->tls = NULL;
}
