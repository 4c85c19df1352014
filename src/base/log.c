/* Log lines on stderr.
 *
 * A line is put together in a buffer on the stack and leaves in one write(2), so lines of several
 * threads never mix and no lock is held while a slow terminal takes its time. Control characters
 * that came from outside are blanked: one line stays one line. When stderr is gone there is nobody
 * to tell, so a failed write is dropped.
 */
#include "tidemark/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tidemark/clock.h"

#define LINE_SIZE 2048 /* below PIPE_BUF: one write to a pipe is atomic */

static atomic_int level_max = TIDE_INFO;

static const char *const level_name[] = {
    [TIDE_ERROR] = "error",
    [TIDE_WARNING] = "warning",
    [TIDE_INFO] = "info",
    [TIDE_DEBUG] = "debug",
};

void tide_log_set_level(enum tide_level level)
{
    assert((unsigned)level <= TIDE_DEBUG);
    atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

static _Bool wanted(enum tide_level level)
{
    return (int)level <= atomic_load_explicit(&level_max, memory_order_relaxed);
}

/* held: lines suppressed before this one. */
static void emit(enum tide_level level, const char *room, unsigned held, const char *format,
                 va_list args)
{
    char line[LINE_SIZE], when[TIDE_TIME_TEXT_SIZE], tail[64] = "";
    const size_t room_for_text = sizeof(line) - sizeof(tail);
    size_t len, end;
    int n;

    assert((unsigned)level <= TIDE_DEBUG);
    n = snprintf(line, room_for_text, "%s %s %s: ", tide_time_text(when, tide_clock_wall_us()),
                 level_name[level], room);
    assert(n > 0 && (size_t)n < room_for_text);
    len = (size_t)n;
    if (vsnprintf(line + len, room_for_text - len, format, args) < 0)
        line[len] = '\0';
    for (end = len; line[end]; end++) {
        if ((unsigned char)line[end] < 0x20 || line[end] == 0x7f)
            line[end] = ' ';
    }
    if (held)
        snprintf(tail, sizeof(tail), " (%u more like this were held back)", held);
    n = snprintf(line + end, sizeof(line) - end, "%s\n", tail);
    end += (size_t)n;
    while (write(STDERR_FILENO, line, end) < 0 && errno == EINTR)
        ;
}

void tide_log(enum tide_level level, const char *room, const char *format, ...)
{
    va_list args;

    if (!wanted(level))
        return;
    va_start(args, format);
    emit(level, room, 0, format, args);
    va_end(args);
}

/* Lets a line through while the minute has room. Two threads that meet at the turn of a minute may
 * let a line more or less pass; no suppressed line goes uncounted. */
static _Bool gate_passes(struct tide_log_gate *gate, unsigned *ret_held)
{
    /* 0 is the zeroed gate's, so minutes start at 1 */
    long long now = tide_clock_mono_us() / 60000000 + 1;
    long long seen = atomic_load(&gate->minute);

    if (seen != now && atomic_compare_exchange_strong(&gate->minute, &seen, now))
        atomic_store(&gate->passed, 0);
    if (atomic_fetch_add(&gate->passed, 1) >= TIDE_LOG_BURST) {
        atomic_fetch_sub(&gate->passed, 1); /* does not creep towards its end in a long minute */
        atomic_fetch_add(&gate->held, 1);
        return 0;
    }
    *ret_held = atomic_exchange(&gate->held, 0);
    return 1;
}

void tide_log_gated(struct tide_log_gate *gate, enum tide_level level, const char *room,
                    const char *format, ...)
{
    unsigned held;
    va_list args;

    if (!wanted(level) || !gate_passes(gate, &held))
        return;
    va_start(args, format);
    emit(level, room, held, format, args);
    va_end(args);
}
