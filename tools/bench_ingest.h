/* What a run of `bench ingest` measured, and its two reports. */
#ifndef TIDEMARK_TOOLS_BENCH_INGEST_H
#define TIDEMARK_TOOLS_BENCH_INGEST_H

#include <stdbool.h>
#include <stdint.h>
#include "load.h"
#include "proc.h"

/* Figures of the daemon that only ever grow. */
struct tide_ingest_books {
    double received, stored, chunks, requests;
    double commits, commit_s; /* how many, and the time of all together; NAN: not told */
};

/* One load: what was asked for, and what it took. */
struct tide_ingest_phase {
    struct tide_load_cfg load;
    struct tide_cpu cpu[2]; /* before and after */
    bool has_cpu;
    struct tide_ingest_books before, after;
    struct tide_load_result result;
};

struct tide_ingest_run {
    struct tide_ingest_phase burst;
    struct tide_ingest_phase paced; /* load.rate 0: there was none */
    bool one_at_a_time;
    uint64_t peak_bytes, disk_bytes; /* 0: not known */
};

/* books: "ok", or what differs. */
void tide_ingest_report_text(const struct tide_ingest_run *run, const char *books);
void tide_ingest_report_json(const struct tide_ingest_run *run, const char *books);

#endif
