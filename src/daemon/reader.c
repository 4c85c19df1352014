/* JSON as RFC 8259 has it, plus // and # comments: no trailing commas, no single quotes, no second
 * key of one name, because a configuration that is read differently from how it was meant is worse
 * than one that is refused.
 *
 * Recursive over objects, bounded in depth, members and bytes. Lists have no use here; they are
 * reported to the caller, who refuses them with the name of the key.
 */
#include "reader.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/bytes.h"

struct reader {
    const char *name;
    const char *text, *at, *end;
    const struct tide_reader_calls *calls;
    void *arg;
    struct tide_path path;
    struct tide_err *err;
    const char *known; /* the place of this byte is known */
    struct tide_place known_place;
};

/* Places are asked for in reading order, nearly: the count goes on from the last one. */
static struct tide_place place_of(struct reader *reader, const char *at)
{
    struct tide_place place = reader->known_place;
    const char *p = reader->known;

    if (at < p) {
        p = reader->text;
        place = (struct tide_place){1, 1};
    }
    for (; p < at; p++) {
        if (*p == '\n') {
            place.line++;
            place.column = 1;
        } else if ((*p & 0xc0) != 0x80) { /* not inside a UTF-8 character */
            place.column++;
        }
    }
    reader->known = at;
    reader->known_place = place;
    return place;
}

/* Puts the place of `at` in front of a text that the reader or its caller has set. */
static enum tide_rc blame(struct reader *reader, const char *at, enum tide_rc rc)
{
    struct tide_place place = place_of(reader, at);
    char path[256];

    tide_path_text(&reader->path, path, sizeof(path));
    tide_err_wrap(reader->err, "%s:%u:%u%s%s", reader->name, place.line, place.column,
                  path[0] ? ": " : "", path);
    return rc;
}

/* "expected X, got Y": Y is what stands at reader->at. */
static enum tide_rc unexpected(struct reader *reader, const char *expected)
{
    unsigned char byte;

    if (reader->at == reader->end) {
        tide_err_set(reader->err, "expected %s, got the end", expected);
        return blame(reader, reader->at, TIDE_CONFIG);
    }
    byte = (unsigned char)*reader->at;
    if (byte > 0x20 && byte < 0x7f)
        tide_err_set(reader->err, "expected %s, got '%c'", expected, byte);
    else
        tide_err_set(reader->err, "expected %s, got byte 0x%02x", expected, byte);
    return blame(reader, reader->at, TIDE_CONFIG);
}

/* Blanks and comments. */
static void skip(struct reader *reader)
{
    while (reader->at < reader->end) {
        if (strchr(" \t\r\n", *reader->at) && *reader->at) {
            reader->at++;
        } else if (*reader->at == '#' ||
                   (reader->end - reader->at >= 2 && !memcmp(reader->at, "//", 2))) {
            while (reader->at < reader->end && *reader->at != '\n')
                reader->at++;
        } else {
            return;
        }
    }
}

static bool take(struct reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

/* Four hexadecimal digits; false leaves reader->at at the bad one. */
static bool take_hex(struct reader *reader, uint32_t *ret)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++, reader->at++) {
        int digit = reader->at < reader->end ? tide_hex_digit(*reader->at) : -1;

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return true;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* What follows "\u": one code unit, or a pair of surrogates with its second "\u". */
static enum tide_rc take_code_point(struct reader *reader, uint32_t *ret)
{
    uint32_t high, low;

    if (!take_hex(reader, &high))
        return unexpected(reader, "four hexadecimal digits");
    if (high == 0)
        return unexpected(reader, "text without a zero character");
    *ret = high;
    if (high < 0xd800 || high > 0xdfff)
        return TIDE_OK;
    if (high > 0xdbff || !take(reader, '\\') || !take(reader, 'u') || !take_hex(reader, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return unexpected(reader, "a pair of surrogates");
    *ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return TIDE_OK;
}

/* reader->at is at the opening quote. *ret is the caller's to free, also after a failure. */
static enum tide_rc take_string(struct reader *reader, char **ret)
{
    static const char escape[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *start = ++reader->at;
    const char *close = start;
    char *to;

    /* An escape never makes a text longer, so the distance to the closing quote bounds it. */
    while (close < reader->end && *close != '"' && *close != '\n')
        close += *close == '\\' && reader->end - close > 1 ? 2 : 1;
    *ret = to = malloc((size_t)(close - start) + 1);
    if (!to) {
        tide_err_set(reader->err, "out of memory");
        return blame(reader, start, TIDE_NO_MEMORY);
    }
    while (!take(reader, '"')) {
        const char *found;
        enum tide_rc rc;
        uint32_t c = 0;

        if (reader->at == reader->end || (unsigned char)*reader->at < 0x20)
            return unexpected(reader, "the rest of a string and its '\"'");
        if (!take(reader, '\\')) {
            *to++ = *reader->at++;
            continue;
        }
        if (take(reader, 'u')) {
            if ((rc = take_code_point(reader, &c)))
                return rc;
            to = put_utf8(to, c);
            continue;
        }
        found = reader->at < reader->end && *reader->at ? strchr(escape, *reader->at) : NULL;
        if (!found)
            return unexpected(reader, "one of \"\\/bfnrtu after a backslash");
        *to++ = meaning[found - escape];
        reader->at++;
    }
    *to = '\0';
    return TIDE_OK;
}

static size_t digits(const char *at, const char *end)
{
    const char *p = at;

    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return (size_t)(p - at);
}

/* Length of the JSON number at the start of [at, end), 0 if there is none. */
static size_t number_len(const char *at, const char *end)
{
    const char *p = at;
    size_t n;

    if (p < end && *p == '-')
        p++;
    n = digits(p, end);
    if (n == 0 || (n > 1 && *p == '0'))
        return 0;
    p += n;
    if (p < end && *p == '.') {
        if (!(n = digits(p + 1, end)))
            return 0;
        p += 1 + n;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!(n = digits(p, end)))
            return 0;
        p += n;
    }
    return (size_t)(p - at);
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '+' || c == '.';
}

struct tide_value tide_value_of(const char *text)
{
    const size_t len = strlen(text);
    struct tide_value value = {.type = TIDE_VALUE_STRING, .text = text};

    if (len && number_len(text, text + len) == len) {
        value.type = TIDE_VALUE_NUMBER;
    } else if (!strcmp(text, "true") || !strcmp(text, "false")) {
        value.type = TIDE_VALUE_BOOL;
        value.boolean = text[0] == 't';
    } else if (!strcmp(text, "null")) {
        value.type = TIDE_VALUE_NULL;
    }
    return value;
}

static enum tide_rc tell_value(struct reader *reader, const char *at,
                               const struct tide_value *value)
{
    enum tide_rc rc =
        reader->calls->value(reader->arg, &reader->path, place_of(reader, at), value, reader->err);

    return rc ? blame(reader, at, rc) : TIDE_OK;
}

/* A number, true, false or null. */
static enum tide_rc read_word(struct reader *reader)
{
    const char *start = reader->at;
    const char *end = start;
    char word[64];
    struct tide_value value;

    while (end < reader->end && is_word_byte(*end))
        end++;
    if (end == start || (size_t)(end - start) >= sizeof(word))
        return unexpected(reader, "a value");
    memcpy(word, start, (size_t)(end - start));
    word[end - start] = '\0';
    value = tide_value_of(word);
    if (value.type == TIDE_VALUE_STRING) {
        tide_err_set(reader->err, "expected a value, got %s", word);
        return blame(reader, start, TIDE_CONFIG);
    }
    reader->at = end;
    return tell_value(reader, start, &value);
}

static enum tide_rc read_value(struct reader *reader);

/* The members' names of one object, to find a second one of a name. */
struct members {
    char *name[TIDE_READER_MEMBERS];
    size_t count;
};

/* reader->at is at the quote of a key. */
static enum tide_rc read_member(struct reader *reader, struct members *members)
{
    const char *start = reader->at;
    char **slot = &members->name[members->count];
    enum tide_rc rc;

    if (members->count == TIDE_READER_MEMBERS) {
        tide_err_set(reader->err, "expected at most %d keys in one object", TIDE_READER_MEMBERS);
        return blame(reader, start, TIDE_CONFIG);
    }
    rc = take_string(reader, slot);
    members->count++; /* its memory is ours from here on, read or not */
    if (rc)
        return rc;
    reader->path.part[reader->path.depth++] = *slot;
    for (size_t i = 0; i + 1 < members->count; i++) {
        if (!strcmp(members->name[i], *slot)) {
            tide_err_set(reader->err,
                         "expected one value, but the key is here for the second time");
            return blame(reader, start, TIDE_CONFIG);
        }
    }
    if ((rc = reader->calls->key(reader->arg, &reader->path, place_of(reader, start), reader->err)))
        return blame(reader, start, rc);
    skip(reader);
    if (!take(reader, ':'))
        return unexpected(reader, "':'");
    skip(reader);
    if ((rc = read_value(reader)))
        return rc;
    reader->path.depth--;
    return TIDE_OK;
}

static enum tide_rc read_members(struct reader *reader, struct members *members)
{
    enum tide_rc rc;

    skip(reader);
    if (take(reader, '}'))
        return TIDE_OK;
    for (;;) {
        if (reader->at == reader->end || *reader->at != '"')
            return unexpected(reader, "a key in double quotes");
        if ((rc = read_member(reader, members)))
            return rc;
        skip(reader);
        if (take(reader, '}'))
            return TIDE_OK;
        if (!take(reader, ','))
            return unexpected(reader, "',' or '}'");
        skip(reader);
        if (reader->at < reader->end && *reader->at == '}')
            return unexpected(reader, "another key after ','");
    }
}

static enum tide_rc read_object(struct reader *reader)
{
    const struct tide_value value = {.type = TIDE_VALUE_OBJECT};
    const char *start = reader->at++;
    struct members *members;
    enum tide_rc rc;

    if (reader->path.depth == TIDE_READER_DEPTH) {
        tide_err_set(reader->err, "expected at most %d objects in each other", TIDE_READER_DEPTH);
        return blame(reader, start, TIDE_CONFIG);
    }
    if ((rc = tell_value(reader, start, &value)))
        return rc;
    members = malloc(sizeof(*members));
    if (!members) {
        tide_err_set(reader->err, "out of memory");
        return blame(reader, start, TIDE_NO_MEMORY);
    }
    members->count = 0;
    rc = read_members(reader, members);
    while (members->count)
        free(members->name[--members->count]);
    free(members);
    return rc;
}

static enum tide_rc read_value(struct reader *reader)
{
    const char *start = reader->at;
    struct tide_value value = {.type = TIDE_VALUE_STRING};
    char *text = NULL;
    enum tide_rc rc;

    if (reader->at == reader->end)
        return unexpected(reader, "a value");
    switch (*reader->at) {
    case '{':
        return read_object(reader);
    case '[':
        value.type = TIDE_VALUE_ARRAY;
        rc = tell_value(reader, start, &value);
        assert(rc); /* no key takes a list */
        return rc;
    case '"':
        rc = take_string(reader, &text);
        if (!rc) {
            value.text = text;
            rc = tell_value(reader, start, &value);
        }
        free(text);
        return rc;
    default:
        return read_word(reader);
    }
}

enum tide_rc tide_reader_run(const char *name, const char *text, size_t len,
                             const struct tide_path *base, const struct tide_reader_calls *calls,
                             void *arg, struct tide_err *err)
{
    struct reader reader = {
        .name = name, .text = text, .at = text, .end = text + len, .calls = calls, .arg = arg};
    struct tide_err unheard;
    enum tide_rc rc;

    reader.err = err ? err : &unheard;
    if (base)
        reader.path = *base;
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* some editors put it there */
        reader.text += 3;
        reader.at += 3;
    }
    reader.known = reader.text;
    reader.known_place = (struct tide_place){1, 1};
    skip(&reader);
    if ((rc = read_value(&reader)))
        return rc;
    skip(&reader);
    return reader.at == reader.end ? TIDE_OK : unexpected(&reader, "nothing more");
}

void tide_path_text(const struct tide_path *path, char *text, size_t size)
{
    size_t used = 0;

    assert(size > 0);
    for (size_t i = 0; i < path->depth; i++) {
        const char *parts[] = {i ? "." : "", path->part[i]};

        for (size_t k = 0; k < 2; k++) {
            size_t len = strlen(parts[k]);

            if (len > size - 1 - used)
                len = size - 1 - used;
            memcpy(text + used, parts[k], len);
            used += len;
        }
    }
    text[used] = '\0';
}
