/* scratch - a fresh directory for a run, removed afterwards with all that is in it. */
#ifndef TIDEMARK_TOOLS_SCRATCH_H
#define TIDEMARK_TOOLS_SCRATCH_H

#include <stdint.h>
#include "tidemark/err.h"

#define TIDE_SCRATCH_PATH 4096

/* Makes tidemark-bench-XXXXXX in `parent` and writes its path. */
enum tide_rc tide_scratch_make(const char *parent, char path[TIDE_SCRATCH_PATH],
                               struct tide_err *err);

/* Removes a directory with all in it, what is mounted there left out; "" is fine. */
void tide_scratch_remove(const char *path);

/* TIDE_DISK_FULL, with a sentence, when the file system of `path` has not so many bytes free. */
enum tide_rc tide_scratch_room(const char *path, uint64_t bytes, struct tide_err *err);

#endif
