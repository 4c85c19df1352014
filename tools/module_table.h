/* module_table - modules as the daemon lists them (/api/v3/metrics/modules), one row each. */
#ifndef TIDEMARK_TOOLS_MODULE_TABLE_H
#define TIDEMARK_TOOLS_MODULE_TABLE_H

#include <jansson.h>
#include "table.h"

struct tide_table *tide_module_table(void);
void tide_module_row(struct tide_table *table, const json_t *module);

#endif
