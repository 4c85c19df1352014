/* credentials - what a command shows to a daemon that asks who it is, and how it makes sure whom it
 * talks to: the shared key, a user and his password, TLS with an authority and a certificate.
 *
 * Secrets come from a file or from the environment. No option takes one as a word: every user of
 * the machine can read a command line.
 */
#ifndef TIDEMARK_TOOLS_CREDENTIALS_H
#define TIDEMARK_TOOLS_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include "args.h"
#include "tidemark/event.h"

#define TIDE_KEY_ENVIRONMENT      "TIDE_SHARED_KEY"
#define TIDE_PASSWORD_ENVIRONMENT "TIDE_PASSWORD"

struct ssl_ctx_st;

struct tide_secret {
    char *bytes; /* from a file; NULL: none, or from the environment */
    size_t size;
    struct tide_text text; /* len 0: there is none */
};

/* The secret that the option names, or that the environment has. TIDE_USAGE: the file is not what
 * it should be. */
enum tide_rc tide_secret_init(struct tide_secret *secret, const struct tide_args *args,
                              const char *option, const char *variable, struct tide_err *err);
void tide_secret_fini(struct tide_secret *secret); /* wipes it */

struct tide_credentials {
    struct tide_secret key, password;
    const char *user; /* NULL: none */
    const char
        *server_name;       /* that the daemon's certificate must have; NULL: that of the address */
    struct ssl_ctx_st *tls; /* NULL: plain */
};

/* The rows of every command that feeds a daemon. */
#define TIDE_OPTIONS_CREDENTIALS                                                                 \
    TIDE_OPTION_FILE("shared-key-file",                                                          \
                     "one line, the key the daemon asks for; else $" TIDE_KEY_ENVIRONMENT),      \
        TIDE_OPTION_NAME("user", "who to be, where the daemon knows users"),                     \
        TIDE_OPTION_FILE("password-file",                                                        \
                         "one line, his password; else $" TIDE_PASSWORD_ENVIRONMENT),            \
        {"tls", NULL, NULL, "speak TLS; the system's authorities are trusted", TIDE_OPTION_FLAG, \
         0,     0},                                                                              \
        TIDE_OPTION_FILE("ca-file", "TLS, and trust these authorities only (PEM)"),              \
        TIDE_OPTION_FILE("cert-file", "TLS, and show this certificate when asked (PEM)"),        \
        TIDE_OPTION_FILE("key-file", "the certificate's key (PEM)"),                             \
        TIDE_OPTION_NAME("server-name", "what the daemon's certificate says, if not the address")

/* Lines for the help of such a command. */
#define TIDE_HELP_CREDENTIALS                                                                     \
    "A key and a password come from a file or from the environment, never from the command\n"     \
    "line, which others can read. With a key the daemon has to prove that it has it, too; with\n" \
    "TLS its certificate is checked, and its name.\n"

/* Reads what the options name. TIDE_USAGE with a sentence: a file is not what it should be, or the
 * options do not go together. Free it with fini. */
enum tide_rc tide_credentials_init(struct tide_credentials *credentials,
                                   const struct tide_args *args, struct tide_err *err);
void tide_credentials_fini(struct tide_credentials *credentials); /* wipes the secrets */

/* One of the options was given on the command line. */
bool tide_credentials_given(const struct tide_args *args);

#endif
