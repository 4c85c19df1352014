/* A strict reader of JSON with comments that knows where it is. It builds no tree: it tells what it
 * meets. */
#ifndef TIDEMARK_DAEMON_READER_H
#define TIDEMARK_DAEMON_READER_H

#include <stddef.h>
#include "options.h"
#include "tidemark/err.h"

#define TIDE_READER_DEPTH   8    /* objects in objects */
#define TIDE_READER_MEMBERS 1024 /* keys in one object */
#define TIDE_READER_BYTES   (1024 * 1024)

struct tide_place {
    unsigned line, column; /* from 1; columns are characters */
};

/* The keys that lead to a value, outermost first. */
struct tide_path {
    char *part[TIDE_READER_DEPTH];
    size_t depth;
};

/* Both return TIDE_OK to go on; otherwise they set err to what is wrong, and the reader puts place
 * and path in front. */
struct tide_reader_calls {
    /* A key was read; its value is next. The last part of path is the key. */
    enum tide_rc (*key)(void *arg, const struct tide_path *path, struct tide_place place,
                        struct tide_err *err);
    /* A value was met: a scalar, or the opening of an object, whose members follow. */
    enum tide_rc (*value)(void *arg, const struct tide_path *path, struct tide_place place,
                          const struct tide_value *value, struct tide_err *err);
};

/* Reads one whole value. name stands in front of every message: "FILE:LINE:COLUMN: key: ...". base,
 * if given, are the parts that lead to the text. Returns TIDE_OK, TIDE_CONFIG or TIDE_NO_MEMORY. */
enum tide_rc tide_reader_run(const char *name, const char *text, size_t len,
                             const struct tide_path *base, const struct tide_reader_calls *calls,
                             void *arg, struct tide_err *err);

/* Writes "aggregation.interval_s" into text; cut when too long. */
void tide_path_text(const struct tide_path *path, char *text, size_t size);

/* The type of a value that stands alone, as in --set: a JSON number, true, false, null, or else a
 * string. */
struct tide_value tide_value_of(const char *text);

#endif
