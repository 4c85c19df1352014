/* chunk - consecutive records of one module in one tier as one value: columns for the fields, then
 * the histograms bucket by bucket. Intervals without a record are absent. FORMAT.md "chunk" has the
 * bytes.
 *
 * Pure functions of bytes and records. Every field of a record survives exactly except the slowest
 * correlation id, which stays behind on purpose. Reading is in two steps, because most questions
 * need no percentiles: the fields of all records at once, and only then the histograms.
 */
#ifndef STORAGE_CHUNK_H
#define STORAGE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buckets.h"
#include "customs.h"
#include "row.h"
#include "tidemark/record.h"
#include "txn.h"

#define CHUNK_PAYLOAD_MAX (TIDE_VALUE_PAGE - TIDE_CRC_SIZE) /* fills one overflow page */
#define CHUNK_RECORDS_MAX 512

struct chunk_entry {
    int64_t start_s;   /* >= 0, a multiple of the tier's width */
    uint32_t revision; /* rises when late events changed the record */
    const struct tide_record *record;
};

/* Replaces what `out` holds by as many of the entries, from the front, as fit into max_bytes; says
 * how many. Entries ascend by start_s, count >= 1. A first record that does not fit by itself is
 * encoded alone all the same: then out->len > max_bytes, and the caller writes it in parts. */
size_t chunk_encode(struct blob *out, const struct chunk_entry *entry, size_t count,
                    uint32_t width_s, size_t max_bytes);

/* A chunk whose header is sound. */
struct chunk_view {
    const uint8_t *fields, *fields_end, *hists_end; /* into the payload */
    uint32_t width_s;
    uint32_t count;          /* of records, >= 1 */
    int64_t first_s, last_s; /* starts of the first and the last interval */
    uint64_t columns;        /* which there are */
    uint32_t flags;
};

/* False: these bytes are no chunk. `payload` is lent until the last read through ret_view. */
bool chunk_open(const void *payload, size_t len, struct chunk_view *ret_view);

/* One record as it was decoded. What it points to is the reader's: to look at until the next chunk
 * is read, or to copy. */
struct chunk_row {
    int64_t start_s;
    uint32_t revision;
    struct tide_record record; /* its histogram is empty until chunk_read_hists */
};

/* Decodes chunks, one after the other; keeps its memory between them. */
struct chunk_reader {
    struct chunk_view view;
    struct chunk_row *row;          /* [view.count] */
    struct tide_instance *instance; /* of all rows */
    size_t instance_capacity;
    struct buckets buckets; /* of the rows that have samples */
    uint64_t *samples;      /* by their place among them */
    struct customs customs;
    struct parse *parse; /* columns, while they are read */
    struct blob scratch;
};

void chunk_reader_init(struct chunk_reader *reader);
void chunk_reader_fini(struct chunk_reader *reader);

/* Decodes the fields of all records into reader->row, without touching a bit of the histograms.
 * False: damaged. */
bool chunk_read_fields(struct chunk_reader *reader, const struct chunk_view *view);

/* After chunk_read_fields: decodes the histograms of all records. False: damaged. */
bool chunk_read_hists(struct chunk_reader *reader);

/* After chunk_read_fields: merges the rows [first, last), histograms included, into `into`: a good
 * deal cheaper than one by one. What chunk_read_hists had read is gone. False: damaged; `into` then
 * has some of them. */
bool chunk_sum(struct chunk_reader *reader, uint32_t first, uint32_t last,
               struct tide_record *into);

/* Row i as a record of its own; `into` is initialised, what it held is gone. */
void chunk_record(const struct chunk_reader *reader, uint32_t i, struct tide_record *into);

#endif
