/* head - see head.h. */
#include "head.h"

#include <string.h>
#include <strings.h>

/* METHOD TARGET HTTP/1.1 CRLF */
#define LINE_MAX_BYTES (TIDE_HEAD_METHOD_MAX + 1 + TIDE_HEAD_TARGET_MAX + 11)

static enum tide_rc refuse(struct tide_refusal *why, int status, const char *code,
                           const char *detail)
{
    *why = (struct tide_refusal){status, code, detail};
    return TIDE_MALFORMED;
}

static enum tide_rc bad(struct tide_refusal *why, const char *detail)
{
    return refuse(why, 400, "bad_request", detail);
}

/* RFC 9110: what names of methods and headers are made of. */
static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

static size_t token_len(const char *text)
{
    size_t len = 0;

    while (is_token_char(text[len]))
        len++;
    return len;
}

enum tide_rc tide_head_hopeful(const char *bytes, size_t from, size_t len, struct tide_refusal *why)
{
    if (len > 0 && !is_token_char(bytes[0]))
        return bad(why, "this is no HTTP request");
    for (size_t i = from; i < len; i++) {
        if (bytes[i] == '\0')
            return bad(why, "a zero byte in the head");
        if (bytes[i] == '\n' && (i == 0 || bytes[i - 1] != '\r'))
            return bad(why, "a line that does not end in CRLF");
    }
    if (len >= LINE_MAX_BYTES && !memchr(bytes, '\n', len))
        return refuse(why, 414, "uri_too_long", "the request target is over 8192 bytes");
    if (len >= TIDE_HEAD_BYTES_MAX)
        return refuse(why, 431, "headers_too_large", "the head of the request is over 16384 bytes");
    return TIDE_OK;
}

/* ---- the request line ---- */

static enum tide_method method_of(const char *name)
{
    static const char *const plain[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (strcmp(name, plain[i]) == 0)
            return TIDE_PLAIN_METHOD;
    if (strcmp(name, "HEAD") == 0 || strcmp(name, "TRACE") == 0)
        return TIDE_BODILESS_METHOD;
    return TIDE_STRANGE_METHOD;
}

/* "/path?query", "http://host/path?query" or "*" -> path and query. */
static enum tide_rc take_target(char *target, struct tide_head *head, struct tide_refusal *why)
{
    char *at = target;

    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        head->absolute = true;
        at = strstr(target, "://") + 3;
        at += strcspn(at, "/?#");
        if (*at != '/') /* no path: the root, there is room for it on what stood before */
            *--at = '/';
    } else if (*target != '/' && strcmp(target, "*") != 0 &&
               strcmp(head->method_name, "CONNECT") != 0) {
        return bad(why, "the request target is neither a path nor an absolute URI");
    }
    head->path = at;
    at[strcspn(at, "#")] = '\0';
    at += strcspn(at, "?");
    if (*at) {
        *at = '\0';
        head->query = at + 1;
    }
    return TIDE_OK;
}

static enum tide_rc take_version(const char *text, struct tide_head *head, struct tide_refusal *why)
{
    if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
        head->old = text[7] == '0';
        head->keep_alive = !head->old;
        return TIDE_OK;
    }
    if (strlen(text) == 8 && strncmp(text, "HTTP/", 5) == 0 && text[5] >= '0' && text[5] <= '9' &&
        text[6] == '.' && text[7] >= '0' && text[7] <= '9')
        return refuse(why, 505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken");
    return bad(why, "the request line is not METHOD TARGET HTTP/1.1");
}

static enum tide_rc take_request_line(char *line, struct tide_head *head, struct tide_refusal *why)
{
    size_t len = token_len(line), target_len = 0;
    char *target = line + len + 1;
    enum tide_rc rc;

    if (len == 0 || len > TIDE_HEAD_METHOD_MAX || line[len] != ' ')
        return bad(why, "the request line is not METHOD TARGET HTTP/1.1");
    line[len] = '\0';
    head->method_name = line;
    head->method = method_of(line);
    while ((unsigned char)target[target_len] > 0x20 && target[target_len] != 0x7f)
        target_len++;
    if (target_len == 0 || target[target_len] != ' ')
        return bad(why, "the request line is not METHOD TARGET HTTP/1.1");
    if (target_len > TIDE_HEAD_TARGET_MAX)
        return refuse(why, 414, "uri_too_long", "the request target is over 8192 bytes");
    target[target_len] = '\0';
    if ((rc = take_version(target + target_len + 1, head, why)))
        return rc;
    return take_target(target, head, why);
}

/* ---- header lines ---- */

/* What is judged when all lines are read. */
struct framing {
    unsigned hosts, lengths, encodings, expectations, authorizations;
    const char *length, *encoding, *expectation;
    bool close, keep_alive;
};

static bool has_word(const char *list, const char *word)
{
    const size_t word_len = strlen(word);

    while (*list) {
        size_t len;

        list += strspn(list, " \t,");
        len = strcspn(list, ",");
        while (len > 0 && (list[len - 1] == ' ' || list[len - 1] == '\t'))
            len--;
        if (len == word_len && strncasecmp(list, word, len) == 0)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

/* tabbed: there is a tab in front of the value, which evhttp would take for a part of it. */
static void note_header(const char *name, const char *value, bool tabbed, struct framing *framing)
{
    if (strcasecmp(name, "Host") == 0) {
        framing->hosts++;
    } else if (strcasecmp(name, "Connection") == 0) {
        framing->close |= has_word(value, "close");
        framing->keep_alive |= has_word(value, "keep-alive");
    } else if (strcasecmp(name, "Content-Length") == 0) {
        framing->lengths++;
        framing->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->encodings++;
        framing->encoding = value;
    } else if (strcasecmp(name, "Expect") == 0) {
        framing->expectations++;
        framing->expectation = tabbed ? "" : value;
    } else if (strcasecmp(name, "Authorization") == 0) {
        framing->authorizations++;
    }
}

static enum tide_rc take_header(char *line, struct framing *framing, struct tide_refusal *why)
{
    size_t name_len = token_len(line), len, blank;
    char *value = line + name_len + 1;

    if (*line == ' ' || *line == '\t')
        return bad(why, "a folded header line");
    if (name_len == 0 || line[name_len] != ':')
        return bad(why, "a header line is not Name: value");
    line[name_len] = '\0';
    blank = strspn(value, " \t");
    len = strlen(value + blank);
    while (len > 0 && (value[blank + len - 1] == ' ' || value[blank + len - 1] == '\t'))
        len--;
    value[blank + len] = '\0';
    for (size_t i = blank; i < blank + len; i++)
        if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
            return bad(why, "a control character in a header");
    note_header(line, value + blank, memchr(value, '\t', blank), framing);
    return TIDE_OK;
}

static enum tide_rc take_length(const char *text, struct tide_head *head, struct tide_refusal *why)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || text[digits])
        return bad(why, "Content-Length is not a number of bytes");
    for (; *text; text++) {
        head->body_bytes = head->body_bytes * 10 + (uint64_t)(*text - '0');
        if (head->body_bytes > TIDE_REQUEST_BODY_MAX)
            return refuse(why, 413, "body_too_large",
                          "the body of the request is over 65536 bytes");
    }
    return TIDE_OK;
}

static enum tide_rc judge_framing(const struct framing *framing, struct tide_head *head,
                                  struct tide_refusal *why)
{
    enum tide_rc rc;

    if (framing->hosts > 1)
        return bad(why, "more than one Host header");
    if (framing->hosts == 0 && !head->old)
        return bad(why, "no Host header");
    if (framing->lengths > 1)
        return bad(why, "more than one Content-Length header");
    if (framing->encodings > 0) {
        if (framing->encodings > 1 || framing->lengths > 0 || head->old ||
            strcasecmp(framing->encoding, "chunked") != 0)
            return bad(why, "Transfer-Encoding beside Content-Length, twice, or not chunked");
        return refuse(why, 411, "length_required", "a body needs a Content-Length");
    }
    if (framing->authorizations > 1)
        return bad(why, "more than one Authorization header");
    if (framing->expectations > 0) {
        if (framing->expectations > 1 || strcasecmp(framing->expectation, "100-continue") != 0)
            return refuse(why, 417, "expectation_failed", "only 100-continue can be expected");
        head->expects = !head->old;
    }
    if (framing->close)
        head->keep_alive = false;
    else if (framing->keep_alive)
        head->keep_alive = true;
    if (framing->lengths > 0 && (rc = take_length(framing->length, head, why)))
        return rc;
    if (head->body_bytes > 0 && head->method == TIDE_BODILESS_METHOD)
        return bad(why, "HEAD and TRACE have no body");
    return TIDE_OK;
}

enum tide_rc tide_head_parse(char *bytes, size_t len, struct tide_head *ret,
                             struct tide_refusal *why)
{
    char *const end = bytes + len - 2; /* the empty line */
    struct framing framing = {0};
    unsigned lines = 0;
    enum tide_rc rc;

    memset(ret, 0, sizeof(*ret));
    if (len < 4 || memcmp(end - 2, "\r\n\r\n", 4) != 0)
        return bad(why, "the head has no end");
    if ((rc = tide_head_hopeful(bytes, 0, len - 1, why)))
        return rc;
    for (char *line = bytes, *next; line < end; line = next, lines++) {
        next = (char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        next[-2] = '\0'; /* the CR: no line feed is without one here */
        if (lines > TIDE_HEAD_LINES_MAX)
            return refuse(why, 431, "headers_too_large", "more than 100 header lines");
        rc = lines == 0 ? take_request_line(line, ret, why) : take_header(line, &framing, why);
        if (rc)
            return rc;
    }
    return judge_framing(&framing, ret, why);
}
