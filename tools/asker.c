/* asker - see the door. The daemon states the length of every answer, so that is all it reads. */
#include "asker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"
#include "net.h"
#include "tidemark/clock.h"

#define REQUEST_MAX 4096

enum tide_rc tide_asker_open(struct tide_asker *asker, const char *url, int timeout_ms,
                             struct tide_err *err)
{
    static const char scheme[] = "http://";
    char host[TIDE_HOST_SIZE], port[TIDE_PORT_SIZE];
    enum tide_rc rc;

    *asker = (struct tide_asker){.fd = -1, .timeout_ms = timeout_ms};
    if (strncasecmp(url, scheme, strlen(scheme)) != 0) {
        tide_err_set(err, "expected a URL such as http://127.0.0.1:8640, got '%s'", url);
        return TIDE_USAGE;
    }
    snprintf(asker->host, sizeof asker->host, "%.*s", (int)strcspn(url + strlen(scheme), "/"),
             url + strlen(scheme));
    rc = tide_net_split(asker->host, host, port, err);
    if (rc == TIDE_OK)
        rc = tide_net_connect(host, port, tide_clock_mono_us() + timeout_ms * INT64_C(1000),
                              &asker->fd, err);
    return rc;
}

void tide_asker_close(struct tide_asker *asker)
{
    if (asker->fd >= 0)
        close(asker->fd);
    free(asker->bytes);
    *asker = (struct tide_asker){.fd = -1};
}

static enum tide_rc wait_for(struct tide_asker *asker, short events, int64_t deadline_us,
                             struct tide_err *err)
{
    enum tide_rc rc = tide_net_wait(asker->fd, events, deadline_us);

    if (rc != TIDE_AGAIN)
        return rc;
    tide_err_set(err, "no answer within %d ms", asker->timeout_ms);
    return TIDE_UNAVAILABLE;
}

static enum tide_rc send_all(struct tide_asker *asker, const char *text, size_t len,
                             int64_t deadline_us, struct tide_err *err)
{
    enum tide_rc rc = TIDE_OK;

    while (len > 0 && rc == TIDE_OK) {
        ssize_t sent = send(asker->fd, text, len, MSG_NOSIGNAL);

        if (sent >= 0) {
            text += sent;
            len -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EINTR) {
            rc = wait_for(asker, POLLOUT, deadline_us, err);
        } else {
            tide_err_set(err, "send: %s", strerror(errno));
            rc = TIDE_UNAVAILABLE;
        }
    }
    return rc;
}

/* Reads until there are `want` bytes, or, with 0, some more. */
static enum tide_rc receive(struct tide_asker *asker, size_t want, int64_t deadline_us,
                            struct tide_err *err)
{
    size_t goal = want ? want : asker->len + 1, room = goal > 65536 ? goal : 65536;
    enum tide_rc rc = TIDE_OK;

    if (asker->capacity < room + 1) {
        char *grown = realloc(asker->bytes, room + 1);

        if (!grown)
            return TIDE_NO_MEMORY;
        asker->bytes = grown;
        asker->capacity = room + 1;
    }
    while (asker->len < goal && rc == TIDE_OK) {
        ssize_t got =
            recv(asker->fd, asker->bytes + asker->len, asker->capacity - 1 - asker->len, 0);

        if (got > 0) {
            asker->len += (size_t)got;
        } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            rc = wait_for(asker, POLLIN, deadline_us, err);
        } else {
            tide_err_set(err, "the daemon closed the connection in the middle of an answer");
            rc = TIDE_UNAVAILABLE;
        }
    }
    asker->bytes[asker->len] = '\0';
    return rc;
}

/* The end of the head, NULL: not there yet. */
static char *head_end(const struct tide_asker *asker)
{
    char *end = asker->len ? strstr(asker->bytes, "\r\n\r\n") : NULL;

    return end ? end + 4 : NULL;
}

static enum tide_rc parse_head(const struct tide_asker *asker, const char *end, int *ret_status,
                               size_t *ret_length, struct tide_err *err)
{
    const char *field = strcasestr(asker->bytes, "\r\nContent-Length:");
    unsigned long long length;

    if (sscanf(asker->bytes, "HTTP/1.%*d %d", ret_status) != 1 || !field || field >= end ||
        sscanf(field + strlen("\r\nContent-Length:"), "%llu", &length) != 1 ||
        length > TIDE_HTTP_BODY_MAX) {
        tide_err_set(err, "that is no answer of tidemarkd: %.60s", asker->bytes);
        return TIDE_MALFORMED;
    }
    *ret_length = (size_t)length;
    return TIDE_OK;
}

enum tide_rc tide_asker_get(struct tide_asker *asker, const char *path, struct tide_asked *ret,
                            struct tide_err *err)
{
    int64_t deadline_us = tide_clock_mono_us() + asker->timeout_ms * INT64_C(1000);
    char request[REQUEST_MAX];
    size_t head, length;
    enum tide_rc rc;
    char *end;
    int len =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, asker->host);

    if (len < 0 || (size_t)len >= sizeof request) {
        tide_err_set(err, "a path of more than %d bytes", REQUEST_MAX);
        return TIDE_TOO_LARGE;
    }
    asker->len = 0;
    rc = send_all(asker, request, (size_t)len, deadline_us, err);
    while (rc == TIDE_OK && !head_end(asker)) {
        if (asker->len > TIDE_HTTP_HEAD_MAX) {
            tide_err_set(err, "that is no answer of tidemarkd");
            return TIDE_MALFORMED;
        }
        rc = receive(asker, 0, deadline_us, err);
    }
    if (rc != TIDE_OK)
        return rc;
    end = head_end(asker);
    rc = parse_head(asker, end, &ret->status, &length, err);
    if (rc != TIDE_OK)
        return rc;
    head = (size_t)(end - asker->bytes);
    rc = receive(asker, head + length, deadline_us, err);
    ret->body = asker->bytes + head;
    ret->body_len = length;
    return rc;
}
