/* What people are told of the table: its help, and the name that was probably meant. */
#include "options.h"

#include <inttypes.h>
#include <string.h>

#define NEAR_SIZE 64 /* longer names than any of ours are near to none */

/* How many letters must be put in, taken out, changed or swapped with their neighbour to make b of
 * a. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][NEAR_SIZE]; /* the row before the last, the last, this one */
    const size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len >= NEAR_SIZE || b_len >= NEAR_SIZE)
        return NEAR_SIZE;
    for (size_t k = 0; k <= b_len; k++)
        row[1][k] = k;
    for (size_t i = 1; i <= a_len; i++) {
        row[2][0] = i;
        for (size_t k = 1; k <= b_len; k++) {
            size_t best = row[1][k - 1] + (a[i - 1] != b[k - 1]);

            if (row[1][k] + 1 < best)
                best = row[1][k] + 1;
            if (row[2][k - 1] + 1 < best)
                best = row[2][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                row[0][k - 2] + 1 < best)
                best = row[0][k - 2] + 1;
            row[2][k] = best;
        }
        memcpy(row[0], row[1], sizeof(row[0]));
        memcpy(row[1], row[2], sizeof(row[1]));
    }
    return row[1][b_len];
}

bool tide_option_nearest(const char *name, char *ret, size_t size)
{
    size_t best = strlen(name) / 4 + 1;
    bool found = false;

    if (best > 4)
        best = 4;
    for (size_t i = 0; i < tide_options; i++) {
        const char *known = tide_option[i].name;
        char section[NEAR_SIZE];
        size_t d;

        /* a flag is never meant by a key, nor a key by a flag */
        if ((name[0] == '-') != (known[0] == '-'))
            continue;
        snprintf(section, sizeof(section), "%.*s", (int)strcspn(known, "."), known);
        if (!strchr(name, '.'))
            known = section;
        d = distance(name, known);
        if (d < best || (d == best && !found)) {
            best = d;
            found = true;
            snprintf(ret, size, "%s", known);
        }
    }
    return found;
}

static void help_row(FILE *out, const struct tide_option *option)
{
    char left[64], preset[64] = "";

    snprintf(left, sizeof(left), "%s%s%s", option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    if (option->preset_text)
        snprintf(preset, sizeof(preset), " [%s]", option->preset_text);
    else if (option->type == TIDE_OPTION_WHOLE)
        snprintf(preset, sizeof(preset), " [%" PRId64 "%s%s]", option->preset,
                 option->unit ? " " : "", option->unit ? option->unit : "");
    else if (option->type == TIDE_OPTION_BOOL)
        snprintf(preset, sizeof(preset), " [%s]", option->preset ? "true" : "false");
    fprintf(out, "  %-31s %s%s\n", left, option->help, preset);
}

void tide_option_help(FILE *out)
{
    fputs("usage: tidemarkd [--config FILE] [--data-dir DIR] [--forward ADDR:PORT] [--http "
          "ADDR:PORT]\n"
          "                 [--set section.key=value]... [--check-config] [--show-config] "
          "[--version] "
          "[--help]\n\n"
          "Takes module log events in the Fluentd Forward protocol, rolls them up, keeps the "
          "roll-ups\n"
          "on disk and answers questions about them over HTTP.\n\n",
          out);
    for (size_t i = 0; i < tide_options; i++) {
        if (i && tide_option[i - 1].name[0] == '-' && tide_option[i].name[0] != '-')
            fputs("\nKeys, for the file (sections are objects in it), for --set, and for the "
                  "environment as\n"
                  "TIDEMARK_SECTION_KEY. A flag beats --set, that the environment, that the "
                  "file.\n\n",
                  out);
        help_row(out, &tide_option[i]);
    }
    fputs("\nSIGNAL:", out);
    for (int i = 0; i < TIDE_SIGNAL_COUNT; i++)
        fprintf(out, " %s", tide_signal_info[i].name);
    fputs("\n\nSIGTERM and SIGINT stop it in order, SIGHUP reads the file again.\n"
          "Exit: 0 ok, 1 failed, 2 usage, 69 unavailable, 74 I/O error, 78 bad configuration.\n",
          out);
}
