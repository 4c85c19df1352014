/* keep - what of a tier's history is still kept. A rule of the clock and the configuration, so that
 * no answer depends on when a background job ran: what is past it is not served, whether or not it
 * has been deleted yet. Whole periods go, as they are deleted: a period is kept while any part of
 * it is younger than the keep time.
 */
#include "inside.h"
#include "tiers.h"

int64_t keep_rule_from_s(const struct tide_store *store, const struct fold_state *fold, size_t rule,
                         enum tide_tier tier, int64_t now_us)
{
    int64_t keep_s = tide_retention_keep_s(&store->cfg.retention, rule)[tier];
    int64_t young_s = keep_s ? now_us / 1000000 - keep_s : 0;
    int64_t from_s = fold->evicted_upto_s[tier];

    if (young_s > 0)
        young_s = tide_floor_s(young_s, tier_period_s(tier, store->identity.interval_s));
    return young_s > from_s ? young_s : from_s;
}

size_t keep_rule(const struct tide_store *store, uint32_t module)
{
    /* A damaged key may name any module; such a value is found out when it is read. */
    if (module == TIDE_FLEET || module > modules_count(store->modules))
        return store->cfg.retention.rules;
    return modules_name(store->modules, module)->keep;
}

int64_t keep_from_s(const struct tide_store *store, const struct fold_state *fold, uint32_t module,
                    enum tide_tier tier, int64_t now_us)
{
    return keep_rule_from_s(store, fold, keep_rule(store, module), tier, now_us);
}
