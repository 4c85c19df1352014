/* asker - see the door. The daemon states the length of every answer, so that is all it reads. */
#include "asker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "http.h"
#include "tidemark/clock.h"

#define READ_STEP 65536

enum tide_rc tide_asker_open(struct tide_asker *asker, const char *url, int timeout_ms,
                             struct tide_err *err)
{
    *asker = (struct tide_asker){.url = url, .timeout_ms = timeout_ms};
    return tide_http_connect(url, tide_clock_mono_us() + timeout_ms * INT64_C(1000),
                             &asker->channel, err);
}

void tide_asker_close(struct tide_asker *asker)
{
    tide_channel_close(asker->channel);
    free(asker->bytes);
    *asker = (struct tide_asker){.channel = NULL};
}

/* Reads until there are `want` bytes, or, with 0, some more. */
static enum tide_rc receive(struct tide_asker *asker, size_t want, int64_t deadline_us,
                            struct tide_err *err)
{
    size_t goal = want ? want : asker->len + 1, room = goal > READ_STEP ? goal : READ_STEP;
    enum tide_rc rc = TIDE_OK;

    if (asker->capacity < room + 1) {
        char *grown = realloc(asker->bytes, room + 1);

        if (!grown)
            return TIDE_NO_MEMORY;
        asker->bytes = grown;
        asker->capacity = room + 1;
    }
    while (asker->len < goal && rc == TIDE_OK) {
        size_t got = 0;

        rc = tide_http_receive(asker->channel, asker->bytes + asker->len,
                               asker->capacity - 1 - asker->len, deadline_us, &got, err);
        if (rc == TIDE_OK && got == 0) {
            tide_err_set(err, "the daemon closed the connection in the middle of an answer");
            rc = TIDE_UNAVAILABLE;
        }
        asker->len += got;
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
    char request[TIDE_HTTP_REQUEST_MAX];
    size_t head, length, len;
    enum tide_rc rc;
    char *end;

    asker->len = 0;
    rc = tide_http_request(asker->url, path, false, request, &len, err);
    if (rc == TIDE_OK)
        rc = tide_http_send(asker->channel, request, len, deadline_us, err);
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
