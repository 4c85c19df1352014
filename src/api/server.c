/* server - the REST port: one listening socket, cfg.threads event loops that all accept from it,
 * evhttp in each, behind the gates that bound what reaches it.
 *
 * A loop serves its connections one request at a time; a request opens a snapshot, builds its
 * answer and closes the snapshot before a byte is written. Loops share nothing but the query, the
 * census of connections, the tokens and atomic figures. The listening socket has TCP_NODELAY, which
 * accepted ones inherit: without it an answer over 23 KB waits 40 ms for a delayed ACK.
 */
#include "tidemark/api.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "gate.h"
#include "request.h"
#include "tidemark/census.h"
#include "tidemark/log.h"
#include "tidemark/thread.h"

#define BACKLOG      512
#define BREATH_MS    100 /* until we accept again after the system had no more descriptors */
#define THREADS_MAX  64
#define ADDRESS_SIZE 128
#define ALL_METHODS                                                                            \
    (EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
     EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

struct loop {
    struct event_base *base;
    struct evhttp *http;
    struct tide_gates *gates;
    struct evconnlistener *listener; /* http's */
    struct event *stop_watch, *breath;
    int stop_fd;
    pthread_t thread;
    bool running;
};

struct tide_api {
    struct tide_api_context context;
    struct tide_census *census;
    int fd;
    char address[ADDRESS_SIZE];
    unsigned loops;
    struct loop loop[THREADS_MAX];
};

/* ---- the listening socket ---- */

/* "127.0.0.1:8640" or "[::1]:8640" -> its parts. */
static bool split_address(const char *address, char *host, size_t host_size, const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    const char *start = address, *end = colon;

    if (!colon || !colon[1])
        return false;
    if (*start == '[') {
        start++;
        end--;
        if (end < start || *end != ']')
            return false;
    }
    if (end == start || (size_t)(end - start) >= host_size)
        return false;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int open_socket(const struct addrinfo *at)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    int failed;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

static void name_socket(int fd, char address[ADDRESS_SIZE])
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    char host[64] = "?", port[16] = "?";

    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0)
        getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(address, ADDRESS_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static enum tide_rc listen_at(struct tide_api *api, const char *address, struct tide_err *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port;
    int failed;

    if (!split_address(address, host, sizeof(host), &port)) {
        tide_err_set(err, "http: '%s' is not an address such as 127.0.0.1:8640", address);
        return TIDE_CONFIG;
    }
    failed = getaddrinfo(host, port, &hints, &found);
    if (failed) {
        tide_err_set(err, "http: address %s: %s", address, gai_strerror(failed));
        return TIDE_UNAVAILABLE;
    }
    for (const struct addrinfo *at = found; at && api->fd < 0; at = at->ai_next)
        api->fd = open_socket(at);
    freeaddrinfo(found);
    if (api->fd < 0) {
        tide_err_set(err, "http: listen on %s: %s", address, strerror(errno));
        return TIDE_UNAVAILABLE;
    }
    name_socket(api->fd, api->address);
    return TIDE_OK;
}

/* ---- the loops ---- */

static void stop_asked(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;

    (void)fd;
    (void)what;
    event_base_loopbreak(loop->base);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (!config)
        return NULL;
    /* One loop is one thread. No changelist, though it would halve the epoll_ctl calls: it sends
     * them after evhttp has closed the descriptor, whose number may be another thread's by then. */
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* The listener's argument is evhttp's, so a loop finds itself by its thread. */
static _Thread_local struct loop *running;

/* No descriptors, no memory: what waits to be accepted still waits, so trying at once would only
 * burn the processor. */
static void accept_failed(struct evconnlistener *listener, void *arg)
{
    static struct tide_log_gate gate;
    const struct timeval delay = {.tv_usec = BREATH_MS * 1000};

    (void)arg;
    tide_log_gated(&gate, TIDE_ERROR, "http", "accept: %s", strerror(errno));
    evconnlistener_disable(listener);
    event_add(running->breath, &delay);
}

static void accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;

    (void)fd;
    (void)what;
    evconnlistener_enable(loop->listener);
}

/* The descriptor is shared by all loops: it is not closed with a listener. */
static bool start_listening(struct loop *loop, int fd)
{
    loop->listener = evconnlistener_new(loop->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!loop->listener)
        return false;
    evconnlistener_set_error_cb(loop->listener, accept_failed);
    if (evhttp_bind_listener(loop->http, loop->listener))
        return true;
    evconnlistener_free(loop->listener);
    return false;
}

static bool loop_open(struct loop *loop, int fd, const struct tide_gates_cfg *gates_cfg)
{
    loop->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->stop_fd < 0 || !(loop->base = new_base()) || !(loop->http = evhttp_new(loop->base)))
        return false;
    loop->stop_watch = event_new(loop->base, loop->stop_fd, EV_READ | EV_PERSIST, stop_asked, loop);
    loop->breath = evtimer_new(loop->base, accept_again, loop);
    if (!loop->stop_watch || event_add(loop->stop_watch, NULL) || !loop->breath)
        return false;
    loop->gates = tide_gates_new(loop->base, loop->http, gates_cfg);
    if (!loop->gates)
        return false;
    /* all, so that it is us who say 405 */
    evhttp_set_allowed_methods(loop->http, ALL_METHODS);
    evhttp_set_default_content_type(loop->http, NULL);
    return start_listening(loop, fd);
}

static void loop_close(struct loop *loop)
{
    if (loop->stop_watch)
        event_free(loop->stop_watch);
    if (loop->breath)
        event_free(loop->breath);
    if (loop->http)
        evhttp_free(loop->http);
    tide_gates_free(loop->gates);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->stop_fd >= 0)
        close(loop->stop_fd);
    *loop = (struct loop){.stop_fd = -1};
}

static void *loop_run(void *arg)
{
    struct loop *loop = arg;

    running = loop;
    if (event_base_dispatch(loop->base) < 0)
        tide_log(TIDE_ERROR, "http", "event loop ended: %s", strerror(errno));
    return NULL;
}

/* What the loops share. */
static enum tide_rc open_shared(struct tide_api *api, const struct tide_api_cfg *cfg,
                                struct tide_query *query, struct tide_err *err)
{
    enum tide_rc rc;

    api->context = (struct tide_api_context){
        .query = query, .prometheus = cfg->prometheus, .log_requests = cfg->log_requests};
    _Static_assert(sizeof(api->context.cors_origins) >= sizeof(cfg->cors_origins), "it fits");
    strcpy(api->context.cors_origins, cfg->cors_origins);
    rc = tide_census_new(cfg->max_connections, cfg->max_connections_per_address, &api->census);
    if (rc) {
        tide_err_set(err, "http: out of memory");
        return rc;
    }
    if (cfg->tokens_file[0] &&
        (rc = tide_tokens_open(cfg->tokens_file, &api->context.tokens, err))) {
        tide_err_wrap(err, "http: tokens");
        return rc;
    }
    return listen_at(api, cfg->address, err);
}

enum tide_rc tide_api_start(const struct tide_api_cfg *cfg, struct tide_query *query,
                            struct tide_api **ret, struct tide_err *err)
{
    struct tide_api *api = calloc(1, sizeof(*api));
    struct tide_gates_cfg gates_cfg = {
        .tls = cfg->tls,
        .request_timeout_s = cfg->request_timeout_s,
        .max_waiting_bytes = cfg->max_waiting_bytes,
        .serve = tide_request_serve,
    };
    enum tide_rc rc;

    assert(cfg->threads >= 1 && cfg->threads <= THREADS_MAX);
    assert(cfg->max_connections && cfg->max_connections_per_address && cfg->request_timeout_s &&
           cfg->max_waiting_bytes);
    if (!api) {
        tide_err_set(err, "http: out of memory");
        return TIDE_NO_MEMORY;
    }
    api->fd = -1;
    for (unsigned i = 0; i < THREADS_MAX; i++)
        api->loop[i].stop_fd = -1;
    rc = open_shared(api, cfg, query, err);
    gates_cfg.context = &api->context;
    gates_cfg.census = api->census;
    for (; rc == TIDE_OK && api->loops < cfg->threads; api->loops++) {
        if (!loop_open(&api->loop[api->loops], api->fd, &gates_cfg)) {
            tide_err_set(err, "http: open event loop: %s", strerror(errno));
            loop_close(&api->loop[api->loops]);
            rc = TIDE_IO;
            break;
        }
    }
    for (unsigned i = 0; rc == TIDE_OK && i < api->loops; i++) {
        rc = tide_thread_start(&api->loop[i].thread, "tide-http", loop_run, &api->loop[i], err);
        api->loop[i].running = rc == TIDE_OK;
    }
    if (rc) {
        tide_api_stop(api);
        return rc;
    }
    *ret = api;
    return TIDE_OK;
}

const char *tide_api_address(const struct tide_api *api)
{
    return api->address;
}

enum tide_rc tide_api_reload(struct tide_api *api, struct tide_err *err)
{
    return api->context.tokens ? tide_tokens_reload(api->context.tokens, err) : TIDE_OK;
}

enum tide_rc tide_api_check_tokens(const char *file, struct tide_err *err)
{
    struct tide_tokens *tokens = NULL;
    enum tide_rc rc = tide_tokens_open(file, &tokens, err);

    tide_tokens_close(tokens);
    return rc;
}

void tide_api_stop(struct tide_api *api)
{
    const uint64_t one = 1;

    if (!api)
        return;
    for (unsigned i = 0; i < api->loops; i++)
        if (api->loop[i].running && write(api->loop[i].stop_fd, &one, sizeof(one)) < 0)
            tide_log(TIDE_ERROR, "http", "stop event loop: %s", strerror(errno));
    for (unsigned i = 0; i < api->loops; i++) {
        if (api->loop[i].running)
            pthread_join(api->loop[i].thread, NULL);
        loop_close(&api->loop[i]);
    }
    if (api->fd >= 0)
        close(api->fd);
    tide_census_free(api->census);
    tide_tokens_close(api->context.tokens);
    free(api);
}
