/* sieve - see sieve.h. A request that arrives in one piece, as nearly all do, is looked at where it
 * lies.
 */
#include "sieve.h"

#include <stdlib.h>
#include <string.h>

#define HELD_LEAST 1024

void tide_sieve_fini(struct tide_sieve *sieve)
{
    free(sieve->held);
    *sieve = (struct tide_sieve){0};
}

/* ---- what evhttp gets ---- */

/* Puts back what is held, takes `drop` bytes off the front and puts `text` there. */
static enum tide_rc let_through(struct tide_sieve *sieve, struct evbuffer *input, size_t drop,
                                const char *text, size_t len)
{
    bool done = sieve->held_len == 0 || evbuffer_prepend(input, sieve->held, sieve->held_len) == 0;

    tide_sieve_fini(sieve);
    if (done && drop > 0)
        done = evbuffer_drain(input, drop) == 0;
    if (done && len > 0)
        done = evbuffer_prepend(input, text, len) == 0;
    if (done)
        return TIDE_OK;
    evbuffer_drain(input, evbuffer_get_length(input));
    return TIDE_NO_MEMORY;
}

/* A request of which evhttp knows nothing but that it is to be answered so. drop: the bytes of the
 * real one; everything, when the connection ends with it. bodiless: so is the answer. */
static enum tide_rc stand_in(struct tide_sieve *sieve, struct evbuffer *input,
                             const struct tide_refusal *why, size_t drop, bool bodiless,
                             struct tide_sifted *ret)
{
    static const char get[] = "GET / HTTP/1.1\r\n\r\n", head[] = "HEAD / HTTP/1.1\r\n\r\n";

    ret->refused = true;
    ret->refusal = *why;
    if (bodiless)
        return let_through(sieve, input, drop, head, sizeof(head) - 1);
    return let_through(sieve, input, drop, get, sizeof(get) - 1);
}

static bool begins_with_head(const char *bytes, size_t len)
{
    return len >= 5 && memcmp(bytes, "HEAD ", 5) == 0;
}

static enum tide_rc refuse(struct tide_sieve *sieve, struct evbuffer *input,
                           const struct tide_refusal *why, const char *bytes, size_t len,
                           struct tide_sifted *ret)
{
    ret->close = true;
    return stand_in(sieve, input, why, SIZE_MAX, begins_with_head(bytes, len), ret);
}

enum tide_rc tide_sieve_refuse(struct tide_sieve *sieve, struct evbuffer *input,
                               const struct tide_refusal *why, struct tide_sifted *ret)
{
    *ret = (struct tide_sifted){0};
    return refuse(sieve, input, why, sieve->held, sieve->held_len, ret);
}

/* ---- judging ---- */

/* What a well-formed head asks for that evhttp would get wrong; NULL: nothing. */
static const struct tide_refusal *evhttp_cannot(const struct tide_head *head)
{
    static const struct tide_refusal strange = {405, "method_not_allowed",
                                                "only GET and HEAD are allowed"};
    static const struct tide_refusal no_path = {404, "not_found", "no such path"};

    if (head->method == TIDE_STRANGE_METHOD)
        return &strange;
    return strncmp(head->path, "//", 2) == 0 ? &no_path : NULL; /* it would read a host there */
}

/* http://host/path is for proxies; to evhttp we are one unless it gets the path alone. path_at: of
 * its first byte, the slash. */
static enum tide_rc pass_path(struct tide_sieve *sieve, struct evbuffer *input,
                              const struct tide_head *head, size_t path_at)
{
    char start[TIDE_HEAD_METHOD_MAX + 2];
    size_t len = strlen(head->method_name);

    memcpy(start, head->method_name, len);
    memcpy(start + len, " /", 2);
    return let_through(sieve, input, path_at + 1, start, len + 2);
}

/* A whole head; with its body there are len bytes. */
static enum tide_rc pass(struct tide_sieve *sieve, struct evbuffer *input,
                         const struct tide_head *head, size_t head_len, size_t path_at, size_t len,
                         struct tide_sifted *ret)
{
    const struct tide_refusal *cannot = evhttp_cannot(head);
    const size_t need = head_len + (size_t)head->body_bytes;

    ret->close = !head->keep_alive;
    if (len < need) {
        sieve->need = need;
        /* Who wants to be told to go on is told so by evhttp, which then reads the body itself. */
        if (!head->expects || len > head_len)
            return TIDE_AGAIN;
        ret->unfinished = cannot == NULL;
        ret->close |= cannot != NULL;
    }
    if (cannot) {
        ret->close |= head->old; /* the stand-in is of HTTP/1.1 */
        return stand_in(sieve, input, cannot, ret->close ? SIZE_MAX : need,
                        strcmp(head->method_name, "HEAD") == 0, ret);
    }
    if (head->absolute)
        return pass_path(sieve, input, head, path_at);
    return let_through(sieve, input, 0, NULL, 0);
}

/* Judges bytes[0, len), the beginning of a request, of which all there is lies in held and input.
 * TIDE_AGAIN: nothing was moved. */
static enum tide_rc judge(struct tide_sieve *sieve, struct evbuffer *input, const char *bytes,
                          size_t len, struct tide_sifted *ret)
{
    const size_t from = sieve->scanned > 3 ? sieve->scanned - 3 : 0;
    char copy[TIDE_HEAD_BYTES_MAX];
    const char *mark;
    struct tide_refusal why;
    struct tide_head head;
    size_t head_len;

    if (len < sieve->need)
        return TIDE_AGAIN;
    mark = memmem(bytes + from, len - from, "\r\n\r\n", 4);
    head_len = mark ? (size_t)(mark - bytes) + 4 : 0;
    if (!mark || head_len > TIDE_HEAD_BYTES_MAX) {
        if (tide_head_hopeful(bytes, sieve->scanned, mark ? head_len - 1 : len, &why))
            return refuse(sieve, input, &why, bytes, len, ret);
        sieve->scanned = len;
        return TIDE_AGAIN;
    }
    memcpy(copy, bytes, head_len);
    if (tide_head_parse(copy, head_len, &head, &why))
        return refuse(sieve, input, &why, bytes, len, ret);
    return pass(sieve, input, &head, head_len, (size_t)(head.path - copy), len, ret);
}

/* ---- the bytes ---- */

/* Empty lines in front of a request are skipped, as RFC 9112 asks. */
static size_t empty_lines(const char *bytes, size_t len)
{
    size_t n = 0;

    while (len - n >= 2 && memcmp(bytes + n, "\r\n", 2) == 0)
        n += 2;
    return n;
}

/* There is something that may be the beginning of a request. */
static bool is_something(const char *bytes, size_t len)
{
    return len > 1 || (len == 1 && bytes[0] != '\r');
}

/* Takes all of the input away from evhttp. */
static enum tide_rc hold(struct tide_sieve *sieve, struct evbuffer *input)
{
    const size_t more = evbuffer_get_length(input), len = sieve->held_len + more;

    if (len > sieve->held_size) {
        size_t size = len < HELD_LEAST ? HELD_LEAST : 2 * len;
        char *bytes = realloc(sieve->held, size);

        if (!bytes) {
            evbuffer_drain(input, more);
            return TIDE_NO_MEMORY;
        }
        sieve->held = bytes;
        sieve->held_size = size;
    }
    evbuffer_remove(input, sieve->held + sieve->held_len, more);
    sieve->held_len = len;
    return TIDE_OK;
}

/* Nothing is held: looks at the input without moving it. */
static enum tide_rc look_at(struct tide_sieve *sieve, struct evbuffer *input,
                            struct tide_sifted *ret)
{
    size_t len = evbuffer_get_length(input), empty;
    const char *bytes = (const char *)evbuffer_pullup(input, -1);

    if (!bytes) {
        evbuffer_drain(input, len);
        return TIDE_NO_MEMORY;
    }
    empty = empty_lines(bytes, len);
    evbuffer_drain(input, empty); /* the others stay where they are */
    return is_something(bytes + empty, len - empty)
               ? judge(sieve, input, bytes + empty, len - empty, ret)
               : TIDE_AGAIN;
}

enum tide_rc tide_sieve_look(struct tide_sieve *sieve, struct evbuffer *input,
                             struct tide_sifted *ret)
{
    enum tide_rc rc;
    size_t empty;

    *ret = (struct tide_sifted){0};
    if (evbuffer_get_length(input) == 0)
        return TIDE_AGAIN;
    if (sieve->held_len == 0) {
        rc = look_at(sieve, input, ret);
        if (rc != TIDE_AGAIN)
            return rc;
        return hold(sieve, input) ? TIDE_NO_MEMORY : TIDE_AGAIN;
    }
    if ((rc = hold(sieve, input)))
        return rc;
    empty = empty_lines(sieve->held, sieve->held_len);
    sieve->held_len -= empty;
    memmove(sieve->held, sieve->held + empty, sieve->held_len);
    return is_something(sieve->held, sieve->held_len)
               ? judge(sieve, input, sieve->held, sieve->held_len, ret)
               : TIDE_AGAIN;
}
