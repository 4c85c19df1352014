/* How many connections a port has, in all and from each address, over all threads. Counted from
 * accept to close, so a refused peer costs one accept.
 */
#ifndef TIDEMARK_CENSUS_H
#define TIDEMARK_CENSUS_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

struct tide_census;
struct tide_seat;

/* Bounds of 0: none. */
enum tide_rc tide_census_new(uint32_t max, uint32_t max_per_address, struct tide_census **ret);

/* Nobody is counted any more. NULL is fine. */
void tide_census_free(struct tide_census *census);

/* Counts one more from this address; any thread may.
 * Returns TIDE_OK; TIDE_TOO_LARGE: that many are in already; TIDE_LOCKED: of this address;
 * TIDE_NO_MEMORY */
enum tide_rc tide_census_enter(struct tide_census *census, const uint8_t *address, size_t len,
                               struct tide_seat **ret);

/* One fewer; any thread may. The giver's pointer becomes NULL; it may be NULL. */
void tide_census_leave(struct tide_census *census, struct tide_seat **seat);

#endif
