/* sampling.modules.GLOB: a number. A stronger source replaces the list as a whole: its order
 * decides. */
#include "shares.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEPTH 2 /* sampling modules */

bool tide_shares_owns(const struct tide_path *path)
{
    return path->depth >= LIST_DEPTH && !strcmp(path->part[0], "sampling") &&
           !strcmp(path->part[1], "modules");
}

enum tide_rc tide_shares_key(struct tide_sample_rules *shares, const struct tide_path *path,
                             struct tide_err *err)
{
    const char *glob = path->part[path->depth - 1];
    size_t len = strlen(glob);
    struct tide_sample_rule *rule;

    assert(tide_shares_owns(path) && path->depth <= LIST_DEPTH + 1); /* a share is no object */
    if (path->depth == LIST_DEPTH)
        return TIDE_OK;
    if (len == 0 || len >= sizeof(rule->glob)) {
        tide_err_set(err, "expected a module name or glob of 1 to %zu bytes",
                     sizeof(rule->glob) - 1);
        return TIDE_CONFIG;
    }
    rule = realloc(shares->rule, (shares->rules + 1) * sizeof(*rule)); /* at most 1 024 */
    if (!rule) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    shares->rule = rule;
    rule += shares->rules++;
    memset(rule, 0, sizeof(*rule));
    memcpy(rule->glob, glob, len);
    return TIDE_OK;
}

enum tide_rc tide_shares_value(struct tide_sample_rules *shares, const struct tide_path *path,
                               const struct tide_value *value, struct tide_err *err)
{
    double share;

    assert(tide_shares_owns(path));
    if (path->depth == LIST_DEPTH) {
        shares->rules = 0;
        return value->type == TIDE_VALUE_OBJECT ? TIDE_OK
                                                : tide_option_expected("an object", value, err);
    }
    share = value->type == TIDE_VALUE_NUMBER ? strtod(value->text, NULL) : 0;
    if (!(share >= TIDE_SHARE_MIN && share <= 1))
        return tide_option_expected("a share from 0.000001 to 1", value, err);
    assert(shares->rules); /* its key came first */
    shares->rule[shares->rules - 1].share = share;
    return TIDE_OK;
}
