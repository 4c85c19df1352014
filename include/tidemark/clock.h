/* The only clock. Tests replace it: a year is simulated, not waited for. */
#ifndef TIDEMARK_CLOCK_H
#define TIDEMARK_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Unix time in microseconds. */
int64_t tide_clock_wall_us(void);

/* Monotonic time in microseconds; for durations only. */
int64_t tide_clock_mono_us(void);

/* CPU that the calling thread has used, in microseconds; for durations only. */
int64_t tide_clock_cpu_us(void);

/* Freezes the clocks at wall_us until the next call; 0 gives the real ones back. Tests only. */
void tide_clock_fake(int64_t wall_us);

#define TIDE_TIME_TEXT_SIZE 40

/* RFC 3339 in UTC with milliseconds, "2026-11-23T17:15:02.120Z"; returns text. Years 0000..9999,
 * clamped. */
char *tide_time_text(char text[TIDE_TIME_TEXT_SIZE], int64_t wall_us);

/* Parses RFC 3339 ("2026-11-23T17:15:02.120+01:00", "Z", "z", a blank for the T, any number of
 * fraction digits) from text[0, len). Returns false and writes nothing when it is not one. */
_Bool tide_time_parse(const char *text, size_t len, int64_t *ret_wall_us);

#endif
