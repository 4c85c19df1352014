/* One rule for all: pick the unit that leaves one to three digits before the point, print three
 * significant ones.
 */
#include "human.h"

#include <math.h>
#include <stdio.h>

struct unit {
    double size;
    const char *name;
};

static char *none(char *text)
{
    snprintf(text, TIDE_HUMAN_SIZE, "-");
    return text;
}

/* Three significant digits without an exponent. */
static void three(char *text, double value, const char *unit)
{
    double size = fabs(value);
    int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;

    if (value == 0)
        decimals = 0;
    snprintf(text, TIDE_HUMAN_SIZE, "%.*f%s", decimals, value, unit);
}

/* units from the largest down; the last one takes the rest. */
static char *scaled(char *text, double value, const struct unit *unit, size_t count)
{
    size_t i = 0;

    if (!isfinite(value))
        return none(text);
    while (i + 1 < count && fabs(value) < unit[i].size * 0.9995)
        i++;
    three(text, value / unit[i].size, unit[i].name);
    return text;
}

char *tide_human_count(char *text, double count)
{
    static const struct unit units[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}};

    if (!isfinite(count))
        return none(text);
    if (fabs(count) < 999999.5) {
        snprintf(text, TIDE_HUMAN_SIZE, "%.0f", count);
        return text;
    }
    return scaled(text, count, units, sizeof units / sizeof *units);
}

char *tide_human_ms(char *text, double ms)
{
    static const struct unit units[] = {
        {3600e3, " h"}, {60e3, " min"}, {1e3, " s"}, {1, " ms"}, {1e-3, " us"}};

    if (ms == 0) {
        snprintf(text, TIDE_HUMAN_SIZE, "0 ms");
        return text;
    }
    return scaled(text, ms, units, sizeof units / sizeof *units);
}

char *tide_human_bytes(char *text, double bytes)
{
    static const struct unit units[] = {
        {1099511627776.0, " TiB"}, {1073741824.0, " GiB"}, {1048576.0, " MiB"}, {1024.0, " KiB"}};

    if (isfinite(bytes) && fabs(bytes) < 1023.5) {
        snprintf(text, TIDE_HUMAN_SIZE, "%.0f B", bytes);
        return text;
    }
    return scaled(text, bytes, units, sizeof units / sizeof *units);
}

char *tide_human_percent(char *text, double percent)
{
    static const struct unit units[] = {{1, " %"}};

    return scaled(text, percent, units, 1);
}

char *tide_human_share(char *text, double share)
{
    return tide_human_percent(text, share * 100);
}

char *tide_human_rate(char *text, double per_second)
{
    static const struct unit units[] = {{1e6, " M/s"}, {1e3, " k/s"}, {1, "/s"}};

    return scaled(text, per_second, units, sizeof units / sizeof *units);
}

char *tide_human_score(char *text, double score)
{
    if (!isfinite(score))
        return none(text);
    snprintf(text, TIDE_HUMAN_SIZE, "%.0f", score);
    return text;
}

char *tide_human_span(char *text, double seconds)
{
    static const struct unit units[] = {{86400, " d"}, {3600, " h"}, {60, " min"}, {1, " s"}};

    if (isfinite(seconds) && fabs(seconds) < 60) {
        snprintf(text, TIDE_HUMAN_SIZE, "%.0f s", seconds);
        return text;
    }
    return scaled(text, seconds, units, sizeof units / sizeof *units);
}
