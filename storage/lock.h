/* lock - the right to write a store: a flock on the file `lock` in its directory. */
#ifndef STORAGE_LOCK_H
#define STORAGE_LOCK_H

#include "tidemark/err.h"

/* Locks the directory and leaves our name in the lock file, for whoever is refused; closing
 * *ret_fd gives it back. TIDE_LOCKED names who has it. */
enum tide_rc lock_take(const char *dir, int *ret_fd, struct tide_err *err);

#endif
