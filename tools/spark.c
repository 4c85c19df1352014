/* A column is one of eight heights of its series' largest value; zero is the lowest bar, a gap is a
 * blank, so that "nothing happened" and "nobody was there" look different.
 */
#include "spark.h"

#include <assert.h>
#include <math.h>
#include <string.h>

char *tide_spark(char text[TIDE_SPARK_SIZE], const double *value, size_t count, size_t width,
                 bool unicode)
{
    static const char ascii[] = "_.,-=+*#";
    double largest = 0;
    size_t columns = count < width ? count : width, len = 0;

    assert(width > 0 && width <= TIDE_SPARK_WIDTH);
    for (size_t i = 0; i < count; i++)
        if (isfinite(value[i]) && value[i] > largest)
            largest = value[i];
    for (size_t c = 0; c < columns; c++) {
        size_t from = c * count / columns, to = (c + 1) * count / columns;
        double high = (double)NAN;
        int level;

        for (size_t i = from; i < to; i++)
            if (isfinite(value[i]) && !(value[i] <= high))
                high = value[i];
        if (isnan(high)) {
            text[len++] = ' ';
            continue;
        }
        level = largest > 0 && high > 0 ? (int)ceil(high / largest * 8) - 1 : 0;
        level = level < 0 ? 0 : level > 7 ? 7 : level;
        if (unicode) { /* U+2581 .. U+2588 */
            text[len++] = (char)0xe2;
            text[len++] = (char)0x96;
            text[len++] = (char)(0x81 + level);
        } else {
            text[len++] = ascii[level];
        }
    }
    text[len] = '\0';
    return text;
}
