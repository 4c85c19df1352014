/* modules - see modules.h. Names sit in pages that never move; a seeded open-addressing table of
 * ids finds them. A reader-writer lock guards the table; the writing thread holds it only while it
 * adds.
 */
#include "modules.h"
#include "must.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/event.h"
#include "tidemark/hash.h"

#define PAGE_NAMES 1024u
#define PAGES      10240u /* 10^7 modules, the configured maximum, and __overflow__ */

struct modules {
    const struct tide_retention_rules *retention;
    pthread_rwlock_t lock;
    uint64_t seed;
    uint32_t count;
    uint32_t slots;
    uint32_t *slot; /* id, 0 free */
    struct module_name **page[PAGES];
};

struct modules *modules_new(const struct tide_retention_rules *retention)
{
    struct modules *modules = must(calloc(1, sizeof(*modules)));

    modules->retention = retention;
    pthread_rwlock_init(&modules->lock, NULL);
    tide_random(&modules->seed, sizeof(modules->seed));
    modules->slots = 256;
    modules->slot = must(calloc(modules->slots, sizeof(*modules->slot)));
    return modules;
}

static struct module_name **name_of(struct modules *modules, uint32_t id)
{
    assert(id >= 1 && id <= modules->count);
    return &modules->page[(id - 1) / PAGE_NAMES][(id - 1) % PAGE_NAMES];
}

void modules_free(struct modules *modules)
{
    if (!modules)
        return;
    modules_truncate(modules, 0);
    for (unsigned i = 0; i < PAGES; i++)
        free(modules->page[i]);
    free(modules->slot);
    pthread_rwlock_destroy(&modules->lock);
    free(modules);
}

/* The slot of a name: its own, or the free one where it would go. */
static uint32_t slot_of(struct modules *modules, uint64_t hash, const char *name, size_t len)
{
    uint32_t at = (uint32_t)hash & (modules->slots - 1);

    while (modules->slot[at]) {
        const struct module_name *held = *name_of(modules, modules->slot[at]);

        if (held->hash == hash && held->len == len && memcmp(held->text, name, len) == 0)
            break;
        at = (at + 1) & (modules->slots - 1);
    }
    return at;
}

static void place(struct modules *modules, uint32_t id)
{
    const struct module_name *held = *name_of(modules, id);

    modules->slot[slot_of(modules, held->hash, held->text, held->len)] = id;
}

static void rebuild(struct modules *modules, uint32_t slots)
{
    free(modules->slot);
    modules->slots = slots;
    modules->slot = must(calloc(slots, sizeof(*modules->slot)));
    for (uint32_t id = 1; id <= modules->count; id++)
        place(modules, id);
}

uint32_t modules_find(struct modules *modules, const char *name, size_t len)
{
    uint64_t hash = tide_hash64(modules->seed, name, len);
    uint32_t id;

    pthread_rwlock_rdlock(&modules->lock);
    id = modules->slot[slot_of(modules, hash, name, len)];
    pthread_rwlock_unlock(&modules->lock);
    return id;
}

uint32_t modules_add(struct modules *modules, const char *name, size_t len)
{
    struct module_name *held = must(malloc(sizeof(*held) + len + 1));
    uint32_t id = modules->count + 1, page = (id - 1) / PAGE_NAMES;

    assert(len > 0 && len <= TIDE_MODULE_NAME_MAX && page < PAGES);
    held->hash = tide_hash64(modules->seed, name, len);
    held->len = (uint32_t)len;
    memcpy(held->text, name, len);
    held->text[len] = '\0';
    held->keep =
        modules->retention ? (uint32_t)tide_retention_find(modules->retention, held->text) : 0;
    pthread_rwlock_wrlock(&modules->lock);
    if (!modules->page[page])
        modules->page[page] = must(calloc(PAGE_NAMES, sizeof(struct module_name *)));
    modules->count = id;
    *name_of(modules, id) = held;
    if (modules->slots < 2 * id)
        rebuild(modules, modules->slots * 2);
    else
        place(modules, id);
    pthread_rwlock_unlock(&modules->lock);
    return id;
}

void modules_truncate(struct modules *modules, uint32_t count)
{
    assert(count <= modules->count);
    if (count == modules->count)
        return;
    pthread_rwlock_wrlock(&modules->lock);
    for (uint32_t id = count + 1; id <= modules->count; id++) {
        free(*name_of(modules, id));
        *name_of(modules, id) = NULL;
    }
    modules->count = count;
    rebuild(modules, modules->slots);
    pthread_rwlock_unlock(&modules->lock);
}

uint32_t modules_count(const struct modules *modules)
{
    return modules->count;
}

const struct module_name *modules_name(struct modules *modules, uint32_t id)
{
    const struct module_name *name;

    pthread_rwlock_rdlock(&modules->lock);
    name = *name_of(modules, id);
    pthread_rwlock_unlock(&modules->lock);
    return name;
}
