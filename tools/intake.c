/* A JSON line ends at its newline or at the end of the input; blank lines are counted and skipped.
 * A msgpack record ends where the frame scanner says; behind a byte that cannot be msgpack there is
 * no way to find the next one, so that ends the stream, while a whole value that is no map only
 * costs itself.
 */
#include "intake.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark/clock.h"
#include "tidemark/wire.h"

#define POUR_MIN 65536

void tide_intake_init(struct tide_intake *intake, enum tide_intake_format format)
{
    *intake = (struct tide_intake){.format = format};
}

void tide_intake_fini(struct tide_intake *intake)
{
    free(intake->bytes);
    tide_packer_fini(&intake->pack);
    intake->bytes = NULL;
}

void *tide_intake_room(struct tide_intake *intake, size_t *ret_size)
{
    if (intake->at > 0) {
        memmove(intake->bytes, intake->bytes + intake->at, intake->len - intake->at);
        intake->len -= intake->at;
        intake->searched -= intake->searched < intake->at ? intake->searched : intake->at;
        intake->at = 0;
    }
    if (intake->capacity - intake->len < POUR_MIN) {
        /* A record is taken or refused at TIDE_RECORD_MAX, so this ends at a few times that. */
        intake->capacity = intake->capacity ? intake->capacity * 2 : 2 * POUR_MIN;
        intake->bytes = realloc(intake->bytes, intake->capacity);
        if (!intake->bytes)
            abort();
    }
    *ret_size = intake->capacity - intake->len;
    return intake->bytes + intake->len;
}

void tide_intake_poured(struct tide_intake *intake, size_t size)
{
    assert(size <= intake->capacity - intake->len && !intake->ended);
    intake->len += size;
    intake->ended = size == 0;
}

/* Seconds, or milliseconds above 10^11, as the daemon reads a `timestamp`. */
static bool time_from_number(double number, int64_t *ret_us)
{
    double seconds = number > 1e11 ? number / 1e3 : number;

    if (!(seconds >= 0 && seconds < 4294967295.0)) /* what an EventTime holds */
        return false;
    *ret_us = (int64_t)llround(seconds * 1e6);
    return true;
}

static bool time_from_text(const char *text, size_t len, int64_t *ret_us)
{
    char copy[40], *end;
    double number;

    if (tide_time_parse(text, len, ret_us))
        return *ret_us >= 0 && *ret_us / 1000000 < INT64_C(4294967295);
    if (len == 0 || len >= sizeof copy || text[0] < '0' || text[0] > '9')
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    number = strtod(copy, &end);
    return *end == '\0' && time_from_number(number, ret_us);
}

static bool time_from(const struct tide_scalar *value, int64_t *ret_us)
{
    if (value->kind == TIDE_SCALAR_NUMBER)
        return time_from_number(value->number, ret_us);
    return value->kind == TIDE_SCALAR_TEXT && time_from_text(value->text, value->len, ret_us);
}

/* Finds the record's time in its packed form. `timestamp` is ours and must be a time; `time` may
 * mean anything. */
static enum tide_rc time_find(struct tide_intake_record *record, struct tide_err *err)
{
    struct tide_scalar value;

    record->has_time = false;
    record->time_us = 0;
    if (tide_map_find(record->map, record->len, "timestamp", &value)) {
        if (!time_from(&value, &record->time_us)) {
            tide_err_set(err, "timestamp is no time: expected RFC 3339, seconds or milliseconds");
            return TIDE_MALFORMED;
        }
        record->has_time = true;
    } else if (tide_map_find(record->map, record->len, "time", &value)) {
        record->has_time = time_from(&value, &record->time_us);
        if (!record->has_time)
            record->time_us = 0;
    }
    return TIDE_OK;
}

static enum tide_rc line_decode(struct tide_intake *intake, const char *line, size_t len,
                                struct tide_intake_record *ret, struct tide_err *err)
{
    json_error_t where;
    json_t *record = json_loadb(line, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    enum tide_rc rc = TIDE_MALFORMED;

    if (!record) {
        char *file = strstr(where.text, "end of file"); /* there is only this line */

        if (file)
            memcpy(file + 7, "line", 4);
        tide_err_set(err, "column %d: %s", where.column, where.text);
    } else if (!json_is_object(record)) {
        tide_err_set(err, "expected a JSON object");
    } else {
        intake->pack.len = 0;
        rc = tide_packer_json(&intake->pack, record, err);
        if (rc != TIDE_OK)
            rc = TIDE_MALFORMED;
    }
    json_decref(record);
    if (rc != TIDE_OK)
        return rc;
    ret->map = intake->pack.bytes;
    ret->len = intake->pack.len;
    return time_find(ret, err);
}

/* True for a line of blanks. */
static bool is_blank(const char *line, size_t len)
{
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
        len--;
    return len == 0;
}

static enum tide_rc next_line(struct tide_intake *intake, struct tide_intake_record *ret,
                              struct tide_err *err)
{
    for (;;) {
        const char *line = intake->bytes + intake->at;
        size_t from = intake->searched > intake->at ? intake->searched : intake->at;
        const char *end =
            intake->len > from ? memchr(intake->bytes + from, '\n', intake->len - from) : NULL;
        size_t len = (size_t)((end ? end : intake->bytes + intake->len) - line);

        if (!end && !intake->ended) {
            intake->searched = intake->len;
            if (len <= TIDE_RECORD_MAX || intake->too_long) {
                if (intake->too_long)
                    intake->at = intake->len; /* refused already: drop what has come of it */
                return TIDE_AGAIN;
            }
        }
        if (!end && intake->ended && len == 0)
            return TIDE_NOT_FOUND;
        if (intake->too_long) { /* the rest of a refused line */
            intake->at += len + (end != NULL);
            intake->too_long = false;
            continue;
        }
        intake->number++;
        if (len > TIDE_RECORD_MAX) {
            intake->at += len + (end != NULL);
            intake->too_long = !end;
            tide_err_set(err, "longer than %d bytes", TIDE_RECORD_MAX);
            return TIDE_MALFORMED;
        }
        intake->at += len + (end != NULL);
        if (!is_blank(line, len))
            return line_decode(intake, line, len, ret, err);
    }
}

static enum tide_rc next_map(struct tide_intake *intake, struct tide_intake_record *ret,
                             struct tide_err *err)
{
    const uint8_t *start = (const uint8_t *)intake->bytes + intake->at;
    size_t len = intake->len - intake->at, size = 0;
    struct tide_frame_scan scan;
    enum tide_rc rc;

    if (len == 0)
        return intake->ended ? TIDE_NOT_FOUND : TIDE_AGAIN;
    tide_frame_reset(&scan);
    rc = tide_frame_next(&scan, start, len, TIDE_RECORD_MAX, &size);
    if (rc == TIDE_AGAIN && !intake->ended)
        return TIDE_AGAIN;
    intake->number++;
    if (rc != TIDE_OK) {
        tide_err_set(err, rc == TIDE_AGAIN       ? "the input ends in the middle of it"
                          : rc == TIDE_TOO_LARGE ? "longer than 1 MiB, or no msgpack"
                                                 : "no msgpack");
        intake->at = intake->len;
        return TIDE_DAMAGED;
    }
    intake->at += size;
    if (!tide_is_map(start[0])) {
        tide_err_set(err, "expected a msgpack map");
        return TIDE_MALFORMED;
    }
    ret->map = start;
    ret->len = size;
    return time_find(ret, err);
}

enum tide_rc tide_intake_next(struct tide_intake *intake, struct tide_intake_record *ret,
                              struct tide_err *err)
{
    if (!intake->bytes)
        return intake->ended ? TIDE_NOT_FOUND : TIDE_AGAIN;
    return intake->format == TIDE_INTAKE_JSON ? next_line(intake, ret, err)
                                              : next_map(intake, ret, err);
}
