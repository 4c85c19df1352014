/* guard - a few pages, the last of them unreadable. */
#include "guard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void tide_guard_init(struct tide_guard *guard, size_t most)
{
    guard->page = (size_t)sysconf(_SC_PAGESIZE);
    guard->room = (most / guard->page + 1) * guard->page;
    guard->map = mmap(NULL, guard->room + guard->page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard->map == MAP_FAILED || mprotect(guard->map + guard->room, guard->page, PROT_NONE)) {
        perror("guard");
        abort();
    }
}

void tide_guard_fini(struct tide_guard *guard)
{
    munmap(guard->map, guard->room + guard->page);
}

const uint8_t *tide_guard_place(struct tide_guard *guard, const void *data, size_t len)
{
    uint8_t *at = guard->map + guard->room - len;

    assert(len <= guard->room);
    if (len > 0)
        memcpy(at, data, len);
    return at;
}
