/* synth - modules that behave like real ones, made from a seed: how many events an interval
 * brought, how long they took, what the gauges said.
 *
 *   twelve   twelve figures an interval and the histogram: count, failures, sum, minimum, maximum,
 *            mean and maximum of memory and of CPU, goroutines, connections. Times within the
 *            interval are always the same, so that nothing else costs bytes. Log-normal rates and
 *            latencies that drift, a 3 % slow tail, a daily wave, memory in pages, CPU in
 * hundredths full     the same modules as a client logs them: every event at its own microsecond
 * with a correlation id, three reports of all gauges from a named instance coarse   a fleet with
 * steep rates whose latencies were counted into 20 fixed buckets before they came: few events of
 * large weight, the smallest and the largest duration exact
 *
 * A module's events follow from the seed, its number and the interval's number among those asked
 * for, whatever was asked of other modules. Normal deviates come from a table of 65 536, so they
 * end at about four deviations.
 */
#ifndef TIDEMARK_TOOLS_SYNTH_H
#define TIDEMARK_TOOLS_SYNTH_H

#include <stdint.h>
#include "tidemark/event.h"

enum tide_synth_shape { TIDE_SYNTH_TWELVE, TIDE_SYNTH_FULL, TIDE_SYNTH_COARSE };

struct tide_synth_cfg {
    enum tide_synth_shape shape;
    uint64_t seed;
    uint32_t modules;
    uint32_t interval_s;
    double events; /* median, over modules, of the operations in one interval; coarse has its own */
};

struct tide_synth;

struct tide_synth *tide_synth_new(const struct tide_synth_cfg *cfg); /* aborts without memory */
void tide_synth_free(struct tide_synth *synth);                      /* NULL is fine */

/* Hands over the events of one module in the interval that begins at start_s; a module's intervals
 * are asked for in ascending order. Texts live until the return of take. */
typedef void tide_synth_take(void *to, const struct tide_event *ev);
void tide_synth_log(struct tide_synth *synth, uint32_t module, int64_t start_s,
                    tide_synth_take *take, void *to);

struct tide_text tide_synth_name(const struct tide_synth *synth, uint32_t module);

#endif
