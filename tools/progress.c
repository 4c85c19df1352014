/* Drawing is bounded by time, not by calls, so a caller may show every step.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "human.h"
#include "tidemark/clock.h"

#define BAR_WIDTH 30

void tide_progress_start(struct tide_progress *progress, const char *choice, const char *noun)
{
    const char *term = getenv("TERM");

    *progress = (struct tide_progress){.noun = noun, .start_us = tide_clock_mono_us()};
    progress->drawn_us = progress->start_us;
    if (strcmp(choice, "json") == 0)
        progress->mode = TIDE_PROGRESS_JSON;
    else if (strcmp(choice, "auto") == 0 && isatty(STDERR_FILENO) &&
             !(term && strcmp(term, "dumb") == 0))
        progress->mode = TIDE_PROGRESS_BAR;
}

void tide_progress_show(struct tide_progress *progress, uint64_t done, double share)
{
    int64_t now_us = tide_clock_mono_us();
    double seconds = (double)(now_us - progress->start_us) / 1e6;
    char count[2 * TIDE_HUMAN_SIZE], rate[TIDE_HUMAN_SIZE + 2], left[TIDE_HUMAN_SIZE];
    char bar[BAR_WIDTH + 1];
    int full;

    if (progress->mode == TIDE_PROGRESS_NONE ||
        now_us - progress->drawn_us < (progress->mode == TIDE_PROGRESS_BAR ? 200000 : 1000000))
        return;
    progress->drawn_us = now_us;
    progress->drawn = true;
    if (share > 1)
        share = 1;
    if (progress->mode == TIDE_PROGRESS_JSON) {
        fprintf(stderr,
                "{\"done\": %" PRIu64 ", \"unit\": \"%s\", \"seconds\": %.1f, \"share\": ", done,
                progress->noun, seconds);
        if (share >= 0)
            fprintf(stderr, "%.4f}\n", share);
        else
            fprintf(stderr, "null}\n");
        return;
    }
    if (strcmp(progress->noun, "bytes") == 0) {
        tide_human_bytes(count, (double)done);
        tide_human_bytes(rate, (double)done / seconds);
        strcat(rate, "/s");
    } else {
        tide_human_count(count, (double)done);
        snprintf(count + strlen(count), sizeof count - strlen(count), " %s", progress->noun);
        tide_human_rate(rate, (double)done / seconds);
    }
    if (share < 0) {
        fprintf(stderr, "\r\033[K%s, %s", count, rate);
        return;
    }
    full = (int)(share * BAR_WIDTH);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)full);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s, %s", bar, share * 100, count, rate);
    if (share > 0.01)
        fprintf(stderr, ", %s left", tide_human_span(left, seconds / share - seconds));
}

void tide_progress_pause(struct tide_progress *progress)
{
    if (progress->mode == TIDE_PROGRESS_BAR && progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}

void tide_progress_end(struct tide_progress *progress)
{
    tide_progress_pause(progress);
    progress->mode = TIDE_PROGRESS_NONE;
}
