/* stream - see stream.h. */
#include "stream.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tidemark/counter.h"

struct bufferevent *tide_stream_new(struct event_base *base, struct tide_tls *tls)
{
    struct bufferevent *stream;
    SSL *session;

    if (!tls)
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    session = tide_tls_session(tls);
    if (!session)
        return NULL;
    stream = bufferevent_openssl_socket_new(base, -1, session, BUFFEREVENT_SSL_ACCEPTING,
                                            BEV_OPT_CLOSE_ON_FREE);
    if (stream)
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    else
        SSL_free(session);
    return stream;
}

struct bufferevent *tide_stream_short_lived(struct event_base *base)
{
    const struct timeval soon = {.tv_sec = 1};
    struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (stream)
        bufferevent_set_timeouts(stream, &soon, &soon);
    return stream;
}

bool tide_stream_is_tls(struct bufferevent *stream)
{
    return bufferevent_openssl_get_ssl(stream);
}

void tide_stream_goodbye(struct bufferevent *stream)
{
    SSL *session = bufferevent_openssl_get_ssl(stream);

    if (!session)
        return;
    if (SSL_is_init_finished(session))
        SSL_shutdown(session);
    else
        tide_count(TIDE_COUNT_HTTP_HANDSHAKES_FAILED, 1);
    ERR_clear_error();
}
