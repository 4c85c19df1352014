/* channel - see channel.h.
 *
 * Opening it is a conversation and waits for each word, with one deadline for all of it. Afterwards
 * nothing waits. TLS reads and writes the socket through a BIO of our own, because OpenSSL's would
 * raise SIGPIPE when the daemon is gone. The client's side of the handshake is here and nowhere
 * else; its bytes are made and judged in wire.
 */
#include "channel.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"
#include "tidemark/wire.h"

struct tide_channel {
    int fd;
    SSL *tls; /* NULL: plain */
    bool again;
    bool begun;
    bool refused; /* the trouble is that they do not let us in */
    char trouble[256];
};

/* ---- the socket, as TLS sees it ---- */

static BIO_METHOD *quiet_socket;

static int quiet_write(BIO *bio, const char *data, int len)
{
    ssize_t sent = send((int)(intptr_t)BIO_get_data(bio), data, (size_t)len, MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int quiet_read(BIO *bio, char *into, int room)
{
    ssize_t got = recv((int)(intptr_t)BIO_get_data(bio), into, (size_t)room, 0);

    BIO_clear_retry_flags(bio);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static long quiet_ctrl(BIO *bio, int command, long number, void *more)
{
    (void)number;
    (void)more;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1; /* nothing is held back */
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static void quiet_make(void)
{
    quiet_socket = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidemark socket");
    if (!quiet_socket)
        abort(); /* out of memory */
    BIO_meth_set_write(quiet_socket, quiet_write);
    BIO_meth_set_read(quiet_socket, quiet_read);
    BIO_meth_set_ctrl(quiet_socket, quiet_ctrl);
}

static BIO *quiet_new(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, quiet_make);
    bio = BIO_new(quiet_socket);
    if (!bio)
        abort();
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- reading and writing ---- */

/* The peer's TLS said that it does not want us: no common protocol or cipher, a certificate that
 * does not do or is missing. It may say so only after our side of the handshake is through. */
static bool is_refusal(unsigned long code)
{
    int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;

    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return false;
    return (alert >= SSL_AD_HANDSHAKE_FAILURE && alert <= SSL_AD_ACCESS_DENIED) ||
           alert == SSL_AD_PROTOCOL_VERSION || alert == SSL_AD_INSUFFICIENT_SECURITY ||
           alert == SSL_AD_CERTIFICATE_REQUIRED;
}

/* What an SSL call that moved nothing means, in the words of recv and send. */
static ssize_t tls_outcome(struct tide_channel *channel, int returned)
{
    const int reason = errno;
    const char *words;

    switch (SSL_get_error(channel->tls, returned)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        channel->again = true;
        return -1;
    case SSL_ERROR_SYSCALL:
        words = reason ? strerror(reason) : "the connection was closed";
        break;
    default:
        words = ERR_reason_error_string(ERR_peek_error());
        channel->refused = is_refusal(ERR_peek_error());
        break;
    }
    snprintf(channel->trouble, sizeof channel->trouble, "%s", words ? words : "TLS failed");
    ERR_clear_error();
    return -1;
}

static ssize_t plain_outcome(struct tide_channel *channel, ssize_t moved)
{
    if (moved >= 0)
        return moved;
    channel->again = errno == EAGAIN || errno == EINTR;
    if (!channel->again)
        snprintf(channel->trouble, sizeof channel->trouble, "%s", strerror(errno));
    return -1;
}

static int int_of(size_t len)
{
    return len > INT_MAX ? INT_MAX : (int)len;
}

ssize_t tide_channel_send(struct tide_channel *channel, const void *data, size_t len)
{
    int sent;

    channel->again = false;
    if (!channel->tls)
        return plain_outcome(channel, send(channel->fd, data, len, MSG_NOSIGNAL));
    ERR_clear_error();
    errno = 0;
    sent = SSL_write(channel->tls, data, int_of(len));
    channel->begun = false;
    if (sent > 0)
        return sent;
    if (tls_outcome(channel, sent) == 0) /* a send has no end of file */
        snprintf(channel->trouble, sizeof channel->trouble, "the connection was closed");
    channel->begun = channel->again;
    return -1;
}

ssize_t tide_channel_recv(struct tide_channel *channel, void *into, size_t room)
{
    int got;

    channel->again = false;
    if (!channel->tls)
        return plain_outcome(channel, recv(channel->fd, into, room, 0));
    ERR_clear_error();
    errno = 0;
    got = SSL_read(channel->tls, into, int_of(room));
    return got > 0 ? got : tls_outcome(channel, got);
}

bool tide_channel_again(const struct tide_channel *channel)
{
    return channel->again;
}

bool tide_channel_refused(const struct tide_channel *channel)
{
    return channel->refused;
}

const char *tide_channel_trouble(const struct tide_channel *channel)
{
    return channel->trouble;
}

bool tide_channel_begun(const struct tide_channel *channel)
{
    return channel->begun;
}

bool tide_channel_pending(const struct tide_channel *channel)
{
    return channel->tls && SSL_pending(channel->tls) > 0;
}

int tide_channel_fd(const struct tide_channel *channel)
{
    return channel->fd;
}

enum tide_rc tide_channel_wait(const struct tide_channel *channel, short events,
                               int64_t deadline_us)
{
    if ((events & POLLIN) && tide_channel_pending(channel))
        return TIDE_OK;
    return tide_net_wait(channel->fd, events, deadline_us);
}

/* ---- TLS ---- */

/* Whom the certificate must be for: an address if it reads as one, else a name. */
static bool expect_name(SSL *tls, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1;
    return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1;
}

/* Why the TLS handshake failed. A certificate that does not do and an alert are final; a connection
 * that broke off is not. */
static enum tide_rc tls_failed(struct tide_channel *channel, int returned, struct tide_err *err)
{
    long verdict = SSL_get_verify_result(channel->tls);
    int kind = SSL_get_error(channel->tls, returned);

    if (verdict != X509_V_OK) {
        ERR_clear_error();
        tide_err_set(err, "TLS: its certificate does not do: %s",
                     X509_verify_cert_error_string(verdict));
        return TIDE_REFUSED;
    }
    if (tls_outcome(channel, returned) == 0 || kind == SSL_ERROR_SYSCALL) {
        tide_err_set(err, "TLS: it hung up; does it speak TLS at all?");
        return TIDE_UNAVAILABLE;
    }
    tide_err_set(err, "TLS: %s", channel->trouble);
    return TIDE_REFUSED;
}

static enum tide_rc start_tls(struct tide_channel *channel, const char *host,
                              const struct tide_credentials *credentials, int64_t deadline_us,
                              struct tide_err *err)
{
    const char *name = credentials->server_name ? credentials->server_name : host;
    BIO *bio = quiet_new(channel->fd);
    int done;

    channel->tls = SSL_new(credentials->tls);
    if (!channel->tls)
        abort();
    SSL_set_bio(channel->tls, bio, bio);
    SSL_set_connect_state(channel->tls);
    if (!expect_name(channel->tls, name)) {
        ERR_clear_error();
        tide_err_set(err, "TLS: '%s' is no name that a certificate could have", name);
        return TIDE_REFUSED;
    }
    ERR_clear_error();
    errno = 0;
    while ((done = SSL_do_handshake(channel->tls)) != 1) {
        int kind = SSL_get_error(channel->tls, done);
        enum tide_rc rc;

        if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
            return tls_failed(channel, done, err);
        rc =
            tide_net_wait(channel->fd, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_us);
        if (rc == TIDE_AGAIN) {
            tide_err_set(err, "TLS: no answer in time; does it speak TLS at all?");
            return TIDE_UNAVAILABLE;
        }
        if (rc != TIDE_OK)
            return rc;
        errno = 0;
    }
    return TIDE_OK;
}

/* ---- HELO, PING, PONG ---- */

/* Reads one whole value and nothing behind it: who is greeted has to answer before there is more.
 */
static enum tide_rc hear(struct tide_channel *channel, uint8_t into[TIDE_PING_MAX],
                         const char *what, int64_t deadline_us, size_t *ret_len,
                         struct tide_err *err)
{
    struct tide_frame_scan scan;
    size_t len = 0, size = 0;

    tide_frame_reset(&scan);
    for (;;) {
        enum tide_rc rc = tide_channel_wait(channel, POLLIN, deadline_us);
        ssize_t got;

        if (rc == TIDE_AGAIN) {
            tide_err_set(err, "no %s in time; does it ask for a shared key at all?", what);
            return TIDE_UNAVAILABLE;
        }
        if (rc != TIDE_OK)
            return rc;
        got = tide_channel_recv(channel, into + len, TIDE_PING_MAX - len);
        if (got < 0 && tide_channel_again(channel))
            continue;
        if (got <= 0) {
            tide_err_set(err, "no %s: %s", what,
                         got < 0 ? channel->trouble : "the connection was closed");
            return channel->refused ? TIDE_REFUSED : TIDE_UNAVAILABLE;
        }
        len += (size_t)got;
        rc = tide_frame_next(&scan, into, len, TIDE_PING_MAX, &size);
        if (rc == TIDE_AGAIN && len < TIDE_PING_MAX)
            continue;
        if (rc != TIDE_OK || size != len) {
            tide_err_set(err, "what it says is no %s: it does not speak the Forward protocol",
                         what);
            return TIDE_REFUSED;
        }
        *ret_len = len;
        return TIDE_OK;
    }
}

static enum tide_rc say(struct tide_channel *channel, const uint8_t *data, size_t len,
                        int64_t deadline_us, struct tide_err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t sent = tide_channel_send(channel, data + done, len - done);
        enum tide_rc rc;

        if (sent > 0) {
            done += (size_t)sent;
            continue;
        }
        if (!tide_channel_again(channel)) {
            tide_err_set(err, "%s", tide_channel_trouble(channel));
            return TIDE_UNAVAILABLE;
        }
        rc = tide_channel_wait(channel, POLLOUT, deadline_us);
        if (rc != TIDE_OK) {
            tide_err_set(err, "it takes no PING");
            return rc == TIDE_AGAIN ? TIDE_UNAVAILABLE : rc;
        }
    }
    return TIDE_OK;
}

/* A salt of this connection, in digits that every server can read. */
static struct tide_text salt_make(char digits[33])
{
    uint8_t bytes[16];

    tide_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
    return (struct tide_text){digits, 32};
}

static enum tide_rc shake_hands(struct tide_channel *channel,
                                const struct tide_credentials *credentials, int64_t deadline_us,
                                struct tide_err *err)
{
    uint8_t heard[TIDE_PING_MAX], answer[TIDE_PING_MAX], ping[TIDE_PING_MAX];
    char hostname[TIDE_LOGIN_NAME_MAX + 1] = "", salt[33];
    struct tide_login login = {.key = credentials->key.text,
                               .password = credentials->password.text};
    struct tide_helo helo;
    struct tide_pong pong;
    enum tide_rc rc;
    size_t len;

    rc = hear(channel, heard, "HELO", deadline_us, &len, err);
    if (rc != TIDE_OK)
        return rc;
    if (tide_helo_parse(heard, len, &helo) != TIDE_OK) {
        tide_err_set(err, "what it says is no HELO: it does not speak the Forward protocol");
        return TIDE_REFUSED;
    }
    if (helo.auth.len > 0 && !credentials->user) {
        tide_err_set(err, "it asks for a user; name one with --user and --password-file");
        return TIDE_REFUSED;
    }
    if (gethostname(hostname, sizeof hostname - 1) != 0 || !hostname[0])
        strcpy(hostname, "tidemark");
    login.hostname = (struct tide_text){hostname, (uint32_t)strlen(hostname)};
    login.salt = salt_make(salt);
    if (credentials->user)
        login.user = (struct tide_text){credentials->user, (uint32_t)strlen(credentials->user)};
    rc = say(channel, ping, tide_ping_write(ping, &helo, &login), deadline_us, err);
    if (rc == TIDE_OK)
        rc = hear(channel, answer, "PONG", deadline_us, &len, err);
    if (rc != TIDE_OK)
        return rc;
    if (tide_pong_parse(answer, len, &pong) != TIDE_OK) {
        tide_err_set(err, "what it says is no PONG: it does not speak the Forward protocol");
        return TIDE_REFUSED;
    }
    if (!pong.welcome) {
        tide_err_set(err, "it refuses us: %.*s",
                     (int)(pong.reason.len < 200 ? pong.reason.len : 200), pong.reason.start);
        return TIDE_REFUSED;
    }
    if (!tide_pong_knows_key(&pong, &helo, &login)) {
        tide_err_set(err, "it lets us in but does not have the shared key itself; nothing is sent "
                          "to it");
        return TIDE_REFUSED;
    }
    return TIDE_OK;
}

/* ---- open and close ---- */

enum tide_rc tide_channel_open(const char *host, const char *port,
                               const struct tide_credentials *credentials, int64_t deadline_us,
                               struct tide_channel **ret, struct tide_err *err)
{
    struct tide_channel *channel = calloc(1, sizeof *channel);
    enum tide_rc rc;

    if (!channel)
        return TIDE_NO_MEMORY;
    channel->fd = -1;
    rc = tide_net_connect(host, port, deadline_us, &channel->fd, err);
    if (rc != TIDE_OK)
        goto failed;
    if (credentials && credentials->tls)
        rc = start_tls(channel, host, credentials, deadline_us, err);
    if (rc == TIDE_OK && credentials && credentials->key.text.len > 0)
        rc = shake_hands(channel, credentials, deadline_us, err);
    if (rc != TIDE_OK) {
        tide_err_wrap(err, "%s:%s", host, port);
        goto failed;
    }
    *ret = channel;
    return TIDE_OK;

failed:
    tide_channel_close(channel);
    return rc;
}

void tide_channel_close(struct tide_channel *channel)
{
    if (!channel)
        return;
    if (channel->tls && SSL_is_init_finished(channel->tls) && !channel->begun) {
        ERR_clear_error();
        (void)SSL_shutdown(channel->tls); /* says goodbye; the answer is not waited for */
    }
    SSL_free(channel->tls);
    ERR_clear_error();
    if (channel->fd >= 0)
        close(channel->fd);
    free(channel);
}
