/* pages_cursor - see pages.h: one tree of the file, page by page, each checked before it is used. A
 * page that is not sound is told and passed over, with all below it.
 */
#include "pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pages_layout.h"
#include "must.h"

/* ---- a page ---- */

static const uint8_t *node_at(const uint8_t *page, unsigned i)
{
    return page + u16(page + PAGE_HEAD + 2 * i);
}

static unsigned count_of(const uint8_t *page)
{
    return (unsigned)(u16(page + 12) - PAGE_HEAD) / 2;
}

static MDB_val key_of(const uint8_t *page, unsigned i)
{
    const uint8_t *node = node_at(page, i);

    return (MDB_val){u16(node + 6), (void *)(node + NODE_HEAD)};
}

static uint64_t below_of(const uint8_t *node)
{
    return u16(node) | (uint64_t)u16(node + 2) << 16 | (uint64_t)u16(node + 4) << 32;
}

static bool is_leaf(const uint8_t *page)
{
    return u16(page + 10) & PAGE_LEAF;
}

static int order(const struct pages_cursor *cursor, const MDB_val *a, const MDB_val *b)
{
    size_t len = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int way;

    if (cursor->tree == PAGES_FREE) {
        uint64_t x = u64(a->mv_data), y = u64(b->mv_data);

        return x < y ? -1 : x > y;
    }
    way = memcmp(a->mv_data, b->mv_data, len);
    return way ? way : a->mv_size < b->mv_size ? -1 : a->mv_size > b->mv_size;
}

/* The keys that a level's page must lie between: from the pages above. */
static bool bound_below(const struct pages_cursor *cursor, int level, MDB_val *ret)
{
    while (level-- > 0)
        if (cursor->level[level].at > 0) {
            *ret = key_of(cursor->level[level].page, cursor->level[level].at);
            return true;
        }
    return false;
}

static bool bound_above(const struct pages_cursor *cursor, int level, MDB_val *ret)
{
    while (level-- > 0)
        if (cursor->level[level].at + 1 < cursor->level[level].count) {
            *ret = key_of(cursor->level[level].page, cursor->level[level].at + 1);
            return true;
        }
    return false;
}

/* The nodes lie in the page, fill it, and have sizes that can be. NULL: sound. */
static const char *check_nodes(const struct pages_cursor *cursor, const uint8_t *page,
                               uint32_t size)
{
    unsigned lower = u16(page + 12), upper = u16(page + 14);
    bool leaf = is_leaf(page);
    size_t filled = 0;

    if (lower < PAGE_HEAD + 2 || lower > upper || upper > size || lower % 2 || upper % 2)
        return "its bounds are wrong";
    for (unsigned i = 0; i < count_of(page); i++) {
        unsigned at = u16(page + PAGE_HEAD + 2 * i), flags, key_len;
        size_t len;

        if (at < upper || at % 2 || at + NODE_HEAD > size)
            return "a node lies outside of it";
        flags = u16(page + at + 4);
        key_len = u16(page + at + 6);
        len = NODE_HEAD + key_len;
        if (leaf) {
            size_t value = u16(page + at) | (size_t)u16(page + at + 2) << 16;

            if (flags & ~(cursor->tree == PAGES_MAIN ? NODE_TREE : NODE_OVERFLOW))
                return "a node has flags that are not ours";
            if (cursor->tree == PAGES_MAIN && (flags != NODE_TREE || value != TREE_SIZE))
                return "a node holds no table";
            len += flags & NODE_OVERFLOW ? sizeof(uint64_t) : value;
        }
        if (at + len > size || key_len > PAGES_KEY_MAX ||
            (cursor->tree == PAGES_FREE && key_len != sizeof(uint64_t) && (leaf || i > 0)))
            return "a node lies outside of it";
        filled += len + len % 2;
    }
    return filled == size - upper ? NULL : "its nodes do not fill it";
}

static const char *check_keys(const struct pages_cursor *cursor, int level, const uint8_t *page)
{
    unsigned count = count_of(page), first = is_leaf(page) ? 0 : 1;
    MDB_val before, bound;

    if (first >= count)
        return NULL; /* a branch of one page */
    before = key_of(page, first);
    if (bound_below(cursor, level, &bound) && order(cursor, &before, &bound) < 0)
        return "its keys lie before those that the page above tells";
    for (unsigned i = first + 1; i < count; i++) {
        MDB_val key = key_of(page, i);

        if (order(cursor, &before, &key) >= 0)
            return "its keys do not ascend";
        before = key;
    }
    if (bound_above(cursor, level, &bound) && order(cursor, &before, &bound) >= 0)
        return "its keys lie behind those that the page above tells";
    return NULL;
}

static const char *check_page(const struct pages_cursor *cursor, int level, const uint8_t *page,
                              uint64_t number)
{
    unsigned flags = u16(page + 10);
    const char *what;

    if (u64(page) != number)
        return "it has another page's number";
    if (flags != PAGE_LEAF && flags != PAGE_BRANCH)
        return "it is neither branch nor leaf";
    if ((what = check_nodes(cursor, page, cursor->pages->size)))
        return what;
    return check_keys(cursor, level, page);
}

static void report(struct pages_cursor *cursor, int level, uint64_t number, const char *what)
{
    struct pages *pages = cursor->pages;
    struct pages_damage damage = {cursor->name, number, what, NULL, NULL};
    MDB_val from, to;

    if (bound_below(cursor, level, &from))
        damage.from = &from;
    if (bound_above(cursor, level, &to))
        damage.to = &to;
    cursor->damaged = true;
    pages->tell(pages->arg, &damage);
}

/* Reads and checks a page of the tree into a level. */
static bool load(struct pages_cursor *cursor, int level, uint64_t number)
{
    struct pages *pages = cursor->pages;
    struct pages_level *into = &cursor->level[level];
    const char *what = NULL;

    if (!into->page)
        into->page = must(malloc(pages->size));
    pages->loaded++;
    if (level == PAGES_DEPTH_MAX - 1)
        what = "its tree is deeper than any of ours";
    else if (number < 2 || number > pages->last_page)
        what = "there is no such page";
    else if (!pages_read_at(pages->fd, into->page, pages->size, number * pages->size))
        what = "it cannot be read";
    else
        what = check_page(cursor, level, into->page, number);
    if (!what && cursor->counting)
        what = pages_mark(pages, number, 1);
    if (what) {
        report(cursor, level, number, what);
        return false;
    }
    into->number = number;
    into->at = 0;
    into->count = count_of(into->page);
    if (cursor->counting) {
        if (is_leaf(into->page))
            cursor->counted.leaf_pages++;
        else
            cursor->counted.branch_pages++;
        if (level + 1 > cursor->counted.depth)
            cursor->counted.depth = (uint16_t)(level + 1);
    }
    return true;
}

/* ---- cursors ---- */

void pages_cursor_open(struct pages_cursor *cursor, struct pages *pages, int tree, const char *name,
                       bool counting)
{
    *cursor = (struct pages_cursor){
        .pages = pages, .name = name, .tree = tree, .counting = counting, .epoch = pages->epoch};
}

void pages_cursor_close(struct pages_cursor *cursor)
{
    for (int i = 0; i < PAGES_DEPTH_MAX; i++)
        free(cursor->level[i].page);
    free(cursor->overflow);
    *cursor = (struct pages_cursor){0};
}

static const struct pages_tree *tree_of(const struct pages_cursor *cursor)
{
    const struct pages *pages = cursor->pages;

    return cursor->tree == PAGES_FREE   ? &pages->free_tree
           : cursor->tree == PAGES_MAIN ? &pages->main_tree
                                        : &pages->table[cursor->tree];
}

/* Loads the page that the deepest level points to, and from there the first of each, down to a
 * leaf; what is damaged is passed over. False: nothing is left to the right of there. */
static bool descend(struct pages_cursor *cursor)
{
    while (cursor->depth > 0) {
        struct pages_level *level = &cursor->level[cursor->depth - 1];

        if (level->at >= level->count) {
            if (--cursor->depth > 0)
                cursor->level[cursor->depth - 1].at++;
            continue;
        }
        if (is_leaf(level->page))
            return true;
        if (!load(cursor, cursor->depth, below_of(node_at(level->page, level->at)))) {
            level->at++;
            continue;
        }
        cursor->depth++;
    }
    return false;
}

static bool root(struct pages_cursor *cursor)
{
    const struct pages_tree *tree = tree_of(cursor);

    cursor->depth = 0;
    cursor->epoch = cursor->pages->epoch;
    if (tree->root == PAGES_NONE || !load(cursor, 0, tree->root))
        return false;
    cursor->depth = 1;
    return true;
}

/* The value of the node it stands on. False: its overflow pages are damaged. */
static bool take_overflow(struct pages_cursor *cursor, const uint8_t *node, size_t key_len,
                          size_t len)
{
    struct pages *pages = cursor->pages;
    uint64_t number = u64(node + NODE_HEAD + key_len);
    uint64_t needed = (PAGE_HEAD + len + pages->size - 1) / pages->size;
    const char *what = NULL;

    pages->loaded += needed;
    if (number < 2 || number > pages->last_page || needed > pages->last_page - number + 1) {
        what = "there is no such page";
    } else {
        if (cursor->capacity < needed * pages->size) {
            cursor->capacity = needed * pages->size;
            cursor->overflow = must(realloc(cursor->overflow, cursor->capacity));
        }
        if (!pages_read_at(pages->fd, cursor->overflow, needed * pages->size, number * pages->size))
            what = "it cannot be read";
        else if (u64(cursor->overflow) != number)
            what = "it has another page's number";
        else if (u16(cursor->overflow + 10) != PAGE_OVERFLOW ||
                 u32(cursor->overflow + 12) < needed ||
                 u32(cursor->overflow + 12) > pages->last_page - number + 1)
            what = "it is no overflow page of this value";
        else if (cursor->counting)
            what = pages_mark(pages, number, u32(cursor->overflow + 12));
    }
    if (what) {
        report(cursor, cursor->depth, number, what);
        return false;
    }
    if (cursor->counting)
        cursor->counted.overflow_pages += u32(cursor->overflow + 12);
    cursor->value = (MDB_val){len, cursor->overflow + PAGE_HEAD};
    return true;
}

static bool take(struct pages_cursor *cursor)
{
    const struct pages_level *level = &cursor->level[cursor->depth - 1];
    const uint8_t *node = node_at(level->page, level->at);
    size_t len = u16(node) | (size_t)u16(node + 2) << 16;

    cursor->key = key_of(level->page, level->at);
    memcpy(cursor->last, cursor->key.mv_data, cursor->key.mv_size);
    cursor->last_len = cursor->key.mv_size;
    cursor->begun = true;
    cursor->counted.entries++;
    if (u16(node + 4) & NODE_OVERFLOW)
        return take_overflow(cursor, node, cursor->key.mv_size, len);
    cursor->value = (MDB_val){len, (void *)(node + NODE_HEAD + cursor->key.mv_size)};
    return true;
}

/* From its place to the first value that can be read. */
static bool settle(struct pages_cursor *cursor)
{
    while (descend(cursor)) {
        if (take(cursor))
            return true;
        cursor->level[cursor->depth - 1].at++;
    }
    return false;
}

/* The first node of a page at or above the key (after: above it); of a branch: the one that leads
 * there. */
static unsigned find(const struct pages_cursor *cursor, const uint8_t *page, const MDB_val *key,
                     bool after)
{
    unsigned low = is_leaf(page) ? 0 : 1, high = count_of(page);

    while (low < high) {
        unsigned middle = (low + high) / 2;
        MDB_val held = key_of(page, middle);
        int way = order(cursor, &held, key);

        if (way < 0 || (way == 0 && (after || !is_leaf(page))))
            low = middle + 1;
        else
            high = middle;
    }
    return is_leaf(page) ? low : low - 1;
}

static bool seek(struct pages_cursor *cursor, const MDB_val *key, bool after)
{
    if (!root(cursor))
        return false;
    while (!is_leaf(cursor->level[cursor->depth - 1].page)) {
        struct pages_level *level = &cursor->level[cursor->depth - 1];

        level->at = find(cursor, level->page, key, after);
        if (!load(cursor, cursor->depth, below_of(node_at(level->page, level->at)))) {
            level->at++; /* its keys are lost: go on behind them */
            return settle(cursor);
        }
        cursor->depth++;
    }
    cursor->level[cursor->depth - 1].at =
        find(cursor, cursor->level[cursor->depth - 1].page, key, after);
    return settle(cursor);
}

bool pages_next(struct pages_cursor *cursor)
{
    if (!cursor->begun) {
        cursor->begun = true;
        return root(cursor) && settle(cursor);
    }
    if (cursor->epoch != cursor->pages->epoch) {
        uint8_t bytes[PAGES_KEY_MAX];
        MDB_val key = {cursor->last_len, bytes};

        memcpy(bytes, cursor->last, cursor->last_len);
        if (cursor->last_len == 0)
            return root(cursor) && settle(cursor);
        return seek(cursor, &key, true);
    }
    if (cursor->depth == 0)
        return false;
    cursor->level[cursor->depth - 1].at++;
    return settle(cursor);
}

bool pages_seek(struct pages_cursor *cursor, const void *key, size_t len)
{
    MDB_val wanted = {len, (void *)key};
    struct pages_level *leaf = cursor->depth > 0 ? &cursor->level[cursor->depth - 1] : NULL;

    assert(!cursor->counting && len <= PAGES_KEY_MAX);
    cursor->begun = true;
    if (leaf && cursor->epoch == cursor->pages->epoch) { /* nearly always on the same page */
        MDB_val first = key_of(leaf->page, 0), last = key_of(leaf->page, leaf->count - 1);

        if (order(cursor, &first, &wanted) <= 0 && order(cursor, &wanted, &last) <= 0) {
            leaf->at = find(cursor, leaf->page, &wanted, false);
            return settle(cursor);
        }
    }
    return seek(cursor, &wanted, false);
}

const char *pages_miscounted(const struct pages_cursor *cursor)
{
    const struct pages_tree *told = tree_of(cursor), *met = &cursor->counted;

    if (cursor->damaged)
        return NULL; /* said already */
    if (told->entries != met->entries)
        return "its tree does not have as many values as it says";
    if (told->depth != met->depth || told->branch_pages != met->branch_pages ||
        told->leaf_pages != met->leaf_pages || told->overflow_pages != met->overflow_pages)
        return "its tree does not have as many pages as it says";
    return NULL;
}
