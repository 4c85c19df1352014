/* figures - what a benchmark found, each beside the target it is meant to keep and the best that
 * was seen without a service around it; as a table or as JSON.
 */
#ifndef TIDEMARK_TOOLS_FIGURES_H
#define TIDEMARK_TOOLS_FIGURES_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#define TIDE_FIGURES_MAX 64

enum tide_unit {
    TIDE_UNIT_BYTES_EACH, /* bytes per something, one decimal */
    TIDE_UNIT_TIMES,      /* a ratio */
    TIDE_UNIT_MS,
    TIDE_UNIT_BYTES,
    TIDE_UNIT_COUNT
};

struct tide_figure {
    char name[40]; /* in JSON */
    char text[60];
    enum tide_unit unit;
    double value;      /* NAN: the store cannot do it yet */
    double target;     /* at most this; 0: none */
    const char *limit; /* best seen, as text; NULL: not known */
    char note[160];
};

struct tide_figures {
    struct tide_figure figure[TIDE_FIGURES_MAX];
    size_t count;
};

/* Adds one. A printf format and its arguments make the note, "" for none. */
void tide_figures_add(struct tide_figures *figures, const struct tide_figure *figure,
                      const char *note, ...) __attribute__((format(printf, 3, 4)));

void tide_figures_print(const struct tide_figures *figures, FILE *out);

/* [{name, value, unit, target, met, limit, note}, ...]; value null: not yet; met null: no target.
 */
json_t *tide_figures_json(const struct tide_figures *figures);

#endif
