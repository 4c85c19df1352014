/* A bounded queue between threads, with a file descriptor that becomes readable when something
 * arrives. Many may put, one takes. A mailbox never drops: whoever posts holds an object from a
 * bounded pool, so capacity is the sum of those pools and overflow is a bug (asserted).
 */
#ifndef TIDEMARK_MAILBOX_H
#define TIDEMARK_MAILBOX_H

#include <stddef.h>
#include "tidemark/err.h"

struct tide_mailbox;

enum tide_rc tide_mailbox_new(size_t capacity, struct tide_mailbox **ret, struct tide_err *err);
void tide_mailbox_free(struct tide_mailbox *mailbox); /* NULL is fine; must be empty or abandoned */

/* Posts one object; wakes the taker when the mailbox was empty. */
void tide_mailbox_put(struct tide_mailbox *mailbox, void *object);

/* Posts several at once, in order: one lock, at most one wake-up. */
void tide_mailbox_put_many(struct tide_mailbox *mailbox, void *const *object, size_t count);

/* Takes up to max objects, oldest first, without waiting; returns how many. Clears the wake-up when
 * it leaves the mailbox empty. */
size_t tide_mailbox_take(struct tide_mailbox *mailbox, void **object, size_t max);

/* Waits until something is there, tide_mailbox_wake was called, or timeout_ms passed (-1: for
 * ever). Returns the number of objects waiting. */
size_t tide_mailbox_wait(struct tide_mailbox *mailbox, int timeout_ms);

/* Ends the current or the next wait early without an object. */
void tide_mailbox_wake(struct tide_mailbox *mailbox);

/* Readable while the mailbox is not empty or was woken; for an event loop. Call take when it fires.
 */
int tide_mailbox_fd(const struct tide_mailbox *mailbox);

#endif
