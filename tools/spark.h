/* A row of small bars: the shape of a series at a glance. */
#ifndef TIDEMARK_TOOLS_SPARK_H
#define TIDEMARK_TOOLS_SPARK_H

#include <stdbool.h>
#include <stddef.h>

#define TIDE_SPARK_WIDTH 96
#define TIDE_SPARK_SIZE  (TIDE_SPARK_WIDTH * 3 + 1)

/* Draws value[0, count) (NAN: a gap) from 0 to the largest value, one column each; more than
 * `width` of them are taken together, the largest of each column shown. width is at most
 * TIDE_SPARK_WIDTH. Returns text. */
char *tide_spark(char text[TIDE_SPARK_SIZE], const double *value, size_t count, size_t width,
                 bool unicode);

#endif
