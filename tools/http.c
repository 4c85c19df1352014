/* The exchange is: connect, write the request, read everything until the answer is whole, close.
 * All bytes go into one growing buffer; the head is parsed once its empty line is there, then the
 * body ends by Content-Length, by its last chunk or by the close of the connection. We ask for no
 * compression and no keep-alive, so nothing else can follow.
 */
#include "http.h"

#include <assert.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pass.h"
#include "channel.h"
#include "net.h"
#include "tidemark/clock.h"

#define URL_PREFIX_MAX 512
#define READ_STEP      16384

struct target {
    bool tls;
    char host[TIDE_HOST_SIZE];
    char port[TIDE_PORT_SIZE];
    char prefix[URL_PREFIX_MAX];
};

struct buffer {
    char *bytes;
    size_t len, capacity;
};

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_TO_CLOSE };

struct head {
    int status;
    char type[128];
    enum body_kind kind;
    size_t length;   /* BODY_LENGTH */
    size_t head_len; /* bytes of status line, fields and the empty line */
};

static enum tide_rc target_parse(const char *url, struct target *ret, struct tide_err *err)
{
    static const char plain[] = "http://", secure[] = "https://";
    char address[TIDE_HOST_SIZE + TIDE_PORT_SIZE + 4];
    size_t authority_len, prefix_len;
    const char *authority, *bracket;

    ret->tls = strncasecmp(url, secure, strlen(secure)) == 0;
    if (!ret->tls && strncasecmp(url, plain, strlen(plain)) != 0) {
        tide_err_set(err, "expected a URL such as http://127.0.0.1:8640, got '%s'", url);
        return TIDE_USAGE;
    }
    authority = url + strlen(ret->tls ? secure : plain);
    authority_len = strcspn(authority, "/?#");
    prefix_len = strlen(authority + authority_len);
    while (prefix_len && authority[authority_len + prefix_len - 1] == '/')
        prefix_len--;
    if (authority_len == 0 || authority_len > TIDE_HOST_SIZE || prefix_len >= URL_PREFIX_MAX ||
        memchr(authority, '@', authority_len) ||
        strcspn(authority + authority_len, "?# \r\n") < prefix_len) {
        tide_err_set(err, "expected a URL such as http://127.0.0.1:8640, got '%s'", url);
        return TIDE_USAGE;
    }
    bracket = memchr(authority, ']', authority_len);
    if (memchr(bracket ? bracket : authority, ':',
               authority_len - (bracket ? (size_t)(bracket - authority) : 0)))
        snprintf(address, sizeof address, "%.*s", (int)authority_len, authority);
    else
        snprintf(address, sizeof address, "%.*s:%s", (int)authority_len, authority,
                 ret->tls ? "443" : "80");
    memcpy(ret->prefix, authority + authority_len, prefix_len);
    ret->prefix[prefix_len] = '\0';
    return tide_net_split(address, ret->host, ret->port, err);
}

enum tide_rc tide_http_send(struct tide_channel *channel, const char *text, size_t len,
                            int64_t deadline_us, struct tide_err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t step = tide_channel_send(channel, text + done, len - done);

        if (step > 0) {
            done += (size_t)step;
        } else if (step < 0 && tide_channel_again(channel)) {
            enum tide_rc rc = tide_channel_wait(channel, POLLOUT, deadline_us);

            if (rc == TIDE_STOPPED)
                return rc;
            if (rc != TIDE_OK) {
                tide_err_set(err, "did not take the request in time");
                return TIDE_UNAVAILABLE;
            }
        } else {
            tide_err_set(err, "send: %s", tide_channel_trouble(channel));
            return tide_channel_refused(channel) ? TIDE_REFUSED : TIDE_UNAVAILABLE;
        }
    }
    return TIDE_OK;
}

enum tide_rc tide_http_receive(struct tide_channel *channel, char *data, size_t room,
                               int64_t deadline_us, size_t *ret_len, struct tide_err *err)
{
    for (;;) {
        ssize_t got = tide_channel_recv(channel, data, room);
        enum tide_rc rc;

        if (got >= 0) {
            *ret_len = (size_t)got;
            return TIDE_OK;
        }
        if (!tide_channel_again(channel)) {
            tide_err_set(err, "receive: %s", tide_channel_trouble(channel));
            return tide_channel_refused(channel) ? TIDE_REFUSED : TIDE_UNAVAILABLE;
        }
        rc = tide_channel_wait(channel, POLLIN, deadline_us);
        if (rc == TIDE_STOPPED)
            return rc;
        if (rc != TIDE_OK) {
            tide_err_set(err, "no whole answer in time");
            return TIDE_UNAVAILABLE;
        }
    }
}

/* Reads what is there; *ret_closed when the peer is done. */
static enum tide_rc buffer_read(struct buffer *buffer, struct tide_channel *channel,
                                int64_t deadline_us, bool *ret_closed, struct tide_err *err)
{
    enum tide_rc rc;
    size_t got;

    if (buffer->capacity - buffer->len <= READ_STEP) {
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 4 * READ_STEP;
        char *bytes = realloc(buffer->bytes, capacity);

        if (!bytes)
            return TIDE_NO_MEMORY;
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    rc = tide_http_receive(channel, buffer->bytes + buffer->len, buffer->capacity - buffer->len - 1,
                           deadline_us, &got, err);
    if (rc != TIDE_OK)
        return rc;
    buffer->len += got;
    buffer->bytes[buffer->len] = '\0';
    *ret_closed = got == 0;
    return TIDE_OK;
}

/* True when field is `name: value`; *ret_value is then its value, trimmed, in [value, value +
 * *ret_len). */
static bool field_is(const char *field, size_t len, const char *name, const char **ret_value,
                     size_t *ret_len)
{
    size_t name_len = strlen(name);

    if (len <= name_len || strncasecmp(field, name, name_len) != 0 || field[name_len] != ':')
        return false;
    field += name_len + 1;
    len -= name_len + 1;
    while (len && (*field == ' ' || *field == '\t')) {
        field++;
        len--;
    }
    while (len && (field[len - 1] == ' ' || field[len - 1] == '\t'))
        len--;
    *ret_value = field;
    *ret_len = len;
    return true;
}

static bool length_parse(const char *text, size_t len, size_t *ret)
{
    size_t value = 0;

    if (len == 0 || len > 15)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (size_t)(text[i] - '0');
    }
    *ret = value;
    return true;
}

static enum tide_rc field_take(struct head *head, const char *line, size_t len,
                               struct tide_err *err)
{
    const char *value;
    size_t value_len;

    if (field_is(line, len, "content-length", &value, &value_len)) {
        if (!length_parse(value, value_len, &head->length)) {
            tide_err_set(err, "bad Content-Length in the answer");
            return TIDE_MALFORMED;
        }
        if (head->kind != BODY_CHUNKED)
            head->kind = BODY_LENGTH;
    } else if (field_is(line, len, "transfer-encoding", &value, &value_len)) {
        if (value_len != 7 || strncasecmp(value, "chunked", 7) != 0) {
            tide_err_set(err, "unknown Transfer-Encoding '%.*s' in the answer",
                         (int)(value_len < 40 ? value_len : 40), value);
            return TIDE_MALFORMED;
        }
        head->kind = BODY_CHUNKED;
    } else if (field_is(line, len, "content-type", &value, &value_len)) {
        size_t at = 0;

        for (; at < value_len && at < sizeof head->type - 1 && value[at] != ';'; at++)
            head->type[at] =
                (char)(value[at] >= 'A' && value[at] <= 'Z' ? value[at] + 32 : value[at]);
        head->type[at] = '\0';
    }
    return TIDE_OK;
}

/* TIDE_AGAIN until the empty line has come. */
static enum tide_rc head_parse(const struct buffer *buffer, struct head *ret, struct tide_err *err)
{
    static const char version[] = "HTTP/1.";
    size_t compare = buffer->len < strlen(version) ? buffer->len : strlen(version);
    struct head head = {.kind = BODY_TO_CLOSE};
    const char *end, *line;

    if (memcmp(buffer->bytes, version, compare) != 0) {
        tide_err_set(err, "what answers there does not speak HTTP");
        return TIDE_MALFORMED;
    }
    end = memmem(buffer->bytes, buffer->len, "\r\n\r\n", 4);
    if (!end) {
        if (buffer->len <= TIDE_HTTP_HEAD_MAX)
            return TIDE_AGAIN;
        tide_err_set(err, "head of the answer is over %d bytes", TIDE_HTTP_HEAD_MAX);
        return TIDE_TOO_LARGE;
    }
    head.head_len = (size_t)(end - buffer->bytes) + 4;
    if (end - buffer->bytes < 12 || buffer->bytes[8] != ' ' || buffer->bytes[9] < '1' ||
        buffer->bytes[9] > '5' || buffer->bytes[10] < '0' || buffer->bytes[10] > '9' ||
        buffer->bytes[11] < '0' || buffer->bytes[11] > '9') {
        tide_err_set(err, "bad status line in the answer");
        return TIDE_MALFORMED;
    }
    head.status =
        (buffer->bytes[9] - '0') * 100 + (buffer->bytes[10] - '0') * 10 + (buffer->bytes[11] - '0');
    line = memchr(buffer->bytes, '\n', buffer->len);
    while (line + 1 < end) {
        const char *next = memmem(line + 1, (size_t)(end + 2 - line - 1), "\r\n", 2);
        enum tide_rc rc = field_take(&head, line + 1, (size_t)(next - line - 1), err);

        if (rc != TIDE_OK)
            return rc;
        line = next + 1;
    }
    if (head.status == 204 || head.status == 304)
        head.kind = BODY_NONE;
    *ret = head;
    return TIDE_OK;
}

/* Walks the chunks of text[0, len), moving their content to `out` when that is not NULL.
 * TIDE_OK when the last one is there; *ret_len is the length of the content. */
static enum tide_rc chunks_walk(const char *text, size_t len, size_t body_max, char *out,
                                size_t *ret_len, struct tide_err *err)
{
    size_t at = 0, total = 0;

    for (;;) {
        const char *line_end = memmem(text + at, len - at, "\r\n", 2);
        size_t size = 0, digits = 0;

        if (!line_end) {
            if (len - at < 256)
                return TIDE_AGAIN;
            goto malformed;
        }
        for (const char *p = text + at; p < line_end && *p != ';' && *p != ' '; p++, digits++) {
            int digit = *p >= '0' && *p <= '9'   ? *p - '0'
                        : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
                        : *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
                                                 : -1;
            if (digit < 0 || digits >= 12)
                goto malformed;
            size = size * 16 + (size_t)digit;
        }
        if (digits == 0)
            goto malformed;
        at = (size_t)(line_end - text) + 2;
        if (size == 0) { /* trailers may follow; nobody asked for them */
            *ret_len = total;
            return TIDE_OK;
        }
        if (size > body_max - total) {
            tide_err_set(err, "answer is over %zu bytes", body_max);
            return TIDE_TOO_LARGE;
        }
        if (len - at < size + 2)
            return TIDE_AGAIN;
        if (memcmp(text + at + size, "\r\n", 2) != 0)
            goto malformed;
        if (out)
            memmove(out + total, text + at, size);
        total += size;
        at += size + 2;
    }
malformed:
    tide_err_set(err, "bad chunk in the answer");
    return TIDE_MALFORMED;
}

/* Is the body whole? TIDE_OK with its length (chunks are joined in place), TIDE_AGAIN, or a
 * failure. */
static enum tide_rc body_check(struct buffer *buffer, const struct head *head, bool closed,
                               size_t body_max, size_t *ret_len, struct tide_err *err)
{
    char *text = buffer->bytes + head->head_len;
    size_t len = buffer->len - head->head_len;
    enum tide_rc rc = TIDE_AGAIN;

    switch (head->kind) {
    case BODY_NONE:
        *ret_len = 0;
        return TIDE_OK;
    case BODY_LENGTH:
        if (head->length > body_max)
            goto too_large;
        if (len >= head->length) {
            *ret_len = head->length;
            return TIDE_OK;
        }
        break;
    case BODY_TO_CLOSE:
        if (len > body_max)
            goto too_large;
        if (closed) {
            *ret_len = len;
            return TIDE_OK;
        }
        break;
    case BODY_CHUNKED:
        rc = chunks_walk(text, len, body_max, NULL, ret_len, err);
        if (rc == TIDE_OK)
            rc = chunks_walk(text, len, body_max, text, ret_len, err);
        break;
    }
    if (rc == TIDE_AGAIN && closed) {
        tide_err_set(err, "connection closed in the middle of the answer");
        return TIDE_UNAVAILABLE;
    }
    return rc;
too_large:
    tide_err_set(err, "answer is over %zu bytes", body_max);
    return TIDE_TOO_LARGE;
}

static enum tide_rc answer_read(struct tide_channel *channel, int64_t deadline_us, size_t body_max,
                                struct tide_http_answer *ret, struct tide_err *err)
{
    struct buffer buffer = {NULL, 0, 0};
    struct head head = {.head_len = 0};
    size_t body_len = 0, looked = 0;
    enum tide_rc rc;
    bool closed = false;

    for (;;) {
        rc = buffer_read(&buffer, channel, deadline_us, &closed, err);
        if (rc != TIDE_OK)
            break;
        if (head.head_len == 0 && buffer.len > 0) {
            rc = head_parse(&buffer, &head, err);
            /* 1xx is a word in passing: the answer follows it */
            if (rc == TIDE_OK && head.status < 200) {
                memmove(buffer.bytes, buffer.bytes + head.head_len, buffer.len - head.head_len + 1);
                buffer.len -= head.head_len;
                head = (struct head){.head_len = 0};
                rc = buffer.len ? head_parse(&buffer, &head, err) : TIDE_AGAIN;
            }
        }
        /* A chunked body is walked from its start each time: look only when it has doubled or
         * ended. */
        if (rc == TIDE_OK && head.head_len &&
            (head.kind != BODY_CHUNKED || closed || buffer.len >= 2 * looked ||
             memcmp(buffer.bytes + buffer.len - 2, "\r\n", 2) == 0)) {
            looked = buffer.len;
            rc = body_check(&buffer, &head, closed, body_max, &body_len, err);
            if (rc != TIDE_AGAIN)
                break;
        }
        if (rc != TIDE_OK && rc != TIDE_AGAIN)
            break;
        if (closed) {
            tide_err_set(err, "connection closed before the answer");
            rc = TIDE_UNAVAILABLE;
            break;
        }
    }
    if (rc == TIDE_OK) {
        memmove(buffer.bytes, buffer.bytes + head.head_len, body_len);
        buffer.bytes[body_len] = '\0';
        *ret = (struct tide_http_answer){
            .status = head.status, .body = buffer.bytes, .body_len = body_len};
        memcpy(ret->type, head.type, sizeof ret->type);
        return TIDE_OK;
    }
    free(buffer.bytes);
    return rc;
}

enum tide_rc tide_http_connect(const char *url, int64_t deadline_us, struct tide_channel **ret,
                               struct tide_err *err)
{
    struct target target;
    enum tide_rc rc = target_parse(url, &target, err);

    if (rc != TIDE_OK)
        return rc;
    assert(!target.tls || tide_pass_tls());
    return tide_channel_open(target.host, target.port, target.tls ? tide_pass_tls() : NULL,
                             deadline_us, ret, err);
}

enum tide_rc tide_http_request(const char *url, const char *path, bool close,
                               char text[TIDE_HTTP_REQUEST_MAX], size_t *ret_len,
                               struct tide_err *err)
{
    struct target target;
    enum tide_rc rc = target_parse(url, &target, err);
    const char *field = tide_pass_field();
    int len;

    if (rc != TIDE_OK)
        return rc;
    len = snprintf(text, TIDE_HTTP_REQUEST_MAX,
                   "GET %s%s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: tidemark/" TIDEMARK_VERSION
                   "\r\nAccept: */*\r\n%s%s\r\n",
                   target.prefix, path, strchr(target.host, ':') ? "[" : "", target.host,
                   strchr(target.host, ':') ? "]" : "", target.port,
                   close ? "Connection: close\r\n" : "", field);
    if (len < 0 || len >= TIDE_HTTP_REQUEST_MAX) {
        tide_err_set(err, "request is over %d bytes", TIDE_HTTP_REQUEST_MAX);
        return TIDE_USAGE;
    }
    *ret_len = (size_t)len;
    return TIDE_OK;
}

enum tide_rc tide_http_get(const char *url, const char *path, int timeout_ms, size_t body_max,
                           struct tide_http_answer *ret, struct tide_err *err)
{
    int64_t deadline_us = tide_clock_mono_us() + (int64_t)timeout_ms * 1000;
    char request[TIDE_HTTP_REQUEST_MAX];
    struct tide_channel *channel = NULL;
    enum tide_rc rc;
    size_t len;

    if ((rc = tide_http_request(url, path, true, request, &len, err)) ||
        (rc = tide_http_connect(url, deadline_us, &channel, err)))
        return rc;
    rc = tide_http_send(channel, request, len, deadline_us, err);
    if (rc == TIDE_OK)
        rc = answer_read(channel, deadline_us, body_max, ret, err);
    if (rc != TIDE_OK && rc != TIDE_STOPPED)
        tide_err_wrap(err, "%s", url);
    tide_channel_close(channel);
    return rc;
}

void tide_http_answer_fini(struct tide_http_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

size_t tide_http_escape(char *out, size_t size, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = strlen(out);

    for (const unsigned char *p = (const unsigned char *)text; *p && len + 4 < size; p++) {
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
            *p == '-' || *p == '.' || *p == '_' || *p == '~') {
            out[len++] = (char)*p;
        } else {
            out[len++] = '%';
            out[len++] = hex[*p >> 4];
            out[len++] = hex[*p & 15];
        }
    }
    out[len] = '\0';
    return len;
}
