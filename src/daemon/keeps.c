/* retention.modules.GLOB.KEY: a number of seconds, as the same key under retention. A stronger
 * source replaces the list as a whole: its order decides.
 */
#include "keeps.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEPTH 2 /* retention modules */
#define RULE_DEPTH 4 /* retention modules GLOB KEY */

void tide_keeps_fini(struct tide_keeps *keeps)
{
    free(keeps->rule);
}

bool tide_keeps_owns(const struct tide_path *path)
{
    return path->depth >= LIST_DEPTH && !strcmp(path->part[0], "retention") &&
           !strcmp(path->part[1], "modules");
}

static enum tide_rc add_rule(struct tide_keeps *keeps, const char *glob, const char *from,
                             struct tide_err *err)
{
    struct tide_open_keep *open;
    size_t len = strlen(glob);

    if (len == 0 || len >= sizeof(open->rule.glob)) {
        tide_err_set(err, "expected a module name or glob of 1 to %zu bytes",
                     sizeof(open->rule.glob) - 1);
        return TIDE_CONFIG;
    }
    open = realloc(keeps->rule, (keeps->rules + 1) * sizeof(*open)); /* at most 1 024 */
    if (!open) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    keeps->rule = open;
    open += keeps->rules++;
    memset(open, 0, sizeof(*open));
    memcpy(open->rule.glob, glob, len);
    snprintf(open->from, sizeof(open->from), "%s", from);
    return TIDE_OK;
}

static enum tide_rc find_tier(const char *name, enum tide_tier *ret, struct tide_err *err)
{
    for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++) {
        if (!strcmp(name, tide_retention_key[tier])) {
            *ret = tier;
            return TIDE_OK;
        }
    }
    tide_err_set(err, "unknown key; expected raw_s, five_min_s, hour_s or day_s");
    return TIDE_CONFIG;
}

enum tide_rc tide_keeps_key(struct tide_keeps *keeps, const struct tide_path *path,
                            const char *from, struct tide_err *err)
{
    const char *last = path->part[path->depth - 1];
    enum tide_tier tier;

    assert(tide_keeps_owns(path) && path->depth <= RULE_DEPTH); /* a keep time is no object */
    if (path->depth == LIST_DEPTH)
        return TIDE_OK;
    return path->depth == RULE_DEPTH ? find_tier(last, &tier, err)
                                     : add_rule(keeps, last, from, err);
}

enum tide_rc tide_keeps_value(struct tide_keeps *keeps, const struct tide_path *path,
                              const struct tide_value *value, struct tide_err *err)
{
    struct tide_open_keep *open;
    struct tide_config as_default;
    const struct tide_option *option;
    char name[64];
    enum tide_tier tier;
    enum tide_rc rc;

    assert(tide_keeps_owns(path));
    if (path->depth == LIST_DEPTH)
        keeps->rules = 0;
    if (path->depth < RULE_DEPTH)
        return value->type == TIDE_VALUE_OBJECT ? TIDE_OK
                                                : tide_option_expected("an object", value, err);
    if ((rc = find_tier(path->part[RULE_DEPTH - 1], &tier, err)))
        return rc;
    snprintf(name, sizeof(name), "retention.%s", tide_retention_key[tier]);
    option = tide_option_find(name);
    assert(option && option->type == TIDE_OPTION_WHOLE && keeps->rules); /* its key came first */
    if ((rc = tide_option_assign(&as_default, option, value, err)))
        return rc;
    open = &keeps->rule[keeps->rules - 1];
    memcpy(&open->rule.keep_s[tier], (const char *)&as_default + option->at, sizeof(int64_t));
    open->set[tier] = true;
    return TIDE_OK;
}

static enum tide_rc check(const struct tide_retention_rule *rule, int64_t window_s,
                          struct tide_err *err)
{
    enum tide_tier shorter = tide_retention_check(rule->keep_s);
    int64_t raw_s = rule->keep_s[TIDE_TIER_RAW];

    if (raw_s && raw_s < window_s) {
        tide_err_set(err, "raw_s %lld: expected 0 or at least aggregation.window_s %lld",
                     (long long)raw_s, (long long)window_s);
        return TIDE_CONFIG;
    }
    if (shorter == TIDE_TIER_COUNT)
        return TIDE_OK;
    if (rule->keep_s[shorter - 1])
        tide_err_set(err, "%s %lld: expected 0 or at least %s %lld", tide_retention_key[shorter],
                     (long long)rule->keep_s[shorter], tide_retention_key[shorter - 1],
                     (long long)rule->keep_s[shorter - 1]);
    else
        tide_err_set(err, "%s %lld: expected 0, because %s is 0 (for ever)",
                     tide_retention_key[shorter], (long long)rule->keep_s[shorter],
                     tide_retention_key[shorter - 1]);
    return TIDE_CONFIG;
}

enum tide_rc tide_keeps_close(const struct tide_keeps *keeps,
                              const int64_t defaults_s[TIDE_TIER_COUNT], int64_t window_s,
                              struct tide_retention_rules *ret, struct tide_err *err)
{
    struct tide_retention_rules rules = {.rules = keeps->rules};
    enum tide_rc rc;

    memcpy(rules.keep_s, defaults_s, sizeof(rules.keep_s));
    if (rules.rules && !(rules.rule = calloc(rules.rules, sizeof(*rules.rule)))) {
        tide_err_set(err, "retention.modules: out of memory");
        return TIDE_NO_MEMORY;
    }
    for (size_t i = 0; i < rules.rules; i++) {
        const struct tide_open_keep *open = &keeps->rule[i];

        rules.rule[i] = open->rule;
        for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++)
            if (!open->set[tier])
                rules.rule[i].keep_s[tier] = defaults_s[tier];
        if ((rc = check(&rules.rule[i], window_s, err))) {
            tide_err_wrap(err, "%s: retention.modules.%s", open->from, open->rule.glob);
            tide_retention_fini(&rules);
            return rc;
        }
    }
    *ret = rules;
    return TIDE_OK;
}
