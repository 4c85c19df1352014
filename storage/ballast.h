/* ballast - disk space set aside in a file. On a full disk it is given up, so that what is past its
 * time can be deleted (from a copy-on-write tree that takes pages first), and taken back before
 * events get at it.
 */
#ifndef STORAGE_BALLAST_H
#define STORAGE_BALLAST_H

#include <stdint.h>

struct tide_store;

/* At start: makes the file if there is room. */
void ballast_open(struct tide_store *store);

void ballast_give_up(struct tide_store *store);
/* As much as is left of what was given up. */
void ballast_take_back(struct tide_store *store);

/* Once a minute: makes the file whole when the disk has room for twice its size. */
void ballast_keep(struct tide_store *store, int64_t now_us);

#endif
