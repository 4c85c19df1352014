/* Plays each connection with the daemon's own frame scanner and request parser, so that what the
 * clients write is judged by the code that will read it.
 */
#include "taker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"
#include "tidemark/wire.h"

#define STREAM_MAX (32 * 1024 * 1024)

/* Keeps one request; returns how many there are now. */
static size_t keep(struct tide_taker *taker, const uint8_t *bytes, size_t len,
                   const struct tide_request *request, unsigned nth)
{
    size_t count;

    pthread_mutex_lock(&taker->lock);
    if (taker->count == TIDE_TAKER_FRAMES)
        abort();
    struct tide_taken *taken = &taker->taken[taker->count++];
    taken->bytes = malloc(len);
    if (!taken->bytes)
        abort();
    memcpy(taken->bytes, bytes, len);
    taken->len = len;
    taken->nth = nth;
    if (request->chunk && request->chunk_payload_len < sizeof taken->chunk)
        memcpy(taken->chunk, request->chunk + request->chunk_len - request->chunk_payload_len,
               request->chunk_payload_len);
    count = taker->count;
    pthread_mutex_unlock(&taker->lock);
    return count;
}

/* Answers one request; false ends the connection. */
static bool answer(struct tide_taker *taker, int fd, const struct tide_request *request,
                   size_t count)
{
    uint8_t ack[TIDE_ACK_OVERHEAD + 512];
    size_t len;

    if (taker->nonsense) {
        tide_peer_write(fd, taker->nonsense, strlen(taker->nonsense));
        return true;
    }
    if (taker->mute || !request->chunk || request->chunk_len > 512)
        return true;
    len = tide_reply_ack(ack, request->chunk, request->chunk_len);
    if (count == taker->drop_at) {
        if (taker->lost_ack)
            tide_peer_write(fd, ack, len / 2);
        return false;
    }
    tide_peer_write(fd, ack, len);
    return true;
}

static void play(int fd, unsigned nth, void *context)
{
    struct tide_taker *taker = context;
    uint8_t *buffer = malloc(STREAM_MAX);
    size_t len = 0;
    bool open = buffer != NULL;

    while (open && len < STREAM_MAX) {
        ssize_t got = recv(fd, buffer + len, STREAM_MAX - len, 0);
        size_t at = 0, size;
        struct tide_frame_scan scan;

        if (got <= 0)
            break;
        len += (size_t)got;
        tide_frame_reset(&scan);
        while (open && len > at &&
               tide_frame_next(&scan, buffer + at, len - at, STREAM_MAX, &size) == TIDE_OK) {
            struct tide_request request;

            if (tide_request_parse(buffer + at, size, &request) != TIDE_OK)
                abort(); /* our own clients write nothing malformed */
            open = answer(taker, fd, &request, keep(taker, buffer + at, size, &request, nth));
            at += size;
            tide_frame_reset(&scan);
        }
        memmove(buffer, buffer + at, len - at);
        len -= at;
    }
    free(buffer);
}

struct tide_taker *tide_taker_new(void)
{
    struct tide_taker *taker = calloc(1, sizeof *taker);

    if (!taker)
        abort();
    pthread_mutex_init(&taker->lock, NULL);
    return taker;
}

void tide_taker_start(struct tide_taker *taker)
{
    taker->peer = tide_peer_start(play, taker);
}

const char *tide_taker_address(const struct tide_taker *taker)
{
    return tide_peer_address(taker->peer);
}

void tide_taker_stop(struct tide_taker *taker)
{
    tide_peer_stop(taker->peer);
    taker->peer = NULL;
}

void tide_taker_free(struct tide_taker *taker)
{
    for (size_t i = 0; i < taker->count; i++)
        free(taker->taken[i].bytes);
    pthread_mutex_destroy(&taker->lock);
    free(taker);
}
