/* head - the open intervals and the totals of every module, in memory, as immutable generations.
 *
 * A generation is what was true after one commit. A reader pins the newest and reads it at leisure;
 * the writer never changes what a pinned generation can reach. Two ways to get there, chosen at
 * head_begin: nobody has a pin      the writer changes the records in place; readers that come
 * meanwhile wait the few microseconds until head_publish somebody has a pin    the writer copies
 * each page and record the first time it touches it (`born` says in which generation a thing was
 * made) and readers go on with the old ones, which are freed when the last pin that can see them is
 * gone So no reader sees half a commit, and none holds up the committer.
 *
 * Layers: one per open interval, and one for the totals of everything before sealed_upto (a
 * module's total is that plus its open intervals). Module ids index pages of nodes; id 0 of a layer
 * is the fleet without its gauges, which come from the modules' on reading.
 */
#ifndef STORAGE_HEAD_H
#define STORAGE_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/ledger.h"
#include "tidemark/record.h"

struct head_error {
    int64_t time_us;
    uint32_t len;
    char text[]; /* not terminated */
};

struct head_node {
    uint64_t born;
    bool dirty;              /* totals: changed since the last checkpoint */
    uint64_t checkpoint_seq; /* totals: on disk, the journal is covered up to here ... */
    int64_t checkpoint_s;    /* ... for intervals before this */
    struct tide_record record;
    struct head_error *error; /* newest error text; NULL: none */
};

#define HEAD_PAGE_NODES 256u

struct head_page {
    uint64_t born;
    struct head_node *node[HEAD_PAGE_NODES];
};

struct head_layer {
    uint64_t born;
    int64_t start_s; /* -1: the totals */
    uint32_t pages;
    uint32_t nodes; /* how many are not NULL */
    struct head_page **page;
};

struct head_generation {
    struct head_generation *next; /* the next newer one */
    uint64_t number;
    unsigned pins;
    uint64_t commit_seq;
    int64_t sealed_upto_s;
    uint32_t modules;
    struct tide_ledger ledger;
    struct head_layer *totals;
    uint32_t layers, layer_capacity;
    struct head_layer **layer; /* open intervals, ascending by start */
};

struct head;

struct head *head_new(void);
void head_free(struct head *head); /* no pins may be left */

/* ---- writer ---- */
void head_begin(struct head *head);
struct head_generation *
head_draft(struct head *head); /* between begin and publish: set the plain fields here */
struct head_node *head_touch(struct head *head, int64_t start_s,
                             uint32_t module); /* found or made, safe to change */
struct head_node *head_touch_total(struct head *head, uint32_t module);
struct head_node *const *
head_find_place(const struct head *head, int64_t start_s,
                uint32_t module); /* where the draft has the node; NULL: nowhere yet */
void head_drop_layers(struct head *head,
                      int64_t before_s); /* forgets open intervals that start before */
void head_publish(struct head *head);
const struct head_generation *
head_current(const struct head *head); /* for the writer's own reading */

void head_node_error(struct head_node *node, int64_t time_us, const char *text, uint32_t len);

/* ---- readers ---- */
const struct head_generation *head_pin(struct head *head);
void head_unpin(struct head *head, const struct head_generation *generation);
unsigned head_pins(struct head *head);

const struct head_layer *head_find_layer(const struct head_generation *generation, int64_t start_s);
const struct head_node *head_peek(const struct head_layer *layer,
                                  uint32_t module); /* NULL: nothing */

/* The fleet's record of one layer, gauges gathered over its modules, into `into` (initialised). */
void head_fleet(const struct head_layer *layer, struct tide_record *into);

#endif
