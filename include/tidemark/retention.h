/* retention - how long history is kept (retention.*): a keep time for each tier, and other ones for
 * some modules by glob. 0 is for ever.
 */
#ifndef TIDEMARK_RETENTION_H
#define TIDEMARK_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/tier.h"

/* The keys, by tier: "raw_s", "five_min_s", "hour_s", "day_s". */
extern const char *const tide_retention_key[TIDE_TIER_COUNT];

struct tide_retention_rule {
    char glob[129];
    int64_t keep_s[TIDE_TIER_COUNT];
};

struct tide_retention_rules {
    int64_t keep_s[TIDE_TIER_COUNT];  /* of the fleet, and of modules without a rule */
    struct tide_retention_rule *rule; /* may be NULL */
    size_t rules;
};

void tide_retention_default(int64_t keep_s[TIDE_TIER_COUNT]);

/* The rule of a module: the first whose glob (fnmatch) matches; `rules` when none does. */
size_t tide_retention_find(const struct tide_retention_rules *rules, const char *module);

/* The keep times of a rule, or with `rules` those of all others. */
const int64_t *tide_retention_keep_s(const struct tide_retention_rules *rules, size_t rule);

/* The first tier that is kept shorter than the next finer one, whose records it stands for when
 * they are gone; TIDE_TIER_COUNT when all is well. */
enum tide_tier tide_retention_check(const int64_t keep_s[TIDE_TIER_COUNT]);

/* Makes `to` a copy that owns its rules. */
enum tide_rc tide_retention_copy(const struct tide_retention_rules *from,
                                 struct tide_retention_rules *to, struct tide_err *err);
void tide_retention_fini(struct tide_retention_rules *rules);

#endif
