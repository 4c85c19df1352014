/* head - see head.h for the model of generations. */
#include "head.h"
#include "must.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum retired_kind { RETIRED_NODE, RETIRED_PAGE, RETIRED_LAYER };

/* Something replaced or dropped, still reachable from generations up to `until`. */
struct retired {
    struct retired *next;
    uint64_t until;
    enum retired_kind kind;
    void *what;
};

struct head {
    pthread_mutex_t lock;
    pthread_cond_t published;
    bool exclusive; /* the writer is changing the current generation in place: pins wait */
    unsigned pins;  /* over all generations */

    struct head_generation *oldest,
        *current;                  /* list by number; all but current have pins or await reaping */
    struct head_generation *draft; /* between begin and publish */
    uint32_t touched;              /* the layer that was touched last */
    struct retired *retired;       /* newest first */
};

/* ---- nodes, pages, layers ---- */

static void node_free(struct head_node *node)
{
    if (!node)
        return;
    tide_record_fini(&node->record);
    free(node->error);
    free(node);
}

static struct head_node *node_new(uint64_t born)
{
    struct head_node *node = must(malloc(sizeof(*node)));

    node->born = born;
    node->dirty = false;
    node->checkpoint_seq = 0;
    node->checkpoint_s = 0;
    node->error = NULL;
    tide_record_init(&node->record);
    return node;
}

static struct head_node *node_copy(const struct head_node *from, uint64_t born)
{
    struct head_node *node = node_new(born);

    node->dirty = from->dirty;
    node->checkpoint_seq = from->checkpoint_seq;
    node->checkpoint_s = from->checkpoint_s;
    tide_record_copy(&node->record, &from->record);
    if (from->error) {
        size_t size = sizeof(*from->error) + from->error->len;

        node->error = must(malloc(size));
        memcpy(node->error, from->error, size);
    }
    return node;
}

static struct head_layer *layer_new(uint64_t born, int64_t start_s)
{
    struct head_layer *layer = must(calloc(1, sizeof(*layer)));

    layer->born = born;
    layer->start_s = start_s;
    return layer;
}

static struct head_layer *layer_copy(const struct head_layer *from, uint64_t born)
{
    struct head_layer *layer = layer_new(born, from->start_s);

    layer->pages = from->pages;
    layer->nodes = from->nodes;
    layer->page = must(malloc((from->pages + 1) * sizeof(*layer->page)));
    if (from->pages)
        memcpy(layer->page, from->page, from->pages * sizeof(*layer->page));
    return layer;
}

/* A layer struct without what its pages hold. */
static void layer_free_shell(struct head_layer *layer)
{
    free(layer->page);
    free(layer);
}

static void layer_free(struct head_layer *layer)
{
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (unsigned i = 0; i < HEAD_PAGE_NODES; i++)
            node_free(layer->page[p]->node[i]);
        free(layer->page[p]);
    }
    layer_free_shell(layer);
}

static void retired_free(struct retired *retired)
{
    if (retired->kind == RETIRED_NODE)
        node_free(retired->what);
    else if (retired->kind == RETIRED_PAGE)
        free(retired->what);
    else
        layer_free_shell(retired->what);
    free(retired);
}

static void retire(struct head *head, enum retired_kind kind, void *what)
{
    struct retired *retired = must(malloc(sizeof(*retired)));

    *retired = (struct retired){
        .next = head->retired, .until = head->current->number, .kind = kind, .what = what};
    head->retired = retired;
}

/* Retires a whole layer: every page and node by itself, since younger generations may share some of
 * them. */
static void retire_layer(struct head *head, struct head_layer *layer)
{
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (unsigned i = 0; i < HEAD_PAGE_NODES; i++)
            if (layer->page[p]->node[i])
                retire(head, RETIRED_NODE, layer->page[p]->node[i]);
        retire(head, RETIRED_PAGE, layer->page[p]);
    }
    retire(head, RETIRED_LAYER, layer);
}

/* ---- life ---- */

struct head *head_new(void)
{
    struct head *head = must(calloc(1, sizeof(*head)));

    pthread_mutex_init(&head->lock, NULL);
    pthread_cond_init(&head->published, NULL);
    head->current = must(calloc(1, sizeof(*head->current)));
    head->current->number = 1;
    head->current->totals = layer_new(1, -1);
    head->oldest = head->current;
    return head;
}

static void generation_free(struct head_generation *generation)
{
    free(generation->layer);
    free(generation);
}

/* Frees what no pin can see any more. Caller holds the lock. */
static void reap(struct head *head)
{
    struct retired **link = &head->retired;
    uint64_t oldest;

    while (head->oldest != head->current && head->oldest->pins == 0) {
        struct head_generation *gone = head->oldest;

        head->oldest = gone->next;
        generation_free(gone);
    }
    oldest = head->oldest->number;
    while (*link) {
        struct retired *retired = *link;

        if (retired->until < oldest) {
            *link = retired->next;
            retired_free(retired);
        } else {
            link = &retired->next;
        }
    }
}

void head_free(struct head *head)
{
    if (!head)
        return;
    assert(head->pins == 0 && !head->draft);
    pthread_mutex_lock(&head->lock);
    reap(head);
    pthread_mutex_unlock(&head->lock);
    assert(!head->retired);
    for (uint32_t i = 0; i < head->current->layers; i++)
        layer_free(head->current->layer[i]);
    layer_free(head->current->totals);
    generation_free(head->current);
    pthread_cond_destroy(&head->published);
    pthread_mutex_destroy(&head->lock);
    free(head);
}

/* ---- writer ---- */

void head_begin(struct head *head)
{
    struct head_generation *draft;

    assert(!head->draft);
    pthread_mutex_lock(&head->lock);
    reap(head);
    if (head->pins == 0) {
        assert(!head->retired && head->oldest == head->current);
        head->exclusive = true;
        head->draft = head->current;
        head->draft
            ->number++; /* nobody knows the old number; everything reachable may be changed */
        pthread_mutex_unlock(&head->lock);
        return;
    }
    draft = must(malloc(sizeof(*draft)));
    *draft = *head->current; /* under the lock: readers count their pins in it */
    pthread_mutex_unlock(&head->lock);
    draft->next = NULL;
    draft->pins = 0;
    draft->number++;
    draft->layer = must(malloc((draft->layers + 1) * sizeof(*draft->layer)));
    draft->layer_capacity = draft->layers + 1;
    if (draft->layers)
        memcpy(draft->layer, head->current->layer, draft->layers * sizeof(*draft->layer));
    head->draft = draft;
}

struct head_generation *head_draft(struct head *head)
{
    assert(head->draft);
    return head->draft;
}

/* May this thing, made in generation `born`, be changed by the draft? */
static bool ours(const struct head *head, uint64_t born)
{
    return head->exclusive || born == head->draft->number;
}

static struct head_layer *own_layer(struct head *head, struct head_layer **link)
{
    struct head_layer *layer = *link;

    if (ours(head, layer->born))
        return layer;
    *link = layer_copy(layer, head->draft->number);
    retire(head, RETIRED_LAYER, layer);
    return *link;
}

static struct head_node *touch(struct head *head, struct head_layer **link, uint32_t module)
{
    struct head_layer *layer = own_layer(head, link);
    uint32_t p = module / HEAD_PAGE_NODES;
    uint64_t number = head->draft->number;
    struct head_node **node;

    if (p >= layer->pages) {
        layer->page = must(realloc(layer->page, (p + 1) * sizeof(*layer->page)));
        memset(layer->page + layer->pages, 0, (p + 1 - layer->pages) * sizeof(*layer->page));
        layer->pages = p + 1;
    }
    if (!layer->page[p]) {
        layer->page[p] = must(calloc(1, sizeof(struct head_page)));
        layer->page[p]->born = number;
    } else if (!ours(head, layer->page[p]->born)) {
        struct head_page *copy = must(malloc(sizeof(*copy)));

        *copy = *layer->page[p];
        copy->born = number;
        retire(head, RETIRED_PAGE, layer->page[p]);
        layer->page[p] = copy;
    }
    node = &layer->page[p]->node[module % HEAD_PAGE_NODES];
    if (!*node) {
        *node = node_new(number);
        layer->nodes++;
    } else if (!ours(head, (*node)->born)) {
        struct head_node *copy = node_copy(*node, number);

        retire(head, RETIRED_NODE, *node);
        *node = copy;
    }
    return *node;
}

/* First layer whose start is not below start_s. */
static uint32_t layer_place(const struct head_generation *generation, int64_t start_s)
{
    uint32_t low = 0, high = generation->layers;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (generation->layer[middle]->start_s < start_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Likewise; deltas that follow each other are mostly of one interval. */
static uint32_t layer_place_again(const struct head_generation *generation, int64_t start_s,
                                  uint32_t before)
{
    if (before < generation->layers && generation->layer[before]->start_s == start_s)
        return before;
    return layer_place(generation, start_s);
}

struct head_node *const *head_find_place(const struct head *head, int64_t start_s, uint32_t module)
{
    const struct head_generation *draft = head->draft;
    uint32_t at = layer_place_again(draft, start_s, head->touched), p = module / HEAD_PAGE_NODES;
    const struct head_layer *layer = at < draft->layers ? draft->layer[at] : NULL;

    if (!layer || layer->start_s != start_s || p >= layer->pages || !layer->page[p])
        return NULL;
    return &layer->page[p]->node[module % HEAD_PAGE_NODES];
}

struct head_node *head_touch(struct head *head, int64_t start_s, uint32_t module)
{
    struct head_generation *draft = head_draft(head);
    uint32_t at = layer_place_again(draft, start_s, head->touched);

    assert(start_s >= draft->sealed_upto_s);
    if (at == draft->layers || draft->layer[at]->start_s != start_s) {
        if (draft->layers == draft->layer_capacity) {
            draft->layer_capacity = draft->layer_capacity ? draft->layer_capacity * 2 : 4;
            draft->layer =
                must(realloc(draft->layer, draft->layer_capacity * sizeof(*draft->layer)));
        }
        memmove(draft->layer + at + 1, draft->layer + at,
                (draft->layers - at) * sizeof(*draft->layer));
        draft->layer[at] = layer_new(draft->number, start_s);
        draft->layers++;
    }
    head->touched = at;
    return touch(head, &draft->layer[at], module);
}

struct head_node *head_touch_total(struct head *head, uint32_t module)
{
    return touch(head, &head_draft(head)->totals, module);
}

void head_drop_layers(struct head *head, int64_t before_s)
{
    struct head_generation *draft = head_draft(head);
    uint32_t gone = layer_place(draft, before_s);

    if (gone == 0)
        return;
    for (uint32_t i = 0; i < gone; i++) {
        if (head->exclusive)
            layer_free(draft->layer[i]);
        else
            retire_layer(head, draft->layer[i]);
    }
    memmove(draft->layer, draft->layer + gone, (draft->layers - gone) * sizeof(*draft->layer));
    draft->layers -= gone;
}

void head_publish(struct head *head)
{
    pthread_mutex_lock(&head->lock);
    if (!head->exclusive) {
        head->current->next = head->draft;
        head->current = head->draft;
    }
    head->exclusive = false;
    head->draft = NULL;
    reap(head);
    pthread_cond_broadcast(&head->published);
    pthread_mutex_unlock(&head->lock);
}

const struct head_generation *head_current(const struct head *head)
{
    return head->current;
}

void head_node_error(struct head_node *node, int64_t time_us, const char *text, uint32_t len)
{
    const struct head_error *held = node->error;

    if (held &&
        (time_us < held->time_us ||
         (time_us == held->time_us && !tide_slowest_beats(0, text, len, 0, held->text, held->len))))
        return;
    if (!held || held->len < len)
        node->error = must(realloc(node->error, sizeof(*node->error) + len));
    node->error->time_us = time_us;
    node->error->len = len;
    memcpy(node->error->text, text, len);
}

/* ---- readers ---- */

const struct head_generation *head_pin(struct head *head)
{
    struct head_generation *generation;

    pthread_mutex_lock(&head->lock);
    while (head->exclusive)
        pthread_cond_wait(&head->published, &head->lock);
    generation = head->current;
    generation->pins++;
    head->pins++;
    pthread_mutex_unlock(&head->lock);
    return generation;
}

void head_unpin(struct head *head, const struct head_generation *generation)
{
    pthread_mutex_lock(&head->lock);
    assert(generation->pins > 0 && head->pins > 0);
    ((struct head_generation *)generation)->pins--;
    head->pins--;
    pthread_mutex_unlock(&head->lock);
}

unsigned head_pins(struct head *head)
{
    unsigned pins;

    pthread_mutex_lock(&head->lock);
    pins = head->pins;
    pthread_mutex_unlock(&head->lock);
    return pins;
}

const struct head_layer *head_find_layer(const struct head_generation *generation, int64_t start_s)
{
    uint32_t at = layer_place(generation, start_s);

    return at < generation->layers && generation->layer[at]->start_s == start_s
               ? generation->layer[at]
               : NULL;
}

const struct head_node *head_peek(const struct head_layer *layer, uint32_t module)
{
    uint32_t p = module / HEAD_PAGE_NODES;

    if (p >= layer->pages || !layer->page[p])
        return NULL;
    return layer->page[p]->node[module % HEAD_PAGE_NODES];
}

void head_fleet(const struct head_layer *layer, struct tide_record *into)
{
    const struct head_node *fleet = head_peek(layer, 0);

    tide_record_reset(into);
    if (fleet)
        tide_record_merge(into, &fleet->record);
    for (uint32_t p = 0; p < layer->pages; p++) {
        if (!layer->page[p])
            continue;
        for (unsigned i = p == 0; i < HEAD_PAGE_NODES; i++) {
            const struct head_node *node = layer->page[p]->node[i];

            if (node && node->record.instances)
                tide_record_gather_gauges(into, &node->record);
        }
    }
}
