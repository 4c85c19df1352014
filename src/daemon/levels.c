/* health.default.SIGNAL.BOUND and health.modules.GLOB.SIGNAL.BOUND.
 *
 * A level may be null: off. A rule that names only one bound of a signal takes the other from the
 * defaults, whichever source they came from, and is checked with it.
 */
#include "levels.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DEPTH 4 /* health default SIGNAL BOUND */
#define RULE_DEPTH    5 /* health modules GLOB SIGNAL BOUND */

const char *const tide_bound_name[TIDE_BOUNDS] = {"warning", "critical"};

void tide_levels_init(struct tide_levels *levels)
{
    memset(levels, 0, sizeof(*levels));
    tide_thresholds_default(&levels->defaults);
}

void tide_levels_fini(struct tide_levels *levels)
{
    free(levels->rule);
}

static bool is_rule(const struct tide_path *path)
{
    return path->depth >= 2 && !strcmp(path->part[0], "health") &&
           !strcmp(path->part[1], "modules");
}

static bool is_default(const struct tide_path *path)
{
    return path->depth >= 2 && !strcmp(path->part[0], "health") &&
           !strcmp(path->part[1], "default");
}

bool tide_levels_owns(const struct tide_path *path)
{
    return is_rule(path) || is_default(path);
}

static double *bound_of(struct tide_threshold *threshold, enum tide_bound bound)
{
    return bound == TIDE_BOUND_WARNING ? &threshold->warning : &threshold->critical;
}

static enum tide_rc find_signal(const char *name, enum tide_signal *ret, struct tide_err *err)
{
    int found = tide_signal_find(name);
    char known[256] = "";

    if (found >= 0) {
        *ret = (enum tide_signal)found;
        return TIDE_OK;
    }
    for (int i = 0; i < TIDE_SIGNAL_COUNT; i++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
                 tide_signal_info[i].name);
    }
    tide_err_set(err, "unknown signal; expected one of: %s", known);
    return TIDE_CONFIG;
}

static enum tide_rc find_bound(const char *name, enum tide_bound *ret, struct tide_err *err)
{
    for (enum tide_bound bound = 0; bound < TIDE_BOUNDS; bound++) {
        if (!strcmp(name, tide_bound_name[bound])) {
            *ret = bound;
            return TIDE_OK;
        }
    }
    tide_err_set(err, "unknown key; expected warning or critical");
    return TIDE_CONFIG;
}

static enum tide_rc add_rule(struct tide_levels *levels, const char *glob, const char *from,
                             struct tide_err *err)
{
    struct tide_open_rule *rule;
    size_t len = strlen(glob);

    if (len == 0 || len >= sizeof(rule->glob)) {
        tide_err_set(err, "expected a module name or glob of 1 to %zu bytes",
                     sizeof(rule->glob) - 1);
        return TIDE_CONFIG;
    }
    if (levels->rules == levels->capacity) {
        size_t capacity = levels->capacity ? 2 * levels->capacity : 8;

        rule = realloc(levels->rule, capacity * sizeof(*rule));
        if (!rule) {
            tide_err_set(err, "out of memory");
            return TIDE_NO_MEMORY;
        }
        levels->rule = rule;
        levels->capacity = capacity;
    }
    rule = &levels->rule[levels->rules++];
    memset(rule, 0, sizeof(*rule));
    memcpy(rule->glob, glob, len);
    snprintf(rule->from, sizeof(rule->from), "%s", from);
    return TIDE_OK;
}

enum tide_rc tide_levels_key(struct tide_levels *levels, const struct tide_path *path,
                             const char *from, struct tide_err *err)
{
    const size_t whole = is_rule(path) ? RULE_DEPTH : DEFAULT_DEPTH;
    const char *last = path->part[path->depth - 1];
    enum tide_signal signal;
    enum tide_bound bound;

    assert(tide_levels_owns(path));
    if (path->depth == 2)
        return TIDE_OK;
    if (path->depth == whole)
        return find_bound(last, &bound, err);
    if (path->depth == whole - 1)
        return find_signal(last, &signal, err);
    if (path->depth < whole)
        return add_rule(levels, last, from, err);
    tide_err_set(err, "unknown key; warning and critical are numbers or null");
    return TIDE_CONFIG;
}

/* A number that the signal can have, or null: off. */
static enum tide_rc take_level(enum tide_signal signal, const struct tide_value *value, double *ret,
                               struct tide_err *err)
{
    const bool share = signal == TIDE_SIGNAL_ERROR_RATE;
    double level;

    if (value->type == TIDE_VALUE_NULL) {
        *ret = NAN;
        return TIDE_OK;
    }
    level = value->type == TIDE_VALUE_NUMBER ? strtod(value->text, NULL) : -1;
    if (!(level >= 0) || !isfinite(level) || (share && level > 1))
        return tide_option_expected(
            share ? "a share from 0 to 1, or null" : "a number >= 0, or null", value, err);
    *ret = level;
    return TIDE_OK;
}

enum tide_rc tide_levels_value(struct tide_levels *levels, const struct tide_path *path,
                               const char *from, const struct tide_value *value,
                               struct tide_err *err)
{
    const bool rule = is_rule(path);
    const size_t whole = rule ? RULE_DEPTH : DEFAULT_DEPTH;
    enum tide_signal signal = 0;
    enum tide_bound bound = 0;
    double level = NAN;
    enum tide_rc rc;

    assert(tide_levels_owns(path));
    if (rule && path->depth == 2)
        levels->rules = 0; /* a stronger source replaces the list as a whole: its order decides */
    if (path->depth < whole)
        return value->type == TIDE_VALUE_OBJECT ? TIDE_OK
                                                : tide_option_expected("an object", value, err);
    if ((rc = find_signal(path->part[whole - 2], &signal, err)) ||
        (rc = find_bound(path->part[whole - 1], &bound, err)) ||
        (rc = take_level(signal, value, &level, err)))
        return rc;
    if (rule) {
        struct tide_open_rule *open = &levels->rule[levels->rules - 1];

        assert(levels->rules); /* its key came first */
        open->value[signal][bound] = level;
        open->set[signal][bound] = true;
    } else {
        *bound_of(&levels->defaults.signal[signal], bound) = level;
        snprintf(levels->from[signal], sizeof(levels->from[signal]), "%s", from);
    }
    return TIDE_OK;
}

/* Signal by signal, so that the message can say where it was set. */
static enum tide_rc check_defaults(const struct tide_levels *levels, struct tide_err *err)
{
    for (int i = 0; i < TIDE_SIGNAL_COUNT; i++) {
        struct tide_thresholds one;
        enum tide_rc rc;

        tide_thresholds_default(&one);
        one.signal[i] = levels->defaults.signal[i];
        if ((rc = tide_thresholds_check(&one, err))) {
            tide_err_wrap(err, "%s: health.default", levels->from[i]);
            return rc;
        }
    }
    return TIDE_OK;
}

static void close_rule(const struct tide_levels *levels, const struct tide_open_rule *open,
                       struct tide_health_rule *ret)
{
    memcpy(ret->glob, open->glob, sizeof(ret->glob));
    ret->thresholds = levels->defaults;
    for (int signal = 0; signal < TIDE_SIGNAL_COUNT; signal++) {
        for (enum tide_bound bound = 0; bound < TIDE_BOUNDS; bound++) {
            if (!open->set[signal][bound])
                continue;
            ret->set[signal] = true;
            *bound_of(&ret->thresholds.signal[signal], bound) = open->value[signal][bound];
        }
    }
}

enum tide_rc tide_levels_close(const struct tide_levels *levels, struct tide_health_rules *ret,
                               struct tide_err *err)
{
    struct tide_health_rules rules = {.defaults = levels->defaults, .rules = levels->rules};
    enum tide_rc rc;

    if ((rc = check_defaults(levels, err)))
        return rc;
    if (levels->rules) {
        rules.rule = calloc(levels->rules, sizeof(*rules.rule));
        if (!rules.rule) {
            tide_err_set(err, "health.modules: out of memory");
            return TIDE_NO_MEMORY;
        }
    }
    for (size_t i = 0; i < levels->rules; i++) {
        close_rule(levels, &levels->rule[i], &rules.rule[i]);
        if ((rc = tide_thresholds_check(&rules.rule[i].thresholds, err))) {
            tide_err_wrap(err, "%s: health.modules.%s", levels->rule[i].from, levels->rule[i].glob);
            free(rules.rule);
            return rc;
        }
    }
    *ret = rules;
    return TIDE_OK;
}
