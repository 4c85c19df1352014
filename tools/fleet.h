/* fleet - a believable set of modules for the demo: what would they have logged between two
 * moments?
 *
 * Pure: seed, rate and times in, packed events out. A dozen modules, each with its own latency
 * shape, error rate, instances and appetite; one of them ("checkout") degrades and recovers in a
 * cycle; traffic follows the hour of the day.
 */
#ifndef TIDEMARK_TOOLS_FLEET_H
#define TIDEMARK_TOOLS_FLEET_H

#include <stddef.h>
#include <stdint.h>

struct tide_fleet;

/* rate: requests per second of the whole fleet at a middling hour; cycle_s: of the module that
 * degrades. */
struct tide_fleet *tide_fleet_new(uint64_t seed, double rate, uint32_t cycle_s, int64_t start_us);
void tide_fleet_free(struct tide_fleet *fleet);

/* Calls emit for every event in [from_us, to_us), in no order; at most some seconds at a time make
 * sense. */
void tide_fleet_log(struct tide_fleet *fleet, int64_t from_us, int64_t to_us,
                    void (*emit)(void *to, int64_t time_us, const void *map, size_t len), void *to);

size_t tide_fleet_size(const struct tide_fleet *fleet);
const char *tide_fleet_name(const struct tide_fleet *fleet, size_t index);

/* How ill the module that degrades is at a moment: 0 well .. 1 at its worst. */
double tide_fleet_illness(const struct tide_fleet *fleet, int64_t at_us);

#endif
