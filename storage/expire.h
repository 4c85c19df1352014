/* expire - takes out of the tiers what is kept no longer, and what goes early to stay below
 * storage.max_bytes.
 */
#ifndef STORAGE_EXPIRE_H
#define STORAGE_EXPIRE_H

#include "inside.h"

struct expiry *expiry_new(const struct tide_store *store);
void expiry_free(struct expiry *expiry); /* NULL is fine */

/* One slice of whatever is due, one transaction of a few milliseconds at most. TIDE_AGAIN: there is
 * more to do at once. */
enum tide_rc store_expire(struct tide_store *store, int64_t now_us, struct tide_err *err);

#endif
