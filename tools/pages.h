/* pages - what is made of the command table besides --help: completion for shells, and man pages.
 */
#ifndef TIDEMARK_TOOLS_PAGES_H
#define TIDEMARK_TOOLS_PAGES_H

#include <stdio.h>
#include "args.h"

/* The table: every command, in the order of the help. */
const struct tide_command *const *tide_commands(size_t *ret_count);

/* A script that completes commands, options and words, for "bash", "zsh" or "fish". */
void tide_completion_print(const char *shell, FILE *out);

/* The man page (mdoc-free, plain man macros) of a command; NULL: of the tool as a whole. */
void tide_man_print(const struct tide_command *command, FILE *out);

#endif
