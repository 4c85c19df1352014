/* pass - see the door. */
#include "pass.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tidemark/secret.h"
#include "tidemark/tls.h"

static struct {
    char *field; /* NULL: no token */
    struct tide_credentials tls;
} pass_held;

static const char *option(const struct tide_args *args, const char *name)
{
    return tide_args_has(args, name) ? tide_args_text(args, name) : NULL;
}

static bool is_https(const char *url)
{
    return url && strncasecmp(url, "https://", 8) == 0;
}

/* RFC 6750: what a token may be made of. */
static bool token_is_sound(const struct tide_text *token)
{
    for (uint32_t i = 0; i < token->len; i++)
        if (token->start[i] <= ' ' || token->start[i] >= 0x7f)
            return false;
    return true;
}

static enum tide_rc take_token(const struct tide_args *args, struct tide_err *err)
{
    struct tide_secret token;
    enum tide_rc rc = TIDE_OK;

    memset(&token, 0, sizeof token);
    rc = tide_secret_init(&token, args, "token-file", TIDE_TOKEN_ENVIRONMENT, err);
    if (rc != TIDE_OK || token.text.len == 0)
        return rc;
    if (!token_is_sound(&token.text)) {
        tide_err_set(err, "the token: expected letters, digits and signs without blanks");
        rc = TIDE_USAGE;
    } else if (asprintf(&pass_held.field, "Authorization: Bearer %.*s\r\n", (int)token.text.len,
                        token.text.start) < 0) {
        pass_held.field = NULL;
        rc = TIDE_NO_MEMORY;
    }
    tide_secret_fini(&token);
    return rc;
}

enum tide_rc tide_pass_open(const struct tide_args *args, struct tide_err *err)
{
    enum tide_rc rc = take_token(args, err);

    if (rc == TIDE_OK && is_https(tide_args_text(args, "url"))) {
        pass_held.tls.server_name = option(args, "server-name");
        if (tide_tls_client(option(args, "ca-file"), option(args, "cert-file"),
                            option(args, "key-file"), &pass_held.tls.tls, err) != TIDE_OK)
            rc = TIDE_USAGE; /* it is a file of the options that is no good */
    }
    if (rc != TIDE_OK)
        tide_pass_close();
    return rc;
}

void tide_pass_close(void)
{
    if (pass_held.field)
        tide_secret_free(pass_held.field, strlen(pass_held.field));
    pass_held.field = NULL;
    SSL_CTX_free(pass_held.tls.tls);
    pass_held.tls = (struct tide_credentials){.tls = NULL};
}

const char *tide_pass_field(void)
{
    return pass_held.field ? pass_held.field : "";
}

const struct tide_credentials *tide_pass_tls(void)
{
    return pass_held.tls.tls ? &pass_held.tls : NULL;
}
