/* sample - which share of a module's events is kept (sampling.modules), and what a kept one weighs.
 *
 * The choice hangs on the chunk's identity and the event's place in it, so a chunk that is sent
 * again keeps the same ones. A kept event stands for floor or ceil of 1 / share, in such a mix that
 * every count and sum is right on average.
 */
#ifndef TIDEMARK_SAMPLE_H
#define TIDEMARK_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#define TIDE_SHARE_MIN 1e-6

struct tide_sample_rule {
    char glob[129];
    double share; /* TIDE_SHARE_MIN..1 */
};

struct tide_sample_rules {
    struct tide_sample_rule *rule; /* may be NULL */
    size_t rules;
};

/* The share of a module: that of the first rule whose glob (fnmatch) matches, 1 without any. name
 * has 1..TIDE_MODULE_NAME_MAX bytes. */
double tide_sample_share(const struct tide_sample_rules *rules, const char *name, uint32_t len);

/* What an event of this weight weighs when it is one of a share, by its hash; 0: it is left out.
 * Saturating. */
uint32_t tide_sample_weight(double share, uint64_t hash, uint32_t weight);

#endif
