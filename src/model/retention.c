/* retention - see the door. */
#include "tidemark/retention.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)

const char *const tide_retention_key[TIDE_TIER_COUNT] = {"raw_s", "five_min_s", "hour_s", "day_s"};

void tide_retention_default(int64_t keep_s[TIDE_TIER_COUNT])
{
    keep_s[TIDE_TIER_RAW] = 7 * DAY_S;
    keep_s[TIDE_TIER_5M] = 90 * DAY_S;
    keep_s[TIDE_TIER_1H] = 3 * 365 * DAY_S;
    keep_s[TIDE_TIER_1D] = 0;
}

size_t tide_retention_find(const struct tide_retention_rules *rules, const char *module)
{
    size_t i = 0;

    while (i < rules->rules && fnmatch(rules->rule[i].glob, module, 0) != 0)
        i++;
    return i;
}

const int64_t *tide_retention_keep_s(const struct tide_retention_rules *rules, size_t rule)
{
    assert(rule <= rules->rules);
    return rule < rules->rules ? rules->rule[rule].keep_s : rules->keep_s;
}

enum tide_tier tide_retention_check(const int64_t keep_s[TIDE_TIER_COUNT])
{
    for (enum tide_tier tier = TIDE_TIER_5M; tier < TIDE_TIER_COUNT; tier++) {
        int64_t finer_s = keep_s[tier - 1];

        if (keep_s[tier] && (finer_s == 0 || keep_s[tier] < finer_s))
            return tier;
    }
    return TIDE_TIER_COUNT;
}

enum tide_rc tide_retention_copy(const struct tide_retention_rules *from,
                                 struct tide_retention_rules *to, struct tide_err *err)
{
    size_t bytes = from->rules * sizeof(*from->rule);
    struct tide_retention_rule *rule = NULL;

    if (bytes) {
        if (!(rule = malloc(bytes))) {
            tide_err_set(err, "retention.modules: out of memory");
            return TIDE_NO_MEMORY;
        }
        memcpy(rule, from->rule, bytes);
    }
    *to = *from;
    to->rule = rule;
    return TIDE_OK;
}

void tide_retention_fini(struct tide_retention_rules *rules)
{
    free(rules->rule);
    rules->rule = NULL;
    rules->rules = 0;
}
