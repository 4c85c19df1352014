/* portable - records as text that another program, or another version of this one, can read: one
 * line each, NDJSON or CSV, with every figure as the integer that it is.
 *
 * Both forms have the same columns. A cell is a JSON value; in CSV the cells of kind, module, tier
 * and start are plain text. An absent cell is a 0, an empty list, or nothing.
 */
#ifndef TIDEMARK_TOOLS_PORTABLE_H
#define TIDEMARK_TOOLS_PORTABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "tidemark/err.h"
#include "tidemark/record.h"
#include "tidemark/tier.h"

#define TIDE_PORTABLE_VERSION 1

enum tide_column {
    TIDE_COLUMN_KIND, /* store, record, lifetime, end */
    TIDE_COLUMN_MODULE,
    TIDE_COLUMN_TIER,
    TIDE_COLUMN_START,
    TIDE_COLUMN_FLAGS,
    TIDE_COLUMN_EVENTS,
    TIDE_COLUMN_FIRST_US,
    TIDE_COLUMN_LAST_US,
    TIDE_COLUMN_REQUESTS,
    TIDE_COLUMN_FAILED,
    TIDE_COLUMN_ERRORS,
    TIDE_COLUMN_PLAIN_REQUESTS,
    TIDE_COLUMN_START_US,
    TIDE_COLUMN_STOP_US,
    TIDE_COLUMN_HEALTH_US,
    TIDE_COLUMN_HEALTHY,
    TIDE_COLUMN_SUM_US,
    TIDE_COLUMN_MIN_US,
    TIDE_COLUMN_MAX_US,
    TIDE_COLUMN_HISTOGRAM, /* [[bucket, count], ...] */
    TIDE_COLUMN_INSTANCES, /* [{"id": hex, gauge: [count, time_us, last, max, sum]}, ...] */
    TIDE_COLUMN_SLOWEST,   /* {"us", "id"} */
    TIDE_COLUMN_CUSTOM,    /* [[name, count, time_us, min, max, last, sum], ...] */
    TIDE_COLUMN_LAST_ERROR,
    TIDE_COLUMN_LAST_ERROR_US,
    TIDE_COLUMN_ABOUT, /* of store and end: an object */
    TIDE_COLUMN_COUNT
};

const char *tide_column_name(enum tide_column column);

/* ---- writing ---- */

struct tide_sheet {
    FILE *out;
    bool csv;
    struct {
        char *text;
        size_t len, capacity;
    } cell[TIDE_COLUMN_COUNT];
};

void tide_sheet_init(struct tide_sheet *sheet, FILE *out, bool csv); /* CSV: prints the heads */
void tide_sheet_fini(struct tide_sheet *sheet);

/* Appends to a cell of the row at hand. */
void tide_sheet_put(struct tide_sheet *sheet, enum tide_column column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A text as a JSON string; bytes that are no UTF-8 as {"hex": "..."}. */
void tide_sheet_string(struct tide_sheet *sheet, enum tide_column column, const char *text,
                       size_t len);
void tide_sheet_record(struct tide_sheet *sheet, const struct tide_record *record);
/* Ends the row. */
void tide_sheet_end(struct tide_sheet *sheet);

/* ---- reading ---- */

/* One row as an object of its cells. The caller lets go of it. heads: of a CSV file, else NULL. */
json_t *tide_row_parse(const char *line, size_t len, const json_t *heads, struct tide_err *err);
/* The heads of a CSV file, from its first line: an array of the names. */
json_t *tide_heads_parse(const char *line, size_t len, struct tide_err *err);

/* Fills the record (initialised), which covers [start_s, start_s + width_s), and checks it; width_s
 * 0: it is a life and covers anything. False: it is none, and err says why. */
bool tide_row_record(const json_t *row, int64_t start_s, int64_t width_s, struct tide_record *into,
                     struct tide_err *err);
/* A string, or what {"hex"} stands for, into text[size]; returns its length, -1: it is none. */
int tide_row_string(const json_t *value, char *text, size_t size);
/* A whole number in a cell, or fallback when it is absent; false: it is none. */
bool tide_row_number(const json_t *row, enum tide_column column, uint64_t fallback, uint64_t *ret);

#endif
