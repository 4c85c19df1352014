/* pass - how this process gets into a daemon's REST port: a bearer token, and TLS with the
 * authorities that it trusts. Settled once, from the command's options and the environment, for
 * whatever asks.
 *
 * The token is read from a file or the environment: every user of the machine can read a command
 * line. It is only shown to the URL that the command names.
 */
#ifndef TIDEMARK_TOOLS_PASS_H
#define TIDEMARK_TOOLS_PASS_H

#include "credentials.h"

#define TIDE_TOKEN_ENVIRONMENT "TIDE_TOKEN"

/* For a command with --url: reads --token-file and, where it has them, --ca-file, --cert-file,
 * --key-file and --server-name. TIDE_USAGE with a sentence. */
enum tide_rc tide_pass_open(const struct tide_args *args, struct tide_err *err);
void tide_pass_close(void); /* wipes the token */

/* "Authorization: Bearer ...\r\n", or "". */
const char *tide_pass_field(void);

/* What a channel to an https URL shows; its TLS is never NULL. NULL: no https URL was named. */
const struct tide_credentials *tide_pass_tls(void);

#endif
