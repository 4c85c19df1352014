/* tokens - see tokens.h. */
#include "tokens.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "tidemark/bytes.h"

#define LINE_SIZE 512

struct token {
    enum tide_scope scope;
    unsigned char hash[SHA256_DIGEST_LENGTH];
};

struct list {
    size_t count;
    struct token token[TIDE_TOKENS_MAX];
};

struct tide_tokens {
    pthread_rwlock_t lock; /* holds: list */
    struct list *list;
    char *file;
};

static bool parse_hash(const char *text, unsigned char hash[SHA256_DIGEST_LENGTH])
{
    if (strlen(text) != 2 * SHA256_DIGEST_LENGTH)
        return false;
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        int high = tide_hex_digit(text[2 * i]), low = tide_hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        hash[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

/* One line of the file; NULL, or what was expected. */
static const char *take_line(char *line, struct list *list)
{
    char *rest = NULL, *scope, *hash;
    struct token token;

    line[strcspn(line, "#\r\n")] = '\0';
    scope = strtok_r(line, " \t", &rest);
    if (!scope)
        return NULL;
    if (strcmp(scope, "read") == 0)
        token.scope = TIDE_SCOPE_READ;
    else if (strcmp(scope, "admin") == 0)
        token.scope = TIDE_SCOPE_ADMIN;
    else
        return "expected a scope, read or admin, in front of the hash";
    hash = strtok_r(NULL, " \t", &rest);
    if (!hash || !parse_hash(hash, token.hash))
        return "expected the SHA-256 of a token, 64 hex digits, behind the scope";
    if (list->count == TIDE_TOKENS_MAX)
        return "expected at most 1000 tokens";
    list->token[list->count++] = token;
    return NULL;
}

static enum tide_rc read_lines(FILE *in, const char *file, struct list *list, struct tide_err *err)
{
    char line[LINE_SIZE];

    for (unsigned number = 1; fgets(line, sizeof(line), in); number++) {
        const char *expected = strlen(line) == sizeof(line) - 1
                                   ? "expected lines of at most 510 bytes"
                                   : take_line(line, list);

        if (expected) {
            tide_err_set(err, "%s:%u: %s", file, number, expected);
            return TIDE_CONFIG;
        }
    }
    if (ferror(in)) {
        tide_err_set(err, "%s: %s", file, strerror(errno));
        return TIDE_CONFIG;
    }
    if (list->count == 0) {
        tide_err_set(err, "%s: expected at least one token; with none nobody could ask", file);
        return TIDE_CONFIG;
    }
    return TIDE_OK;
}

static enum tide_rc load(const char *file, struct list **ret, struct tide_err *err)
{
    struct list *list = calloc(1, sizeof(*list));
    FILE *in = list ? fopen(file, "re") : NULL;
    enum tide_rc rc;

    if (!list) {
        tide_err_set(err, "%s: out of memory", file);
        return TIDE_NO_MEMORY;
    }
    if (!in) {
        tide_err_set(err, "%s: %s", file, strerror(errno));
        free(list);
        return TIDE_CONFIG;
    }
    rc = read_lines(in, file, list, err);
    fclose(in);
    if (rc) {
        free(list);
        return rc;
    }
    *ret = list;
    return TIDE_OK;
}

enum tide_rc tide_tokens_open(const char *file, struct tide_tokens **ret, struct tide_err *err)
{
    struct tide_tokens *tokens = calloc(1, sizeof(*tokens));
    enum tide_rc rc = TIDE_NO_MEMORY;

    if (tokens) {
        pthread_rwlock_init(&tokens->lock, NULL);
        tokens->file = strdup(file);
    }
    if (!tokens || !tokens->file)
        tide_err_set(err, "%s: out of memory", file);
    else
        rc = load(file, &tokens->list, err);
    if (rc) {
        tide_tokens_close(tokens);
        return rc;
    }
    *ret = tokens;
    return TIDE_OK;
}

void tide_tokens_close(struct tide_tokens *tokens)
{
    if (!tokens)
        return;
    pthread_rwlock_destroy(&tokens->lock);
    free(tokens->list);
    free(tokens->file);
    free(tokens);
}

enum tide_rc tide_tokens_reload(struct tide_tokens *tokens, struct tide_err *err)
{
    struct list *fresh, *old;
    enum tide_rc rc = load(tokens->file, &fresh, err);

    if (rc)
        return rc;
    pthread_rwlock_wrlock(&tokens->lock);
    old = tokens->list;
    tokens->list = fresh;
    pthread_rwlock_unlock(&tokens->lock);
    free(old);
    return TIDE_OK;
}

enum tide_scope tide_tokens_judge(struct tide_tokens *tokens, const char *authorization)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    enum tide_scope scope = TIDE_SCOPE_NONE;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return TIDE_SCOPE_NONE;
    authorization += 7;
    authorization += strspn(authorization, " ");
    SHA256((const unsigned char *)authorization, strlen(authorization), hash);
    pthread_rwlock_rdlock(&tokens->lock);
    for (size_t i = 0; i < tokens->list->count; i++) { /* all of them, also behind a match */
        const struct token *token = &tokens->list->token[i];

        if (CRYPTO_memcmp(hash, token->hash, sizeof(hash)) == 0 && token->scope > scope)
            scope = token->scope;
    }
    pthread_rwlock_unlock(&tokens->lock);
    return scope;
}
