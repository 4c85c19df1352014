/* The window is a ring of chunks in the order they were put. `writing` counts those whose bytes are
 * wholly out on the present connection, `written` the bytes of the next one. A lost connection sets
 * both to 0: everything that is not acked goes out again, oldest first. Acks are matched by id
 * anywhere in the window, and chunks leave the ring from its front.
 */
#include "sender.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "net.h"
#include "packer.h"
#include "tidemark.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"
#include "tidemark/wire.h"

#define ACK_BYTES_MAX  4096 /* of one answer; ours are below 100 */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

struct chunk {
    uint8_t *bytes;
    size_t len, capacity;
    char id[TIDE_CHUNK_TEXT_SIZE];
    uint32_t entries;
    bool acked;
    bool sent_before; /* wholly or partly, on an earlier connection */
};

struct tide_sender {
    struct tide_sender_cfg cfg;
    char host[TIDE_HOST_SIZE];
    char port[TIDE_PORT_SIZE];
    struct chunk *ring;
    uint32_t first, count;
    uint32_t writing;             /* chunks from the front whose bytes are out */
    size_t written;               /* bytes of the next one */
    struct tide_channel *channel; /* NULL: not connected */
    uint32_t failures;
    int64_t retry_us;    /* not connected: when to try next */
    int64_t progress_us; /* last time an ack came, or that there was something to wait for */
    uint8_t in[2 * ACK_BYTES_MAX];
    size_t in_len;
    struct tide_sender_counts counts;
};

static struct chunk *chunk_at(struct tide_sender *sender, uint32_t index)
{
    return &sender->ring[(sender->first + index) % sender->cfg.window];
}

/* Some of the next chunk's bytes are out: the rest has to follow, whatever happens to the chunk. */
static bool begun(const struct tide_sender *sender)
{
    return sender->written > 0 || (sender->channel && tide_channel_begun(sender->channel));
}

/* Forgets the connection; everything unacked will be sent again. Gives up after too many failures
 * in a row. */
static enum tide_rc lost(struct tide_sender *sender, const char *why, struct tide_err *err)
{
    int64_t backoff_ms = BACKOFF_MIN_MS;

    for (uint32_t i = 0; i < sender->count && i <= sender->writing; i++)
        if (i < sender->writing || begun(sender))
            chunk_at(sender, i)->sent_before = true;
    tide_channel_close(sender->channel);
    sender->channel = NULL;
    sender->writing = 0;
    sender->written = 0;
    sender->in_len = 0;
    sender->counts.lost++;
    sender->retry_us = tide_clock_mono_us();
    if (sender->count == 0)
        return TIDE_OK; /* nothing is at stake: the next chunk connects again */
    sender->failures++;
    if (sender->cfg.retries != TIDE_RETRY_FOR_EVER && sender->failures > sender->cfg.retries) {
        tide_err_set(
            err, "%s:%s: %s; %" PRIu32 " chunks are not acked, given up after %" PRIu32 " tries",
            sender->host, sender->port, why, sender->count, sender->failures);
        return TIDE_UNAVAILABLE;
    }
    for (uint32_t i = 1; i < sender->failures && backoff_ms < BACKOFF_MAX_MS; i++)
        backoff_ms *= 2;
    if (backoff_ms > BACKOFF_MAX_MS)
        backoff_ms = BACKOFF_MAX_MS;
    sender->retry_us = tide_clock_mono_us() + backoff_ms * 1000;
    if (!sender->cfg.quiet && sender->failures == 1)
        tide_say("%s:%s: %s; trying again, %" PRIu32 " chunks are not acked", sender->host,
                 sender->port, why, sender->count);
    return TIDE_OK;
}

static enum tide_rc connect_now(struct tide_sender *sender, struct tide_err *err)
{
    int64_t deadline_us = tide_clock_mono_us() + (int64_t)sender->cfg.timeout_ms * 1000;
    enum tide_rc rc = tide_channel_open(sender->host, sender->port, sender->cfg.credentials,
                                        deadline_us, &sender->channel, err);

    if (rc == TIDE_OK)
        sender->progress_us = tide_clock_mono_us();
    return rc;
}

enum tide_rc tide_sender_open(const struct tide_sender_cfg *cfg, struct tide_sender **ret,
                              struct tide_err *err)
{
    struct tide_sender *sender = calloc(1, sizeof *sender);
    enum tide_rc rc;

    assert(cfg->window >= 1 && cfg->window <= TIDE_WINDOW_MAX);
    if (!sender)
        return TIDE_NO_MEMORY;
    sender->cfg = *cfg;
    sender->ring = calloc(cfg->window, sizeof *sender->ring);
    rc = sender->ring ? tide_net_split(cfg->address, sender->host, sender->port, err)
                      : TIDE_NO_MEMORY;
    if (rc == TIDE_OK)
        rc = connect_now(sender, err);
    if (rc != TIDE_OK) {
        if (rc == TIDE_UNAVAILABLE) {
            tide_err_wrap(err, "no daemon takes events");
            if (strlen(err->text) + 64 < sizeof err->text)
                strcat(err->text, "; start tidemarkd, or name its address with --forward");
        }
        tide_sender_close(sender);
        return rc;
    }
    *ret = sender;
    return TIDE_OK;
}

void tide_sender_close(struct tide_sender *sender)
{
    if (!sender)
        return;
    tide_channel_close(sender->channel);
    for (uint32_t i = 0; sender->ring && i < sender->cfg.window; i++)
        free(sender->ring[i].bytes);
    free(sender->ring);
    free(sender);
}

bool tide_sender_room(const struct tide_sender *sender)
{
    return sender->count < sender->cfg.window;
}

uint32_t tide_sender_waiting(const struct tide_sender *sender)
{
    return sender->count;
}

bool tide_sender_connected(const struct tide_sender *sender)
{
    return sender->channel != NULL;
}

const struct tide_sender_counts *tide_sender_counts(const struct tide_sender *sender)
{
    return &sender->counts;
}

void tide_sender_put(struct tide_sender *sender, const void *frame, size_t len,
                     const char *chunk_id, uint32_t entries)
{
    struct chunk *chunk;

    assert(tide_sender_room(sender) && strlen(chunk_id) < TIDE_CHUNK_TEXT_SIZE);
    chunk = chunk_at(sender, sender->count);
    if (chunk->capacity < len) {
        free(chunk->bytes);
        chunk->bytes = malloc(len);
        if (!chunk->bytes)
            abort();
        chunk->capacity = len;
    }
    memcpy(chunk->bytes, frame, len);
    chunk->len = len;
    strcpy(chunk->id, chunk_id);
    chunk->entries = entries;
    chunk->acked = false;
    chunk->sent_before = false;
    if (sender->count++ == 0)
        sender->progress_us = tide_clock_mono_us();
    sender->counts.chunks++;
    sender->counts.entries += entries;
}

/* Lets go of the acked chunks at the front. One that was acked while its second copy is half
 * written stays until the rest is out: the stream must not break in the middle of a request. */
static void retire(struct tide_sender *sender)
{
    while (sender->count && chunk_at(sender, 0)->acked &&
           !(sender->writing == 0 && begun(sender))) {
        sender->first = (sender->first + 1) % sender->cfg.window;
        sender->count--;
        if (sender->writing > 0)
            sender->writing--;
    }
}

/* The connection failed, in a way that trying again may mend or not. */
static enum tide_rc broken(struct tide_sender *sender, struct tide_err *err)
{
    const char *why = tide_channel_trouble(sender->channel);
    char text[256];

    if (tide_channel_refused(sender->channel)) {
        tide_err_set(err, "%s:%s refuses us: %s", sender->host, sender->port, why);
        return TIDE_REFUSED;
    }
    snprintf(text, sizeof text, "%s", why); /* the channel goes */
    return lost(sender, text, err);
}

/* Writes as much as the socket takes. */
static enum tide_rc write_some(struct tide_sender *sender, struct tide_err *err)
{
    while (sender->writing < sender->count) {
        struct chunk *chunk = chunk_at(sender, sender->writing);
        ssize_t step;

        if (chunk->acked && !begun(sender)) { /* acked after all, before its second copy began */
            sender->writing++;
            continue;
        }
        step = tide_channel_send(sender->channel, chunk->bytes + sender->written,
                                 chunk->len - sender->written);
        if (step < 0)
            return tide_channel_again(sender->channel) ? TIDE_OK : broken(sender, err);
        sender->counts.bytes += (uint64_t)step;
        sender->written += (size_t)step;
        if (sender->written == chunk->len) {
            sender->counts.resent += chunk->sent_before;
            sender->writing++;
            sender->written = 0;
        }
    }
    return TIDE_OK;
}

/* One answer, in[0, len): {"ack": id}. An id we do not wait for is the second ack of a chunk that
 * was resent. */
static enum tide_rc ack_take(struct tide_sender *sender, const uint8_t *answer, size_t len,
                             struct tide_err *err)
{
    struct tide_scalar id;

    if (!tide_is_map(answer[0]) || !tide_map_find(answer, len, "ack", &id) ||
        id.kind != TIDE_SCALAR_TEXT) {
        struct tide_helo helo;

        if (tide_helo_parse(answer, len, &helo) == TIDE_OK) {
            tide_err_set(err, "%s:%s asks for a shared key; name it with --shared-key-file",
                         sender->host, sender->port);
            return TIDE_REFUSED;
        }
        tide_err_set(err, "%s:%s answers something that is no ack", sender->host, sender->port);
        return TIDE_UNAVAILABLE;
    }
    for (uint32_t i = 0; i < sender->count; i++) {
        struct chunk *chunk = chunk_at(sender, i);

        if (!chunk->acked && strlen(chunk->id) == id.len &&
            memcmp(chunk->id, id.text, id.len) == 0) {
            chunk->acked = true;
            sender->counts.acked_chunks++;
            sender->counts.acked_entries += chunk->entries;
            sender->failures = 0;
            sender->progress_us = tide_clock_mono_us();
            break;
        }
    }
    return TIDE_OK;
}

static enum tide_rc read_some(struct tide_sender *sender, struct tide_err *err)
{
    ssize_t got = tide_channel_recv(sender->channel, sender->in + sender->in_len,
                                    sizeof sender->in - sender->in_len);
    size_t at = 0;

    if (got < 0)
        return tide_channel_again(sender->channel) ? TIDE_OK : broken(sender, err);
    if (got == 0)
        return lost(sender, "the connection was closed", err);
    sender->in_len += (size_t)got;
    while (at < sender->in_len) {
        struct tide_frame_scan scan;
        size_t size = 0;
        enum tide_rc rc;

        tide_frame_reset(&scan);
        rc = tide_frame_next(&scan, sender->in + at, sender->in_len - at, ACK_BYTES_MAX, &size);
        if (rc == TIDE_AGAIN)
            break;
        if (rc != TIDE_OK) {
            tide_err_set(err, "%s:%s does not speak the Forward protocol", sender->host,
                         sender->port);
            return TIDE_UNAVAILABLE;
        }
        rc = ack_take(sender, sender->in + at, size, err);
        if (rc != TIDE_OK)
            return rc;
        at += size;
    }
    memmove(sender->in, sender->in + at, sender->in_len - at);
    sender->in_len -= at;
    return TIDE_OK;
}

/* Milliseconds until something is due on its own, at most wait_ms (-1: no limit of the caller's).
 */
static int patience_ms(const struct tide_sender *sender, int wait_ms, int64_t now_us)
{
    int64_t due_us, ms;

    if (sender->channel && tide_channel_pending(sender->channel))
        return 0;
    if (sender->count == 0)
        return wait_ms;
    if (!sender->channel)
        due_us = sender->retry_us;
    else
        due_us = sender->progress_us + (int64_t)sender->cfg.timeout_ms * 1000;
    ms = due_us > now_us ? (due_us - now_us + 999) / 1000 : 0;
    return wait_ms >= 0 && wait_ms < ms ? wait_ms : (int)ms;
}

enum tide_rc tide_sender_step(struct tide_sender *sender, int other_fd, int wait_ms,
                              bool *ret_other, struct tide_err *err)
{
    int64_t now_us = tide_clock_mono_us();
    struct pollfd watch[2];
    enum tide_rc rc = TIDE_OK;
    bool readable;

    if (ret_other)
        *ret_other = false;
    if (!sender->channel && sender->count > 0 && now_us >= sender->retry_us) {
        struct tide_err why = {""};

        rc = connect_now(sender, &why);
        if (rc == TIDE_UNAVAILABLE)
            rc = lost(sender, why.text, err);
        else if (rc != TIDE_OK && err)
            *err = why;
        if (rc != TIDE_OK)
            return rc;
        now_us = tide_clock_mono_us();
    }
    /* a negative fd is skipped */
    watch[0] = (struct pollfd){.fd = sender->channel ? tide_channel_fd(sender->channel) : -1,
                               .events = POLLIN};
    if (sender->writing < sender->count)
        watch[0].events |= POLLOUT;
    watch[1] = (struct pollfd){.fd = other_fd, .events = POLLIN};
    if (tide_stopping)
        return TIDE_STOPPED;
    if (poll(watch, 2, patience_ms(sender, wait_ms, now_us)) <= 0)
        watch[0].revents = watch[1].revents = 0;
    if (tide_stopping)
        return TIDE_STOPPED;
    if (watch[1].revents && ret_other)
        *ret_other = true;
    readable = sender->channel && ((watch[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 ||
                                   tide_channel_pending(sender->channel));
    if (readable)
        rc = read_some(sender, err);
    if (rc == TIDE_OK && sender->channel && (watch[0].revents & POLLOUT))
        rc = write_some(sender, err);
    retire(sender);
    if (rc == TIDE_OK && sender->channel && sender->count > 0 &&
        tide_clock_mono_us() - sender->progress_us >= (int64_t)sender->cfg.timeout_ms * 1000)
        rc = lost(sender, "no ack in time", err);
    return rc;
}

enum tide_rc tide_sender_drain(struct tide_sender *sender, uint32_t most, struct tide_err *err)
{
    while (sender->count >= most && sender->count > 0) {
        enum tide_rc rc = tide_sender_step(sender, -1, -1, NULL, err);

        if (rc != TIDE_OK)
            return rc;
    }
    return TIDE_OK;
}

void tide_chunk_text(char text[TIDE_CHUNK_TEXT_SIZE], const char producer[33], uint64_t epoch,
                     uint64_t seq)
{
    snprintf(text, TIDE_CHUNK_TEXT_SIZE, "v1:%.32s:%" PRIu64 ":%" PRIu64, producer, epoch, seq);
}

static void hex_of(const uint8_t bytes[16], char producer[33])
{
    for (int i = 0; i < 16; i++)
        sprintf(producer + 2 * i, "%02x", bytes[i]);
}

void tide_producer_random(char producer[33])
{
    uint8_t bytes[16];

    tide_random(bytes, sizeof bytes);
    hex_of(bytes, producer);
}

void tide_producer_from(const char *name, char producer[33])
{
    struct tide_hash_part part = {name, strlen(name)};
    struct tide_hash128 hash;
    uint8_t bytes[16];

    if (part.len == 32 && strspn(name, "0123456789abcdef") == 32) {
        memcpy(producer, name, 33);
        return;
    }
    /* The seed is part of what `--producer NAME` means and never changes. */
    hash = tide_hash128_parts(UINT64_C(0x7469646570726f64), &part, 1);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(hash.high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(hash.low >> (56 - 8 * i));
    }
    hex_of(bytes, producer);
}
