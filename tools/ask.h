/* Questions to the daemon's REST port, as every reading command asks them: --url, --timeout,
 * --json. */
#ifndef TIDEMARK_TOOLS_ASK_H
#define TIDEMARK_TOOLS_ASK_H

#include <jansson.h>
#include "args.h"
#include "http.h"
#include "tidemark/err.h"

/* GETs path from url and parses the JSON object it answers with.
 *
 * Returns  TIDE_OK           *ret is the answer; the caller drops it
 *          TIDE_NOT_FOUND    404; err has the daemon's words
 *          TIDE_USAGE        400: a parameter is off; err has the daemon's words
 *          TIDE_UNAVAILABLE  not there or 503; err says what to do
 *          others            as tide_http_get
 */
enum tide_rc tide_ask(const char *url, const char *path, int timeout_ms, json_t **ret,
                      struct tide_err *err);

/* The same with the command's own --url and --timeout. With --json the body goes to stdout as it
 * came, and *ret is NULL. accept_503: a 503 with a JSON object is an answer too (the daemon's own
 * health). */
enum tide_rc tide_ask_args(const struct tide_args *args, const char *path, bool accept_503,
                           json_t **ret, struct tide_err *err);

/* Appends "?name=value" or "&name=value", escaped, to the path; nothing when value is NULL or
 * empty. */
void tide_path_parameter(char *path, size_t size, const char *name, const char *value);

/* Figures of an answer: NAN when absent or null. */
double tide_figure(const json_t *object, const char *name);
/* Text of an answer: "" when absent or not a string. */
const char *tide_word(const json_t *object, const char *name);

#endif
