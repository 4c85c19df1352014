/* proc - the daemon as a child process of the tool, and what the kernel says it used. */
#ifndef TIDEMARK_TOOLS_PROC_H
#define TIDEMARK_TOOLS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "scratch.h"
#include "tidemark/err.h"

#define TIDE_CPU_THREADS 128
#define TIDE_CHILD_PATH  TIDE_SCRATCH_PATH

struct tide_child {
    pid_t pid;                  /* 0: none */
    char dir[TIDE_CHILD_PATH];  /* its own fresh directory: data/ and daemon.log in it; "" when gone
                                 */
    char forward[64], http[64]; /* addresses it printed */
};

/* Makes a fresh directory under `parent`, starts `daemon` there on ports the kernel picks and waits
 * for its two lines. setting: one more `--set`, or NULL. The child is told to end when the tool
 * does. Returns  TIDE_OK; TIDE_UNAVAILABLE when it does not get ready (its last words are in err);
 * TIDE_IO, TIDE_STOPPED */
enum tide_rc tide_child_start(const char *daemon, const char *parent, const char *setting,
                              struct tide_child *ret, struct tide_err *err);

/* The same in two steps, for a daemon on a store that is made, or was there, before: the directory,
 * which tide_child_clean removes; then the daemon, with its data in `data`. */
enum tide_rc tide_child_prepare(const char *parent, struct tide_child *ret, struct tide_err *err);
enum tide_rc tide_child_run(struct tide_child *child, const char *daemon, const char *data,
                            const char *setting, struct tide_err *err);

/* SIGTERM, then SIGKILL after ten seconds, and waits. TIDE_IO when it did not end by itself with 0.
 * The directory stays. NULL-safe for a child that never started. */
enum tide_rc tide_child_stop(struct tide_child *child, struct tide_err *err);

/* Removes the child's directory with all in it. */
void tide_child_clean(struct tide_child *child);

/* The path of tidemarkd beside this very program. */
enum tide_rc tide_daemon_beside(char path[TIDE_CHILD_PATH], struct tide_err *err);

struct tide_cpu {
    uint64_t total_ns; /* of the live threads */
    size_t threads;
    struct {
        pid_t tid;
        char name[17];
        uint64_t ns;
    } thread[TIDE_CPU_THREADS];
    const char *source; /* "schedstat", or "stat" with its ticks of 10 ms */
};

/* What the threads of a process have used so far. TIDE_NOT_FOUND: no such process, or not ours to
 * look at. */
enum tide_rc tide_cpu_read(pid_t pid, struct tide_cpu *ret);

/* Peak resident bytes, or 0. */
uint64_t tide_memory_peak(pid_t pid);

/* What this process has given to write(2) and its like so far. False: the kernel does not tell. */
bool tide_written_bytes(uint64_t *ret_bytes);

/* Bytes on disk of all files below dir. */
uint64_t tide_disk_bytes(const char *dir);

#endif
