/* The keys under health.*: one threshold per signal, and other ones for modules by glob. */
#ifndef TIDEMARK_DAEMON_LEVELS_H
#define TIDEMARK_DAEMON_LEVELS_H

#include <stdbool.h>
#include "reader.h"
#include "tidemark/health.h"

#define TIDE_ORIGIN_SIZE 256

enum tide_bound { TIDE_BOUND_WARNING, TIDE_BOUND_CRITICAL, TIDE_BOUNDS };
extern const char *const tide_bound_name[TIDE_BOUNDS];

/* A rule while it is being read: what it leaves open comes from the defaults, and those are final
 * only when the last source was read. */
struct tide_open_rule {
    char glob[sizeof(((struct tide_health_rule *)0)->glob)];
    char from[TIDE_ORIGIN_SIZE];
    double value[TIDE_SIGNAL_COUNT][TIDE_BOUNDS];
    bool set[TIDE_SIGNAL_COUNT][TIDE_BOUNDS];
};

struct tide_levels {
    struct tide_thresholds defaults;
    char from[TIDE_SIGNAL_COUNT][TIDE_ORIGIN_SIZE]; /* where defaults were set; "" = built in */
    struct tide_open_rule *rule;
    size_t rules, capacity;
};

void tide_levels_init(struct tide_levels *levels);
void tide_levels_fini(struct tide_levels *levels);

/* Is this path one of ours: health.default.SIGNAL... or health.modules...? */
bool tide_levels_owns(const struct tide_path *path);

/* As the calls of the reader, for paths that are ours. from: where it was read, for later messages.
 */
enum tide_rc tide_levels_key(struct tide_levels *levels, const struct tide_path *path,
                             const char *from, struct tide_err *err);
enum tide_rc tide_levels_value(struct tide_levels *levels, const struct tide_path *path,
                               const char *from, const struct tide_value *value,
                               struct tide_err *err);

/* Checks the whole and makes the rules; *ret->rule is the caller's to free. */
enum tide_rc tide_levels_close(const struct tide_levels *levels, struct tide_health_rules *ret,
                               struct tide_err *err);

#endif
