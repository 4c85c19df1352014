/* thread - see the door. A thread inherits the mask of the one that makes it, so there is no moment
 * at which it could take a signal. */
#include "tidemark/thread.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

enum tide_rc tide_thread_start(pthread_t *ret, const char *name, void *(*run)(void *arg), void *arg,
                               struct tide_err *err)
{
    sigset_t all, before;
    pthread_t thread;
    int failed;

    assert(strlen(name) <= TIDE_THREAD_NAME_MAX);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        tide_err_set(err, "start thread %s: %s", name, strerror(failed));
        return TIDE_IO;
    }
    pthread_setname_np(thread, name);
    *ret = thread;
    return TIDE_OK;
}
