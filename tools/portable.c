/* portable - writing; see portable.h. Reading is in portable_read.c. */
#include "portable.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/event.h"

static const char *const column_name[TIDE_COLUMN_COUNT] = {
    "kind",          "module",    "tier",      "start",   "flags",  "events",
    "first_us",      "last_us",   "requests",  "failed",  "errors", "plain_requests",
    "start_us",      "stop_us",   "health_us", "healthy", "sum_us", "min_us",
    "max_us",        "histogram", "instances", "slowest", "custom", "last_error",
    "last_error_us", "about"};

const char *tide_column_name(enum tide_column column)
{
    return column_name[column];
}

void tide_sheet_init(struct tide_sheet *sheet, FILE *out, bool csv)
{
    *sheet = (struct tide_sheet){.out = out, .csv = csv};
    for (int i = 0; csv && i < TIDE_COLUMN_COUNT; i++)
        fprintf(out, "%s%s", column_name[i], i + 1 < TIDE_COLUMN_COUNT ? "," : "\n");
}

void tide_sheet_fini(struct tide_sheet *sheet)
{
    for (int i = 0; i < TIDE_COLUMN_COUNT; i++)
        free(sheet->cell[i].text);
}

static void reserve(struct tide_sheet *sheet, enum tide_column column, size_t more)
{
    size_t wanted = sheet->cell[column].len + more + 1;

    if (wanted <= sheet->cell[column].capacity)
        return;
    wanted *= 2;
    sheet->cell[column].text = realloc(sheet->cell[column].text, wanted);
    if (!sheet->cell[column].text)
        abort();
    sheet->cell[column].capacity = wanted;
}

static void append(struct tide_sheet *sheet, enum tide_column column, const char *text, size_t len)
{
    reserve(sheet, column, len);
    memcpy(sheet->cell[column].text + sheet->cell[column].len, text, len);
    sheet->cell[column].len += len;
}

void tide_sheet_put(struct tide_sheet *sheet, enum tide_column column, const char *format, ...)
{
    char text[256];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof(text));
    append(sheet, column, text, (size_t)len);
}

void tide_sheet_string(struct tide_sheet *sheet, enum tide_column column, const char *text,
                       size_t len)
{
    json_t *json = json_stringn(text, len);
    char *dump;

    if (json) {
        dump = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        json_decref(json);
        if (!dump)
            abort();
        append(sheet, column, dump, strlen(dump));
        free(dump);
        return;
    }
    tide_sheet_put(sheet, column, "{\"hex\":\"");
    for (size_t i = 0; i < len; i++)
        tide_sheet_put(sheet, column, "%02x", (unsigned char)text[i]);
    tide_sheet_put(sheet, column, "\"}");
}

/* JSON's integers end at 2^63 in most readers; larger ones are strings. */
static void put_number(struct tide_sheet *sheet, enum tide_column column, uint64_t value)
{
    if (value <= INT64_MAX)
        tide_sheet_put(sheet, column, "%" PRIu64, value);
    else
        tide_sheet_put(sheet, column, "\"%" PRIu64 "\"", value);
}

static void put_unless(struct tide_sheet *sheet, enum tide_column column, uint64_t value,
                       uint64_t absent)
{
    if (value != absent)
        put_number(sheet, column, value);
}

static void put_wide(struct tide_sheet *sheet, enum tide_column column, __int128 value)
{
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    char digits[48], *at = digits + sizeof(digits);

    *--at = '\0';
    do
        *--at = (char)('0' + (int)(rest % 10));
    while ((rest /= 10));
    tide_sheet_put(sheet, column, "\"%s%s\"", value < 0 ? "-" : "", at);
}

static void put_events(struct tide_sheet *sheet, const struct tide_tally *tally)
{
    const char *before = "{";

    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++) {
        if (!tally->kind[kind])
            continue;
        tide_sheet_put(sheet, TIDE_COLUMN_EVENTS, "%s\"%s\":", before,
                       tide_event_kind_name((enum tide_event_kind)kind));
        put_number(sheet, TIDE_COLUMN_EVENTS, tally->kind[kind]);
        before = ",";
    }
    if (before[0] == ',')
        tide_sheet_put(sheet, TIDE_COLUMN_EVENTS, "}");
}

static void put_histogram(struct tide_sheet *sheet, const struct tide_hist *hist)
{
    const char *before = "[";

    for (unsigned i = 0; i < hist->len; i++) {
        if (!hist->count[i])
            continue;
        tide_sheet_put(sheet, TIDE_COLUMN_HISTOGRAM, "%s[%u,", before, hist->first + i);
        put_number(sheet, TIDE_COLUMN_HISTOGRAM, hist->count[i]);
        tide_sheet_put(sheet, TIDE_COLUMN_HISTOGRAM, "]");
        before = ",";
    }
    if (before[0] == ',')
        tide_sheet_put(sheet, TIDE_COLUMN_HISTOGRAM, "]");
}

static void put_instances(struct tide_sheet *sheet, const struct tide_record *record)
{
    const enum tide_column column = TIDE_COLUMN_INSTANCES;

    for (unsigned i = 0; i < record->instances; i++) {
        const struct tide_instance *instance = &record->instance[i];

        tide_sheet_put(sheet, column, "%s{\"id\":\"%016" PRIx64 "\"", i ? "," : "[", instance->id);
        for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
            const struct tide_gauge_state *gauge = &instance->gauge[g];

            if (!gauge->count)
                continue;
            tide_sheet_put(sheet, column, ",\"%s\":[", tide_gauge_info[g].field);
            put_number(sheet, column, gauge->count);
            tide_sheet_put(sheet, column, ",%" PRId64 ",", gauge->time_us);
            put_number(sheet, column, gauge->last);
            tide_sheet_put(sheet, column, ",");
            put_number(sheet, column, gauge->max);
            tide_sheet_put(sheet, column, ",");
            put_number(sheet, column, gauge->sum);
            tide_sheet_put(sheet, column, "]");
        }
        tide_sheet_put(sheet, column, "}");
    }
    if (record->instances)
        tide_sheet_put(sheet, column, "]");
}

static void put_customs(struct tide_sheet *sheet, const struct tide_customs *customs)
{
    const enum tide_column column = TIDE_COLUMN_CUSTOM;

    for (unsigned i = 0; i < customs->count; i++) {
        const struct tide_custom *custom = &customs->item[i];

        tide_sheet_put(sheet, column, i ? ",[" : "[[");
        tide_sheet_string(sheet, column, custom->name, custom->len);
        tide_sheet_put(sheet, column, ",");
        put_number(sheet, column, custom->count);
        tide_sheet_put(sheet, column, ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",",
                       custom->time_us, custom->min, custom->max, custom->last);
        put_wide(sheet, column, custom->sum);
        tide_sheet_put(sheet, column, "]");
    }
    if (customs->count)
        tide_sheet_put(sheet, column, "]");
}

void tide_sheet_record(struct tide_sheet *sheet, const struct tide_record *record)
{
    const struct tide_tally *tally = &record->tally;

    put_events(sheet, tally);
    put_unless(sheet, TIDE_COLUMN_FIRST_US, (uint64_t)tally->first_us, INT64_MAX);
    put_unless(sheet, TIDE_COLUMN_LAST_US, (uint64_t)tally->last_us, 0);
    put_unless(sheet, TIDE_COLUMN_REQUESTS, tally->requests, 0);
    put_unless(sheet, TIDE_COLUMN_FAILED, tally->failed, 0);
    put_unless(sheet, TIDE_COLUMN_ERRORS, tally->errors, 0);
    put_unless(sheet, TIDE_COLUMN_PLAIN_REQUESTS, tally->plain_requests, 0);
    put_unless(sheet, TIDE_COLUMN_START_US, (uint64_t)tally->start_us, 0);
    put_unless(sheet, TIDE_COLUMN_STOP_US, (uint64_t)tally->stop_us, 0);
    put_unless(sheet, TIDE_COLUMN_HEALTH_US, (uint64_t)tally->health_us, 0);
    if (tally->health_us)
        tide_sheet_put(sheet, TIDE_COLUMN_HEALTHY, tally->healthy ? "true" : "false");
    if (tally->samples) {
        put_number(sheet, TIDE_COLUMN_SUM_US, tally->sum_us);
        put_number(sheet, TIDE_COLUMN_MIN_US, tally->min_us);
        put_number(sheet, TIDE_COLUMN_MAX_US, tally->max_us);
    }
    put_histogram(sheet, &record->hist);
    put_instances(sheet, record);
    if (record->slowest.len) {
        tide_sheet_put(sheet, TIDE_COLUMN_SLOWEST,
                       "{\"us\":%" PRIu64 ",\"id\":", record->slowest.us);
        tide_sheet_string(sheet, TIDE_COLUMN_SLOWEST, record->slowest.id, record->slowest.len);
        tide_sheet_put(sheet, TIDE_COLUMN_SLOWEST, "}");
    }
    put_customs(sheet, &record->customs);
}

/* ---- rows ---- */

/* Plain in CSV: these texts have no quotes, line breaks or control characters of their own but
 * quotes in a module's name. */
static bool is_plain(int column)
{
    return column <= TIDE_COLUMN_START;
}

static void csv_cell(struct tide_sheet *sheet, int column)
{
    const char *text = sheet->cell[column].text;
    size_t len = sheet->cell[column].len;
    json_t *plain = NULL;

    if (is_plain(column) && (plain = json_loadb(text, len, JSON_DECODE_ANY, NULL))) {
        text = json_string_value(plain);
        len = json_string_length(plain);
    }
    if (!memchr(text, ',', len) && !memchr(text, '"', len)) {
        fwrite(text, 1, len, sheet->out);
    } else {
        fputc('"', sheet->out);
        for (size_t i = 0; i < len; i++) {
            if (text[i] == '"')
                fputc('"', sheet->out);
            fputc(text[i], sheet->out);
        }
        fputc('"', sheet->out);
    }
    json_decref(plain);
}

void tide_sheet_end(struct tide_sheet *sheet)
{
    bool first = true;

    for (int i = 0; i < TIDE_COLUMN_COUNT; i++) {
        if (sheet->csv && i)
            fputc(',', sheet->out);
        if (!sheet->cell[i].len)
            continue;
        if (sheet->csv) {
            csv_cell(sheet, i);
        } else {
            fprintf(sheet->out, "%c\"%s\":", first ? '{' : ',', column_name[i]);
            fwrite(sheet->cell[i].text, 1, sheet->cell[i].len, sheet->out);
        }
        first = false;
        sheet->cell[i].len = 0;
    }
    fputs(sheet->csv ? "\n" : "}\n", sheet->out);
}
