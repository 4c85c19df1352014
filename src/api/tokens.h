/* tokens - who may ask: bearer tokens by their SHA-256, each with a scope. The file holds no
 * secret: a token cannot be made from its hash.
 *
 * File     one token a line: scope, hash in 64 hex digits, a name for people; # begins a comment
 *              read  9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  grafana
 * Thread safe; a reload is seen by the next request.
 */
#ifndef API_TOKENS_H
#define API_TOKENS_H

#include "tidemark/err.h"

#define TIDE_TOKENS_MAX 1000

enum tide_scope {
    TIDE_SCOPE_NONE,
    TIDE_SCOPE_READ,
    TIDE_SCOPE_ADMIN
}; /* each includes the lower */

struct tide_tokens;

/* TIDE_CONFIG: err names file, line and what was expected. */
enum tide_rc tide_tokens_open(const char *file, struct tide_tokens **ret, struct tide_err *err);
void tide_tokens_close(struct tide_tokens *tokens); /* NULL is fine */

/* After a failure the old list is still in use. */
enum tide_rc tide_tokens_reload(struct tide_tokens *tokens, struct tide_err *err);

/* What an Authorization header (NULL: none) allows. Takes the same time whatever the token. */
enum tide_scope tide_tokens_judge(struct tide_tokens *tokens, const char *authorization);

#endif
