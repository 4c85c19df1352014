/* reader - open snapshots, for the figures that keep them honest. */
#ifndef STORAGE_READER_H
#define STORAGE_READER_H

#include "inside.h"

/* Pages of the file that hold nothing. Any thread; the environment stays open. */
uint64_t free_pages(struct tide_store *store);

/* Fills readers, oldest_reader_us and free_pages. The caller holds readers_lock, and the
 * environment is open. */
void reader_stats(struct tide_store *store, struct tide_store_stats *ret);

#endif
