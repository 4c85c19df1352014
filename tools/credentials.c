/* credentials - see credentials.h. */
#include "credentials.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark.h"
#include "tidemark/secret.h"
#include "tidemark/tls.h"

enum tide_rc tide_secret_init(struct tide_secret *secret, const struct tide_args *args,
                              const char *option, const char *variable, struct tide_err *err)
{
    const char *file = tide_args_text(args, option), *value = getenv(variable);
    size_t len;

    if (!file) {
        len = value ? strlen(value) : 0;
        if (len > TIDE_SECRET_MAX) {
            tide_err_set(err, "$%s: expected at most %d bytes", variable, TIDE_SECRET_MAX);
            return TIDE_USAGE;
        }
        secret->text = (struct tide_text){value, (uint32_t)len};
        return TIDE_OK;
    }
    if (tide_secret_read(file, TIDE_SECRET_MAX + 2, &secret->bytes, &secret->size, err)) {
        tide_err_wrap(err, "--%s %s", option, file);
        return TIDE_USAGE;
    }
    len = tide_secret_only_line(secret->bytes, secret->size);
    if (len == 0) {
        tide_err_set(err, "--%s %s: expected one line of 1 to %d bytes", option, file,
                     TIDE_SECRET_MAX);
        return TIDE_USAGE;
    }
    if (tide_secret_exposed(file))
        tide_say("%s: warning: every user of this machine can get at %s; chmod o= it",
                 args->command->name, file);
    secret->text = (struct tide_text){secret->bytes, (uint32_t)len};
    return TIDE_OK;
}

void tide_secret_fini(struct tide_secret *secret)
{
    tide_secret_free(secret->bytes, secret->size);
    *secret = (struct tide_secret){.bytes = NULL};
}

/* Whichever of them is given, it is TLS. */
static bool wants_tls(const struct tide_args *args)
{
    return tide_args_flag(args, "tls") || tide_args_given(args, "ca-file") ||
           tide_args_given(args, "cert-file") || tide_args_given(args, "server-name");
}

static enum tide_rc check_together(const struct tide_credentials *credentials,
                                   const struct tide_args *args, struct tide_err *err)
{
    if (tide_args_given(args, "cert-file") != tide_args_given(args, "key-file")) {
        tide_err_set(err, "--cert-file and --key-file go together");
        return TIDE_USAGE;
    }
    if (credentials->user && credentials->key.text.len == 0) {
        tide_err_set(err, "--user: users are asked for together with the shared key; name it with "
                          "--shared-key-file or $" TIDE_KEY_ENVIRONMENT);
        return TIDE_USAGE;
    }
    if (credentials->user && credentials->password.text.len == 0) {
        tide_err_set(err, "--user: expected his password, too, in --password-file or "
                          "$" TIDE_PASSWORD_ENVIRONMENT);
        return TIDE_USAGE;
    }
    return TIDE_OK;
}

enum tide_rc tide_credentials_init(struct tide_credentials *credentials,
                                   const struct tide_args *args, struct tide_err *err)
{
    enum tide_rc rc;

    *credentials = (struct tide_credentials){.user = tide_args_text(args, "user"),
                                             .server_name = tide_args_text(args, "server-name")};
    if ((rc = tide_secret_init(&credentials->key, args, "shared-key-file", TIDE_KEY_ENVIRONMENT,
                               err)) ||
        (rc = tide_secret_init(&credentials->password, args, "password-file",
                               TIDE_PASSWORD_ENVIRONMENT, err)) ||
        (rc = check_together(credentials, args, err)))
        goto failed;
    if (wants_tls(args) &&
        tide_tls_client(tide_args_text(args, "ca-file"), tide_args_text(args, "cert-file"),
                        tide_args_text(args, "key-file"), &credentials->tls, err) != TIDE_OK) {
        rc = TIDE_USAGE; /* it is a file of the options that is no good */
        goto failed;
    }
    return TIDE_OK;

failed:
    tide_credentials_fini(credentials);
    return rc;
}

void tide_credentials_fini(struct tide_credentials *credentials)
{
    tide_secret_fini(&credentials->key);
    tide_secret_fini(&credentials->password);
    SSL_CTX_free(credentials->tls);
    credentials->tls = NULL;
}

bool tide_credentials_given(const struct tide_args *args)
{
    return tide_args_given(args, "shared-key-file") || tide_args_given(args, "user") ||
           tide_args_given(args, "password-file") || tide_args_given(args, "key-file") ||
           wants_tls(args);
}
