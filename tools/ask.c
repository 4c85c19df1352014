/* One question, one answer: HTTP trouble, problem documents and bad JSON become an outcome and one
 * sentence that says what to do about it.
 */
#include "ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tidemark.h"

/* What a non-200 answer means. The body may be a problem document (RFC 9457) or anything. */
static enum tide_rc refusal(const struct tide_http_answer *answer, const char *path,
                            struct tide_err *err)
{
    json_t *problem = json_loadb(answer->body, answer->body_len, 0, NULL);
    const char *title = tide_word(problem, "title"), *detail = tide_word(problem, "detail");

    if (detail[0])
        tide_err_set(err, "%s", detail);
    else if (title[0])
        tide_err_set(err, "%s", title);
    else
        tide_err_set(err, "the daemon answered %d to %s", answer->status, path);
    json_decref(problem);
    switch (answer->status) {
    case 400:
        return TIDE_USAGE;
    case 401:
    case 403:
        if (strlen(err->text) + 64 < sizeof err->text)
            strcat(err->text, "; name a token with --token-file or $TIDE_TOKEN");
        return TIDE_REFUSED;
    case 404:
        return TIDE_NOT_FOUND;
    case 503:
        return TIDE_UNAVAILABLE;
    default:
        return TIDE_MALFORMED;
    }
}

/* A GET whose failure says what to do. */
static enum tide_rc get(const char *url, const char *path, int timeout_ms,
                        struct tide_http_answer *ret, struct tide_err *err)
{
    enum tide_rc rc = tide_http_get(url, path, timeout_ms, TIDE_HTTP_BODY_MAX, ret, err);

    if (rc == TIDE_UNAVAILABLE) {
        tide_err_wrap(err, "no daemon answers at %s", url);
        if (strlen(err->text) + 64 < sizeof err->text)
            strcat(err->text, "; start tidemarkd, or name its address with --url");
    } else if (rc == TIDE_STOPPED) {
        tide_err_set(err, "interrupted");
    }
    return rc;
}

static enum tide_rc parse(const struct tide_http_answer *answer, const char *path, json_t **ret,
                          struct tide_err *err)
{
    json_error_t where;
    json_t *root = json_loadb(answer->body, answer->body_len, 0, &where);

    if (!json_is_object(root)) {
        tide_err_set(err, "the answer to %s is no JSON object%s%s", path, root ? "" : ": ",
                     root ? "" : where.text);
        json_decref(root);
        return TIDE_MALFORMED;
    }
    *ret = root;
    return TIDE_OK;
}

enum tide_rc tide_ask(const char *url, const char *path, int timeout_ms, json_t **ret,
                      struct tide_err *err)
{
    struct tide_http_answer answer;
    enum tide_rc rc = get(url, path, timeout_ms, &answer, err);

    if (rc != TIDE_OK)
        return rc;
    rc = answer.status == 200 ? parse(&answer, path, ret, err) : refusal(&answer, path, err);
    tide_http_answer_fini(&answer);
    return rc;
}

enum tide_rc tide_ask_args(const struct tide_args *args, const char *path, bool accept_503,
                           json_t **ret, struct tide_err *err)
{
    struct tide_http_answer answer;
    enum tide_rc rc = get(tide_args_text(args, "url"), path, (int)tide_args_number(args, "timeout"),
                          &answer, err);

    if (rc != TIDE_OK)
        return rc;
    *ret = NULL;
    if (answer.status != 200 && !(accept_503 && answer.status == 503)) {
        rc = refusal(&answer, path, err);
    } else if (tide_args_flag(args, "json")) {
        fwrite(answer.body, 1, answer.body_len, stdout); /* a failed write is seen at the end */
        if (answer.body_len == 0 || answer.body[answer.body_len - 1] != '\n')
            putchar('\n');
    } else {
        rc = parse(&answer, path, ret, err);
    }
    tide_http_answer_fini(&answer);
    return rc;
}

double tide_figure(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *tide_word(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

void tide_path_parameter(char *path, size_t size, const char *name, const char *value)
{
    size_t len = strlen(path);

    if (!value || !value[0])
        return;
    snprintf(path + len, size - len, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    tide_http_escape(path, size, value);
}
