/* show - the configuration as it is in effect, each key with where its value came from. */
#ifndef TIDEMARK_DAEMON_SHOW_H
#define TIDEMARK_DAEMON_SHOW_H

#include <stdio.h>
#include "options.h"

/* Where a key was set, in the order of the sources: the last one of a key holds. */
struct tide_setting {
    char key[192];
    char value[192]; /* as written; cut when longer */
    char from[256];  /* "--set", "environment", "--http", "tidemark.json:2:33" */
};

void tide_settings_fini(struct tide_settings *settings);
void tide_settings_note(struct tide_settings *settings, const char *key, const char *value,
                        const char *from);

/* One JSON object: {"keys": [{key, value, origin, default, reload, help}]}; of thresholds and of
 * what is set by glob only what was set. */
void tide_config_show(const struct tide_config *config, FILE *out);

#endif
