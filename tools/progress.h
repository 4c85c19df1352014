/* How far a long command is: a line that is drawn over on a TTY, or one JSON object a second for
 * scripts. On stderr.
 */
#ifndef TIDEMARK_TOOLS_PROGRESS_H
#define TIDEMARK_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A row for the options of a command that shows progress. */
#define TIDE_OPTION_PROGRESS                                                                      \
    {                                                                                             \
        "progress", "auto|json|none", "auto", "auto: a bar on a terminal; json: a line a second", \
            TIDE_OPTION_CHOICE, 0, 0                                                              \
    }

enum tide_progress_mode { TIDE_PROGRESS_NONE, TIDE_PROGRESS_BAR, TIDE_PROGRESS_JSON };

struct tide_progress {
    enum tide_progress_mode mode;
    const char *noun; /* "events"; "bytes" are shown with their units */
    int64_t start_us, drawn_us;
    bool drawn;
};

void tide_progress_start(struct tide_progress *progress, const char *choice, const char *noun);

/* done, in `noun`; share of the whole in 0..1, negative when nobody knows. Draws at most some times
 * a second. */
void tide_progress_show(struct tide_progress *progress, uint64_t done, double share);

/* Clears the bar, so that a line can be printed; the next show draws it anew. */
void tide_progress_pause(struct tide_progress *progress);

/* Clears the bar, so that the last word stands alone. */
void tide_progress_end(struct tide_progress *progress);

#endif
