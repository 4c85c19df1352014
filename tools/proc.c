/* The child shares our process group, so Ctrl-C reaches both, and PR_SET_PDEATHSIG ends it even
 * when the tool is killed. CPU comes from schedstat (nanoseconds on a core, per thread); kernels
 * without it leave the ticks of stat.
 */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "scratch.h"
#include "tidemark.h"
#include "tidemark/clock.h"

#define READY_MS 30000
#define STOP_MS  10000

enum tide_rc tide_daemon_beside(char path[TIDE_CHILD_PATH], struct tide_err *err)
{
    char self[TIDE_CHILD_PATH - 16], *slash;
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (len <= 0) {
        tide_err_set(err, "/proc/self/exe: %s", strerror(errno));
        return TIDE_IO;
    }
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    snprintf(path, TIDE_CHILD_PATH, "%s/tidemarkd", self);
    if (access(path, X_OK) != 0) {
        tide_err_set(err, "%s: %s; name the daemon with --daemon", path, strerror(errno));
        return TIDE_UNAVAILABLE;
    }
    return TIDE_OK;
}

/* In the child: never returns. */
static void child_exec(const char *daemon, const char *dir, const char *data, const char *setting,
                       int out_fd, pid_t parent)
{
    char log[TIDE_CHILD_PATH + 16];
    const char *argv[12] = {daemon,        "--data-dir", data,          "--forward",
                            "127.0.0.1:0", "--http",     "127.0.0.1:0", NULL};
    int log_fd;

    snprintf(log, sizeof log, "%s/daemon.log", dir);
    if (setting) {
        argv[7] = "--set";
        argv[8] = setting;
        argv[9] = NULL;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1); /* the parent ended before that was set */
    log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0)
        _exit(1);
    execv(daemon, (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", daemon, strerror(errno));
    _exit(1);
}

/* The last line of the child's log, for an error that means something. */
static void last_words(const struct tide_child *child, char *text, size_t size)
{
    char path[TIDE_CHILD_PATH + 16], tail[1025];
    ssize_t got = -1;
    char *line;
    int fd;

    text[0] = '\0';
    snprintf(path, sizeof path, "%s/daemon.log", child->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (lseek(fd, -(off_t)(sizeof tail - 1), SEEK_END) < 0)
        lseek(fd, 0, SEEK_SET);
    got = read(fd, tail, sizeof tail - 1);
    close(fd);
    if (got <= 0)
        return;
    tail[got] = '\0';
    while (got > 0 && tail[got - 1] == '\n')
        tail[--got] = '\0';
    line = strrchr(tail, '\n');
    snprintf(text, size, "%.400s", line ? line + 1 : tail);
}

/* "forward listening on 127.0.0.1:24224\n" -> the address. */
static bool address_of(const char *text, const char *what, char address[64])
{
    char needle[64];
    const char *at, *end;

    snprintf(needle, sizeof needle, "%s listening on ", what);
    at = strstr(text, needle);
    if (!at)
        return false;
    at += strlen(needle);
    end = strchr(at, '\n');
    if (!end || end - at >= 64)
        return false;
    memcpy(address, at, (size_t)(end - at));
    address[end - at] = '\0';
    return true;
}

static enum tide_rc ready_wait(struct tide_child *child, int fd, struct tide_err *err)
{
    int64_t deadline_us = tide_clock_mono_us() + READY_MS * INT64_C(1000);
    char text[1024] = "", words[512];
    size_t len = 0;

    while (len < sizeof text - 1) {
        enum tide_rc rc = tide_net_wait(fd, POLLIN, deadline_us);
        ssize_t got;

        if (rc == TIDE_STOPPED)
            return rc;
        if (rc != TIDE_OK)
            break;
        got = read(fd, text + len, sizeof text - 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
        text[len] = '\0';
        if (address_of(text, "forward", child->forward) && address_of(text, "http", child->http))
            return TIDE_OK;
    }
    last_words(child, words, sizeof words);
    tide_err_set(err, "the daemon did not get ready%s%s", words[0] ? ": " : "", words);
    return TIDE_UNAVAILABLE;
}

enum tide_rc tide_child_prepare(const char *parent, struct tide_child *ret, struct tide_err *err)
{
    *ret = (struct tide_child){.pid = 0};
    return tide_scratch_make(parent, ret->dir, err);
}

enum tide_rc tide_child_run(struct tide_child *child, const char *daemon, const char *data,
                            const char *setting, struct tide_err *err)
{
    pid_t self = getpid();
    enum tide_rc rc;
    int out[2];

    if (pipe2(out, O_CLOEXEC) != 0) {
        tide_err_set(err, "pipe: %s", strerror(errno));
        return TIDE_IO;
    }
    child->pid = fork();
    if (child->pid == 0)
        child_exec(daemon, child->dir, data, setting, out[1], self);
    close(out[1]);
    if (child->pid < 0) {
        tide_err_set(err, "fork: %s", strerror(errno));
        child->pid = 0;
        rc = TIDE_IO;
    } else {
        rc = ready_wait(child, out[0], err);
    }
    close(out[0]); /* the daemon prints nothing more */
    if (rc != TIDE_OK)
        tide_child_stop(child, NULL);
    return rc;
}

enum tide_rc tide_child_start(const char *daemon, const char *parent, const char *setting,
                              struct tide_child *ret, struct tide_err *err)
{
    struct tide_child child;
    char data[TIDE_CHILD_PATH + 16];
    enum tide_rc rc = tide_child_prepare(parent, &child, err);

    if (rc != TIDE_OK)
        return rc;
    snprintf(data, sizeof data, "%s/data", child.dir);
    rc = tide_child_run(&child, daemon, data, setting, err);
    if (rc != TIDE_OK) {
        tide_child_clean(&child);
        return rc;
    }
    *ret = child;
    return TIDE_OK;
}

enum tide_rc tide_child_stop(struct tide_child *child, struct tide_err *err)
{
    int64_t deadline_us = tide_clock_mono_us() + STOP_MS * INT64_C(1000);
    bool killed = false;
    int status = 0;
    pid_t got;

    if (child->pid == 0)
        return TIDE_OK;
    kill(child->pid, SIGTERM);
    while ((got = waitpid(child->pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (tide_clock_mono_us() >= deadline_us && !killed) {
            kill(child->pid, SIGKILL);
            killed = true;
        }
        poll(NULL, 0, 5); /* the condition is waitpid's; this is only its pace */
    }
    child->pid = 0;
    if (killed) {
        tide_err_set(err, "the daemon did not stop within %d s and was killed", STOP_MS / 1000);
        return TIDE_IO;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        tide_err_set(err, "the daemon ended with %s %d", WIFEXITED(status) ? "exit code" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        return TIDE_IO;
    }
    return TIDE_OK;
}

void tide_child_clean(struct tide_child *child)
{
    tide_scratch_remove(child->dir);
    child->dir[0] = '\0';
}

/* Reads a small file of /proc; false when it is not there. */
static bool slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return false;
    got = read(fd, text, size - 1);
    close(fd);
    if (got <= 0)
        return false;
    text[got] = '\0';
    return true;
}

/* Nanoseconds of one thread. */
static bool thread_cpu(pid_t pid, pid_t tid, uint64_t *ret_ns, const char **ret_source)
{
    unsigned long long ns, user, system;
    char path[64], text[1024];
    const char *after;

    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    if (slurp(path, text, sizeof text) && sscanf(text, "%llu", &ns) == 1) {
        *ret_ns = ns;
        *ret_source = "schedstat";
        return true;
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    if (!slurp(path, text, sizeof text) || !(after = strrchr(text, ')')) ||
        sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
               &system) != 2)
        return false;
    *ret_ns = (user + system) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
    *ret_source = "stat";
    return true;
}

enum tide_rc tide_cpu_read(pid_t pid, struct tide_cpu *ret)
{
    struct tide_cpu cpu = {.source = ""};
    char path[64], name[64];
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (!tasks)
        return TIDE_NOT_FOUND;
    while ((entry = readdir(tasks)) && cpu.threads < TIDE_CPU_THREADS) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        uint64_t ns;

        if (tid <= 0 || !thread_cpu(pid, tid, &ns, &cpu.source))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)pid, (int)tid);
        if (!slurp(path, name, sizeof name))
            strcpy(name, "?");
        name[strcspn(name, "\n")] = '\0';
        cpu.thread[cpu.threads].tid = tid;
        snprintf(cpu.thread[cpu.threads].name, sizeof cpu.thread[0].name, "%.16s", name);
        cpu.thread[cpu.threads].ns = ns;
        cpu.total_ns += ns;
        cpu.threads++;
    }
    closedir(tasks);
    if (cpu.threads == 0)
        return TIDE_NOT_FOUND;
    *ret = cpu;
    return TIDE_OK;
}

uint64_t tide_memory_peak(pid_t pid)
{
    unsigned long long kib;
    char path[64], text[4096];
    const char *at;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!slurp(path, text, sizeof text) || !(at = strstr(text, "VmHWM:")) ||
        sscanf(at, "VmHWM: %llu", &kib) != 1)
        return 0;
    return kib * 1024;
}

/* nftw has no context: the sum of the walk in progress. The tool walks from one thread only. */
static uint64_t walked_bytes;

static int add_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)path;
    (void)walk;
    if (kind == FTW_F)
        walked_bytes += (uint64_t)info->st_blocks * 512;
    return 0;
}

uint64_t tide_disk_bytes(const char *dir)
{
    walked_bytes = 0;
    nftw(dir, add_one, 16, FTW_PHYS | FTW_MOUNT);
    return walked_bytes;
}

bool tide_written_bytes(uint64_t *ret_bytes)
{
    unsigned long long bytes;
    const char *at;
    char text[1024];

    if (!slurp("/proc/self/io", text, sizeof text) || !(at = strstr(text, "wchar:")) ||
        sscanf(at, "wchar: %llu", &bytes) != 1)
        return false;
    *ret_bytes = bytes;
    return true;
}
