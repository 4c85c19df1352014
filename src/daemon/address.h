/* Addresses to listen on, as people write them. */
#ifndef TIDEMARK_DAEMON_ADDRESS_H
#define TIDEMARK_DAEMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include "tidemark/err.h"

/* Reads "127.0.0.1:24224", "[::1]:0" or "localhost:8640" and writes it back in numbers. TIDE_USAGE
 * says what was expected. ret_loopback: only this machine can reach it. */
enum tide_rc tide_address_check(const char *text, char *ret_numeric, size_t size,
                                bool *ret_loopback, struct tide_err *err);

#endif
