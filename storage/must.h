/* must - memory that has to be there. What this room allocates is bounded by its configuration; a
 * daemon that cannot get it cannot go on, and a crash loses nothing that was acked.
 */
#ifndef STORAGE_MUST_H
#define STORAGE_MUST_H

#include <stdio.h>
#include <stdlib.h>

static inline void *must(void *memory)
{
    if (!memory) {
        perror("tidemark: storage: out of memory");
        abort();
    }
    return memory;
}

#endif
