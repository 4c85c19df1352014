/* lock - see lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum tide_rc lock_take(const char *dir, int *ret_fd, struct tide_err *err)
{
    char path[1200], text[64] = "";
    enum tide_rc rc = TIDE_IO;
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "%s/lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        tide_err_set(err, "open %s: %s", path, strerror(errno));
        return TIDE_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        got = pread(fd, text, sizeof(text) - 1, 0);
        text[got < 0 ? 0 : got] = '\0';
        text[strcspn(text, "\n")] = '\0';
        tide_err_set(err, "%s is in use by %s", dir, text[0] ? text : "another process");
        rc = TIDE_LOCKED;
        goto refused;
    }
    snprintf(text, sizeof(text), "process %ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        tide_err_set(err, "write %s: %s", path, strerror(errno));
        goto refused;
    }
    *ret_fd = fd;
    return TIDE_OK;

refused:
    close(fd);
    return rc;
}
