/* Log lines on stderr: `2026-11-23T17:15:02.120Z warning ingest: peer 127.0.0.1:5170 closed: ...`
 * They say room, noun, what, why; lower case, no full stop. What a peer can repeat is a counter, or
 * passes a gate: at most `burst` lines per minute, the suppressed ones counted into the next line
 * that passes.
 */
#ifndef TIDEMARK_LOG_H
#define TIDEMARK_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum tide_level { TIDE_ERROR, TIDE_WARNING, TIDE_INFO, TIDE_DEBUG };

/* Lines above this level are dropped. Default TIDE_INFO. */
void tide_log_set_level(enum tide_level level);

/* One line, written by one write(2); safe from every thread. */
void tide_log(enum tide_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct tide_log_gate {
    atomic_llong minute;
    atomic_uint passed;
    atomic_uint held;
};

#define TIDE_LOG_BURST 10 /* lines per gate and minute */

/* As tide_log, through a gate (static, zeroed). */
void tide_log_gated(struct tide_log_gate *gate, enum tide_level level, const char *room,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
