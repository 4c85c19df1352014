/* A bounded queue between threads with a file descriptor for a bell.
 *
 * The bell (an eventfd) is rung when an object goes into an empty queue and silenced by a taker
 * that leaves the queue empty, both under the lock. So whenever something waits the bell has been
 * rung, and who has put an object never touches the mailbox again once it can be taken.
 */
#include "tidemark/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tidemark/clock.h"

struct tide_mailbox {
    pthread_mutex_t lock;
    int bell;
    size_t capacity;
    size_t first; /* oldest object */
    size_t count;
    void *object[];
};

enum tide_rc tide_mailbox_new(size_t capacity, struct tide_mailbox **ret, struct tide_err *err)
{
    struct tide_mailbox *mailbox;
    int bell;

    assert(capacity > 0 && capacity <= SIZE_MAX / 2 / sizeof(void *));
    bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell < 0) {
        tide_err_set(err, "mailbox: eventfd: %s", strerror(errno));
        return TIDE_IO;
    }
    mailbox = malloc(sizeof(*mailbox) + capacity * sizeof(mailbox->object[0]));
    if (!mailbox) {
        tide_err_set(err, "mailbox of %zu: out of memory", capacity);
        close(bell);
        return TIDE_NO_MEMORY;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->bell = bell;
    mailbox->capacity = capacity;
    mailbox->first = 0;
    mailbox->count = 0;
    *ret = mailbox;
    return TIDE_OK;
}

void tide_mailbox_free(struct tide_mailbox *mailbox)
{
    if (!mailbox)
        return;
    close(mailbox->bell);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

/* The counter of an eventfd cannot fill up in practice, and a full one is a ringing one. */
static void ring(struct tide_mailbox *mailbox)
{
    const uint64_t one = 1;

    while (write(mailbox->bell, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* Lock held, queue empty. */
static void silence(struct tide_mailbox *mailbox)
{
    uint64_t rung;

    assert(mailbox->count == 0);
    while (read(mailbox->bell, &rung, sizeof(rung)) < 0 && errno == EINTR)
        ;
}

void tide_mailbox_put_many(struct tide_mailbox *mailbox, void *const *object, size_t count)
{
    _Bool was_empty;
    size_t at;

    if (count == 0)
        return;
    pthread_mutex_lock(&mailbox->lock);
    assert(count <= mailbox->capacity - mailbox->count);
    was_empty = mailbox->count == 0;
    at = mailbox->first + mailbox->count;
    for (size_t i = 0; i < count; i++) {
        if (at >= mailbox->capacity)
            at -= mailbox->capacity;
        mailbox->object[at++] = object[i];
    }
    mailbox->count += count;
    /* Under the lock: once it is free the taker may have taken the last object and freed the
     * mailbox. */
    if (was_empty)
        ring(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
}

void tide_mailbox_put(struct tide_mailbox *mailbox, void *object)
{
    tide_mailbox_put_many(mailbox, &object, 1);
}

size_t tide_mailbox_take(struct tide_mailbox *mailbox, void **object, size_t max)
{
    size_t count;

    pthread_mutex_lock(&mailbox->lock);
    count = mailbox->count < max ? mailbox->count : max;
    for (size_t i = 0; i < count; i++) {
        object[i] = mailbox->object[mailbox->first++];
        if (mailbox->first == mailbox->capacity)
            mailbox->first = 0;
    }
    mailbox->count -= count;
    if (mailbox->count == 0)
        silence(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}

static size_t waiting(struct tide_mailbox *mailbox, _Bool may_silence)
{
    size_t count;

    pthread_mutex_lock(&mailbox->lock);
    count = mailbox->count;
    if (count == 0 && may_silence)
        silence(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}

size_t tide_mailbox_wait(struct tide_mailbox *mailbox, int timeout_ms)
{
    struct pollfd bell = {.fd = mailbox->bell, .events = POLLIN};
    const int64_t start_us = tide_clock_mono_us();
    size_t count = waiting(mailbox, 0);
    int left_ms = timeout_ms;

    if (count)
        return count;
    while (poll(&bell, 1, left_ms) < 0) {
        assert(errno == EINTR);
        if (timeout_ms > 0) {
            int64_t spent_ms = (tide_clock_mono_us() - start_us) / 1000;

            left_ms = spent_ms < timeout_ms ? timeout_ms - (int)spent_ms : 0;
        }
    }
    /* A bell without an object was a wake-up for this wait, and is used up by it. */
    return waiting(mailbox, 1);
}

void tide_mailbox_wake(struct tide_mailbox *mailbox)
{
    ring(mailbox);
}

int tide_mailbox_fd(const struct tide_mailbox *mailbox)
{
    return mailbox->bell;
}
