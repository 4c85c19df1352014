/* alias - the names that other producers give to our fields: container_name, http.status_code,
 * event.duration (in nanoseconds), and so on. The table is in alias.c.
 *
 * The name a field has with us wins, wherever it stands in the record; after it the order of the
 * table. So a value that came under another name waits until the record is read, and is used when
 * its field is still absent; of a name given twice it is the last value. A dotted name may be one
 * key or a path of nested maps; of the same name the one key wins.
 *
 * Most keys are neither ours nor in the table. They are recognised by a hash of their middle and
 * their last four bytes, one multiplication and one load.
 */
#ifndef TIDEMARK_WIRE_ALIAS_H
#define TIDEMARK_WIRE_ALIAS_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/bytes.h"
#include "tidemark/event.h"
#include "cursor.h"
#include "draft.h"

#define TIDE_ALIAS_LEN_MIN 4
#define TIDE_ALIAS_SLOTS   256

/* Fields that may have been given under another name: values that wait. */
#define TIDE_OTHERS (TIDE_FIELD_GAUGE + TIDE_GAUGE_COUNT)

/* Row of the table + 1 of the name with this hash; 0: none has it. */
extern const uint8_t tide_alias_slot[TIDE_ALIAS_SLOTS];

/* key has at least TIDE_ALIAS_LEN_MIN bytes. The factor was searched for: no two names of the table
 * share a slot, and of fifty common keys of logs none meets one. */
static inline unsigned tide_alias_hash(const char *key, uint32_t len)
{
    uint32_t middle = tide_get_be32(key + len / 2 - 2), last = tide_get_be32(key + len - 4);

    return ((middle ^ (last << 7 | last >> 25)) * UINT32_C(0x98e5adb5)) >> 24;
}

/* False: it certainly is no name of the table. */
static inline bool tide_alias_is_likely(const char *key, uint32_t len)
{
    return len >= TIDE_ALIAS_LEN_MIN && tide_alias_slot[tide_alias_hash(key, len)] != 0;
}

/* Row + 1 of a name; 0: it is not in the table. */
unsigned tide_alias_find(const char *key, uint32_t len);

/* The value at `at`, not nil, came under this key: it waits if that is a name of the table. */
void tide_alias_note(const char *key, uint32_t len, const uint8_t *at, struct tide_draft *draft,
                     struct tide_other other[TIDE_OTHERS]);

/* A map under this key may hold names of the table. */
bool tide_alias_is_object(const char *key, uint32_t len);

/* Reads such a map; the cursor stands at the first of its `pairs`. Returns where it ends, NULL when
 * it is not well-formed. */
const uint8_t *tide_alias_open(const struct tide_value *key, struct tide_cursor cursor,
                               uint32_t pairs, struct tide_draft *draft,
                               struct tide_other other[TIDE_OTHERS]);

/* The record is read, up to end: what waits is used for the fields that are absent. */
void tide_alias_settle(const struct tide_other other[TIDE_OTHERS], const uint8_t *end, bool bare,
                       struct tide_event *ev, struct tide_draft *draft);

#endif
