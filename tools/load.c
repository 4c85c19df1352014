/* A connection writes while fewer than `window` chunks are unacked, taking in what acks are there
 * after each; then it waits for the next one. The acks have one length, so they are compared, not
 * parsed.
 */
#include "load.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "channel.h"
#include "net.h"
#include "packer.h"
#include "rng.h"
#include "tidemark.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"
#include "tidemark/wire.h"

#define ID_SIZE  24
#define ACK_SIZE (TIDE_ACK_OVERHEAD + 1 + ID_SIZE)
#define STENCILS 2

struct stencil {
    uint8_t *bytes;
    size_t len;
    size_t id_at;    /* of the chunk id */
    size_t *time_at; /* of each entry's EventTime */
    uint32_t operations;
    int64_t second; /* that the times say */
};

struct connection {
    struct run *run;
    pthread_t thread;
    uint32_t index;
    uint64_t chunks; /* to send */
    struct tide_channel *channel;
    struct stencil stencil[STENCILS];
    int64_t start_us; /* of its first byte: what the pace counts from */
    int64_t *sent_us; /* ring of `window` */
    uint64_t sent, acked;
    uint64_t operations, bytes;
    uint32_t *latency_us;
    uint8_t in[ACK_SIZE * 64];
    size_t in_len;
    enum tide_rc rc;
    struct tide_err err;
};

struct run {
    const struct tide_load_cfg *cfg;
    uint64_t id; /* of this run, so that two runs never share a chunk id */
    pthread_barrier_t ready, go;
    atomic_bool failed;
    atomic_ullong acked; /* chunks, over all connections: for the one who watches */
    struct connection *connection;
};

static void id_make(char id[ID_SIZE + 1], const struct run *run, uint32_t connection, uint64_t seq)
{
    snprintf(id, ID_SIZE + 1, "%010" PRIx64 "%04" PRIx32 "%010" PRIx64, run->id & 0xffffffffff,
             connection & 0xffff, seq & 0xffffffffff);
}

/* One event of nine fields (about 200 bytes), or of three. Returns true when it counts as a
 * request. */
static bool event_pack(struct tide_packer *pack, struct tide_rng *rng, uint32_t modules, bool lean)
{
    static const struct {
        const char *name;
        uint32_t below; /* of 100 */
    } kinds[] = {
        {"request", 45}, {"response", 88}, {"error", 92}, {"performance", 97}, {"health", 100}};
    uint32_t draw = tide_rng_below(rng, 100), kind = 0;
    char text[48];

    while (draw >= kinds[kind].below)
        kind++;
    pack->len = 0;
    tide_packer_map(pack, lean ? 3 : 9);
    tide_packer_text(pack, "module_id");
    snprintf(text, sizeof text, "svc-module-%03" PRIu32, tide_rng_below(rng, modules));
    tide_packer_text(pack, text);
    tide_packer_text(pack, "event");
    tide_packer_text(pack, lean ? "response" : kinds[kind].name);
    tide_packer_text(pack, "duration_ms");
    tide_packer_double(pack, exp(2.5 + 1.1 * tide_rng_normal(rng)));
    if (lean)
        return true;
    tide_packer_text(pack, "success");
    tide_packer_bool(pack, tide_rng_below(rng, 50) != 0);
    tide_packer_text(pack, "memory_bytes");
    tide_packer_int(pack, 50000000 + (int64_t)tide_rng_below(rng, 400000000));
    tide_packer_text(pack, "cpu_percent");
    tide_packer_double(pack, 100 * tide_rng_unit(rng));
    tide_packer_text(pack, "goroutines");
    tide_packer_int(pack, 20 + (int64_t)tide_rng_below(rng, 600));
    tide_packer_text(pack, "db_connections");
    tide_packer_int(pack, (int64_t)tide_rng_below(rng, 60));
    tide_packer_text(pack, "correlation_id");
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, tide_rng_next(rng),
             tide_rng_next(rng));
    tide_packer_text(pack, text);
    return kind < 2;
}

/* Builds one chunk and finds in its bytes what changes from sending to sending. */
static enum tide_rc stencil_build(struct stencil *stencil, const struct tide_load_cfg *cfg,
                                  struct tide_rng *rng)
{
    struct tide_forward_writer *writer = tide_forward_writer_new();
    int64_t now_us = tide_clock_wall_us();
    struct tide_packer pack = {NULL, 0, 0};
    const char *tag, *payload;
    size_t tag_len, tag_used, payload_len, used, at = 0;
    const uint8_t *frame, *id;
    enum tide_rc rc = TIDE_NO_MEMORY;
    bool known;

    stencil->time_at = calloc(cfg->per_chunk, sizeof *stencil->time_at);
    if (!stencil->time_at)
        goto out;
    for (uint32_t i = 0; i < cfg->per_chunk; i++) {
        stencil->operations += event_pack(&pack, rng, cfg->modules, cfg->lean);
        tide_forward_writer_add(writer, now_us / 1000000 * 1000000 + tide_rng_below(rng, 1000000),
                                pack.bytes, pack.len);
        stencil->time_at[i] = at + 3; /* behind array(2) and the head of the extension */
        at = tide_forward_writer_size(writer);
    }
    frame = tide_forward_writer_finish(writer, "bench", "------------------------", &stencil->len);
    stencil->bytes = malloc(stencil->len);
    if (!stencil->bytes)
        goto out;
    memcpy(stencil->bytes, frame, stencil->len);
    rc = TIDE_OK;
    known = tide_read_text(stencil->bytes + 1, stencil->len - 1, &tag, &tag_len, &tag_used) &&
            tide_read_text(stencil->bytes + 1 + tag_used, stencil->len - 1 - tag_used, &payload,
                           &payload_len, &used);
    assert(known); /* we wrote it ourselves */
    at = (size_t)((const uint8_t *)payload - stencil->bytes);
    for (uint32_t i = 0; i < cfg->per_chunk; i++) {
        stencil->time_at[i] += at;
        assert(stencil->bytes[stencil->time_at[i] - 2] == 0xd7);
    }
    id = memmem(payload + payload_len, stencil->len - at - payload_len, "------------------------",
                ID_SIZE);
    assert(id != NULL);
    stencil->id_at = (size_t)(id - stencil->bytes);
    stencil->second = now_us / 1000000;
out:
    tide_packer_fini(&pack);
    tide_forward_writer_free(writer);
    return rc;
}

/* The entries say the present second; what they say within it stays. */
static void stencil_date(struct stencil *stencil, uint32_t per_chunk, int64_t second)
{
    uint32_t bits = __builtin_bswap32((uint32_t)second);

    if (stencil->second == second)
        return;
    stencil->second = second;
    for (uint32_t i = 0; i < per_chunk; i++)
        memcpy(stencil->bytes + stencil->time_at[i], &bits, sizeof bits);
}

static void fail(struct connection *connection, enum tide_rc rc, const char *text)
{
    connection->rc = rc;
    tide_err_set(&connection->err, "connection %" PRIu32 ": %s", connection->index, text);
    atomic_store(&connection->run->failed, true);
}

static void broken(struct connection *connection)
{
    fail(connection, tide_channel_refused(connection->channel) ? TIDE_REFUSED : TIDE_UNAVAILABLE,
         tide_channel_trouble(connection->channel));
}

static bool wait_for(struct connection *connection, short events, const char *what)
{
    int64_t deadline_us = tide_clock_mono_us() + connection->run->cfg->timeout_ms * INT64_C(1000);
    enum tide_rc rc = tide_channel_wait(connection->channel, events, deadline_us);

    if (rc == TIDE_OK)
        return true;
    fail(connection, rc == TIDE_STOPPED ? rc : TIDE_UNAVAILABLE,
         rc == TIDE_STOPPED ? "interrupted" : what);
    return false;
}

/* Books every whole ack in the buffer. */
static bool acks_take(struct connection *connection)
{
    static const uint8_t head[] = {0x81, 0xa3, 'a', 'c', 'k', 0xa0 | ID_SIZE};
    uint32_t window = connection->run->cfg->window;
    int64_t now_us = tide_clock_mono_us();
    size_t at = 0;

    for (; connection->in_len - at >= ACK_SIZE; at += ACK_SIZE) {
        char id[ID_SIZE + 1];

        id_make(id, connection->run, connection->index, connection->acked);
        if (connection->acked == connection->sent ||
            memcmp(connection->in + at, head, sizeof head) != 0 ||
            memcmp(connection->in + at + sizeof head, id, ID_SIZE) != 0) {
            if (connection->in[at] == 0x92)
                fail(connection, TIDE_REFUSED,
                     "the daemon asks for a shared key; name it with --shared-key-file");
            else
                fail(connection, TIDE_MALFORMED, "the answer is not the ack of the next chunk");
            return false;
        }
        connection->latency_us[connection->acked] =
            (uint32_t)(now_us - connection->sent_us[connection->acked % window]);
        connection->acked++;
    }
    atomic_fetch_add_explicit(&connection->run->acked, at / ACK_SIZE, memory_order_relaxed);
    memmove(connection->in, connection->in + at, connection->in_len - at);
    connection->in_len -= at;
    return true;
}

/* Takes what acks are there; with `wait`, at least one read. */
static bool acks_read(struct connection *connection, bool wait)
{
    ssize_t got;

    for (;;) {
        got = tide_channel_recv(connection->channel, connection->in + connection->in_len,
                                sizeof connection->in - connection->in_len);
        if (got > 0) {
            connection->in_len += (size_t)got;
            return acks_take(connection);
        }
        if (got == 0) {
            fail(connection, TIDE_UNAVAILABLE, "closed by the server");
            return false;
        }
        if (!tide_channel_again(connection->channel)) {
            broken(connection);
            return false;
        }
        if (!wait)
            return true;
        if (!wait_for(connection, POLLIN, "no ack in time"))
            return false;
    }
}

/* Waits until it is time to write what lies behind byte `done` of the chunk, taking in acks
 * meanwhile. A connection that is late does not wait, so the rate is kept on the whole. */
static bool pace(struct connection *connection, size_t done, size_t len)
{
    const struct tide_load_cfg *cfg = connection->run->cfg;
    double events = ((double)connection->sent + (double)done / (double)len) * cfg->per_chunk;
    double per_event_us = 1e6 * cfg->connections / (double)cfg->rate;
    int64_t due_us = connection->start_us + (int64_t)(events * per_event_us);

    while (due_us > tide_clock_mono_us()) {
        enum tide_rc rc = tide_channel_wait(connection->channel, POLLIN, due_us);

        if (rc == TIDE_AGAIN)
            return true;
        if (rc != TIDE_OK) {
            fail(connection, rc, "interrupted");
            return false;
        }
        if (!acks_read(connection, false))
            return false;
    }
    return true;
}

/* Writes all of data; how long it takes is the server's business. */
static bool write_all(struct connection *connection, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t step = tide_channel_send(connection->channel, data, len);

        if (step > 0) {
            data += step;
            len -= (size_t)step;
        } else if (!tide_channel_again(connection->channel)) {
            broken(connection);
            return false;
        } else if (!wait_for(connection, POLLOUT, "the server takes no more")) {
            return false;
        }
    }
    return true;
}

static bool chunk_send(struct connection *connection)
{
    const struct tide_load_cfg *cfg = connection->run->cfg;
    struct stencil *stencil = &connection->stencil[connection->sent % STENCILS];
    size_t step = cfg->rate ? cfg->write_bytes : stencil->len;
    char id[ID_SIZE + 1];

    id_make(id, connection->run, connection->index, connection->sent);
    memcpy(stencil->bytes + stencil->id_at, id, ID_SIZE);
    stencil_date(stencil, cfg->per_chunk, tide_clock_wall_us() / 1000000);
    for (size_t done = 0; done < stencil->len; done += step) {
        size_t left = stencil->len - done;

        if (cfg->rate && !pace(connection, done, stencil->len))
            return false;
        if (left <= step)
            connection->sent_us[connection->sent % cfg->window] = tide_clock_mono_us();
        if (!write_all(connection, stencil->bytes + done, left < step ? left : step))
            return false;
    }
    connection->sent++;
    connection->operations += stencil->operations;
    connection->bytes += stencil->len;
    return true;
}

static enum tide_rc prepare(struct connection *connection)
{
    const struct tide_load_cfg *cfg = connection->run->cfg;
    struct tide_rng rng = {cfg->seed + UINT64_C(0x632be59bd9b4e019) * (connection->index + 1)};
    int64_t deadline_us = tide_clock_mono_us() + cfg->timeout_ms * INT64_C(1000);
    char host[TIDE_HOST_SIZE], port[TIDE_PORT_SIZE];
    enum tide_rc rc;

    connection->sent_us = calloc(cfg->window, sizeof *connection->sent_us);
    connection->latency_us = calloc(connection->chunks + 1, sizeof *connection->latency_us);
    if (!connection->sent_us || !connection->latency_us)
        return TIDE_NO_MEMORY;
    for (int t = 0; t < STENCILS; t++) {
        rc = stencil_build(&connection->stencil[t], cfg, &rng);
        if (rc != TIDE_OK)
            return rc;
    }
    rc = tide_net_split(cfg->address, host, port, &connection->err);
    if (rc == TIDE_OK)
        rc = tide_channel_open(host, port, cfg->credentials, deadline_us, &connection->channel,
                               &connection->err);
    return rc;
}

static void *connection_main(void *of)
{
    struct connection *connection = of;
    struct run *run = connection->run;
    uint32_t window = run->cfg->window;

    connection->rc = prepare(connection);
    if (connection->rc != TIDE_OK)
        atomic_store(&run->failed, true);
    pthread_barrier_wait(&run->ready);
    pthread_barrier_wait(&run->go);
    connection->start_us = tide_clock_mono_us();
    if (run->cfg->rate) /* not all at the same moment */
        connection->start_us +=
            (int64_t)(1e6 * connection->index * run->cfg->per_chunk / (double)run->cfg->rate);
    while (!atomic_load_explicit(&run->failed, memory_order_relaxed) &&
           connection->acked < connection->chunks) {
        bool full = connection->sent - connection->acked >= window ||
                    connection->sent == connection->chunks;

        if (!full && !chunk_send(connection))
            break;
        if (!acks_read(connection, full))
            break;
    }
    return NULL;
}

static void connection_fini(struct connection *connection)
{
    tide_channel_close(connection->channel);
    for (int t = 0; t < STENCILS; t++) {
        free(connection->stencil[t].bytes);
        free(connection->stencil[t].time_at);
    }
    free(connection->sent_us);
    free(connection->latency_us);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t own_cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static enum tide_rc result_gather(const struct run *run, struct tide_load_result *result,
                                  struct tide_err *err)
{
    const struct tide_load_cfg *cfg = run->cfg;

    for (uint32_t i = 0; i < cfg->connections; i++) {
        const struct connection *connection = &run->connection[i];

        if (connection->rc != TIDE_OK) {
            if (err)
                *err = connection->err;
            return connection->rc;
        }
    }
    result->latency_us = calloc(cfg->chunks + 1, sizeof *result->latency_us);
    if (!result->latency_us)
        return TIDE_NO_MEMORY;
    for (uint32_t i = 0; i < cfg->connections; i++) {
        const struct connection *connection = &run->connection[i];

        memcpy(result->latency_us + result->chunks, connection->latency_us,
               connection->acked * sizeof *result->latency_us);
        result->chunks += connection->acked;
        result->operations += connection->operations;
        result->bytes += connection->bytes;
    }
    result->events = result->chunks * cfg->per_chunk;
    qsort(result->latency_us, result->chunks, sizeof *result->latency_us, by_value);
    return TIDE_OK;
}

/* Joins, looking up now and then to say how far it is. */
static void join(struct run *run, pthread_t thread)
{
    struct timespec until;

    do {
        int64_t wall_us = tide_clock_wall_us() + 200000;

        until = (struct timespec){.tv_sec = wall_us / 1000000,
                                  .tv_nsec = (long)(wall_us % 1000000) * 1000};
        if (run->cfg->watch)
            run->cfg->watch(run->cfg->context, atomic_load(&run->acked));
    } while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
}

enum tide_rc tide_load_run(const struct tide_load_cfg *cfg, struct tide_load_result *ret,
                           struct tide_err *err)
{
    struct run run = {.cfg = cfg};
    struct tide_load_result result = {.latency_us = NULL};
    int64_t start_us;
    uint64_t start_cpu_ns;
    enum tide_rc rc;

    assert(cfg->connections >= 1 && cfg->connections <= TIDE_LOAD_CONNECTIONS_MAX);
    tide_random(&run.id, sizeof run.id);
    run.connection = calloc(cfg->connections, sizeof *run.connection);
    if (!run.connection)
        return TIDE_NO_MEMORY;
    pthread_barrier_init(&run.ready, NULL, cfg->connections + 1);
    pthread_barrier_init(&run.go, NULL, cfg->connections + 1);
    for (uint32_t i = 0; i < cfg->connections; i++) {
        struct connection *connection = &run.connection[i];

        *connection = (struct connection){.run = &run,
                                          .index = i,
                                          .chunks = cfg->chunks / cfg->connections +
                                                    (i < cfg->chunks % cfg->connections)};
        if (pthread_create(&connection->thread, NULL, connection_main, connection) != 0)
            abort(); /* the barriers count on every one of them */
    }
    pthread_barrier_wait(&run.ready);
    if (cfg->begin && !atomic_load(&run.failed))
        cfg->begin(cfg->context);
    start_cpu_ns = own_cpu_ns();
    start_us = tide_clock_mono_us();
    pthread_barrier_wait(&run.go);
    for (uint32_t i = 0; i < cfg->connections; i++)
        join(&run, run.connection[i].thread);
    result.seconds = (double)(tide_clock_mono_us() - start_us) / 1e6;
    result.sender_cpu_ns = own_cpu_ns() - start_cpu_ns;
    if (cfg->end)
        cfg->end(cfg->context);
    rc = result_gather(&run, &result, err);
    for (uint32_t i = 0; i < cfg->connections; i++)
        connection_fini(&run.connection[i]);
    free(run.connection);
    pthread_barrier_destroy(&run.ready);
    pthread_barrier_destroy(&run.go);
    if (rc == TIDE_OK)
        *ret = result;
    return rc;
}

void tide_load_result_fini(struct tide_load_result *result)
{
    free(result->latency_us);
    result->latency_us = NULL;
}

uint32_t tide_load_latency_us(const struct tide_load_result *result, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)result->chunks);

    if (result->chunks == 0)
        return 0;
    return result->latency_us[rank ? rank - 1 : 0];
}
