/* pages_layout - the layout of the file, that of LMDB 0.9 on a machine of 64 bits and the byte
 * order of this one:
 *
 *   page    number u64, pad u16, flags u16, lower u16, upper u16 (overflow: pages u32), then u16
 *           offsets of the nodes up to `lower`; the nodes fill [upper, size)
 *   node    low u16, high u16, flags u16, length of key u16, key, value, filled up to an even size.
 *           In a leaf low and high are the size of the value, which is in overflow pages if so
 *           flagged; in a branch low, high, flags are the number of the page below
 *   tree    pad u32, flags u16, depth u16, branch pages, leaf pages, overflow pages, entries, root
 *   meta    (pages 0 and 1) magic u32, version u32, address, map size, tree of the free list, tree
 *           of the tables, last page, transaction
 */
#ifndef STORAGE_PAGES_LAYOUT_H
#define STORAGE_PAGES_LAYOUT_H

#include <string.h>
#include "pages.h"

#define PAGE_HEAD      16
#define NODE_HEAD      8
#define TREE_SIZE      48
#define PAGE_BRANCH    0x01
#define PAGE_LEAF      0x02
#define PAGE_OVERFLOW  0x04
#define PAGE_META      0x08
#define NODE_OVERFLOW  0x01u
#define NODE_TREE      0x02u
#define TREE_INTEGER   0x08   /* of the free list: its keys are numbers */
#define TREE_STRANGE   0x0076 /* kinds of trees that we never make */
#define MAP_FIXED_FLAG 0x01

static inline uint16_t u16(const uint8_t *from)
{
    uint16_t v;

    memcpy(&v, from, sizeof(v));
    return v;
}

static inline uint32_t u32(const uint8_t *from)
{
    uint32_t v;

    memcpy(&v, from, sizeof(v));
    return v;
}

static inline uint64_t u64(const uint8_t *from)
{
    uint64_t v;

    memcpy(&v, from, sizeof(v));
    return v;
}

/* Reads whole pages; false: the file does not have them, or the disk refuses. */
bool pages_read_at(int fd, void *into, size_t len, uint64_t offset);

/* Marks pages as used; why not, or NULL. */
const char *pages_mark(struct pages *pages, uint64_t number, uint64_t count);

#endif
