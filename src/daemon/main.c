/* The life of the process: configuration, signals, start, wait, stop.
 *
 * Signals are blocked before there is a second thread and picked up by sigwait, so no code ever
 * runs in a handler. While the rooms stop, a watcher thread waits in main's place: a second signal,
 * or a stop that takes too long, ends the process at once. That is safe at any moment: what was
 * acked is on disk.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "compose.h"
#include "config.h"
#include "show.h"
#include "tidemark/api.h"
#include "tidemark/ingest.h"
#include "tidemark/log.h"

#define STOP_S 5 /* a stop is over by then, one way or the other */

#define STOPPED SIGUSR1 /* from main to its watcher: the rooms are closed */

extern char **environ;

static void signals_of_interest(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    sigaddset(ret, STOPPED);
}

static void prepare_process(void)
{
    struct rlimit files;
    sigset_t set;

    signals_of_interest(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a peer that left is an error code of write, no reason to die */
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Few threads allocate often; an arena for each would hold on to memory that none uses. */
    mallopt(M_ARENA_MAX, 2);
    /* A frame or a parcel of 100 KiB to a few MiB comes and goes with every chunk: from the heap,
     * and not each time as fresh pages of the kernel (measured: 7 % of the whole server's CPU). */
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

static void *watch_stop(void *arg)
{
    const struct timespec patience = {.tv_sec = STOP_S - 1, .tv_nsec = 800000000};
    sigset_t set;
    int signal;

    (void)arg;
    signals_of_interest(&set);
    sigdelset(&set, SIGHUP);
    do
        signal = sigtimedwait(&set, NULL, &patience);
    while (signal < 0 && errno == EINTR);
    if (signal == STOPPED)
        return NULL;
    if (signal < 0)
        tide_log(TIDE_ERROR, "daemon", "stop took over %d s, leaving; what was acked is on disk",
                 STOP_S - 1);
    else
        tide_log(TIDE_WARNING, "daemon",
                 "second signal, leaving at once; what was acked is on disk");
    _exit(1);
}

static void stop(struct tide_rooms *rooms)
{
    pthread_t watcher;
    int failed = pthread_create(&watcher, NULL, watch_stop, NULL);

    if (failed)
        tide_log(TIDE_WARNING, "daemon", "stop is not watched: %s", strerror(failed));
    tide_rooms_stop(rooms);
    if (!failed) {
        pthread_kill(watcher, STOPPED);
        pthread_join(watcher, NULL);
    }
}

/* SIGHUP: the same command line, the file as it is now. *config is replaced only as a whole. */
static void reload(int argc, char **argv, struct tide_rooms *rooms, struct tide_config *config)
{
    struct tide_config fresh;
    struct tide_err err = {""};

    if (tide_config_load(argc, argv, environ, &fresh, &err)) {
        tide_log(TIDE_ERROR, "daemon", "reload changed nothing: %s", err.text);
        return;
    }
    for (size_t i = 0; i < tide_options; i++) {
        if (!tide_option[i].reload && !tide_option_same(&tide_option[i], config, &fresh))
            tide_log(TIDE_WARNING, "daemon", "reload: %s takes effect with the next start",
                     tide_option[i].name);
    }
    if (tide_rooms_reload(rooms, &fresh, &err)) {
        tide_log(TIDE_ERROR, "daemon", "reload changed nothing: %s", err.text);
        tide_config_fini(&fresh);
        return;
    }
    tide_config_fini(config);
    *config = fresh;
    tide_log(TIDE_INFO, "daemon", "configuration reloaded");
}

/* Serves until a signal ends it. */
static void wait_for_the_end(int argc, char **argv, struct tide_rooms *rooms,
                             struct tide_config *config)
{
    sigset_t set;
    int signal;

    signals_of_interest(&set);
    sigdelset(&set, STOPPED);
    for (;;) {
        if (sigwait(&set, &signal))
            continue;
        if (signal != SIGHUP)
            break;
        reload(argc, argv, rooms, config);
    }
    tide_log(TIDE_INFO, "daemon", "%s: stopping", signal == SIGTERM ? "SIGTERM" : "SIGINT");
}

static enum tide_rc run(int argc, char **argv, struct tide_config *config)
{
    struct tide_rooms rooms = {0};
    struct tide_err err = {""};
    enum tide_rc rc;

    prepare_process();
    tide_log_set_level((enum tide_level)config->log_level);
    rc = tide_rooms_start(config, &rooms, &err);
    if (rc) {
        tide_log(TIDE_ERROR, "daemon", "start: %s", err.text[0] ? err.text : tide_rc_text(rc));
        tide_rooms_stop(&rooms);
        return rc;
    }
    printf("forward listening on %s\nhttp listening on %s\n", tide_ingest_address(rooms.ingest),
           tide_api_address(rooms.api));
    fflush(stdout);
    tide_log(TIDE_INFO, "daemon", "tidemarkd %s serves %s", TIDEMARK_VERSION, config->data_dir);
    wait_for_the_end(argc, argv, &rooms, config);
    stop(&rooms);
    tide_log(TIDE_INFO, "daemon", "stopped");
    return TIDE_OK;
}

int main(int argc, char **argv)
{
    struct tide_config config;
    struct tide_err err = {""};
    enum tide_rc rc = tide_config_load(argc, argv, environ, &config, &err);

    if (!rc && !config.help && !config.version &&
        (rc = tide_ingest_check_access(&config.access, &err)))
        tide_config_fini(&config);
    if (rc) {
        fprintf(stderr, "tidemarkd: %s\n", err.text);
        return tide_rc_exit(rc);
    }
    if (config.help)
        tide_option_help(stdout);
    else if (config.version)
        printf("tidemarkd %s\n", TIDEMARK_VERSION);
    else if (config.show)
        tide_config_show(&config, stdout);
    else if (config.check)
        puts("ok");
    else
        rc = run(argc, argv, &config);
    tide_config_fini(&config);
    if (fflush(stdout) && !rc)
        rc = TIDE_IO;
    return tide_rc_exit(rc);
}
