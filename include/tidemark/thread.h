/* Threads of the daemon: named, and deaf to signals, which are main's. So a write to a closed
 * connection is an error in the thread that made it, and no SIGPIPE. */
#ifndef TIDEMARK_THREAD_H
#define TIDEMARK_THREAD_H

#include <pthread.h>
#include "tidemark/err.h"

#define TIDE_THREAD_NAME_MAX 15 /* the kernel's bound */

/* Starts run(arg) in a thread of this name, for the caller to join. TIDE_IO: the system refuses,
 * *ret is as it was. */
enum tide_rc tide_thread_start(pthread_t *ret, const char *name, void *(*run)(void *arg), void *arg,
                               struct tide_err *err);

#endif
