/* secret - see secret.h. */
#include "tidemark/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>

/* At most max + 1 bytes of it, so that one too many is seen; -1 with errno. */
static ssize_t read_up_to(const char *file, char *text, size_t max)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC), reason;
    ssize_t got = fd < 0 ? -1 : 1;
    size_t len = 0;

    while (got > 0 && len <= max) {
        do
            got = read(fd, text + len, max + 1 - len);
        while (got < 0 && errno == EINTR);
        len += got > 0 ? (size_t)got : 0;
    }
    reason = errno;
    if (fd >= 0)
        close(fd);
    errno = reason;
    return got < 0 ? -1 : (ssize_t)len;
}

enum tide_rc tide_secret_read(const char *file, size_t max, char **ret, size_t *ret_len,
                              struct tide_err *err)
{
    char *text = malloc(max + 2);
    ssize_t len;

    if (!text) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    len = read_up_to(file, text, max);
    if (len < 0)
        tide_err_set(err, "%s", strerror(errno));
    else if ((size_t)len > max)
        tide_err_set(err, "expected a file of at most %zu bytes", max);
    if (len < 0 || (size_t)len > max) {
        OPENSSL_clear_free(text, max + 2);
        return TIDE_CONFIG;
    }
    text[len] = '\0';
    *ret = text;
    *ret_len = (size_t)len;
    return TIDE_OK;
}

void tide_secret_free(char *text, size_t len)
{
    OPENSSL_clear_free(text, len);
}

size_t tide_secret_line(const char *text, size_t len)
{
    const char *stop = memchr(text, '\n', len);
    size_t line = stop ? (size_t)(stop - text) : len;

    return line > 0 && text[line - 1] == '\r' ? line - 1 : line;
}

size_t tide_secret_only_line(const char *text, size_t len)
{
    const char *stop = memchr(text, '\n', len);
    size_t line = tide_secret_line(text, len);

    if (line > TIDE_SECRET_MAX || (stop && stop + 1 != text + len) || memchr(text, '\0', line))
        return 0;
    return line;
}

bool tide_secret_exposed(const char *file)
{
    struct stat about;

    return stat(file, &about) == 0 && (about.st_mode & S_IRWXO) != 0;
}
