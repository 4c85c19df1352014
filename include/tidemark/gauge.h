/* The table of resource gauges, and how one gauge folds, merges and gathers.
 *
 * A gauge is a scaled integer >= 0. Over time (merge) the newest sample wins, by timestamp, then by
 * value; maximum, sum and count of the samples are kept beside it. Over subjects (gather: instances
 * into a module, modules into the fleet) an additive gauge adds its last values (modulo 2^64, which
 * no sum of real ones reaches) and its maxima; a mean gauge keeps the largest maximum, no last
 * value, and its mean is sum / count over all samples. Every operation is commutative and
 * associative.
 *
 * What was gathered or merged can follow a change of one of its parts without the others at hand,
 * if that part only ever had samples added (late events): regather and remerge.
 */
#ifndef TIDEMARK_GAUGE_H
#define TIDEMARK_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

enum tide_gather { TIDE_GATHER_ADD, TIDE_GATHER_MEAN };

/* X(enumerator, event field, scale: stored = given * scale, gather).
 * The order is part of the file format: append only. */
#define TIDE_GAUGES(X)                              \
    X(MEMORY, "memory_bytes", 1, TIDE_GATHER_ADD)   \
    X(CPU, "cpu_percent", 1000, TIDE_GATHER_MEAN)   \
    X(GOROUTINES, "goroutines", 1, TIDE_GATHER_ADD) \
    X(DB_CONNECTIONS, "db_connections", 1, TIDE_GATHER_ADD)

#define TIDE_X(id, field, scale, gather) TIDE_GAUGE_##id,
enum tide_gauge { TIDE_GAUGES(TIDE_X) TIDE_GAUGE_COUNT };
#undef TIDE_X

#define TIDE_GAUGE_VALUE_MAX (INT64_C(1) << 62) /* larger ones are unusable (bad_field) */

struct tide_gauge_info {
    const char *field; /* name in an event */
    int scale;
    enum tide_gather gather;
};

extern const struct tide_gauge_info tide_gauge_info[TIDE_GAUGE_COUNT];

/* All zero = no sample. */
struct tide_gauge_state {
    uint64_t count;  /* samples; 0: nothing below means anything */
    int64_t time_us; /* of the newest sample */
    uint64_t last;   /* the newest sample */
    uint64_t max;
    uint64_t sum; /* saturating */
};

static inline void tide_gauge_fold(struct tide_gauge_state *state, int64_t time_us, uint64_t value,
                                   uint64_t weight)
{
    uint64_t weighted;

    if (state->count == 0 || time_us > state->time_us ||
        (time_us == state->time_us && value > state->last)) {
        state->time_us = time_us;
        state->last = value;
    }
    if (value > state->max)
        state->max = value;
    if (__builtin_mul_overflow(value, weight, &weighted) ||
        __builtin_add_overflow(state->sum, weighted, &state->sum))
        state->sum = UINT64_MAX;
    state->count += weight;
}

void tide_gauge_merge(struct tide_gauge_state *into, const struct tide_gauge_state *from);
void tide_gauge_gather(enum tide_gauge gauge, struct tide_gauge_state *into,
                       const struct tide_gauge_state *from);

/* `into` had `before` gathered into it: makes it what it would be with `after` in its place.
 * `after` is `before` with samples merged into it. */
void tide_gauge_regather(enum tide_gauge gauge, struct tide_gauge_state *into,
                         const struct tide_gauge_state *before,
                         const struct tide_gauge_state *after);

/* `into` is the merge of stretches of time that do not overlap, and `before` one of them, itself
 * gathered: makes it what it would be with `after` in its place. */
void tide_gauge_remerge(struct tide_gauge_state *into, const struct tide_gauge_state *before,
                        const struct tide_gauge_state *after);

#endif
