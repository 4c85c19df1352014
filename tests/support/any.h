/* any - random events and records for property tests. Values cluster on purpose: few modules, few
 * moments, few ids, so that ties, repeats and collisions are the rule.
 */
#ifndef TIDE_TEST_ANY_H
#define TIDE_TEST_ANY_H

#include <stdint.h>
#include "tidemark/event.h"
#include "tidemark/record.h"

/* A number in [low, high]. */
int64_t tide_any_between(uint64_t *seed, int64_t low, int64_t high);

/* An event without time and module; its texts are static. */
struct tide_event tide_any_event(uint64_t *seed);

/* A record of some events of one hour. Freed by tide_record_fini. */
struct tide_record tide_any_record(uint64_t *seed);

/* Names whose order of hashing is random; n < 100. */
struct tide_text tide_any_name(unsigned n);

#endif
