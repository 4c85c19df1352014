/* The key sampling.modules: {glob: share}. */
#ifndef TIDEMARK_DAEMON_SHARES_H
#define TIDEMARK_DAEMON_SHARES_H

#include <stdbool.h>
#include "reader.h"
#include "tidemark/sample.h"

/* Is this path sampling.modules or below it? */
bool tide_shares_owns(const struct tide_path *path);

/* As the calls of the reader, for paths that are ours. */
enum tide_rc tide_shares_key(struct tide_sample_rules *shares, const struct tide_path *path,
                             struct tide_err *err);
enum tide_rc tide_shares_value(struct tide_sample_rules *shares, const struct tide_path *path,
                               const struct tide_value *value, struct tide_err *err);

#endif
