/* Files with secrets in them: read whole, up to a bound, and wiped before their memory is given
 * back.
 */
#ifndef TIDEMARK_SECRET_H
#define TIDEMARK_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include "tidemark/err.h"

#define TIDE_SECRET_MAX 1024 /* bytes of a key or a password */

/* The whole file; (*ret)[*ret_len] is a 0. Free it with tide_secret_free.
 *
 * Returns  TIDE_OK
 *          TIDE_CONFIG     it cannot be read, or is longer than max; err says why, without its name
 *          TIDE_NO_MEMORY
 */
enum tide_rc tide_secret_read(const char *file, size_t max, char **ret, size_t *ret_len,
                              struct tide_err *err);
void tide_secret_free(char *text, size_t len); /* NULL is fine */

/* Length of the first line of text[0, len) without its end, "\n" or "\r\n". */
size_t tide_secret_line(const char *text, size_t len);

/* The one line of 1 to TIDE_SECRET_MAX bytes that text[0, len) is: its length without its end. 0:
 * it is something else. */
size_t tide_secret_only_line(const char *text, size_t len);

/* Users who neither own the file nor are in its group can read or change it. */
bool tide_secret_exposed(const char *file);

#endif
