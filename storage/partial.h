/* partial - a directory that is made under another name beside the wanted one, `NAME.partial`, and
 * locked meanwhile. It gets its name when everything in it is on disk; what an attempt that was cut
 * short left behind is removed by the next.
 */
#ifndef STORAGE_PARTIAL_H
#define STORAGE_PARTIAL_H

#include <stdbool.h>
#include "tidemark/err.h"

#define PARTIAL_PATH 1200

/* The directory that is being made. */
struct partial {
    char path[PARTIAL_PATH]; /* under its other name */
    char name[PARTIAL_PATH]; /* that it will have */
    int fd;                  /* -1: it is not ours */
};

/* Writes the path of a file in a directory. */
void partial_path(char path[PARTIAL_PATH + 32], const char *dir, const char *file);

/* Takes the wanted name. TIDE_USAGE: it is none. */
enum tide_rc partial_set_names(struct partial *partial, const char *name, struct tide_err *err);

/* Makes and locks it. TIDE_LOCKED: another process does. TIDE_DUPLICATE: what is there is not ours.
 */
enum tide_rc partial_begin(struct partial *partial, struct tide_err *err);

/* Nothing is left of it. Does nothing before a begin and after an end. */
void partial_undo(struct partial *partial);

/* Gives it its name, for good. replace: an empty directory of that name may be there. */
enum tide_rc partial_end(struct partial *partial, bool replace, struct tide_err *err);

/* Whether there is nothing in a directory; one that is not there is empty. */
enum tide_rc partial_is_empty(const char *dir, bool *ret, struct tide_err *err);

#endif
