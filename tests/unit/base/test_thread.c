/* Threads of the daemon: their names, and that signals are not theirs. */
#include "tidemark/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void *blocked(void *arg)
{
    sigset_t *ret = arg;

    pthread_sigmask(SIG_SETMASK, NULL, ret);
    return NULL;
}

static void a_thread_is_deaf_to_signals_and_its_maker_as_before(void **state)
{
    static const int some[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1};
    sigset_t its, before, after;
    struct tide_err err = {""};
    pthread_t thread;

    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(tide_thread_start(&thread, "deaf", blocked, &its, &err), TIDE_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        assert_int_equal(sigismember(&its, some[i]), 1);
        assert_int_equal(sigismember(&after, some[i]), sigismember(&before, some[i]));
    }
}

static void *wait_for_leave(void *arg)
{
    pthread_mutex_t *leave = arg;

    pthread_mutex_lock(leave);
    pthread_mutex_unlock(leave);
    return NULL;
}

static void a_thread_has_its_name_when_start_returns(void **state)
{
    pthread_mutex_t leave = PTHREAD_MUTEX_INITIALIZER;
    char name[TIDE_THREAD_NAME_MAX + 1];
    struct tide_err err = {""};
    pthread_t thread;

    (void)state;
    pthread_mutex_lock(&leave);
    assert_int_equal(tide_thread_start(&thread, "fifteen-letters", wait_for_leave, &leave, &err),
                     TIDE_OK);
    assert_int_equal(pthread_getname_np(thread, name, sizeof(name)), 0);
    pthread_mutex_unlock(&leave);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(name, "fifteen-letters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_is_deaf_to_signals_and_its_maker_as_before),
        cmocka_unit_test(a_thread_has_its_name_when_start_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
