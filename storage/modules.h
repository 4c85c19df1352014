/* modules - module name <-> id. Ids are 1, 2, ... in order of first appearance and never change;
 * names live as long as the store is open, so a reader may keep a pointer to one. One thread adds,
 * any thread looks up.
 */
#ifndef STORAGE_MODULES_H
#define STORAGE_MODULES_H

#include <stddef.h>
#include <stdint.h>
#include "tidemark/retention.h"

struct modules;

struct module_name {
    uint64_t hash;
    uint32_t len;
    uint32_t keep; /* its retention rule: tide_retention_keep_s */
    char text[];   /* terminated */
};

/* retention must outlive it; NULL: nobody asks for rules. */
struct modules *modules_new(const struct tide_retention_rules *retention);
void modules_free(struct modules *modules);

/* The id of a name, 0 when it has none. */
uint32_t modules_find(struct modules *modules, const char *name, size_t len);

/* Gives a name that has none the next id. */
uint32_t modules_add(struct modules *modules, const char *name, size_t len);

/* Takes back every id above count: their commit failed. */
void modules_truncate(struct modules *modules, uint32_t count);

uint32_t modules_count(const struct modules *modules);
const struct module_name *modules_name(struct modules *modules, uint32_t id);

#endif
