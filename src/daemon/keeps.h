/* The key retention.modules: {glob: {raw_s, five_min_s, hour_s, day_s}}. */
#ifndef TIDEMARK_DAEMON_KEEPS_H
#define TIDEMARK_DAEMON_KEEPS_H

#include <stdbool.h>
#include "levels.h"
#include "reader.h"
#include "tidemark/retention.h"

/* A rule while it is being read: what it leaves open comes from the defaults, and those are final
 * only when the last source was read. */
struct tide_open_keep {
    struct tide_retention_rule rule;
    bool set[TIDE_TIER_COUNT];
    char from[TIDE_ORIGIN_SIZE];
};

struct tide_keeps {
    struct tide_open_keep *rule;
    size_t rules;
};

void tide_keeps_fini(struct tide_keeps *keeps);

/* Is this path retention.modules or below it? */
bool tide_keeps_owns(const struct tide_path *path);

/* As the calls of the reader, for paths that are ours. from: where it was read, for later messages.
 */
enum tide_rc tide_keeps_key(struct tide_keeps *keeps, const struct tide_path *path,
                            const char *from, struct tide_err *err);
enum tide_rc tide_keeps_value(struct tide_keeps *keeps, const struct tide_path *path,
                              const struct tide_value *value, struct tide_err *err);

/* Makes the rules; window_s: what raw history has to reach back. *ret->rule is the caller's, to be
 * freed with tide_retention_fini. */
enum tide_rc tide_keeps_close(const struct tide_keeps *keeps,
                              const int64_t defaults_s[TIDE_TIER_COUNT], int64_t window_s,
                              struct tide_retention_rules *ret, struct tide_err *err);

#endif
