/* Outcome codes and error text.
 *
 * The text is one line of bounded size. A wrap puts its noun in front and lets the tail fall off
 * when there is no room: the front says where it happened, and a cut reason is still better than a
 * cut place.
 */
#include "tidemark/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes from outside may be quoted in a text; none of them starts a new line in a log. */
static void keep_one_line(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

void tide_err_set(struct tide_err *err, const char *format, ...)
{
    char text[TIDE_ERR_SIZE]; /* apart from err: the arguments may point into err->text */
    va_list args;

    if (!err)
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    keep_one_line(text);
    memcpy(err->text, text, strlen(text) + 1);
}

void tide_err_wrap(struct tide_err *err, const char *format, ...)
{
    char text[TIDE_ERR_SIZE];
    size_t len;
    va_list args;

    if (!err)
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    keep_one_line(text);
    len = strlen(text);
    if (err->text[0] && len + 2 < sizeof(text)) {
        size_t keep = strlen(err->text), fits = sizeof(text) - len - 3;

        if (keep > fits)
            keep = fits;
        memcpy(text + len, ": ", 2);
        memcpy(text + len + 2, err->text, keep);
        text[len + 2 + keep] = '\0';
    }
    memcpy(err->text, text, strlen(text) + 1);
}

static const struct {
    const char *text;
    int exit;
} code_info[TIDE_RC_COUNT] = {
    [TIDE_OK] = {"ok", 0},
    [TIDE_NOT_FOUND] = {"not found", 1},
    [TIDE_AGAIN] = {"not yet", 1},
    [TIDE_DUPLICATE] = {"duplicate", 1},
    [TIDE_MALFORMED] = {"malformed", 1},
    [TIDE_TOO_LARGE] = {"too large", 1},
    [TIDE_USAGE] = {"wrong usage", 2},
    [TIDE_CONFIG] = {"bad configuration", 78},
    [TIDE_NO_MEMORY] = {"out of memory", 1},
    [TIDE_LOCKED] = {"locked by another process", 69},
    [TIDE_UNAVAILABLE] = {"unavailable", 69},
    [TIDE_REFUSED] = {"refused", 1},
    [TIDE_SCHEMA] = {"another schema version", 1},
    [TIDE_DAMAGED] = {"damaged", 1},
    [TIDE_DISK_FULL] = {"disk full", 74},
    [TIDE_IO] = {"input/output error", 74},
    [TIDE_IN_DOUBT] = {"outcome of the commit unknown", 74},
    [TIDE_STOPPED] = {"stopped", 1},
};

const char *tide_rc_text(enum tide_rc rc)
{
    assert((unsigned)rc < TIDE_RC_COUNT);
    return code_info[rc].text;
}

int tide_rc_exit(enum tide_rc rc)
{
    assert((unsigned)rc < TIDE_RC_COUNT);
    return code_info[rc].exit;
}
