/* Memory that must be there. A record or a parcel is bounded and small; a daemon that cannot get it
 * cannot go on, and a crash loses no acked data: say so and abort, rather than thread a failure
 * through every fold.
 */
#ifndef MODEL_MEMORY_H
#define MODEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* realloc(held, bytes), never NULL; bytes > 0. */
void *tide_must_realloc(void *held, size_t bytes);

/* Makes room for `need` objects of `size` bytes, doubling; updates *capacity. */
void *tide_must_grow(void *held, uint32_t *capacity, uint32_t need, size_t size);

#endif
