/* chunk_layout - what the two sides of a chunk, chunk.c and chunk_read.c, agree on. */
#ifndef STORAGE_CHUNK_LAYOUT_H
#define STORAGE_CHUNK_LAYOUT_H

#include "chunk.h"

#define CHUNK_VERSION 1

/* Of the whole chunk. */
enum {
    /* One sample: sum, minimum and maximum are one number. Two: the sum is minimum + maximum. */
    CHUNK_FEW_SAMPLES = 1 << 0,
    CHUNK_ONE_EVENT = 1 << 1, /* a record of one event: the last is the first */
    CHUNK_KNOWN_FLAGS = (1 << 2) - 1
};

/* Columns of the tally, in their order; the numbers are bits of the chunk's mask. */
enum {
    CHUNK_GAP,
    CHUNK_REVISION,
    CHUNK_REQUESTS,
    CHUNK_FAILED,
    CHUNK_ERRORS,
    CHUNK_PLAIN,
    CHUNK_UNTIMED,
    CHUNK_KIND,
    CHUNK_FIRST = CHUNK_KIND + TIDE_EVENT_KIND_COUNT,
    CHUNK_LAST,
    CHUNK_START,
    CHUNK_STOP,
    CHUNK_HEALTH,
    CHUNK_UNHEALTHY,
    CHUNK_MIN,
    CHUNK_MAX,
    CHUNK_SUM,
    CHUNK_INSTANCES, /* not columns: the instances and then ... */
    CHUNK_CUSTOMS,   /* ... the custom metrics follow */
    CHUNK_COLUMNS
};

/* Columns of one gauge of one instance. */
enum { GAUGE_COUNT, GAUGE_TIME, GAUGE_LAST, GAUGE_MAX, GAUGE_SUM, GAUGE_COLUMNS };

/* Most instances in one record. */
#define CHUNK_INSTANCES_MAX (TIDE_INSTANCES_MAX + 1)

/* All events of a record, whatever their kind. */
static inline uint64_t chunk_events(const struct tide_tally *tally)
{
    uint64_t events = 0;

    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        events += tally->kind[kind];
    return events;
}

#endif
