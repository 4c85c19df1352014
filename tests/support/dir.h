/* dir - a fresh directory of a test, removed with all that is in it. */
#ifndef TIDE_TEST_DIR_H
#define TIDE_TEST_DIR_H

#include <stddef.h>

/* Makes one under $TMPDIR or /tmp and writes its path. Aborts when it cannot. */
void tide_test_dir(char *path, size_t size);
void tide_test_dir_remove(const char *path);

#endif
