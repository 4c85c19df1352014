/* What the tests of ingest share: a committer that is a puppet, a client, and a few frames.
 *
 * The puppet defines the door functions of commit that ingest uses, so the real committer is not
 * linked. It sends parcels home in order from a thread of its own, with a chosen fate, at once or
 * when told, and keeps a note of each.
 */
#ifndef TIDEMARK_TEST_INGEST_FIXTURE_H
#define TIDEMARK_TEST_INGEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tidemark/counter.h"
#include "tidemark/ingest.h"
#include "tidemark/mailbox.h"
#include "tidemark/wire.h"

#define DEADLINE_MS 20000
#define FOR_EVER    UINT64_MAX

/* ---- the puppet ---- */

struct note {
    bool has_identity;
    struct tide_hash128 identity;
    uint16_t chunk_len;
    uint64_t stored, rejected;
};

static struct puppet {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool running;
    struct tide_parcel *first, *last;
    uint64_t allowed; /* parcels that may still go home */
    enum tide_fate fate;
    uint64_t posted, home, stored, rejected;
    uint64_t delay_us; /* before each batch */
    struct note *note;
    size_t notes, note_capacity;
} puppet = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static atomic_bool puppet_stalled;

void tide_commit_post(struct tide_commit *commit, struct tide_parcel *parcel)
{
    (void)commit;
    parcel->next = NULL;
    pthread_mutex_lock(&puppet.lock);
    if (puppet.last)
        puppet.last->next = parcel;
    else
        puppet.first = parcel;
    puppet.last = parcel;
    puppet.posted++;
    puppet.stored += parcel->books.stored;
    puppet.rejected += tide_ledger_rejected(&parcel->books);
    if (puppet.notes == puppet.note_capacity) {
        puppet.note_capacity = puppet.note_capacity ? 2 * puppet.note_capacity : 64;
        puppet.note = realloc(puppet.note, puppet.note_capacity * sizeof(*puppet.note));
    }
    puppet.note[puppet.notes++] = (struct note){
        .has_identity = parcel->has_identity,
        .identity = parcel->has_identity ? parcel->identity : (struct tide_hash128){0},
        .chunk_len = parcel->chunk_len,
        .stored = parcel->books.stored,
        .rejected = tide_ledger_rejected(&parcel->books),
    };
    pthread_cond_broadcast(&puppet.changed);
    pthread_mutex_unlock(&puppet.lock);
}

_Bool tide_commit_stalled(const struct tide_commit *commit)
{
    (void)commit;
    return atomic_load(&puppet_stalled);
}

static void *puppet_run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&puppet.lock);
    while (puppet.running) {
        struct tide_parcel *parcel = puppet.first;

        if (!parcel || puppet.allowed == 0) {
            pthread_cond_wait(&puppet.changed, &puppet.lock);
            continue;
        }
        if (puppet.delay_us) {
            pthread_mutex_unlock(&puppet.lock);
            usleep((useconds_t)puppet.delay_us);
            pthread_mutex_lock(&puppet.lock);
        }
        puppet.first = parcel->next;
        if (!puppet.first)
            puppet.last = NULL;
        if (puppet.allowed != FOR_EVER)
            puppet.allowed--;
        puppet.home++;
        parcel->next = NULL;
        parcel->fate = puppet.fate;
        tide_mailbox_put(parcel->home, parcel);
    }
    pthread_mutex_unlock(&puppet.lock);
    return NULL;
}

static void puppet_start(void)
{
    pthread_mutex_lock(&puppet.lock);
    puppet.running = true;
    puppet.first = puppet.last = NULL;
    puppet.allowed = FOR_EVER;
    puppet.fate = TIDE_FATE_COMMITTED;
    puppet.posted = puppet.home = puppet.stored = puppet.rejected = 0;
    puppet.delay_us = 0;
    puppet.notes = 0;
    atomic_store(&puppet_stalled, false);
    pthread_mutex_unlock(&puppet.lock);
    assert_int_equal(pthread_create(&puppet.thread, NULL, puppet_run, NULL), 0);
}

static void puppet_stop(void)
{
    pthread_mutex_lock(&puppet.lock);
    puppet.running = false;
    pthread_cond_broadcast(&puppet.changed);
    pthread_mutex_unlock(&puppet.lock);
    pthread_join(puppet.thread, NULL);
    free(puppet.note);
    puppet.note = NULL;
    puppet.notes = puppet.note_capacity = 0;
}

/* From now on `count` more parcels may go home. */
static inline void puppet_allow(uint64_t count)
{
    pthread_mutex_lock(&puppet.lock);
    puppet.allowed = count;
    pthread_cond_broadcast(&puppet.changed);
    pthread_mutex_unlock(&puppet.lock);
}

static inline void puppet_set_fate(enum tide_fate fate)
{
    pthread_mutex_lock(&puppet.lock);
    puppet.fate = fate;
    pthread_mutex_unlock(&puppet.lock);
}

#define PUPPET_READER(name)                 \
    static inline uint64_t name(void)       \
    {                                       \
        uint64_t value;                     \
                                            \
        pthread_mutex_lock(&puppet.lock);   \
        value = puppet.name;                \
        pthread_mutex_unlock(&puppet.lock); \
        return value;                       \
    }
PUPPET_READER(posted)
PUPPET_READER(home)
PUPPET_READER(stored)
PUPPET_READER(rejected)

static inline int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for a condition with a deadline. */
#define wait_until(condition)                                \
    do {                                                     \
        int64_t give_up_ms = now_ms() + DEADLINE_MS;         \
                                                             \
        while (!(condition)) {                               \
            if (now_ms() > give_up_ms)                       \
                fail_msg("never came true: %s", #condition); \
            poll(NULL, 0, 1);                                \
        }                                                    \
    } while (0)

/* ---- the server ---- */

static struct tide_ingest *ingest;

static void serve(struct tide_ingest_cfg cfg)
{
    struct tide_err err = {{0}};

    puppet_start();
    if (!cfg.address[0])
        snprintf(cfg.address, sizeof(cfg.address), "127.0.0.1:0");
    if (!cfg.threads)
        cfg.threads = 1;
    if (!cfg.parcels)
        cfg.parcels = 64;
    if (!cfg.max_frame_bytes)
        cfg.max_frame_bytes = 16u << 20;
    cfg.max_unpacked_bytes = 64u << 20;
    cfg.rules = (struct tide_fold_rules){
        .interval_s = 30, .lateness_s = 1u << 31, .future_s = 60, .instance_seed = 2};
    cfg.identity_seed = 3;
    if (tide_ingest_start(&cfg, NULL, &ingest, &err) != TIDE_OK)
        fail_msg("%s", err.text);
}

static int teardown(void **state)
{
    (void)state;
    if (ingest) {
        puppet_allow(FOR_EVER);
        tide_ingest_stop(ingest, DEADLINE_MS);
        puppet_stop();
    }
    ingest = NULL;
    return 0;
}

/* ---- the client ---- */

static int dial_to(const char *address)
{
    struct sockaddr_storage where = {0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&where;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&where;
    struct timeval patience = {.tv_sec = DEADLINE_MS / 1000};
    const char *colon = strrchr(address, ':');
    char host[64] = "";
    const int on = 1;
    socklen_t len;
    int fd;

    if (address[0] == '[') {
        memcpy(host, address + 1, (size_t)(colon - address) - 2);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)atoi(colon + 1));
        assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
        len = sizeof(*in6);
    } else {
        memcpy(host, address, (size_t)(colon - address));
        in4->sin_family = AF_INET;
        in4->sin_port = htons((uint16_t)atoi(colon + 1));
        assert_int_equal(inet_pton(AF_INET, host, &in4->sin_addr), 1);
        len = sizeof(*in4);
    }
    fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&where, len), 0);
    return fd;
}

static inline int dial(void)
{
    return dial_to(tide_ingest_address(ingest));
}

/* Closes with a reset instead of a FIN. */
static inline void hang_up(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void say(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

        assert_true(sent > 0);
        at += sent;
        len -= (size_t)sent;
    }
}

/* Exactly len bytes. */
static inline void hear(int fd, void *into, size_t len)
{
    char *at = into;

    while (len > 0) {
        ssize_t got = recv(fd, at, len, 0);

        assert_true(got > 0);
        at += got;
        len -= (size_t)got;
    }
}

/* The server says FIN, and has said nothing else. */
static inline void hear_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static inline bool silent(int fd)
{
    struct pollfd heard = {.fd = fd, .events = POLLIN};

    return poll(&heard, 1, 0) == 0;
}

/* ---- frames ---- */

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

static inline void put(struct bytes *bytes, const void *data, size_t len)
{
    if (len == 0)
        return;
    if (bytes->len + len > bytes->capacity) {
        bytes->capacity = 2 * (bytes->len + len);
        bytes->data = realloc(bytes->data, bytes->capacity);
        assert_non_null(bytes->data);
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

static inline void put_byte(struct bytes *bytes, unsigned byte)
{
    uint8_t one = (uint8_t)byte;

    put(bytes, &one, 1);
}

/* A str with a 16-bit length, so that any length takes the same path. */
static inline void put_str(struct bytes *bytes, const char *text, size_t len)
{
    put_byte(bytes, 0xda);
    put_byte(bytes, (unsigned)(len >> 8));
    put_byte(bytes, (unsigned)(len & 0xff));
    put(bytes, text, len);
}

static inline void put_text(struct bytes *bytes, const char *text)
{
    put_str(bytes, text, strlen(text));
}

/* [tag, 0, {"module_id": module, "duration_ms": 12}] with an option of a chunk id, or without
 * (NULL). */
static inline void put_message(struct bytes *bytes, const char *module, const char *chunk)
{
    put_byte(bytes, chunk ? 0x94 : 0x93);
    put_text(bytes, "mod.x");
    put_byte(bytes, 0x00);
    put_byte(bytes, 0x82);
    put_text(bytes, "module_id");
    put_text(bytes, module);
    put_text(bytes, "duration_ms");
    put_byte(bytes, 12);
    if (!chunk)
        return;
    put_byte(bytes, 0x81);
    put_text(bytes, "chunk");
    put_text(bytes, chunk);
}

/* What the server answers to it. */
static inline void put_ack(struct bytes *bytes, const char *chunk)
{
    put(bytes,
        "\x81\xa3"
        "ack",
        5);
    put_text(bytes, chunk);
}

/* A PackedForward request of `entries` entries, over `modules` modules PREFIX0, PREFIX1 ..., padded
 * to about min_len bytes. */
static inline void put_packed(struct bytes *bytes, const char *prefix, unsigned entries,
                              unsigned modules, size_t min_len, const char *chunk)
{
    struct tide_forward_writer *writer = tide_forward_writer_new();
    struct bytes record = {0};
    const void *frame;
    size_t frame_len;

    for (unsigned i = 0; i < entries; i++) {
        char module[16];

        record.len = 0;
        snprintf(module, sizeof(module), "%s%u", prefix, i % modules);
        put_byte(&record, 0x82);
        put_text(&record, "module_id");
        put_text(&record, module);
        put_text(&record, "message");
        if (min_len > 0) {
            char *filler = calloc(1, 60000);
            size_t len = min_len / entries < 60000 ? min_len / entries : 60000;

            memset(filler, 'x', len);
            put_str(&record, filler, len);
            free(filler);
        } else {
            put_byte(&record, 0xa0);
        }
        tide_forward_writer_add(writer, 0, record.data, record.len);
    }
    frame = tide_forward_writer_finish(writer, "mod.x", chunk, &frame_len);
    put(bytes, frame, frame_len);
    free(record.data);
    tide_forward_writer_free(writer);
}

static inline void say_bytes(int fd, struct bytes *bytes)
{
    say(fd, bytes->data, bytes->len);
    bytes->len = 0;
}

/* Sends one chunk and reads its ack. */
static inline void exchange(int fd, const char *chunk)
{
    struct bytes out = {0}, want = {0};
    uint8_t got[64];

    put_message(&out, "auth", chunk);
    say_bytes(fd, &out);
    put_ack(&want, chunk);
    assert_true(want.len <= sizeof(got));
    hear(fd, got, want.len);
    assert_memory_equal(got, want.data, want.len);
    free(out.data);
    free(want.data);
}

#endif
