/* beside - see beside.h. Both outputs of the daemon go into files in memory, so that neither has to
 * be read while the other fills.
 */
#include "beside.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"

extern char **environ;

#define SAID_MAX (16u << 20)

/* What was written to fd, terminated. */
static char *slurp(int fd)
{
    struct stat info;
    size_t size = fstat(fd, &info) == 0 && info.st_size < SAID_MAX ? (size_t)info.st_size : 0;
    char *text = malloc(size + 1);
    ssize_t got = text ? pread(fd, text, size, 0) : 0;

    if (!text)
        abort();
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static enum tide_rc run(char *const argv[], int out, int talk, int *ret_exit, struct tide_err *err)
{
    posix_spawn_file_actions_t actions;
    int code, status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, talk, STDERR_FILENO);
    code = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code) {
        tide_err_set(err, "run %s: %s", argv[0], strerror(code));
        return TIDE_UNAVAILABLE;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status)) {
        tide_err_set(err, "%s was ended by signal %d", argv[0], WTERMSIG(status));
        return TIDE_UNAVAILABLE;
    }
    *ret_exit = WEXITSTATUS(status);
    return TIDE_OK;
}

enum tide_rc tide_beside_ask(const struct tide_args *args, const char *flag, const char *file,
                             char **ret_said, int *ret_exit, struct tide_err *err)
{
    char path[TIDE_CHILD_PATH], own_flag[32], own_file[1100];
    char *argv[] = {path, own_flag, file ? own_file : NULL, NULL};
    int out = -1, talk = -1;
    enum tide_rc rc = TIDE_OK;

    if (tide_args_given(args, "daemon"))
        snprintf(path, sizeof(path), "%s", tide_args_text(args, "daemon"));
    else if ((rc = tide_daemon_beside(path, err)))
        return rc;
    snprintf(own_flag, sizeof(own_flag), "%s", flag);
    snprintf(own_file, sizeof(own_file), "--config=%s", file ? file : "");
    out = memfd_create("said", MFD_CLOEXEC);
    talk = memfd_create("talk", MFD_CLOEXEC);
    if (out < 0 || talk < 0) {
        tide_err_set(err, "a file in memory: %s", strerror(errno));
        rc = TIDE_IO;
    } else if (!(rc = run(argv, out, talk, ret_exit, err))) {
        char *words = slurp(talk);
        const char *text = words;

        *ret_said = slurp(out);
        if (strncmp(text, "tidemarkd: ", 11) == 0)
            text += 11;
        tide_err_set(err, "%.*s", (int)strcspn(text, "\n"), text);
        free(words);
    }
    if (out >= 0)
        close(out);
    if (talk >= 0)
        close(talk);
    return rc;
}

enum tide_rc tide_beside_config(const struct tide_args *args, const char *file, json_t **ret,
                                struct tide_err *err)
{
    char *said = NULL;
    json_t *object;
    int code = 0;
    enum tide_rc rc = tide_beside_ask(args, "--show-config", file, &said, &code, err);

    if (rc)
        return rc;
    object = json_loads(said, 0, NULL);
    free(said);
    if (code) {
        json_decref(object);
        return code == 78 ? TIDE_CONFIG : code == 2 ? TIDE_USAGE : TIDE_UNAVAILABLE;
    }
    *ret = json_incref(json_object_get(object, "keys"));
    json_decref(object);
    if (*ret)
        return TIDE_OK;
    tide_err_set(err, "tidemarkd does not know --show-config: of another version?");
    return TIDE_UNAVAILABLE;
}
