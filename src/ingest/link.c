/* TLS by OpenSSL on the shard's own socket and events: no threads, no buffers of a kind of its own.
 * SSL_read decrypts straight into the shared buffer, record after record, until the turn's share is
 * full or the socket is empty. What one record leaves over waits inside OpenSSL, unseen by the
 * event loop: tide_link_pending tells of it.
 *
 * A session is made by tls.h, whose buffers are given back between records, so that an idle
 * connection holds none. Where clients must show a certificate none is resumed: a ticket would
 * outlive a certificate that is not wanted any more.
 */
#include "link.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include "tidemark/tls.h"
#include "access.h"
#include "conn.h"

/* ---- who may come ---- */

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

enum tide_rc tide_link_read_ca(const char *file, struct tide_access *access, struct tide_err *err)
{
    char text[128];

    ERR_clear_error();
    access->client_ca = X509_STORE_new();
    access->client_ca_names = SSL_load_client_CA_file(file);
    if (access->client_ca && access->client_ca_names &&
        X509_STORE_load_file(access->client_ca, file) == 1)
        return TIDE_OK;
    tide_err_set(err, "tls.client_ca_file %s: %s; expected certificates of authorities in PEM",
                 file, reason(text, sizeof(text)));
    ERR_clear_error();
    return TIDE_CONFIG;
}

void tide_link_free_ca(struct tide_access *access)
{
    X509_STORE_free(access->client_ca);
    sk_X509_NAME_pop_free(access->client_ca_names, X509_NAME_free);
}

/* ---- one connection ---- */

static bool ask_for_certificate(SSL *tls, const struct tide_access *access)
{
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(access->client_ca_names);

    if (!names || SSL_set1_verify_cert_store(tls, access->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_set_client_CA_list(tls, names);
    SSL_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_set_options(tls, SSL_OP_NO_TICKET);
    return SSL_set_num_tickets(tls, 0) == 1;
}

bool tide_link_start_tls(struct tide_conn *conn, const struct tide_access *access)
{
    conn->tls = tide_tls_session(access->tls);
    return conn->tls && SSL_set_fd(conn->tls, conn->fd) == 1 &&
           (!access->client_ca || ask_for_certificate(conn->tls, access));
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
